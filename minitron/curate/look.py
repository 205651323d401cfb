"""What the data stage keeps and drops, and what becomes of a kept row. Run: minitron look recipes/demo.toml

It writes to stdout: with colours and a pager in a terminal, elsewhere as plain text. The figures cover the first rows of each source;
how many rows each rule dropped is told for all rows if the data stage has run with these settings.
"""

import io
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from minitron.core.console import say, visible
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.curate.figures import QUANTILES, characters, covered, histogram, quantiles, script_of
from minitron.curate.traced import Traced, trace
from minitron.data import store
from minitron.recipe.schema import Config
from minitron.tokenizer import chat_template, kinds
from minitron.tokenizer.base import Tokenizer

PLAIN_WIDTH = 110  # characters, outside a terminal and on the page
EXAMPLES = 3  # rows of each kind, side by side
TURN_CHARACTERS = 240  # of a turn in an example
MOST_REASONS = 20
MOST_SOURCES = 20
BAR = 30  # characters


@dataclass
class Seen:
    """The rows that were looked at, and the data stage's report about all rows (empty if there is none)."""

    rows: list[Traced]
    report: dict[str, Any]

    @property
    def kept(self) -> list[Traced]:
        return [row for row in self.rows if not row.reason]


def run(config: Config, *, rows: int, html: Path | None = None) -> None:
    """Shows what becomes of about `rows` rows, and writes the same to the file `html` if one is named. Raises MinitronError where there
    are no rows."""
    seen = Seen(list(trace(config, rows=rows)), store.report_of(config))
    if not seen.rows:
        raise MinitronError(
            f"there are no rows in the data of {config.recipe}", hint="check data.files or data.hub_split"
        )
    tokenizer = kinds.load(config.layout.tokenizer) if config.layout.tokenizer.exists() else None
    parts = list(sections(config, seen, tokenizer))
    _show(parts)
    if html:
        atomic_write(html, page(parts))
        say(f"look: the page is {html}")


# ---- where it is shown


def _show(parts: list[RenderableType]) -> None:
    if not sys.stdout.isatty():
        console = Console(file=sys.stdout, width=PLAIN_WIDTH, color_system=None, highlight=False)
        console.print(*parts, sep="\n")
        return
    console = Console(highlight=False)
    os.environ.setdefault("LESS", "-RFX")  # shows colours, and quits at once if all fits on the screen
    with console.pager(styles=True):
        console.print(*parts, sep="\n")


def page(parts: list[RenderableType]) -> str:
    """The same as an HTML file."""
    console = Console(file=io.StringIO(), record=True, width=PLAIN_WIDTH, force_terminal=True, highlight=False)
    console.print(*parts, sep="\n")
    return console.export_html(inline_styles=True)


# ---- what is shown


def sections(config: Config, seen: Seen, tokenizer: Tokenizer | None) -> Iterator[RenderableType]:
    yield Text(f"{config.recipe}: {len(seen.rows):,} rows looked at, {len(seen.kept):,} of them stay", style="bold")
    yield from _reasons(seen)
    yield from _sources(seen)
    yield from _scores(seen)
    yield from _lengths(config, seen, tokenizer)
    yield from _examples(seen)
    if tokenizer and tokenizer.opening and seen.kept:
        yield from _tokens(seen.kept[0], tokenizer)


def _heading(text: str) -> RenderableType:
    return Text(f"\n{text}", style="bold cyan")


def _table(*columns: str, rows: list[tuple[Any, ...]], left: int = 1) -> RenderableType:
    """A table whose first `left` columns are texts, the others figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(visible(_cell(cell))) for cell in row))
    return table


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _share(count: int, whole: int) -> str:
    return f"{count / max(1, whole):.1%}"


def _bar(count: int, most: int, kept: int) -> RenderableType:
    """A bar: full for rows that stay, light for the others."""
    full = round(BAR * kept / max(1, most))
    return Text("█" * full, style="green") + Text("░" * (round(BAR * count / max(1, most)) - full), style="red")


def _reasons(seen: Seen) -> Iterator[RenderableType]:
    if seen.report:
        rows, kept, dropped = seen.report["rows_in"], seen.report["kept"], seen.report["dropped"]
        yield _heading(f"What became of all {rows:,} rows (the data stage's report)")
    else:
        dropped = dict(Counter(row.reason for row in seen.rows if row.reason).most_common())
        rows, kept = len(seen.rows), len(seen.kept)
        yield _heading("What became of these rows (the data stage has not run with these settings)")
    lines = [("kept", kept, _share(kept, rows))]
    lines += [(reason, count, _share(count, rows)) for reason, count in list(dropped.items())[:MOST_REASONS]]
    yield _table("", "rows", "share", rows=lines)


def _sources(seen: Seen) -> Iterator[RenderableType]:
    counts, kept = Counter(row.source for row in seen.rows), Counter(row.source for row in seen.kept)
    if len(counts) > 1:
        yield _heading("Where they are from")
        lines = [
            (name, count, kept[name], _share(kept[name], count)) for name, count in counts.most_common(MOST_SOURCES)
        ]
        yield _table("source", "rows", "kept", "share", rows=lines)
    scripts = Counter(script_of(row.messages) for row in seen.kept if row.messages)
    yield _heading("Which script they are in (of what stays)")
    yield _table(
        "script", "dialogues", "share", rows=[(n, c, _share(c, len(seen.kept))) for n, c in scripts.most_common(8)]
    )


def _scores(seen: Seen) -> Iterator[RenderableType]:
    for name in seen.rows[0].scores:
        given = [(score, not row.reason) for row in seen.rows if (score := row.scores[name]) is not None]
        missing = len(seen.rows) - len(given)
        yield _heading(f"{name}" + (f", which {missing:,} rows lack" if missing else ""))
        bins = histogram(given)
        most = max((one.count for one in bins), default=0)
        lines = [
            (
                f"{one.low:g}" if one.low == one.high else f"{one.low:.3g} to {one.high:.3g}",
                _bar(one.count, most, one.kept),
            )
            + (one.count, one.kept)
            for one in bins
        ]
        yield _table("score", "█ stays  ░ goes", "rows", "kept", rows=lines, left=2)


def _lengths(config: Config, seen: Seen, tokenizer: Tokenizer | None) -> Iterator[RenderableType]:
    dialogues = [row.messages for row in seen.kept if row.messages]
    if not dialogues:
        return
    yield _heading("How long they are (of what stays)")
    titles = ["" if share == 1 else f"{share:.0%} are no longer" for share in QUANTILES]
    lines: list[tuple[Any, ...]] = [("turns", *quantiles([len(messages) for messages in dialogues]))]
    lines += [("characters", *quantiles([characters(messages) for messages in dialogues]))]
    if tokenizer and tokenizer.opening:
        encoded = [len(chat_template.encode_dialogue(messages, tokenizer)[0]) for messages in dialogues]
        lines += [("tokens", *quantiles(encoded))]
    yield _table("", *titles[:-1], "longest", rows=lines)
    if tokenizer and tokenizer.opening:
        mine = config.model.context
        contexts = sorted({mine, *(size for size in (mine // 4, mine // 2, 2 * mine, 4 * mine) if size >= 16)})
        lines = [
            (
                f"{one.context:,}" + (" (model.context)" if one.context == mine else ""),
                one.whole,
                one.shortened,
                one.left_out,
            )
            + (_share(one.whole, len(dialogues)),)
            for one in covered(dialogues, tokenizer, contexts=contexts)
        ]
        yield _heading("What a context covers")
        yield _table("tokens", "whole", "lose last turns", "too long", "whole", rows=lines)


def _side_by_side() -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), show_header=False, expand=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    return table


def _examples(seen: Seen) -> Iterator[RenderableType]:
    stays = seen.kept
    for number, (reason, _) in enumerate(
        Counter(row.reason for row in seen.rows if row.reason).most_common(MOST_REASONS)
    ):
        goes = [row for row in seen.rows if row.reason == reason][:EXAMPLES]
        beside = [stays[(number * EXAMPLES + i) % len(stays)] for i in range(len(goes))] if stays else []
        yield _heading(f"{reason}: what goes, and what stays")
        table = _side_by_side()
        for i, row in enumerate(goes):
            table.add_row(_example(row, "red"), _example(beside[i], "green") if i < len(beside) else "")
        yield table
    masked = [row for row in stays if row.unmasked]
    if masked:
        yield _heading(f"masked in {len(masked):,} dialogues: before, and after")
        table = _side_by_side()
        for row in masked[:EXAMPLES]:
            table.add_row(_example(replace(row, messages=row.unmasked), "red"), _example(row, "green"))
        yield table


def _example(row: Traced, colour: str) -> RenderableType:
    scores = ", ".join(f"{name} {'-' if score is None else f'{score:g}'}" for name, score in row.scores.items())
    found = Text(("- " if row.reason else "+ ") + visible(f"{row.source} {scores}".strip()) + "\n", style=colour)
    for message in row.messages or []:
        text = message["content"]
        text = text if len(text) <= TURN_CHARACTERS else f"{text[:TURN_CHARACTERS]}…"
        found += Text(f"{message['role']}: ", style="dim") + Text(visible(text) + "\n")
    if not row.messages:
        found += Text(visible(row.raw[:TURN_CHARACTERS]) + "\n")
    found.rstrip()
    return found


def _tokens(row: Traced, tokenizer: Tokenizer) -> Iterator[RenderableType]:
    """The first kept dialogue as ids; those that are learned stand between ⟦ and ⟧."""
    ids, mask = chat_template.encode_dialogue(row.messages or [], tokenizer)
    names = {token: f"<|{role}|>" for role, token in tokenizer.markers.items()} | {tokenizer.end: "<|end|>"}
    pieces, numbers = Text(), Text()
    for i, (token, learned) in enumerate(zip(ids, mask, strict=True)):
        opens, closes = learned and not (i and mask[i - 1]), learned and not (i + 1 < len(mask) and mask[i + 1])
        text = names.get(token) or tokenizer.piece_bytes(token).decode(errors="replace") or "?"
        style = "black on green" if learned else "dim"
        pieces += Text("⟦" * opens) + Text(visible(text).replace("\n", "↵"), style=style) + Text("⟧" if closes else "│")
        numbers += Text("⟦" * opens) + Text(str(token), style=style) + Text("⟧ " if closes else " ")
    yield _heading(f"A dialogue as {len(ids):,} tokens, of which the {sum(mask):,} in ⟦ ⟧ are learned")
    yield pieces
    yield numbers
