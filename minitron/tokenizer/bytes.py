"""`bytes`: the 256 bytes of UTF-8 are the tokens. Nothing is learnt from the text, and nothing is unknown."""

from collections.abc import Iterable

from sentencepiece.sentencepiece_model_pb2 import ModelProto

from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.base import MARKERS
from minitron.tokenizer.normalization import Normalizer
from minitron.tokenizer.sentencepiece import UNKNOWN, UNKNOWN_ID, SentencePiece


class Bytes(SentencePiece):
    @classmethod
    def is_kind_of(cls, proto: ModelProto) -> bool:
        return not any(piece.type == piece.NORMAL for piece in proto.pieces)

    @classmethod
    def reckoned_size(cls, config: TokenizerConfig) -> int:
        return 1 + len(MARKERS) + 256 + len(config.user_symbols)

    @classmethod
    def train(cls, texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
        """A SentencePiece model that can merge nothing, so that each character becomes its bytes."""
        proto, kind = ModelProto(), ModelProto.SentencePiece
        named = [(UNKNOWN, kind.UNKNOWN), *((marker, kind.CONTROL) for marker in MARKERS)]
        named += [(f"<0x{byte:02X}>", kind.BYTE) for byte in range(256)]
        for piece, type in [*named, *((symbol, kind.USER_DEFINED) for symbol in config.user_symbols)]:
            proto.pieces.add(piece=piece, score=0.0, type=type)
        spec = proto.trainer_spec
        spec.model_type, spec.byte_fallback, spec.vocab_size = spec.BPE, True, len(proto.pieces)
        spec.user_defined_symbols.extend(config.user_symbols)
        spec.unk_id, spec.bos_id, spec.eos_id, spec.pad_id = UNKNOWN_ID, -1, -1, -1
        rules = proto.normalizer_spec
        rules.name, rules.precompiled_charsmap = config.normalization, Normalizer(config).charsmap
        # A space stays one byte; other kinds write it as a piece of three bytes.
        rules.add_dummy_prefix = rules.remove_extra_whitespaces = rules.escape_whitespaces = False
        return proto.SerializeToString(deterministic=True)
