"""What an export format may say about a model besides its weights and its tokenizer."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.quant.panels import Matrix
from minitron.recipe.data import Source
from minitron.recipe.layout import Layout
from minitron.recipe.schema import ExportConfig

ANSWER_TOKENS = 24  # at most so many tokens in an answer that checks an exported file


@dataclass(frozen=True)
class About:
    """What the people and programs that get the model are told about it."""

    title: str
    dtype: str  # of the matrices; the format must have it (recipe.kinds.EXPORTS)
    settings: ExportConfig  # [export]: greeting, system message, sampling and so on
    recipe: str  # the recipe's name
    stage: str  # the stage that trained the weights; "untrained" if none did
    step: int = 0
    base: bool = False  # it continues texts and was not trained on dialogues
    trained: str = ""  # when the weights were saved, as `utc` writes it
    sources: list[Source] = field(default_factory=list)
    icon: bytes = b""  # PNG
    matrices: Mapping[str, Matrix] | None = None  # the matrices as they are stored, if they have been rounded already
    prompts: Iterable[list[int]] = ()  # held-out prompts, for a format that stores self-tests
    run: Layout | None = None  # where the stages' reports are, for a model card
    adapter: Path | None = None  # the checkpoint that holds the LoRA adapter, for the format `peft`
    start: LanguageModel | None = None  # the model that the adapter changes


def utc(seconds: float) -> str:
    """Seconds since 1970 as 2026-11-20T15:00:00Z."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_fp16(model: LanguageModel) -> None:
    """Raises MinitronError if a weight is not finite, or too large for fp16."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter.half()).all():
            raise MinitronError(f"{name} does not fit into fp16", hint="train again with a lower optim.lr")
