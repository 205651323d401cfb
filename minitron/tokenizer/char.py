"""`char`: every character of the text is a token, however rare; SentencePiece holds them."""

from collections.abc import Iterable

from sentencepiece import sentencepiece_model_pb2

from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.sentencepiece import SentencePiece, clean, train_model

RESERVED = {"\0", "\x1f", "\u2585"}  # what SentencePiece takes into no vocabulary: bytes stand for them


class Characters(SentencePiece):
    model_type = "char"

    @classmethod
    def train(cls, texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
        # The spaces around it: SentencePiece takes newlines off a text's end.
        return train_model(
            [f" {_alphabet(texts)} "], config, model_type="char", use_all_vocab=True, character_coverage=1.0
        )

    def used_as(self, piece: sentencepiece_model_pb2.ModelProto.SentencePiece) -> int:
        """A character model never forms a piece of several characters: for the program, which merges pairs, it is unused."""
        return piece.UNUSED if piece.type == piece.NORMAL and len(piece.piece) > 1 else piece.type


def _alphabet(texts: Iterable[str]) -> str:
    """Every character of the texts that SentencePiece can have, in the order of their code points. All of the text is looked
    at, which takes no longer than reading it; SentencePiece itself sees no more of it than this."""
    found: set[str] = set()
    for text in texts:
        found.update(clean(text))
    return "".join(sorted(found - RESERVED))
