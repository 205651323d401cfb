"""The page of tokenizer_study.py: what each claim comes to, in words made of the figures, tables and plots.

    write(rows)      # docs/tokenizer-study.md, benchmarks/tokenizer_study.svg and benchmarks/tokenizer_study_sizes.svg

Every statement is about pairs of cells with the same seed (Student's t), and says so where they do not decide. Knows nothing about
training.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizer_study import BODIES, CHARACTERS, FOLD, OPERATIONS, TEXTS, WAVES, Cell

from minitron.core.files import atomic_write
from minitron.evaluate.markup import Html, el
from minitron.evaluate.plots import ticks
from minitron.lab.study import student

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "tokenizer-study.md"
LANGUAGES = ("English", "Russian")
YES, NO, OPEN = "confirmed", "not confirmed", "not decided"
Point = tuple[str, int]  # kind and size
EQUAL = {"text": "the same text", "flops": "the same operations"}


class Rows:
    """Finished cells, found by what they are."""

    def __init__(self, rows: list[dict]):
        self.rows = {Cell(**row["cell"]): row for row in rows}

    def seeds(self, text: str, point: Point, **where) -> dict[int, dict]:
        """A point's rows by seed."""
        like = {"text": text, "body": "1M", "equal": "text", "rules": "identity", "rate": 1.0} | where
        found = (c for c in self.rows if (c.kind, c.size) == point and all(getattr(c, k) == v for k, v in like.items()))
        return {cell.seed: self.rows[cell] for cell in sorted(found)}

    def points(self, text: str, **where) -> list[Point]:
        """The tokenizers that there are, the fewest bits per byte first."""
        wanted = [(kind, size) for kind, size in dict.fromkeys((c.kind, c.size) for c in self.rows)]
        there = [point for point in wanted if self.seeds(text, point, **where)]
        return sorted(there, key=lambda point: mean(self.seeds(text, point, **where), "bits_per_byte"))


@dataclass(frozen=True)
class Interval:
    """A mean over pairs of a seed, with its 95% confidence interval; with one pair that is everything."""

    mean: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        chance = f"{self.low:+.1%} to {self.high:+.1%}, {self.pairs} seeds" if self.pairs > 1 else "one seed"
        return f"{self.mean:+.1%} ({chance})"

    @property
    def above(self) -> bool:
        return self.low > 0

    @property
    def below(self) -> bool:
        return self.high < 0


def interval(values: list[float]) -> Interval | None:
    """Student's t; None of nothing."""
    if not values:
        return None
    middle, count = sum(values) / len(values), len(values)
    if count < 2:
        return Interval(middle, -math.inf, math.inf, count)
    deviation = math.sqrt(sum((v - middle) ** 2 for v in values) / (count - 1))
    half = student(count - 1) * deviation / math.sqrt(count)
    return Interval(middle, middle - half, middle + half, count)


def mean(rows: dict[int, dict], name: str) -> float:
    return sum(row[name] for row in rows.values()) / len(rows)


def bits(row: dict) -> float:
    return row["bits_per_byte"]


def change(first: dict[int, dict], second: dict[int, dict], of: Callable[[dict], float] = bits) -> Interval | None:
    """By how much of itself a figure is larger in `second`, over pairs of the same seed."""
    return interval([of(second[seed]) / of(first[seed]) - 1 for seed in sorted(first.keys() & second.keys())])


def label(point: Point) -> str:
    kind, size = point
    return f"{kind} {size:,}" if size else kind


def judged(found: list[Interval | None], holds: str) -> str:
    """Whether all texts say that a figure lies `above` or `below` 0, all say the contrary, or neither."""
    contrary = {"above": "below", "below": "above"}[holds]
    if found and all(one and getattr(one, holds) for one in found):
        return YES
    return NO if found and all(one and getattr(one, contrary) for one in found) else OPEN


# ---- the claims


def spaces(rows: Rows) -> Iterator[str]:
    """Is a space of its own a scaffold to learn on?"""
    prefix, explicit = ("bpe", 2048), ("bpe-spaces", 2048)
    pairs = {text: (rows.seeds(text, prefix), rows.seeds(text, explicit)) for text in LANGUAGES}
    last = {text: change(*pair) for text, pair in pairs.items()}
    first = {text: change(*pair, lambda row: row["curve"][0][1]) for text, pair in pairs.items()}
    yield f"**{judged(list(last.values()), 'below')}.** With 2,048 tokens and the same text a space of its own changes the bits per byte by"
    yield ", ".join(f"{one} in {text}" for text, one in last.items() if one) + "; after the first fifth of it by"
    yield ", ".join(f"{one} in {text}" for text, one in first.items() if one) + "."
    more = [
        f"{text}, {size:,} tokens, {body}, {EQUAL[equal]}: {one}"
        for body in BODIES
        for equal in EQUAL
        for text in LANGUAGES
        for size in sorted({c.size for c in rows.rows if c.kind == "bpe"})
        if (body, equal, size) != ("1M", "text", 2048)
        and (one := change(*(rows.seeds(text, (k, size), body=body, equal=equal) for k in ("bpe", "bpe-spaces"))))
    ]
    if more:
        yield "Elsewhere in the grid: " + "; ".join(more) + "."


def plunge(rows: Rows) -> Iterator[str]:
    """Does the loss plunge with spaces of their own?"""
    told, found = [], []
    for text in LANGUAGES:
        first, second = rows.seeds(text, ("bpe", 2048)), rows.seeds(text, ("bpe-spaces", 2048))
        if loss := change(first, second, lambda row: row["loss"]):
            tokens = mean(second, "bytes_per_token") / mean(first, "bytes_per_token") - 1
            found.append((loss, change(first, second)))
            told.append(
                f"in {text} the loss per token changes by {loss}; {tokens:+.1%} is what shorter tokens make of the same bits per byte"
            )
    holds = found and all(abs(bit.mean) < abs(loss.mean) / 4 and loss.mean < 0 for loss, bit in found)
    yield f"**{'An illusion' if holds else OPEN}.** {'; '.join(told)}." if told else f"**{OPEN}.** No pair is finished."


def starving(rows: Rows) -> Iterator[str]:
    """Do 32,000 tokens starve the little words?"""
    told, verdicts = [], []
    for text in LANGUAGES:
        small, large = rows.seeds(text, ("bpe", 2048)), rows.seeds(text, ("bpe", 32_000))
        shared = sorted(s for s in small.keys() & large.keys() if "words" in small[s] and "words" in large[s])
        claimed = TEXTS[text].words[:2]  # the articles'
        for word in TEXTS[text].words:
            pairs = [(small[s]["words"].get(word), large[s]["words"].get(word)) for s in shared]
            one = interval([math.log(b[0] / a[0]) for a, b in pairs if a and b])
            if one:
                before, after = (sum(p[n][0] for p in pairs) / len(pairs) for n in (0, 1))
                told.append(f"«{word}» {before:.2f} to {after:.2f} bits")
        if shared:
            ratios = {
                s: math.prod(large[s]["words"][w][0] / small[s]["words"][w][0] for w in claimed) ** (1 / len(claimed))
                for s in shared
            }
            dearer = interval([ratio - 1 for ratio in ratios.values()])
            beside = interval([ratio / (bits(large[s]) / bits(small[s])) - 1 for s, ratio in ratios.items()])
            verdicts.append((text, change(small, large), dearer, beside))
    yield f"**{judged([dearer for _, _, dearer, _ in verdicts], 'above')}.** From 2,048 tokens to 32,000, at the same text, a little word costs on"
    yield "average: " + ", ".join(told) + ". " if told else "(no pair is finished). "
    for text, whole, dearer, beside in verdicts:
        yield f"The two claimed words of the {text} text change by {dearer}, all of it by {whole}: beside the rest they change by {beside}."


def characters(rows: Rows) -> Iterator[str]:
    """Are characters another animal?"""
    told, found, smallest = [], [], []
    for text in LANGUAGES:
        for equal in EQUAL:
            first, second = (rows.seeds(text, point, equal=equal) for point in (("bpe", 2048), ("char", 0)))
            if one := change(first, second):
                found.append(one)
                loss = mean(second, "loss")
                others = [
                    p for p in rows.points(text, equal=equal) if p[0] != "bytes"
                ]  # which are pieces of characters
                smallest.append(loss <= min(mean(rows.seeds(text, p, equal=equal), "loss") for p in others))
                told.append(
                    f"{text}, {EQUAL[equal]}: {one} bits per byte, {loss:.2f} nats per token against {mean(first, 'loss'):.2f}"
                )
    verdict = judged(found, "above") if all(smallest) else OPEN
    yield f"**{verdict}.** Their loss per token is smaller than that of any larger tokens{'' if smallest and all(smallest) else ' (not here)'}, and"
    yield (
        "against 2,048 tokens they need, by text and budget: " + "; ".join(told) + "."
        if told
        else "no pair is finished."
    )


def folding(rows: Rows) -> Iterator[str]:
    """Do folded capitals pay?"""
    found = {
        text: change(rows.seeds(text, ("bpe", 2048)), rows.seeds(text, ("bpe", 2048), rules=FOLD))
        for text in ("Russian", "demo")
    }
    verdict = {YES: "They pay", NO: "They do not pay"}.get(judged(list(found.values()), "below"), OPEN)
    told = ", ".join(f"{one} in the {text} text" for text, one in found.items() if one)
    yield f"**{verdict}.** A mark before the small word in place of a capital changes the bits per byte by {told or '(no pair is finished)'}."


def best(rows: Rows) -> Iterator[str]:
    """Which vocabulary?"""
    for body in BODIES:
        for equal in EQUAL:
            for text in LANGUAGES:
                where = {"body": body, "equal": equal}
                points = [point for point in rows.points(text, **where) if point[0] == "bpe"]
                if len(points) > 1:
                    apart = [
                        change(rows.seeds(text, points[0], **where), rows.seeds(text, point, **where))
                        for point in points[1:]
                    ]
                    others = ", ".join(f"{point[1]:,} {one}" for point, one in zip(points[1:], apart, strict=True))
                    yield f"- {text}, {body}, {EQUAL[equal]}: {points[0][1]:,} tokens need the fewest bits per byte; {others}."


CLAIMS: list[tuple[str, Callable[[Rows], Iterator[str]]]] = [
    ("“A space of its own is a scaffold: the model learns better with it”", spaces),
    ("“The loss plunges with spaces of their own”", plunge),
    ("“32,000 tokens starve the little words”", starving),
    ("“Characters are another animal”", characters),
    ("Capitals folded: a mark and the small word", folding),
]


# ---- tables


def table(rows: Rows, body: str, equal: str) -> list[str]:
    """Tokenizers by text, the fewest bits per byte first; empty where nothing is finished."""
    lines, where = [], {"body": body, "equal": equal}
    for text in LANGUAGES:
        base = rows.seeds(text, ("bpe", 2048), **where)
        for point in rows.points(text, **where):
            found = rows.seeds(text, point, **where)
            apart = change(base, found) if point != ("bpe", 2048) else None
            first = next(iter(found.values()))
            cells = [
                text,
                label(point),
                f"{mean(found, 'bits_per_byte'):.3f}",
                str(apart or ""),
                f"{mean(found, 'loss'):.3f}",
                f"{mean(found, 'bytes_per_token'):.2f}",
                f"{first['head'] / 1e6:.2f}M",
                f"{mean(found, 'text_bytes') / 1e6:.2f}",
                f"{mean(found, 'seldom'):.0%}" if all("seldom" in row for row in found.values()) else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    head = [
        "text",
        "tokenizer",
        "bits per byte",
        "against bpe 2,048",
        "nats per token",
        "bytes per token",
        "head",
        "MB read",
    ]
    head += ["seen fewer than 10 times"]
    rule = ["---", "---", *["---:"] * (len(head) - 2)]
    return ["| " + " | ".join(head) + " |", "| " + " | ".join(rule) + " |", *lines] if lines else []


def rates(rows: Rows) -> Iterator[str]:
    """Whether other learning rates change who is better."""
    for text in LANGUAGES:
        for point in (("bpe-spaces", 2048), ("char", 0), ("bpe", 32_000)):
            found = {
                rate: change(rows.seeds(text, ("bpe", 2048), rate=rate), rows.seeds(text, point, rate=rate))
                for rate in (0.5, 1.0, 2.0)
            }
            if found[0.5] and found[2.0]:
                told = ", ".join(f"{one.mean:+.1%} at {rate:g} x" for rate, one in found.items() if one)
                yield f"- {text}, {label(point)} against bpe 2,048: {told} the learning rate."


def missing(rows: Rows) -> Iterator[str]:
    """What is not finished, wave by wave."""
    for wave in WAVES:
        done = sum(cell in rows.rows for cell in wave.cells)
        if done < len(wave.cells):
            yield f"- {wave.about} ({wave.body}, {EQUAL[wave.equal]}, seeds {', '.join(map(str, wave.seeds))}): {done} of {len(wave.cells)} cells"


# ---- the page


def write(rows: list[dict]) -> None:
    """The page and its plots."""
    atomic_write(PAGE, page(Rows(rows)))
    atomic_write(HERE / "tokenizer_study.svg", illusion(Rows(rows)))
    atomic_write(HERE / "tokenizer_study_sizes.svg", sizes(Rows(rows)))


def page(rows: Rows) -> str:
    """In Markdown."""
    total = len({cell for wave in WAVES for cell in wave.cells})
    parts = [
        "# Which tokenizer for a small model? A study",
        f"Made by `python benchmarks/tokenizer_study.py` from {len(rows.rows)} of {total} cells; every sentence with a figure is computed from "
        "them. A cell is a tokenizer and a model with about one or five million parameters beside the embedding (which is the "
        "head), trained from nothing on Lovecraft's stories (English) or on stories for children (Russian, of TinyStories-ru), each 2.9 "
        f"million characters. Equal text is {CHARACTERS:g} million characters, less than once through; equal operations are "
        f"{OPERATIONS['1M'] * 1e15:.0e} for the small model and {OPERATIONS['5M'] * 1e15:.0e} for the larger, the head counted. Contexts hold 512 "
        "characters whatever the tokenizer, batches 6,144. All are judged by bits per byte of the same held-out text as it was before "
        "any normalisation. In brackets: 95% confidence, Student's t over pairs of the same seed. “Confirmed” needs both texts "
        "to agree beyond chance.",
        "## The claims",
        *(f"### {title}\n\n" + " ".join(made(rows)) for title, made in CLAIMS),
        "## The illusion in one picture",
        "![bits per byte beside loss per token](../benchmarks/tokenizer_study.svg)",
        "Each point is a tokenizer, at the same text. If loss per token were a measure, lower would always be further to the left.",
        "## How large a vocabulary?",
        "![bits per byte by vocabulary](../benchmarks/tokenizer_study_sizes.svg)",
        "Full lines: the same text. Broken ones: the same operations.",
        "\n".join(best(rows)) or "Nothing is finished.",
        "## All figures",
    ]
    for body in BODIES:
        for equal in EQUAL:
            if lines := table(rows, body, equal):
                parts += [f"{body}, {EQUAL[equal]}:", "\n".join(lines)]
    if other := "\n".join(rates(rows)):
        parts += ["## Other learning rates", other]
    parts += [
        "## What this does not say",
        "Whether other texts, larger models or longer training agree: a model that goes over its text many times, or a text a "
        "hundred times as long, can want another vocabulary. All cells of a body have one learning rate; where others were tried it "
        "is said above.",
    ]
    if left := "\n".join(missing(rows)):
        parts += ["Not finished when this page was made:", left]
    return "\n\n".join(parts) + "\n"


# ---- plots

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 320, 56, 24, 36, 44  # of a panel and its margins, in SVG units
INKS = {"bpe": "#1d5fbf", "bpe-spaces": "#b4540a", "char": "#18702f", "bytes": "#7a3fa0"}  # on white


def illusion(rows: Rows) -> str:
    """Bits per byte over nats per token, a panel per text."""
    panels = []
    for text in LANGUAGES:
        found = {point: rows.seeds(text, point) for point in rows.points(text)}
        places = {point: (mean(some, "loss"), mean(some, "bits_per_byte")) for point, some in found.items()}
        panels.append((f"{text}: bits per byte over nats per token", [(p, [place]) for p, place in places.items()]))
    return drawn(panels, across=lambda x: x, ticks_of=ticks)


def sizes(rows: Rows) -> str:
    """Bits per byte over the vocabulary; full lines: equal text, broken ones: equal operations."""
    panels = []
    for text in LANGUAGES:
        lines = []
        for body in BODIES:
            for equal in EQUAL:
                for kind in ("bpe", "bpe-spaces"):
                    points = sorted(p for p in rows.points(text, body=body, equal=equal) if p[0] == kind)
                    line = [(p[1], mean(rows.seeds(text, p, body=body, equal=equal), "bits_per_byte")) for p in points]
                    if len(line) > 1:
                        lines.append(((kind, f"{body}, {equal}"), line))
        panels.append((f"{text}: bits per byte over the vocabulary", lines))
    return drawn(panels, across=lambda x: math.log(x), ticks_of=lambda low, high: [512, 2048, 8192, 32_000])


def drawn(panels: list, *, across: Callable, ticks_of: Callable) -> str:
    """Panels side by side, as one picture."""
    parts = [el("rect", width=len(panels) * WIDTH, height=HEIGHT, fill="#fff")]
    for number, (title, lines) in enumerate(panels):
        if lines:
            parts.append(el("g", panel(title, lines, across, ticks_of), transform=f"translate({number * WIDTH} 0)"))
    size = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {len(panels) * WIDTH} {HEIGHT}"}
    return el("svg", *parts, **size, font_family="system-ui, sans-serif", font_size=12, fill="#1c2126") + "\n"


def panel(title: str, lines: list, across: Callable, ticks_of: Callable) -> list[Html]:
    """One plot: axes, and every line or point in its kind's ink, with its name at its end."""
    points = [point for _, some in lines for point in some]
    low_x, high_x = min(across(x) for x, _ in points), max(across(x) for x, _ in points)
    low_y, high_y = min(y for _, y in points), max(y for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        right = LEFT + 10 + (across(x) - low_x) / (high_x - low_x or 1) * (WIDTH - LEFT - RIGHT - 90)
        return round(right, 1), round(
            HEIGHT - BOTTOM - (y - low_y) / (high_y - low_y or 1) * (HEIGHT - TOP - BOTTOM - 12) - 6, 1
        )

    parts = [el("text", title, x=LEFT, y=20, font_weight="600")]
    for tick in ticks(low_y, high_y):
        y = place(points[0][0], tick)[1]
        parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke="#d5d9de"))
        parts.append(el("text", f"{tick:g}", x=LEFT - 6, y=y + 4, text_anchor="end"))
    for tick in ticks_of(min(x for x, _ in points), max(x for x, _ in points)):
        if low_x <= across(tick) <= high_x:
            x = place(tick, low_y)[0]
            parts.append(el("text", f"{tick:,g}", x=x, y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
    for name, some in lines:
        kind, about = name
        corners, ink = [place(*point) for point in some], INKS[kind]
        if len(corners) > 1:
            path = " ".join(f"{x},{y}" for x, y in corners)
            dashes = {"stroke_dasharray": "5 4"} if str(about).endswith("flops") else {}
            parts.append(el("polyline", points=path, fill="none", stroke=ink, stroke_width=1.5, **dashes))
        parts += [el("circle", cx=x, cy=y, r=3, fill=ink) for x, y in corners]
        x, y = corners[-1]
        shown = label(name) if isinstance(about, int) else f"{kind}, {about.partition(',')[0]}"
        parts.append(el("text", shown, x=x + 6, y=y + 4, fill=ink, font_size=11))
    return parts
