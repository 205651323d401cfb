"""Writes the bundle that the chat program embeds (docs/formats.md). Run: minitron export recipes/demo.toml.

Reads the tokenizer and the shipped checkpoint; writes weights.bin, vocab.json and config.json (docs/formats.md). Knows
nothing about Go.
"""

import base64
import dataclasses
import datetime
import hashlib
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import torch
from sentencepiece import sentencepiece_model_pb2

from minitron import __version__
from minitron.core import lock
from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.data import documents, store
from minitron.model.language_model import LanguageModel
from minitron.program import icon
from minitron.quant import arithmetic
from minitron.recipe.schema import Config, Sampling
from minitron.sample.generate import filter_logits
from minitron.tokenizer import chat_template
from minitron.tokenizer.sentencepiece import MARKERS, Tokenizer, expected_size
from minitron.train import checkpoint

ALIGN = 64  # bytes; every tensor begins at a multiple of it
SELFTESTS, SELFTEST_TOKENS = 5, 24
NEAR_TIE = 0.1  # logits; a self-test ends before a choice that is closer than this
TYPES = {1: "N", 2: "U", 3: "C", 4: "D", 5: "X", 6: "B"}  # SentencePiece's piece types


def run(config: Config) -> None:
    write(config, out=config.layout.bundle)


def write(config: Config, *, out: str | Path, dtype: str | None = None, untrained: bool = False) -> None:
    """The three files into `out`, the matrices as `dtype` (default: the recipe's). `untrained`: fresh weights and an
    invented vocabulary of the recipe's size."""
    out, dtype, e = Path(out), dtype or config.export.dtype, config.export
    title = e.title or config.name
    picture = icon.png(e.icon, title=title)  # first: its mistakes are found at once
    stage = config.shipped
    if untrained:
        torch.manual_seed(config.seed)
        vocab, tests, step = invented_vocab(expected_size(config)), [], 0
        model = LanguageModel(config.model, len(vocab["pieces"])).eval()
    else:
        tokenizer = Tokenizer(config.layout.tokenizer)
        folder = checkpoint.finished(config.layout.stage(stage), stage)
        model, about = checkpoint.load_model(folder)
        if model.vocab_size != tokenizer.vocab_size:
            raise MinitronError(
                f"the model has {model.vocab_size} tokens and the tokenizer {tokenizer.vocab_size}",
                hint=f"train it on this tokenizer: minitron run {config.recipe}",
            )
        vocab, step = vocabulary(tokenizer), about["step"]
    tensors, weights = lay_out(model, dtype)
    if not untrained:
        arithmetic.round_activations(model, dtype)
        tests = selftests(config, tokenizer, model)
    vocab_bytes = json.dumps(vocab, ensure_ascii=False, separators=(",", ":")).encode()
    about = {
        "format": "minitron-bundle",
        "version": 2,
        "name": title,
        "template": "text" if config.base else "chatml",
        "model": dataclasses.asdict(model.config) | {"vocab_size": model.vocab_size},
        "dtype": dtype,
        "params": model.count_params(),
        "weights": digest(weights),
        "vocab": digest(vocab_bytes),
        "tensors": tensors,
        "about": {"version": e.version, "licence": e.licence, "icon": base64.b64encode(picture).decode()},
        "chat": {"system": e.system, "greeting": e.greeting, "questions": e.questions},
        "sampling": {
            k: getattr(e, k) for k in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "max_tokens")
        },
        "selftest": tests,
        "made": {
            "minitron": __version__,
            "recipe": config.name,
            "stage": "untrained" if untrained else stage,
            "step": step,
            "sources": [dataclasses.asdict(source) for source in config.data.sources],
            "trained": "" if untrained else utc((folder / "model.safetensors").stat().st_mtime),
            "date": utc(time.time()),
        },
    }
    # config.json goes away first and comes last: a bundle without it is no bundle, so none is ever half new
    with lock.held(out):
        (out / "config.json").unlink(missing_ok=True)
        atomic_write(out / "weights.bin", weights)
        atomic_write(out / "vocab.json", vocab_bytes)
        atomic_write(out / "config.json", sealed(json.dumps(about, indent=1, ensure_ascii=False)))
    say(
        f"export: {about['name']}, {about['params'] / 1e6:.2f}M parameters as {dtype}, {len(weights) / 1e6:.1f} MB -> {out}"
    )


def utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest(data: bytes) -> dict:
    return {"bytes": len(data), "crc32": f"{zlib.crc32(data):08x}", "sha256": hashlib.sha256(data).hexdigest()}


def sealed(config: str) -> str:
    """A JSON object's text with one more field at its end: the checksum of all bytes before that field."""
    before = config.rstrip().removesuffix("}").rstrip() + ",\n "
    return before + f'"crc32": "{zlib.crc32(before.encode()):08x}"\n}}\n'


def lay_out(model: LanguageModel, dtype: str) -> tuple[list[dict], bytearray]:
    """The tensor table and weights.bin: packed matrices, vectors in fp32, each at a multiple of ALIGN. The model's weights
    become what is written."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter.half()).all():
            raise MinitronError(f"{name} does not fit into fp16", hint="train again with a lower optim.lr")
    matrices = arithmetic.shrink(model, dtype)
    table, blob = [], bytearray()
    for name, parameter in model.named_parameters():
        matrix = matrices.get(name)
        data = matrix.pack().tobytes() if matrix else parameter.detach().cpu().numpy().astype("<f4").tobytes()
        blob += bytes(-len(blob) % ALIGN)
        about = {"dtype": matrix.dtype if matrix else "f32", "shape": list(parameter.shape)}
        table.append({"name": name} | about | {"offset": len(blob), "bytes": len(data)})
        blob += data
    return table, blob


def vocabulary(tokenizer: Tokenizer) -> dict:
    """vocab.json: all that SentencePiece's model says about encoding."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(tokenizer.path.read_bytes())
    normalizer = proto.normalizer_spec
    return {
        "kind": "sentencepiece-bpe",
        "pieces": [p.piece for p in proto.pieces],
        "scores": [p.score for p in proto.pieces],
        "types": "".join(TYPES[piece_type(p, proto)] for p in proto.pieces),
        "unk_id": proto.trainer_spec.unk_id,
        "unk_surface": proto.trainer_spec.unk_surface,
        "byte_fallback": proto.trainer_spec.byte_fallback,
        "normalizer": {
            "add_dummy_prefix": normalizer.add_dummy_prefix,
            "remove_extra_whitespaces": normalizer.remove_extra_whitespaces,
            "escape_whitespaces": normalizer.escape_whitespaces,
            "precompiled_charsmap": base64.b64encode(normalizer.precompiled_charsmap).decode(),
        },
        "treat_whitespace_as_suffix": proto.trainer_spec.treat_whitespace_as_suffix,
        "chat": {name: getattr(tokenizer, name) for name in ("system", "user", "assistant", "end")},
    }


def piece_type(piece, proto) -> int:
    """A character model never forms a piece of several characters: for the program, which merges pairs, it is unused."""
    characters = proto.trainer_spec.model_type == proto.trainer_spec.CHAR
    return piece.UNUSED if characters and piece.type == piece.NORMAL and len(piece.piece) > 1 else piece.type


def invented_vocab(size: int) -> dict:
    """A vocabulary of the right size for weights that know nothing: markers, bytes where they fit, then made-up pieces."""
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
def selftests(config: Config, tokenizer: Tokenizer, model: LanguageModel) -> list[dict]:
    """Greedy answers to a few held-out prompts, for the program to replay on its own machine."""
    tests = []
    for ids in prompts(config, tokenizer):
        if len(ids) + SELFTEST_TOKENS > model.config.context:
            continue
        greedy, first = greedy_answer(model, ids, end=tokenizer.end, banned=tokenizer.never_sampled)
        tests.append({"ids": ids, "greedy": greedy, "logits": [round(v, 5) for v in first[:16].tolist()]})
        if len(tests) == SELFTESTS:
            break
    return tests


def prompts(config: Config, tokenizer: Tokenizer) -> Iterator[list[int]]:
    """What held-out dialogues begin with; of a base model, excerpts of the held-out text."""
    if config.base:
        length = max(1, min(32, config.model.context - SELFTEST_TOKENS))
        rows = documents.held_out(config)
        for ids in documents.excerpts(rows, count=SELFTESTS, least=length, seed=config.seed):
            yield ids[:length]
        return
    for dialogue in store.read(config.layout.dialogues("valid")):
        yield chat_template.encode_prompt(dialogue["messages"][:1], tokenizer)


def greedy_answer(
    model: LanguageModel, ids: list[int], *, end: int, banned: list[int]
) -> tuple[list[int], torch.Tensor]:
    """Up to SELFTEST_TOKENS greedy ids (the end marker included), stopping before a near-tie; and the first logits."""
    seen = torch.zeros(1, model.vocab_size, dtype=torch.bool)
    answer, first = [], None
    for _ in range(SELFTEST_TOKENS):
        logits = model(torch.tensor([ids + answer]))[0, -1]
        first = logits if first is None else first
        allowed = filter_logits(logits[None], Sampling(temperature=0.0), seen=seen, banned=banned)[0]
        best, second = allowed.topk(2).values.tolist()
        if best - second < NEAR_TIE:
            break
        answer.append(int(allowed.argmax()))
        if answer[-1] == end:
            break
    return answer, first
