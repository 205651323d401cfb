"""`char`: every character of the text is a token, however rare; the file is a SentencePiece model."""

from collections.abc import Iterable

from sentencepiece.sentencepiece_model_pb2 import ModelProto

from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.normalization import Normalizer
from minitron.tokenizer.sentencepiece import RESERVED, SentencePiece, clean, parts, train_model


class Characters(SentencePiece):
    @classmethod
    def is_kind_of(cls, proto: ModelProto) -> bool:
        return proto.trainer_spec.model_type == proto.trainer_spec.CHAR

    @classmethod
    def train(cls, texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
        normalizer = Normalizer(config)
        # With spaces around it, because SentencePiece strips newlines from the end of a text.
        return train_model(
            [f" {_alphabet(texts, normalizer)} "],
            config,
            normalizer,
            model_type="char",
            symbols=config.user_symbols,
            byte_fallback=config.byte_fallback,
            use_all_vocab=True,
            character_coverage=1.0,
        )

    def used_as(self, piece: ModelProto.SentencePiece) -> int:
        """A character model never forms a piece of several characters, so the chat program, which merges pairs, has it as unused."""
        return piece.UNUSED if piece.type == piece.NORMAL and len(piece.piece) > 1 else piece.type


def _alphabet(texts: Iterable[str], normalizer: Normalizer) -> str:
    """Every character of the texts that SentencePiece can hold, in the order of their code points. All of the text is scanned,
    which takes no longer than reading it; SentencePiece itself gets only these characters."""
    found: set[str] = set()
    for text in texts:
        for part in parts(text):
            found.update(normalizer.text(clean(part)))
    return "".join(sorted(found - RESERVED))
