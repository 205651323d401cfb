"""Checks that a program is, byte for byte, what a bundle and these sources give. Run: minitron binary --check FILE

A person who was sent a program and has the bundle, the sources of that version and the same Go need not trust whoever built it.
Knows nothing about how a program is made.
"""

import re
import struct
import tempfile
from pathlib import Path

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import read_error, sha256_file
from minitron.program import go
from minitron.program.bundle import BUNDLE_FILES, read_about, whole

# The processor's number in the header of each format: ELF's e_machine, COFF's Machine, Mach-O's cputype.
ELF = {62: "linux/amd64", 183: "linux/arm64"}
PE = {0x8664: "windows/amd64", 0xAA64: "windows/arm64"}
MACH_O = {0x01000007: "darwin/amd64", 0x0100000C: "darwin/arm64"}


def run(file: Path, bundle: Path | None) -> None:
    """Builds the program again and reports that `file` is identical. Raises MinitronError, which names the difference, if it is not."""
    try:
        given = file.read_bytes()
    except OSError as error:
        raise read_error(error, path=file) from error
    target = target_of(given)
    if target is None:
        raise MinitronError(
            f"{file} is no program for Linux, Windows or macOS", hint="name one that minitron binary made"
        )
    go.check_sources()
    bundle = whole(bundle)
    for name in reversed(BUNDLE_FILES):  # before anything is built; config.json differs wherever another file does
        if (bundle / name).read_bytes() not in given:
            raise MinitronError(f"{file} holds another {name} than {bundle}", hint="name its own bundle: --bundle DIR")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / go.program_name(target)
        go.make(target, bundle, read_about(bundle), built, {})
        same = built.read_bytes() == given
        theirs, ours = toolchain(file), toolchain(built)
    if same:
        say(f"binary: {file} is what {bundle} and these sources give for {target} (SHA-256 {sha256_file(file)})")
        return
    if theirs != ours:
        why, hint = f"it was built by {theirs or 'an unknown Go'}, here is {ours}", "install that Go and check again"
    else:
        why, hint = "it holds this bundle, but other code", "was it built of another version, or signed since?"
    raise MinitronError(f"{file} is not what would be built for {target}: {why}", hint=hint)


def target_of(program: bytes) -> str | None:
    """The os/arch that a program's header names, or None if it is no program for Linux, Windows or macOS."""
    try:
        if program[:4] == b"\x7fELF":
            return ELF.get(struct.unpack_from("<H", program, 18)[0])
        if program[:2] == b"MZ":
            at = struct.unpack_from("<I", program, 0x3C)[0]
            return PE.get(struct.unpack_from("<H", program, at + 4)[0]) if program[at : at + 4] == b"PE\0\0" else None
        if program[:4] == b"\xcf\xfa\xed\xfe":
            return MACH_O.get(struct.unpack_from("<I", program, 4)[0])
    except struct.error:  # cut off
        return None
    return go.UNIVERSAL if program[:4] == b"\xca\xfe\xba\xbe" else None


def toolchain(program: Path) -> str:
    """The version of Go that built a program, such as go1.27.3; "" if the program does not say."""
    said = go.run("version", str(program.resolve())).stdout
    found = re.search(r": (go\S+)$", said.strip())
    return found[1] if found else ""
