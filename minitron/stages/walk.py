"""Runs the stages of a recipe in order, after checking everything that could make them fail.

    walk(config, first=None, last="sft", force=False)

Mistakes in a recipe or a file are reported in seconds, not after an hour of training. Knows nothing about what the stages do.
"""

from pathlib import Path

from minitron.core import distributed
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.data import check as data_check
from minitron.data import fetch
from minitron.interop.foreign import IMPORTED
from minitron.model import lora
from minitron.plan import memory
from minitron.program import go, icon
from minitron.recipe.layout import TRAINING, WITH_MODEL
from minitron.recipe.schema import Config
from minitron.stages import pipeline
from minitron.tokenizer import chat_template, kinds, normalization
from minitron.train import compile

READ_DATA = {"data", "tokenizer", "pretrain"}  # stages that read what the recipe's file options name
BEGIN_ANEW = {"tokenizer", *TRAINING}  # stages whose results take the place of those in the run
HAVE_A_MODEL = {*WITH_MODEL, "reject", "eval"}  # stages that use the recipe's device


def walk(config: Config, *, first: str | None, last: str | None, force: bool) -> list[str]:
    """Runs the recipe's stages from `first` to `last` (None: from the first, to the last one) that are not up to date. Returns the names
    of all stages in this range."""
    stages = pipeline.select(config, first, last)
    names = [stage.name for stage in stages]
    distributed.on_rank0(lambda: check(config, set(names)))
    check_shares(config, set(names))
    for stage in stages:
        distributed.on_rank0(lambda: check_system(config))
        pipeline.run_stage(stage, config, force=force)
    return names


def check(config: Config, names: set[str]) -> None:
    """Downloads data that is missing, and raises MinitronError for what would make one of these stages fail, such as mistakes in the
    data, the tokenizer's rules, the picture or the Go toolchain."""
    if names & BEGIN_ANEW:
        check_beginning(config)
    if names & READ_DATA:
        fetch.fetch_missing(config.data.fetch)
        data_check.check(config)
    if names & HAVE_A_MODEL:
        device = pick_device(config.device)
        for stage in TRAINING:
            settings = getattr(config, stage)
            if stage in names and settings:
                compile.check(settings.optim.compile, device)
    if "tokenizer" in names:
        normalization.Normalizer(config.tokenizer)
    for stage in ("sft", "kto", "feedback"):
        settings = getattr(config, stage)
        if stage in names and settings and settings.lora_rank:
            lora.check(memory.meta_model(config.model, 1), settings.lora_targets)
    if "export" in names and config.init:  # the chat program does not support every tokenizer
        kinds.read(kinds.inherited(config), config.layout.tokenizer).to_vocab()
    if "export" in names:
        icon.png(config.export.icon, title=config.title)
    if "binary" in names:
        go.check_sources()
        go.find_go()


def check_beginning(config: Config) -> None:
    """Raises MinitronError where training would take the place of the model that it is to go on from: that of the recipe's own run, or
    an imported one."""
    run = config.layout.run
    own = bool(config.init) and Path(config.init).resolve() == run.resolve()
    if own or any(config.layout.checkpoint(stage, IMPORTED).exists() for stage in TRAINING):
        raise MinitronError(
            f"training would take the place of the model in {run}",
            hint=f'to go on from it, write a recipe of another name with sft.init = "{run.as_posix()}"',
            code=2,
        )


def check_shares(config: Config, names: set[str]) -> None:
    """Raises MinitronError where the processes of this run cannot share the steps of a stage that is still to be trained. All of them
    must call it, since `on_rank0` knows one alone."""
    for stage in TRAINING:
        settings = getattr(config, stage)
        if stage in names and settings.steps and not (config.layout.stage(stage) / "stage.json").exists():
            distributed.check_shares(pick_device(config.device), stage=stage, accumulation=settings.accumulation)


def check_system(config: Config) -> None:
    """Raises MinitronError where export.system leaves no room for a message and an answer. Checks nothing before the tokenizer exists."""
    if not config.export.system or config.base or not config.layout.tokenizer.exists():
        return
    messages = [{"role": "system", "content": config.export.system}, {"role": "user", "content": "?"}]
    context, wanted = config.model.context, config.export.max_tokens
    how = {"context": context, "max_tokens": wanted, "least": min(wanted, context // 4)}
    try:
        chat_template.fit(messages, kinds.load(config.layout.tokenizer), **how)
    except MinitronError:
        raise MinitronError(
            f"export.system leaves no room for a message in the context of {config.model.context} tokens",
            hint=config.longer if config.init else "shorten it, or raise model.context",
            code=2,
        ) from None
