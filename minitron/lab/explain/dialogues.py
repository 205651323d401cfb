"""The training dialogues that a page carries, in which it looks for those nearest to a question.

A page has room for some thousands. First come the dialogues with a word in their questions that no earlier dialogue has there, so that
whatever was asked only once in all the data is included. The others are drawn at random. The page itself computes how near a dialogue
is (assets/nearest.js). Knows nothing about models.
"""

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from minitron.core.errors import MinitronError
from minitron.data import documents, store
from minitron.recipe.schema import Config

ROOM = 330_000  # bytes, of the packed list
MOST = 30_000  # candidates for a place: at most so many dialogues with a new word, and as many others
TURNS, CHARACTERS = 12, 400  # turns of a dialogue, characters of a turn: longer ones are cut
EXCERPT = 300  # characters of raw text that take the place of a dialogue

Dialogue = list[str]  # the system message or "", then the user's and the assistant's turns


def packed(config: Config) -> bytes:
    """Gzipped JSON of at most ROOM bytes, with as many dialogues as fit:
    {"all": how many there are, "dialogues": [[system, question, answer, ...], ...]}.
    A base model has texts in place of dialogues; for it the list is [["", excerpt], ...]."""
    try:
        found, count = chosen(
            texts(config) if config.base else read(config.layout.dialogues("train")), seed=config.seed
        )
    except MinitronError:  # an imported model has none
        found, count = [], 0
    while True:
        # sorted, because neighbours that have much in common compress better
        shown = json.dumps({"all": count, "dialogues": sorted(found, key=lambda d: d[1:])}, ensure_ascii=False)
        data = gzip.compress(shown.encode(errors="replace"), 9, mtime=0)
        if len(data) <= ROOM:
            return data
        found = found[: int(len(found) * ROOM / len(data) * 0.97)]


def chosen(found: Iterable[Dialogue], *, seed: int) -> tuple[list[Dialogue], int]:
    """The dialogues in the order in which they get a place, and the number of all dialogues."""
    draw, words, new, rest, count = random.Random(seed), set[str](), list[Dialogue](), list[Dialogue](), 0
    for count, dialogue in enumerate(found, 1):
        asked = set(re.findall(r"\w+", " ".join(dialogue[1::2]).lower()))
        if len(new) < MOST and not asked <= words:
            new.append(dialogue)
            words |= asked
        elif len(rest) < MOST:
            rest.append(dialogue)
        elif (place := draw.randrange(count)) < MOST:
            rest[place] = dialogue
    draw.shuffle(rest)
    return new + rest, count


def read(path: Path) -> Iterator[Dialogue]:
    """The dialogues of the data stage that have a question."""
    for starts, roles, contents in store.messages(path):
        for begin, end in zip(starts[:-1], starts[1:], strict=True):
            system = begin < end and roles[begin] == "system"
            turns = [shortened(text) for text in contents[begin + system : end][:TURNS]]
            if turns:
                yield [shortened(contents[begin]) if system else "", *turns]


def shortened(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"


def texts(config: Config) -> Iterator[Dialogue]:
    """The raw training text in excerpts."""
    assert config.pretrain is not None
    for text in documents.texts(config.pretrain, "train"):
        for at in range(0, len(text), EXCERPT):
            yield ["", text[at : at + EXCERPT]]
