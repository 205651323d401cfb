"""Shows the results of inference.py as tables on the terminal, as Markdown between the markers of a page, and as a plot.

    show(results); write(results, docs="docs/performance.md", plot="benchmarks/inference.svg")

`results` is what benchmarks/inference.json holds. There is no table for a part that was not measured.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table as Rich

from minitron.core.console import fail, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write

PEER_TYPES = {"f16": "F16", "q8": "Q8_0", "q4": "Q4_0"}


@dataclass
class Table:
    name: str  # of the markers in the page that the table stands between
    title: str
    head: list[str]
    rows: list[list[str]]


def show(results: dict) -> None:
    """Prints every table to stdout."""
    show_all(made(results))


def show_all(found: list[Table]) -> None:
    out = Console(width=None if sys.stdout.isatty() else 150)
    for table in found:
        rich = Rich(*table.head, title=table.title, title_justify="left")
        for column in rich.columns[1:]:
            column.justify = "right"
        for row in table.rows:
            rich.add_row(*row)
        out.print(rich)


def write(results: dict, *, docs: Path, plot: Path) -> None:
    """Puts the tables between `<!-- NAME -->` and `<!-- end -->` of the page, and draws the plot."""
    put(made(results), docs)
    if results["parts"].get("speed"):
        atomic_write(plot, drawn(results))


def put(found: list[Table], docs: Path) -> None:
    """Puts each table between its markers in the page."""
    page = docs.read_text(encoding="utf-8")
    for table in found:
        page = filled(page, table)
    atomic_write(docs, page)


def filled(page: str, table: Table) -> str:
    """The text of the page with the table, in Markdown, between its markers."""
    lines = [table.head, ["---", *["---:"] * (len(table.head) - 1)], *table.rows]
    text = "\n".join("| " + " | ".join(row) + " |" for row in lines)
    slot = re.compile(rf"(<!-- {table.name} -->\n).*?(<!-- end -->)", re.DOTALL)
    return slot.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def made(results: dict) -> list[Table]:
    """The tables of the machine and of all parts that were measured."""
    found = [machine(results)]
    for name, maker in (
        ("speed", speed),
        ("agreement", agreement),
        ("tiers", tiers),
        ("scaling", scaling),
        ("kernels", kernels),
        ("start", start),
    ):
        if results["parts"].get(name):
            found += maker(results["parts"][name])
    return found


def machine(results: dict) -> Table:
    about = results["machine"] | {k: v for k, v in results.get("versions", {}).items() if v}
    others = [row["others"] for rows in results["parts"].values() for row in rows.values() if "others" in row]
    if others:
        about["cores kept busy by other programs meanwhile, at most"] = max(others)
    return Table("machine", "machine", ["what", "which"], [[name, str(value)] for name, value in about.items()])


def speed(rows: dict) -> list[Table]:
    """One table per measure, with a line per shape and dtype and columns for each number of threads."""
    keys = [key.split(" ", 3) for key in rows]  # shape, dtype, threads, measure
    all_threads = sorted({int(key[2]) for key in keys})
    tables = []
    for measure in dict.fromkeys(key[3] for key in keys):
        head = ["tokens per second"]
        for threads in all_threads:
            head += [f"minitron, {threads}T", f"llama.cpp, {threads}T", f"ratio, {threads}T"]
        lines = []
        for shape, dtype in dict.fromkeys((key[0], key[1]) for key in keys):
            line = [f"{shape}, {dtype} / {PEER_TYPES[dtype]}"]
            for threads in all_threads:
                line += pair(rows.get(f"{shape} {dtype} {threads} {measure}"))
            lines.append(line)
        tables.append(Table(measure.replace(" ", "-"), measure, head, lines))
    return tables


def tiers(rows: dict) -> list[Table]:
    """Every measure of a kernel in one table, like those of `speed`."""
    found = []
    for kernel in dict.fromkeys(key.split(" ")[0] for key in rows):
        lines = []
        for table in speed({key: row for key, row in rows.items() if key.startswith(f"{kernel} ")}):
            lines += [[line[0].replace(kernel, table.title, 1), *line[1:]] for line in table.rows]
            head = table.head
        found.append(Table(f"tier-{kernel}", f"the kernel {kernel}", head, lines))
    return found


def pair(row: dict | None) -> list[str]:
    """Ours, theirs and the ratio, as three cells."""
    if not row:
        return ["", "", ""]
    if "ratio" not in row:
        return [f"{row['ours']['median']:,.0f}", "", ""]
    ratio = row["ratio"]
    spread = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
    return [f"{row['ours']['median']:,.0f}", f"{row['llama.cpp']['median']:,.0f}", spread]


def scaling(rows: dict) -> list[Table]:
    """The table of decode by size, dtype and depth of context."""
    keys = [key.split(" ") for key in rows]  # model, dtype, depth
    depths = sorted({int(key[2]) for key in keys})
    head = ["parameters, dtype, threads", "weights, MB"]
    for depth in depths:
        head += [f"at {depth:,}", "ratio"]
    head.append(f"share of reading speed, at {depths[0]:,}")
    lines = []
    for size, dtype in dict.fromkeys((key[0], key[1]) for key in keys):
        found = {depth: rows.get(f"{size} {dtype} {depth}") for depth in depths}
        first = next(row for row in found.values() if row)
        line = [f"{first['params'] / 1e6:.1f}M, {dtype}, {first['threads']}T", f"{first['weights_mb']:,.0f}"]
        for row in found.values():
            line += (
                [f"{row['ours']['median']:,.0f}", f"{row['ratio']['median']:.2f}" if "ratio" in row else ""]
                if row
                else ["", ""]
            )
        lines.append([*line, f"{first['bandwidth_share']:.0%} of {first['read_gbps']:.0f} GB/s"])
    return [Table("scaling", "decode by size and depth of context, tokens per second", head, lines)]


def kernels(rows: dict) -> list[Table]:
    keys = [key.split(" ") for key in rows]  # kernel, dtype
    dtypes = list(dict.fromkeys(dtype for _, dtype in keys))
    lines = []
    for kernel in dict.fromkeys(kernel for kernel, _ in keys):
        cells = [rows.get(f"{kernel} {dtype}") for dtype in dtypes]
        lines.append([kernel, *(f"{c['prefill_tps']:,.0f} / {c['decode_tps']:,.0f}" if c else "" for c in cells)])
    return [Table("kernels", "prefill / decode by kernel, 1 thread, tokens per second", ["kernel", *dtypes], lines)]


def start(rows: dict) -> list[Table]:
    wanted = {
        "executable, MB": lambda row: f"{row['program_mb']:.1f}",
        "from exec to the first prompt, ms": lambda row: f"{row['prompt_ms']['median']:.1f}",
        "memory at the first prompt, MB": lambda row: f"{row['rss_empty_mb']:.0f}",
        "memory with a full context, MB": lambda row: f"{row['rss_full_mb']:.0f}",
        "CPU at the prompt, idle": lambda row: f"{row['idle_cpu_percent']:.1f}%",
    }
    lines = [[name, *(cell(row) for row in rows.values())] for name, cell in wanted.items()]
    return [Table("start", "the program with the nanogpt shape in it", ["", *rows], lines)]


def agreement(rows: dict) -> list[Table]:
    lines = []
    for name, row in rows.items():
        theirs = f"{row['llama.cpp']:.4f}" if "llama.cpp" in row else ""
        lines.append([name.replace(" ", ", "), f"{row['ours']:.4f}", theirs, f"{row['spread']:.2f}"])
    head = ["largest difference from torch in fp32", "minitron", "llama.cpp", "spread of the logits"]
    return [Table("agreement", "logits", head, lines)]


# ---- the plot

STYLE = """text { font: 12px system-ui, sans-serif; fill: #1c2126 } .soft { fill: #59626b } .ours { fill: #1d5fbf }
.theirs { fill: #c9ced4 } @media (prefers-color-scheme: dark) { text { fill: #e6e9ec } .soft { fill: #a3adb6 }
.ours { fill: #7db3ff } .theirs { fill: #4a525a } }"""


def drawn(results: dict) -> str:
    """The plot as SVG: a panel per measure, a pair of bars per shape and dtype, for the largest number of threads measured."""
    rows = results["parts"]["speed"]
    threads = max(int(key.split(" ")[2]) for key in rows)
    keys = [key.split(" ", 3) for key in rows if int(key.split(" ")[2]) == threads]
    measures = list(dict.fromkeys(key[3] for key in keys))
    names = list(dict.fromkeys((key[0], key[1]) for key in keys))
    left, panel, bar = 110, 250, 13
    height = 62 + len(names) * (2 * bar + 10)
    shapes = []

    def say(text: str, x: float, y: float, kind: str = "", anchor: str = "start") -> None:
        shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>')

    def box(x: float, y: float, width: float, kind: str) -> None:
        shapes.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1, width):.1f}" height="{bar - 2}" class="{kind}"/>')

    box(left, 8, 11, "ours")
    say("minitron-chat", left + 16, 18)
    box(left + 110, 8, 11, "theirs")
    say("llama.cpp", left + 126, 18)
    say(f"tokens per second, {threads} threads; {results['machine']['cpu']}", left + 200, 18, "soft")
    for number, measure in enumerate(measures):
        x, y = left + number * panel, 44
        say(measure, x, y)
        cells = {name: rows.get(f"{name[0]} {name[1]} {threads} {measure}") for name in names}
        full = max(row[who]["median"] for row in cells.values() if row for who in ("ours", "llama.cpp") if who in row)
        for name, row in cells.items():
            y += 10
            if not number:
                say(f"{name[0]} {name[1]}", left - 8, y + bar + 3, "", "end")
            for who, kind in (("ours", "ours"), ("llama.cpp", "theirs")):
                if row and who in row:
                    width = (panel - 70) * row[who]["median"] / full
                    box(x, y, width, kind)
                    say(f"{row[who]['median']:,.0f}", x + width + 4, y + bar - 3, "soft")
                y += bar
    size = f'viewBox="0 0 {left + len(measures) * panel} {height}"'
    title = "<title>Prefill and decode of minitron-chat and llama.cpp; the figures are in docs/performance.md</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{title}{"".join(shapes)}</svg>\n'


def earlier(path: Path, fresh: dict, *, docs: bool) -> dict:
    """The results in a file if they are of the same machine as `fresh`; with `docs`, of any machine. Otherwise `fresh`."""
    if not path.exists():
        return fresh
    stored = json.loads(path.read_text(encoding="utf-8"))
    if docs or stored["machine"] == fresh["machine"]:
        return stored
    warn(f"{path.name} is of another machine and is begun anew")
    return fresh


def run(main: Callable[[], None]) -> None:
    """Runs a benchmark. A MinitronError is printed as the minitron command prints it, and exits with its code."""
    try:
        main()
    except MinitronError as error:
        fail(error)
        sys.exit(error.code)
