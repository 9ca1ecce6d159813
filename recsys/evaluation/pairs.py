"""Files of judged pairs as right answers: ``left_id, right_id, label``; label 1 (or a word for yes) counts.

Does not know: which products exist.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from recsys.errors import InputError

_COLUMNS = ("left_id", "right_id", "label")
_POSITIVE = {"1", "1.0", "true", "similar", "duplicate", "positive", "yes"}


def positive_pairs(path: Path) -> list[tuple[str, str]]:
    """Return the pairs judged similar, as the file orders them; raises :class:`InputError`."""
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            text = pa.csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.string()))
            delimiter = "\t" if path.suffix == ".tsv" else ","
            table = pa.csv.read_csv(
                path, convert_options=text, parse_options=pa.csv.ParseOptions(delimiter=delimiter)
            )
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"The judged pairs {path} cannot be read: {error}.",
            fix="Correct evaluation.tasks.pairs: a CSV, TSV or Parquet file.",
        ) from error
    missing = set(_COLUMNS) - set(table.column_names)
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(sorted(missing))}; it has {', '.join(table.column_names)}.",
            fix="Give it left_id, right_id and label (1 or 0).",
        )
    left, right, label = (table.column(name).cast(pa.string()).to_pylist() for name in _COLUMNS)
    rows = zip(left, right, label, strict=True)
    return [(a, b) for a, b, judged in rows if a and b and (judged or "").strip().lower() in _POSITIVE]
