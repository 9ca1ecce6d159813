"""What the store accepts: types with their limits, and the error that names a value outside them."""

import functools
import inspect
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ParamSpec, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    JsonValue,
    StringConstraints,
    ValidationError,
    validate_call,
)  # fmt: skip

from recsys.errors import InputError
from recsys.workspace.product import MAX_ID_LENGTH

MAX_CONTEXT_BYTES = 20_000

P = ParamSpec("P")
T = TypeVar("T")


def _text(*, max_bytes: int, blank: bool = False) -> AfterValidator:
    def check(value: str) -> str:
        if "\0" in value or not (blank or value.strip()):
            raise ValueError("Should be text without NUL" + ("" if blank else ", not blank"))
        if len(value.encode()) > max_bytes:
            raise ValueError(f"Should have at most {max_bytes:,} bytes")
        return value

    return AfterValidator(check)


def _in_utc(value: datetime) -> datetime:
    if not 1970 < value.year < 9999:
        raise ValueError("Should be in a year from 1971 to 9998")
    return value.astimezone(UTC)


def _short_json(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value, allow_nan=False)) > MAX_CONTEXT_BYTES:
        raise ValueError(f"Should have at most {MAX_CONTEXT_BYTES:,} bytes of JSON")
    return value


ProductId = Annotated[str, StringConstraints(max_length=MAX_ID_LENGTH), _text(max_bytes=4 * MAX_ID_LENGTH)]
Author = Annotated[str, _text(max_bytes=400)]
"""An entry of PostgreSQL's index holds 2,700 bytes: two ids of up to 1,024 bytes and an author."""
Text = Annotated[str, _text(max_bytes=2_000, blank=True)]
"""A category path, a brand or a reason."""
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Context = Annotated[dict[str, JsonValue], AfterValidator(_short_json)]


def input_error(error: ValidationError, parameters: Sequence[str] = ()) -> InputError:
    """Return the error that names the first wrong value and says what it should be.

    ``parameters`` are the names of positional arguments, if the values were arguments of a call.
    """
    first = error.errors(include_url=False)[0]
    place = first["loc"][0]
    name = parameters[place] if isinstance(place, int) else place
    return InputError(
        f"{name} is {first['input']!r:.60}.", fix=f"{name}: {first['msg'].removeprefix('Value error, ')}."
    )


def checked(method: Callable[P, T]) -> Callable[P, T]:
    """Check the arguments by their types before the call; raises :class:`InputError`."""
    validated = validate_call(method)
    parameters = list(inspect.signature(method).parameters)

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return validated(*args, **kwargs)
        except ValidationError as error:
            raise input_error(error, parameters) from None

    return call
