"""Tables scattered by a key over files, so that each part can be sorted in memory: an external sort whose order is the key's.

    with Buckets(folder, "a") as buckets:
        buckets.add(table)                       # which has a column `key`, uint64
        for table in buckets.tables(): ...       # all rows with the smallest keys, then the next; unsorted within

What is small stays in memory. Knows nothing about dialogues.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from minitron.core.files import write_error

BITS = 6  # 64 buckets: of 25 GB each has 400 MB
HELD_BYTES = 48_000_000  # in memory, before they are written out


class Buckets:
    """Files named `.<name>-<bucket>.<process>.tmp` in the folder, as long as the block lasts. A file that cannot be written is a
    MinitronError."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._streams: list[tuple[pa.OSFile, pa.RecordBatchWriter]] = []
        self._ends: np.ndarray | None = None  # of each bucket in the one table that is held, where nothing was written

    def __enter__(self) -> "Buckets":
        return self

    def __exit__(self, *_: object) -> None:
        for file, _stream in self._streams:
            file.close()
        for number in range(len(self._streams)):
            self._path(number).unlink(missing_ok=True)

    def add(self, table: pa.Table) -> None:
        """Adds rows, of one schema throughout; not after the first `tables`."""
        if len(table):
            self._held.append(table)
            self._bytes += table.nbytes
        if self._bytes > HELD_BYTES:
            try:
                self._write()
            except OSError as error:
                raise write_error(error, path=self.folder) from error

    def tables(self) -> Iterator[pa.Table]:
        """The rows of one bucket after the other, as often as it is asked for, each time in the same order. Empty ones have a table
        too, unless nothing at all was added."""
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
        """What is held, bucket after bucket, and where each ends."""
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
        """Writes the rest, once."""
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
