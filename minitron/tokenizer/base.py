"""What every kind of tokenizer does: it turns text into ids and back, and has the four chat markers.

A kind is a subclass of `Tokenizer` in a file of its own (`bpe`, `char`) and a line in `recipe.kinds.TOKENIZERS`. Which kind a
tokenizer file holds is recognised from its contents (`kinds.load`). `encode` never gives a marker's id, whatever a person types
and whatever the normalisation: only `chat_template` adds markers. Knows nothing about messages.
"""

import bisect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minitron.core.errors import MinitronError
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.forms import OURS, ROLES, Form

MARKERS = tuple(f"<|{name}|>" for name in (*ROLES, "end"))


class TooManyTokens(MinitronError):
    """The text gives at most `most` tokens, fewer than the vocabulary size asked for."""

    def __init__(self, message: str, *, most: int):
        super().__init__(message, hint="lower tokenizer.vocab_size, or bring more text")
        self.most = most


class Tokenizer(ABC):
    """A tokenizer that was read from a file. `markers` are the ids of the roles' markers, `end` is the end marker's."""

    path: Path
    markers: dict[str, int]
    end: int
    form: Form = OURS  # how it writes dialogues

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
        """Learns from the texts and returns the tokenizer file's bytes; the same texts, options and seed give the same bytes.

        Raises TooManyTokens, and MinitronError for any other vocabulary size that is impossible.
        """

    @classmethod
    def reckoned_size(cls, config: TokenizerConfig) -> int:
        """The vocabulary size to plan with before the tokenizer exists."""
        return config.vocab_size

    @classmethod
    @abstractmethod
    def reads(cls, data: bytes) -> bool:
        """Whether this is a file of this kind."""

    @abstractmethod
    def __init__(self, data: bytes, path: Path):
        """Reads a tokenizer from a file's bytes; `path` names the file in messages. Raises MinitronError if something is missing."""

    @property
    @abstractmethod
    def vocab_size(self) -> int: ...

    @abstractmethod
    def encode(self, text: str | bytes) -> list[int]:
        """Ids of any text, never a marker's; bytes need not be valid UTF-8."""

    @abstractmethod
    def decode(self, ids: list[int]) -> str:
        """Text of ids; markers decode to nothing, broken UTF-8 to U+FFFD."""

    @abstractmethod
    def piece_bytes(self, token: int) -> bytes:
        """The bytes of text that an id stands for; empty for markers and the unknown token."""

    @cached_property
    @abstractmethod
    def never_sampled(self) -> list[int]:
        """Ids that no answer may hold: the unknown token and every marker except the end marker."""

    def normalized(self, text: str) -> str:
        """The text after normalisation, as it is cut into tokens; a space is ▁ if the pieces write it so."""
        return text

    def name_without_text(self, token: int) -> str:
        """How an id that stands for no text is shown: a marker by its name, any other as <unk>."""
        names = {marker: f"<|{role}|>" for role, marker in self.markers.items()} | {self.end: "<|end|>"}
        return names.get(token, "<unk>")

    def is_byte(self, token: int) -> bool:
        """Whether an id stands for one byte of a character instead of for text."""
        return False

    def to_vocab(self) -> dict[str, Any]:
        """The contents of the bundle's vocab.json (docs/formats.md). Raises MinitronError if the chat program has no such tokenizer."""
        raise MinitronError(
            f"the chat program cannot use the tokenizer {self.path}", hint="set tokenizer.kind = 'bpe' and train anew"
        )

    def extended(self) -> bytes:
        """The file's bytes, with our markers added if it has none."""
        return self.path.read_bytes()

    def to_tokenizer_json(self) -> dict[str, Any]:
        """This tokenizer as a tokenizer.json of the `tokenizers` library. Raises MinitronError if the library has none like it."""
        raise MinitronError(
            f"other programs cannot use the tokenizer {self.path}", hint="set tokenizer.kind = 'bpe' and train anew"
        )

    @property
    def pad(self) -> int:
        """The id that other programs may pad rows with: one that no text contains."""
        return next(iter(self.never_sampled), self.end)

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """`encode` of each text."""
        return [self.encode(text) for text in texts]

    def encode_flat(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts one after the other, int32, and (texts + 1,) offsets: where each text's ids begin and the last
        one's end."""
        found = self.encode_many(texts)
        ends = np.cumsum([0, *map(len, found)])
        return np.fromiter(itertools.chain.from_iterable(found), np.int32, count=int(ends[-1])), ends

    @cached_property
    def byte_counts(self) -> np.ndarray:
        """(vocab_size,) int64: how many bytes of text each id stands for."""
        return np.array([len(self.piece_bytes(i)) for i in range(self.vocab_size)], np.int64)

    def tokens_within(self, ids: list[int], length: int) -> int:
        """How many ids from the beginning decode to a text of at most `length` characters."""
        return bisect.bisect_right(range(len(ids) + 1), length, key=lambda count: len(self.decode(ids[:count]))) - 1

    def content(self, text: str) -> str:
        """The part of a message's text that the template keeps: all of it, but some imported templates strip white space around it."""
        return text.strip() if self.form.strip else text

    @cached_property
    def start(self) -> list[int]:
        """The ids before the first message of a dialogue; empty except in some imported templates."""
        return []

    @cached_property
    def opening(self) -> dict[str, list[int]]:
        """The ids before each role's text: its marker. Empty if the tokenizer has no chat markers."""
        return {role: [marker] for role, marker in self.markers.items()}

    @cached_property
    def closing(self) -> list[int]:
        """The ids after a message's text: the end marker, which answers learn to write, and what a template may have after it."""
        return [self.end]

    @property
    def system(self) -> int:
        return self.markers["system"]

    @property
    def user(self) -> int:
        return self.markers["user"]

    @property
    def assistant(self) -> int:
        return self.markers["assistant"]
