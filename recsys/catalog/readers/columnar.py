"""Parquet and Arrow (IPC file or stream), read in small batches; a damaged file raises what Arrow raises.

A value that Python cannot hold (bad UTF-8, a time outside its years) is unreadable by itself; the row stays.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.catalog.readers import FeedRecord, UnreadableValue

_ROWS = 512


def read_parquet(path: Path) -> Iterator[FeedRecord]:
    """Yield the records of a Parquet file; memory is a batch, not a row group."""
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        yield from _records(file.iter_batches(batch_size=_ROWS, use_threads=False))


def read_arrow(path: Path) -> Iterator[FeedRecord]:
    """Yield the records of an Arrow IPC file or stream."""
    with pa.memory_map(str(path)) as source:
        if source.read(6) == b"ARROW1":
            file = pa.ipc.open_file(source)
            yield from _records(file.get_batch(i) for i in range(file.num_record_batches))
        else:
            source.seek(0)
            yield from _records(iter(pa.ipc.open_stream(source)))


def _records(batches: Iterator[pa.RecordBatch]) -> Iterator[FeedRecord]:
    slices = (batch.slice(start, _ROWS) for batch in batches for start in range(0, len(batch), _ROWS))
    rows = (values for part in slices for values in _rows(_in_microseconds(_checked(part))))
    return (FeedRecord(number, values) for number, values in enumerate(rows, start=1))


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return ``batch``; raises ArrowInvalid where offsets lead out of its memory. Bad UTF-8 is a value's."""
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if "UTF8" not in str(error):
                raise
    return batch


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError, TypeError, LookupError, pa.ArrowException):
        names = batch.schema.names
        columns = [[_value(column, i) for i in range(len(batch))] for column in batch.columns]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return rows


def _value(column: pa.Array, row: int) -> Any:
    try:
        return column[row].as_py()
    except (ValueError, OverflowError, TypeError, LookupError, pa.ArrowException) as error:
        return UnreadableValue(f"{column.type} that cannot be read: {error}")


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Cut times to what Python's hold: pandas writes nanoseconds."""
    columns = []
    for column in batch.columns:
        kind = column.type
        if getattr(kind, "unit", None) == "ns":
            if pa.types.is_timestamp(kind):
                column = column.cast(pa.timestamp("us", kind.tz), safe=False)
            elif pa.types.is_time(kind):
                column = column.cast(pa.time64("us"), safe=False)
            else:
                column = column.cast(pa.duration("us"), safe=False)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
