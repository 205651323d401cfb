"""Trains the tokenizer on the training dialogues (and on pretrain's text). Run: minitron tokenizer recipes/demo.toml.

Reads data/train.parquet; writes tokenizer/tokenizer.model and tokenizer/report.json. Knows nothing about chat markers
beyond their names.
"""

import json
from collections.abc import Iterator

from minitron import dialogues, tokenizer
from minitron.config import Config
from minitron.console import say
from minitron.files import atomic_write


def run(config: Config) -> None:
    folder = config.stage_dir("tokenizer")
    texts = _texts(config)
    model = tokenizer.train(texts, config=config.tokenizer, seed=config.seed)
    atomic_write(folder / "tokenizer.model", model)
    trained = tokenizer.Tokenizer(folder / "tokenizer.model")
    sample = [m["content"] for m in _some_messages(config)]
    ids = sum(len(i) for i in trained.encode_many(sample))
    characters, size = sum(map(len, sample)), sum(len(t.encode()) for t in sample)
    report = {
        "vocab_size": trained.vocab_size,
        "characters_per_token": round(characters / max(1, ids), 3),
        "bytes_per_token": round(size / max(1, ids), 3),
    }
    atomic_write(folder / "report.json", json.dumps(report, indent=1))
    say(f"tokenizer: {trained.vocab_size} tokens, {report['characters_per_token']} characters per token")


def _texts(config: Config) -> Iterator[str]:
    """Contents of the training dialogues, then pretrain's documents, up to max_train_chars."""
    left = config.tokenizer.max_train_chars
    for text in _all_texts(config):
        if left <= 0:
            return
        left -= len(text)
        yield text


def _all_texts(config: Config) -> Iterator[str]:
    for dialogue in dialogues.read(config.stage_dir("data") / "train.parquet"):
        for message in dialogue["messages"]:
            yield message["content"]
    if config.pretrain:
        yield from dialogues.documents(config.pretrain.files, column=config.pretrain.column)


def _some_messages(config: Config, limit: int = 2000) -> Iterator[dict]:
    for number, dialogue in enumerate(dialogues.read(config.stage_dir("data") / "valid.parquet")):
        if number == limit:
            return
        yield from dialogue["messages"]
