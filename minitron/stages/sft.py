"""Supervised training on dialogues, from scratch, from pretrain's model or from that of another run. Run: minitron sft recipes/demo.toml.

Reads data/{train,valid}.parquet and the tokenizer; writes sft/checkpoints, sft/best and the packed rows. The loop itself
is `train.snapshots.fit`. Knows nothing about scores or files of other formats.
"""

from dataclasses import replace
from functools import partial

from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.data import encoding, store
from minitron.data.packing import PackedRows, pack_once
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config
from minitron.sample.generate import Decoding, generate
from minitron.tokenizer import chat_template, kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import inherit
from minitron.train.loop import SAMPLE_TOKENS, Fit
from minitron.train.snapshots import fit

MANY = 0.01  # the share of dialogues that the context cuts from which on it is worth a warning


def run(config: Config) -> None:
    folder = config.layout.stage("sft")
    tokenizer = kinds.load(config.layout.tokenizer)
    train, valid = rows(config, tokenizer, "train"), rows(config, tokenizer, "valid")
    model = inherit.begin(config, tokenizer).to(pick_device(config.device))
    if not config.sft.steps:
        inherit.keep(model, stage="sft", config=config)
        return
    say(f"sft: {model.count_params() / 1e6:.2f}M parameters on {model.device}")
    if config.sft.lora_rank:
        # a low-rank change of the blocks cannot tell untrained markers apart: their rows of the embedding are trained too
        around = {i for ids in (*tokenizer.opening.values(), tokenizer.closing) for i in ids}
        markers = sorted(i for i in around if not tokenizer.piece_bytes(i))
        tokens = markers if inherit.untaught(config) else []
        lora.attach(model, config.sft, seed=config.seed, tokens=tokens)
        say(f"sft: {sum(w.numel() for w in lora.state(model).values()) / 1e6:.2f}M of LoRA are trained")
    sample = partial(answer, config, tokenizer)
    fit(model, train, valid, run=Fit("sft", folder, config.sft, config.seed, config.shard, sample))


def answer(config: Config, tokenizer: Tokenizer, model: LanguageModel) -> list[tuple[str, str]]:
    """`sft.samples`, each with the model's answer; the random numbers are the same every time."""
    decoding = Decoding.of(tokenizer, seed=config.seed)
    prompts = [
        chat_template.encode_prompt([{"role": "user", "content": text}], tokenizer) for text in config.sft.samples
    ]
    prompts = [ids[: config.model.context - 1] for ids in prompts]
    sampling = replace(config.export.sampling(), max_tokens=SAMPLE_TOKENS)
    answers = generate(model, prompts, sampling=sampling, decoding=decoding)
    return [(text, tokenizer.decode(a.ids)) for text, a in zip(config.sft.samples, answers, strict=True)]


def rows(config: Config, tokenizer: Tokenizer, split: str) -> PackedRows:
    """The packed rows of a split; packs them, unless an earlier run has done so. Raises MinitronError if there are none."""
    out, context, cut = config.layout.packed("sft", split), config.model.context, {"shortened": 0, "left out": 0}
    sequences = encoding.encode(config.layout.dialogues(split), tokenizer, context, cut)
    if counts := pack_once(sequences, context=context, vocab_size=tokenizer.vocab_size, out=out):
        fill = counts["tokens"] / max(1, counts["rows"] * (context + 1))
        say(
            f"sft: {split}: {counts['sequences']:,} dialogues, {counts['tokens']:,} tokens "
            f"({counts['targets']:,} under loss), {counts['rows']:,} rows {fill:.1%} full"
        )
        if any(cut.values()):
            tell = warn if sum(cut.values()) > MANY * counts["sequences"] else say
            tell(
                f"sft: {split}: {cut['shortened']:,} dialogues longer than the context of {context} tokens lost their last "
                f"turns, {cut['left out']:,} whose first answer does not fit were left out"
            )
    packed = PackedRows(out)
    if not len(packed):
        raise why_empty(config, split)
    return packed


def why_empty(config: Config, split: str) -> MinitronError:
    """The error for a split that has no packed rows."""
    if any(True for _ in store.read(config.layout.dialogues(split))):
        message = f"no {split} dialogue fits into the context of {config.model.context} tokens"
        return MinitronError(message, hint=config.longer)
    hint = "bring more dialogues" if config.data.valid_fraction else "set data.valid_fraction above 0"
    return MinitronError(f"there are no {split} dialogues", hint=f"{hint}: the best checkpoint is chosen with them")
