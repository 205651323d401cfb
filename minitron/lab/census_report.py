"""A census for people: a table on stdout, and a page with plots. Run: minitron census recipes/demo.toml --html census.html

Knows nothing about how it was counted.
"""

import json
import math
from pathlib import Path

import numpy as np

from minitron.core.console import say, tell
from minitron.core.files import atomic_write
from minitron.evaluate.markup import Html, document, el
from minitron.evaluate.plots import Series, plot
from minitron.evaluate.style import STYLE
from minitron.lab import corpus, target
from minitron.lab.census import CLASSES, RARE, WORDS, Census, census, count, name_of
from minitron.tokenizer import kinds

EXAMPLES = 8  # pieces of a class in the table
LISTED = 20  # pieces in the lists of what looks untrained
FEWEST = 5  # how often a token has to be a target for its mean loss to be worth a look
MEANING = {
    "live": f"learnt to be written at least {RARE} times",
    "rare": "fewer times",
    "masked": "only read, in what users say",
    "scaffold": "a step of merges that never comes out itself",
    "unseen": "nothing of it in this text",
    "unreachable": "no text becomes it",
    "marker": "the chat template's, and the unknown one",
}


def run(
    name: str,
    patterns: list[str],
    *,
    column: str = "",
    words: list[str] | None = None,
    json_file: Path | None = None,
    html: Path | None = None,
) -> None:
    """Counts tokens in the files that `patterns` name, or if there are none in the text that the run was trained on; prints the table
    and writes the files asked for. Raises MinitronError where there is no text."""
    tokenizer, config = target.find(name, command="census")
    found = corpus.pieces_of(patterns, column=column) if patterns or config is None else corpus.pieces_of_run(config)
    looked_for = [word.lower() for word in words or WORDS]
    counts = count(found, tokenizer, words=looked_for)
    trained = None
    if config is not None:
        from minitron.lab import trained as of_run  # only here, since it imports torch

        trained = of_run.look(config)
    result = census(counts, tokenizer, words=looked_for, trained=trained)
    for line in table(result):
        tell(line)
    if json_file:
        atomic_write(json_file, json.dumps(result.to_json(), ensure_ascii=False, indent=1))
    if html:
        atomic_write(html, page(result, name))
    for path in filter(None, (json_file, html)):
        say(f"census: written to {path}")


def table(found: Census) -> list[str]:
    """The lines of the report."""
    counts, size = found.counts, found.tokenizer.vocab_size
    lines = [
        f"{kinds.name_of(found.tokenizer)}, {size:,} tokens, on {counts.tokens:,} tokens of {counts.raw_bytes:,} bytes "
        f"({counts.characters / counts.tokens:.2f} characters and {counts.raw_bytes / counts.tokens:.2f} bytes per token)",
        f"{'class':<12}{'pieces':>8}{'share':>8}{'of weights':>12}  such as",
    ]
    for name in CLASSES:
        members, weights = found.members(name), found.parameters(name)
        shown = "  ".join(name_of(found.tokenizer, i) for i in members[:EXAMPLES])
        weight = "" if weights is None else f"{weights:.1%}"
        lines.append(f"{name:<12}{len(members):>8,}{found.share(name):>8.1%}{weight:>12}  {shown}".replace("\n", "↵"))
    if found.words:
        lines.append(f"{'word':<12}{'in text':>10}{'as a token':>12}{'loss':>8}  written as")
        for word in found.words:
            loss = "" if word.loss is None else f"{word.loss:.3f}"
            met = "" if word.met is None else f"{word.met:,}"
            lines.append(f"{word.word:<12}{word.in_text:>10,}{met:>12}{loss:>8}  {_pieces(found, word.tokens)}")
    for title, ids in untrained(found).items():
        shown = "  ".join(name_of(found.tokenizer, i) for i in ids).replace("\n", "↵")
        lines.append(f"{title}: {shown}")
    return lines


def untrained(found: Census) -> dict[str, list[int]]:
    """Two lists of tokens that the model hardly learnt: those whose embeddings are about as long as the embeddings of tokens that were
    never seen (Land and Bartolo, arXiv 2405.05417, compare distances; here lengths are compared), and those with the largest loss."""
    if not found.trained:
        return {}
    never = [i for i, name in enumerate(found.classes) if name in ("unseen", "unreachable", "scaffold")]
    seen = [i for i, name in enumerate(found.classes) if name in ("live", "rare", "masked")]
    lists = {}
    if never:
        typical = float(np.median(found.trained.norms[never]))
        near = sorted(seen, key=lambda i: abs(found.trained.norms[i] - typical))
        lists["embeddings as long as those of tokens that were never seen"] = near[:LISTED]
    if costly := [i for i in seen if found.trained.targets[i] >= FEWEST]:
        lists["largest loss"] = sorted(costly, key=lambda i: -found.trained.losses[i])[:LISTED]
    return lists


def page(found: Census, name: str) -> str:
    """The table, plots and lists as one page."""
    rows = []
    for kind in CLASSES:
        members, weights = found.members(kind), found.parameters(kind)
        shown = "  ".join(name_of(found.tokenizer, i) for i in members[: 3 * EXAMPLES])
        cells = [
            len(members),
            f"{found.share(kind):.1%}",
            "" if weights is None else f"{weights:.1%}",
            MEANING[kind],
            shown,
        ]
        rows.append(el("tr", el("th", kind), [el("td", cell) for cell in cells]))
    head = el("tr", [el("th", t) for t in ("class", "pieces", "share", "of the weights", "", "such as")])
    words = [
        el(
            "tr",
            el("th", w.word),
            [el("td", cell) for cell in (w.in_text, w.met, _number(w.loss), _pieces(found, w.tokens))],
        )
        for w in found.words
    ]
    word_head = el(
        "tr", [el("th", t) for t in ("word", "in the text", "as a token of its own", "loss, nats", "written as")]
    )
    lists = [
        (el("h2", title), el("p", "  ".join(name_of(found.tokenizer, i) for i in ids)))
        for title, ids in untrained(found).items()
    ]
    body = el(
        "main",
        el("h1", f"Census of {name}"),
        el("p", table(found)[0]),
        el("div", el("table", el("thead", head), el("tbody", rows)), class_="wide"),
        el("h2", "Words") if words else None,
        el("div", el("table", el("thead", word_head), el("tbody", words)), class_="wide") if words else None,
        el("div", plots(found), class_="plots"),
        lists,
    )
    return document(f"Census of {name}", body, style=STYLE)


def plots(found: Census) -> list[Html]:
    """How often tokens occur, by rank; and how long their embeddings are, by how often they occur."""
    met = found.counts.learnt + found.counts.read
    order = np.sort(met)[::-1]
    ranks = np.unique(np.geomspace(1, len(order), 200).astype(int)) - 1
    points = [(math.log10(r + 1), math.log10(order[r])) for r in ranks if order[r]]
    drawn = [
        plot("How often tokens come", [Series("tokens", points)], unit="log10 of the count", x="log10 of the rank")
    ]
    if found.trained:
        by_count = sorted((math.log10(met[i] + 1), float(found.trained.norms[i])) for i in range(len(met)))
        drawn.append(
            plot(
                "Length of the embeddings",
                [Series("tokens", by_count)],
                unit="length",
                x="log10 of the count + 1",
                points=True,
            )
        )
    return [figure for figure in drawn if figure]


def _pieces(found: Census, ids: list[int]) -> str:
    return "│".join(name_of(found.tokenizer, i) for i in ids)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
