"""What tokenizers make of a text: boundaries, ids, how words were merged. Run: minitron inspect recipes/demo.toml "hello you"

Several tokenizers are shown one below the other in the terminal (stdout) and side by side on the page. For a long text the figures
cover all of it, but only the tokens of its beginning are shown. Knows nothing about models.
"""

import itertools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from minitron.core.console import say, tell, visible
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.evaluate.markup import Html, document, el
from minitron.evaluate.style import STYLE
from minitron.lab import target
from minitron.lab.census import name_of
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.merges import Merges, Step
from minitron.tokenizer.sentencepiece import SPACE, clean, parts

SHOWN_CHARS = 2_000  # at the beginning of a text, whose tokens are shown
SHOWN_NORMALIZED = 400  # characters of the normalised text
WORDS = 12  # at most, whose merges are shown
# Two that alternate, on light and dark screens
COLOURS = (
    "\x1b[48;5;24m\x1b[38;5;231m",
    "\x1b[48;5;94m\x1b[38;5;231m",
)
PLAIN = "\x1b[0m"
SIGNS = {SPACE: "␣", " ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
PAGE_STYLE = """
.tokens { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.9; font-family: ui-monospace, monospace }
.tokens span { padding: .1rem 0; border-radius: .2rem } .tokens .t0 { background: #1d5fbf33 } .tokens .t1 { background: #b4540a33 }
.tokens .byte { text-decoration: underline dotted } .tokens .lost { outline: 1px solid var(--worse) }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem }
code { font-family: ui-monospace, monospace }
"""


@dataclass(frozen=True)
class Token:
    """One token as it is shown: the text of its piece with visible spaces, and what sort of token it is."""

    id: int
    text: str
    sort: str  # text, byte, or lost (an unknown character)


@dataclass(frozen=True)
class Word:
    """How the tokens of a word came to be: its symbols before the first merge and after each."""

    text: str
    rows: list[tuple[list[str], str]]  # symbols, and what was merged into which piece


@dataclass(frozen=True)
class Look:
    """What one tokenizer makes of the text."""

    name: str
    about: str
    figures: dict[str, str]
    normalized: str  # the text's beginning after normalisation; empty if that changed nothing
    tokens: list[Token]  # of the text's beginning
    words: list[Word]


def run(names: list[str], text: str, *, html: Path | None = None, as_json: bool = False) -> None:
    """Shows what each tokenizer makes of the text; with `as_json` as one line of JSON per tokenizer. Raises MinitronError where there is
    no text or no such tokenizer."""
    if not text:
        raise MinitronError("there is no text", hint='such as: minitron inspect recipes/demo.toml "hello you"', code=2)
    tokenizers = {name: target.find(name, command="inspect")[0] for name in names}
    looks = [look(name, tokenizer, text) for name, tokenizer in tokenizers.items()] if html or not as_json else []
    for name, tokenizer in tokenizers.items() if as_json else ():
        ids = list(itertools.chain.from_iterable(tokenizer.encode_many(list(parts(clean(text))))))
        spelt = [name_of(tokenizer, i) for i in ids]
        tell(json.dumps({"tokenizer": name, "ids": ids, "pieces": spelt}))
    for found in [] if as_json else looks:
        _tell(found)
    if len(text) > SHOWN_CHARS and not as_json:
        say(f"the figures are of all {len(text):,} characters, the tokens of the first {SHOWN_CHARS:,}")
    if html:
        atomic_write(html, page(looks, text))
        say(f"inspect: the page is {html}")


def read(text: str) -> str:
    """The text on the command line, or for `-` the text on stdin, in which bytes that are not UTF-8 become U+FFFD."""
    return sys.stdin.buffer.read().decode(errors="replace").removeprefix("\ufeff") if text == "-" else text


def look(name: str, tokenizer: Tokenizer, text: str) -> Look:
    """Everything that is shown about one tokenizer and the text."""
    text = clean(text)
    counts = [len(ids) for ids in tokenizer.encode_many(list(parts(text)))]
    begin = text[:SHOWN_CHARS]
    ids = tokenizer.encode(begin)
    total, size = sum(counts), len(text.encode())
    figures = {
        "tokens": f"{total:,}",
        "characters": f"{len(text):,}",
        "bytes": f"{size:,}",
        "characters per token": f"{len(text) / max(1, total):.2f}",
        "bytes per token": f"{size / max(1, total):.2f}",
    }
    normalized = tokenizer.normalized(begin)
    changed = normalized.replace(SPACE, " ") != begin.replace(SPACE, " ")
    about = f"{kinds.name_of(tokenizer)}, {tokenizer.vocab_size:,} tokens"
    return Look(
        name,
        about,
        figures,
        _signs(normalized)[:SHOWN_NORMALIZED] if changed else "",
        [_token(tokenizer, i) for i in ids],
        merged_words(tokenizer, normalized),
    )


def _token(tokenizer: Tokenizer, token: int) -> Token:
    raw = tokenizer.piece_bytes(token)
    if not raw:
        return Token(token, "?", "lost")
    if tokenizer.is_byte(token):
        return Token(token, f"<{raw[0]:02X}>" if raw[0] >= 128 or raw[0] < 32 else _signs(raw.decode()), "byte")
    return Token(token, _signs(raw.decode(errors="replace")), "text")


def _signs(text: str) -> str:
    return "".join(SIGNS.get(c, c) for c in text)


def merged_words(tokenizer: Tokenizer, normalized: str) -> list[Word]:
    """The first WORDS distinct words of a normalised text in which anything was merged; none for a tokenizer that does not merge by
    scores."""
    try:
        merges = Merges(tokenizer)
    except MinitronError:
        return []
    found: dict[str, Word] = {}
    merged = merges.of(normalized)
    at = 0
    for group in _groups(merged.symbols):
        text = "".join(group)
        steps = [step for step in merged.steps if at <= step.at < at + len(text)]
        if steps and len(found) < WORDS:
            found.setdefault(text, Word(_signs(text), _rows(text, at, steps, merges)))
        at += len(text)
    return list(found.values())


def _groups(symbols: list[str]) -> list[list[str]]:
    """The tokens of each word. A new word begins at a token that starts with white space, or after one that ends with a newline or tab."""
    groups: list[list[str]] = []
    for symbol in symbols:
        if not groups or symbol[0] in f"{SPACE} \n\t" or groups[-1][-1][-1] in "\n\t":
            groups.append([])
        groups[-1].append(symbol)
    return groups


def _rows(text: str, at: int, steps: list[Step], merges: Merges) -> list[tuple[list[str], str]]:
    """The word's symbols before the first merge, and after each merge."""
    symbols, starts, _ = merges.split(text)
    cells = {start + at: symbol for start, symbol in zip(starts, symbols, strict=True)}
    rows = [(list(cells.values()), "")]
    for step in steps:
        cells[step.at] = step.left + step.right
        del cells[step.at + len(step.left)]
        rows.append((list(cells.values()), f"{_signs(step.left + step.right)}  (merge {1 - step.score:,.0f})"))
    return [([_signs(c) for c in symbols], told) for symbols, told in rows]


# ---- in the terminal


def _tell(found: Look) -> None:
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    tell(f"{found.name}: {found.about}")
    tell("  " + ", ".join(f"{value} {name}" for name, value in found.figures.items()))
    if found.normalized:
        tell(f"  normalised to: {found.normalized}")
    print(coloured_line(found.tokens) if coloured else plain_line(found.tokens), flush=True)
    tell("  ids: " + " ".join(str(token.id) for token in found.tokens))
    for word in found.words:
        tell(f"  how {word.text} was merged:")
        for symbols, told in word.rows:
            tell(f"    {' '.join(symbols)}" + (f"    <- {told}" if told else ""))
    tell("")


def plain_line(tokens: list[Token]) -> str:
    return "  " + visible("│".join(token.text for token in tokens).replace("↵│", "↵│\n  "))


def coloured_line(tokens: list[Token]) -> str:
    """The tokens on two alternating backgrounds. A newline is shown as a sign and then begins a new line."""
    line = (
        f"{COLOURS[n % 2]}{visible(token.text)}{PLAIN}" + ("\n  " if token.text.endswith("↵") else "")
        for n, token in enumerate(tokens)
    )
    return "  " + "".join(line)


# ---- on a page


def page(looks: list[Look], text: str) -> str:
    """The tokenizers side by side; a token's id is its title (a tooltip)."""
    body = el(
        "main",
        el("h1", "What tokenizers make of a text"),
        el("p", f"The figures are of all {len(text):,} characters, the tokens of the first {SHOWN_CHARS:,}.")
        if len(text) > SHOWN_CHARS
        else None,
        el("div", [_section(found) for found in looks], class_="side"),
    )
    return document("Tokens", body, style=STYLE + PAGE_STYLE)


def _section(found: Look) -> Html:
    tokens = [
        el(
            "span",
            token.text + ("\n" if token.text.endswith("↵") else ""),
            class_=_classes(n, token),
            title=f"{token.id}",
        )
        for n, token in enumerate(found.tokens)
    ]
    figures = [el("div", el("dt", name), el("dd", value)) for name, value in found.figures.items()]
    words = [
        el(
            "details",
            el("summary", word.text),
            [el("div", el("code", " ".join(s)), f"  {told}") for s, told in word.rows],
        )
        for word in found.words
    ]
    return el(
        "section",
        el("h2", found.name),
        el("p", found.about),
        el("dl", figures),
        el("p", "normalised to ", el("code", found.normalized)) if found.normalized else None,
        el("p", tokens, class_="tokens"),
        el("details", el("summary", "Ids"), el("p", el("code", " ".join(str(token.id) for token in found.tokens)))),
        [el("h3", "How words were merged"), words] if words else None,
    )


def _classes(number: int, token: Token) -> str:
    return f"t{number % 2}" + ("" if token.sort == "text" else f" {token.sort}")
