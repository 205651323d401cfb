"""What every kind of tokenizer does: text to ids and back, with the four chat markers.

A kind is a subclass of `Tokenizer` in a file of its own (`bpe`, `char`), and a line in `recipe.kinds.TOKENIZERS`; which kind a
file is, the file itself says (`kinds.load`). Whatever a person types, by whatever normalisation, no id that `encode` gives is
a marker's: only `chat_template` puts those in. Knows nothing about messages.
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
    """The text has no more than `most` tokens of the kind wanted."""

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
        """Learns from the texts and returns the file's bytes: the same texts, options and seed give the same ones.

        Raises TooManyTokens, and MinitronError for other numbers of tokens that cannot be.
        """

    @classmethod
    def reckoned_size(cls, config: TokenizerConfig) -> int:
        """How many tokens to reckon with before there is a tokenizer."""
        return config.vocab_size

    @classmethod
    @abstractmethod
    def reads(cls, data: bytes) -> bool:
        """Whether this is a file of this kind."""

    @abstractmethod
    def __init__(self, data: bytes, path: Path):
        """From a file's bytes; `path` is for messages. Raises MinitronError where they lack something."""

    @property
    @abstractmethod
    def vocab_size(self) -> int: ...

    @abstractmethod
    def encode(self, text: str | bytes) -> list[int]:
        """Ids of any text; bytes need not be UTF-8. Never a marker's."""

    @abstractmethod
    def decode(self, ids: list[int]) -> str:
        """Text of ids; markers decode to nothing, broken UTF-8 to U+FFFD."""

    @abstractmethod
    def piece_bytes(self, token: int) -> bytes:
        """The bytes of text that an id stands for; none for markers and the unknown."""

    @cached_property
    @abstractmethod
    def never_sampled(self) -> list[int]:
        """Ids that no answer may hold: the unknown and every marker but the end's."""

    def normalized(self, text: str) -> str:
        """What is cut into tokens: the text after normalisation, with ▁ for a space where pieces write it so."""
        return text

    def is_byte(self, token: int) -> bool:
        """Whether an id stands for a byte of a character, not for a text."""
        return False

    def to_vocab(self) -> dict[str, Any]:
        """vocab.json of the bundle (docs/formats.md). Raises MinitronError where the chat program has no such tokenizer."""
        raise MinitronError(
            f"the chat program has no tokenizer like {self.path}", hint="set tokenizer.kind = 'bpe' and train anew"
        )

    def extended(self) -> bytes:
        """The file of the same with our markers, where it has none."""
        return self.path.read_bytes()

    def to_tokenizer_json(self) -> dict[str, Any]:
        """The same as a tokenizer.json of the `tokenizers` library. Raises MinitronError where that has none like it."""
        raise MinitronError(
            f"other programs have no tokenizer like {self.path}", hint="set tokenizer.kind = 'bpe' and train anew"
        )

    @property
    def pad(self) -> int:
        """What other programs may fill up rows with: an id that no text has."""
        return next(iter(self.never_sampled), self.end)

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """`encode` of each."""
        return [self.encode(text) for text in texts]

    def encode_flat(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts one after the other, int32, and (texts + 1,) where each text's begin and the last one's end."""
        found = self.encode_many(texts)
        ends = np.cumsum([0, *map(len, found)])
        return np.fromiter(itertools.chain.from_iterable(found), np.int32, count=int(ends[-1])), ends

    @cached_property
    def byte_counts(self) -> np.ndarray:
        """(vocab_size,) int64: bytes of text that each id stands for."""
        return np.array([len(self.piece_bytes(i)) for i in range(self.vocab_size)], np.int64)

    def tokens_within(self, ids: list[int], length: int) -> int:
        """How many of the first ids make up a text of at most `length` characters."""
        return bisect.bisect_right(range(len(ids) + 1), length, key=lambda count: len(self.decode(ids[:count]))) - 1

    def content(self, text: str) -> str:
        """What the template takes of a message's text: all of it, or what some imported ones leave."""
        return text.strip() if self.form.strip else text

    @cached_property
    def start(self) -> list[int]:
        """What stands before the first message of a dialogue: nothing, but in some imported templates."""
        return []

    @cached_property
    def opening(self) -> dict[str, list[int]]:
        """What stands before each role's text: its marker. Empty where the tokenizer has no dialogues."""
        return {role: [marker] for role, marker in self.markers.items()}

    @cached_property
    def closing(self) -> list[int]:
        """What stands behind it: the end marker, which answers learn to write, and what a template may have after that."""
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
