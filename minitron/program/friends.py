"""The folder that a person sends files from: dist/<title>-<version>/, with file names that state model, version and system.

It appears by rename and holds one version only: programs, as hard links to those in dist/ if the disk supports links, zips
that keep the permission to execute, HOW-TO-OPEN.txt, LICENSES.txt and SHA256SUMS. Knows nothing about how programs are made.
"""

import os
import re
import shutil
import unicodedata
import zipfile
from pathlib import Path

from minitron.core.files import atomic_folder, read_error, sha256_file

MAX_NAME = 60  # characters of a title in a file name
MAX_BYTES = 150  # in UTF-8, of the same: a file name may have 255, with version and system
INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
SYSTEMS = {"windows": "windows", "darwin": "macos", "linux": "linux"}
# Both of Apple's processors are in one file, so that the owner of a Mac need not know which it has.
SENT = ("windows/amd64", "windows/arm64", "darwin/universal", "linux/amd64", "linux/arm64")


def safe_name(text: str) -> str:
    """The text with only letters and digits of any script, `_` and `-`: a valid file name on every system, in every shell.

    Each run of other characters, dots and slashes too, becomes one `-`; Windows' device names get `-chat` appended.
    """
    text = INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" or c == "_" else "-" for c in text)
    while kept and (unicodedata.category(kept[0])[0] == "M" or kept[0] in "-_"):  # a mark needs a letter before it
        kept = kept[1:]
    name = (
        re.sub("-+", "-", kept)[:MAX_NAME].encode()[:MAX_BYTES].decode(errors="ignore").strip("-_") or "minitron-chat"
    )
    return f"{name}-chat" if name.lower() in RESERVED else name


def folder_name(title: str, version: str) -> str:
    """The folder's name, such as Demo-1.0; a version keeps its dots."""
    kept = "-".join(re.findall(r"[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)*", version))[:30].strip(".-")
    return f"{safe_name(title)}-{kept or '1.0'}"


def file_name(title: str, version: str, target: str) -> str:
    """The file's name, such as Demo-1.0-windows-amd64.exe or Demo-1.0-macos-universal."""
    system, arch = target.split("/")
    return f"{folder_name(title, version)}-{SYSTEMS[system]}-{arch}" + (".exe" if system == "windows" else "")


def make_folder(
    made: dict[str, Path], out: Path, title: str, version: str, *, how_to_open: bytes, licences: bytes, date: str
) -> Path:
    """Makes the folder from the programs `made` (by target) and returns its path. `date`: that of config.json, for the zips."""
    texts = {"HOW-TO-OPEN.txt": how_to_open, "LICENSES.txt": licences}
    folder = out / folder_name(title, version)
    with atomic_folder(folder) as new:
        (new / "HOW-TO-OPEN.txt").write_bytes(how_to_open)
        (new / "LICENSES.txt").write_bytes(licences)
        for target in SENT:
            path = new / file_name(title, version, target)
            link(made[target], path)
            if not target.startswith("windows"):
                zipped = path.with_name(path.name.replace("-universal", "") + ".zip")
                zip_program(path, zipped, name=safe_name(title), folder=folder.name, texts=texts, date=date)
        lines = "".join(f"{sha256_file(path)}  {path.name}\n" for path in sorted(new.iterdir()))
        (new / "SHA256SUMS").write_text(lines, encoding="utf-8", newline="\n")
    return folder


def link(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:  # a disk without hard links
        try:
            shutil.copy2(source, path)
        except FileNotFoundError as error:
            raise read_error(error, path=source) from error


def zip_program(program: Path, out: Path, *, name: str, folder: str, texts: dict[str, bytes], date: str) -> None:
    """Writes a zip with the program, its permission to execute, and text files.

    Messengers and downloads lose that permission, so that a Mac would open the program as a text; unpacking a zip restores
    it. The same input gives the same bytes.
    """
    when = [int(n) for n in re.findall(r"\d+", date)][:6]
    when = tuple(when) if len(when) == 6 and 1980 <= when[0] <= 2107 else (1980, 1, 1, 0, 0, 0)

    def entry(file: str, mode: int, size: int) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(f"{folder}/{file}", when)
        info.create_system = 3  # Unix: the upper half of external_attr is the file's mode
        info.external_attr = (0o100000 | mode) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        info.file_size = size
        return info

    with zipfile.ZipFile(out, "w") as file:
        with program.open("rb") as source, file.open(entry(name, 0o755, program.stat().st_size), "w") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        for text, content in texts.items():
            file.writestr(entry(text, 0o644, len(content)), content)
