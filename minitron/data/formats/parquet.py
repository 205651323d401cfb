"""Parquet files. In each row group the columns that rules ask for are read first, and the text only if some row passes."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from minitron.data.expressions import LENGTH, Leaf
from minitron.data.formats.source import CHUNK_ROWS, Chunk, Source, column_of, column_values, one_of

SCORE_ROWS = 65536  # rows of scores in memory at once, before they are converted to numbers
BUFFER_BYTES = 1 << 18  # read ahead, per column
BATCH_BYTES = 16_000_000  # of text in memory at once, within the limits of the next line
LEAST_ROWS, MOST_ROWS = 64, 8192
PART_BYTES = 64_000_000  # uncompressed size of a part that one process reads at a time


class Parquet(Source):
    """A parquet file, or some of its row groups; a chunk is a row group."""

    every_row_has_all_columns = True

    def __init__(self, path: Path, groups: range | None = None):
        super().__init__(path)
        self.groups = groups

    def _opened(self) -> Path | BinaryIO:
        """What Arrow opens: the path of a local file, which Arrow reads faster by itself, or else an open file."""
        return self.path if isinstance(self.path, Path) else self.path.open("rb")

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        # With a buffer: otherwise whole row groups are fetched ahead, and memory grows with their size.
        with pq.ParquetFile(self._opened(), pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            for group in range(file.num_row_groups) if self.groups is None else self.groups:
                yield RowGroup(file, group, where=self.where, batch_rows=rows)

    def parts(self) -> list[Source]:
        """The row groups, in parts of about PART_BYTES; none if there are no rows, whose columns do not count."""
        found: list[Source] = []
        metadata, begin, size = pq.read_metadata(self._opened()), 0, 0
        for group in range(metadata.num_row_groups if metadata.num_rows else 0):
            size += metadata.row_group(group).total_byte_size
            if size >= PART_BYTES or group == metadata.num_row_groups - 1:
                found.append(Parquet(self.path, range(begin, group + 1)))
                begin, size = group + 1, 0
        return found

    @property
    def size(self) -> int:
        if self.groups is None:
            return super().size
        metadata = pq.read_metadata(self._opened())
        groups = [metadata.row_group(group) for group in self.groups]
        return sum(group.column(i).total_compressed_size for group in groups for i in range(group.num_columns))

    def count(self) -> int | None:
        return pq.read_metadata(self._opened()).num_rows


class RowGroup(Chunk):
    """A row group of an open file."""

    def __init__(self, file: pq.ParquetFile, group: int, *, where: str, batch_rows: int):
        self.names, self.where, self.batch_rows = file.schema_arrow.names, where, batch_rows
        self._schema, self._group = file.schema_arrow, file.metadata.row_group(group)
        self.rows = self._group.num_rows
        self._read = partial(file.iter_batches, row_groups=[group], use_threads=False)

    def values(self, leaf: Leaf) -> tuple[pa.Array, bool]:
        name, fields = column_of(leaf, self.names, where=self.where)
        batches = self._read(columns=[self._part_of(name, fields, leaf)], batch_size=SCORE_ROWS)
        found = [column_values(batch[name], fields, leaf, where=self.where) for batch in batches]
        if not found:
            return pa.array([], pa.float64()), False
        return pa.concat_arrays([values for values, _ in found]), any(text for _, text in found)

    def _part_of(self, name: str, fields: list[str], leaf: Leaf) -> str:
        """The part of a column to read: of structs the field that is asked for; for the length of lists the smallest column in them."""
        kind = self._schema.field(name).type
        if fields:
            inside = pa.types.is_struct(kind) and kind.get_field_index(fields[0]) >= 0
            return f"{name}.{fields[0]}" if inside else name
        if leaf.kind == LENGTH and pa.types.is_nested(kind):
            parts = [self._group.column(i) for i in range(self._group.num_columns)]
            parts = [part for part in parts if part.path_in_schema.startswith(f"{name}.")]
            return min(parts, key=lambda part: part.total_compressed_size).path_in_schema
        return name

    def batches(self, names: list[str], passing: pa.BooleanArray | None = None) -> Iterator[pa.RecordBatch]:
        row_bytes = self._group.total_byte_size // max(1, self.rows)
        return self._kept(names, passing, rows=min(MOST_ROWS, max(LEAST_ROWS, BATCH_BYTES // max(1, row_bytes))))

    def cells(self, names: list[str], passing: pa.BooleanArray | None = None) -> Iterator[dict[str, list]]:
        yield from map(pa.RecordBatch.to_pydict, self._kept(names, passing, rows=self.batch_rows))

    def _kept(self, names: list[str], passing: pa.BooleanArray | None, *, rows: int) -> Iterator[pa.RecordBatch]:
        names = [one_of(name, self.names, where=self.where) for name in names if name in self.names]
        start = 0
        for batch in self._read(columns=names, batch_size=rows):
            kept = batch if passing is None else batch.filter(passing.slice(start, batch.num_rows))
            start += batch.num_rows
            if kept.num_rows:
                yield kept.select(names)
