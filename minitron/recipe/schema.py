"""All options of a recipe, as dataclasses: one recipe, one model.

Every option carries its own line of help (`docs/recipes.md` is made from them) and its bounds. Knows nothing about files
and what the stages do with the values.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitron.recipe.alignment import FeedbackConfig, KtoConfig, RejectConfig, Sampling
from minitron.recipe.data import DataConfig
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.layout import TRAINING, Layout
from minitron.recipe.option import option, plain
from minitron.recipe.training import ModelConfig, OptimConfig, PretrainConfig, SftConfig

NORMALIZATIONS = ("identity", "nfkc", "nmt_nfkc", "ru-classics")  # names of built-in rules; any other names a file


@dataclass(frozen=True)
class MixturePart:
    """A part of the text that a tokenizer learns from."""

    files: list[str] = option([], "files, globs or folders, as in pretrain.files")
    share: float = option(0.0, "its share of the characters", above=0.0, high=1.0)
    column: str = option("text", "the column with the text; text files have none")


@dataclass(frozen=True)
class TokenizerConfig:
    """How text becomes tokens (docs/tokenizers.md)."""

    kind: str = option(
        "bpe",
        "`bpe`: byte-pair encoding, with bytes for unknown characters; `bpe-spaces`: the same with the space always a token of its "
        "own; `char-bpe`: BPE without bytes; `char`: one token per character of the text, however rare; `bytes`: the 256 bytes; "
        "`byte-bpe`: comes with an imported model",
        choices=tuple(TOKENIZERS),
    )
    vocab_size: int = option(
        2048,
        "number of tokens, fewer if there is too little text; `char` uses it only as --dry-run's estimate before the text was "
        "read, `bytes` ignores it",
        low=16,
        high=1 << 20,
    )
    user_symbols: list[str] = option(
        [], "texts that always become one token each, such as ['—', '«', '»']", max_items=1000
    )
    byte_fallback: bool = option(
        True, "write unknown characters as byte tokens, so that any text can be encoded (bpe, bpe-spaces, char)"
    )
    split_digits: bool = option(True, "make every digit a token of its own (sums are easier to learn)")
    character_coverage: float = option(
        0.9995, "share of the text's characters that get tokens (bpe, bpe-spaces, char-bpe)", low=0.9, high=1.0
    )
    normalization: str = option(
        "identity",
        "how text is changed before it is encoded, in training and in the chat program: `identity` (not at all), `nfkc`, "
        "`nmt_nfkc` (newlines become spaces, too), `ru-classics` (ё becomes е; quotation marks, dashes and three dots of one kind; "
        "no soft hyphens and stress marks), or a file of rules, such as 'my/rules.tsv'",
    )
    max_train_chars: int = option(
        20_000_000,
        "characters of text to train on at most (`char` reads all): a sample of longer text, the beginning of a streamed dataset",
        low=1000,
    )
    mixture: list[MixturePart] = option(
        [],
        "text to learn from instead of the recipe's own, such as [{files = ['en/*.txt'], share = 0.8}, {files = ['th/*.txt'], "
        "share = 0.2}]; shares are of characters, and sum to 1",
        max_items=100,
    )

    @property
    def rules_file(self) -> Path | None:
        """The file of rules that `normalization` names; None if it names built-in rules."""
        return None if self.normalization in NORMALIZATIONS else Path(self.normalization).expanduser()


@dataclass(frozen=True)
class EvalConfig:
    """The report card."""

    probes: int = option(1000, "probes (held-out test questions) to ask, spread over the skills; 0: all", low=0)
    prompts: int = option(
        300, "validation prompts, each answered with the chat program's sampling and with every preset", low=1
    )
    max_tokens: int = option(200, "longest answer in tokens; one that is cut off counts as a runaway", low=1)
    batch_rows: int = option(64, "prompts answered at once", low=1)


@dataclass(frozen=True)
class ExportConfig:
    """What the chat program gets besides the weights."""

    dtype: str = option(
        "f16", "how matrices are stored: 16-bit floats, or 8 or 4 bits with scales", choices=("f16", "q8", "q4")
    )
    title: str = option("", "the program's name; empty: the recipe's", max_bytes=1000)
    version: str = option("1.0", "the model's version, part of the names of the files for friends")
    licence: str = option("", "what friends may do with the model, in a sentence")
    icon: str = option("", "path of a PNG or JPEG picture; empty: the first letter of the title")
    system: str = option("", "system message of every chat; empty: none")
    greeting: str = option("", "what the program says first")
    questions: list[str] = option(
        [],
        "suggested first messages, on the page and in the chat program; `minitron run` asks them at its end",
        max_items=100,
    )
    temperature: float = option(0.7, "default sampling temperature", low=0.0, high=100.0)
    top_k: int = option(40, "default top-k; 0: off", low=0, high=1 << 20)
    top_p: float = option(0.95, "default top-p", above=0.0, high=1.0)
    min_p: float = option(0.0, "default min-p", low=0.0, high=1.0)
    repeat_penalty: float = option(1.0, "default repetition penalty", low=0.01, high=100.0)
    max_tokens: int = option(200, "default longest answer, in tokens", low=1, high=1 << 20)

    def sampling(self) -> Sampling:
        """How the chat program draws unless told otherwise."""
        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p, self.repeat_penalty, self.max_tokens)


@dataclass(frozen=True)
class StudyConfig:
    """What `minitron study` compares; the stages ignore this section."""

    kinds: list[str] = option(
        ["bpe", "bpe-spaces"], "kinds of tokenizer to compare, as in tokenizer.kind", max_items=20
    )
    vocab_sizes: list[int] = option(
        [2048], "vocabulary sizes to compare; a kind whose size cannot be set counts once", max_items=20
    )
    normalizations: list[str] = option(
        ["identity"], "normalisations to compare, as in tokenizer.normalization", max_items=20
    )
    lrs: list[float] = option(
        [], "learning rates to try; each tokenizer is judged at its best one; empty: only pretrain's", max_items=20
    )
    seeds: int = option(
        3,
        "runs of each combination, with different seeds; from a single one nobody can tell what is chance",
        low=1,
        high=15,
    )
    equal: str = option(
        "text",
        "what is equal in all runs: `text` read, `flops` computed (the head's too), or `time` on this machine",
        choices=("text", "flops", "time"),
    )
    budget: float = option(
        10.0, "budget of each run: megabytes of text, 10^15 operations, or minutes, as `equal` says", above=0.0
    )
    context_bytes: int = option(512, "context length in bytes of text", low=32, high=1 << 20)
    batch_bytes: int = option(16384, "bytes of text per optimizer step", low=64, high=1 << 30)


RUBRIC = """You judge dialogues that a small model will learn from. Judge the assistant's answers only: is what it says true, does it
answer the question, is the language clean and natural, would a friendly person say it? A dialogue that is broken off, repeats itself,
preaches or invents facts is bad, however polite."""


@dataclass(frozen=True)
class JudgeConfig:
    """How `minitron judge` scores dialogues with a model behind an OpenAI-compatible endpoint; the stages ignore this section."""

    url: str = option("http://127.0.0.1:8080/v1", "the endpoint's address, up to /v1")
    model: str = option("", "name of the model at the endpoint")
    key_env: str = option("OPENAI_API_KEY", "environment variable that holds the API key, if one is needed")
    rubric: str = option(RUBRIC, "instructions: what is good and what is bad; the format of the answer is added")
    columns: list[str] = option(
        ["overall"], "names of the scores to ask for; each becomes a column for data.keep", max_items=20
    )
    lowest: int = option(1, "the worst score")
    highest: int = option(10, "the best score")
    second_model: str = option(
        "", "another model that judges too, to see how far the two agree; its columns end in _second"
    )
    second_url: str = option("", "its endpoint; empty: the same as url")
    second_key_env: str = option("", "environment variable with its key; empty: the same as key_env")
    concurrency: int = option(4, "questions asked at the same time", low=1, high=256)
    timeout_seconds: float = option(120.0, "seconds to wait for an answer", above=0.0)
    tries: int = option(6, "tries per question, if the network, the server or the answer fails", low=1, high=20)
    pause_seconds: float = option(
        1.0, "seconds before the second try; doubled before each further one, up to a minute", low=0.0, high=60.0
    )
    max_rows: int = option(0, "judge at most this many dialogues, the first ones; 0: all", low=0)
    price_in: float = option(0.0, "price of a million input tokens, for the estimate of the cost", low=0.0)
    price_out: float = option(0.0, "price of a million output tokens", low=0.0)


@dataclass(frozen=True)
class Config:
    """A whole recipe, resolved. `name` is the recipe's file name and names its folder under `runs/`."""

    name: str
    recipe: Path
    seed: int = option(1, "seed of everything random", low=0, high=2**32 - 1)
    device: str = option("auto", "auto: cuda, else mps, else cpu", choices=("auto", "cpu", "cuda", "mps"))
    shard: bool = option(
        False,
        "under torchrun each process holds only a part of the weights (FSDP2), for models that do not fit on one device",
    )
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    pretrain: PretrainConfig | None = None
    sft: SftConfig = field(default_factory=SftConfig)
    reject: RejectConfig | None = None
    kto: KtoConfig | None = None
    feedback: FeedbackConfig | None = None
    eval: EvalConfig = field(default_factory=EvalConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    study: StudyConfig | None = None
    judge: JudgeConfig | None = None

    @property
    def layout(self) -> Layout:
        """Where everything of the run lies."""
        return Layout(Path("runs") / self.name)

    @property
    def init(self) -> str:
        """The run that this one goes on from; empty where it begins with fresh weights."""
        return self.pretrain.init if self.pretrain and self.pretrain.init else self.sft.init

    @property
    def longer(self) -> str:
        """What to do where something does not fit into the context."""
        return "shorten it, or begin with a model of a longer context" if self.init else "raise model.context"

    @property
    def base(self) -> bool:
        """Whether this makes a base model: it has raw text and no dialogues."""
        return self.pretrain is not None and not self.data.given

    @property
    def title(self) -> str:
        """The program's name."""
        return self.export.title or self.name

    @property
    def labels_file(self) -> Path:
        """Where the labels are that people gave to the model's answers."""
        own = self.feedback.file if self.feedback else ""
        return Path(own) if own else self.recipe.parent / "labels" / f"{self.name}.jsonl"

    @property
    def labelled(self) -> bool:
        """Whether there are labels to learn from."""
        return self.feedback is not None and not self.base and self.labels_file.is_file()

    @property
    def finished(self) -> str:
        """The stage whose model learns from labels, and is exported where there are none."""
        return "pretrain" if self.base else "kto" if self.kto else "sft"

    @property
    def shipped(self) -> str:
        """The stage whose model is exported."""
        return "feedback" if self.labelled else self.finished

    def with_optim(self, **changes: Any) -> "Config":
        """The recipe with these options of [optim] changed, also in [pretrain.optim] and [sft.optim]."""
        changed = dataclasses.replace(self, optim=dataclasses.replace(self.optim, **changes))
        for stage in TRAINING:
            if section := getattr(self, stage):
                section = dataclasses.replace(section, optim=dataclasses.replace(section.optim, **changes))
                changed = dataclasses.replace(changed, **{stage: section})
        return changed

    def section(self, name: str) -> Any:
        """A section, or one option of it (`export.top_k`), as plain values, for fingerprints and for saving; None if it is left out."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part, None)
        return plain(value)
