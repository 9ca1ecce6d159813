"""Files of judged pairs: ``left_id, right_id, label[, weight]`` in CSV, TSV, JSON Lines or Parquet.

Does not know: which products exist or what they are used for.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from recsys.config import TrainingConfig
from recsys.errors import InputError

_POSITIVE = {"1", "1.0", "true", "similar", "duplicate", "positive", "yes"}
_NEGATIVE = {"0", "0.0", "false", "not_similar", "negative", "no", "different"}


def read_pairs(path: Path) -> Iterable[tuple[str, str, float]]:
    """Yield ``(left_id, right_id, signed weight)`` of a CSV, TSV, JSON Lines or Parquet file.

    Raises :class:`InputError` that names the row for a missing id, an unknown label or a bad weight.
    """
    table = _read_table(path)
    missing = {"left_id", "right_id", "label"} - set(table.column_names)
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(sorted(missing))}; found {', '.join(table.column_names)}.",
            fix="Give it left_id, right_id and label (1, 0, similar, not_similar); weight may be left out.",
        )
    columns = {name: table.column(name).cast(pa.string()).to_pylist() for name in table.column_names}
    weights = columns.get("weight", [None] * len(table))
    rows = zip(columns["left_id"], columns["right_id"], columns["label"], weights, strict=True)
    for number, (left, right, label, weight) in enumerate(rows, start=1):
        if not left or not right:
            raise InputError(f"{path}, row {number}: an id is empty.", fix="Give both ids or drop the row.")
        yield left, right, _sign(path, number, label) * _weight(path, number, weight)


def pair_files(config: TrainingConfig, resolve: Callable[[str], str]) -> list[Path]:
    """Return the files of judged pairs; raises :class:`InputError` for one that is not there."""
    paths = [Path(resolve(source.path)) for source in config.pairs]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"There is no file of judged pairs at {path}.", fix="Correct training.pairs.path."
            )
    return paths


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


def _sign(path: Path, number: int, label: str | None) -> float:
    value = (label or "").strip().lower()
    if value in _POSITIVE:
        return 1.0
    if value in _NEGATIVE:
        return -1.0
    raise InputError(
        f"{path}, row {number}: the label is {label!r}.",
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
