"""`report.html`: the report card as one page that needs no network and no scripts. Run: minitron eval recipes/demo.toml.

    atomic_write(layout.page, report.html(layout, card))

Reads the card that eval made and, in the run's folder, the metrics of pretrain, sft and kto, the reports of data and kto, and
compare.json. If one of them is missing, its section is left out. Knows nothing about models.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from minitron.core.files import read_object
from minitron.evaluate.card import Card, Figures, Sample
from minitron.evaluate.comparison import Comparison, shown
from minitron.evaluate.intervals import Share, differs
from minitron.evaluate.markup import Html, el
from minitron.evaluate.plots import Row, Series, bars, plot
from minitron.evaluate.style import STYLE
from minitron.evaluate.verdict import Verdict
from minitron.recipe.layout import TRAINING, Layout
from minitron.tokenizer.chat_template import Message
from minitron.train import metrics

LOSS, BITS, ACCURACY = "held-out loss, nats per token", "bits per byte", "probe accuracy"
RATES = {"loop": "loops", "runaway": "runaways", "canned": "canned", "ended": "ended by itself"}
FEW = 100  # held-out prompts; shares over fewer come with a caution
Box = tuple[str, str, Sequence[str]]  # name, text, failures that the text shows


def html(layout: Layout, card: Card) -> str:
    """The whole page."""
    kto, compared = read_object(layout.stage_report("kto")), read_object(layout.comparison)
    # a report by an older version has no limits and lacks other figures: it is not used
    verdict = Verdict.from_json(kto) if "limits" in kto and card.shipped == "kto" else None
    data = read_object(layout.stage_report("data"))
    sections = (
        _headline(card, verdict),
        _comparison(card, verdict, held_out=data.get("valid")),
        _skills(card),
        _loss_curves(layout),
        _kto_curves(metrics.read(layout.metrics("kto")), verdict),
        _data(data),
        _samples(card),
        _continuations(card),
        _learning(layout),
        _compared(Comparison.from_json(compared)) if compared else None,
        _wrong_probes(card),
    )
    head = (
        el("title", f"{card.name}: report card"),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        # a second safeguard besides escaping: the page may load nothing and run no scripts
        Html("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"),
        el("style", Html(STYLE)),
    )
    body = el("body", el("main", *sections))
    return f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{"".join(head)}</head>\n{body}</html>\n'


def _section(title: str, *children: object) -> Html:
    return el("section", el("h2", title), "\n", *children)


# ---- figures


def _headline(card: Card, verdict: Verdict | None) -> Html:
    last = card.last
    facts = {"parameters": f"{card.params:,}", "model that ships": _ships(card, verdict)}
    if last.probes:
        facts[ACCURACY] = f"{last.probes.accuracy.value:.1%} of {last.probes.accuracy.count:,}"
    if last.held_out:
        facts[LOSS] = f"{last.held_out.loss:.4f}"
        facts[BITS] = f"{last.held_out.bits_per_byte:.4f}"
    for dtype, cost in card.dtypes.items():
        facts[f"{BITS} as {dtype}"] = f"{cost.bits_per_byte:.4f} ({cost.change:+.2%})"
    facts["tokens in the vocabulary"] = f"{card.vocab_size:,}"
    boxes = [el("div", el("dt", name), el("dd", value)) for name, value in facts.items()]
    return el("header", el("h1", card.name), el("dl", boxes))


def _ships(card: Card, verdict: Verdict | None) -> str:
    """The model that is exported, in words."""
    model = card.models[card.shipped]
    if verdict is None:
        return f"{card.shipped}, step {model.step:,}"
    if not verdict.shipped.blend:
        return f"sft, step {card.models['sft'].step:,} (kto: {verdict.outcome})"
    blend = "" if verdict.shipped.blend == 1 else f", blended by {verdict.shipped.blend:.0%}"
    return f"kto, step {verdict.shipped_step:,}{blend}"


def _comparison(card: Card, verdict: Verdict | None, *, held_out: int | None) -> Html:
    """Every figure of the first and the last model, and whether it became better."""
    first, last = card.first, card.last
    compared = first is not last
    heads = (
        ["measure", f"before {card.shipped}", f"after {card.shipped}", "difference"]
        if compared
        else ["measure", card.shipped]
    )
    bodies = []
    for (group, before), after in zip(_figures(first).items(), _figures(last).values(), strict=True):
        rows = [el("tr", el("th", group, colspan=len(heads), scope="rowgroup"), class_="group")] if group else []
        for name in before:
            cells = [el("td", _show(figures[name])) for figures in ([before, after] if compared else [after])]
            change = _difference(name, before[name], after[name]) if compared else None
            rows.append(el("tr", el("th", name, scope="row"), cells, change))
        bodies.append(el("tbody", rows))
    notes = [_caution(last, held_out)]
    if compared and verdict:
        why = f" ({verdict.why})" if verdict.why else ""
        blend = f"A blend of {verdict.shipped.blend:.0%} of step {verdict.shipped_step:,} and the rest of the SFT model"
        notes.append(
            el("p", f"kto: {verdict.outcome}{why}. {blend if verdict.shipped.blend else 'The SFT model'} ships.")
        )
    table = el("table", el("thead", el("tr", [el("th", h, scope="col") for h in heads])), bodies)
    title = f"Before and after {card.shipped}" if compared else "Figures"
    return _section(title, notes, el("div", table, class_="wide"), el("p", "In brackets: 95% confidence intervals."))


def _caution(model: Figures, held_out: int | None) -> Html | None:
    """A warning, if so few prompts were asked that a share says little."""
    if not model.failures or (asked := model.failures["chat"].answers) >= FEW:
        return None
    of = "" if held_out is None else f" of {held_out:,} held-out dialogues"
    text = f"Only {asked} prompts{of} were asked: differences that are not beyond chance mean nothing. More are held out with"
    return el("p", text, " ", el("code", "data.valid_fraction"), ".", class_="worse")


def _figures(model: Figures) -> dict[str, dict[str, Share | float]]:
    """Group -> measure -> value."""
    groups: dict[str, dict[str, Share | float]] = {"": {}}
    if model.held_out:
        groups[""] |= {LOSS: model.held_out.loss, BITS: model.held_out.bits_per_byte}
    if model.probes:
        groups[""][ACCURACY] = model.probes.accuracy
    for name, loss in model.sources.items():
        groups[f"held out of {name} ({loss.dialogues:,})"] = {LOSS: loss.loss, BITS: loss.bits_per_byte}
    for name, found in model.failures.items():
        title = "answers with all presets" if name == "all" else f"answers with preset {name}"
        shares = found.rates.shares()
        groups[f"{title} ({found.answers:,})"] = {text: shares[rate] for rate, text in RATES.items()}
    return groups


def _show(value: Share | float) -> str:
    return shown(value) if isinstance(value, Share) else f"{value:.4f}"


def _difference(name: str, before: Share | float, after: Share | float) -> Html:
    """A cell such as `-3.2 points, better`. Values that look the same in the table count as the same, and a share whose change is within
    chance is called neither better nor worse."""
    if isinstance(before, Share) and isinstance(after, Share):
        points = 100 * (round(after.value, 3) - round(before.value, 3))
        change, grows = f"{points:+.1f} points", after.value > before.value
        if not round(points, 1):
            return el("td", "same")
        if not differs(before, after):
            return el("td", f"{change}, within chance")
    else:
        assert isinstance(before, float)
        assert isinstance(after, float)
        change, grows = f"{round(after, 4) - round(before, 4):+.4f}", after > before
        if _show(before) == _show(after):
            return el("td", "same")
    word = "better" if grows == (name in (ACCURACY, RATES["ended"])) else "worse"
    return el("td", f"{change}, {word}", class_=word)


def _skills(card: Card) -> Html | None:
    if not card.last.probes:
        return None
    compared = card.first is not card.last and card.first.probes is not None
    names = [f"before {card.shipped}", f"after {card.shipped}"] if compared else [card.shipped]
    rows = []
    for skill, after in card.last.probes.skills.items():
        shares = [after]
        if compared and card.first.probes:
            shares.insert(0, card.first.probes.skills.get(skill, after))
        texts = [f"{s.value:.0%} ({s.low:.0%} to {s.high:.0%})" for s in shares]
        if differs(shares[0], after):
            texts[-1] += " *"
        rows.append(Row(f"{skill} ({after.count} asked)", [s.value for s in shares], texts))
    unit = "share of right answers (95%)" + ("; *: changed beyond chance" if compared else "")
    return _section("Probes by skill", bars("Probe accuracy per skill", rows, names=names, unit=unit, full=1.0))


# ---- training


def _loss_curves(layout: Layout) -> Html | None:
    plots = []
    for stage in TRAINING:
        rows = metrics.read(layout.metrics(stage))
        series = [
            Series("train, smoothed", _smooth(_points(rows, "loss"))),
            Series("validation", _points(rows, "valid_loss"), dots=True),
        ]
        plots.append(plot(f"Loss of {stage}", series, unit="nats per token"))
    return _section("Training", el("div", plots, class_="plots")) if any(plots) else None


def _kto_curves(rows: list[dict[str, Any]], verdict: Verdict | None) -> Html | None:
    if not rows:
        return None
    z_guard, loss_guard = {}, {}
    limits = verdict.limits if verdict else {}
    if "raw_z" in limits:
        warn, stop = limits["raw_z"]
        z_guard = {f"guard: back below {stop:g}": stop, f"guard: warning below {warn:g}": warn}
    looks = [row for row in rows if math.isfinite(row.get("guards", {}).get("loss", math.nan))]
    if "loss" in limits and looks:
        # of the rows that the guards look at; the verdict's loss is that of all
        before = looks[0]["valid_loss"] / (1 + looks[0]["guards"]["loss"])
        limit = before * (1 + limits["loss"][1])
        loss_guard = {f"guard: back above {limit:.4f}": limit, f"before kto: {before:.4f}": before}
    ratios = [
        Series("chosen", _smooth(_points(rows, "chosen_log_ratio"))),
        Series("rejected", _smooth(_points(rows, "rejected_log_ratio"))),
    ]
    unit, z = "nats per token", [Series("raw z", _points(rows, "raw_z"))]
    held_out = [Series("held-out loss", _points(rows, "valid_loss"), dots=True)]
    plots = (
        plot("Raw z (running mean, before the clamp at 0)", z, unit=unit, guards=z_guard),
        plot("Log-ratios to the reference, smoothed", ratios, unit=unit),
        plot("Held-out loss during kto", held_out, unit=unit, guards=loss_guard),
    )
    return _section("kto", el("div", plots, class_="plots"))


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """(step, value) of the rows that have a finite value."""
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None and math.isfinite(row[key])]


def _smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Exponential moving average over about a fiftieth of the steps, corrected for its start at zero as in Adam."""
    decay, average, weight = 1 - 1 / max(1.0, len(points) / 50), 0.0, 0.0
    out = []
    for step, value in points:
        average, weight = decay * average + (1 - decay) * value, decay * weight + 1 - decay
        out.append((step, average / weight))
    return out


def _learning(layout: Layout) -> Html | None:
    """What the model wrote for the same prompts at every validation (`samples` of pretrain and sft)."""
    articles = []
    for stage in TRAINING:
        said: dict[str, list[Box]] = {}
        for row in metrics.read(layout.metrics(stage)):
            for sample in row.get("samples", []):
                said.setdefault(sample["prompt"], []).append((f"step {row['step']}", sample["text"], []))
        articles += [
            el("div", el("h3", f"{stage}: {prompt}"), _boxes(_spread_out(texts))) for prompt, texts in said.items()
        ]
    return _section("While it learned", articles) if articles else None


def _spread_out(values: list[Box], most: int = 4) -> list[Box]:
    """Thins a list to at most `most` items; keeps the first and the last."""
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


# ---- data


def _data(report: Mapping[str, Any]) -> Html | None:
    if not report:
        return None
    parts = ", ".join(f"{report[name]:,} {name}" for name in ("train", "valid", "probes") if name in report)
    told = [el("p", f"{report['rows_in']:,} rows read, {report['kept']:,} dialogues kept ({parts}).")]
    for source in sources if len(sources := report.get("sources", [])) > 1 else ():
        kept = source["train"] + source["valid"] + source["probes"]
        share = source["written"] / max(1, report["train"])
        told.append(
            el(
                "p",
                f"{source['name']}: {kept:,} of {source['rows_in']:,} rows kept, {share:.1%} of what is trained on.",
            )
        )
    for column, count in report.get("kept_without_score", {}).items():
        told.append(el("p", f"{count:,} rows have no score '{column}' and were kept all the same."))
    counts, whole = {"kept": report["kept"]} | report["dropped"], max(1, report["rows_in"])
    rows = [
        Row(name if name == "kept" else f"dropped: {name}", [n], [f"{n:,} ({n / whole:.1%})"])
        for name, n in counts.items()
    ]
    chart = bars("What became of the rows", rows, names=["rows"], unit="rows and share of those read", full=whole)
    return _section("Data", told, chart)


# ---- answers


def _boxes(boxes: Sequence[Box]) -> Html:
    """Texts beside each other, each with its name and the failures that it shows."""
    made = [
        el("div", el("h3", name, [el("b", " ", f, class_="worse") for f in failures]), el("p", text, dir="auto"))
        for name, text, failures in boxes
    ]
    return el("article", made)


def _asked(context: Sequence[Message], prompt: str, reference: str) -> list[Box]:
    """Boxes for the turns before a prompt (if there are any), the prompt, and the recorded answer."""
    earlier = "\n".join(f"{message['role']}: {message['content']}" for message in context)
    boxes: list[Box] = [("before it", earlier, [])] if earlier else []
    return [*boxes, ("prompt", prompt, []), ("reference", reference, [])]


def _samples(card: Card) -> Html | None:
    folds: list[Html] = []
    for name, found in card.last.failures.items():
        if not found.samples:
            continue
        if card.first is card.last:
            cards = [_sample(after, {card.shipped: after}) for after in found.samples]
        else:  # both models were asked the same prompts in the same order
            pairs = zip(card.first.failures[name].samples, found.samples, strict=False)
            cards = [
                _sample(after, {f"before {card.shipped}": before, f"after {card.shipped}": after})
                for before, after in pairs
            ]
        opened = {} if folds else {"open": ""}
        folds.append(el("details", el("summary", f"preset {name}"), cards, **opened))
    return _section("Answers", folds) if folds else None


def _sample(asked: Sample, said: Mapping[str, Sample]) -> Html:
    answers = [(name, sample.answer, sample.failures) for name, sample in said.items()]
    return _boxes([*_asked(asked.context, asked.prompt, asked.reference), *answers])


def _continuations(card: Card) -> Html | None:
    """How a base model continues held-out text."""
    articles = [
        _boxes(
            [("held-out beginning", c.prompt, []), ("how it goes on", c.reference, []), (card.shipped, c.answer, [])]
        )
        for c in card.last.continuations
    ]
    return _section("Continuations", articles) if articles else None


def _compared(comparison: Comparison) -> Html:
    """What `minitron compare` found: two models on the same prompts."""
    heads = [el("th", h, scope="col") for h in ("measure", *comparison.models, "change, 95% (*: beyond chance)")]
    rows = [el("tr", [el("td", cell) for cell in measure.cells()]) for measure in comparison.measures]
    table = el("div", el("table", el("thead", el("tr", heads)), el("tbody", rows)), class_="wide")
    articles = []
    for one in comparison.answers:
        both = [(name, text, fails) for name, (text, fails) in zip(comparison.models, one.answers, strict=True)]
        articles.append(_boxes([*_asked(one.context, one.prompt, one.reference), *both]))
    return _section("Compared", table, el("details", el("summary", "answers side by side"), articles))


def _wrong_probes(card: Card) -> Html | None:
    if not card.last.probes or not card.last.probes.wrong:
        return None
    heads = el("tr", [el("th", h, scope="col") for h in ("skill", "question", "answer", "wanted")])
    rows = [
        el("tr", el("td", w.skill), [el("td", t, dir="auto") for t in (w.question, w.answer, _wanted(w.check))])
        for w in card.last.probes.wrong
    ]
    table = el("div", el("table", el("thead", heads), el("tbody", rows), class_="texts"), class_="wide")
    title = f"the first {len(rows)} that {card.shipped} got wrong"
    return _section("Wrong probes", el("details", el("summary", title), table))


def _wanted(check: str | dict[str, Any]) -> str:
    """A probe's rules (`checks`) in words."""
    rules = json.loads(check) if isinstance(check, str) else check
    words = {"all": "has ", "any": "has one of ", "none": "lacks ", "equals": "is "}
    return "; ".join(words[key] + (v if isinstance(v, str) else " | ".join(v)) for key, v in rules.items())
