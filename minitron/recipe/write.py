"""Writes a recipe as TOML: resolved and whole beside every artifact, or as a person would write it.

    text = dump_recipe(config)                 # `load_recipe` reads it back to the same values

Knows nothing about what the stages do with the values.
"""

import dataclasses
import json
import re
from dataclasses import replace
from typing import Any

from minitron.recipe.load import resolve
from minitron.recipe.option import plain
from minitron.recipe.schema import Config
from minitron.recipe.training import ModelConfig, TrainConfig

USUAL: dict[str, Any] = {
    "n_kv_heads": 0,
    "d_ff": 0,
    "layers": [],
    "window": 0,
    "conv_width": 0,
}  # values that others are derived for
OPTIONAL_SECTIONS = tuple(spec.name for spec in dataclasses.fields(Config) if spec.default is None)


def dump_recipe(config: Config) -> str:
    """The resolved recipe as TOML, which `load_recipe` reads back to the same values."""
    lines = [f"seed = {config.seed}", f"device = {_toml(config.device)}", f"shard = {_toml(config.shard)}"]
    for spec in dataclasses.fields(Config):
        section = plain(getattr(config, spec.name))
        if isinstance(section, dict):
            lines += ["", f"[{spec.name}]"]
            lines += [f"{key} = {_toml(item)}" for key, item in section.items() if item is not None]
    return "\n".join(lines) + "\n"


def write_recipe(config: Config, *, comments: dict[str, str]) -> str:
    """The recipe as a person would write it: the options that are not at their defaults or that `comments` names, and the comments.

    `comments` are by option, such as `sft.steps`; an empty one only makes the option appear. `load_recipe` reads the text back to the
    same values.
    """
    lines = [f"seed = {config.seed}"] + ([f"device = {_toml(config.device)}"] if config.device != "auto" else [])
    lines += ["shard = true"] if config.shard else []
    for spec in dataclasses.fields(Config):
        section = getattr(config, spec.name)
        if _is_section(section):
            usual = _usual_model(config) if spec.name == "model" else type(section)()
            if isinstance(usual, TrainConfig):
                usual = replace(usual, optim=config.optim)
            found = _written(section, usual, spec.name, comments)
            optional = spec.name in OPTIONAL_SECTIONS
            lines += ["", *found] if len(found) > 1 or optional else []
    return "\n".join(lines) + "\n"


def comment(text: str) -> str:
    """A comment of TOML, which must not hold control characters: they are written as Python writes them in a string."""
    return "# " + re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], text)


def _is_section(value: Any) -> bool:
    return dataclasses.is_dataclass(value)


def _usual_model(config: Config) -> ModelConfig:
    """The defaults of [model], of which some follow from the others."""
    derived = resolve(replace(config, model=replace(config.model, **USUAL))).model
    return replace(ModelConfig(), **{key: getattr(derived, key) for key in USUAL})


def _written(section: Any, usual: Any, name: str, comments: dict[str, str]) -> list[str]:
    """A table's lines: its name, its options that are not the `usual` ones, the tables in it."""
    lines, tables = [f"[{name}]"], []
    for spec in dataclasses.fields(section):
        value, key = getattr(section, spec.name), f"{name}.{spec.name}"
        if _is_section(value):
            found = _written(value, getattr(usual, spec.name) or type(value)(), key, comments)
            tables += ["", *found] if len(found) > 1 else []
            continue
        if value is None or (value == getattr(usual, spec.name) and key not in comments):  # TOML has no None
            continue
        if value and isinstance(value, list) and all(map(_is_section, value)):
            for item in value:
                # an item inherits options of its section, such as data.assistant
                changed = {k: v for k, v in vars(item).items() if v != getattr(section, k, getattr(type(item)(), k))}
                tables += ["", f"[[{key}]]", *(f"{k} = {_toml(v)}" for k, v in changed.items())]
            continue
        if value and isinstance(value, dict) and all(map(dataclasses.is_dataclass, value.values())):
            tables += ["", f"[{key}]"]
            for inner, item in value.items():
                changed = {k: v for k, v in vars(item).items() if v != getattr(type(item)(), k)}
                tables.append(f"{_toml_key(inner)} = {_toml(changed)}")
            continue
        lines.append(f"{spec.name} = {_toml(value)}" + (f"  {comment(comments[key])}" if comments.get(key) else ""))
    return lines + tables


def _toml_key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _toml(text)


def _toml(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # an item of data.sources
        return _toml(dataclasses.asdict(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # TOML's strings are JSON's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(k)} = {_toml(v)}" for k, v in value.items() if v is not None) + "}"
    return repr(value)
