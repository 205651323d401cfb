"""`report.html`: the report card as one page that needs no network and no scripts. Run: minitron eval recipes/demo.toml.

    atomic_write("runs/demo/report.html", report.html(Path("runs/demo"), card))

Reads the card that eval made and, in the run's folder, the metrics.jsonl of pretrain, sft and kto and the report.json of
data and kto. A piece that is missing leaves its section out. Text is escaped where an element is made (`el`), because
what a model said may hold anything. Knows nothing about models.
"""

import json
import math
import re
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from minitron.train import metrics

LOSS, BITS, ACCURACY = "held-out loss, nats per token", "bits per byte", "probe accuracy"
RATES = {"loop": "loops", "runaway": "runaways", "canned": "canned", "ended": "ended by itself"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 240, 52, 20, 28, 44  # of a plot and its margins, in SVG units
CURVE_POINTS = 300  # at most, per curve


class Html(str):
    """Markup; every other text is escaped when it becomes part of an element."""


def el(name: str, *children: object, **attributes: object) -> Html:
    """An element. Lists are joined, None is left out, `class_` is class, `text_anchor` is text-anchor."""
    named = (f' {key.rstrip("_").replace("_", "-")}="{_escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{''.join(named)}>{_join(children)}</{name}>")


def _join(value: object) -> str:
    if isinstance(value, list | tuple):
        return "".join(_join(v) for v in value)
    return "" if value is None else value if isinstance(value, Html) else _escape(value)


def _escape(value: object) -> str:
    """Text for an element or an attribute; what no page may hold (control characters, lone surrogates) is U+FFFD."""
    return escape(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", str(value)))


def html(run_dir: Path, card: dict) -> str:
    """The whole page; `card` is what report.json holds."""
    sections = (
        _headline(card),
        _comparison(card, _read_json(run_dir / "kto" / "report.json")),
        _skills(card),
        _loss_curves(run_dir),
        _kto_curves(run_dir / "kto"),
        _data(_read_json(run_dir / "data" / "report.json")),
        _samples(card),
        _continuations(card),
        _learning(run_dir),
        _compared(_read_json(run_dir / "compare.json")),
        _wrong_probes(card),
    )
    head = (
        el("title", f"{card['name']}: report card"),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        # a second lock behind the escaping: nothing is loaded and nothing runs
        Html("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"),
        el("style", Html(STYLE)),
    )
    body = el("body", el("main", *sections))
    return f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_join(head)}</head>\n{body}</html>\n'


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _section(title: str, *children: object) -> Html:
    return el("section", el("h2", title), "\n", *children)


# ---- what the sections say


def _headline(card: dict) -> Html:
    shipped = card["models"][card["shipped"]]
    facts = {"parameters": f"{card['params']:,}", "model that ships": f"{card['shipped']}, step {shipped['step']:,}"}
    if shipped["probes"]:
        facts[ACCURACY] = f"{shipped['probes']['accuracy']:.1%} of {shipped['probes']['asked']:,}"
    if shipped["loss"] is not None:
        facts[LOSS] = f"{shipped['loss']:.4f}"
        facts[BITS] = f"{shipped['bits_per_byte']:.4f}"
    for dtype, cost in card.get("dtypes", {}).items():
        facts[f"{BITS} as {dtype}"] = f"{cost['bits_per_byte']:.4f} ({cost['change']:+.2%})"
    facts["tokens in the vocabulary"] = f"{card['tokenizer']['vocab_size']:,}"
    boxes = [el("div", el("dt", name), el("dd", value)) for name, value in facts.items()]
    return el("header", el("h1", card["name"]), el("dl", boxes))


def _comparison(card: dict, kto: dict) -> Html:
    """Every figure of the first and the last model, and whether it became better."""
    first, last = _first_and_last(card)
    compared = first is not last
    heads = ["measure", "before kto", "after kto", "difference"] if compared else ["measure", card["shipped"]]
    bodies = []
    for (group, before), after in zip(_figures(first).items(), _figures(last).values(), strict=True):
        rows = [el("tr", el("th", group, colspan=len(heads), scope="rowgroup"), class_="group")] if group else []
        for name in before:
            cells = [el("td", _show(name, figures[name])) for figures in ([before, after] if compared else [after])]
            change = _difference(name, before[name], after[name]) if compared else None
            rows.append(el("tr", el("th", name, scope="row"), cells, change))
        bodies.append(el("tbody", rows))
    note = None
    if compared and kto:
        why = f" ({kto['why']})" if kto["why"] else ""
        blend = f"A blend of {kto['shipped_blend']:.0%} of step {kto['shipped_step']:,} and the rest of the SFT model"
        note = el("p", f"kto: {kto['outcome']}{why}. {blend if kto['shipped_blend'] else 'The SFT model'} ships.")
    table = el("table", el("thead", el("tr", [el("th", h, scope="col") for h in heads])), bodies)
    return _section("Before and after kto" if compared else "Figures", note, el("div", table, class_="wide"))


def _figures(model: dict) -> dict[str, dict[str, float]]:
    """Group -> measure -> value."""
    groups = {"": {}}
    if model["loss"] is not None:
        groups[""] |= {LOSS: model["loss"], BITS: model["bits_per_byte"]}
    if model["probes"]:
        groups[""][ACCURACY] = model["probes"]["accuracy"]
    for name, preset in model["failures"].items():
        title = "answers with all presets" if name == "all" else f"answers with preset {name}"
        groups[f"{title} ({preset['answers']:,})"] = {text: preset[rate] for rate, text in RATES.items()}
    return groups


def _show(name: str, value: float) -> str:
    return f"{value:.4f}" if name in (LOSS, BITS) else f"{value:.1%}"


def _difference(name: str, before: float, after: float) -> Html:
    """A cell such as `-3.2 points, better`; what looks the same in the table is the same."""
    if _show(name, before) == _show(name, after):
        return el("td", "same")
    if name in (LOSS, BITS):
        change = f"{round(after, 4) - round(before, 4):+.4f}"
    else:
        change = f"{100 * (round(after, 3) - round(before, 3)):+.1f} points"
    word = "better" if (after > before) == (name in (ACCURACY, RATES["ended"])) else "worse"
    return el("td", f"{change}, {word}", class_=word)


def _first_and_last(card: dict) -> tuple[dict, dict]:
    models = list(card["models"].values())
    return models[0], models[-1]


def _skills(card: dict) -> Html | None:
    first, last = _first_and_last(card)
    if not last["probes"]:
        return None
    names = ["before kto", "after kto"] if first is not last else [card["shipped"]]
    rows = []
    for skill, result in last["probes"]["skills"].items():
        before = first["probes"]["skills"].get(skill, result)["accuracy"]
        values = [before, result["accuracy"]] if first is not last else [result["accuracy"]]
        rows.append((f"{skill} ({result['asked']} asked)", values, [f"{v:.0%}" for v in values]))
    unit = "share of right answers, 0 to 100%"
    return _section("Probes by skill", bars("Probe accuracy per skill", rows, names=names, unit=unit, full=1.0))


def _loss_curves(run_dir: Path) -> Html | None:
    plots = []
    for stage in ("pretrain", "sft"):
        rows = metrics.read(run_dir / stage / "metrics.jsonl")
        series = [
            Series("train, smoothed", _smooth(_points(rows, "loss"))),
            Series("validation", _points(rows, "valid_loss"), dots=True),
        ]
        plots.append(plot(f"Loss of {stage}", series, unit="nats per token"))
    return _section("Training", el("div", plots, class_="plots")) if any(plots) else None


def _kto_curves(folder: Path) -> Html | None:
    rows = metrics.read(folder / "metrics.jsonl")
    if not rows:
        return None
    settings = {}
    if (folder / "config.toml").exists():
        settings = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8")).get("kto", {})
    z_guard, loss_guard = {}, {}
    before, guards = _read_json(folder / "report.json").get("held_out_loss_before"), settings.get("guards", {})
    if limits := guards.get("raw_z"):
        z_guard = {f"guard: back below {limits[1]:g}": limits[1], f"guard: warning below {limits[0]:g}": limits[0]}
    if (limits := guards.get("loss")) and before is not None:
        limit = before * (1 + limits[1])
        loss_guard = {f"guard: back above {limit:.4f}": limit, f"before kto: {before:.4f}": before}
    unit = "nats per answer" if settings.get("ratio") == "sum" else "nats per token"
    ratios = [
        Series("chosen", _smooth(_points(rows, "chosen_log_ratio"))),
        Series("rejected", _smooth(_points(rows, "rejected_log_ratio"))),
    ]
    held_out = [Series("held-out loss", _points(rows, "valid_loss"), dots=True)]
    plots = (
        plot(
            "Raw z (running mean, before the clamp at 0)",
            [Series("raw z", _points(rows, "raw_z"))],
            unit=unit,
            guards=z_guard,
        ),
        plot("Log-ratios to the reference, smoothed", ratios, unit=unit),
        plot("Held-out loss during kto", held_out, unit="nats per token", guards=loss_guard),
    )
    return _section("kto", el("div", plots, class_="plots"))


def _points(rows: list[dict], key: str) -> list[tuple[float, float]]:
    """(step, value) of the rows that have a finite value."""
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None and math.isfinite(row[key])]


def _smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Exponential moving average over about a fiftieth of the steps, without the pull of its start (as Adam does it)."""
    decay, average, weight, out = 1 - 1 / max(1.0, len(points) / 50), 0.0, 0.0, []
    for step, value in points:
        average, weight = decay * average + (1 - decay) * value, decay * weight + 1 - decay
        out.append((step, average / weight))
    return out


def _data(report: dict) -> Html | None:
    if not report:
        return None
    parts = ", ".join(f"{report[name]:,} {name}" for name in ("train", "valid", "probes") if name in report)
    told = [el("p", f"{report['rows_in']:,} rows read, {report['kept']:,} dialogues kept ({parts}).")]
    for column, rows in report.get("kept_without_score", {}).items():
        told.append(el("p", f"{rows:,} rows have no score '{column}' and were kept all the same."))
    counts = {"kept": report["kept"]} | report["dropped"]
    whole = max(1, report["rows_in"])
    rows = [
        (name if name == "kept" else f"dropped: {name}", [n], [f"{n:,} ({n / whole:.1%})"])
        for name, n in counts.items()
    ]
    chart = bars("What became of the rows", rows, names=["rows"], unit="rows and share of those read", full=whole)
    return _section("Data", told, chart)


def _samples(card: dict) -> Html | None:
    first, last = _first_and_last(card)
    folds = []
    for name, preset in last["failures"].items():
        if not preset.get("samples"):
            continue
        # both models were asked the same prompts in the same order
        pairs = zip(first["failures"][name]["samples"], preset["samples"], strict=False)
        cards = [_sample(before if first is not last else None, after, card["shipped"]) for before, after in pairs]
        opened = {} if folds else {"open": ""}
        folds.append(el("details", el("summary", f"preset {name}"), cards, **opened))
    return _section("Answers", folds) if folds else None


def _sample(before: dict | None, after: dict, shipped: str) -> Html:
    texts = [("prompt", after["prompt"], []), ("reference", after["reference"], [])]
    if before is not None:
        texts += [
            ("before kto", before["answer"], before["failures"]),
            ("after kto", after["answer"], after["failures"]),
        ]
    else:
        texts.append((shipped, after["answer"], after["failures"]))
    return _boxes(texts)


def _continuations(card: dict) -> Html | None:
    """What a base model makes of held-out text."""
    found = card["models"][card["shipped"]].get("continuations")
    if not found:
        return None
    names = {"prompt": "held-out beginning", "reference": "how it goes on", "answer": card["shipped"]}
    return _section("Continuations", [_boxes([(name, c[key], []) for key, name in names.items()]) for c in found])


def _learning(run_dir: Path) -> Html | None:
    """What the model made of the same prompts at every validation (`samples` of pretrain and sft)."""
    shown = []
    for stage in ("pretrain", "sft"):
        said: dict[str, list[tuple[str, str, list[str]]]] = {}
        for row in metrics.read(run_dir / stage / "metrics.jsonl"):
            for sample in row.get("samples", []):
                said.setdefault(sample["prompt"], []).append((f"step {row['step']}", sample["text"], []))
        shown += [
            el("div", el("h3", f"{stage}: {prompt}"), _boxes(_spread_out(texts))) for prompt, texts in said.items()
        ]
    return _section("While it learned", shown) if shown else None


def _spread_out(values: list, most: int = 4) -> list:
    """At most so many of them, the first and the last included."""
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _boxes(texts: list[tuple[str, str, list[str]]]) -> Html:
    """Texts beside each other, each with its name and the failures that it shows."""
    boxes = [
        el("div", el("h3", name, [el("b", " ", f, class_="worse") for f in failures]), el("p", text, dir="auto"))
        for name, text, failures in texts
    ]
    return el("article", boxes)


def compared_cells(row: dict) -> list[str]:
    """A row of compare.json as texts: measure, both values, change; a change beyond chance has a star."""
    if "change" not in row:
        return [row["measure"], *(f"{v:.4f}" for v in row["values"]), f"{row['values'][1] - row['values'][0]:+.4f}"]
    both = zip(row["values"], row["intervals"], strict=True)
    shown = [f"{value:.1%} ({low:.1%} to {high:.1%})" for value, (low, high) in both]
    low, high = row["change"]
    star = " *" if low > 0 or high < 0 else ""
    return [row["measure"], *shown, f"{100 * low:+.1f} to {100 * high:+.1f} points{star}"]


def _compared(card: dict) -> Html | None:
    """What `minitron compare` found: two models on the same prompts."""
    if not card:
        return None
    heads = [el("th", h, scope="col") for h in ("measure", *card["models"], "change, 95% (*: beyond chance)")]
    rows = [el("tr", [el("td", cell) for cell in compared_cells(row)]) for row in card["rows"]]
    table = el("div", el("table", el("thead", el("tr", heads)), el("tbody", rows)), class_="wide")
    articles = []
    for pair in card["answers"]:
        texts = [("prompt", pair["prompt"], []), ("reference", pair["reference"], [])]
        both = zip(card["models"], pair["answers"], strict=True)
        texts += [(name, answer["answer"], answer["failures"]) for name, answer in both]
        articles.append(_boxes(texts))
    return _section("Compared", table, el("details", el("summary", "answers side by side"), articles))


def _wrong_probes(card: dict) -> Html | None:
    wrong = card["models"][card["shipped"]]["probes"].get("wrong")
    if not wrong:
        return None
    heads = el("tr", [el("th", h, scope="col") for h in ("skill", "question", "answer", "wanted")])
    rows = [
        el(
            "tr",
            el("td", w["skill"]),
            [el("td", t, dir="auto") for t in (w["question"], w["answer"], _wanted(w["check"]))],
        )
        for w in wrong
    ]
    table = el("div", el("table", el("thead", heads), el("tbody", rows), class_="texts"), class_="wide")
    title = f"the first {len(rows)} that {card['shipped']} got wrong"
    return _section("Wrong probes", el("details", el("summary", title), table))


def _wanted(check: str | dict) -> str:
    """A probe's rules (probes.py) as a person says them."""
    rules = json.loads(check) if isinstance(check, str) else check
    words = {"all": "has ", "any": "has one of ", "none": "lacks ", "equals": "is "}
    return "; ".join(words[key] + (v if isinstance(v, str) else " | ".join(v)) for key, v in rules.items())


# ---- plots


@dataclass
class Series:
    """A named curve of (step, value); with `dots` every point is marked."""

    name: str
    points: list[tuple[float, float]]
    dots: bool = False


def plot(title: str, series: list[Series], *, unit: str, guards: dict[str, float] | None = None) -> Html | None:
    """Curves over steps, with `guards` as named horizontal lines (the first dotted, the second dashed). None where there is no point to draw."""
    series, guards = [s for s in series if s.points], guards or {}
    if not series:
        return None
    steps = [x for s in series for x, _ in s.points]
    values = [y for s in series for _, y in s.points] + list(guards.values())
    low_x, high_x, low_y, high_y = min(steps), max(steps), min(values), max(values)
    x_ticks, y_ticks = ticks(low_x, high_x, whole=True), ticks(low_y, high_y)

    def x_of(step: float) -> float:
        return round(LEFT + (step - low_x) / (high_x - low_x or 1) * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low_y) / (high_y - low_y or 1) * (HEIGHT - TOP - BOTTOM), 1)

    drawn = [el("text", unit, x=4, y=14), el("text", "step", x=WIDTH - RIGHT, y=HEIGHT - 4, text_anchor="end")]
    for tick in y_ticks:
        drawn.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y_of(tick), y2=y_of(tick), class_="grid"))
        drawn.append(el("text", _tick(tick, y_ticks), x=LEFT - 6, y=y_of(tick) + 4, text_anchor="end"))
    for tick in x_ticks:
        drawn.append(el("text", _tick(tick, x_ticks), x=x_of(tick), y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
    for number, value in enumerate(guards.values()):
        drawn.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y_of(value), y2=y_of(value), class_=f"guard g{number}"))
    for number, s in enumerate(series):
        thin = s.points[:: -(-len(s.points) // CURVE_POINTS)]
        points = [(x_of(x), y_of(y)) for x, y in (thin if thin[-1] == s.points[-1] else [*thin, s.points[-1]])]
        drawn.append(el("polyline", points=" ".join(f"{x},{y}" for x, y in points), class_=f"curve c{number}"))
        if s.dots or len(points) == 1:
            drawn += [el("circle", cx=x, cy=y, r=3, class_=f"dot c{number}") for x, y in points]
    told = [
        f"{s.name}: {s.points[0][1]:.4g} at step {s.points[0][0]:,}, {s.points[-1][1]:.4g} at step {s.points[-1][0]:,}, "
        f"lowest {min(y for _, y in s.points):.4g}, highest {max(y for _, y in s.points):.4g}"
        for s in series
    ]
    keys = [(f"curve c{n}", s.name) for n, s in enumerate(series)] + [(f"guard g{n}", g) for n, g in enumerate(guards)]
    return _figure(title, f"In {unit}. " + ". ".join([*told, *guards]) + ".", drawn, keys, height=HEIGHT)


def bars(
    title: str, rows: list[tuple[str, list[float], list[str]]], *, names: list[str], unit: str, full: float
) -> Html:
    """Horizontal bars: per row a label, a value per name and the values as texts; `full` is the longest bar's value."""
    drawn, y, longest = [], 20, WIDTH - 120
    drawn.append(el("text", unit, x=0, y=12))
    for label, values, texts in rows:
        y += 16
        shown = label if len(label) <= 60 else label[:59] + "…"
        drawn.append(el("text", shown, el("title", label), x=0, y=y, class_="label"))
        for number, (value, text) in enumerate(zip(values, texts, strict=True)):
            width = round(longest * value / full, 1)
            drawn.append(el("rect", x=0, y=y + 5, width=max(1, width), height=10, class_=f"bar c{number}"))
            drawn.append(el("text", text, x=max(1, width) + 5, y=y + 14))
            y += 13
        y += 8
    told = [f"{label}: " + ", ".join(f"{n} {t}" for n, t in zip(names, texts, strict=True)) for label, _, texts in rows]
    keys = [(f"curve c{n}", name) for n, name in enumerate(names)] if len(names) > 1 else []
    return _figure(title, f"{unit}. " + "; ".join(told) + ".", drawn, keys, height=y + 4)


def _figure(title: str, told: str, drawn: list[Html], keys: list[tuple[str, str]], *, height: int) -> Html:
    """An SVG with its text alternative, a heading above and the meaning of its lines below."""
    text = el("title", title), el("desc", told)
    image = el("svg", text, drawn, viewBox=f"0 0 {WIDTH} {height}", role="img")
    legend = el("ul", [el("li", el("i", class_=f"key {class_}"), name) for class_, name in keys]) if keys else None
    return el("figure", el("figcaption", title), image, legend, "\n")


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """3 to 7 round numbers (1, 2 or 5 times a power of ten apart) within [low, high], one if the two are equal."""
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


STYLE = """
:root { color-scheme: light dark; --page: #fff; --box: #f4f5f7; --ink: #1c2126; --soft: #59626b; --line: #d5d9de;
  --c0: #1d5fbf; --c1: #b4540a; --better: #18702f; --worse: #b3261e }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --box: #1e2328; --ink: #e6e9ec; --soft: #a3adb6;
  --line: #363d44; --c0: #7db3ff; --c1: #f2a65a; --better: #63d489; --worse: #ff8f85 } }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: auto; padding: 1rem }
h1, h2, h3, p { overflow-wrap: anywhere }
h1 { margin: 0 0 .5rem } h2 { margin: 2.5rem 0 .5rem } h3 { margin: 0; font-size: .85rem; color: var(--soft) }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .5rem; margin: 0 }
dl div, article { background: var(--box); border-radius: .5rem; padding: .6rem .8rem }
dt { font-size: .8rem; color: var(--soft) } dd { margin: 0; font-size: 1.15rem; font-weight: 600 }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: .85rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem .25rem 0; border-bottom: 1px solid var(--line) }
tbody th { font-weight: 400 } .group th { font-weight: 600; padding-top: .9rem }
td { font-variant-numeric: tabular-nums; white-space: nowrap } .texts { min-width: 36rem }
.texts td, article p { white-space: pre-wrap; overflow-wrap: anywhere }
.better { color: var(--better) } .worse { color: var(--worse) } td.better, td.worse { font-weight: 600; white-space: normal }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.5rem }
figure { margin: .5rem 0; max-width: 36rem } figcaption { font-weight: 600 } svg { display: block; width: 100% }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft) } svg .label { fill: var(--ink) }
.grid { stroke: var(--line) } .curve { fill: none; stroke-width: 2 } .c0 { stroke: var(--c0); border-color: var(--c0) }
.c1 { stroke: var(--c1); border-color: var(--c1) } .curve.c1 { stroke-dasharray: 7 3 } .dot.c0, .bar.c0 { fill: var(--c0) }
.dot.c1, .bar.c1 { fill: var(--c1) } .bar { stroke: none } .guard { stroke: var(--worse); border-color: var(--worse); stroke-width: 1.5 }
.g0 { stroke-dasharray: 2 3 } .guard.g1 { stroke: var(--soft); border-color: var(--soft); stroke-dasharray: 10 4 }
ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .2rem 0; padding: 0; list-style: none; font-size: .85rem }
li { display: flex; align-items: center; gap: .4rem } .key { width: 1.75rem; border-width: 3px 0 0; border-style: solid }
.key.c1 { border-top-style: dashed } .key.g0 { border-top-style: dotted } .key.g1 { border-top-style: dashed }
details { margin: .5rem 0 } summary { cursor: pointer; font-weight: 600 }
article { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr)); gap: .8rem; margin: .6rem 0 }
article p { margin: .2rem 0 0; font-size: .9rem }
"""
