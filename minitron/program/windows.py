"""Icon, version information and manifest for a Windows program, put into the finished .exe without Windows' tools.

    add_resources("chat.exe", picture=png, title="Demo", version="1.0", licence="…", comment="…", file_name="chat.exe")

Go can link a COFF object (.syso), but only one that lies in the source tree: -overlay does not reach it (cmd/go's
`packInternal` opens the real path). So the section is added to the linked .exe, as resource editors do. Formats: "PE Format" in
Microsoft's documentation (section table, .rsrc), RESOURCEHEADER, GRPICONDIR and VS_VERSIONINFO in its Win32 reference.
Knows nothing about models.
"""

import io
import re
import struct
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from minitron.program import icon

ICON, GROUP_ICON, VERSION, MANIFEST = 3, 14, 16, 24  # resource types
ENGLISH, UNICODE = 0x0409, 1200  # language and code page of the strings
SIZES = (16, 20, 24, 32, 40, 48, 64, 256)  # pixels; the sizes that Explorer asks for at a scale of 100% to 200%
MAX_TEXT = 200  # UTF-16 units of a version string

MANIFEST_XML = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
  <trustInfo xmlns="urn:schemas-microsoft-com:asm.v3">
    <security><requestedPrivileges><requestedExecutionLevel level="asInvoker" uiAccess="false"/></requestedPrivileges></security>
  </trustInfo>
  <compatibility xmlns="urn:schemas-microsoft-com:compatibility.v1">
    <application>
      <supportedOS Id="{35138b9a-5d96-4fbd-8e2d-a2440225f93a}"/>
      <supportedOS Id="{4a2f28e3-53b9-4441-ba9c-d69d4a4a6e38}"/>
      <supportedOS Id="{1f676c76-80e1-4239-95bb-83d0f6d0da78}"/>
      <supportedOS Id="{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}"/>
    </application>
  </compatibility>
  <application xmlns="urn:schemas-microsoft-com:asm.v3">
    <windowsSettings>
      <activeCodePage xmlns="http://schemas.microsoft.com/SMI/2019/WindowsSettings">UTF-8</activeCodePage>
      <longPathAware xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">true</longPathAware>
      <dpiAware xmlns="http://schemas.microsoft.com/SMI/2005/WindowsSettings">true/pm</dpiAware>
      <dpiAwareness xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">PerMonitorV2, PerMonitor</dpiAwareness>
    </windowsSettings>
  </application>
</assembly>
"""


def add_resources(
    path: Path, *, picture: bytes, title: str, version: str, licence: str, comment: str, file_name: str
) -> None:
    """Adds an .rsrc section to the .exe at `path`. `picture`: a square PNG."""
    images = icon_images(picture)
    strings = {
        "FileDescription": title,
        "ProductName": title,
        "FileVersion": version,
        "ProductVersion": version,
        "LegalCopyright": licence,
        "Comments": comment,
        "InternalName": Path(file_name).stem,
        "OriginalFilename": file_name,
    }
    tree = {
        ICON: {number: data for number, (_, data) in enumerate(images, 1)},
        GROUP_ICON: {1: icon_group(images)},
        VERSION: {1: version_info(strings, numbers=version_numbers(version))},
        MANIFEST: {1: MANIFEST_XML.replace("\n", "\r\n").encode()},
    }
    path.write_bytes(with_section(path.read_bytes(), tree))


def icon_images(picture: bytes) -> list[tuple[int, bytes]]:
    """(size in pixels, image) for each of SIZES: bitmaps, which old parts of Windows expect; only the largest is a PNG."""
    with Image.open(io.BytesIO(picture)) as opened:
        full = opened.convert("RGBA")
    images = []
    for size in SIZES:
        small = full.resize((size, size), Image.Resampling.LANCZOS)
        if size == 256:
            images.append((size, picture if full.size == (256, 256) else icon.encode(small)))
            continue
        # BITMAPINFOHEADER with twice the height: colours bottom up, then a mask of 1 bit per pixel, left empty since alpha replaces it
        header = struct.pack("<IiiHHIIiiII", 40, size, 2 * size, 1, 32, 0, 0, 0, 0, 0, 0)
        mask = bytes(-(-size // 32) * 4 * size)
        images.append((size, header + small.tobytes("raw", "BGRA", 0, -1) + mask))
    return images


def icon_group(images: list[tuple[int, bytes]]) -> bytes:
    """GRPICONDIR: the size of each icon resource; 256 is written as 0."""
    entries = [
        struct.pack("<BBBBHHIH", size % 256, size % 256, 0, 0, 1, 32, len(data), number)
        for number, (size, data) in enumerate(images, 1)
    ]
    return struct.pack("<HHH", 0, 1, len(entries)) + b"".join(entries)


def version_numbers(version: str) -> tuple[int, int, int, int]:
    """The first four numbers in a version, as Windows requires: "1.2-beta3" is 1.2.3.0."""
    found = [min(int(n[:6]), 0xFFFF) for n in re.findall(r"[0-9]+", version)[:4]]
    return tuple(found + [0] * (4 - len(found)))


def safe_text(text: str) -> str:
    """One line without control characters, of at most MAX_TEXT UTF-16 units; no surrogate pair is cut in two."""
    line = " ".join("".join(c if c.isprintable() or c.isspace() else "" for c in text).split())
    units = line.encode("utf-16-le", errors="replace")[: 2 * MAX_TEXT]
    return units.decode("utf-16-le", errors="ignore")


def version_info(strings: dict[str, str], *, numbers: tuple[int, int, int, int]) -> bytes:
    """VS_VERSIONINFO: the fixed numbers, a table of strings, and the language and code page of that table."""
    a, b, c, d = numbers
    packed = (a << 16 | b, c << 16 | d)
    # signature, structure version, file and product version, no flags, Windows NT, a program
    fixed = struct.pack("<13I", 0xFEEF04BD, 0x10000, *packed, *packed, 0x3F, 0, 0x40004, 1, 0, 0, 0)
    lines = [
        block(name, (safe_text(text) + "\0").encode("utf-16-le"), text=True) for name, text in strings.items() if text
    ]
    table = block(f"{ENGLISH:04x}{UNICODE:04x}", b"", children=lines, text=True)
    translation = block("Translation", struct.pack("<HH", ENGLISH, UNICODE))
    return block(
        "VS_VERSION_INFO",
        fixed,
        children=[
            block("StringFileInfo", b"", children=[table], text=True),
            block("VarFileInfo", b"", children=[translation], text=True),
        ],
    )


def block(key: str, value: bytes, *, children: Sequence[bytes] = (), text: bool = False) -> bytes:
    """One block of VS_VERSIONINFO: its length, the value's length (in UTF-16 units if it is text), type, key, value, children. Value
    and children begin at multiples of 4 bytes."""
    head = aligned((key + "\0").encode("utf-16-le"), offset=6) + value
    for child in children:
        head = aligned(head, offset=6) + child
    return struct.pack("<HHH", 6 + len(head), len(value) // 2 if text else len(value), text) + head


def aligned(data: bytes, *, offset: int = 0, to: int = 4) -> bytes:
    return data + bytes(-(offset + len(data)) % to)


def section(tree: dict[int, dict[int, bytes]], *, address: int) -> bytes:
    """The .rsrc section: directories of types, of numbers and of languages; then the place of each resource; then the resources.

    `address` is where the section begins in memory: resources are found by address, all else by its offset in the section.
    """
    directory, entry, leaf = 16, 8, 16  # bytes
    count = sum(len(kinds) for kinds in tree.values())
    second = directory + entry * len(tree)
    third = second + sum(directory + entry * len(kinds) for kinds in tree.values())
    leaves = third + count * (directory + entry)
    blobs = leaves + count * leaf

    def table(rows: list[tuple[int, int]]) -> bytes:
        head = struct.pack("<IIHHHH", 0, 0, 0, 0, 0, len(rows))
        return head + b"".join(struct.pack("<II", *row) for row in rows)

    below = 1 << 31  # the entry leads to a directory
    tops, middles, bottoms, places, data = [], b"", b"", b"", b""
    for kind, resources in sorted(tree.items()):
        tops.append((kind, below | second + len(middles)))
        rows = []
        for number, content in sorted(resources.items()):
            rows.append((number, below | third + len(bottoms)))
            bottoms += table([(ENGLISH, leaves + len(places))])
            places += struct.pack("<IIII", address + blobs + len(data), len(content), 0, 0)
            data = aligned(data + content, to=8)
        middles += table(rows)
    return table(tops) + middles + bottoms + places + data


def with_section(exe: bytes, tree: dict[int, dict[int, bytes]]) -> bytes:
    """The program with one more section at its end, which its header names as the resources. Raises ValueError if there is no room
    for the section's header."""
    pe = struct.unpack_from("<I", exe, 0x3C)[0]
    sections, optional_bytes = struct.unpack_from("<H", exe, pe + 6)[0], struct.unpack_from("<H", exe, pe + 20)[0]
    optional = pe + 24
    section_align, file_align = struct.unpack_from("<II", exe, optional + 32)
    headers_end = struct.unpack_from("<I", exe, optional + 60)[0]
    table = optional + optional_bytes
    new = table + 40 * sections
    if exe[pe : pe + 4] != b"PE\0\0" or new + 40 > headers_end or any(exe[new : new + 40]):
        raise ValueError("not a program of Go's linker: there is no room for one more section")
    size, at = struct.unpack_from("<II", exe, new - 40 + 8)  # of the last section, in memory
    address = -(-(at + size) // section_align) * section_align
    content = section(tree, address=address)
    out = bytearray(aligned(exe, to=file_align))
    readable = 0x40000040  # initialised data
    stored = aligned(content, to=file_align)
    struct.pack_into(
        "<8sIIIIIIHHI", out, new, b".rsrc", len(content), address, len(stored), len(out), 0, 0, 0, 0, readable
    )
    struct.pack_into("<H", out, pe + 6, sections + 1)
    initialised = struct.unpack_from("<I", out, optional + 8)[0]
    struct.pack_into("<I", out, optional + 8, initialised + len(stored))
    struct.pack_into("<I", out, optional + 56, -(-(address + len(content)) // section_align) * section_align)
    struct.pack_into("<II", out, optional + 112 + 8 * 2, address, len(content))  # data directory 2: resources
    return bytes(out + stored)
