"""Which stages a recipe has, and what each of them reads and makes.

    declared.named("sft").reads(config)         # paths

A stage sees only the options that it declares here (`Stage.view`), so that none which decides what it makes can be forgotten. Knows
nothing about how stages are run.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minitron.data.sources import find_files
from minitron.program import go
from minitron.program.bundle import BUNDLE_FILES
from minitron.recipe import mixture
from minitron.recipe.alignment import Sampling
from minitron.recipe.layout import Layout, pointed
from minitron.recipe.schema import Config
from minitron.recipe.view import View


@dataclass(frozen=True)
class Stage:
    """One stage, and what it may read.

    `sections` are the options that decide what the stage makes: whole sections (`model`) or single options (`export.top_k`).
    `also` adds those that do so in some recipes only. `beside` are options that affect only what is said and logged. The stage
    can read no other options. `reads` and `makes` give files. A `resumable` stage goes on where it stopped. An `optional` stage
    is only in recipes that have its section, and a stage of `dialogues` is not in recipes for a base model.
    """

    name: str
    sections: tuple[str, ...]
    reads: Callable[[Config], list[Path]]
    makes: Callable[[Config], list[Path]]
    also: Callable[[Config], tuple[str, ...]] = lambda config: ()
    beside: tuple[str, ...] = ()
    lower: str = "use a smaller model, or a machine with more memory"  # what to do if memory runs out
    resumable: bool = False
    shared: bool = False  # runs in all processes of torchrun; other stages run in the first one while the rest wait
    optional: bool = False
    dialogues: bool = False
    needed: Callable[[Config], bool] = lambda config: True  # by what is not in the recipe, such as a file of labels

    def decide(self, config: Config) -> tuple[str, ...]:
        """The options that are part of the fingerprint."""
        return (*self.sections, *self.also(config))

    def view(self, config: Config) -> View:
        """What the stage gets to see of the recipe."""
        return View(config, (*self.decide(config), *self.beside))

    def wanted(self, config: Config) -> bool:
        there = not self.optional or getattr(config, self.name) is not None
        return there and not (self.dialogues and config.base) and self.needed(config)


def _data(config: Config, *names: str) -> list[Path]:
    return [] if config.base else [config.layout.dialogues(name) for name in names]


def _dialogues(config: Config) -> list[Path]:
    """Files that the data stage reads. A dataset from a hub is not among them: it counts as unchanged."""
    found = (find_files(part.config.files) for part in mixture.ingredients(config.data))
    return list(dict.fromkeys(path for files in found for path in files))


def _text(config: Config) -> list[Path]:
    """Files with raw text. A dataset from a hub is not among them: it counts as unchanged."""
    return find_files(config.pretrain.files, option="pretrain.files", text=True) if config.pretrain else []


def _mixture(config: Config) -> list[Path]:
    """Files that the tokenizer learns from in place of the recipe's text."""
    patterns = [pattern for part in config.tokenizer.mixture for pattern in part.files]
    return find_files(patterns, option="tokenizer.mixture", text=True) if patterns else []


def _best(config: Config, stage: str) -> list[Path]:
    """The file `best` of a stage, and the weights that it points to."""
    folder = config.layout.stage(stage)
    best = pointed(folder, "best") or config.layout.checkpoint(stage, "none")
    return [folder / "best", best / "model.safetensors"]


def _packed(config: Config, stage: str) -> Path:
    """The file that stands for the held-out rows that a stage packed, since it holds their hashes."""
    return config.layout.packed(stage, "valid") / "pack.json"


def _trained_on(config: Config) -> Path:
    """The file that stands for the training rows of sft (of pretrain for a base model), by which q4 is rounded."""
    return config.layout.packed("pretrain" if config.base else "sft", "train") / "pack.json"


def _inherited(config: Config, *stages: str) -> list[Path]:
    """Files of the run that `init` names: its tokenizer, or, if stages are given, its weights, if one of these stages begins with them."""
    if not config.init:
        return []
    layout = Layout(Path(config.init))
    if not stages:
        return [layout.tokenizer]
    found = layout.last_trained
    mine = any(getattr(config, stage) and getattr(config, stage).init for stage in stages)
    return [found[1] / "model.safetensors"] if found and mine else []


def _bundle(config: Config) -> list[Path]:
    return [config.layout.bundle / name for name in BUNDLE_FILES]


def _go_sources() -> list[Path]:
    return sorted(p for p in go.SOURCES.rglob("*") if p.suffix in (".go", ".s", ".mod", ".html", ".css", ".js"))


CHAT = tuple(f"export.{spec.name}" for spec in dataclasses.fields(Sampling))  # how the chat program samples
TEXT = tuple(
    f"pretrain.{name}" for name in ("files", "hub", "hub_config", "hub_split", "column", "valid_fraction", "clean")
)
KTO_OPTIM = tuple(f"optim.{name}" for name in ("name", "weight_decay", "beta1", "beta2", "eps", "grad_clip"))

TRAIN_LOWER = (
    "lower {0}.batch_rows (and raise {0}.accumulation), set {0}.recompute, or lower model.context or model.d_model"
)

STAGES = [
    Stage(
        "data",
        ("data",),
        reads=_dialogues,
        makes=lambda c: _data(c, "train", "valid", "probes"),
        lower="give it less: data.max_rows",
        dialogues=True,
    ),
    Stage(
        "tokenizer",
        ("tokenizer", *TEXT),
        also=lambda c: (
            *(() if c.base else ("model.context",)),  # which dialogues are too long for sft
            *(("sft.init", "pretrain.init") if c.init else ()),
        ),
        reads=lambda c: [
            *_inherited(c),
            *_data(c, "train", "valid"),
            *_text(c),
            *_mixture(c),
            *filter(None, [c.tokenizer.rules_file]),
        ],
        makes=lambda c: [c.layout.tokenizer],
        lower="lower tokenizer.max_train_chars",
    ),
    Stage(
        "pretrain",
        ("model", "pretrain"),
        beside=CHAT,
        reads=lambda c: [c.layout.tokenizer, *_text(c), *_inherited(c, "pretrain")],
        makes=lambda c: [*_best(c, "pretrain"), _packed(c, "pretrain")],
        lower=TRAIN_LOWER.format("pretrain"),
        resumable=True,
        shared=True,
        optional=True,
    ),
    Stage(
        "sft",
        ("model", "sft"),
        beside=(*CHAT, "data.valid_fraction"),
        reads=lambda c: [
            c.layout.tokenizer,
            *_data(c, "train", "valid"),
            *(_best(c, "pretrain") if c.pretrain else _inherited(c, "sft")),
        ],
        makes=lambda c: _best(c, "sft"),
        lower=TRAIN_LOWER.format("sft"),
        resumable=True,
        shared=True,
        dialogues=True,
    ),
    Stage(
        "reject",
        ("data", "reject", "model.context"),
        also=lambda c: CHAT if c.reject and c.reject.chosen == "model" else (),
        reads=lambda c: [
            c.layout.tokenizer,
            *_data(c, "train"),
            *_best(c, "sft"),
            *(find_files(c.reject.files, option="reject.files") if c.reject else []),
        ],
        makes=lambda c: [c.layout.pairs, c.layout.apart],
        lower="lower reject.batch_rows",
        optional=True,
        dialogues=True,
    ),
    Stage(
        "kto",
        (*KTO_OPTIM, "kto", "eval", "reject.presets", "model.context", *CHAT),
        reads=lambda c: [
            c.layout.tokenizer,
            c.layout.pairs,
            *_data(c, "train", "valid", "probes"),
            *_best(c, "sft"),
        ],
        makes=lambda c: _best(c, "kto"),
        lower="lower kto.batch_rows and eval.batch_rows",
        resumable=True,
        optional=True,
        dialogues=True,
    ),
    Stage(
        "feedback",
        (*KTO_OPTIM, "data", "feedback", "eval", "reject.presets", "model.context", *CHAT),
        reads=lambda c: [
            c.layout.tokenizer,
            c.labels_file,
            *_data(c, "train", "valid", "probes"),
            *_best(c, c.finished),
        ],
        makes=lambda c: _best(c, "feedback"),
        lower="lower feedback.batch_rows, feedback.replay_rows and eval.batch_rows",
        resumable=True,
        optional=True,
        dialogues=True,
        needed=lambda c: c.labelled,
    ),
    Stage(
        "eval",
        ("eval", "reject.presets", "model.context", *CHAT),
        reads=lambda c: [
            c.layout.tokenizer,
            *_data(c, "train", "valid", "probes"),
            *([*_best(c, "pretrain"), _packed(c, "pretrain")] if c.base else _best(c, "sft")),
            *(_best(c, "kto") if c.kto else []),
            _trained_on(c),
            *(_best(c, "feedback") if c.labelled else []),
        ],
        makes=lambda c: [c.layout.card, c.layout.page, c.layout.probes(c.shipped)],
        lower="lower eval.batch_rows",
    ),
    Stage(
        "export",
        ("export", "data.sources", "model.context"),
        reads=lambda c: [
            c.layout.tokenizer,
            *([_packed(c, "pretrain")] if c.base else _data(c, "valid")),
            *_best(c, c.shipped),
            _trained_on(c),
            *([Path(c.export.icon)] if c.export.icon else []),
        ],
        makes=_bundle,
    ),
    Stage(
        "binary",
        ("eval.max_tokens",),
        reads=lambda c: [*_bundle(c), *_go_sources(), c.layout.probes(c.shipped)],
        makes=lambda c: [c.layout.dist / go.program_name(None)],
    ),
]
NAMES = [stage.name for stage in STAGES]


def named(name: str) -> Stage:
    """The stage of this name."""
    return STAGES[NAMES.index(name)]
