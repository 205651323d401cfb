"""Reads a recipe: defaults < TOML < key=value on the command line, checked as a whole.

    config = load_recipe("recipes/demo.toml", ["optim.lr=3e-4"])

All mistakes of a recipe are reported at once, an unknown key with the nearest known one. Knows nothing about what the stages
do with the values.
"""

import codecs
import dataclasses
import difflib
import json
import math
import sys
import tomllib
import types
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

from minitron.core.errors import MinitronError
from minitron.core.text import is_unicode, mended
from minitron.recipe import check, mixture, shapes
from minitron.recipe.alignment import FeedbackConfig
from minitron.recipe.layout import TRAINING, Layout
from minitron.recipe.removed import REMOVED
from minitron.recipe.schema import Config
from minitron.recipe.training import ModelConfig, OptimConfig

MOST_WHOLE = (1 << 63) - 1  # TOML's whole numbers


def load_recipe(recipe: str | Path, overrides: list[str] | None = None, *, name: str = "") -> Config:
    """Reads a recipe and applies `section.key=value` overrides. The run's name is the file's, or `name`.

    Raises one MinitronError with all mistakes.
    """
    return recipe_of(tables_of(Path(recipe)), Path(recipe), overrides, name=name)


def recipe_of(raw: dict[str, Any], path: Path, overrides: list[str] | None = None, *, name: str = "") -> Config:
    """Like `load_recipe`, but from a recipe's tables, to which it adds the overrides; errors name the recipe `path`."""
    problems: list[str] = []
    for text in overrides or []:
        _apply_override(raw, text, problems)
    _inherit_optim(raw)
    _inherit_reading(raw)
    config = _fill(Config, raw, "", problems, extra={"name": name or path.stem, "recipe": path})
    if not problems:
        problems += check.check(config)
    if not problems and config.init:
        config = _adopt(config, raw.get("model", {}), problems)
    if problems:
        message = f"{path} has {len(problems)} mistakes:\n" + "\n".join(f"  - {p}" for p in problems)
        if len(problems) == 1:
            message = f"{path}: {problems[0]}"
        raise MinitronError(message, hint="all options are in docs/recipes.md", code=2)
    return resolve(config)


def _inherit_optim(raw: dict[str, Any]) -> None:
    """Completes [pretrain.optim] and [sft.optim] with the options of [optim] that they do not set."""
    shared, mistakes = raw.get("optim", {}), list[str]()
    if isinstance(shared, dict):
        _fill(OptimConfig, shared, "", mistakes)
    if mistakes or not isinstance(shared, dict):
        return  # its mistakes are reported once, for [optim] itself
    for stage in TRAINING:
        section = raw.setdefault(stage, {}) if stage == "sft" else raw.get(stage)
        if isinstance(section, dict) and isinstance(section.get("optim", {}), dict):
            section["optim"] = shared | section.get("optim", {})


def _inherit_reading(raw: dict[str, Any]) -> None:
    """Completes each [[data.source]] with the options of [data] about reading dialogues that it does not set."""
    data = raw.get("data", {})
    found = data.get("source") if isinstance(data, dict) else None
    if isinstance(found, list):
        shared = {key: value for key, value in data.items() if key in mixture.SHARED}
        data["source"] = [shared | source if isinstance(source, dict) else source for source in found]


def _adopt(config: Config, wanted: dict[str, Any], problems: list[str]) -> Config:
    """The recipe with the model's shape of the run that it goes on from. Dropout stays the recipe's own, and so does the context
    where positions are computed and not learned: a smaller one with `llama`, any with `stream`."""
    found = Layout(Path(config.init)).last_trained
    try:
        about = json.loads((found[1] / "model.json").read_text(encoding="utf-8")) if found else {}
        model, mistakes = read_section(ModelConfig, about["model"], "model")
    except (OSError, ValueError, KeyError, TypeError):
        problems.append(f"init = '{config.init}': there is no finished model in it")
        return config
    if mistakes or shapes.check(model):
        problems.append(f"init = '{config.init}': its model.json is damaged")
        return config
    own = {key: value for key, value in wanted.items() if key == "dropout"}
    if model.arch == "stream" or (model.arch == "llama" and wanted.get("context", model.context) <= model.context):
        own |= {key: value for key, value in wanted.items() if key == "context"}
    for key, value in wanted.items():
        if key not in own and value != getattr(model, key):
            problems.append(
                f"model.{key} is {value}, but {getattr(model, key)} in {config.init}, which this goes on from; leave it out"
            )
    return replace(config, model=replace(model, **own))


def resolve(config: Config) -> Config:
    """The recipe with derived values in place of zeros, so that code which reads it need not derive them."""
    feedback = config.feedback or (FeedbackConfig() if config.labels_file.is_file() else None)
    if feedback:  # a run's saved settings lie elsewhere than the recipe, and must find the file, too
        feedback = replace(feedback, file=str(config.labels_file))
    return replace(config, model=shapes.resolved(config.model), feedback=feedback)


def tables_of(path: Path) -> dict[str, Any]:
    """A recipe's tables as they stand in its file. Raises MinitronError where it cannot be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.toml")], n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "name a recipe, such as recipes/demo.toml"
        raise MinitronError(f"there is no recipe {path}", hint=hint, code=2) from None
    except IsADirectoryError:
        raise MinitronError(f"{path} is a folder, not a recipe", hint="name a .toml file in it", code=2) from None
    except OSError as error:  # no permission, a name too long, a path below a file
        raise MinitronError(
            f"the recipe {path} cannot be read: {error.strerror}", hint="name a .toml file", code=2
        ) from None
    # PowerShell's > writes UTF-16, Windows' Notepad a byte-order mark.
    encoding = "utf-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        return tomllib.loads(data.decode(encoding).replace("\r\n", "\n"))
    except UnicodeDecodeError:
        raise MinitronError(f"{path} is not UTF-8 text", hint="save it as UTF-8", code=2) from None
    # also for a number of thousands of digits, or thousands of brackets in each other
    except (ValueError, RecursionError) as error:
        raise MinitronError(f"{path} is not valid TOML: {error}", hint="correct that line", code=2) from None


def _apply_override(raw: dict[str, Any], text: str, problems: list[str]) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        problems.append(f"'{text}' is not an override; write section.key=value")
        return
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except (ValueError, RecursionError):
        parsed = value  # a bare word is a string
    table = raw
    *parents, last = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            problems.append(f"'{text}': {parent} is not a section")
            return
    table[last] = parsed


def _fill(cls: type, raw: dict[str, Any], where: str, problems: list[str], extra: dict[str, Any] | None = None) -> Any:
    """Builds dataclass `cls` from a TOML table, collecting every problem instead of raising."""
    values = dict(extra or {})
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.name not in values}
    for key, value in raw.items():
        name = f"{where}{key}"
        if name in REMOVED:
            if value != REMOVED[name]:  # a recipe saved by an older version has the same value
                problems.append(f"'{name}' is no longer an option: it is {json.dumps(REMOVED[name])} now")
            continue
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            problems.append(f"unknown key '{name}'" + (f"; did you mean '{where}{near[0]}'?" if near else ""))
            continue
        converted = _convert(hints[key], value, name, problems)
        if converted is not _BAD:
            values[key] = converted
            _check_bounds(fields[key], converted, name, problems)
    return cls(**values)


def read_section(cls: type, raw: Any, name: str) -> tuple[Any, list[str]]:
    """One section of a recipe (a dataclass of `schema`) from plain values, and what is wrong with them: types, bounds and
    unknown keys. The section must not be used if anything is wrong."""
    if not isinstance(raw, dict):
        return None, [f"{name} must be a section, not {raw!r}"]
    problems: list[str] = []
    return _fill(cls, raw, f"{name}.", problems), problems


_BAD = object()


def _convert(kind: Any, value: Any, name: str, problems: list[str]) -> Any:
    """`value` as the type `kind`, or _BAD after noting why not."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # `PretrainConfig | None`
        kind = args[0]
    if isinstance(value, str) and not is_unicode(value):  # a terminal in another encoding, or an old name of a file
        problems.append(f"{name} must be UTF-8 text, not {mended(value)!r}")
        return _BAD
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if isinstance(value, dict):
            return _fill(kind, value, f"{name}.", problems)
        wanted = "a section"
    elif origin is list:
        wanted = "a list"
        if isinstance(value, list):
            items = [_convert(args[0], v, f"{name}[{i}]", problems) for i, v in enumerate(value)]
            return _BAD if _BAD in items else items
    elif origin is dict:
        wanted = "a table"
        if isinstance(value, dict):
            table = {
                _convert(str, k, name, problems): _convert(args[1], v, f"{name}.{k}", problems)
                for k, v in value.items()
            }
            return _BAD if _BAD in (*table, *table.values()) else table
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        beyond = isinstance(value, int) and abs(value) > sys.float_info.max
        return math.inf if beyond else float(value)
    elif kind is float:
        wanted = "a number"
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    else:
        wanted = {int: "a whole number", bool: "true or false", str: "a text", dict: "a table"}[kind]
    problems.append(f"{name} must be {wanted}, not {value!r}")
    return _BAD


def _check_bounds(spec: dataclasses.Field[Any], value: Any, name: str, problems: list[str]) -> None:
    meta = spec.metadata
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{name} must be a finite number, not {value}")
        return
    if meta.get("choices") and value not in meta["choices"]:
        problems.append(f"{name} must be one of {', '.join(meta['choices'])}, not {value!r}")
    if meta.get("low") is not None and not value >= meta["low"]:
        problems.append(f"{name} must be at least {meta['low']}, not {value}")
    high = meta.get("high") or (MOST_WHOLE if isinstance(value, int) else None)
    if high is not None and not value <= high:
        problems.append(f"{name} must be at most {high}, not {value}")
    if meta.get("above") is not None and not value > meta["above"]:
        problems.append(f"{name} must be above {meta['above']}, not {value}")
    if meta.get("below") is not None and not value < meta["below"]:
        problems.append(f"{name} must be below {meta['below']}, not {value}")
    if meta.get("max_bytes") is not None and len(value.encode(errors="replace")) > meta["max_bytes"]:
        problems.append(
            f"{name} must be at most {meta['max_bytes']} bytes long, not {len(value.encode(errors='replace'))}"
        )
    if meta.get("max_items") is not None and len(value) > meta["max_items"]:
        problems.append(f"{name} must have at most {meta['max_items']} items, not {len(value)}")
