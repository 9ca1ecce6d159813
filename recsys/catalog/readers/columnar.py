"""Parquet and Arrow (IPC file or stream), read in small batches; a damaged file raises what Arrow raises."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.catalog.readers import FeedRecord

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
    rows = (values for part in slices for values in part.to_pylist())
    return (FeedRecord(number, values) for number, values in enumerate(rows, start=1))
