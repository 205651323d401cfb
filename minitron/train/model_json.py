"""Reads the shape of a checkpoint's model from model.json, and checks it like a recipe and against the weights before a model is built.

Sizes in model.json decide how much memory a model takes, and a run's folder may come from somebody else. So every option must
keep a recipe's types and bounds, and every tensor's shape must be the one in the header of model.safetensors, whose tensors
cannot be larger than the file itself. Knows nothing about hashes.
"""

from pathlib import Path
from typing import Any

import safetensors
import torch

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe import shapes
from minitron.recipe.load import read_section
from minitron.recipe.training import ModelConfig

HINT = "delete that checkpoint and run the stage again: it goes on from the one before"


def read_shape(folder: Path, about: dict[str, Any]) -> tuple[ModelConfig, int]:
    """The model's shape and the size of its vocabulary, from `about`, the contents of model.json.

    Raises MinitronError if `about` holds what no recipe could, or if the weights beside it have other shapes.
    """
    path, vocab_size = folder / "model.json", about.get("vocab_size")
    config, problems = read_section(ModelConfig, about.get("model"), "model")
    problems = problems or shapes.check(config)
    for name in ("vocab_size", "step"):
        if type(about.get(name)) is not int or about[name] < 0:
            problems.append(f"{name} must be a whole number, not {about.get(name)!r}")
    if problems:
        raise MinitronError(f"{path} is damaged: {problems[0]}", hint=HINT)
    assert isinstance(vocab_size, int)
    with torch.device("meta"):  # takes no memory, whatever the sizes
        model = LanguageModel(config, vocab_size)
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    if expected != stored_shapes(folder / "model.safetensors"):
        raise MinitronError(f"{path} is damaged: the weights beside it are of another shape", hint=HINT)
    return config, vocab_size


def stored_shapes(path: Path) -> dict[str, list[int]]:
    """Name -> shape of every tensor in a safetensors file, from its header alone."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise MinitronError(f"{path} is damaged", hint=HINT) from error
