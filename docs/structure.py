"""Draws docs/structure.svg: the packages of minitron on their floors. Run: .venv/bin/python docs/structure.py

A package imports only from packages before it in FLOORS (tests/test_house.py checks this). It is drawn one floor above the highest
package that it imports from; an arrow is left out where a chain of other arrows leads to the same package. Knows nothing about what
the code does.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From the ground up. The last one is a module.
FLOORS = ["core", "recipe", "tokenizer", "model", "quant", "data", "sample", "train", "evaluate", "align", "synth"] + [
    "program",
    "interop",
    "plan",
    "chat",
    "curate",
    "stages",
    "lab",
    "cli",
    "__main__",
]
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 210, 76, 16, 46, 16
STYLE = """
svg { font: 12px system-ui, sans-serif; background: #fff; color: #222 }
rect { fill: #f3f5f9; stroke: #7a869c } .name { font-weight: 600; font-size: 14px }
text { fill: currentColor } path { fill: none; stroke: #7a869c; opacity: .7 }
@media (prefers-color-scheme: dark) { svg { background: #16181d; color: #dde } rect { fill: #23262e } }
"""


def imported(path: Path) -> set[str]:
    """Packages of minitron that a file imports from, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "minitron":
            found |= {alias.name for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minitron."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("minitron.")}
    return found


def files(package: str) -> list[Path]:
    folder = ROOT / "minitron" / package
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def arrows() -> dict[str, set[str]]:
    """Each package and what it imports from."""
    return {name: set().union(*map(imported, files(name))) - {name} for name in FLOORS}


def sentence(package: str) -> str:
    """What the package is: the first sentence of its docstring, up to a colon."""
    path = ROOT / "minitron" / package
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split(".")[0].split(":")[0]


def svg() -> str:
    """The picture, as SVG text."""
    uses, level = arrows(), {}
    for name in FLOORS:
        level[name] = 1 + max((level[other] for other in uses[name]), default=-1)
    reach: dict[str, set[str]] = {}
    for name in FLOORS:
        reach[name] = set().union(*(reach[o] | {o} for o in uses[name])) if uses[name] else set()
    direct = {n: {o for o in uses[n] if not any(o in reach[p] for p in uses[n])} for n in FLOORS}
    rows = [[n for n in FLOORS if level[n] == k] for k in range(max(level.values()) + 1)]
    width = 2 * MARGIN + max(len(row) for row in rows) * (BOX_WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + len(rows) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    place = {}
    for k, row in enumerate(rows):
        left = (width - len(row) * (BOX_WIDTH + GAP_X) + GAP_X) / 2
        for i, name in enumerate(row):
            place[name] = (left + i * (BOX_WIDTH + GAP_X), height - MARGIN - BOX_HEIGHT - k * (BOX_HEIGHT + GAP_Y))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">']
    out += ["<title>The packages of minitron, from the ground up</title>", f"<style>{STYLE}</style>"]
    for name, others in direct.items():
        for other in sorted(others):
            (x, y), (u, v) = place[name], place[other]
            x, y, u = x + BOX_WIDTH / 2, y + BOX_HEIGHT, u + BOX_WIDTH / 2
            middle = (y + v) / 2
            out.append(f'<path d="M{x:g} {y:g}C{x:g} {middle:g} {u:g} {middle:g} {u:g} {v:g}"/>')
    for name, (x, y) in place.items():
        lines = [""]
        for word in sentence(name).split():
            lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1] + word) < 30 else [*lines, word]
        told = lines if len(lines) < 4 else [*lines[:2], lines[2] + " …"]
        out.append(f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>')
        out.append(f'<text class="name" x="{x + 9:g}" y="{y + 19:g}">{name}</text>')
        out += [f'<text x="{x + 9:g}" y="{y + 36 + 15 * i:g}">{line}</text>' for i, line in enumerate(told)]
    return "\n".join([*out, "</svg>"]) + "\n"


if __name__ == "__main__":
    (ROOT / "docs/structure.svg").write_text(svg(), encoding="utf-8")
