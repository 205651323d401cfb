"""Parquet files. Of each row group the columns that rules ask for are read first, its text only if some row passes."""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from minitron.data.formats.source import CHUNK_ROWS, Chunk, Source, column_scores, one_of

SCORE_ROWS = 65536  # rows of scores in memory at once, before they are numbers
BUFFER_BYTES = 1 << 18  # read ahead, per column


class Parquet(Source):
    """A parquet file; a chunk is a row group."""

    every_row_has_all_columns = True

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        # A buffer: without it, whole row groups are fetched ahead, and memory grows with their size.
        with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            for group in range(file.num_row_groups):
                yield RowGroup(file, group, where=self.where, batch_rows=rows)

    def count(self) -> int | None:
        return pq.read_metadata(self.path).num_rows


class RowGroup(Chunk):
    """A row group of an open file."""

    def __init__(self, file: pq.ParquetFile, group: int, *, where: str, batch_rows: int):
        self.names, self.where, self.batch_rows = file.schema_arrow.names, where, batch_rows
        self.rows = file.metadata.row_group(group).num_rows
        self._read = partial(file.iter_batches, row_groups=[group], use_threads=False)

    def scores(self, name: str) -> tuple[pa.Array, bool]:
        batches = self._read(columns=[one_of(name, self.names, where=self.where)], batch_size=SCORE_ROWS)
        found = [column_scores(batch[name], name=name) for batch in batches]
        if not found:
            return pa.array([], pa.float64()), False
        return pa.concat_arrays([values for values, _ in found]), any(text for _, text in found)

    def cells(self, names: list[str], passing: pa.BooleanArray | None = None) -> Iterator[dict[str, list]]:
        names = [one_of(name, self.names, where=self.where) for name in names if name in self.names]
        start = 0
        for batch in self._read(columns=names, batch_size=self.batch_rows):
            kept = batch if passing is None else batch.filter(passing.slice(start, batch.num_rows))
            start += batch.num_rows
            if kept.num_rows:
                yield {name: kept[name].to_pylist() for name in names}
