"""One HTML file with a page, the engine in WebAssembly and the model. Run: minitron html.

It opens from disk in a browser, for friends who cannot run programs. The page is the one that `minitron-chat web` serves
(go_serve/internal/page) with its scripts and styles inline; the engine is go_serve/cmd/wasm, which runs in a worker. The
content security policy at the head of the file forbids the browser to fetch anything. Knows nothing about training.
"""

import base64
import gzip
import hashlib
import html
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.core.text import mended
from minitron.program import friends, go
from minitron.program.bundle import read_about

PAGE = go.SOURCES / "internal" / "page" / "assets"
ENGINE = go.SOURCES / "cmd" / "wasm"
# these replace the page's own scripts of those names
OURS = {"http-engine.js": ENGINE / "worker-engine.js", "main.js": ENGINE / "main.js"}
PART = 3 << 18  # bytes (1 MiB of base64) that the page hands to its worker at once
POLICY = (
    "default-src 'none'; script-src 'wasm-unsafe-eval' {scripts}; style-src {styles}; img-src data:; worker-src blob:; "
    "connect-src 'none'; base-uri 'none'; form-action 'none'"
)


def write(bundle: Path, out: Path | None = None, *, page: Path = PAGE) -> Path:
    """Writes the file (default: dist/<recipe>/<title>-<version>.html) for the q8 or q4 bundle in the folder `bundle`; returns its path.
    Raises MinitronError."""
    about = describe(bundle)
    name = friends.folder_name(about["name"], about["about"]["version"])
    out = out or Path("dist") / read_about(bundle).recipe / f"{name}.html"
    atomic_write(out, whole(bundle, about, folders=[page]))
    say(f"html: {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return out


def describe(bundle: Path) -> dict[str, Any]:
    """What the page knows about a bundle before the engine runs. Raises MinitronError if it is damaged, or neither q8 nor q4."""
    about = go.describe(bundle) | {"verified": False, "kernel": "wasm", "platform": "js/wasm"}
    if about["dtype"] not in ("q8", "q4"):
        raise MinitronError(
            f"the bundle in {bundle} is {about['dtype']}, too large and slow for a browser",
            hint="export it in fewer bits: minitron export RECIPE --dtype q8 (or q4)",
        )
    return about


def whole(
    bundle: Path,
    about: Mapping[str, Any],
    *,
    folders: Sequence[Path],
    title: str = "",
    told: Mapping[str, Any] | None = None,
    packed: Mapping[str, bytes] | None = None,
) -> str:
    """The first folder's index.html with everything inline: its scripts and styles, each from the first folder that has it; the
    engine; the bundle; and `about`, which is what `describe` says about it. `told` and `packed` are further data for the scripts,
    by the id of their element: values, written as JSON, and gzip'd bytes, written as base64. No value can end its element."""
    # The page is given `about` beforehand, so that the greeting need not wait for the engine.
    page = _head(folders, title=title or about["name"], icon=about["about"]["icon"])
    nodes = [
        f'<script type="application/json" id="{name}">{_json(value)}</script>\n'
        for name, value in {"minitron-about": about, **(told or {})}.items()
    ]
    nodes += [
        f'<script type="application/octet-stream;base64" id="{name}">{base64.b64encode(data).decode()}</script>\n'
        for name, data in (packed or {}).items()
    ]
    licence = (ENGINE / "GO-LICENSE.txt").read_text("utf-8")
    body = f"<!-- The engine holds Go's runtime, the worker its glue.\n\n{licence}-->\n" + "".join(
        f'<script type="application/octet-stream;base64" data-file="{name}"{" data-last" * last}>{text}</script>\n'
        for name, text, last in _parts(bundle, go.build_wasm())
    )
    # data that the scripts read stands before them; what is handed over later stands behind them, where it delays nothing
    first, end = page.index("<script>"), page.rindex("</body>")
    return page[:first] + "".join(nodes) + page[first:end] + body + page[end:]


def _json(value: Any) -> str:
    """A value as JSON that is safe inside an element; a lone surrogate, which UTF-8 cannot encode, becomes U+FFFD, and a number that
    is not finite, which JSON does not have, null."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return mended(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _parts(bundle: Path, engine: bytes) -> Iterator[tuple[str, str, bool]]:
    """(file, base64, whether it is the file's last part), in the order in which the page needs them. All but the weights
    are gzip'd, which also gives them a checksum; weights of 8 or 4 bits would hardly shrink, and have a checksum already."""
    small = {"worker.js": _worker(), "engine.wasm": engine}
    small |= {name: (bundle / name).read_bytes() for name in ("config.json", "vocab.json")}
    files = {name: gzip.compress(data, 9, mtime=0) for name, data in small.items()}
    for name, data in (files | {"weights.bin": (bundle / "weights.bin").read_bytes()}).items():
        for at in range(0, len(data), PART):
            yield name, base64.b64encode(data[at : at + PART]).decode(), at + PART >= len(data)


def _head(folders: Sequence[Path], *, title: str, icon: str) -> str:
    """index.html with its title, icon, styles and scripts."""
    page = (folders[0] / "index.html").read_text("utf-8")
    page = re.sub(r"<title>.*?</title>", lambda _: f"<title>{html.escape(title)}</title>", page, count=1)
    if icon:
        page = page.replace('href="data:,"', f'href="data:image/png;base64,{html.escape(icon)}"', 1)
    return _put_inline(folders, page)


def _put_inline(folders: Sequence[Path], page: str) -> str:
    """The page with its styles and scripts inline, and the content security policy that allows these and no others."""
    digests = {"script": [], "style": []}

    def element(kind: str, text: str) -> str:
        # nothing in the text can end its element
        text = "\n" + re.sub(r"<(?=/script|!--)", r"\\x3c", text, flags=re.IGNORECASE)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        digests[kind].append(f"'sha256-{digest}'")
        return f"<{kind}>{text}</{kind}>"

    def text_of(name: str) -> str:
        found = OURS.get(name) or next((f for folder in folders if (f := folder / name).is_file()), folders[0] / name)
        return found.read_text("utf-8")

    def style(found: re.Match) -> str:
        return element("style", text_of(found[1]))

    def script(found: re.Match) -> str:
        return element("script", text_of(found[1]))

    page = re.sub(r'<link rel="stylesheet" href="([\w.-]+)">', style, page)
    page = re.sub(r'<script src="([\w.-]+)"></script>', script, page)
    policy = POLICY.format(scripts=" ".join(digests["script"]), styles=" ".join(digests["style"]) or "'none'")
    head = '<meta charset="utf-8">\n'
    if not digests["script"] or head not in page:
        raise MinitronError(f"the page in {folders[0]} is not as expected", hint="use a whole clone of minitron")
    return page.replace(head, f'{head}<meta http-equiv="Content-Security-Policy" content="{policy}">\n', 1)


def _worker() -> bytes:
    """The worker's script: Go's own glue code (wasm_exec.js), then ours."""
    glue = go.go_root() / "lib" / "wasm" / "wasm_exec.js"
    return glue.read_bytes() + b"\n" + (ENGINE / "worker.js").read_bytes()
