"""Files of judged pairs: ``left_id, right_id, label[, weight]`` in CSV, TSV, JSON Lines or Parquet."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from recsys.errors import InputError

_DUPLICATE = "duplicate"
_POSITIVE = {"1", "1.0", "true", "similar", _DUPLICATE, "positive", "yes"}
_NEGATIVE = {"0", "0.0", "false", "not_similar", "negative", "no", "different"}


class JudgedPair(NamedTuple):
    """Whether two products are similar."""

    left_id: str
    right_id: str
    weight: float
    """Above 0: similar; below 0: not similar."""
    duplicate: bool = False
    """Similar because they are the same product."""


def read_pairs(path: Path) -> Iterator[JudgedPair]:
    """Yield the pairs of a CSV, TSV, JSON Lines or Parquet file, in its order.

    Raises :class:`InputError` that names the row for a missing id, an unknown label or a bad weight.
    """
    table = _read_table(path)
    missing = {"left_id", "right_id", "label"} - set(table.column_names)
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(sorted(missing))}; found {', '.join(table.column_names)}.",
            fix="Give it left_id, right_id and label (1, 0, similar, not_similar); weight may be left out.",
        )
    used = [name for name in ("left_id", "right_id", "label", "weight") if name in table.column_names]
    columns = {name: table.column(name).cast(pa.string()).to_pylist() for name in used}
    weights = columns.get("weight", [None] * len(table))
    rows = zip(columns["left_id"], columns["right_id"], columns["label"], weights, strict=True)
    for number, (left, right, label, weight) in enumerate(rows, start=1):
        if not left or not right:
            raise InputError(f"{path}, row {number}: an id is empty.", fix="Give both ids or drop the row.")
        word = (label or "").strip().lower()
        signed = _sign(path, number, word) * _weight(path, number, weight)
        yield JudgedPair(left, right, signed, word == _DUPLICATE)


def digest(path: Path, setting: str) -> str:
    """Return the SHA-256 of a file of pairs; raises :class:`InputError` that names the ``setting``."""
    if not path.is_file():
        raise InputError(f"There is no file of judged pairs at {path}.", fix=f"Correct {setting}.")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_table(path: Path) -> pa.Table:
    suffixes = [s for s in path.suffixes if s not in (".gz", ".zst")]
    kind = suffixes[-1] if suffixes else ""
    try:
        if kind in (".csv", ".tsv"):
            options = pa.csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",")
            text = pa.csv.ConvertOptions(
                column_types=dict.fromkeys(("left_id", "right_id", "label", "weight"), pa.string())
            )
            return pa.csv.read_csv(path, parse_options=options, convert_options=text)
        if kind in (".jsonl", ".ndjson", ".json"):
            return pa.json.read_json(path)
        if kind == ".parquet":
            return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} cannot be read: {error}.",
            fix="Correct the file; recsys reads CSV, TSV, JSON Lines, Parquet.",
        ) from error
    raise InputError(
        f"{path} is of no kind that holds judged pairs.",
        fix="Use .csv, .tsv, .jsonl or .parquet, gzipped or not.",
    )


def _sign(path: Path, number: int, word: str) -> float:
    if word in _POSITIVE:
        return 1.0
    if word in _NEGATIVE:
        return -1.0
    raise InputError(
        f"{path}, row {number}: the label is {word!r}.",
        fix="Use 1 or similar or duplicate, 0 or not_similar.",
    )


def _weight(path: Path, number: int, weight: str | None) -> float:
    try:
        value = 1.0 if weight is None or weight == "" else float(weight)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(
            f"{path}, row {number}: the weight is {weight!r}.",
            fix="Give a number of 0 or more, or leave it blank.",
        )
    return value
