"""Trains the tokenizer on the training dialogues and on pretrain's training text. Run: minitron tokenizer recipes/demo.toml.

With `init` it is the tokenizer of the run that this one goes on from. Reads data/train.parquet, where the recipe has dialogues, and pretrain's text; writes tokenizer/tokenizer.model and
tokenizer/report.json. What sft cannot use, since it is longer than the context, has no say in the vocabulary, and text too
small for `tokenizer.vocab_size` gets as many tokens as it has. Knows nothing about chat markers beyond their names.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.data import documents, store
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds, sentencepiece
from minitron.tokenizer.base import TooManyTokens

SAMPLE_CHARS = 1_000_000  # of held-out text (where there is none, of the other), to say how many characters a token has
CHARS_PER_TOKEN = (
    8  # more than texts have on average: a dialogue of more than this many per token of context is too long
)


def run(config: Config) -> None:
    folder = config.layout.stage("tokenizer")
    atomic_write(folder / "tokenizer.model", kinds.inherited(config) if config.init else _train(config))
    trained = kinds.load(folder / "tokenizer.model")
    texts = list(_up_to(SAMPLE_CHARS, _texts(config, "valid"))) or _up_to(SAMPLE_CHARS, _texts(config, "train"))
    sample = [part for text in texts for part in sentencepiece.parts(text)]
    ids = sum(len(i) for i in trained.encode_many(sample))
    characters, size = sum(map(len, sample)), sum(len(t.encode()) for t in sample)
    report = {
        "vocab_size": trained.vocab_size,
        "characters_per_token": round(characters / max(1, ids), 3),
        "bytes_per_token": round(size / max(1, ids), 3),
    }
    atomic_write(config.layout.stage_report("tokenizer"), json.dumps(report, indent=1))
    say(f"tokenizer: {trained.vocab_size} tokens, {report['characters_per_token']} characters per token")


def _train(config: Config) -> bytes:
    """The model's bytes, of fewer tokens than `tokenizer.vocab_size` where the text has not so many."""
    settings = config.tokenizer
    limit = settings.max_train_chars if TOKENIZERS[settings.kind].sized else sys.maxsize
    if not any(_texts(config, "train")):
        hint = "raise model.context" if not config.base else "bring more text, or lower pretrain.valid_fraction"
        raise MinitronError("there is no training text, or none that fits into the context", hint=hint)
    try:
        return kinds.train(_up_to(limit, _texts(config, "train")), config=settings, seed=config.seed)
    except TooManyTokens as error:
        size = error.most
    say(f"tokenizer: so little text has {size} tokens, not tokenizer.vocab_size = {settings.vocab_size}")
    settings = replace(settings, vocab_size=size)
    return kinds.train(_up_to(limit, _texts(config, "train")), config=settings, seed=config.seed)


def _texts(config: Config, split: str) -> Iterator[str]:
    """Contents of the dialogues, then pretrain's texts."""
    if not config.base:
        for dialogue in store.read(config.layout.dialogues(split)):
            for message in _fitting(dialogue["messages"], CHARS_PER_TOKEN * config.model.context):
                yield message["content"]
    if config.pretrain:
        yield from documents.texts(config.pretrain, split)


def _fitting(messages: list[dict], characters: int) -> list[dict]:
    """The messages up to the last answer within so many characters, as sft cuts a dialogue; none if the first is beyond."""
    while messages and sum(len(message["content"]) for message in messages) > characters:
        messages = messages[:-2] if len(messages) > 3 else []
    return messages


def _up_to(limit: int, texts: Iterable[str]) -> Iterator[str]:
    """The first `limit` characters."""
    for text in texts:
        yield text[:limit]
        limit -= len(text)
        if limit <= 0:
            return
