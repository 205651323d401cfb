"""What a format may say of a model beside its weights and its tokenizer."""

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

ANSWER_TOKENS = 24  # of an answer by which a format proves itself, at most


@dataclass(frozen=True)
class About:
    """For people and programs that get the model."""

    title: str
    dtype: str  # of the matrices, one of those that the format has (recipe.kinds.EXPORTS)
    settings: ExportConfig  # what the chat program says first, and how it draws
    recipe: str  # its name
    stage: str  # that trained the weights; "untrained" where none did
    step: int = 0
    base: bool = False  # goes on with a text and knows no dialogues
    trained: str = ""  # when, as `utc` writes it
    sources: list[Source] = field(default_factory=list)
    icon: bytes = b""  # PNG
    matrices: Mapping[str, Matrix] | None = None  # as they are stored, where they have been rounded already
    prompts: Iterable[list[int]] = ()  # held-out ones, for a format that proves itself
    run: Layout | None = None  # where what the stages say of themselves lies, for a model card
    adapter: Path | None = None  # the checkpoint with what LoRA trained, for a format that is of that
    start: LanguageModel | None = None  # and the model that it changes


def utc(seconds: float) -> str:
    """Seconds since 1970 as 2026-11-20T15:00:00Z."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_fp16(model: LanguageModel) -> None:
    """Raises MinitronError where a weight is no number, or too large for fp16."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter.half()).all():
            raise MinitronError(f"{name} does not fit into fp16", hint="train again with a lower optim.lr")
