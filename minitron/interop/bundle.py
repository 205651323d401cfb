"""`bundle`: weights.bin, vocab.json and config.json, which the chat program embeds (docs/formats.md).

Knows nothing about Go.
"""

import base64
import dataclasses
import hashlib
import json
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from minitron import __version__
from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_set
from minitron.interop.about import ANSWER_TOKENS, About, check_fp16, utc
from minitron.model.language_model import LanguageModel
from minitron.quant import arithmetic
from minitron.quant.panels import Matrix
from minitron.recipe.alignment import Sampling
from minitron.sample.generate import filter_logits
from minitron.tokenizer.base import MARKERS, Tokenizer

ALIGN = 64  # bytes; every tensor begins at a multiple of this
SELFTESTS = 5
UNUSUAL = ("head_dim", "untied_head", "layers", "window", "conv_width")  # in config.json only if they are set
NEAR_TIE = 0.1  # logits; a self-test ends before a token whose lead over the second is smaller than this


def write(model: LanguageModel, tokenizer: Tokenizer | None, about: About, out: Path) -> None:
    """Writes the three files into `out`, and rounds the weights of `model` in place to the values written. Without a tokenizer
    (untrained weights) the vocabulary is made up."""
    if (out / "model.safetensors").exists():
        raise MinitronError(
            f"{out} holds a model for transformers, whose config.json would go",
            hint="name another folder: --out DIR",
            code=2,
        )
    e = about.settings
    vocab = tokenizer.to_vocab() if tokenizer else invented_vocab(model.vocab_size)
    tensors, weights = lay_out(model, about.dtype, about.matrices)
    tests = []
    if tokenizer:
        arithmetic.round_activations(model, about.dtype)
        tests = selftests(model, tokenizer, about.prompts)
    vocab_bytes = json.dumps(vocab, ensure_ascii=False, separators=(",", ":")).encode()
    config: dict[str, Any] = {
        "format": "minitron-bundle",
        "version": 2,
        "name": about.title,
        "template": "text" if about.base else "chatml",
        "model": shape_of(model),
        "dtype": about.dtype,
        "params": model.count_params(),
        "weights": digest(weights),
        "vocab": digest(vocab_bytes),
        "tensors": tensors,
        "about": {"version": e.version, "licence": e.licence, "icon": base64.b64encode(about.icon).decode()},
        "chat": {"system": e.system, "greeting": e.greeting, "questions": e.questions},
        "sampling": dataclasses.asdict(e.sampling()),
        "selftest": tests,
        "made": {
            "minitron": __version__,
            "recipe": about.recipe,
            "stage": about.stage,
            "step": about.step,
            "sources": [dataclasses.asdict(source) for source in about.sources],
            "trained": about.trained,
            "date": utc(time.time()),
        },
    }
    try:
        config_bytes = sealed(json.dumps(config, indent=1, ensure_ascii=False)).encode()
    except UnicodeEncodeError as error:  # as of a terminal that is not UTF-8
        raise MinitronError(
            "a text in [export] is not Unicode", hint="write the recipe's texts in UTF-8", code=2
        ) from error
    # without its config.json a folder is no bundle, so nobody loads a half-written one
    atomic_set(out, {"weights.bin": weights, "vocab.json": vocab_bytes, "config.json": config_bytes})
    say(
        f"export: {about.title}, {config['params'] / 1e6:.2f}M parameters as {about.dtype}, {len(weights) / 1e6:.1f} MB -> {out}"
    )


def shape_of(model: LanguageModel) -> dict[str, Any]:
    """The object `model` of config.json, without the UNUSUAL fields that are not set."""
    shape = dataclasses.asdict(model.config) | {"vocab_size": model.vocab_size}
    return {key: value for key, value in shape.items() if value or key not in UNUSUAL}


def digest(data: bytes) -> dict[str, Any]:
    """Size in bytes, CRC-32 and SHA-256."""
    return {"bytes": len(data), "crc32": f"{zlib.crc32(data):08x}", "sha256": hashlib.sha256(data).hexdigest()}


def sealed(config: str) -> str:
    """A JSON object's text with one more field at its end: the CRC-32 of all bytes before that field."""
    before = config.rstrip().removesuffix("}").rstrip() + ",\n "
    return before + f'"crc32": "{zlib.crc32(before.encode()):08x}"\n}}\n'


def lay_out(
    model: LanguageModel, dtype: str, matrices: Mapping[str, Matrix] | None = None
) -> tuple[list[dict[str, Any]], bytes]:
    """The tensor table and the bytes of weights.bin: packed matrices, and vectors in fp32, each at a multiple of ALIGN. Without
    `matrices` the weights of `model` are rounded here, in place, to the values written."""
    check_fp16(model)
    matrices = matrices or arithmetic.shrink(model, dtype)
    table, blob = [], bytearray()
    for name, parameter in model.named_parameters():
        matrix = matrices.get(name)
        data = matrix.pack().tobytes() if matrix else parameter.detach().cpu().numpy().astype("<f4").tobytes()
        blob += bytes(-len(blob) % ALIGN)
        # anything but a matrix, such as a convolution, is stored as a flat row of numbers
        about = (
            {"dtype": matrix.dtype, "shape": list(parameter.shape)}
            if matrix
            else {"dtype": "f32", "shape": [parameter.numel()]}
        )
        table.append({"name": name} | about | {"offset": len(blob), "bytes": len(data)})
        blob += data
    return table, bytes(blob)


def invented_vocab(size: int) -> dict[str, Any]:
    """A vocabulary of the right size for untrained weights: markers, the 256 bytes if they fit, then made-up pieces."""
    pieces, types = ["<unk>", *MARKERS], "U" + "C" * len(MARKERS)
    if byte_fallback := size >= len(pieces) + 256:
        pieces, types = [*pieces, *(f"<0x{b:02X}>" for b in range(256))], types + "B" * 256
    made = [f"w{n}" for n in range(size - len(pieces))]
    return {
        "kind": "sentencepiece-bpe",
        "pieces": pieces + made,
        "scores": [0.0] * len(pieces) + [-float(n) for n in range(len(made))],
        "types": types + "N" * len(made),
        "unk_id": 0,
        "unk_surface": " ⁇ ",
        "byte_fallback": byte_fallback,
        "normalizer": {
            "add_dummy_prefix": False,
            "remove_extra_whitespaces": False,
            "escape_whitespaces": True,
            "precompiled_charsmap": "",
        },
        "treat_whitespace_as_suffix": False,
        "chat": {"system": 1, "user": 2, "assistant": 3, "end": 4},
    }


@torch.inference_mode()
def selftests(model: LanguageModel, tokenizer: Tokenizer, prompts: Iterable[list[int]]) -> list[dict[str, Any]]:
    """Greedy answers to a few held-out prompts, which the chat program replays on the machine that it runs on."""
    tests = []
    for ids in prompts:
        if len(ids) + ANSWER_TOKENS > model.context_limit:
            continue
        greedy, first = greedy_answer(model, ids, end=tokenizer.end, banned=tokenizer.never_sampled)
        tests.append({"ids": ids, "greedy": greedy, "logits": [round(v, 5) for v in first[:16].tolist()]})
        if len(tests) == SELFTESTS:
            break
    return tests


def greedy_answer(
    model: LanguageModel, ids: list[int], *, end: int, banned: list[int]
) -> tuple[list[int], torch.Tensor]:
    """Up to ANSWER_TOKENS greedy ids (the end marker included), stopping before a near-tie; and the logits (V,) of the first."""
    seen = torch.zeros(1, model.vocab_size, dtype=torch.bool)
    answer: list[int] = []
    first = torch.empty(0)
    for _ in range(ANSWER_TOKENS):
        logits = model(torch.tensor([ids + answer]))[0, -1]
        first = first if len(first) else logits
        allowed = filter_logits(logits[None], Sampling(temperature=0.0), seen=seen, banned=banned)[0]
        best, second = allowed.topk(2).values.tolist()
        if best - second < NEAR_TIE:
            break
        answer.append(int(allowed.argmax()))
        if answer[-1] == end:
            break
    return answer, first
