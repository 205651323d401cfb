"""Begins a model with the weights of another run's model; tokens that only the new model has get new rows.

Knows nothing about stages.
"""

from pathlib import Path

import torch
from torch import Tensor

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe.layout import Layout
from minitron.recipe.schema import Config
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint
from minitron.train.fresh import fresh_model

# Ends of the names of tensors that have a row for every token.
ROWS = ("embed_tokens.weight", "wte.weight", "lm_head.weight")


def untaught(config: Config) -> bool:
    """Whether sft begins with a base model, whose raw text taught it nothing about the markers of a dialogue."""
    found = Layout(Path(config.sft.init)).last_trained if config.sft.init else None
    return found[0] == "pretrain" if found else config.pretrain is not None


def begin(config: Config, tokenizer: Tokenizer) -> LanguageModel:
    """The model that sft begins with: that of the run sft.init, else that of pretrain, else a fresh one."""
    model = fresh_model(config.model, tokenizer, seed=config.seed, train=config.sft)
    if config.sft.init:
        load(model, config.sft.init)
    elif config.pretrain:
        checkpoint.load_weights(model, checkpoint.finished(config.layout.stage("pretrain"), "pretrain"))
    return model


def keep(model: LanguageModel, *, stage: str, config: Config) -> None:
    """Makes the model that a stage begins with its result, for a stage of no steps."""
    folder = config.layout.stage(stage)
    checkpoint.save(folder, model, step=0, info={"stage": stage}, name="step-000000")
    checkpoint.point(folder, "best", "step-000000")
    say(f"{stage}: the model of {config.init} as it is")


def load(model: LanguageModel, run: str) -> None:
    """Copies the weights of the run's last model into `model`. Raises MinitronError if there is none, or it does not fit."""
    found = Layout(Path(run)).last_trained
    if found is None:
        raise MinitronError(f"there is no finished model in {run}", hint="name a run such as runs/demo")
    theirs, _ = checkpoint.load_model(found[1])
    more = model.vocab_size - theirs.vocab_size
    if more < 0:
        raise MinitronError(f"the model of {run} has {-more} tokens more than its tokenizer", hint="import it anew")
    weights = grown({name: w.detach() for name, w in theirs.named_parameters()}, more)
    shapes = {name: w.shape for name, w in model.named_parameters()}
    if {name: w.shape for name, w in weights.items()} != shapes:
        raise MinitronError(f"{run} holds a model of another shape", hint="leave [model] out of the recipe")
    model.load_state_dict(weights, strict=False)


def grown(tensors: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """The tensors with rows for `count` more tokens, each of which is the mean of the other rows."""
    if count <= 0:
        return tensors
    return {
        name: torch.cat((t, t.mean(0, keepdim=True).expand(count, -1))) if name.endswith(ROWS) else t
        for name, t in tensors.items()
    }
