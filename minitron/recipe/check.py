"""The mistakes of a recipe that no single value shows: options that exclude or need each other, texts that have a form of their own.

    problems = check(config)        # a sentence for each mistake

`load` checks types and bounds, `shapes` and `mixture` their own parts. Knows nothing about files.
"""

import dataclasses
import difflib
import math
import re
from collections import Counter
from pathlib import Path

from minitron.recipe import mixture, shapes
from minitron.recipe.data import DataConfig, Fetch, PersonaConfig
from minitron.recipe.kinds import CLEANINGS, TOKENIZERS
from minitron.recipe.schema import NORMALIZATIONS, Config, StudyConfig, TokenizerConfig
from minitron.recipe.training import PretrainConfig

NOT_SAID = re.compile("[{}~]")  # marks of the built-in dialogues' own texts
MOST_SYMBOL_BYTES = 200  # of each of tokenizer.user_symbols


def check(config: Config) -> list[str]:
    """All such mistakes, in the order of the recipe's sections."""
    return [
        *shapes.check(config.model),
        *_of_rates(config),
        *_of_data(config.data),
        *_of_stages(config),
        *(_of_text(config.pretrain) if config.pretrain else ()),
        *_of_tokenizer(config.tokenizer),
        *(_of_study(config, config.study) if config.study else ()),
    ]


def _of_rates(config: Config) -> list[str]:
    optims = {"optim": config.optim, "sft.optim": config.sft.optim}
    if config.pretrain:
        optims["pretrain.optim"] = config.pretrain.optim
    # a mistake of [optim] is reported once, though the stages take it over
    rising = {(o.lr, o.end_lr): name for name, o in reversed(optims.items()) if o.end_lr > o.lr}
    return [f"{name}.min_lr {end} is above {name}.lr {lr}" for (lr, end), name in rising.items()]


def _of_data(data: DataConfig) -> list[str]:
    problems = []
    if sum((bool(data.synth_rows), bool(data.files), bool(data.hub))) > 1:
        problems.append("data.synth_rows, data.files and data.hub exclude each other; keep one")
    problems += _of_persona(data.persona)
    if data.persona != PersonaConfig() and not (data.synth_rows or any(one.builtin for one in data.source)):
        problems.append(
            "data.persona is for the built-in dialogues; set data.synth_rows (or builtin of a source), or leave it out"
        )
    problems += mixture.check(data)
    for i, one in enumerate(data.fetch):
        problems += [f"data.fetch[{i}]: {wrong}" for wrong in _of_fetch(one)]
    return problems


def _of_fetch(one: Fetch) -> list[str]:
    if not one.path or not (one.address or one.about):
        return ["needs path, and address or about"]
    if not one.address:
        return []
    problems = []
    if not re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", one.address):
        problems.append("address must begin with https://")
    if not re.fullmatch("[0-9a-fA-F]{64}", one.sha256):
        problems.append("sha256 must be 64 hex digits")
    if not one.bytes:
        problems.append("bytes must be the file's size")
    return problems


def is_name(text: str) -> bool:
    """Whether `text` can be a name: a letter first, then also digits, spaces, ' and -."""
    return bool(re.fullmatch(r"[^\W\d_][\w' -]*", text))


def _of_persona(persona: PersonaConfig) -> list[str]:
    problems = []
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
    return problems


def _of_stages(config: Config) -> list[str]:
    """What the stages need of each other."""
    problems = []
    if config.kto and not config.reject:
        problems.append("[kto] needs the pairs of [reject]; add that section, empty if the defaults suit")
    if config.base and (config.reject or config.kto):
        problems.append("[reject] and [kto] need dialogues; set data.files, data.hub or data.synth_rows")
    for name in ("all", "chat"):  # what eval calls the answers of all presets, and of the chat program's own sampling
        if config.reject and name in config.reject.presets:
            problems.append(f"reject.presets: '{name}' is a name that eval keeps for itself; choose another")
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
    return problems


def _of_text(pretrain: PretrainConfig) -> list[str]:
    problems = []
    if pretrain.files and pretrain.hub or not (pretrain.files or pretrain.hub or pretrain.init):
        problems.append("[pretrain] needs text: set either pretrain.files or pretrain.hub")
    for name in pretrain.clean:
        if name not in CLEANINGS:
            problems.append(f"pretrain.clean may only name {', '.join(CLEANINGS)}, not {name!r}")
    return problems


def _of_tokenizer(tokenizer: TokenizerConfig) -> list[str]:
    problems, name = [], tokenizer.normalization
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
    return problems


def _of_study(config: Config, study: StudyConfig) -> list[str]:
    problems = []
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
    low = (config.pretrain and config.pretrain.optim.min_lr) or 0.0
    for rate in study.lrs:
        if not (math.isfinite(rate) and rate > 0):
            problems.append(f"study.lrs: {rate} must be above 0")
        elif rate < low:
            problems.append(f"study.lrs: {rate} is below the min_lr {low} of pretrain")
    for name, count in Counter(Path(rules).stem for rules in set(study.normalizations)).items():
        if count > 1:
            problems.append(f"study.normalizations names {name!r} {count} times; rename one of the files")
    known = _of_tokenizer(config.tokenizer)  # which is not told twice
    for kind in study.kinds:
        if kind not in TOKENIZERS:
            problems.append(f"study.kinds: {kind!r} must be one of {', '.join(TOKENIZERS)}")
            continue
        if not TOKENIZERS[kind].learns:
            problems.append(f"study.kinds: {kind!r} comes with an imported model; leave it out")
        for rules in study.normalizations:
            found = _of_tokenizer(dataclasses.replace(config.tokenizer, kind=kind, normalization=rules))
            problems += [
                p.replace("tokenizer.normalization", "study.normalizations")
                for p in found
                if p not in (*known, *problems)
            ]
    return problems
