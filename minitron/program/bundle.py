"""A bundle, as `minitron export` writes it (docs/formats.md), before a program or a page is made of it: found, checked, and what it says
about its model.

    bundle = whole(None)                  # the one that was exported last
    read_about(bundle).title

Knows nothing about programs.
"""

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import read_object, sha256_file
from minitron.program import icon

BUNDLE_FILES = ("config.json", "vocab.json", "weights.bin")
EXPORT = "run: minitron export RECIPE"


def last_bundle() -> Path:
    """The bundle in export/ that was written last. Raises MinitronError if there is none."""
    bundles = sorted(Path("export").glob("*/config.json"), key=lambda config: config.stat().st_mtime_ns)
    if not bundles:
        raise MinitronError("there is no bundle in export/", hint=EXPORT)
    bundle = bundles[-1].parent
    say(f"the bundle that was exported last is {bundle}: {read_about(bundle).title}")
    return bundle


def whole(bundle: Path | None) -> Path:
    """The given bundle, or the one that was exported last. Raises MinitronError if one of its files is missing or damaged."""
    bundle = bundle or last_bundle()
    for name in BUNDLE_FILES:
        if not (bundle / name).exists():
            raise MinitronError(f"there is no {bundle / name}", hint=EXPORT)
    check_digests(bundle)
    return bundle


def check_digests(bundle: Path) -> None:
    """Raises MinitronError if a file of a bundle is not what config.json says, which has a checksum of itself at its end."""
    data, config = (bundle / "config.json").read_bytes(), read_object(bundle / "config.json")
    before = data[: data.rfind(b'"crc32"')]
    if "crc32" in config and config["crc32"] != f"{zlib.crc32(before):08x}":
        hint = f'{EXPORT}; if you changed it on purpose, leave out its last field, "crc32"'
        raise MinitronError(f"{bundle / 'config.json'} is damaged", hint=hint)
    for name, file in (("weights", bundle / "weights.bin"), ("vocab", bundle / "vocab.json")):
        said = config.get(name)
        if not isinstance(said, dict):
            raise MinitronError(f"{bundle / 'config.json'} is no bundle's", hint=EXPORT)
        if (said.get("bytes"), said.get("sha256")) != (file.stat().st_size, sha256_file(file)):
            raise MinitronError(f"{file} is damaged: it is not what config.json says", hint=EXPORT)


@dataclass
class About:
    """What a bundle says about its model to the files for friends."""

    title: str
    version: str
    licence: str
    icon: bytes
    date: str
    recipe: str


def read_about(bundle: Path) -> About:
    """Reads config.json. Raises MinitronError if it is no bundle's."""
    try:
        config = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
        about = config.get("about", {})
        made = config.get("made", {})
        title, date, recipe = config["name"], made.get("date", ""), made.get("recipe", "")
        if recipe in ("", "..") or recipe != Path(recipe).name:  # a path would lead out of dist/
            recipe = bundle.resolve().name
        picture = base64.b64decode(about.get("icon", ""), validate=True) or icon.png("", title=title)
        return About(title, about.get("version") or "1.0", about.get("licence", ""), picture, date, recipe)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MinitronError(f"{bundle / 'config.json'} is no bundle's", hint=EXPORT) from error
