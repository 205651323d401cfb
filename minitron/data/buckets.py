"""An external sort: scatters the rows of tables over files by the highest bits of a key, so that each file can be sorted in
memory.

    with Buckets(folder, "a") as buckets:
        buckets.add(table)                       # which has a column `key`, uint64
        for table in buckets.tables(): ...       # the rows with the smallest keys first; unsorted within a table

Small data stays in memory. Knows nothing about dialogues.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from minitron.core.files import write_error

BITS = 6  # 64 buckets: 25 GB of rows make 400 MB in each
HELD_BYTES = 48_000_000  # of rows in memory, before they are written to the files


class Buckets:
    """Rows in files named `.<name>-<bucket>.<process>.tmp` in the folder, which are deleted when the `with` block ends. Raises
    MinitronError if a file cannot be written."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._streams: list[tuple[pa.OSFile, pa.RecordBatchWriter]] = []
        self._ends: np.ndarray | None = None  # where each bucket ends in the one table held, if no file was written

    def __enter__(self) -> "Buckets":
        return self

    def __exit__(self, *_: object) -> None:
        for file, _stream in self._streams:
            file.close()
        for number in range(len(self._streams)):
            self._path(number).unlink(missing_ok=True)

    def add(self, table: pa.Table) -> None:
        """Adds rows; all tables have the same schema. Must not be called after the first `tables`."""
        if len(table):
            self._held.append(table)
            self._bytes += table.nbytes
        if self._bytes > HELD_BYTES:
            try:
                self._write()
            except OSError as error:
                raise write_error(error, path=self.folder) from error

    def tables(self) -> Iterator[pa.Table]:
        """One table per bucket, the bucket with the smallest keys first; may be called several times, and gives the same order
        each time. An empty bucket has a table too, unless nothing at all was added."""
        if self._streams:
            self._finish()
            for number in range(1 << BITS):
                with pa.OSFile(str(self._path(number))) as file, pa.ipc.open_stream(file) as stream:
                    yield stream.read_all()
        elif self._held:
            if self._ends is None:
                table, self._ends = self._scattered()
                self._held = [table]
            for start, end in zip([0, *self._ends], self._ends, strict=False):
                yield self._held[0].slice(start, end - start)

    def _scattered(self) -> tuple[pa.Table, np.ndarray]:
        """The rows in memory, bucket after bucket, and where each bucket ends."""
        table = pa.concat_tables(self._held).combine_chunks()
        numbers = table["key"].to_numpy() >> np.uint64(64 - BITS)
        order = np.argsort(numbers, kind="stable")
        return table.take(pa.array(order)), np.cumsum(np.bincount(numbers.astype(np.int64), minlength=1 << BITS))

    def _write(self) -> None:
        table, ends = self._scattered()
        if not self._streams:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            for number in range(1 << BITS):
                file = pa.OSFile(str(self._path(number)), "wb")
                self._streams.append((file, pa.ipc.new_stream(file, table.schema, options=options)))
        for start, end, (_, stream) in zip([0, *ends], ends, self._streams, strict=False):
            stream.write_table(table.slice(start, end - start))
        self._held, self._bytes = [], 0

    def _finish(self) -> None:
        """Writes the remaining rows and closes the files, once."""
        if self._streams[0][0].closed:
            return
        try:
            if self._held:
                self._write()
            for file, stream in self._streams:
                stream.close()
                file.close()
        except OSError as error:
            raise write_error(error, path=self.folder) from error

    def _path(self, number: int) -> Path:
        return self.folder / f".{self.name}-{number}.{os.getpid()}.tmp"
