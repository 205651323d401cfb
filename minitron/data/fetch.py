"""Fetches files that a recipe needs and that are not there, from the addresses in the recipe; checks them, and puts them in place
whole.

    fetch_missing(config.data.fetch)       # says what it fetches, from where and under which licence

A file that is there is left alone. What was fetched so far stays beside it as `.NAME.part`, and the next try continues from there
(HTTP ranges). Knows nothing about what is in the files.
"""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from minitron.core.console import Progress, progress, say
from minitron.core.errors import MinitronError
from minitron.core.files import make_folder, write_error
from minitron.recipe.data import Fetch

BLOCK_BYTES = 1 << 18
TRIES = 4  # if a connection breaks off; each continues where the last one stopped
TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS = 1.0  # before the second try; twice as long before each further one


def fetch_missing(wanted: list[Fetch]) -> None:
    """Fetches the files that are missing. Raises MinitronError, which says what to put where, for a file that has no address,
    that cannot be reached, or that is not what the recipe expects."""
    for one in wanted:
        if Path(one.path).expanduser().exists():
            continue
        if not one.address:
            raise MinitronError(f"{one.path} is not there", hint=f"put it there: {one.about}")
        _fetch(one, Path(one.path).expanduser())


def _fetch(one: Fetch, path: Path) -> None:
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    say(f"fetching {one.path}: {one.bytes / 1e6:.1f} MB{f', {one.licence}' if one.licence else ''}, from {one.address}")
    with progress(path.name, one.bytes, done=_size(part)) as bar:
        begun_before = _size(part) > 0
        _download(one, part, bar)
        if begun_before and not _is_right(part, one):  # the part from an earlier run may be of another version
            part.unlink()
            _download(one, part, bar)
    if not _is_right(part, one):
        found = f"{_size(part):,} bytes, sha256 {_sha256(part)}"
        part.unlink()
        hint = (
            f"it has changed there; if you trust it, write these into the recipe, or put the right file at {one.path}"
        )
        raise MinitronError(f"{one.address} is not what the recipe expects, but {found}", hint=hint)
    os.replace(part, path)


def _download(one: Fetch, part: Path, bar: Progress) -> None:
    """Fetches the missing bytes of a part, with some more tries if the connection breaks off."""
    for attempt in range(TRIES):
        before = _size(part)
        if before >= one.bytes:
            return
        try:
            _append(one, part, bar)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # there is no more of it
                return
            if error.code < 500 or attempt == TRIES - 1:
                raise _unreachable(one, f"{error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            if _size(part) == before and attempt == TRIES - 1:
                reason = getattr(error, "reason", None) or error
                raise _unreachable(one, str(getattr(reason, "strerror", None) or reason)) from error
        if _size(part) < one.bytes and attempt < TRIES - 1:
            time.sleep(PAUSE_SECONDS * 2**attempt)
    if _size(part) < one.bytes:
        raise _unreachable(one, f"it broke off after {_size(part):,} of {one.bytes:,} bytes")


def _append(one: Fetch, part: Path, bar: Progress) -> None:
    """One request for the missing bytes; starts from the beginning if the server has no ranges."""
    have = _size(part)
    request = urllib.request.Request(one.address, headers={"User-Agent": "minitron", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        blocks = _blocks(answer, have if goes_on else 0, bar, most=one.bytes)
        block = next(blocks, b"")
        try:
            file = part.open("ab" if goes_on else "wb")
        except OSError as error:
            raise write_error(error, path=part) from error
        with file:
            while block:
                try:
                    file.write(block)
                    file.flush()
                except OSError as error:
                    raise write_error(error, path=part) from error
                block = next(blocks, b"")
            os.fsync(file.fileno())


def _blocks(answer: http.client.HTTPResponse, done: int, bar: Progress, *, most: int) -> Iterator[bytes]:
    """The blocks that the server sends, up to one byte more than expected, which is enough to see that the file is too long."""
    begun, first = time.monotonic(), done
    while done <= most and (block := answer.read(min(BLOCK_BYTES, most + 1 - done))):
        done += len(block)
        bar.update(done, f"{(done - first) / 1e6 / max(0.1, time.monotonic() - begun):.1f} MB/s")
        yield block


def _unreachable(one: Fetch, reason: str) -> MinitronError:
    host = urlsplit(one.address).netloc
    hint = f"put what is at {one.address} ({one.bytes / 1e6:.1f} MB) there yourself, or try again: what was fetched is kept"
    return MinitronError(f"{one.path} is not there, and {host} does not give it: {reason}", hint=hint)


def _is_right(part: Path, one: Fetch) -> bool:
    return _size(part) == one.bytes and _sha256(part) == one.sha256.lower()


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _sha256(part: Path) -> str:
    with part.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
