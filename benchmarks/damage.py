"""What a chat program does if its file is damaged, and what checking the file costs.

    python benchmarks/damage.py dist/minitron-chat-linux-amd64 [--flips 800] [--cuts 200] [--first-page 800]
    python benchmarks/damage.py dist/minitron-chat-windows-amd64.exe --with wine --flips 60 --cuts 0 --first-page 0

Each trial runs `selftest` of a copy that has one byte changed or is cut short. "refused": the program says that it is damaged and
exits with 1; "not started": the system refuses to run it; "hung": it has not ended after a minute; "same": the selftest passes;
anything else is printed with its exit status. The cost is measured on Linux: medians of the time of `--version`.
"""

import argparse
import collections
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from minitron.program import guard, seal


def outcome(command: list) -> str:
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    except OSError:
        return "not started"
    except subprocess.TimeoutExpired:
        return "hung"
    if done.returncode == 1 and b"damaged" in done.stderr:
        return "refused"
    return "same" if done.returncode == 0 else f"exit {done.returncode}: {done.stderr[:50]!r}"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def trials(sound: bytes, folder: Path, before: list[str], places: list[int], *, cut: bool, chance) -> dict:
    seen = collections.Counter()
    for n, at in enumerate(places):
        content = bytearray(sound)
        if cut:
            del content[at:]
        else:
            content[at] ^= chance.randrange(1, 256)
        program = write(folder / f"damaged-{n}{'.exe' if sound[:2] == b'MZ' else ''}", content)
        seen[outcome([*before, program, "selftest"])] += 1
        program.unlink()
    return dict(seen.most_common())


def unchecked(sound: bytes) -> bytes:
    """The program with its guard and its seal taken out, so that it starts without any check."""
    program = bytearray(sound)
    at = program.find(seal.NAME) + len(seal.NAME)
    program[at : at + 80] = bytes(80)
    path = program.find(b"/proc/self/exe\0", 0, guard.PAGE)
    program[24:32] = program[path - 64 : path - 56]  # the entry point that Go's linker wrote
    return bytes(program)


def cost(programs: dict[str, Path]) -> None:
    seconds = {name: [] for name in programs}
    for _ in range(50):
        for name, program in programs.items():
            start = time.perf_counter()
            subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - start)
    print({name: f"{1000 * statistics.median(times):.2f} ms" for name, times in seconds.items()})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("--with", dest="before", action="append", default=[])
    for name, default in (("flips", 800), ("cuts", 200), ("first-page", 800)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    sound, chance = a.program.read_bytes(), random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, count, end in (
            ("flips", a.flips, len(sound)),
            ("cuts", a.cuts, len(sound)),
            ("first page", a.first_page, guard.PAGE),
        ):
            places = [chance.randrange(end) for _ in range(count)]
            print(what, trials(sound, folder, a.before, places, cut=what == "cuts", chance=chance), flush=True)
        if struct.unpack_from("4s", sound)[0] == b"\x7fELF":
            cost(
                {
                    "checked": write(folder / "checked", sound),
                    "unchecked": write(folder / "unchecked", unchecked(sound)),
                }
            )


if __name__ == "__main__":
    main()
