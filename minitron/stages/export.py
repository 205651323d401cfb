"""Writes the model that a recipe ships in another program's format. Run: minitron export recipes/demo.toml [--format gguf].

Reads the tokenizer, the shipped checkpoint, held-out dialogues (a base model's held-out text), and for q4 packed training rows; the
formats are in minitron/interop. Knows nothing about what is in their files.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from minitron.core import lock
from minitron.core.errors import MinitronError
from minitron.data import documents, store
from minitron.interop.about import ANSWER_TOKENS, About, utc
from minitron.model.language_model import LanguageModel
from minitron.program import icon
from minitron.recipe.kinds import EXPORTS
from minitron.recipe.schema import Config
from minitron.tokenizer import chat_template, kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import calibrate, checkpoint, inherit

GREETINGS = ("Hello! Who are you?", "The sun", "Привет", "1 + 1 =", "Once upon a time there was")
EXCERPTS, PROMPT_TOKENS = 5, 32  # a base model's prompts from held-out text: how many, and how long


def run(config: Config) -> None:
    write(config, out=config.layout.bundle)


def write(
    config: Config, *, out: str | Path, format: str = "bundle", dtype: str | None = None, untrained: bool = False
) -> None:
    """Writes the files of `format` into `out`, with matrices as `dtype` (default: the format's usual one, else the recipe's). With
    `untrained` the model has fresh weights and no tokenizer. Raises MinitronError for options that do not go together."""
    e = config.export
    title = e.title or config.name
    picture = icon.png(e.icon, title=title)  # first, so that a mistake in it is found at once
    kind = EXPORTS[format]
    dtype = dtype or kind.usual or e.dtype
    if dtype not in kind.dtypes:
        raise MinitronError(
            f"--format {format} has no --dtype {dtype}", hint=f"it has {', '.join(kind.dtypes)}", code=2
        )
    about = About(title, dtype, e, config.name, "untrained", base=config.base, icon=picture)
    writer: Callable[..., None] = kind.load()
    if untrained and kind.adapter:
        raise MinitronError(f"--format {format} has nothing to do with --untrained", hint="leave it out", code=2)
    if untrained:
        torch.manual_seed(config.seed)
        model = LanguageModel(config.model, kinds.expected_size(config)).eval()
        with lock.held(Path(out)):
            writer(model, None, about, Path(out))
        return
    model, tokenizer, about = shipped(config, about)
    if kind.compensates and dtype == "q4":
        about = replace(about, matrices=calibrate.round_q4(config, model))
    if kind.adapter:
        if about.adapter is None:
            raise MinitronError(
                f"{config.recipe} has no LoRA adapter alone to export",
                hint="use --format hf; peft needs sft.lora_rank, and neither [kto] nor labels after it",
            )
        about = replace(about, start=inherit.begin(config, tokenizer).eval())
    with lock.held(Path(out)):
        writer(model, tokenizer, about, Path(out))


def shipped(config: Config, about: About) -> tuple[LanguageModel, Tokenizer, About]:
    """The model that the recipe ships, its tokenizer, and `about` completed with what is known of that model. Raises MinitronError where
    there is no such model, or it has another number of tokens than the tokenizer."""
    tokenizer = kinds.load(config.layout.tokenizer)
    folder = checkpoint.finished(config.layout.stage(config.shipped), config.shipped)
    model, made = checkpoint.load_model(folder)
    if model.vocab_size != tokenizer.vocab_size:
        raise MinitronError(
            f"the model has {model.vocab_size} tokens and the tokenizer {tokenizer.vocab_size}",
            hint=f"train it on this tokenizer: minitron run {config.recipe}",
        )
    about = replace(
        about,
        stage=config.shipped,
        step=made["step"],
        trained=utc((folder / "model.safetensors").stat().st_mtime),
        sources=config.data.sources,
        prompts=prompts(config, tokenizer),
        run=config.layout,
        adapter=folder if checkpoint.ADAPTER in made["sha256"] else None,
    )
    return model, tokenizer, about


def prompts(config: Config, tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The ids of prompts: each held-out dialogue up to the first message of the user, or for a base model excerpts of the held-out text."""
    held_out = config.layout.packed("pretrain", "valid") if config.base else config.layout.dialogues("valid")
    if not held_out.exists():  # an imported model has no held-out text
        for text in GREETINGS:
            yield (
                tokenizer.encode(text)
                if config.base
                else chat_template.encode_prompt([{"role": "user", "content": text}], tokenizer)
            )
        return
    if config.base:
        length = max(1, min(PROMPT_TOKENS, config.model.context - ANSWER_TOKENS))
        rows = documents.held_out(config)
        for ids in documents.excerpts(rows, count=EXCERPTS, least=length, seed=config.seed):
            yield ids[:length]
        return
    for dialogue in store.read(config.layout.dialogues("valid")):
        messages = dialogue["messages"]
        first = 1 if messages[0]["role"] == "system" else 0
        yield chat_template.encode_prompt(messages[: first + 1], tokenizer)
