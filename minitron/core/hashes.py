"""Remembers SHA-256 of files: a file whose size and times have not changed is not read again. A remote file is never read for it.

    hashes = Hashes(Path("runs/demo/hashes.json"))
    hashes.of(Path("data/judged.parquet"))
    hashes.save()

Knows nothing about what the files are.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

from minitron.core.addresses import version
from minitron.core.files import atomic_write, sha256_file, sha256_json

# A file changed twice within the grain of its disk's clock (2 s on FAT) looks unchanged: until it is older than that, its
# hash is not remembered.
GRAIN_SECONDS = 2.0


class Hashes:
    """The hashes that are remembered in the file `path`; it is only a cache and may be deleted at any time."""

    def __init__(self, path: Path):
        self._path = path
        self._known: dict[str, list] = {}
        with suppress(OSError, ValueError):
            known = json.loads(path.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}
        self._new = False

    def of(self, file: Path) -> str:
        """The file's SHA-256, or for a remote file that of its address and version, as 64 hex digits. Raises OSError if the file
        cannot be read."""
        seen = version(file)
        if not isinstance(file, Path):  # a remote file, read as seldom as possible
            return sha256_json([str(file), *seen])
        match self._known.get(str(file)):
            case [*before, str(sha256)] if before == seen and len(sha256) == 64:
                return sha256
        began, stat = time.time(), file.stat()
        sha256 = sha256_file(file)
        if began - max(stat.st_mtime, stat.st_ctime) > GRAIN_SECONDS:
            self._known[str(file)], self._new = [*seen, sha256], True
        return sha256

    def save(self) -> None:
        if self._new:
            atomic_write(self._path, json.dumps(self._known, indent=1))
            self._new = False
