"""All options of a recipe, as dataclasses: one recipe, one model.

Every option carries its own line of help (`docs/recipes.md` is made from them) and its bounds. Knows nothing about files
and what the stages do with the values.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitron.recipe.data import DataConfig
from minitron.recipe.kinds import OPTIMIZERS, SHAPES, TOKENIZERS
from minitron.recipe.layout import Layout
from minitron.recipe.option import option, plain

NORMALIZATIONS = ("identity", "nfkc", "nmt_nfkc", "ru-classics")  # names of built-in rules; any other names a file


@dataclass(frozen=True)
class MixturePart:
    """A part of the text that a tokenizer learns from."""

    files: list[str] = option([], "files, globs or folders, as in pretrain.files")
    share: float = option(0.0, "its share of the characters", above=0.0, high=1.0)
    column: str = option("text", "the column with the text, in all but text files")


@dataclass(frozen=True)
class TokenizerConfig:
    """How text becomes tokens (docs/tokenizers.md)."""

    kind: str = option(
        "bpe",
        "byte-pair encoding: `bpe` with bytes for unknown characters, `bpe-spaces` with the space as a token of its own too, "
        "`char-bpe` without bytes; `char`: every character of the text is a token, however rare; `bytes`: the 256 bytes; "
        "`byte-bpe` comes with an imported model",
        choices=tuple(TOKENIZERS),
    )
    vocab_size: int = option(
        2048,
        "number of tokens, fewer where the text has not so many; with `char` only what --dry-run reckons with until the text was "
        "read, with `bytes` of no account",
        low=16,
        high=1 << 20,
    )
    user_symbols: list[str] = option(
        [], "texts that are one token each wherever they stand, such as ['—', '«', '»']", max_items=1000
    )
    byte_fallback: bool = option(
        True, "unknown characters become byte tokens, so that nothing is unreadable (bpe, bpe-spaces, char)"
    )
    split_digits: bool = option(True, "every digit its own token (sums are easier so)")
    character_coverage: float = option(
        0.9995, "share of the text's characters that get tokens (bpe, bpe-spaces, char-bpe)", low=0.9, high=1.0
    )
    normalization: str = option(
        "identity",
        "what a text becomes first, in training and in the chat program: `identity`, `nfkc`, `nmt_nfkc` (newlines become spaces), "
        "`ru-classics` (е for ё; quotation marks, dashes and three dots of one kind; no soft hyphens and stress marks), or a "
        "file of rules, such as 'my/rules.tsv'",
    )
    max_train_chars: int = option(
        20_000_000, "characters of text that the trainer sees at most: of more, a sample from all of it", low=1000
    )
    mixture: list[MixturePart] = option(
        [],
        "what to learn from in place of the recipe's own text, such as [{files = ['en/*.txt'], share = 0.8}, {files = ['th/*.txt'], "
        "share = 0.2}]; shares are of characters, and sum to 1",
        max_items=100,
    )

    @property
    def rules_file(self) -> Path | None:
        """The file of rules that `normalization` names; None if it names built-in rules."""
        return None if self.normalization in NORMALIZATIONS else Path(self.normalization).expanduser()


@dataclass(frozen=True)
class ModelConfig:
    """The transformer's shape."""

    arch: str = option(
        "llama",
        "`llama`: RMSNorm, RoPE, SwiGLU; `nanogpt`: learned positions, LayerNorm, GELU; `stream`: layers with a memory that does not "
        "grow, for talks without an end (docs/streaming.md)",
        choices=tuple(SHAPES),
    )
    n_layers: int = option(4, "number of blocks", low=1, high=256)
    n_heads: int = option(4, "attention heads", low=1, high=256)
    n_kv_heads: int = option(0, "key/value heads (llama, stream); 0: as many as heads", low=0)
    d_model: int = option(256, "width", low=8, high=1 << 16)
    d_ff: int = option(
        0,
        "width inside the MLP; 0: 8/3 d_model rounded up to 64 (llama, stream), 4 d_model (nanogpt)",
        low=0,
        high=1 << 18,
    )
    head_dim: int = option(0, "width of a head (llama, stream); 0: d_model / n_heads", low=0, high=1 << 12)
    context: int = option(256, "tokens that the model sees at once; a `stream` only in training", low=16, high=65536)
    dropout: float = option(0.0, "dropout in training", low=0.0, high=0.9)
    qk_norm: bool = option(False, "RMSNorm on queries and keys (llama; then not every other program can load it)")
    untied_head: bool = option(False, "the head is a matrix of its own, and not the embedding (llama, stream)")
    bias: bool = option(False, "biases in Linear and LayerNorm (nanogpt)")
    logit_cap: float = option(
        0.0,
        "logits are bent to stay within this: cap tanh(logit / cap) (Gemma 2, arXiv 2408.00118); 0: off",
        low=0.0,
        high=1 << 20,
    )
    layers: list[str] = option(
        [],
        "kinds of layers, first to last, and again from the first until there are n_layers: `conv`, `window`, `delta` (stream); empty: "
        "conv, window, conv, delta",
        max_items=256,
    )
    window: int = option(0, "tokens that a layer of kind `window` sees (stream); 0: 256", low=0, high=65536)
    conv_width: int = option(0, "tokens that a convolution sees (stream); 0: 3", low=0, high=8)
    rope_theta: float = option(10000.0, "RoPE's base (llama, stream)", low=1.0, high=1e12)
    norm_eps: float = option(1e-5, "epsilon of the norms", low=1e-12, high=1.0)

    @property
    def head_size(self) -> int:
        """The width of a head."""
        return self.head_dim or self.d_model // self.n_heads


@dataclass(frozen=True)
class OptimConfig:
    """The optimizer and its schedule, for pretrain and sft; kto uses name, weight_decay, beta1, beta2, eps and grad_clip."""

    name: str = option("adamw", "`muon`: the blocks' matrices by Muon, the rest by AdamW", choices=tuple(OPTIMIZERS))
    lr: float = option(1e-3, "peak learning rate", low=0.0)
    min_lr: float | None = option(None, "learning rate at the end; left out: a tenth of lr", low=0.0)
    schedule: str = option(
        "cosine",
        "after the warm-up: `cosine` down to min_lr; `wsd`: flat, then straight down (arXiv 2405.18392)",
        choices=("cosine", "wsd"),
    )
    decay_share: float = option(0.4, "wsd: the share of the steps in which the learning rate falls", low=0.0, high=1.0)
    warmup_steps: int = option(100, "steps of linear warm-up", low=0)
    weight_decay: float = option(0.1, "on matrices; vectors have none", low=0.0)
    beta1: float = option(0.9, "AdamW's first moment", low=0.0, below=1.0)
    beta2: float = option(0.95, "AdamW's second moment", low=0.0, below=1.0)
    eps: float = option(1e-8, "AdamW's epsilon", low=0.0)
    grad_clip: float = option(1.0, "largest gradient norm; 0: no clipping", low=0.0)
    z_loss: float = option(
        0.0, "weight of log(Z)^2, which keeps logits from drifting (PaLM, arXiv 2204.02311: 1e-4); 0: off", low=0.0
    )
    precision: str = option(
        "auto",
        "auto measures at the start and says what it chose; fp16 is for CUDA without bf16",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    compile: str = option(
        "auto",
        "torch.compile, not on a CPU: auto measures on CUDA at the start and says what it chose",
        choices=("auto", "on", "off"),
    )

    @property
    def end_lr(self) -> float:
        """The learning rate at the end."""
        return self.lr / 10 if self.min_lr is None else self.min_lr


@dataclass(frozen=True)
class TrainConfig:
    """What pretrain and sft share."""

    init: str = option(
        "",
        "a run to go on from, such as runs/smol, also one that `minitron import` made: its last model, its tokenizer and its shape, "
        "so that [model] and [tokenizer] are left out",
    )
    steps: int = option(1000, "optimizer steps; 0, with init: its model as it is", low=0)
    batch_rows: int = option(4, "rows of `model.context` tokens per micro-batch", low=1)
    accumulation: int = option(4, "micro-batches per step; on a CPU they run side by side, one per thread", low=1)
    eval_every_steps: int = option(200, "steps between validations (each is also a checkpoint)", low=1)
    eval_rows: int = option(256, "packed rows of the validation set to measure on; 0: all", low=0)
    keep_checkpoints: int = option(2, "how many of the newest checkpoints stay, beside the best", low=1, decides=False)
    patience: int = option(0, "stop after this many validations without a new best; 0: never early", low=0)
    recompute: bool = option(
        False, "gradient checkpointing: blocks are computed again in backward; less memory, a third more time"
    )
    samples: list[str] = option(
        [], "prompts that the model answers at every validation; shown and in metrics.jsonl", decides=False
    )
    snapshot_steps: int = option(
        0, "steps between snapshots of the embeddings, for `minitron embeddings`; 0: none", low=0, decides=False
    )
    tensorboard: bool = option(
        False, "also write TensorBoard's files; needs: pip install minitron[tensorboard]", decides=False
    )
    optim: OptimConfig = field(default_factory=OptimConfig)  # [optim], with what this stage's own table sets


@dataclass(frozen=True)
class LoraConfig:
    """What sft and kto share."""

    lora_rank: int = option(
        0,
        "train low-rank changes of the blocks' matrices only (LoRA, arXiv 2106.09685), by AdamW; 0: all weights",
        low=0,
        high=1 << 12,
    )
    lora_alpha: float = option(16.0, "the changes count alpha / rank times", above=0.0, high=1 << 20)
    lora_targets: list[str] = option(
        [], "which matrices, such as ['q_proj', 'v_proj'] (nanogpt: 'c_attn'); empty: all of the blocks", max_items=20
    )


@dataclass(frozen=True)
class PretrainConfig(TrainConfig):
    """Raw text before dialogues. Left out of the recipe, the stage does not run; a recipe with it and without dialogues
    makes a base model, which continues text."""

    files: list[str] = option(
        [], "text files (one document each), parquet or JSON files with a column of texts, globs, or folders of these"
    )
    hub: str = option("", "a dataset id, read through `datasets`, streaming; it counts as unchanged until --force")
    hub_config: str = option("", "the dataset's configuration name, where it has several")
    hub_split: str = option("train", "the dataset's split")
    column: str = option("text", "the column with the text, in all but text files")
    valid_fraction: float = option(
        0.05, "share held out: whole short documents, the ends of long ones and of few", low=0, high=0.5
    )
    clean: list[str] = option(
        [],
        "sets of patterns whose matches are taken out of the text first: `ru-classics`, what editors added to scanned Russian prose "
        "(see with `minitron clean` before you believe it)",
        max_items=10,
    )


@dataclass(frozen=True)
class SftConfig(LoraConfig, TrainConfig):
    """Supervised training on dialogues, from scratch or from pretrain."""


@dataclass(frozen=True)
class Sampling:
    """How to draw tokens."""

    temperature: float = option(1.0, "softmax temperature", low=0.0, high=100.0)
    top_k: int = option(0, "keep the k likeliest tokens; 0: all", low=0, high=1 << 20)
    top_p: float = option(1.0, "keep the likeliest tokens up to this mass", above=0.0, high=1.0)
    min_p: float = option(0.0, "keep tokens at least this likely relative to the likeliest", low=0.0, high=1.0)
    repeat_penalty: float = option(1.0, "divides the logits of tokens already in the answer", low=0.01, high=100.0)
    max_tokens: int = option(200, "longest answer", low=1, high=1 << 20)


@dataclass(frozen=True)
class Preset(Sampling):
    """How to make a model show a failure."""

    failure: str = option(
        "",
        "what it is meant to show; other failures are kept apart; empty: any",
        choices=("", "loop", "canned", "runaway"),
    )

    def sampling(self, max_tokens: int) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p, self.repeat_penalty, max_tokens)


# The reference article's three ways to make a model show its failures (its lengths were 400, 80 and 500).
PRESETS = {
    "loops": Preset(temperature=1.2, max_tokens=400, failure="loop"),
    "canned": Preset(temperature=0.4, repeat_penalty=1.15, max_tokens=80, failure="canned"),
    "tutorial": Preset(temperature=0.7, repeat_penalty=1.10, max_tokens=500, failure="runaway"),
}


@dataclass(frozen=True)
class RejectConfig:
    """The model's own failures, sampled with presets, and recorded pairs. Left out of the recipe, the stage does not run."""

    prompts: int = option(1000, "training prompts per preset; 0: only what `files` hold", low=0)
    batch_rows: int = option(64, "prompts answered at once", low=1)
    max_tokens: int = option(0, "a shorter limit for all presets; 0: the preset's own", low=0)
    presets: dict[str, Preset] = option(PRESETS, "name -> how to sample; replaces the three of the reference")
    chosen: str = option(
        "data",
        "data: the recorded answer; model: of `best_of` answers of the model's own the one without a failure that is nearest "
        "in length to the rejected one, so that length and style do not tell them apart",
        choices=("data", "model"),
    )
    best_of: int = option(4, "answers to choose from with `chosen = 'model'`", low=1)
    files: list[str] = option(
        [],
        "recorded labels: chosen/rejected columns, or prompt/completion/label rows, or dialogues with scores (docs/data.md); "
        "globs and folders allowed",
    )
    chosen_if: list[str] = option(
        [], "for dialogues with scores, read as [data] says: chosen if all of these hold, such as 'score >= 8'"
    )
    rejected_if: list[str] = option(
        [], "rejected if all of these hold, such as 'vote == -1'; what nobody judged is neither"
    )


@dataclass(frozen=True)
class GuardsConfig:
    """Whether kto goes back to its last good checkpoint when a guard is breached. Their limits: minitron/align/guards.py."""

    on: bool = option(True, "false: nothing stops the run; what ships is still chosen, but for kto.force")


@dataclass(frozen=True)
class AlignConfig(LoraConfig):
    """What kto and feedback have in common."""

    steps: int = option(200, "optimizer steps", low=1)
    batch_rows: int = option(16, "completions per step, chosen and rejected as there are of each", low=2)
    lr: float = option(2e-6, "learning rate after warm-up, then constant", low=0.0)
    warmup_steps: int = option(20, "steps of linear warm-up", low=0)
    eval_every_steps: int = option(20, "steps between looks of the guards (each that passes is a checkpoint)", low=1)
    max_loss_rise: float = option(
        0.01, "what ships has at most this share more held-out loss than the model before it", low=0.0
    )
    max_probe_drop: float = option(0.01, "what ships answers at most this share of the probes less", low=0.0)
    force: bool = option(False, "ship the trained model even if it is not improved")
    guards: GuardsConfig = field(default_factory=lambda: GuardsConfig())


@dataclass(frozen=True)
class KtoConfig(AlignConfig):
    """Alignment on the pairs of reject. Left out of the recipe, the stage does not run. How it learns: docs/kto.md."""

    beta: float = option(2.0, "how hard log-ratios (means over a completion's tokens) are pushed; 2 to 10", low=0.0)


@dataclass(frozen=True)
class FeedbackConfig(AlignConfig):
    """What is learnt from labels that people gave, at the end, from the finished model (docs/loop.md). The stage runs where there
    are labels, by its defaults where the recipe has no such section."""

    file: str = option(
        "",
        "the labels; empty: labels/<recipe>.jsonl beside the recipe, where `minitron labels add RECIPE FILE` puts them",
        decides=False,
    )
    steps: int = option(200, "optimizer steps", low=1)
    batch_rows: int = option(8, "wordings of labelled prompts per step, with the answers to learn or to unlearn", low=1)
    replay_rows: int = option(64, "answers of the training data per step that are learnt beside them; 0: none", low=0)
    lr: float = option(3e-4, "AdamW's learning rate after warm-up, from which it falls to 0", low=0.0)
    warmup_steps: int = option(5, "steps of linear warm-up", low=0)
    eval_every_steps: int = option(100, "steps between looks of the guards (each that passes is a checkpoint)", low=1)


@dataclass(frozen=True)
class EvalConfig:
    """The report card."""

    probes: int = option(1000, "held-out probes asked, spread over the skills; 0: all", low=0)
    prompts: int = option(300, "validation prompts answered with every preset", low=1)
    max_tokens: int = option(200, "longest answer; a longer one is a runaway", low=1)
    batch_rows: int = option(64, "prompts answered at once", low=1)


@dataclass(frozen=True)
class ExportConfig:
    """What the chat program gets beside the weights."""

    dtype: str = option("f16", "how matrices are stored: f16, or 8 or 4 bits and scales", choices=("f16", "q8", "q4"))
    title: str = option("", "the program's name; empty: the recipe's", max_bytes=1000)
    version: str = option("1.0", "the model's version, in the names of the files for friends")
    licence: str = option("", "what friends may do with the model, in a sentence")
    icon: str = option("", "a PNG or JPEG picture; empty: the first letter of the title")
    system: str = option("", "system message of every chat; empty: none")
    greeting: str = option("", "what the program says first")
    questions: list[str] = option([], "what to ask first: on the page, and by `make demo`", max_items=100)
    temperature: float = option(0.7, "default sampling temperature", low=0.0, high=100.0)
    top_k: int = option(40, "default top-k; 0: off", low=0, high=1 << 20)
    top_p: float = option(0.95, "default top-p", above=0.0, high=1.0)
    min_p: float = option(0.0, "default min-p", low=0.0, high=1.0)
    repeat_penalty: float = option(1.0, "default repetition penalty", low=0.01, high=100.0)
    max_tokens: int = option(200, "default longest answer", low=1, high=1 << 20)

    def sampling(self) -> Sampling:
        """How the chat program draws unless told otherwise."""
        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p, self.repeat_penalty, self.max_tokens)


@dataclass(frozen=True)
class StudyConfig:
    """What `minitron study` compares. Without it there is nothing to study; the stages take no notice of it."""

    kinds: list[str] = option(["bpe", "bpe-spaces"], "kinds of tokenizer, as in tokenizer.kind", max_items=20)
    vocab_sizes: list[int] = option([2048], "numbers of tokens; kinds that have their own come once", max_items=20)
    normalizations: list[str] = option(["identity"], "rules, as in tokenizer.normalization", max_items=20)
    lrs: list[float] = option(
        [], "learning rates; each tokenizer counts at its best one. Empty: that of [optim]", max_items=20
    )
    seeds: int = option(3, "as many cells with other seeds for each; one cannot tell what is chance", low=1, high=15)
    equal: str = option(
        "text",
        "what all cells have the same of: `text` read, `flops` computed (with the head), or `time` on this machine",
        choices=("text", "flops", "time"),
    )
    budget: float = option(10.0, "of each cell: megabytes of text, 10^15 operations, or minutes", above=0.0)
    context_bytes: int = option(512, "bytes of text that the model sees at once", low=32, high=1 << 20)
    batch_bytes: int = option(16384, "bytes of text of an optimizer step", low=64, high=1 << 30)


RUBRIC = """You judge dialogues that a small model will learn from. Judge the assistant's answers only: is what it says true, does it
answer the question, is the language clean and natural, would a friendly person say it? A dialogue that is broken off, repeats itself,
preaches or invents facts is bad, however polite."""


@dataclass(frozen=True)
class JudgeConfig:
    """How `minitron judge` has dialogues scored, by a model behind an OpenAI-compatible endpoint. The stages take no notice of it."""

    url: str = option("http://127.0.0.1:8080/v1", "the endpoint, up to /v1")
    model: str = option("", "the model's name there")
    key_env: str = option("OPENAI_API_KEY", "the environment variable that holds the key, if there is one")
    rubric: str = option(RUBRIC, "what good and bad are; how to answer is added")
    columns: list[str] = option(["overall"], "names of the scores, which become columns for data.keep", max_items=20)
    lowest: int = option(1, "the worst score")
    highest: int = option(10, "the best score")
    second_model: str = option("", "another model, for how far the two agree; its columns end in _second")
    second_url: str = option("", "its endpoint; empty: the same")
    second_key_env: str = option("", "the environment variable with its key; empty: the same")
    concurrency: int = option(4, "questions at a time", low=1, high=256)
    timeout_seconds: float = option(120.0, "to wait for an answer", above=0.0)
    tries: int = option(6, "per question, where the network, the server or the answer fails", low=1, high=20)
    pause_seconds: float = option(
        1.0, "before the second try; twice as long before each further one", low=0.0, high=60.0
    )
    max_rows: int = option(0, "judge only so many dialogues; 0: all", low=0)
    price_in: float = option(0.0, "of a million tokens in, for the estimate", low=0.0)
    price_out: float = option(0.0, "of a million tokens out", low=0.0)


@dataclass(frozen=True)
class Config:
    """A whole recipe, resolved. `name` is the recipe's file name and names its folder under `runs/`."""

    name: str
    recipe: Path
    seed: int = option(1, "of everything random", low=0, high=2**32 - 1)
    device: str = option("auto", "auto: cuda, else mps, else cpu", choices=("auto", "cpu", "cuda", "mps"))
    shard: bool = option(
        False,
        "under torchrun each process holds a part of the weights only (FSDP2), for models that do not fit otherwise",
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
        for stage in ("pretrain", "sft"):
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
