"""`gguf`: one file for llama.cpp, model-<dtype>.gguf, with the matrices as F16, Q8_0 or Q4_0.

The layout is that of ggml's docs/gguf.md, version 3. Every matrix is stored in the file's type, and so is the token embedding
(also the head, where they are tied); learned positions are F16, vectors and convolutions F32. Each trunk gives its own names in GGUF
(`Trunk.gguf`); the vocabulary is SentencePiece's ("llama"), a byte-level BPE's ("gpt2"), or there is none. benchmarks/to_gguf.py
compares the logits with llama.cpp's. Knows nothing about recipes.
"""

import itertools
import re
import shlex
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.interop.about import About, check_fp16
from minitron.model.language_model import LanguageModel
from minitron.model.shape import Gguf
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.byte_bpe import ByteBPE
from minitron.tokenizer.words import SPACE

ALIGN = 32  # bytes; every tensor begins at a multiple of this, counted from the first tensor
BLOCK = 32  # values of a row that share a scale in Q4_0 and Q8_0
F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8  # GGML's numbers for tensor types
TYPES = {"f16": F16, "q8": Q8_0, "q4": Q4_0}
FILE_TYPES = {"f16": 1, "q8": 7, "q4": 2}  # GGUF's values of general.file_type
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # GGUF's numbers for metadata types
PIECES = {"N": 1, "U": 2, "C": 3, "D": 4, "X": 5, "B": 6}  # a piece's type in vocab.json -> llama.cpp's


def write(model: LanguageModel, tokenizer: Tokenizer | None, about: About, out: Path) -> None:
    """Writes the .gguf file into the folder `out`, and a Modelfile for ollama if there is a tokenizer."""
    data = encode(model, tokenizer, dtype=about.dtype, title=about.title, base=about.base)
    path = out / f"model-{about.dtype}.gguf"
    atomic_write(path, data)
    if tokenizer:
        atomic_write(out / "Modelfile", modelfile(tokenizer, about, path.name))
    say(f"export: {about.title}, {model.count_params() / 1e6:.2f}M parameters as {about.dtype} -> {path}")
    if tokenizer:
        for program, command in commands_for(about, path).items():
            say(f"  {program}: {command}")


def modelfile(tokenizer: Tokenizer, about: About, weights: str) -> str:
    """What `ollama create` reads: the file of weights, the chat template in Go's text/template, and how the chat program samples."""
    e = about.settings
    lines = [f"FROM ./{weights}"]
    lines.append(f'TEMPLATE """{"{{ .Prompt }}" if about.base else tokenizer.form.ollama()}"""')
    if e.system and not about.base:
        lines.append(f'SYSTEM """{e.system.replace(chr(34) * 3, chr(39) * 3)}"""')
    numbers: dict[str, int | float] = {
        "temperature": e.temperature,
        "top_k": e.top_k,
        "top_p": e.top_p,
        "min_p": e.min_p,
    }
    numbers |= {"repeat_penalty": e.repeat_penalty, "num_predict": e.max_tokens}
    lines += [f"PARAMETER {name} {value}" for name, value in numbers.items()]
    lines.append(f'PARAMETER stop "{end_of(tokenizer)}"')
    if e.licence:
        lines.append(f'LICENSE """{e.licence.replace(chr(34) * 3, chr(39) * 3)}"""')
    return "\n".join(lines) + "\n"


def end_of(tokenizer: Tokenizer) -> str:
    """The end marker's text."""
    if isinstance(tokenizer, ByteBPE):
        return next((name for name, i in tokenizer.ids.items() if i == tokenizer.end), "")
    return str(tokenizer.to_vocab()["pieces"][tokenizer.end])


def commands_for(about: About, path: Path) -> dict[str, str]:
    """Program -> the command to type to talk with the model in it."""
    name = re.sub(r"[^a-z0-9._-]+", "-", about.recipe.lower()).strip("-._") or "mine"
    chat = "-p 'Once upon a time' -no-cnv" if about.base else "-cnv --jinja"
    return {
        "llama.cpp": f"llama-cli -m {shlex.quote(str(path))} {chat}",
        "ollama": f"ollama create {name} -f {shlex.quote(str(path.with_name('Modelfile')))} && ollama run {name}",
        "LM Studio": f"lms import {shlex.quote(str(path))}",
    }


@torch.no_grad()
def encode(
    model: LanguageModel, tokenizer: Tokenizer | None, *, dtype: str, title: str = "", base: bool = False
) -> bytes:
    """The file's bytes; `dtype` is f16, q8 or q4. Raises MinitronError for a model or tokenizer that GGUF cannot express."""
    shape = words(model, dtype)
    about = metadata(model, shape, dtype) | ({"general.name": string(title)} if title else {})
    about |= vocabulary(tokenizer, base=base) if tokenizer else {"tokenizer.ggml.model": string("no_vocab")}
    unrounded = tuple(f"{name}.weight" for name in shape.unrounded)
    table, blob = bytearray(), bytearray()
    named = tensors(model, shape)
    for name, values in named.items():
        kind = (
            F32
            if values.ndim == 1 or name.endswith(unrounded)
            else F16
            if name == "position_embd.weight"
            else TYPES[dtype]
        )
        blob += bytes(-len(blob) % ALIGN)
        sizes = values.shape[::-1]  # GGML names the fastest dimension first
        table += text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, len(blob))
        blob += packed(values, kind)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(named), len(about))
    head += b"".join(text(key) + value for key, value in about.items()) + table
    return head + bytes(-len(head) % ALIGN) + blob


def words(model: LanguageModel, dtype: str) -> Gguf:
    """The shape in GGUF's terms. Raises MinitronError if GGUF lacks a term for part of it: that part would be left out silently."""
    m, shape = model.config, model.trunk.gguf()
    hint = "train without it, or use --format bundle"
    if shape is None:
        raise MinitronError(f"GGUF cannot store model.arch = '{m.arch}'", hint=hint)
    if m.logit_cap:
        raise MinitronError(f"GGUF's {shape.architecture} cannot store model.logit_cap", hint=hint)
    widths = {"model.d_model": m.d_model, "model.d_ff": m.d_ff, "heads times their width,": m.n_heads * m.head_size}
    for name, width in widths.items() if dtype != "f16" else ():
        if width % BLOCK:
            raise MinitronError(
                f"GGUF's {dtype} takes {BLOCK} weights of a row at once: {name} {width} is no multiple of that",
                hint="add --dtype f16",
            )
    check_fp16(model)
    return shape


def text(value: str) -> bytes:
    """A string in GGUF's encoding (length, then UTF-8), without the number of its type."""
    return struct.pack("<Q", len(value.encode())) + value.encode()


def string(value: str) -> bytes:
    return struct.pack("<I", STRING) + text(value)


def number(value: int | float | bool | list[int]) -> bytes:
    if isinstance(value, list):
        return integers(value)
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    return struct.pack("<If", FLOAT32, value) if isinstance(value, float) else struct.pack("<II", UINT32, value)


def metadata(model: LanguageModel, shape: Gguf, dtype: str) -> dict[str, bytes]:
    """GGUF's keys that describe the shape -> their values, encoded with their types."""
    m = model.config
    numbers: dict[str, int | float] = {
        "context_length": m.context,
        "embedding_length": m.d_model,
        "block_count": m.n_layers,
        "feed_forward_length": m.d_ff,
        "attention.head_count": m.n_heads,
        "vocab_size": model.vocab_size,
        shape.norm_eps: m.norm_eps,
    }
    found = {"general.architecture": string(shape.architecture), "general.file_type": number(FILE_TYPES[dtype])}
    return found | {f"{shape.architecture}.{key}": number(value) for key, value in {**numbers, **shape.numbers}.items()}


def vocabulary(tokenizer: Tokenizer, *, base: bool) -> dict[str, bytes]:
    """The keys by which llama.cpp encodes text: SentencePiece's pieces, or those of a byte-level BPE."""
    found = byte_level(tokenizer) if isinstance(tokenizer, ByteBPE) else sentencepiece(tokenizer)
    found |= {
        "eos_token_id": number(tokenizer.end),
        "eot_token_id": number(tokenizer.end),
        "add_bos_token": number(False),
        "add_eos_token": number(False),
    }
    whole = {f"tokenizer.ggml.{key}": value for key, value in found.items()}
    return whole if base else whole | {"tokenizer.chat_template": string(tokenizer.form.jinja())}


def sentencepiece(tokenizer: Tokenizer) -> dict[str, bytes]:
    """SentencePiece's pieces, which llama.cpp merges by their scores. Raises MinitronError if it would split text into other pieces."""
    vocab = tokenizer.to_vocab()
    rules, hint = vocab["normalizer"], "use --format bundle, or train with tokenizer.kind = 'bpe' and 'identity'"
    if rules["precompiled_charsmap"] or rules["remove_extra_whitespaces"]:
        raise MinitronError("GGUF cannot store tokenizer.normalization", hint=hint)
    if not rules["escape_whitespaces"]:
        raise MinitronError("GGUF cannot store tokenizer.kind = 'bytes'", hint=hint)
    if not vocab["byte_fallback"]:  # llama.cpp aborts at a character that has no token
        raise MinitronError("GGUF's vocabulary needs byte tokens, which this tokenizer lacks", hint=hint)
    # llama.cpp looks for user-defined pieces in a text as it was typed and writes them as they are, so these hold no ▁. The piece of
    # bpe-spaces that is nothing but a space may be a normal one: no other has a space in it.
    named = [
        (piece, "N") if piece == SPACE else (piece.replace(SPACE, " ") if letter == "D" else piece, letter)
        for piece, letter in zip(vocab["pieces"], vocab["types"], strict=True)
    ]
    check_overlaps([piece for piece, letter in named if letter == "D"])
    return {
        "model": string("llama"),
        "tokens": strings([piece for piece, _ in named]),
        "scores": struct.pack(f"<IIQ{len(vocab['scores'])}f", ARRAY, FLOAT32, len(vocab["scores"]), *vocab["scores"]),
        "token_type": integers([PIECES[letter] for _, letter in named]),
        "unknown_token_id": number(int(vocab["unk_id"])),
        "add_space_prefix": number(bool(vocab["normalizer"]["add_dummy_prefix"])),
    }


def byte_level(tokenizer: ByteBPE) -> dict[str, bytes]:
    """The pieces of a byte-level BPE, its merges in order, and the name of its pre-tokenizer."""
    if not (splitting := tokenizer.splitting):
        raise MinitronError(
            f"{tokenizer.path} splits texts in a way that llama.cpp has no name for here",
            hint="--format hf, and llama.cpp's own convert_hf_to_gguf.py",
        )
    model, special = tokenizer.whole["model"], {i: name for name, i in tokenizer.ids.items()}
    names = {i: piece for piece, i in model["vocab"].items()} | {
        t["id"]: t["content"] for t in tokenizer.whole["added_tokens"]
    }
    matched = {t["id"]: t["content"] for t in tokenizer.typed["added_tokens"]}
    check_overlaps(list(matched.values()))
    kinds = (
        "C" if i in special else "D" if i in matched else "N" if i in names else "X"
        for i in range(tokenizer.vocab_size)
    )
    return {
        "model": string("gpt2"),
        "pre": string(splitting),
        "tokens": strings([names.get(i, f"[PAD{i}]") for i in range(tokenizer.vocab_size)]),
        "token_type": integers([PIECES[kind] for kind in kinds]),
        "merges": strings([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]),
    }


def check_overlaps(symbols: list[str]) -> None:
    """Raises MinitronError if two texts that are one token wherever they stand can overlap: where they do, the one that begins first
    is a token, but in llama.cpp the longer one."""
    raw = [symbol.encode() for symbol in symbols]
    for left, right in itertools.permutations(raw, 2):
        for cut in range(1, len(left)) if len(left) <= len(right) else ():
            both = left + right[cut:]
            if left.endswith(right[:cut]) and not any(both.startswith(s) for s in raw if len(s) > len(left)):
                raise MinitronError(
                    f"llama.cpp cuts {both.decode()!r} into other tokens: {left.decode()!r} and {right.decode()!r} overlap there",
                    hint="use --format bundle or hf, or leave one of them out of tokenizer.user_symbols",
                )


def strings(values: list[str]) -> bytes:
    return struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


def integers(values: list[int]) -> bytes:
    return struct.pack(f"<IIQ{len(values)}i", ARRAY, INT32, len(values), *values)


def tensors(model: LanguageModel, shape: Gguf) -> dict[str, npt.NDArray[np.float32]]:
    """GGUF's names -> values in fp32; matrices are [out, in]."""
    blocks = {id(w): number for number, block in enumerate(model.blocks) for w in block.parameters()}
    found = {}
    for name, parameter in model.named_parameters():
        module, _, kind = name.rpartition(".")
        # the longest known name that `module` ends in; what stands before it is the trunk and the block's number
        inner = max((known for known in shape.names if f".{module}".endswith(f".{known}")), key=len, default="")
        if not inner:
            raise MinitronError(f"GGUF's {shape.architecture} has no {name}", hint="use --format bundle")
        values = parameter.detach().float().cpu().numpy()
        if values.ndim == 3:  # of a convolution with one channel in each group
            values = values.squeeze(1)
        if shape.names[inner] in shape.interleaved:
            values = neighbours(values, model.config.head_size)
        layer = f"blk.{blocks[id(parameter)]}." if id(parameter) in blocks else ""
        found[f"{layer}{shape.names[inner]}.{kind}"] = values
    if shape.biases:
        for name in [n for n in found if n.endswith(".weight") and not n.endswith("_embd.weight")]:
            found.setdefault(name.removesuffix("weight") + "bias", np.zeros(found[name].shape[0], np.float32))
    return found


def neighbours(values: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Reorders the rows within each head of `size` rows: a pair that RoPE rotates moves from i, i + size/2 to 2i, 2i + 1."""
    heads = values.reshape(-1, 2, size // 2, values.shape[1])
    return heads.swapaxes(1, 2).reshape(values.shape)


def packed(values: npt.NDArray[np.float32], kind: int) -> bytes:
    """The bytes of a tensor in this GGML type; a block of Q4_0 or Q8_0 is 32 consecutive values of a row."""
    if kind in (F32, F16):
        return values.astype(np.float32 if kind == F32 else np.float16).tobytes()
    blocks = values.reshape(-1, BLOCK)
    rows = np.arange(len(blocks))
    largest = blocks[rows, np.abs(blocks).argmax(1)]  # with its sign
    scale = np.abs(largest) / 127 if kind == Q8_0 else largest / -8
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    scaled = blocks * inverse[:, None]
    if kind == Q8_0:
        codes = np.rint(scaled).astype(np.int8).view(np.uint8)
    else:
        codes = np.minimum(np.trunc(scaled + 8.5), 15).astype(np.uint8)
        codes = codes[:, :16] | codes[:, 16:] << 4
    return np.hstack((scale.astype("<f2")[:, None].view(np.uint8), codes)).tobytes()
