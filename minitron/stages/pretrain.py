"""A base model from raw text, before dialogues. Run: minitron pretrain RECIPE (with a section [pretrain]).

Reads the recipe's text files and the tokenizer; writes pretrain/checkpoints and pretrain/best, where sft begins. The loop
itself is `trainer.fit`. Knows nothing about dialogues.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial

import torch

from minitron import dialogues, distributed
from minitron.config import Config
from minitron.console import say
from minitron.errors import MinitronError
from minitron.model import LanguageModel, pick_device
from minitron.packing import PackedRows, Sequence, pack
from minitron.tokenizer import Tokenizer
from minitron.trainer import Fit, fit

LONG_CHARS = 10_000  # of a longer document the end is held out; shorter ones are held out whole or not at all


def run(config: Config) -> None:
    folder = config.stage_dir("pretrain")
    tokenizer = Tokenizer(config.stage_dir("tokenizer") / "tokenizer.model")
    sets = {}
    for split in ("train", "valid"):
        out = folder / f"packed-{split}"
        if not distributed.first((out / "pack.json").exists):
            sequences = encode(texts(config, split), tokenizer, config.model.context)
            packing = partial(pack, sequences, context=config.model.context, vocab_size=tokenizer.vocab_size, out=out)
            counts = distributed.first(packing)
            say(f"pretrain: {split}: {counts['tokens']:,} tokens in {counts['rows']:,} rows")
        sets[split] = PackedRows(out)
        if not len(sets[split]):
            raise MinitronError(f"there is no {split} text", hint="check pretrain.files and pretrain.valid_fraction")
    torch.manual_seed(config.seed)  # the fresh weights
    model = LanguageModel(config.model, tokenizer.vocab_size).to(pick_device(config.device))
    say(f"pretrain: {model.count_params() / 1e6:.2f}M parameters on {model.device}")
    fit(
        model,
        sets["train"],
        sets["valid"],
        run=Fit("pretrain", folder, config.pretrain, config.optim, config.seed, config.shard),
    )


def texts(config: Config, split: str) -> Iterator[str]:
    """Texts of a split: the ends of long documents, and short ones by a hash, so that their order does not matter."""
    held_out = config.pretrain.valid_fraction
    for document in dialogues.documents(config.pretrain.files, column=config.pretrain.column):
        if len(document) > LONG_CHARS:
            end = len(document) - round(held_out * len(document))
            yield document[end:] if split == "valid" else document[:end]
            continue
        share = int.from_bytes(hashlib.blake2b(document.encode(), digest_size=8).digest()) / 2**64
        if (share < held_out) == (split == "valid"):
            yield document


def encode(parts: Iterable[str], tokenizer: Tokenizer, context: int) -> Iterator[Sequence]:
    """Text, end marker; longer than the context: cut so that every id is predicted exactly once."""
    for text in parts:
        ids = [*tokenizer.encode(text), tokenizer.end]
        for at in range(0, len(ids) - 1, context):
            piece = ids[at : at + context + 1]
            size = len(tokenizer.decode(piece[1:]).encode())
            yield Sequence(piece, [False] + [True] * (len(piece) - 1), size)
