"""Trains the tokenizer on the training dialogues and on pretrain's training text. Run: minitron tokenizer recipes/demo.toml.

Reads data/train.parquet, where the recipe has dialogues, and pretrain's text; writes tokenizer/tokenizer.model and
tokenizer/report.json. Knows nothing about chat markers beyond their names.
"""

import json
import sys
from collections.abc import Iterable, Iterator

from minitron.core.console import say
from minitron.core.files import atomic_write
from minitron.data import documents, store
from minitron.recipe.schema import Config
from minitron.tokenizer import sentencepiece

SAMPLE_CHARS = 1_000_000  # of held-out text, to say how many characters a token has


def run(config: Config) -> None:
    folder = config.layout.stage("tokenizer")
    limit = sys.maxsize if config.tokenizer.kind == "char" else config.tokenizer.max_train_chars
    model = sentencepiece.train(_up_to(limit, _texts(config, "train")), config=config.tokenizer, seed=config.seed)
    atomic_write(folder / "tokenizer.model", model)
    trained = sentencepiece.Tokenizer(folder / "tokenizer.model")
    sample = [part for text in _up_to(SAMPLE_CHARS, _texts(config, "valid")) for part in sentencepiece.parts(text)]
    ids = sum(len(i) for i in trained.encode_many(sample))
    characters, size = sum(map(len, sample)), sum(len(t.encode()) for t in sample)
    report = {
        "vocab_size": trained.vocab_size,
        "characters_per_token": round(characters / max(1, ids), 3),
        "bytes_per_token": round(size / max(1, ids), 3),
    }
    atomic_write(config.layout.stage_report("tokenizer"), json.dumps(report, indent=1))
    say(f"tokenizer: {trained.vocab_size} tokens, {report['characters_per_token']} characters per token")


def _texts(config: Config, split: str) -> Iterator[str]:
    """Contents of the dialogues, then pretrain's texts."""
    if not config.base:
        for dialogue in store.read(config.layout.dialogues(split)):
            for message in dialogue["messages"]:
                yield message["content"]
    if config.pretrain:
        yield from documents.texts(config.pretrain, split)


def _up_to(limit: int, texts: Iterable[str]) -> Iterator[str]:
    """The first `limit` characters."""
    for text in texts:
        yield text[:limit]
        limit -= len(text)
        if limit <= 0:
            return
