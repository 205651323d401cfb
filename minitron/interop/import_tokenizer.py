"""Turns tokenizers of imported models into files of ours: SentencePiece's (a file, or the pieces in a GGUF) with our markers added,
and nanoGPT's characters.

Each token beyond the model's rows gets a new row, the mean of the others. Knows nothing about shapes of models.
"""

from pathlib import Path
from typing import Any

import torch
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2
from torch import Tensor

from minitron.core.errors import MinitronError
from minitron.interop.foreign import ANOTHER_MODEL, ANOTHER_TOKENIZER, COPY_AGAIN, TOO_LARGE
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.base import MARKERS
from minitron.tokenizer.char import Characters
from minitron.tokenizer.sentencepiece import TYPES
from minitron.tokenizer.words import SPACE
from minitron.train.inherit import ROWS, grown

ModelProto: Any = vars(sentencepiece_model_pb2)["ModelProto"]
MOST_BYTES = 64 << 20


def with_markers(path: Path, tensors: dict[str, Tensor]) -> tuple[bytes, dict[str, Tensor], bool]:
    """SentencePiece's model with our markers added as control pieces, which take rows of the embedding that no piece uses, or new
    ones. Returns its bytes, the tensors with those rows, and whether all markers were there before. Raises MinitronError."""
    if path.stat().st_size > MOST_BYTES:
        raise MinitronError(f"{path} is larger than {MOST_BYTES >> 20} MB", hint=TOO_LARGE)
    try:
        proto = ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise MinitronError(f"{path} is not a SentencePiece model", hint=COPY_AGAIN) from error
    return completed(proto, tensors, path)


def completed(proto: Any, tensors: dict[str, Tensor], path: Path) -> tuple[bytes, dict[str, Tensor], bool]:
    """The parsed model with our markers, then filled up to one piece for each row of the embedding; returns what `with_markers` does."""
    kinds = proto.trainer_spec.ModelType
    if proto.trainer_spec.model_type not in (kinds.Value("BPE"), kinds.Value("CHAR")):
        raise MinitronError(
            f"{path} is of the kind {kinds.Name(proto.trainer_spec.model_type)}", hint="minitron reads BPE"
        )
    if not proto.pieces or proto.pieces[0].type != proto.pieces[0].UNKNOWN:
        raise MinitronError(f"{path} does not begin with the unknown piece", hint=ANOTHER_MODEL)
    rows = next(t.shape[0] for name, t in tensors.items() if name.endswith(ROWS))
    there = {piece.piece for piece in proto.pieces}
    wanted = [marker for marker in MARKERS if marker not in there]
    had = not wanted
    if len(proto.pieces) > rows:
        raise MinitronError(
            f"{path} has {len(proto.pieces)} pieces and the model {rows} tokens", hint=ANOTHER_TOKENIZER
        )
    wanted += [f"<|row-{i}|>" for i in range(len(proto.pieces) + len(wanted), rows)]
    for marker in wanted:
        proto.pieces.add(piece=marker, score=0.0, type=proto.pieces[0].CONTROL)
    data: bytes = proto.SerializeToString()
    return data, grown(tensors, len(proto.pieces) - rows), had


def of_characters(characters: list[str], tensors: dict[str, Tensor], path: Path) -> tuple[bytes, dict[str, Tensor]]:
    """A character tokenizer of ours for a model in which `characters[i]` is id i, and the tensors with each row moved to our id."""
    unusable = MinitronError(
        f"{path} holds characters that minitron cannot make tokens of",
        hint="train the model again on text without them",
    )
    try:
        text = "".join(characters)
        data = Characters.train([text], config=TokenizerConfig(kind="char", byte_fallback=False), seed=1)
        ours = Characters(data, path)
    except (UnicodeError, RuntimeError) as error:
        raise unusable from error
    ids = [ours.encode(c) for c in characters]
    if any(len(i) != 1 or i == [0] for i in ids) or len({i[0] for i in ids}) != len(ids):
        raise unusable
    moved = dict(tensors)
    for name, t in tensors.items():
        if name.endswith(ROWS):
            moved[name] = t.mean(0, keepdim=True).repeat(ours.vocab_size, 1)
            moved[name][torch.tensor([i[0] for i in ids])] = t[: len(ids)]
    return data, moved


def sentencepiece_of(
    pieces: list[str], scores: list[float], types: str, *, prefix: bool, tensors: dict[str, Tensor], path: Path
) -> tuple[bytes, dict[str, Tensor], bool]:
    """A SentencePiece BPE from the pieces that a GGUF file lists (types as in vocab.json); returns what `with_markers` does."""
    numbers = {letter: number for number, letter in TYPES.items()}
    if not len(pieces) == len(scores) == len(types):
        raise MinitronError(
            f"{path} has {len(pieces)} pieces, {len(scores)} scores and {len(types)} types", hint=COPY_AGAIN
        )
    pieces = [piece.replace(" ", SPACE) for piece in pieces]  # user-defined ones have spaces in a GGUF
    if len(set(pieces)) != len(pieces) or not all(pieces):
        raise MinitronError(f"{path} has a piece that is empty or there twice", hint=COPY_AGAIN)
    proto = ModelProto()
    proto.trainer_spec.model_type = proto.trainer_spec.ModelType.Value("BPE")
    proto.trainer_spec.byte_fallback = "B" in types
    proto.trainer_spec.unk_id = max(types.find("U"), 0)
    proto.trainer_spec.bos_id = proto.trainer_spec.eos_id = proto.trainer_spec.pad_id = -1
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = prefix
    proto.normalizer_spec.remove_extra_whitespaces = False
    for piece, score, kind in zip(pieces, scores, types, strict=True):
        proto.pieces.add(piece=piece, score=score, type=numbers[kind])
    return completed(proto, tensors, path)
