"""Encodes many texts word by word, each distinct word once: the same ids as SentencePiece's, in a fraction of its time.

    if separable(proto):
        ids, ends = Words(proto).encode(texts)

If no piece has a space after its first character, merging (BPE) never joins across a space: a word, with the space before it, has
the same ids wherever it stands. Knows nothing about messages.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from minitron.core.processes import cores

SPACE = "\u2581"  # how SentencePiece writes a space
MOST_WORDS = 1 << 17  # words that are remembered, in some 40 MB


def separable(proto: ModelProto) -> bool:
    """Whether the ids of a text are those of its words, one after the other."""
    spec, piece = proto.trainer_spec, ModelProto.SentencePiece
    if spec.model_type != spec.BPE or not proto.normalizer_spec.escape_whitespaces:
        return False
    matched = [p.piece for p in proto.pieces if p.type in (piece.NORMAL, piece.USER_DEFINED, piece.UNUSED)]
    # If the space were unknown, it would become one id together with unknown characters before it.
    return (spec.byte_fallback or SPACE in matched) and not any(SPACE in text[1:] for text in matched)


class Words:
    """Encodes with a SentencePiece model that is separable."""

    def __init__(self, proto: ModelProto):
        self._whole = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        rules = proto.normalizer_spec
        self._changes = bool(rules.precompiled_charsmap or rules.add_dummy_prefix or rules.remove_extra_whitespaces)
        plain = ModelProto()
        plain.CopyFrom(proto)
        plain.normalizer_spec.precompiled_charsmap = b""
        plain.normalizer_spec.add_dummy_prefix = plain.normalizer_spec.remove_extra_whitespaces = False
        self._plain = sentencepiece.SentencePieceProcessor(model_proto=plain.SerializeToString())
        self._known: dict[str, list[int]] = {}  # ids of words

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts, int32, and (texts + 1,) offsets: where each text's ids begin and the last one's end."""
        space = " "
        if self._changes:
            texts, space = [self._whole.normalize(text) for text in texts], SPACE
        split = pc.split_pattern(pa.array(texts, pa.large_string()), space)  # a list of words for each text
        begins = split.offsets.to_numpy()
        coded = split.flatten().dictionary_encode()
        words, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy().copy()
        # A text's first word has no space before it: first words are listed apart, after the others.
        first, codes[begins[:-1]] = np.unique(codes[begins[:-1]], return_inverse=True)
        codes[begins[:-1]] += len(words)
        distinct = [space + word for word in words] + [words[code] for code in first]
        ids = pa.array(self._ids_of(distinct), pa.list_(pa.int32()))
        found = ids.take(pa.array(codes))
        return found.flatten().to_numpy(), found.offsets.to_numpy()[begins].astype(np.int64)

    def _ids_of(self, words: list[str]) -> list[list[int]]:
        if len(self._known) > MOST_WORDS:
            self._known.clear()
        new = [word for word in words if word not in self._known]
        self._known.update(zip(new, self._plain.encode(new, num_threads=cores()), strict=True))
        return [self._known[word] for word in words]
