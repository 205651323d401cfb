"""SentencePiece, by pairs (BPE) or by characters, with the four chat markers. Made by: minitron tokenizer recipes/demo.toml.

The markers are CONTROL pieces, which SentencePiece never matches in text: whatever a person types, by whatever
normalisation, cannot become one. Only `chatml` puts their ids in. Knows nothing about messages.
"""

import bisect
import io
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import sentencepiece

from minitron.core.errors import MinitronError
from minitron.recipe.schema import Config, TokenizerConfig

MARKERS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
UNKNOWN_ID = 0
SPACE = "\u2581"  # how SentencePiece writes a space
RESERVED = {"\0", "\x1f", "\u2585"}  # what SentencePiece takes into no vocabulary: bytes stand for them
PART_CHARS = 100_000  # SentencePiece learns nothing from a text of more than `max_sentence_length` bytes


class Tokenizer:
    """A trained model. `system`, `user`, `assistant`, `end` are the ids of the markers."""

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            self.sp = sentencepiece.SentencePieceProcessor(model_proto=self.path.read_bytes())
        except FileNotFoundError:
            raise MinitronError(f"there is no tokenizer {path}", hint="run: minitron tokenizer RECIPE") from None
        except (RuntimeError, OSError) as error:
            raise MinitronError(
                f"{path} is not a SentencePiece model", hint="make it anew: minitron tokenizer RECIPE --force"
            ) from error
        ids = [self.sp.piece_to_id(marker) for marker in MARKERS]
        if UNKNOWN_ID in ids or not all(self.sp.is_control(i) for i in ids):
            raise MinitronError(
                f"{path} lacks the chat markers {' '.join(MARKERS)} as control pieces",
                hint="make it anew: minitron tokenizer RECIPE --force",
            )
        self.system, self.user, self.assistant, self.end = ids

    @property
    def vocab_size(self) -> int:
        return self.sp.get_piece_size()

    @property
    def never_sampled(self) -> list[int]:
        """Ids that no answer may hold: unknown and every control piece but the end marker."""
        return [i for i in range(self.vocab_size) if (self.sp.is_control(i) or self.sp.is_unknown(i)) and i != self.end]

    @cached_property
    def byte_counts(self) -> np.ndarray:
        """(vocab_size,) int64: bytes of text that each id stands for; none for markers and the unknown."""

        def count(i: int) -> int:
            if self.sp.is_control(i) or self.sp.is_unknown(i):
                return 0
            return 1 if self.sp.is_byte(i) else len(self.sp.id_to_piece(i).replace(SPACE, " ").encode())

        return np.array([count(i) for i in range(self.vocab_size)], np.int64)

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of any text; bytes need not be UTF-8."""
        return self.sp.encode(_clean(text))

    def tokens_within(self, ids: list[int], length: int) -> int:
        """How many of the first ids make up a text of at most `length` characters."""
        return bisect.bisect_right(range(len(ids) + 1), length, key=lambda count: len(self.decode(ids[:count]))) - 1

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        return self.sp.encode([_clean(t) for t in texts], num_threads=2)

    def decode(self, ids: list[int]) -> str:
        """Text of ids; markers decode to nothing, broken UTF-8 among byte pieces to U+FFFD."""
        return self.sp.decode(list(ids))


def _clean(text: str | bytes) -> str | bytes:
    """Lone surrogates (from JSON escapes) are no text: U+FFFD, as in Go."""
    if isinstance(text, str) and not text.isascii():
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text) if _has_surrogate(text) else text
    return text


def _has_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def train(texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
    """Trains on an iterator of texts and returns the `.model` file's bytes.

    The same texts, options and seed give the same bytes. Raises MinitronError when there is too little text for
    `vocab_size` tokens.
    """
    if config.kind == "char":
        # The spaces around it: SentencePiece takes newlines off a text's end.
        return _train([f" {_alphabet(texts)} "], config, model_type="char", use_all_vocab=True, character_coverage=1.0)
    sentencepiece.set_random_generator_seed(seed)
    how = {"vocab_size": config.vocab_size, "character_coverage": config.character_coverage}
    try:
        return _train((part for text in texts for part in parts(text)), config, model_type="bpe", **how)
    except (RuntimeError, StopIteration) as error:
        raise MinitronError(
            f"SentencePiece could not make {config.vocab_size} tokens from this text: {_reason(error)}",
            hint="change tokenizer.vocab_size, or bring more text",
        ) from error


def parts(text: str) -> Iterator[str]:
    """A text in parts of PART_CHARS characters: a book is too much for SentencePiece at once."""
    return (text[at : at + PART_CHARS] for at in range(0, len(text), PART_CHARS))


def _train(texts: Iterable[str], config: TokenizerConfig, **how) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        control_symbols=list(MARKERS),
        unk_id=UNKNOWN_ID,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        byte_fallback=config.byte_fallback,
        split_digits=config.split_digits,
        normalization_rule_name=config.normalization,
        # Lossless: decode(encode(text)) == text, so that an answer's layout is what the model wrote.
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        num_threads=1,
        max_sentence_length=1 << 20,
        minloglevel=2,
        **how,
    )
    return model.getvalue()


def _alphabet(texts: Iterable[str]) -> str:
    """Every character of the texts that SentencePiece can have, in the order of their code points. All of the text is looked
    at, which takes no longer than reading it; SentencePiece itself sees no more of it than this."""
    found: set[str] = set()
    for text in texts:
        found.update(_clean(text))
    return "".join(sorted(found - RESERVED))


def expected_size(config: Config) -> int:
    """Tokens of the recipe's tokenizer; by characters, before the text was counted, what the recipe reckons with."""
    path = config.layout.tokenizer
    if config.tokenizer.kind == "char" and path.exists():
        return Tokenizer(path).vocab_size
    return config.tokenizer.vocab_size


def _reason(error: Exception) -> str:
    """The last part of SentencePiece's message, without its source positions."""
    return str(error).strip().split("] ")[-1].strip() or "no text"
