"""Reads GGUF files: llama.cpp's llama, qwen3 and gpt2, in F32, F16, BF16 or Q8_0, with the tokenizer that is inside.

The layout is that of ggml's docs/gguf.md, versions 2 and 3. The file is memory-mapped; every count is compared with the bytes
that are left in the file before anything of that size is allocated. Knows nothing about runs.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minitron.core.errors import MinitronError
from minitron.interop.foreign import (
    ANOTHER_MODEL,
    COPY_AGAIN,
    OTHER_GELU,
    OWN_HEAD,
    Imported,
    check_names,
    embedding_name,
    shape,
)
from minitron.interop.gguf import ALIGN, BLOCK, F16, F32, PIECES, Q8_0
from minitron.interop.import_tokenizer import sentencepiece_of
from minitron.model.language_model import LanguageModel
from minitron.tokenizer.byte_bpe import ByteBPE, file_of
from minitron.tokenizer.byte_level import byte_level_json, special_token
from minitron.tokenizer.forms import FORMS

BF16 = 30
SIZES = {F32: (1, 4), F16: (1, 2), BF16: (1, 2), Q8_0: (BLOCK, 34)}  # type -> (values, bytes) of a block
# GGUF's numbers for metadata types -> struct's letters
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
STRETCHED = "stretches its positions"
MOST = 1 << 16  # the most tensors, and the most keys, that a file may have


class Damaged(Exception):
    """The file contradicts itself, is cut off, or holds what minitron does not read."""


class Unknown(Exception):
    """The file is of a model that minitron does not compute; the message says what that model does."""


@dataclass(frozen=True)
class Entry:
    """A tensor in the file: its shape in torch's order, GGML's number of its type, and its offset in bytes from the end of the header."""

    shape: tuple[int, ...]
    kind: int
    offset: int


class Reader:
    """Reads values from a mapped file, one after the other. Raises Damaged if the file ends too early."""

    def __init__(self, data: mmap.mmap):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            raise Damaged("it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, letter: str) -> Any:
        return struct.unpack("<" + letter, self.take(struct.calcsize("<" + letter)))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode(errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == STRING:
            return self.text()
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind != ARRAY or depth:
            raise Damaged(f"it has a value of the type {kind}")
        inner, count = self.number("I"), self.number("Q")
        least = struct.calcsize(SCALARS[inner]) if inner in SCALARS else 8
        if count > (len(self.data) - self.at) // least:
            raise Damaged("it ends too early")
        if inner in SCALARS:
            return list(struct.unpack(f"<{count}{SCALARS[inner]}", self.take(count * least)))
        return [self.value(inner, depth + 1) for _ in range(count)]


def read(path: Path) -> Imported:
    """The model in a file. Raises MinitronError if the file is damaged or minitron has no such model."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _read(Reader(data), path)
        except Unknown as error:
            raise MinitronError(f"the model of {path} {error}", hint=ANOTHER_MODEL) from error
        except (Damaged, struct.error, LookupError, AttributeError, TypeError, ValueError, OverflowError) as error:
            told = f"{path} is damaged, or no model that minitron reads: {type(error).__name__} {str(error)[:100]}"
            told = told.replace("Damaged ", "").replace("KeyError", "it lacks")
            raise MinitronError(told, hint=COPY_AGAIN) from error


def _read(reader: Reader, path: Path) -> Imported:
    keys, entries, start = header(reader)
    kind = keys["general.architecture"]
    if kind not in ("llama", "qwen3", "gpt2"):
        raise MinitronError(
            f"{path} holds a model of the kind {str(kind)[:50]}", hint="minitron reads llama, qwen3 and gpt2"
        )
    config = shape(numbers(keys, kind, untied="output.weight" in entries), path)
    if (divisors := entries.pop("rope_freqs.weight", None)) and (tensor(reader, divisors, start) != 1).any():
        raise Unknown(STRETCHED)  # as llama.cpp stores the positions of Llama 3.1 and later
    head = entries.pop("output.weight", None) if kind == "gpt2" else None
    rows = entries["token_embd.weight"].shape[0]
    if not 1 <= rows <= 1 << 20:
        raise Damaged("it has no embedding")
    with torch.device("meta"):
        model = LanguageModel(config, rows)
    words = model.trunk.gguf()
    assert words
    names = our_names(model, words.names)
    for name, entry in entries.items():
        block, _ = SIZES.get(entry.kind, (0, 0))
        if not block:
            raise MinitronError(
                f"{path} has a tensor of the type {entry.kind}", hint="minitron reads F32, F16, BF16 and Q8_0"
            )
        if name not in names:
            raise MinitronError(
                f"{path} has a tensor {name[:100]!r} that such a model does not have", hint=ANOTHER_MODEL
            )
        if entry.shape[-1] % block:
            raise Damaged("a row is no whole number of blocks")
    shapes = {names[name]: entry.shape for name, entry in entries.items()}
    check_names({name: tuple(weight.shape) for name, weight in model.named_parameters()}, shapes)
    tensors = {}
    for name, entry in entries.items():
        values = tensor(reader, entry, start)
        if name.rpartition(".")[0].rpartition(".")[2] in words.interleaved:
            values = halves(values, config.head_size)
        tensors[names[name]] = torch.from_numpy(values)
    if head and not alike(tensor(reader, head, start), tensors[embedding_name(config)].numpy()):
        raise Unknown(OWN_HEAD)
    data, tensors, had = tokenizer(keys, tensors, rows, path)
    template = str(keys.get("tokenizer.chat_template", ""))
    known = had and any(form.opener in template for form in FORMS)
    remark = f"GGUF's gpt2 has {OTHER_GELU}" if kind == "gpt2" else ""
    return Imported(config, tensors, data, not known, remark)


def header(reader: Reader) -> tuple[dict[str, Any], dict[str, Entry], int]:
    """The metadata, the table of tensors, and the offset at which the tensors' data begins."""
    magic, version = reader.take(4), reader.number("I")
    count, keys = reader.number("Q"), reader.number("Q")
    if magic != b"GGUF" or version not in (2, 3) or count > MOST or keys > MOST:
        raise Damaged("its head is none")
    about = {}
    for _ in range(keys):
        name = reader.text()
        about[name] = reader.value(reader.number("I"))
    entries = {}
    for _ in range(count):
        name, dimensions = reader.text(), reader.number("I")
        if dimensions not in (1, 2) or name in entries:
            raise Damaged("a tensor has more than two dimensions, or is there twice")
        sizes = tuple(reader.number("Q") for _ in range(dimensions))
        entries[name] = Entry(sizes[::-1], reader.number("I"), reader.number("Q"))
    align = about.get("general.alignment", ALIGN)
    if type(align) is not int or not 1 <= align <= 1 << 16:
        raise Damaged("its alignment is none")
    return about, entries, reader.at + -reader.at % align


def numbers(keys: dict[str, Any], kind: str, *, untied: bool) -> dict[str, Any]:
    """The values of a recipe's [model] section, from the metadata."""

    def of(name: str, otherwise: Any = None) -> Any:
        return keys.get(f"{kind}.{name}", otherwise)

    heads, width = of("attention.head_count"), of("embedding_length")
    if of("rope.scaling.type", "none") != "none" or of("rope.scale_linear", 1.0) not in (0.0, 1.0):
        raise Unknown(STRETCHED)
    values = {
        "n_layers": of("block_count"),
        "n_heads": heads,
        "d_model": width,
        "d_ff": of("feed_forward_length"),
        "context": of("context_length"),
    }
    if kind == "gpt2":
        return values | {
            "arch": "nanogpt",
            "n_kv_heads": heads,
            "bias": True,
            "norm_eps": rounded(of("attention.layer_norm_epsilon")),
        }
    rotated = of("rope.dimension_count", 0)
    head_dim = of("attention.key_length", rotated)
    if rotated not in (0, head_dim):
        raise Unknown(f"rotates {rotated} numbers of a head's {head_dim}")
    return values | {
        "arch": "llama",
        "n_kv_heads": of("attention.head_count_kv", heads),
        "head_dim": 0 if head_dim * heads == width else head_dim,
        "qk_norm": kind == "qwen3",
        "untied_head": untied,
        "rope_theta": float(of("rope.freq_base", 10000.0)),
        "norm_eps": rounded(of("attention.layer_norm_rms_epsilon")),
    }


def rounded(value: float) -> float:
    """A number that was stored as fp32, with no more digits than fp32 needs: 1e-05, not 9.99999974e-06."""
    return float(np.format_float_positional(np.float32(value)))


def our_names(model: LanguageModel, names: dict[str, str]) -> dict[str, str]:
    """GGUF's name -> our name, for each of a model's tensors."""
    blocks = {id(w): number for number, block in enumerate(model.blocks) for w in block.parameters()}
    found = {}
    for name, weight in model.named_parameters():
        module, _, kind = name.rpartition(".")
        inner = max((known for known in names if f".{module}".endswith(f".{known}")), key=len)
        layer = f"blk.{blocks[id(weight)]}." if id(weight) in blocks else ""
        found[f"{layer}{names[inner]}.{kind}"] = name
    return found


def tensor(reader: Reader, entry: Entry, start: int) -> npt.NDArray[np.float32]:
    """A tensor's values in fp32."""
    values, size = SIZES[entry.kind]
    count = int(np.prod(entry.shape, dtype=object))
    reader.at = start + entry.offset
    raw = reader.take(count // values * size)
    if entry.kind == Q8_0:
        blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("codes", "i1", BLOCK)]))
        found: npt.NDArray[np.float32] = blocks["scale"].astype(np.float32)[:, None] * blocks["codes"]
    elif entry.kind == BF16:
        found = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        found = np.frombuffer(raw, "<f4" if entry.kind == F32 else "<f2").astype(np.float32)
    return found.reshape(entry.shape)


def alike(head: npt.NDArray[np.float32], embedding: npt.NDArray[np.float32]) -> bool:
    """Whether a head is the embedding again, perhaps stored in another type."""
    return head.shape == embedding.shape and np.allclose(head, embedding, rtol=0, atol=0.01 * np.abs(embedding).max())


def halves(values: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Reorders the rows within each head of `size` rows: a pair that RoPE rotates moves from 2i, 2i + 1 to i, i + size/2."""
    heads = values.reshape(-1, size // 2, 2, values.shape[1])
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(values.shape)


def tokenizer(
    keys: dict[str, Any], tensors: dict[str, Tensor], rows: int, path: Path
) -> tuple[bytes, dict[str, Tensor], bool]:
    """The tokenizer inside, as a file of ours; the tensors, with rows for any markers that were added; and whether it had markers of
    dialogues before."""
    kind, tokens = keys.get("tokenizer.ggml.model"), keys.get("tokenizer.ggml.tokens")
    if kind not in ("llama", "gpt2") or not isinstance(tokens, list):
        raise MinitronError(
            f"{path} has no tokenizer of a kind that minitron reads", hint="it reads llama's and gpt2's"
        )
    if len(tokens) > rows:
        raise Damaged("it has more tokens than rows")
    types = keys.get("tokenizer.ggml.token_type", [1] * len(tokens))
    if kind == "llama":
        letters = {number: letter for letter, number in PIECES.items()}
        return sentencepiece_of(
            tokens,
            keys["tokenizer.ggml.scores"],
            "".join(letters[t] for t in types),
            prefix=bool(keys.get("tokenizer.ggml.add_space_prefix", True)),
            tensors=tensors,
            path=path,
        )
    markers = {
        name for form in FORMS for name in form.special
    }  # no text is one, even where the file has them as mere text
    added = [
        special_token(i, piece) | {"special": types[i] == PIECES["C"] or piece in markers}
        for i, piece in enumerate(tokens)
        if types[i] in (PIECES["C"], PIECES["D"])
    ]
    used = ["" if types[i] == PIECES["X"] else piece for i, piece in enumerate(tokens)]
    whole = byte_level_json(
        used, keys["tokenizer.ggml.merges"], added, splitting=str(keys.get("tokenizer.ggml.pre", "gpt-2"))
    )
    if whole is None:
        raise MinitronError(
            f"{path} splits texts in the way {str(keys.get('tokenizer.ggml.pre'))[:50]!r}, which minitron does not know",
            hint="import the folder it was made from",
        )
    data = file_of(whole, size=rows, end=int(keys.get("tokenizer.ggml.eos_token_id", rows - 1)))
    return data, tensors, bool(ByteBPE(data, path).markers)
