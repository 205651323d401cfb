"""What the kinds built on SentencePiece have in common: the file, encoding and decoding, and lossless training.

The markers are CONTROL pieces, which SentencePiece never matches in text, whatever the normalisation. Knows nothing about
which pieces a kind takes in.
"""

import base64
import io
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from google.protobuf.message import DecodeError
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from minitron.core.errors import MinitronError
from minitron.core.processes import cores
from minitron.core.text import mended
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.base import MARKERS, ROLES, Tokenizer
from minitron.tokenizer.fast import tokenizer_json
from minitron.tokenizer.normalization import Normalizer
from minitron.tokenizer.words import SPACE, Words, separable

UNKNOWN, UNKNOWN_ID = "<unk>", 0
RESERVED = {"\0", "\x1f", "\u2585"}  # characters that no SentencePiece vocabulary has: they become bytes
PART_CHARS = 100_000  # SentencePiece learns nothing from a text of more than `max_sentence_length` bytes
TYPES = {1: "N", 2: "U", 3: "C", 4: "D", 5: "X", 6: "B"}  # a piece's type in vocab.json


class SentencePiece(Tokenizer):
    """A tokenizer whose file is a SentencePiece model."""

    @classmethod
    @abstractmethod
    def is_kind_of(cls, proto: ModelProto) -> bool:
        """Whether a SentencePiece model is of this kind, and of no other."""

    @classmethod
    def reads(cls, data: bytes) -> bool:
        proto = _parsed(data)
        return proto is not None and cls.is_kind_of(proto)

    def __init__(self, data: bytes, path: Path):
        self.path, self.data = path, data
        try:
            self.sp = sentencepiece.SentencePieceProcessor(model_proto=data)
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
        self.markers, self.end = dict(zip(ROLES, ids[:-1], strict=True)), ids[-1]

    @property
    def vocab_size(self) -> int:
        return self.sp.get_piece_size()

    @cached_property
    def never_sampled(self) -> list[int]:
        return [i for i in range(self.vocab_size) if (self.sp.is_control(i) or self.sp.is_unknown(i)) and i != self.end]

    def piece_bytes(self, token: int) -> bytes:
        if self.sp.is_control(token) or self.sp.is_unknown(token):
            return b""
        piece = self.sp.id_to_piece(token)  # a byte piece is named <0xE2>
        return bytes([int(piece[3:5], 16)]) if self.sp.is_byte(token) else piece.replace(SPACE, " ").encode()

    def normalized(self, text: str) -> str:
        return self.sp.normalize(clean(text))

    def is_byte(self, token: int) -> bool:
        return self.sp.is_byte(token)

    def encode(self, text: str | bytes) -> list[int]:
        return self.sp.encode(clean(text))

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        return self.sp.encode([clean(t) for t in texts], num_threads=cores())

    def encode_flat(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        return self._words.encode([clean(t) for t in texts]) if self._words else super().encode_flat(texts)

    @cached_property
    def _words(self) -> Words | None:
        proto = ModelProto.FromString(self.data)
        return Words(proto) if separable(proto) else None

    def decode(self, ids: list[int]) -> str:
        return self.sp.decode(list(ids))

    def to_vocab(self) -> dict[str, Any]:
        """All that the SentencePiece model says about encoding."""
        proto = ModelProto.FromString(self.data)
        normalizer = proto.normalizer_spec
        return {
            "kind": "sentencepiece-bpe",
            "pieces": [p.piece for p in proto.pieces],
            "scores": [p.score for p in proto.pieces],
            "types": "".join(TYPES[self.used_as(p)] for p in proto.pieces),
            "unk_id": proto.trainer_spec.unk_id,
            "unk_surface": proto.trainer_spec.unk_surface,
            "byte_fallback": proto.trainer_spec.byte_fallback,
            "normalizer": {
                "add_dummy_prefix": normalizer.add_dummy_prefix,
                "remove_extra_whitespaces": normalizer.remove_extra_whitespaces,
                "escape_whitespaces": normalizer.escape_whitespaces,
                "precompiled_charsmap": base64.b64encode(normalizer.precompiled_charsmap).decode(),
            },
            "treat_whitespace_as_suffix": proto.trainer_spec.treat_whitespace_as_suffix,
            "chat": self.markers | {"end": self.end},
        }

    def to_tokenizer_json(self) -> dict[str, Any]:
        return tokenizer_json(self.to_vocab())

    def used_as(self, piece: ModelProto.SentencePiece) -> int:
        """The type that a piece has for the chat program, which merges pairs."""
        return piece.type


@lru_cache(maxsize=2)  # every kind looks at the same file
def _parsed(data: bytes) -> ModelProto | None:
    """The model in a file; None if it holds none."""
    try:
        proto = ModelProto.FromString(data)
    except DecodeError:
        return None
    return proto if proto.pieces else None


def clean(text: str | bytes) -> str | bytes:
    """The text without lone surrogates; bytes, which have none, as they are."""
    return mended(text) if isinstance(text, str) else text


def parts(text: str) -> Iterator[str]:
    """A text in parts of PART_CHARS characters, because a whole book at once is too much for SentencePiece."""
    return (text[at : at + PART_CHARS] for at in range(0, len(text), PART_CHARS))


def train_model(
    texts: Iterable[str],
    config: TokenizerConfig,
    normalizer: Normalizer,
    *,
    symbols: Sequence[str],
    byte_fallback: bool,
    **how: Any,
) -> bytes:
    """Trains a model with the markers; decoding gives back every text as `normalizer` made it.

    `texts` are normalised already, `symbols` are pieces that merging leaves alone, `how` are further options of SentencePiece's
    trainer.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        control_symbols=list(MARKERS),
        user_defined_symbols=list(symbols),
        unk_id=UNKNOWN_ID,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        byte_fallback=byte_fallback,
        split_digits=config.split_digits,
        normalization_rule_name="identity",
        # Lossless: decode(encode(text)) == text, so that an answer's layout is what the model wrote.
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        num_threads=1,
        max_sentence_length=1 << 20,
        minloglevel=2,
        **how,
    )
    if not normalizer.charsmap:
        return model.getvalue()
    proto = ModelProto.FromString(model.getvalue())
    proto.normalizer_spec.name = config.normalization
    proto.normalizer_spec.precompiled_charsmap = normalizer.charsmap
    return proto.SerializeToString(deterministic=True)


def reason(error: Exception) -> str:
    """The last part of SentencePiece's message, without its source positions."""
    return str(error).strip().split("] ")[-1].strip() or "no text"
