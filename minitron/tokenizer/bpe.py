"""`bpe`: byte-pair encoding (Sennrich et al., arXiv 1508.07909) by SentencePiece, with bytes for characters it has not seen.

A piece may begin with a space: " the" and "the" are two different tokens.
"""

import re
from collections.abc import Iterable
from typing import ClassVar

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from minitron.core.errors import MinitronError
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.base import TooManyTokens
from minitron.tokenizer.normalization import Normalizer
from minitron.tokenizer.sentencepiece import SPACE, SentencePiece, clean, parts, reason, train_model


class BPE(SentencePiece):
    symbols: ClassVar[tuple[str, ...]] = ()  # symbols that merging leaves alone, besides the recipe's
    byte_tokens: ClassVar[bool] = True  # whether there may be tokens for the bytes of unknown characters

    @classmethod
    def is_kind_of(cls, proto: ModelProto) -> bool:
        spec = proto.trainer_spec
        merges = spec.model_type == spec.BPE and any(piece.type == piece.NORMAL for piece in proto.pieces)
        if SPACE in spec.user_defined_symbols or SPACE in cls.symbols:
            return merges and SPACE in spec.user_defined_symbols and SPACE in cls.symbols
        return merges and spec.byte_fallback == cls.byte_tokens

    @classmethod
    def train(cls, texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
        sentencepiece.set_random_generator_seed(seed)
        how = {"vocab_size": config.vocab_size, "character_coverage": config.character_coverage}
        normalizer = Normalizer(config)
        learnt = (normalizer.text(clean(part)) for text in texts for part in parts(text))
        try:
            return train_model(
                learnt,
                config,
                normalizer,
                model_type="bpe",
                symbols=[*cls.symbols, *config.user_symbols],
                byte_fallback=cls.byte_tokens and config.byte_fallback,
                **how,
            )
        except (RuntimeError, StopIteration) as error:
            said = reason(error)
        if least := re.search(r"required_chars. \d+ vs (\d+)", said):
            raise MinitronError(
                f"tokenizer.vocab_size is {config.vocab_size}, but the characters, bytes and markers alone are {least[1]}",
                hint="raise it, or lower tokenizer.character_coverage",
            )
        told = f"SentencePiece could not make {config.vocab_size} tokens from this text: {said}"
        if most := re.search(r"to a value <= (\d+)", said):
            raise TooManyTokens(told, most=int(most[1]))
        raise MinitronError(told, hint="change tokenizer.vocab_size, or bring more text")
