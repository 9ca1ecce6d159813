"""What is refused before it reaches the database: text no database keeps, numbers and times out of bounds.

Does not know: the database, what a rule means.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from recsys.errors import InputError, NotFoundError
from recsys.feedback.records import Label

MAX_ID = 1_000
"""Bytes (UTF-8) of a product id: an entry of PostgreSQL's index holds 2,700, and here that is two ids and an
author."""
MAX_AUTHOR = 400
"""Bytes of an author's name."""
MAX_TEXT = 2_000
"""Bytes of a category path, a brand or a reason."""
MAX_CONTEXT = 20_000
"""Bytes of a judgement's context as JSON."""
_MAX_INTEGER = 2**31 - 1


def text(value: object, name: str, *, most: int = MAX_TEXT, least: int = 0) -> str:
    """Return ``value``; raises :class:`InputError` where it is no text that every database keeps."""
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r:.60}, which is no text.", fix=f"Give {name} as a string.")
    if "\0" in value or any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise InputError(f"{name} holds a character that is no text.", fix="Leave out NUL and half pairs.")
    if len(value.strip()) < least or len(value.encode()) > most:
        raise InputError(
            f"{name} has {len(value.encode()):,} bytes.", fix=f"Give {name} with {least} to {most:,}."
        )
    return value


def moment(value: datetime | None, name: str) -> datetime | None:
    """Return ``value`` in UTC; raises :class:`InputError` where it has no zone or no sensible year."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise InputError(
            f"{name} is {value.isoformat()}, without a time zone.", fix="Write 2026-08-01T00:00:00Z, say."
        )
    if not 1970 < value.year < 9999:
        raise InputError(f"{name} is in the year {value.year}.", fix="Use a year from 1971 to 9998.")
    return value.astimezone(UTC)


def number(value: object, name: str, *, most: int = _MAX_INTEGER) -> int:
    """Return a whole number from 0 to ``most``; raises :class:`InputError`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InputError(f"{name} is {value!r:.60}.", fix=f"Use a whole number from 0 to {most:,}.")
    return value


def row_id(value: int, what: str) -> int:
    """Return ``value`` if a row can go by it; raises :class:`NotFoundError`."""
    if not 0 < value <= _MAX_INTEGER:
        raise missing(what, value)
    return value


def missing(what: str, id: int) -> NotFoundError:
    """Return the error for an id that nothing goes by."""
    return NotFoundError(f"There is no {what} {id}.", fix=f"List the {what}s; a {what}'s id never changes.")


def pair(left_id: str, right_id: str) -> tuple[str, str]:
    """Return two product ids in the order of text; raises :class:`InputError` where they are one."""
    text(left_id, "left_id", most=MAX_ID, least=1)
    text(right_id, "right_id", most=MAX_ID, least=1)
    if left_id == right_id:
        raise InputError(f"{left_id} is judged against itself.", fix="Give two different products.")
    return min(left_id, right_id), max(left_id, right_id)


def label(value: str) -> Label:
    """Return ``value`` as a label; raises :class:`InputError`."""
    for known in get_args(Label):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"The judgement is {value!r:.60}.", fix=f"Use one of {', '.join(get_args(Label))}.")


def context(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what came with a judgement; raises :class:`InputError` where it is too long or no JSON."""
    if value is None:
        return None
    try:
        size = len(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"The context is no JSON: {error}.", fix="Send strings and numbers.") from None
    if size > MAX_CONTEXT:
        raise InputError(f"The context has {size:,} bytes.", fix=f"Send at most {MAX_CONTEXT:,}.")
    return dict(value)
