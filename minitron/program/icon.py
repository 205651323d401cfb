"""The program's picture: the recipe's own, or one drawn from the title. Makes PNG bytes and small pictures for Windows.

Pillow's built-in font has no Cyrillic. A Cyrillic letter that looks like a Latin one is drawn as the Latin one, the others
are drawn from the strokes below. Where neither is possible (an emoji, a Chinese title), the picture is a speech bubble,
never a replacement box.
"""

import colorsys
import io
import zlib
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from minitron.core.errors import MinitronError

SIZE = 256  # pixels, the largest that Windows knows
MAX_FILE_BYTES, MAX_SIDE = 32 << 20, 8192  # limits of a picture that is read: bytes, pixels per side
MAX_PNG_BYTES = 40_000  # small, since it is stored in config.json and sent with every page
DRAWN = 1024  # pixels; shrunk afterwards, which smooths edges

LIKE_LATIN = str.maketrans("АВЕІКМНОРСТХЅЈ", "ABEIKMHOPCTXSJ")
# Letters as lines from point to point, each point xy on a grid; y grows downwards.
STROKES = {
    "Б": "40 00 06 36 45 44 33 03",
    "Г": "40 00 06",
    "Д": "07 06 46 47|06 20 40 46",
    "Є": "41 30 10 01 05 16 36 45|03 33",
    "Ё": "42 02 07 47|04 44|10 10|30 30",
    "Ж": "20 26|00 23 40|06 23 46",
    "З": "01 10 30 41 42 33 13|33 44 45 36 16 05",
    "И": "00 06 40 46",
    "Й": "02 06 42 46|10 21 30",
    "Л": "06 20 40 46",
    "П": "06 00 40 46",
    "У": "00 23|40 23 16 06",
    "Ф": "20 26|11 31 42 43 34 14 03 02 11",
    "Ц": "00 06 46 47|30 36",
    "Ч": "00 02 13 43|40 46",
    "Ш": "00 06 46 40|20 26",
    "Щ": "00 06 56 57|20 26|40 46",
    "Ъ": "00 10 16 36 45 44 33 13",
    "Ы": "00 06 26 35 34 23 03|50 56",
    "Ь": "00 06 36 45 44 33 03",
    "Э": "01 10 30 41 45 36 16 05|13 43",
    "Ю": "00 06|03 23|30 40 51 55 46 36 25 21 30",
    "Я": "46 40 10 01 02 13 43|13 06",
}


def png(path: str, *, title: str) -> bytes:
    """A PNG of SIZE x SIZE pixels: the picture in the file `path`, or one drawn from the title if `path` is empty. Reduces
    its colours, down to 16, until it has fewer than MAX_PNG_BYTES. Raises MinitronError."""
    picture = read(path) if path else draw(title)
    best = b""
    for colours in (256, 64, 16):
        best = encode(picture.quantize(colours, method=Image.Quantize.FASTOCTREE))
        if len(best) < MAX_PNG_BYTES:
            break
    return best


def encode(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def read(path: str | Path) -> Image.Image:
    """The picture in a PNG or JPEG file, made square with a transparent border. Raises MinitronError."""
    hint = "set export.icon to a PNG or JPEG picture, or leave it empty"
    try:
        if (size := Path(path).stat().st_size) > MAX_FILE_BYTES:
            raise MinitronError(f"the icon {path} is too large ({size / 1e6:.0f} MB)", hint=hint)
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if max(picture.size) > MAX_SIDE:  # before anything is unpacked
                wide, high = picture.size
                raise MinitronError(f"the icon {path} is too large ({wide} x {high} pixels)", hint=hint)
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except FileNotFoundError:
        raise MinitronError(f"there is no icon {path}", hint=hint) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MinitronError(f"the icon {path} cannot be read as a picture", hint=hint) from error
    return ImageOps.pad(upright, (SIZE, SIZE), Image.Resampling.LANCZOS, color=(0, 0, 0, 0))


def draw(title: str) -> Image.Image:
    """A rounded square with the title's first letter, in a colour that depends on the title."""
    hue = zlib.crc32(title.encode(errors="replace")) / 2**32
    colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.62, 0.66))
    picture = Image.new("RGBA", (DRAWN, DRAWN), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle((0, 0, DRAWN - 1, DRAWN - 1), DRAWN // 5, fill=colour)
    letter = next((c for c in title if c.isalnum()), "").upper()[:1]
    if letter in STROKES:
        draw_strokes(pen, STROKES[letter])
    elif in_font(like := letter.translate(LIKE_LATIN)):
        middle = (DRAWN / 2, DRAWN * 0.745)
        pen.text(middle, like, fill="white", font=font(), anchor="ms", stroke_width=DRAWN // 50)
    else:
        draw_bubble(pen, colour)
    return picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def font() -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(DRAWN * 0.68)


def in_font(letter: str) -> bool:
    """Whether the font has the letter: a letter that it lacks is drawn like U+FFFF, which is no character."""
    missing, mask = font().getmask("\uffff"), font().getmask(letter)
    return bool(letter) and (mask.size, bytes(mask)) != (missing.size, bytes(missing))


def draw_strokes(pen: ImageDraw.ImageDraw, strokes: str) -> None:
    lines = [[(int(p[0]), int(p[1])) for p in line.split()] for line in strokes.split("|")]
    wide = max(x for line in lines for x, _ in line)
    step, top = DRAWN * 0.083, DRAWN * 0.25
    left, half = (DRAWN - wide * step) / 2, DRAWN * 0.045
    for line in lines:
        points = [(left + x * step, top + y * step) for x, y in line]
        pen.line(points, fill="white", width=round(2 * half))
        for x, y in points:
            pen.ellipse((x - half, y - half, x + half, y + half), fill="white")


def draw_bubble(pen: ImageDraw.ImageDraw, colour: tuple) -> None:
    unit = DRAWN / 16
    pen.rounded_rectangle((3 * unit, 4 * unit, 13 * unit, 10.5 * unit), 2 * unit, fill="white")
    pen.polygon([(5 * unit, 10 * unit), (5 * unit, 13 * unit), (8.5 * unit, 10 * unit)], fill="white")
    for x in (5.4, 8, 10.6):
        pen.ellipse(((x - 0.8) * unit, 6.4 * unit, (x + 0.8) * unit, 8 * unit), fill=colour)
