"""Which tokens of a vocabulary live: counts them in a text and puts each into one class. Run: minitron census recipes/demo.toml

    live        a target of the loss at least RARE times
    rare        a target, but fewer times
    masked      only read, in what users say: no loss is counted there
    scaffold    never in the encoded text, but a step on the way to a longer token that is
    unseen      none of the above, though some other text would contain it
    unreachable no text is encoded to it: even its own text is encoded to other tokens
    marker      a marker of the chat template, or the unknown token

If the run has a trained model, also how long each token's embedding is, and its loss on held-out text. Knows nothing about pages.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from minitron.core.errors import MinitronError
from minitron.lab.corpus import Piece, batches
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.byte_bpe import ByteBPE
from minitron.tokenizer.byte_level import merge_ids
from minitron.tokenizer.merges import Merges

RARE = 10
CLASSES = ("live", "rare", "masked", "scaffold", "unseen", "unreachable", "marker")
WORDS = ("a", "the", "of", "and", "to", "in", "и", "в", "не", "на", "что", "с")  # the commonest of English and Russian
# First byte of a character in UTF-8, from 0xC2 on -> how many code points begin with it.
LEAD = {b: 64 for b in range(0xC2, 0xE0)} | {b: 4096 for b in range(0xE1, 0xF0)} | {0xE0: 2048, 0xED: 2048}
LEAD |= {0xF0: 3 << 16, 0xF4: 1 << 16} | {b: 1 << 18 for b in (0xF1, 0xF2, 0xF3)}


@dataclass
class Counts:
    """Counts over a text. Arrays are (vocab_size,)."""

    learnt: np.ndarray  # how often each id is a target of the loss
    read: np.ndarray  # how often it is only read
    raw_bytes: int = 0
    characters: int = 0
    words: Counter[str] = field(default_factory=Counter)  # of interest, in the text, whatever their tokens are

    @property
    def tokens(self) -> int:
        return int(self.learnt.sum() + self.read.sum())


@dataclass
class Trained:
    """What a trained model made of its tokens. Arrays are (vocab_size,)."""

    norms: np.ndarray  # lengths of the embedding's rows
    losses: np.ndarray  # mean nats where the token is the target, in held-out text; NaN where it never is
    targets: np.ndarray  # how often the token is the target there
    per_token: int  # weights of each token: its row of the embedding, and with an untied head its row of that too
    parameters: int


@dataclass
class WordCount:
    """A word of interest: how often it occurs in the text, and its tokens after a space (without the space's own token, if it has one).

    If the word is a single token, `met` is how often that token occurs, and `loss` is its mean loss.
    """

    word: str
    in_text: int
    tokens: list[int]
    met: int | None = None
    loss: float | None = None


@dataclass
class Census:
    """All figures. `classes` has a name of CLASSES for each id."""

    tokenizer: Tokenizer
    counts: Counts
    steps: np.ndarray  # (vocab_size,) how often each piece was merged on the way to a token of the text
    classes: list[str]
    words: list[WordCount]
    trained: Trained | None = None

    def members(self, name: str) -> list[int]:
        """The ids of a class, the most frequent first."""
        ids = [i for i, found in enumerate(self.classes) if found == name]
        return sorted(ids, key=lambda i: (-int(self.counts.learnt[i] + self.counts.read[i]), -int(self.steps[i]), i))

    def share(self, name: str) -> float:
        """The class's share of the vocabulary."""
        return len(self.members(name)) / self.tokenizer.vocab_size

    def parameters(self, name: str) -> float | None:
        """The share of the model's parameters that belong to the class's tokens; None without a model."""
        if self.trained is None:
            return None
        return len(self.members(name)) * self.trained.per_token / self.trained.parameters

    def to_json(self) -> dict[str, Any]:
        """The census for other programs. The numbers in `classes` sum to `pieces`, and `vocabulary` lists every token."""
        vocabulary = []
        for i, found in enumerate(self.classes):
            about: dict[str, Any] = {"id": i, "piece": name_of(self.tokenizer, i), "class": found}
            about |= {
                "learnt": int(self.counts.learnt[i]),
                "read": int(self.counts.read[i]),
                "steps": int(self.steps[i]),
            }
            if self.trained:
                about["norm"] = round(float(self.trained.norms[i]), 5)
                about["loss"] = round(float(self.trained.losses[i]), 4) if self.trained.targets[i] else None
            vocabulary.append(about)
        return {
            "tokenizer": str(self.tokenizer.path),
            "pieces": self.tokenizer.vocab_size,
            "classes": {name: len(self.members(name)) for name in CLASSES},
            "parameters": {name: self.parameters(name) for name in CLASSES},
            "characters_per_token": round(self.counts.characters / self.counts.tokens, 4),
            "bytes_per_token": round(self.counts.raw_bytes / self.counts.tokens, 4),
            "tokens": self.counts.tokens,
            "characters": self.counts.characters,
            "bytes": self.counts.raw_bytes,
            "words": [vars(word) for word in self.words],
            "vocabulary": vocabulary,
        }


def name_of(tokenizer: Tokenizer, token: int) -> str:
    """The text of a token with ␣ for spaces; <E2> for a byte token, a marker's name."""
    raw = tokenizer.piece_bytes(token)
    if tokenizer.is_byte(token):
        return f"<{raw[0]:02X}>"
    return raw.decode(errors="replace").replace(" ", "␣") if raw else tokenizer.name_without_text(token)


def count(found: Iterable[Piece], tokenizer: Tokenizer, *, words: Iterable[str] = WORDS) -> Counts:
    """Encodes all pieces and counts their tokens and `words`. Raises MinitronError where there is no text."""
    size = tokenizer.vocab_size
    counts = Counts(np.zeros(size, np.int64), np.zeros(size, np.int64))
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
    for batch in batches(found):
        for learnt in (True, False):
            texts = [piece.text for piece in batch if piece.learnt == learnt]
            ids = np.fromiter(itertools.chain.from_iterable(tokenizer.encode_many(texts)), np.int64)
            where = counts.learnt if learnt else counts.read
            where += np.bincount(ids, minlength=size)
            for text in texts:
                counts.raw_bytes += len(text.encode())
                counts.characters += len(text)
                counts.words.update(map(str.lower, pattern.findall(text)))
    if not counts.tokens:
        raise MinitronError("there is no text to count", hint="name files with text after the model")
    return counts


def census(
    counts: Counts,
    tokenizer: Tokenizer,
    *,
    words: Iterable[str] = WORDS,
    rare: int = RARE,
    trained: Trained | None = None,
) -> Census:
    """Sorts every token into its class."""
    made_of = steps_of(tokenizer)
    met = counts.learnt + counts.read
    steps = np.zeros(tokenizer.vocab_size, np.int64)
    for token in np.flatnonzero(met):
        for inner in made_of.get(int(token), ()):
            steps[inner] += met[token]
    dead = [i for i in range(tokenizer.vocab_size) if not met[i]]
    reachable = set(reached(tokenizer, dead))
    markers = {i for i in range(tokenizer.vocab_size) if not tokenizer.piece_bytes(i)}

    def class_of(token: int) -> str:
        if token in markers:
            return "marker"
        if counts.learnt[token]:
            return "live" if counts.learnt[token] >= rare else "rare"
        if counts.read[token]:
            return "masked"
        if steps[token]:
            return "scaffold"
        return "unseen" if token in reachable else "unreachable"

    classes = [class_of(i) for i in range(tokenizer.vocab_size)]
    return Census(tokenizer, counts, steps, classes, _words(counts, tokenizer, words, trained), trained)


def steps_of(tokenizer: Tokenizer) -> dict[int, list[int]]:
    """Token -> the pieces that are merged on the way to it, each as often as it is merged."""
    if isinstance(tokenizer, ByteBPE):
        return _steps_of_bytes(tokenizer)
    try:
        merges, pieces = Merges(tokenizer), tokenizer.to_vocab()["pieces"]
    except MinitronError:  # a tokenizer that does not merge
        return {}
    ids = {piece: i for i, piece in enumerate(pieces)}
    found = {}
    for piece in merges.scores:
        if len(piece) > 1:
            merged = merges.of(piece)
            if merged.symbols == [piece]:
                inner = [side for step in merged.steps for side in (step.left, step.right)]
                found[ids[piece]] = [ids[side] for side in inner if side in ids]
    return found


def _steps_of_bytes(tokenizer: ByteBPE) -> dict[int, list[int]]:
    """`steps_of` for byte-level pairs: of a token's bytes, the pair that comes first in the list is merged, again and again."""
    flat = merge_ids(tokenizer.typed["model"])
    made = {(flat[i], flat[i + 1]): (i, flat[i + 2]) for i in range(0, len(flat), 3)}
    of_byte = {raw: i for i in range(tokenizer.vocab_size) if len(raw := tokenizer.piece_bytes(i)) == 1}
    found = {}
    for token in {token for _, token in made.values()}:
        symbols, inner = [of_byte.get(bytes([byte]), -1) for byte in tokenizer.piece_bytes(token)], []
        while pairs := [(*made[pair], at) for at, pair in enumerate(pairwise(symbols)) if pair in made]:
            _, whole, at = min(pairs)
            inner += symbols[at : at + 2]
            symbols[at : at + 2] = [whole]
        if symbols == [token]:
            found[token] = inner
    return found


def reached(tokenizer: Tokenizer, tokens: list[int]) -> Iterator[int]:
    """Those of the tokens that some text is encoded to.

    A piece can come from a longer text only if its own text alone is encoded to it, since its merges are the same there. A byte token
    comes from a character that has no token and begins with this byte; every byte that continues a character counts as reachable, and
    so does a longer piece that is not whole characters, as byte-level pairs have.
    """
    texts = [tokenizer.piece_bytes(i).decode(errors="replace") for i in tokens]
    own = dict(zip(tokens, tokenizer.encode_many(texts), strict=True))
    taken: Counter[int] = Counter()  # first byte -> how many characters that begin with it have a token
    for i in range(tokenizer.vocab_size):
        raw = tokenizer.piece_bytes(i)
        if not tokenizer.is_byte(i) and len(raw.decode(errors="replace")) == 1:
            taken[raw[0]] += 1
    for i in tokens:
        raw = tokenizer.piece_bytes(i)
        if not tokenizer.is_byte(i) or (raw and raw[0] < 0x80):
            if own[i] == [i] or not _whole(raw):
                yield i
        elif 0x80 <= raw[0] < 0xC0 or taken[raw[0]] < LEAD.get(raw[0], 0):
            yield i


def _whole(raw: bytes) -> bool:
    """Whether bytes are whole characters."""
    return raw.decode(errors="ignore").encode() == raw


def _words(counts: Counts, tokenizer: Tokenizer, words: Iterable[str], trained: Trained | None) -> list[WordCount]:
    found = []
    for word in filter(lambda word: counts.words[word], words):
        ids = tokenizer.encode(f" {word}")
        tokens = ids[1:] if ids and ids == [*tokenizer.encode(" "), *ids[1:]] else ids
        about = WordCount(word, counts.words[word], tokens)
        if len(tokens) == 1:
            (token,) = tokens
            about.met = int(counts.learnt[token] + counts.read[token])
            if trained and trained.targets[token]:
                about.loss = float(trained.losses[token])
        found.append(about)
    return found
