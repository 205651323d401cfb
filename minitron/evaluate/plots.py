"""Curves and bars as SVG with a text alternative. Knows nothing about what is drawn."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minitron.evaluate.markup import Html, el

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 240, 52, 20, 28, 44  # of a plot and its margins, in SVG units
CURVE_POINTS = 300  # at most, per curve
CROWD = 50  # points; if a series has more, they are drawn small


@dataclass(frozen=True)
class Series:
    """A named curve of points (step, value); with `dots` every point is marked."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


def plot(
    title: str,
    series: Sequence[Series],
    *,
    unit: str,
    guards: Mapping[str, float] | None = None,
    x: str = "step",
    points: bool = False,
) -> Html | None:
    """Curves over steps, or over the quantity that `x` names, with `guards` as named horizontal lines (the first dotted, the second
    dashed). With `points` the points are drawn without curves. None if there is no point to draw."""
    series, guards = [s for s in series if s.points], guards or {}
    if not series:
        return None
    steps = [x for s in series for x, _ in s.points]
    values = [y for s in series for _, y in s.points] + list(guards.values())
    low_x, high_x, low_y, high_y = min(steps), max(steps), min(values), max(values)
    x_ticks, y_ticks = ticks(low_x, high_x, whole=x == "step"), ticks(low_y, high_y)

    def x_of(step: float) -> float:
        return round(LEFT + (step - low_x) / (high_x - low_x or 1) * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low_y) / (high_y - low_y or 1) * (HEIGHT - TOP - BOTTOM), 1)

    drawn = [el("text", unit, x=4, y=14), el("text", x, x=WIDTH - RIGHT, y=HEIGHT - 4, text_anchor="end")]
    for tick in y_ticks:
        drawn.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y_of(tick), y2=y_of(tick), class_="grid"))
        drawn.append(el("text", _tick(tick, y_ticks), x=LEFT - 6, y=y_of(tick) + 4, text_anchor="end"))
    for tick in x_ticks:
        drawn.append(el("text", _tick(tick, x_ticks), x=x_of(tick), y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
    for number, value in enumerate(guards.values()):
        drawn.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y_of(value), y2=y_of(value), class_=f"guard g{number}"))
    for number, s in enumerate(series):
        if points:
            size = 1.5 if len(s.points) > CROWD else 3
            drawn += [el("circle", cx=x_of(a), cy=y_of(b), r=size, class_=f"dot c{number}") for a, b in s.points]
            continue
        thin = s.points[:: -(-len(s.points) // CURVE_POINTS)]
        curve = [(x_of(a), y_of(b)) for a, b in (thin if thin[-1] == s.points[-1] else [*thin, s.points[-1]])]
        drawn.append(el("polyline", points=" ".join(f"{a},{b}" for a, b in curve), class_=f"curve c{number}"))
        if s.dots or len(curve) == 1:
            drawn += [el("circle", cx=a, cy=b, r=3, class_=f"dot c{number}") for a, b in curve]
    told = [
        f"{s.name}: {s.points[0][1]:.4g} at {x} {s.points[0][0]:,}, {s.points[-1][1]:.4g} at {x} {s.points[-1][0]:,}, "
        f"lowest {min(y for _, y in s.points):.4g}, highest {max(y for _, y in s.points):.4g}"
        for s in series
    ]
    keys = [(f"curve c{n}", s.name) for n, s in enumerate(series)] + [(f"guard g{n}", g) for n, g in enumerate(guards)]
    return _figure(title, f"In {unit}. " + ". ".join([*told, *guards]) + ".", drawn, keys, height=HEIGHT)


@dataclass(frozen=True)
class Row:
    """A label, a value per bar, and the values as texts."""

    label: str
    values: Sequence[float]
    texts: Sequence[str]


def bars(title: str, rows: Sequence[Row], *, names: Sequence[str], unit: str, full: float) -> Html:
    """Horizontal bars, one per name in each row; `full` is the value of a bar of full length."""
    drawn, y, longest = [], 20, WIDTH - 150
    drawn.append(el("text", unit, x=0, y=12))
    for row in rows:
        y += 16
        shown = row.label if len(row.label) <= 60 else row.label[:59] + "…"
        drawn.append(el("text", shown, el("title", row.label), x=0, y=y, class_="label"))
        for number, (value, text) in enumerate(zip(row.values, row.texts, strict=True)):
            width = round(longest * value / full, 1)
            drawn.append(el("rect", x=0, y=y + 5, width=max(1, width), height=10, class_=f"bar c{number}"))
            drawn.append(el("text", text, x=max(1, width) + 5, y=y + 14))
            y += 13
        y += 8
    told = [f"{r.label}: " + ", ".join(f"{n} {t}" for n, t in zip(names, r.texts, strict=True)) for r in rows]
    keys = [(f"swatch c{n}", name) for n, name in enumerate(names)] if len(names) > 1 else []
    return _figure(title, f"{unit}. " + "; ".join(told) + ".", drawn, keys, height=y + 4)


def _figure(title: str, told: str, drawn: Sequence[Html], keys: Sequence[tuple[str, str]], *, height: int) -> Html:
    """An SVG with its text alternative, a heading above it and a legend below."""
    text = el("title", title), el("desc", told)
    image = el("svg", text, drawn, viewBox=f"0 0 {WIDTH} {height}", role="img")
    legend = el("ul", [el("li", el("i", class_=f"key {class_}"), name) for class_, name in keys]) if keys else None
    return el("figure", el("figcaption", title), image, legend, "\n")


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """2 to 6 round numbers (1, 2 or 5 times a power of ten apart) within [low, high]; one if the two are equal. With `whole` they are at
    least 1 apart."""
    if not high > low:
        return [low]
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= rough * 0.999)
    step = max(1.0, step) if whole else step
    return [round(n * step, 12) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _tick(value: float, all_ticks: list[float]) -> str:
    """A tick's label, with as many decimals as its distance from the next one needs."""
    if len(all_ticks) < 2:
        return f"{value:.4g}"
    return f"{value:,.{max(0, -math.floor(math.log10(all_ticks[1] - all_ticks[0]) + 1e-9))}f}"
