"""JSON Lines: one object per line.

Does not know: what the keys mean.
"""

import json
from collections.abc import Iterable, Iterator

from recsys.catalog.readers.record import Record
from recsys.errors import InputError


def read_jsonl(lines: Iterable[str]) -> Iterator[Record]:
    """Yield the records of JSON ``lines``; a line that is not an object is a broken record."""
    number = 0
    for line in lines:
        if not line.strip():
            continue
        number += 1
        if number == 1 and line.lstrip().startswith("["):
            raise InputError(
                "The feed is one JSON array; JSON Lines was expected: one object per line.",
                fix="Export JSON Lines, for example with: jq -c '.[]' feed.json > feed.jsonl",
            )
        yield _record(number, line)


def _record(number: int, line: str) -> Record:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Record(number, {}, f"The line is not valid JSON: {error}.")
    if not isinstance(value, dict):
        return Record(number, {}, f"The line holds a {type(value).__name__}; an object was expected.")
    return Record(number, value)
