"""Trains the tokenizer on the training dialogues and on pretrain's training text. Run: minitron tokenizer recipes/demo.toml.

Reads data/train.parquet, if the recipe has dialogues, and pretrain's text, or tokenizer.mixture in place of both; writes
tokenizer/tokenizer.model and tokenizer/report.json. Turns that sft cannot use because they do not fit into the context do not
count, and a text too small for `tokenizer.vocab_size` gives fewer tokens. With `init` the tokenizer is that of the run that this
one goes on from. Text is streamed; SentencePiece holds the sample in memory. Knows nothing about chat markers beyond their names.
"""

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from minitron.core.console import Progress, progress, say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.data import documents, store
from minitron.data.sample import Origin, Sample
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.schema import Config, MixturePart
from minitron.tokenizer import kinds, measure, sentencepiece
from minitron.tokenizer.base import Tokenizer, TooManyTokens

SAMPLE_CHARS = 1_000_000  # of held-out text (or else training text), to measure characters per token
# More than texts have on average: a dialogue with more characters than this per token of context is too long.
CHARS_PER_TOKEN = 8


def run(config: Config) -> None:
    folder, begun = config.layout.stage("tokenizer"), time.monotonic()
    learnt = {}
    if config.init:
        atomic_write(folder / "tokenizer.model", kinds.inherited(config))
    else:
        sample = _sample(config)
        atomic_write(folder / "tokenizer.model", _train(config, sample))
        learnt = {"learnt_from": sample.met, "of": sum(o.characters for o in sample.origins)}
    trained = kinds.load(folder / "tokenizer.model")
    seconds = time.monotonic() - begun
    report = _report(config, trained) | learnt | {"seconds": round(seconds, 1)}
    atomic_write(config.layout.stage_report("tokenizer"), json.dumps(report, indent=1, ensure_ascii=False))
    say(
        f"tokenizer: {trained.vocab_size} tokens, {report['characters_per_token']} characters and {report['bytes_per_token']} bytes "
        f"per token, {seconds:.1f} s"
    )
    for title, figures in (report["sources"] | report["scripts"]).items():
        say(f"  {title}: {figures['characters_per_token']} characters, {figures['bytes_per_token']} bytes per token")
    for title in ("longest", "oddest"):
        if report[title]:
            say(f"  {title} tokens: " + "  ".join(map(repr, report[title])))


def _sample(config: Config) -> Sample:
    """The sample that the tokenizer learns from, drawn after all text was counted. Raises MinitronError where there is none."""
    settings = config.tokenizer
    sized = TOKENIZERS[settings.kind].sized
    with progress("tokenizer: counting characters") as bar:
        limit = settings.max_train_chars if sized else sys.maxsize
        origins = _origins(config, "train")
        if not sized:  # every character counts, whatever the shares of a mixture
            origins = [replace(origin, share=None) for origin in origins]
        sample = Sample.of(origins, limit=limit, seed=config.seed, told=bar.update)
    there = sum(origin.characters for origin in sample.origins)
    if not any(sample.texts()):
        hint = config.longer if not config.base else "bring more text, or lower pretrain.valid_fraction"
        raise MinitronError("there is no training text, or none that fits into the context", hint=hint)
    if there and not sample.whole and sized:
        say(f"tokenizer: learns from {sample.wanted:,} of {there:,} characters, a sample from all of them")
    elif not there and sized:
        say(f"tokenizer: learns from the first {sample.wanted:,} characters at most")
    return sample


def _train(config: Config, sample: Sample) -> bytes:
    """The bytes of the tokenizer's file; it has fewer tokens than `tokenizer.vocab_size` if the text does not yield so many."""
    settings = config.tokenizer
    wanted = sample.wanted if sample.wanted < sys.maxsize else 0
    with progress("tokenizer", wanted) as bar:
        try:
            return kinds.train(_watched(sample.texts(), bar), config=settings, seed=config.seed)
        except TooManyTokens as error:
            size = error.most
    say(f"tokenizer: so little text has {size} tokens, not tokenizer.vocab_size = {settings.vocab_size}")
    return kinds.train(sample.texts(), config=replace(settings, vocab_size=size), seed=config.seed)


def _watched(texts: Iterable[str], bar: Progress) -> Iterator[str]:
    """Passes the texts on and moves the bar. After the last one SentencePiece learns, for about as long as it read."""
    done = 0
    for text in texts:
        done += len(text)
        bar.update(done, "characters read")
        yield text
    bar.update(done, "characters read, merging")


def _origins(config: Config, split: str) -> list[Origin]:
    """Where the text of a split comes from. A mixture has no held-out part: both splits are all of its text."""
    if config.tokenizer.mixture:
        return [
            Origin(", ".join(part.files), partial(_of_files, part), share=part.share)
            for part in config.tokenizer.mixture
        ]
    found = []
    if not config.base:
        found.append(Origin("dialogues", partial(_contents, config, split)))
    if config.pretrain:
        opened = partial(documents.texts, config.pretrain, split)
        found.append(Origin("pretrain", opened, countable=not config.pretrain.hub))
    return found


def _of_files(part: MixturePart) -> Iterator[str]:
    for source in documents.of_files(part.files, option="tokenizer.mixture"):
        yield from documents.documents_of(source, column=part.column, option=documents.OF_MIXTURE)


def _contents(config: Config, split: str) -> Iterator[str]:
    for dialogue in store.read(config.layout.dialogues(split)):
        for message in _fitting(dialogue["messages"], CHARS_PER_TOKEN * config.model.context):
            yield message["content"]


def _report(config: Config, trained: Tokenizer) -> dict[str, Any]:
    """Figures of held-out text (training text if none is held out), by source and by script, and the most remarkable tokens."""
    texts = {o.name: _some(o, config.seed) for o in _origins(config, "valid")}
    if not any(texts.values()):
        texts = {o.name: _some(o, config.seed) for o in _origins(config, "train")}
    whole = list(itertools.chain.from_iterable(texts.values()))
    overall = measure.per_token(whole, trained)
    return {
        "vocab_size": trained.vocab_size,
        "characters_per_token": overall["characters_per_token"],
        "bytes_per_token": overall["bytes_per_token"],
        "sources": {name: measure.per_token(found, trained) for name, found in texts.items() if found},
        "scripts": measure.by_script(whole, trained),
        "longest": measure.longest(trained),
        "oddest": measure.oddest(trained),
    }


def _some(origin: Origin, seed: int) -> list[str]:
    """A sample of an origin's text, in parts short enough for SentencePiece."""
    sample = Sample.of([replace(origin, share=None)], limit=SAMPLE_CHARS, seed=seed)
    return [part for text in sample.texts() for part in sentencepiece.parts(text)]


def _fitting(messages: list[dict], characters: int) -> list[dict]:
    """The longest beginning of a dialogue that ends with an answer and has at most `characters` characters, as sft cuts it; empty if
    even the first exchange has more."""
    while messages and sum(len(message["content"]) for message in messages) > characters:
        messages = messages[:-2] if len(messages) > 3 else []
    return messages
