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

_SIMILAR = ("1", "1.0", "true", "similar", "duplicate", "positive", "yes")
_NOT_SIMILAR = ("0", "0.0", "false", "not_similar", "negative", "no", "different")
_SIGNS = dict.fromkeys(_SIMILAR, 1.0) | dict.fromkeys(_NOT_SIMILAR, -1.0)


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
        word = (label or "").strip().lower()
        size = _number(weight)
        if not left or not right:
            raise InputError(f"{path}, row {number}: an id is empty.", fix="Give both ids or drop the row.")
        if word not in _SIGNS:
            raise InputError(
                f"{path}, row {number}: the label is {word!r}.",
                fix="Use 1 or similar or duplicate, 0 or not_similar.",
            )
        if not 0 <= size < float("inf"):
            raise InputError(
                f"{path}, row {number}: the weight is {weight!r}.",
                fix="Give a number of 0 or more, or leave it blank.",
            )
        yield JudgedPair(left, right, _SIGNS[word] * size, word == "duplicate")


def _number(weight: str | None) -> float:
    try:
        return 1.0 if weight is None or weight == "" else float(weight)
    except ValueError:
        return float("nan")


def digest(path: Path, setting: str) -> str:
    """Return the SHA-256 of a file that ``setting`` names; raises :class:`InputError` where it is missing."""
    if not path.is_file():
        raise InputError(f"There is no file at {path}.", fix=f"Correct {setting}.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
