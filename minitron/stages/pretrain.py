"""Trains a base model on raw text, before any dialogues. Run: minitron pretrain RECIPE (with a section [pretrain]).

Reads the recipe's text and the tokenizer; writes pretrain/checkpoints, pretrain/best, with which sft begins, and the packed
rows. The loop itself is `train.snapshots.fit`. Knows nothing about dialogues.
"""

from dataclasses import replace
from functools import partial

from minitron.core import distributed
from minitron.core.console import say
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.data import documents
from minitron.data.cleaning import Cleaner
from minitron.data.packing import PackedRows, pack_once
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config
from minitron.sample.continue_text import continue_text, encode_text
from minitron.sample.generate import Decoding
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import inherit
from minitron.train.fresh import fresh_model
from minitron.train.loop import SAMPLE_TOKENS, Fit
from minitron.train.snapshots import fit


def run(config: Config) -> None:
    folder = config.layout.stage("pretrain")
    if not (config.pretrain.files or config.pretrain.hub):
        raise MinitronError("pretrain has no text", hint="set pretrain.files, or leave [pretrain] out and set sft.init")
    tokenizer = kinds.load(config.layout.tokenizer)
    train, valid = rows(config, tokenizer, "train"), rows(config, tokenizer, "valid")
    model = fresh_model(config.model, tokenizer, seed=config.seed, train=config.pretrain)
    if config.pretrain.init:
        inherit.load(model, config.init)
    model.to(pick_device(config.device))
    if not config.pretrain.steps:
        inherit.keep(model, stage="pretrain", config=config)
        return
    for text in config.pretrain.samples:
        encode_text(text, tokenizer)  # raises for an empty one now, and not at the first validation
    say(f"pretrain: {model.count_params() / 1e6:.2f}M parameters on {model.device}")
    sample = partial(go_on, config, tokenizer)
    fit(model, train, valid, run=Fit("pretrain", folder, config.pretrain, config.seed, config.shard, sample))


def rows(config: Config, tokenizer: Tokenizer, split: str) -> PackedRows:
    """The packed rows of a split; packs them, unless an earlier run has done so. Raises MinitronError if there are none."""
    out, context, cleaner = (
        config.layout.packed("pretrain", split),
        config.model.context,
        Cleaner(config.pretrain.clean),
    )
    texts = documents.texts(config.pretrain, split, cleaner=cleaner)
    sequences = documents.sequences(texts, tokenizer, context)
    if counts := pack_once(sequences, context=context, vocab_size=tokenizer.vocab_size, out=out):
        if config.pretrain.clean and split == "train" and not distributed.rank():
            cleaner.write(config.layout.cleaning)
            taken = f"{cleaner.removed:,} of {cleaner.characters:,} characters ({cleaner.removed / max(1, cleaner.characters):.2%})"
            say(f"pretrain: cleaning took {taken}; samples are in {config.layout.cleaning}")
        say(f"pretrain: {split}: {counts['tokens']:,} tokens in {counts['rows']:,} rows")
    packed = PackedRows(out)
    if not len(packed):
        none = split == "valid" and not config.pretrain.valid_fraction
        raise MinitronError(
            f"there is no {split} text", hint="set pretrain.valid_fraction above 0" if none else "bring more text"
        )
    return packed


def go_on(config: Config, tokenizer: Tokenizer, model: LanguageModel) -> list[tuple[str, str]]:
    """`pretrain.samples`, each with how the model continues it; the random numbers are the same every time."""
    decoding = Decoding.of(tokenizer, seed=config.seed)
    sampling, texts = replace(config.export.sampling(), max_tokens=SAMPLE_TOKENS), config.pretrain.samples
    ids = [continue_text(model, encode_text(text, tokenizer), sampling=sampling, decoding=decoding) for text in texts]
    return [(text, tokenizer.decode(list(more))) for text, more in zip(texts, ids, strict=True)]
