"""`bpe`: byte-pair encoding (Sennrich et al., arXiv 1508.07909) by SentencePiece, with bytes for what it has not seen."""

import re
from collections.abc import Iterable

import sentencepiece

from minitron.core.errors import MinitronError
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.base import TooManyTokens
from minitron.tokenizer.sentencepiece import SentencePiece, parts, reason, train_model


class BPE(SentencePiece):
    model_type = "bpe"

    @classmethod
    def train(cls, texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
        sentencepiece.set_random_generator_seed(seed)
        how = {"vocab_size": config.vocab_size, "character_coverage": config.character_coverage}
        try:
            return train_model((part for text in texts for part in parts(text)), config, model_type="bpe", **how)
        except (RuntimeError, StopIteration) as error:
            said = reason(error)
        if least := re.search(r"required_chars. \d+ vs (\d+)", said):
            raise MinitronError(
                f"tokenizer.vocab_size is {config.vocab_size}, but characters, bytes and markers are {least[1]}",
                hint="raise it, or lower tokenizer.character_coverage",
            )
        told = f"SentencePiece could not make {config.vocab_size} tokens from this text: {said}"
        if most := re.search(r"to a value <= (\d+)", said):
            raise TooManyTokens(told, most=int(most[1]))
        raise MinitronError(told, hint="change tokenizer.vocab_size, or bring more text")
