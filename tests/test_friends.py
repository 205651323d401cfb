"""Files for friends: the icon, Windows resources, macOS signatures, the seal, and the folder that one sends from.

What our own writers made is read back by parsers from PyPI (pefile, lief) and by hashlib.
"""

import base64
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import stat
import struct
import subprocess
import zipfile
from pathlib import Path

import lief
import numpy as np
import pefile
import pytest
from commands import minitron
from PIL import Image
from serving import bundle as copied

from minitron.core.errors import MinitronError
from minitron.program import friends, go, howto, icon, macho, seal, windows
from minitron.program.bundle import BUNDLE_FILES

pytestmark = pytest.mark.slow  # builds the programs of all systems

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "go_serve/internal/model/testdata/llama"
TITLE = 'Тень «друга» "x" 😀/..\\' + "я" * 200


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A tiny model with a title that is hard on every format."""
    folder = tmp_path_factory.mktemp("bundle")
    for name in BUNDLE_FILES:
        shutil.copy(TINY / name, folder / name)
    config = json.loads((folder / "config.json").read_text())
    picture = base64.b64encode(icon.png("", title=TITLE)).decode()
    config |= {"name": TITLE, "about": {"version": "2.10-rc3", "licence": "CC0, © me", "icon": picture}}
    config.pop("crc32")  # the checksum of the old content
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def dist(bundle, tmp_path_factory) -> Path:
    """All that `minitron binary --target all` makes."""
    out = tmp_path_factory.mktemp("dist")
    go.build(bundle, out, targets=["all"])
    return out


# -- icon --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["Demo", "Мой друг", "Ёж", "日本", "😀", "", "9 lives", "\ud800"])
def test_the_drawn_icon_is_a_small_square_png(title):
    data = icon.png("", title=title)
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size, len(data) < 10_000) == ("PNG", (256, 256), True)
    assert picture.convert("RGBA").getpixel((0, 0))[3] == 0  # the corners are rounded
    assert data == icon.png("", title=title)


def test_every_cyrillic_letter_has_a_picture_of_its_own():
    """No letter of the alphabet is drawn as the fallback bubble, or as the box that a font shows for a missing letter."""
    shapes = {letter: white(icon.draw(letter)) for letter in "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ日"}
    for a, b in itertools.combinations(shapes, 2):
        assert alike(shapes[a], shapes[b]) < 0.995, a + b
    assert alike(shapes["日"], white(icon.draw("😀"))) > 0.995


def white(picture: Image.Image) -> np.ndarray:
    """Where a picture is white: the shape of its letter, whatever the colour around it."""
    return np.asarray(picture.convert("RGB")).min(axis=-1) > 190


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return (a == b).mean()


def test_a_picture_of_ones_own(tmp_path):
    noise = Image.frombytes("RGB", (500, 300), random.Random(1).randbytes(500 * 300 * 3))
    noise.save(tmp_path / "noise.jpg")
    data = icon.png(str(tmp_path / "noise.jpg"), title="x")
    assert len(data) < 40_000
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    assert picture.size == (256, 256)
    assert [picture.getpixel(at)[3] for at in ((128, 5), (128, 128), (128, 250))] == [0, 255, 0]


def test_a_bad_picture_is_one_sentence(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "half.png").write_bytes(icon.png("", title="x")[:900])
    Image.new("1", (9000, 10)).save(tmp_path / "wide.png")
    for name, said in {
        "none.png": "there is no icon",
        "text.png": "cannot be read as a picture",
        "half.png": "cannot be read as a picture",
        "wide.png": "is too large (9000 x 10 pixels)",
    }.items():
        with pytest.raises(MinitronError, match=".") as error:
            icon.png(str(tmp_path / name), title="x")
        assert said in str(error.value)
        assert error.value.hint


# -- Windows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_windows_resources(dist, arch):
    pe = pefile.PE(str(dist / f"minitron-chat-windows-{arch}.exe"))
    assert pe.get_warnings() == []
    assert pefile.MACHINE_TYPE[pe.FILE_HEADER.Machine].endswith({"amd64": "AMD64", "arm64": "ARM64"}[arch])
    last = pe.sections[-1]
    assert last.Name.rstrip(b"\0") == b".rsrc"
    assert pe.OPTIONAL_HEADER.SizeOfImage == last.VirtualAddress + -(-last.Misc_VirtualSize // 0x1000) * 0x1000

    resources = {
        (kind.id, number.id): pe.get_data(language.data.struct.OffsetToData, language.data.struct.Size)
        for kind in pe.DIRECTORY_ENTRY_RESOURCE.entries
        for number in kind.directory.entries
        for language in number.directory.entries
    }
    count = struct.unpack_from("<HHH", resources[14, 1])
    assert count == (0, 1, len(windows.SIZES))
    ico = struct.pack("<HHH", *count)  # the same pictures as an .ico file, for Pillow
    at, images = 6 + 16 * count[2], b""
    for n in range(count[2]):
        *head, size, number = struct.unpack_from("<BBBBHHIH", resources[14, 1], 6 + 14 * n)
        image = resources[3, number]
        assert size == len(image)
        ico += struct.pack("<BBBBHHII", *head, size, at + len(images))
        images += image
    opened = Image.open(io.BytesIO(ico + images))
    assert opened.info["sizes"] == {(size, size) for size in windows.SIZES}
    want = icon.draw(TITLE).getpixel((128, 20))
    for size in windows.SIZES:
        picture = opened.ico.getimage((size, size)).convert("RGBA")
        assert picture.getpixel((0, 0))[3] < 60
        assert max(abs(a - b) for a, b in zip(picture.getpixel((size // 2, size // 12)), want, strict=True)) < 12

    xml = resources[24, 1].decode()
    for part in (
        'level="asInvoker"',
        ">UTF-8<",
        "longPathAware",
        "PerMonitorV2",
        "8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a",
    ):
        assert part in xml


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_windows_version_information(dist, arch):
    pe = pefile.PE(str(dist / f"minitron-chat-windows-{arch}.exe"))
    fixed = pe.VS_FIXEDFILEINFO[0]
    assert (fixed.Signature, fixed.FileVersionMS, fixed.FileVersionLS) == (0xFEEF04BD, 2 << 16 | 10, 3 << 16)
    table = next(part for part in pe.FileInfo[0] if hasattr(part, "StringTable")).StringTable[0]
    said = {key.decode(): value.decode("utf-8", "surrogatepass") for key, value in table.entries.items()}
    assert table.LangID == b"040904b0"
    assert said["FileVersion"] == "2.10-rc3"
    assert said["LegalCopyright"] == "CC0, © me"
    assert said["ProductName"].startswith('Тень «друга» "x" ')
    assert said["OriginalFilename"] == friends.file_name(TITLE, "2.10-rc3", f"windows/{arch}")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("plain", "plain"),
        ("two\nlines\t\0x", "two lines x"),
        ("я" * 300, "я" * 200),
        ("a" + "😀" * 150, "a" + "😀" * 99),  # a surrogate pair is never cut in two
        ("\ud800!", "!"),
    ],
)
def test_version_strings_are_bounded(text, want):
    assert windows.safe_text(text) == want


@pytest.mark.parametrize(
    ("version", "want"),
    [("1.0", (1, 0, 0, 0)), ("1.2-beta3", (1, 2, 3, 0)), ("", (0, 0, 0, 0)), ("2026.99999.1.2.3", (2026, 65535, 1, 2))],
)
def test_version_numbers(version, want):
    assert windows.version_numbers(version) == want


# -- macOS -------------------------------------------------------------------------------------------------------------


def test_the_universal_file_has_both_programs_signed(dist):
    path = dist / "minitron-chat-darwin-universal"
    fat = lief.MachO.parse(str(path))
    programs = list(fat)  # they live as long as `fat`
    assert [str(p.header.cpu_type).split(".")[-1] for p in programs] == ["X86_64", "ARM64"]
    whole = path.read_bytes()
    for program, arch in zip(programs, ("amd64", "arm64"), strict=True):
        assert program.fat_offset % (1 << 14) == 0
        assert lief.MachO.check_layout(program) == (True, "")
        assert program.has_code_signature
        alone = (dist / f"minitron-chat-darwin-{arch}").read_bytes()
        assert whole[program.fat_offset :][: len(alone)] == alone
        linkedit = program.get_segment("__LINKEDIT")
        assert linkedit.file_offset + linkedit.file_size == len(alone)
        assert linkedit.virtual_size >= linkedit.file_size
        check_pages(alone, program.code_signature.data_offset)


def check_pages(program: bytes, at: int) -> None:
    """The CodeDirectory of <kern/cs_blobs.h>: the SHA-256 of every page of what lies before the signature."""
    magic, _, count, kind, offset = struct.unpack_from(">5I", program, at)
    assert (magic, count, kind) == (0xFADE0CC0, 1, 0)
    at += offset
    magic, _, version, flags, hashes, name, special, pages, limit = struct.unpack_from(">9I", program, at)
    assert (magic, version, flags, special, limit) == (0xFADE0C02, 0x20400, 0x20002, 0, at - offset)
    assert struct.unpack_from(">BBBB", program, at + 36) == (32, 2, 0, 12)
    assert program[at + name : program.index(b"\0", at + name)]
    assert pages == -(-limit // 4096)
    for page in range(pages):
        content = program[4096 * page : min(limit, 4096 * (page + 1))]
        assert program[at + hashes + 32 * page :][:32] == hashlib.sha256(content).digest()


def test_signing_is_done_once(dist):
    program = (dist / "minitron-chat-darwin-amd64").read_bytes()
    assert macho.sign(program, identifier="x") is program


# -- the seal ----------------------------------------------------------------------------------------------------------


def run(program: Path, *arguments: str) -> tuple:
    """How a program ends: exit code, stdout and stderr, or that it could not be started. LANG=C fixes the language of messages."""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, stdin=subprocess.DEVNULL, env={"LANG": "C"}, timeout=60
        )
    except OSError as error:
        return ("not started", error.strerror)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


QUESTIONS = (["-p", "hello", "--temp", "0", "--max-tokens", "8"], ["selftest"])


@pytest.mark.skipif(go.this_machine() != "linux/amd64", reason="flips bytes of the program for linux/amd64")
def test_a_damaged_program_says_so_or_answers_the_same(dist, tmp_path):
    """With a byte changed (200 places) or the end cut off (50 lengths) it says a sentence, or answers the same; it never crashes."""
    sound = (dist / "minitron-chat-linux-amd64").read_bytes()
    whole = [run(dist / "minitron-chat-linux-amd64", *question) for question in QUESTIONS]
    assert [end[0] for end in whole] == [0, 0]
    chance, crashed = random.Random(11), []
    for trial in range(250):
        content, at = bytearray(sound), chance.randrange(len(sound))
        if trial < 200:
            content[at] ^= chance.randrange(1, 256)
        else:
            del content[at:]
        program = tmp_path / f"damaged-{trial}"  # a new file each: the system may still hold the last one
        program.write_bytes(content)
        program.chmod(0o755)
        for question, want in zip(QUESTIONS, whole, strict=True):
            end = run(program, *question)
            refused = end[0] in (1, "not started") and "panic" not in str(end[-1]) and end[-1].strip()
            if end != want and not refused:
                crashed.append((trial, at, end[0], end[-1][:80]))
        program.unlink()
    assert crashed == []


def test_windows_programs_are_sealed_too(dist, bundle):
    for arch in ("amd64", "arm64"):
        program = (dist / f"minitron-chat-windows-{arch}.exe").read_bytes()
        at = program.index(seal.NAME) + len(seal.NAME)
        size, *numbers = struct.unpack_from("<9Q", program, at)
        holes = list(zip(numbers[::2], numbers[1::2], strict=True))
        assert size == len(program)
        assert sorted(length for _, length in holes) == [4, 4, 8, (bundle / "weights.bin").stat().st_size]
        assert struct.unpack_from("<I", program, at + 72)[0] == seal.checksum(program, holes)


# -- the folder --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "want"),
    [
        ("Demo", "Demo"),
        ("Мой друг", "Мой-друг"),
        ("Йод", "Йод"),  # one letter, however it was typed
        ("CON", "CON-chat"),
        ("lpt1", "lpt1-chat"),
        ("con.x", "con-x"),
        ("..", "minitron-chat"),
        ("../../etc/passwd", "etc-passwd"),
        ('a<b>:"c|d?*', "a-b-c-d"),
        ("😀", "minitron-chat"),
        ("trailing. ", "trailing"),
        ("x" * 200, "x" * 60),
        ("❤️", "minitron-chat"),
        ("Мой бот ❤️", "Мой-бот"),
        ("\u0301e\u0301", "é"),
        ("𝓗" * 60, "𝓗" * 37),
    ],
)
def test_titles_become_names_for_every_system(title, want):
    assert friends.safe_name(title) == want


def test_versions_keep_their_dots():
    assert friends.folder_name("Demo", "1.0") == "Demo-1.0"
    assert friends.folder_name("Demo", "../2.1 β/") == "Demo-2.1"
    assert friends.file_name("Demo", "", "darwin/universal") == "Demo-1.0-macos-universal"


def test_the_folder_holds_what_one_sends(dist):
    stem = friends.folder_name(TITLE, "2.10-rc3")
    folder = dist / stem
    assert len(stem.encode()) < 200
    made = sorted(path.name.removeprefix(stem + "-") for path in folder.iterdir())
    assert made == sorted(
        [
            "HOW-TO-OPEN.txt",
            "LICENSES.txt",
            "SHA256SUMS",
            "linux-amd64",
            "linux-amd64.zip",
            "linux-arm64",
            "linux-arm64.zip",
            "macos-universal",
            "macos.zip",
            "windows-amd64.exe",
            "windows-arm64.exe",
        ]
    )
    assert not [path for path in dist.iterdir() if path.name.startswith(".")]
    licences = (folder / "LICENSES.txt").read_text()
    assert "Permission is hereby granted" in licences  # minitron's
    assert "Redistribution and use" in licences  # Go's
    for place, count in ((folder, 10), (dist, 7)):
        done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=place, capture_output=True, text=True)
        assert (done.returncode, done.stdout.count(": OK")) == (0, count), done.stderr
    assert os.path.samefile(folder / f"{stem}-linux-amd64", dist / "minitron-chat-linux-amd64")


@pytest.mark.parametrize("system", ["macos", "linux-amd64"])
def test_a_zip_keeps_the_right_to_be_run(dist, system, tmp_path):
    stem = friends.folder_name(TITLE, "2.10-rc3")
    with zipfile.ZipFile(dist / stem / f"{stem}-{system}.zip") as file:
        assert file.testzip() is None
        program, page, licences = file.infolist()
        assert licences.filename == f"{stem}/LICENSES.txt"
        assert program.filename == f"{stem}/{friends.safe_name(TITLE)}"
        assert [stat.S_IMODE(info.external_attr >> 16) for info in (program, page)] == [0o755, 0o644]
        original = {"macos": "macos-universal", "linux-amd64": "linux-amd64"}[system]
        assert file.read(program) == (dist / stem / f"{stem}-{original}").read_bytes()


def test_a_new_version_takes_the_place_of_the_old_one_whole(tmp_path):
    made = {}
    for target in friends.SENT:
        made[target] = tmp_path / go.program_name(target)
        made[target].write_bytes(target.encode())
    again = {"how_to_open": b"page", "licences": b"MIT", "date": "2026-11-20T15:00:00Z"}
    folder = friends.make_folder(made, tmp_path, "Demo", "1.0", **again)
    first = (folder / "SHA256SUMS").read_text()
    (folder / "stray").write_text("of before")
    assert friends.make_folder(made, tmp_path, "Demo", "1.0", **again) == folder
    assert not (folder / "stray").exists()
    assert (folder / "SHA256SUMS").read_text() == first  # zips are the same bytes too
    made["linux/arm64"] = tmp_path / "missing"
    with pytest.raises(MinitronError):
        friends.make_folder(made, tmp_path, "Demo", "1.0", **again)
    assert (folder / "SHA256SUMS").read_text() == first
    assert not list(tmp_path.glob(".*"))


def test_how_to_open_is_a_page_for_notepad():
    page = howto.text("Мой\nдруг {x}", "1.0", "CC0", name="Мой-друг")
    assert page.startswith(b"\xef\xbb\xbf")
    text = page.decode("utf-8-sig")
    assert text.count("\n") == text.count("\r\n") > 80
    assert text.startswith("Мой друг {x} 1.0: КАК ОТКРЫТЬ\r\n")
    assert text.index("КАК ОТКРЫТЬ") < text.index("HOW TO OPEN")
    for part in (
        "Выполнить",
        "Run anyway",
        "Smart App Control",
        "Open Anyway",
        "xattr -d com.apple.quarantine Мой-друг",
    ):
        assert part in text
    assert text.endswith("LICENCE\r\nCC0\r\n")
    assert max(map(len, text.splitlines())) < 130
    assert "LICENCE" not in howto.text("x", "1", "", name="x").decode()


@pytest.mark.slow  # builds the program twice
def test_a_build_whatever_the_folder_and_the_environment(tmp_path, monkeypatch):
    """From behind a link, with settings of old Go profiles, without a home, and beside a folder whose name begins as the programs' do."""
    model = copied(TINY, tmp_path / "pip", name="🤖")
    (tmp_path / "link").symlink_to(go.SOURCES)
    for name, value in {
        "PWD": str(tmp_path / "link"),
        "GO111MODULE": "off",
        "GOOS": "windows",
        "GOARCH": "386",
    }.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "out"
    (out / "minitron-chat-1.0").mkdir(parents=True)
    for home in (True, False):
        if not home:
            monkeypatch.delenv("HOME")
        done = minitron("binary", "--bundle", str(model), "--out", str(out), folder=tmp_path / "link")
        assert done.returncode == 0, done.stderr
        assert subprocess.run([out / go.program_name(None), "info"], capture_output=True).returncode == 0
    assert len((out / "SHA256SUMS").read_text().splitlines()) == 1
