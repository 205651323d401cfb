"""A study for people: a page with plots, a table and a verdict in words, and the table and verdict as lines. Knows nothing about
training."""

from minitron.core.console import say, tell
from minitron.core.files import atomic_write
from minitron.evaluate.markup import Html, document, el
from minitron.evaluate.plots import Series, plot
from minitron.evaluate.style import STYLE
from minitron.lab import study
from minitron.lab.study import Summary, difference, label, summaries, verdict
from minitron.recipe.schema import Config

UNITS = {"text": "megabytes of text", "flops": "10^15 operations", "time": "minutes"}
COLOURS = ("#1d5fbf", "#b4540a", "#18702f", "#8a3ab9", "#b3261e", "#00838f", "#7a6a00", "#59626b")


def run(config: Config) -> None:
    """Runs what is left of the study, prints the table and the verdict, and writes runs/<recipe>/study/study.html."""
    found = summaries(study.run(config))
    for line in [*table(found), *verdict(found)]:
        tell(line)
    out = config.layout.study_page
    atomic_write(out, page(config, found))
    say(f"study: the page is {out}")


HEAD = (
    "tokenizer",
    "bits per byte",
    "against the best",
    "nats per token",
    "bytes per token",
    "body",
    "head",
    "MB read",
    "seconds",
)


def cells(best: Summary, one: Summary) -> list[str]:
    """A row of the table."""
    mean, low, high = difference(best, one)
    first = one.results[0]
    apart = "" if one is best else f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
    return [
        label(one.point),
        f"{one.bits_per_byte:.4f}",
        apart,
        f"{one.loss:.4f}",
        f"{first.bytes_per_token:.2f}",
        f"{first.body / 1e6:.2f}M",
        f"{first.head / 1e6:.2f}M",
        f"{first.text_bytes / 1e6:.2f}",
        f"{sum(r.seconds for r in one.results) / len(one.results):.0f}",
    ]


def table(found: list[Summary]) -> list[str]:
    """The table as lines of equal width."""
    rows = [list(HEAD), *(cells(found[0], one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def page(config: Config, found: list[Summary]) -> str:
    """The page of a study."""
    settings = config.study
    rows = [el("tr", [el("td", cell) for cell in cells(found[0], one)]) for one in found]
    equal = (
        f"Every cell has {settings.budget:g} {UNITS[settings.equal]}, contexts of {settings.context_bytes} bytes and "
    )
    equal += f"batches of {settings.batch_bytes:,} bytes; {settings.seeds} seeds."
    body = el(
        "main",
        el("h1", f"Study: {config.name}"),
        el("p", equal),
        [el("p", line) for line in verdict(found)],
        el("div", el("table", el("thead", el("tr", [el("th", t) for t in HEAD])), el("tbody", rows)), class_="wide"),
        el("div", plots(found), class_="plots"),
    )
    more = " ".join(
        f".c{n} {{ stroke: {c}; border-color: {c} }} .dot.c{n} {{ fill: {c} }}" for n, c in enumerate(COLOURS) if n > 1
    )
    return document(f"Study: {config.name}", body, style=STYLE + more)


def plots(found: list[Summary]) -> list[Html]:
    """Plots of bits per byte: over the text read, against loss per token (the two need not rank tokenizers alike), and over vocabulary
    size."""
    shown = found[: len(COLOURS)]
    curves = []
    for one in shown:
        whole = [r.curve for r in one.results]
        count = min(map(len, whole))
        mean = [(w[0] / 1e6, sum(c[at][1] for c in whole) / len(whole)) for at, w in enumerate(whole[0][:count])]
        curves.append(Series(label(one.point), mean, dots=True))
    places = [Series(label(one.point), [(r.loss, r.bits_per_byte) for r in one.results]) for one in shown]
    sizes = [
        Series(
            kind,
            sorted(
                (float(r.vocab_size), s.bits_per_byte) for s in found if s.point.kind == kind for r in s.results[:1]
            ),
            dots=True,
        )
        for kind in dict.fromkeys(s.point.kind for s in found)
    ]
    drawn = [
        plot("While text is read", curves, unit="bits per byte, held out", x="MB of text"),
        plot("Loss per token tells another story", places, unit="bits per byte", x="nats per token", points=True),
        plot("By vocabulary", sizes, unit="bits per byte", x="tokens"),
    ]
    return [figure for figure in drawn if figure]
