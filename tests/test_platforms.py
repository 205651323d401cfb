"""The chat program on other systems, run here: arm64 under qemu, Windows under wine. Left out where those are missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from minitron.program import go, guard

pytestmark = pytest.mark.slow  # other systems under emulators

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "go_serve/internal/model/testdata/llama"
QEMU = shutil.which("qemu-aarch64-static")
needs_qemu = pytest.mark.skipif(not QEMU, reason="needs Debian's qemu-user-static")
QEMU_AMD64 = shutil.which("qemu-x86_64-static")
needs_wine = pytest.mark.skipif(
    not (shutil.which("wine") and shutil.which("x86_64-w64-mingw32-gcc")),
    reason="needs Debian's wine, wine64 and gcc-mingw-w64-x86-64",
)
SEED = ["-p", "hello", "--seed", "5", "--temp", "1.5", "--top-k", "0", "--max-tokens", "30"]
# Go gets random numbers from a library that wine 8 lacks; this is the only function of it that Go uses.
RANDOM_DLL = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
"""


def go_tests(package: str, out: Path, *, arch: str = "arm64") -> Path:
    """The tests of a Go package, built for Linux."""
    program = out / f"{Path(package).name}.test"
    command = [go.find_go(), "test", "-c", "-o", program, package]
    environment = os.environ | {"GOOS": "linux", "GOARCH": arch, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    subprocess.run(command, cwd=ROOT / "go_serve", env=environment, check=True)
    return program


@needs_qemu
@pytest.mark.parametrize("processor", ["max", "cortex-a53"])  # with SDOT and without
def test_arm64_kernels(processor, tmp_path):
    program = go_tests("./internal/kernel", tmp_path)
    command = [QEMU, "-cpu", processor, program, "-test.skip", "TestLost"]  # qemu's SIGBUS has no address
    subprocess.run(command, cwd=ROOT / "go_serve/internal/kernel", check=True)


@pytest.mark.skipif(not QEMU_AMD64, reason="needs Debian's qemu-user-static")
def test_kernels_without_avx2(tmp_path):
    """On an emulated processor of 2008: SSE4, nothing later."""
    program = go_tests("./internal/kernel", tmp_path, arch="amd64")
    skipped = "TestLost|TestTiersOfThisProcessor"  # qemu's SIGBUS has no address, its /proc/cpuinfo is the host's
    command = [QEMU_AMD64, "-cpu", "Nehalem", program, "-test.skip", skipped, "-test.v"]
    said = subprocess.run(
        command, cwd=ROOT / "go_serve/internal/kernel", check=True, capture_output=True, text=True
    ).stdout
    assert "--- PASS: TestProductsEqualScalar/sse4" in said
    assert "/avx2" not in said


@needs_qemu
def test_arm64_computes_the_same_bits(tmp_path):
    """What was recorded on amd64 (TestGolden), and Hugging Face's logits (TestReference)."""
    program = go_tests("./internal/model", tmp_path)
    command = [QEMU, "-cpu", "max", program, "-test.run", "Golden|Reference", "-test.v"]
    said = subprocess.run(
        command, cwd=ROOT / "go_serve/internal/model", check=True, capture_output=True, text=True
    ).stdout
    assert "--- PASS: TestGolden" in said
    assert "--- PASS: TestReference" in said


@pytest.mark.parametrize("arch", ["386", "arm"])
def test_systems_of_32_bits(arch, tmp_path):
    """All of the Go module compiles for them, and the program for one that this machine can run computes what was recorded."""
    environment = os.environ | {"GOOS": "linux", "GOARCH": arch, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    for command in (["vet", "./..."], ["build", "-o", tmp_path / "program", go.PROGRAM]):
        subprocess.run([go.find_go(), *command], cwd=ROOT / "go_serve", env=environment, check=True)
    if arch == "386" and go.this_machine() == "linux/amd64":
        assert "checksums agree" in answer([tmp_path / "program", "selftest", "--model", TINY])


@pytest.fixture(scope="module", params=["q8", "q4"])
def bundle(request, tmp_path_factory) -> Path:
    """A bundle with fresh weights: what the program says is nonsense, and must be the same nonsense everywhere."""
    out = tmp_path_factory.mktemp("bundle")
    shape = ["model.d_model=64", "model.n_layers=2", "model.n_heads=2", "model.context=128", "tokenizer.vocab_size=500"]
    command = [sys.executable, "-m", "minitron", "export", ROOT / "recipes/demo.toml", "--untrained", *shape]
    subprocess.run([*command, "--dtype", request.param, "--out", out], check=True, capture_output=True)
    return out


def answer(command: list, **how) -> str:
    done = subprocess.run(command, check=True, capture_output=True, **how)
    return done.stdout.decode().replace("\r\n", "\n")


@pytest.fixture
def here(bundle, tmp_path) -> str:
    """What this machine's program says."""
    said = answer([go.build(bundle, tmp_path)[0], *SEED])
    assert len(said) > 20
    return said


@needs_qemu
def test_arm64_says_the_same(bundle, here, tmp_path):
    program = go.build(bundle, tmp_path, targets=["linux/arm64"])[0]
    assert answer([QEMU, program, *SEED]) == here


@pytest.fixture(scope="module")
def wine(tmp_path_factory) -> dict:
    """The environment for a fresh Windows."""
    prefix = tmp_path_factory.mktemp("wine")
    environment = os.environ | {"WINEPREFIX": str(prefix), "WINEDEBUG": "-all"}
    subprocess.run(["wineboot", "--init"], env=environment, check=True, capture_output=True, timeout=300)
    (prefix / "random.c").write_text(RANDOM_DLL)
    dll = prefix / "drive_c/windows/system32/bcryptprimitives.dll"
    subprocess.run(["x86_64-w64-mingw32-gcc", "-shared", "-o", dll, prefix / "random.c", "-ladvapi32"], check=True)
    return environment | {"WINEDLLOVERRIDES": "bcryptprimitives=n", "LC_ALL": "C.UTF-8"}


@needs_wine
def test_windows_says_the_same(bundle, here, wine, tmp_path):
    program = go.build(bundle, tmp_path, targets=["windows/amd64"])[0]
    assert answer(["wine", program, *SEED], env=wine, timeout=300) == here


@needs_qemu
def test_a_damaged_arm64_program_says_so(tmp_path):
    program = go.build(TINY, tmp_path, targets=["linux/arm64"])[0]
    assert b"checksums agree" in subprocess.run([QEMU, program, "selftest"], check=True, capture_output=True).stdout
    sound = program.read_bytes()
    for damaged in (sound[:2_000_000], sound[:500_000] + b"!" + sound[500_001:]):
        program.write_bytes(damaged)
        done = subprocess.run([QEMU, program, "selftest"], capture_output=True)
        assert (done.returncode, done.stderr.decode()) == (1, guard.MESSAGE.decode())


@needs_wine
def test_a_damaged_windows_program_says_so(wine, tmp_path):
    program = go.build(TINY, tmp_path, targets=["windows/amd64"])[0]
    content = bytearray(program.read_bytes())
    content[content.rindex(b"IHDR")] ^= 1  # in the icon, which Windows does not look at
    program.write_bytes(content)
    done = subprocess.run(["wine", program, "selftest"], env=wine, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "error: this program's file is damaged (its checksum is " in done.stderr
    assert "hint: copy it or download it again" in done.stderr


@needs_wine
def test_a_window_of_its_own_stays_until_the_error_is_read(wine, tmp_path):
    """A program that is alone in its console was double-clicked: its window would close with it."""
    program = go.build(TINY, tmp_path, targets=["windows/amd64"])[0]
    alone = pexpect.spawn("wine", [str(program), "--nonsense"], env=wine, timeout=120, encoding="utf-8")
    alone.expect("-nonsense")
    alone.expect("Press Enter to close this window")
    assert alone.isalive()
    for _ in range(60):  # a key sent before wine has set up the terminal arrives as another one
        alone.send("\r")
        if alone.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=2) == 0:
            break
    alone.close()
    assert alone.exitstatus == 2
