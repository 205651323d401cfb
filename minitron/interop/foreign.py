"""What the readers of foreign models share: what a model is once it is read, checks, and what to tell people about files that cannot
be imported. The files are not trusted. Knows nothing about any one format, and nothing about runs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from minitron.core.errors import MinitronError
from minitron.recipe import shapes
from minitron.recipe.kinds import SHAPES
from minitron.recipe.load import read_section
from minitron.recipe.training import ModelConfig

MOST_TEXT_BYTES = 64 << 20  # the largest JSON file that is read
OWN_HEAD = "has a head that is not its embedding, which a nanogpt cannot have"
OTHER_GELU = "tanh's GELU, which minitron computes as erf's: logits differ in the third digit"
IMPORTED = "imported"  # the name of the checkpoint that a model begins with
# hints
COPY_AGAIN = "copy or download it again"
ANOTHER_MODEL = "import another model: docs/interop.md lists those that minitron reads"
ANOTHER_TOKENIZER = "the tokenizer belongs to another model: copy both from the same one"
TOO_LARGE = "is it the right file? a tokenizer or config of a model is smaller"


@dataclass(frozen=True)
class Imported:
    """A model under our names. `write` checks `tensors` against the shape. `base`: it was not trained on dialogues."""

    model: ModelConfig
    tensors: dict[str, Tensor]
    tokenizer: bytes  # a tokenizer file of ours, with as many tokens as the embedding has rows
    base: bool
    remark: str = ""  # what the user should know


def embedding_name(model: ModelConfig) -> str:
    """The name of the token embedding's tensor."""
    return "model.embed_tokens.weight" if model.arch == "llama" else "transformer.wte.weight"


def check_names(wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    """Raises MinitronError for the first tensor that is missing, unexpected or of another shape."""
    hint = "the files are damaged, or of a model that minitron does not know"
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise MinitronError(f"the tensor {name[:100]} is missing", hint=hint)
        if name not in wanted:
            raise MinitronError(f"there is a tensor {name[:100]!r} that such a model does not have", hint=hint)
        if wanted[name] != found[name]:
            raise MinitronError(f"{name[:100]} has the shape {list(found[name])}, not {list(wanted[name])}", hint=hint)


def shape(values: dict[str, Any], source: Path) -> ModelConfig:
    """The [model] section from the values in a foreign file, checked like a recipe's. Raises MinitronError if they are invalid."""
    config, problems = read_section(ModelConfig, values, "model")
    problems = problems or shapes.check(config)
    if problems:
        raise MinitronError(f"{source}: {problems[0]}", hint=ANOTHER_MODEL)
    assert config.arch in SHAPES
    resolved: ModelConfig = shapes.resolved(config)
    return resolved


def read_json(path: Path, *, needed: bool = True) -> dict[str, Any]:
    """The JSON object in a file of at most MOST_TEXT_BYTES; an empty one if there is no file and it is not `needed`. Raises
    MinitronError."""
    if not path.exists() and not needed:
        return {}
    if not path.exists():
        raise MinitronError(f"{path.parent} has no {path.name}", hint="copy the whole folder of the model")
    if path.stat().st_size > MOST_TEXT_BYTES:
        raise MinitronError(f"{path} is larger than {MOST_TEXT_BYTES >> 20} MB", hint=TOO_LARGE)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise MinitronError(f"{path} is not JSON", hint=COPY_AGAIN) from error
    if not isinstance(value, dict):
        raise MinitronError(f"{path} is not a JSON object", hint=COPY_AGAIN)
    return value
