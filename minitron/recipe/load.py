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
import re
import sys
import tomllib
import types
import typing
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from minitron.core.errors import MinitronError
from minitron.core.text import is_unicode, mended
from minitron.recipe import mixture, shapes
from minitron.recipe.alignment import FeedbackConfig
from minitron.recipe.data import Fetch, PersonaConfig
from minitron.recipe.kinds import CLEANINGS, TOKENIZERS
from minitron.recipe.layout import TRAINING, Layout
from minitron.recipe.removed import REMOVED
from minitron.recipe.schema import NORMALIZATIONS, Config, StudyConfig, TokenizerConfig
from minitron.recipe.training import ModelConfig, OptimConfig

NOT_SAID = re.compile("[{}~]")  # marks of the built-in dialogues' own texts
MOST_WHOLE = (1 << 63) - 1  # TOML's whole numbers
MOST_SYMBOL_BYTES = 200  # of each of tokenizer.user_symbols


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
        _check_whole(config, problems)
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


def _check_whole(config: Config, problems: list[str]) -> None:
    """Adds the mistakes that no single value shows to `problems`."""
    data = config.data
    problems += shapes.check(config.model)
    optims = {"optim": config.optim, "sft.optim": config.sft.optim}
    if config.pretrain:
        optims["pretrain.optim"] = config.pretrain.optim
    # a mistake of [optim] is reported once, though the stages take it over
    rising = {(o.lr, o.end_lr): name for name, o in reversed(optims.items()) if o.end_lr > o.lr}
    problems += [f"{name}.min_lr {end} is above {name}.lr {lr}" for (lr, end), name in rising.items()]
    if sum((bool(data.synth_rows), bool(data.files), bool(data.hub))) > 1:
        problems.append("data.synth_rows, data.files and data.hub exclude each other; keep one")
    _check_persona(data.persona, problems)
    if data.persona != PersonaConfig() and not (data.synth_rows or any(one.builtin for one in data.source)):
        problems.append(
            "data.persona is for the built-in dialogues; set data.synth_rows (or builtin of a source), or leave it out"
        )
    problems += mixture.check(data)
    for i, one in enumerate(data.fetch):
        problems += [f"data.fetch[{i}]: {wrong}" for wrong in _wrong_with(one)]
    if config.kto and not config.reject:
        problems.append("[kto] needs the pairs of [reject]; add that section, empty if the defaults suit")
    if config.base and (config.reject or config.kto):
        problems.append("[reject] and [kto] need dialogues; set data.files, data.hub or data.synth_rows")
    for name, stage in (("pretrain", config.pretrain), ("sft", config.sft)):
        if stage and not stage.steps and not stage.init:
            problems.append(f"{name}.steps must be at least 1, not 0, unless {name}.init names a run")
        copies = config.model.arch == "llama" and config.model.n_layers > 1
        if stage and stage.induction_head and not (copies and stage.optim.name == "muon"):
            problems.append(f"{name}.induction_head needs a llama of at least two layers and optim.name = 'muon'")
        if stage and stage.induction_head and (stage.init or (name == "sft" and config.pretrain)):
            problems.append(f"{name}.induction_head is of fresh weights, and {name} goes on from a model; leave it out")
    if config.sft.lora_rank and not (config.pretrain or config.sft.init):
        problems.append("sft.lora_rank changes a model that is there: name a run in sft.init, or add [pretrain]")
    if config.sft.lora_rank and config.shard:
        problems.append("sft.lora_rank and shard exclude each other; keep one")
    if config.pretrain and config.pretrain.init and config.sft.init:
        problems.append("pretrain.init and sft.init exclude each other; keep one")
    text = (bool(config.pretrain.files), bool(config.pretrain.hub)) if config.pretrain else (True, False)
    if config.pretrain and text[0] == text[1] and (text[0] or not config.pretrain.init):
        problems.append("[pretrain] needs text: set either pretrain.files or pretrain.hub")
    for name in config.pretrain.clean if config.pretrain else ():
        if name not in CLEANINGS:
            problems.append(f"pretrain.clean may only name {', '.join(CLEANINGS)}, not {name!r}")
    _check_tokenizer(config.tokenizer, problems)
    if config.study:
        _check_study(config, config.study, problems)


def _wrong_with(one: Fetch) -> list[str]:
    if not one.path or not (one.address or one.about):
        return ["needs path, and address or about"]
    if not one.address:
        return []
    problems = (
        []
        if re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", one.address)
        else ["address must begin with https://"]
    )
    problems += [] if re.fullmatch("[0-9a-fA-F]{64}", one.sha256) else ["sha256 must be 64 hex digits"]
    return problems + ([] if one.bytes else ["bytes must be the file's size"])


def _check_study(config: Config, study: StudyConfig, problems: list[str]) -> None:
    if not config.pretrain:
        problems.append("[study] needs text: add [pretrain] with files or hub")
    if config.init:
        problems.append(f"[study] trains tokenizers of its own; leave init = '{config.init}' out")
    for name in ("kinds", "vocab_sizes", "normalizations"):
        if not getattr(study, name):
            problems.append(f"study.{name} is empty")
    bounds = next(spec.metadata for spec in dataclasses.fields(TokenizerConfig) if spec.name == "vocab_size")
    for size in study.vocab_sizes:
        if not bounds["low"] <= size <= bounds["high"]:
            problems.append(f"study.vocab_sizes: {size} must be from {bounds['low']} to {bounds['high']}")
    for rate in study.lrs:
        if not (math.isfinite(rate) and rate > 0):
            problems.append(f"study.lrs: {rate} must be above 0")
    for kind in study.kinds:
        if kind not in TOKENIZERS:
            problems.append(f"study.kinds: {kind!r} must be one of {', '.join(TOKENIZERS)}")
            continue
        if not TOKENIZERS[kind].learns:
            problems.append(f"study.kinds: {kind!r} comes with an imported model; leave it out")
        for rules in study.normalizations:
            found: list[str] = []
            _check_tokenizer(dataclasses.replace(config.tokenizer, kind=kind, normalization=rules), found)
            problems += [
                p.replace("tokenizer.normalization", "study.normalizations") for p in found if p not in problems
            ]


def is_name(text: str) -> bool:
    """Whether `text` can be a name: a letter first, then also digits, spaces, ' and -."""
    return bool(re.fullmatch(r"[^\W\d_][\w' -]*", text))


def _check_persona(persona: PersonaConfig, problems: list[str]) -> None:
    for key, name in (("name", persona.name), ("name_ru", persona.name_ru or "x")):
        if not is_name(name):
            problems.append(f"data.persona.{key} must be letters, as a name is, not {name!r}")
    if not persona.languages or not set(persona.languages) <= {"en", "ru"}:
        problems.append(f"data.persona.languages must be en, ru or both, not {persona.languages!r}")
    for i, fact in enumerate(persona.facts):
        where = f"data.persona.facts[{i}]"
        if not fact.ask or not fact.say or not all(text.strip() for text in (*fact.ask, *fact.say)):
            problems.append(f"{where} must have what is asked and what is said: {{ask = ['...?'], say = ['...']}}")
        elif any(map(NOT_SAID.search, (*fact.ask, *fact.say))):
            problems.append(f"{where} must have no {{, }} or ~")


def _check_tokenizer(tokenizer: TokenizerConfig, problems: list[str]) -> None:
    name = tokenizer.normalization
    if not TOKENIZERS[tokenizer.kind].normalizes and name != "identity":
        problems.append(
            f"tokenizer.kind = '{tokenizer.kind}' changes no text; leave tokenizer.normalization at 'identity'"
        )
    if tokenizer.rules_file and tokenizer.rules_file.suffix != ".tsv":
        near = difflib.get_close_matches(name, NORMALIZATIONS, n=1)
        told = f"; did you mean '{near[0]}'?" if near else ""
        problems.append(
            f"tokenizer.normalization must be one of {', '.join(NORMALIZATIONS)}, or a file of rules whose name ends in .tsv, "
            f"not {name!r}{told}"
        )
    if tokenizer.mixture:
        if any(not part.files for part in tokenizer.mixture):
            problems.append("tokenizer.mixture: each part needs files and a share")
        if abs(sum(part.share for part in tokenizer.mixture) - 1) > 0.001:
            shares = " + ".join(f"{part.share:g}" for part in tokenizer.mixture)
            problems.append(f"tokenizer.mixture: the shares {shares} do not sum to 1")
    for symbol in tokenizer.user_symbols:
        if not symbol or not symbol.isprintable() or any(c.isspace() or c in "\u2581\u2585" for c in symbol):
            problems.append(f"tokenizer.user_symbols: {symbol!r} must be visible characters, without spaces, ▁ and ▅")
        elif len(symbol.encode()) > MOST_SYMBOL_BYTES:
            problems.append(f"tokenizer.user_symbols: {symbol[:20]!r}... is longer than {MOST_SYMBOL_BYTES} bytes")
        elif re.fullmatch(r"<\|(system|user|assistant|end)\|>|<unk>|<0x[0-9A-F]{2}>", symbol):
            problems.append(f"tokenizer.user_symbols: {symbol!r} is a name that the tokenizer keeps for itself")
    for symbol, count in Counter(tokenizer.user_symbols).items():
        if count > 1:
            problems.append(f"tokenizer.user_symbols has {symbol!r} {count} times")
