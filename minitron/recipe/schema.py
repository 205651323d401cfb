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
class ModelConfig:
    """The transformer's shape."""

    arch: str = option(
        "llama",
        "`llama`: RMSNorm, RoPE, SwiGLU; `nanogpt`: learned positions, LayerNorm, GELU; `stream`: layers whose memory does not "
        "grow with the text, for endless dialogues (docs/streaming.md)",
        choices=tuple(SHAPES),
    )
    n_layers: int = option(4, "number of blocks", low=1, high=256)
    n_heads: int = option(4, "attention heads", low=1, high=256)
    n_kv_heads: int = option(0, "key/value heads (llama, stream); 0: as many as n_heads", low=0)
    d_model: int = option(256, "width", low=8, high=1 << 16)
    d_ff: int = option(
        0,
        "width inside the MLP; 0: 8/3 d_model, rounded up to a multiple of 64 (llama, stream), or 4 d_model (nanogpt)",
        low=0,
        high=1 << 18,
    )
    head_dim: int = option(0, "width of a head (llama, stream); 0: d_model / n_heads", low=0, high=1 << 12)
    context: int = option(
        256, "context length in tokens; for a `stream` it matters only in training", low=16, high=65536
    )
    dropout: float = option(0.0, "dropout probability in training", low=0.0, high=0.9)
    qk_norm: bool = option(False, "RMSNorm on queries and keys (llama); some other programs cannot load such a model")
    untied_head: bool = option(
        False, "the output head has a matrix of its own instead of the embedding's (llama, stream)"
    )
    bias: bool = option(False, "biases in Linear and LayerNorm (nanogpt)")
    logit_cap: float = option(
        0.0,
        "soft cap on logits: cap tanh(logit / cap) (Gemma 2, arXiv 2408.00118); 0: off",
        low=0.0,
        high=1 << 20,
    )
    layers: list[str] = option(
        [],
        "kinds of layers (stream): `conv`, `window` or `delta`, first to last, repeated until there are n_layers; empty: conv, "
        "window, conv, delta",
        max_items=256,
    )
    window: int = option(0, "tokens that a `window` layer attends to (stream); 0: 256", low=0, high=65536)
    conv_width: int = option(0, "width in tokens of a `conv` layer's convolution (stream); 0: 3", low=0, high=8)
    rope_theta: float = option(10000.0, "base of RoPE's frequencies (llama, stream)", low=1.0, high=1e12)
    norm_eps: float = option(1e-5, "epsilon of the norms", low=1e-12, high=1.0)

    @property
    def head_size(self) -> int:
        """The width of a head."""
        return self.head_dim or self.d_model // self.n_heads


@dataclass(frozen=True)
class OptimConfig:
    """The optimizer and its schedule in pretrain and sft. kto and feedback use weight_decay, beta1, beta2, eps, grad_clip; kto also name."""

    name: str = option(
        "adamw",
        "`adamw` for all weights, or `muon`: Muon for the blocks' matrices, AdamW for the rest",
        choices=tuple(OPTIMIZERS),
    )
    lr: float = option(1e-3, "peak learning rate", low=0.0)
    min_lr: float | None = option(None, "learning rate at the last step; left out: a tenth of lr", low=0.0)
    schedule: str = option(
        "cosine",
        "after the warm-up: `cosine`, a cosine down to min_lr; `wsd`, constant, then linearly down to it (arXiv 2405.18392)",
        choices=("cosine", "wsd"),
    )
    decay_share: float = option(
        0.4, "wsd: the last share of the steps, in which the learning rate falls", low=0.0, high=1.0
    )
    warmup_steps: int = option(100, "steps of linear warm-up", low=0)
    weight_decay: float = option(0.1, "weight decay of matrices; vectors have none", low=0.0)
    beta1: float = option(0.9, "AdamW's decay rate of the first moment", low=0.0, below=1.0)
    beta2: float = option(0.95, "AdamW's decay rate of the second moment", low=0.0, below=1.0)
    eps: float = option(1e-8, "AdamW's epsilon", low=0.0)
    grad_clip: float = option(1.0, "gradients are clipped to this norm; 0: no clipping", low=0.0)
    z_loss: float = option(
        0.0,
        "weight of the z-loss, log(Z)^2, which keeps logits from drifting (PaLM, arXiv 2204.02311: 1e-4); 0: off",
        low=0.0,
    )
    precision: str = option(
        "auto",
        "auto: on CUDA bf16, or fp16 if the GPU has no bf16; on a CPU bf16 or fp32, whichever is measured to be faster",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    compile: str = option(
        "auto",
        "torch.compile of the blocks, not on a CPU; auto: on CUDA both ways are measured at the start, and the faster is used",
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
        "a run to continue from, such as runs/smol, also one made by `minitron import`: its last model, its tokenizer and its "
        "shape are taken over, so leave out [model] and [tokenizer]",
    )
    steps: int = option(1000, "optimizer steps; 0, only with init: its model is taken unchanged", low=0)
    batch_rows: int = option(4, "rows of `model.context` tokens per micro-batch", low=1)
    accumulation: int = option(
        4, "micro-batches per optimizer step; on a CPU they are computed in parallel, one per core", low=1
    )
    eval_every_steps: int = option(200, "steps between validations (each also saves a checkpoint)", low=1)
    eval_rows: int = option(256, "packed rows of the validation set that the loss is measured on; 0: all", low=0)
    keep_checkpoints: int = option(
        2, "how many of the newest checkpoints to keep, besides the best one", low=1, decides=False
    )
    patience: int = option(0, "stop after this many validations without a new best; 0: never stop early", low=0)
    recompute: bool = option(
        False, "gradient checkpointing: blocks are computed again in the backward pass; less memory, a third more time"
    )
    samples: list[str] = option(
        [],
        "prompts that the model answers at every validation; the answers are shown and written to metrics.jsonl",
        decides=False,
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
    """What sft, kto and feedback share."""

    lora_rank: int = option(
        0,
        "rank of LoRA (arXiv 2106.09685): AdamW trains low-rank changes of the blocks' matrices only; 0: train all weights",
        low=0,
        high=1 << 12,
    )
    lora_alpha: float = option(
        16.0, "LoRA's alpha: the changes are multiplied by alpha / rank", above=0.0, high=1 << 20
    )
    lora_targets: list[str] = option(
        [],
        "which of the blocks' matrices LoRA changes, such as ['q_proj', 'v_proj'] (nanogpt: 'c_attn'); empty: all",
        max_items=20,
    )


@dataclass(frozen=True)
class PretrainConfig(TrainConfig):
    """Training on raw text, before dialogues; left out, the stage does not run. Without dialogues the recipe makes a base model."""

    files: list[str] = option(
        [], "text files (one document each), parquet or JSON files with a column of texts, globs, or folders of these"
    )
    hub: str = option("", "a dataset id, streamed through `datasets`; taken as unchanged until --force")
    hub_config: str = option("", "name of the dataset's configuration, if it has several")
    hub_split: str = option("train", "the dataset's split")
    column: str = option("text", "the column with the text; text files have none")
    valid_fraction: float = option(
        0.05,
        "share of the text held out: whole short documents and the ends of long ones; the end of each if there are few",
        low=0,
        high=0.5,
    )
    clean: list[str] = option(
        [],
        "sets of patterns to remove from the text: `ru-classics`, what editors added to scanned Russian prose (check with "
        "`minitron clean` what it removes)",
        max_items=10,
    )


@dataclass(frozen=True)
class SftConfig(LoraConfig, TrainConfig):
    """Supervised training on dialogues, from scratch or from pretrain's model."""


@dataclass(frozen=True)
class Sampling:
    """How to draw tokens."""

    temperature: float = option(1.0, "softmax temperature; 0: always the likeliest token", low=0.0, high=100.0)
    top_k: int = option(0, "keep the k likeliest tokens; 0: all", low=0, high=1 << 20)
    top_p: float = option(1.0, "keep the likeliest tokens until their probabilities sum to this", above=0.0, high=1.0)
    min_p: float = option(
        0.0, "keep tokens with at least this fraction of the likeliest token's probability", low=0.0, high=1.0
    )
    repeat_penalty: float = option(
        1.0,
        "lowers the logits of tokens already in the answer: positive ones are divided by it, negative ones multiplied; 1: off",
        low=0.01,
        high=100.0,
    )
    max_tokens: int = option(200, "longest answer, in tokens", low=1, high=1 << 20)


@dataclass(frozen=True)
class Preset(Sampling):
    """How to make a model show a failure."""

    failure: str = option(
        "",
        "the failure it is meant to provoke; answers with another failure are kept apart, not trained on; empty: any failure",
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
    """Collects the model's own failures, sampled with presets, and recorded pairs; left out of the recipe, the stage does not run."""

    prompts: int = option(1000, "training prompts answered with each preset; 0: use only `files`", low=0)
    batch_rows: int = option(64, "prompts answered at once", low=1)
    max_tokens: int = option(0, "longest answer in tokens, for all presets; 0: each preset's own max_tokens", low=0)
    presets: dict[str, Preset] = option(
        PRESETS, "tables [reject.presets.NAME], each a way to sample; they replace the three default ones"
    )
    chosen: str = option(
        "data",
        "data: the recorded answer; model: of `best_of` answers by the model, the one without a failure that is nearest in length "
        "to the rejected one (if there is none, the recorded one), so that length and style do not tell them apart",
        choices=("data", "model"),
    )
    best_of: int = option(4, "answers to choose from if `chosen = 'model'`", low=1)
    files: list[str] = option(
        [],
        "recorded labels, as files, globs or folders: columns chosen/rejected, or rows prompt/completion/label, or dialogues with "
        "scores (docs/data.md)",
    )
    chosen_if: list[str] = option(
        [], "rules for dialogues with scores (read as [data] says): chosen if all of them hold, such as 'score >= 8'"
    )
    rejected_if: list[str] = option(
        [], "the same for rejected, such as 'vote == -1'; a dialogue without scores is neither"
    )


@dataclass(frozen=True)
class GuardsConfig:
    """Whether kto or feedback goes back to its last good checkpoint when a guard is breached. The limits: minitron/align/guards.py."""

    on: bool = option(
        True,
        "false: guards only warn, and training never goes back or stops; what ships is still checked, unless `force` is set",
    )


@dataclass(frozen=True)
class AlignConfig(LoraConfig):
    """What kto and feedback have in common."""

    steps: int = option(200, "optimizer steps", low=1)
    batch_rows: int = option(16, "completions per step, chosen and rejected in proportion to their numbers", low=2)
    lr: float = option(2e-6, "learning rate, constant after the warm-up", low=0.0)
    warmup_steps: int = option(20, "steps of linear warm-up", low=0)
    eval_every_steps: int = option(
        20, "steps between checks by the guards (a state that passes is saved as a checkpoint)", low=1
    )
    max_loss_rise: float = option(
        0.01,
        "largest relative rise in held-out loss, over the model before this stage, with which a model may ship",
        low=0.0,
    )
    max_probe_drop: float = option(
        0.01, "largest drop in probe accuracy with which a model may ship (0.01: one percentage point)", low=0.0
    )
    force: bool = option(False, "ship the trained model even if the checks refuse it or it is no better")
    guards: GuardsConfig = field(default_factory=lambda: GuardsConfig())


@dataclass(frozen=True)
class KtoConfig(AlignConfig):
    """Alignment with KTO on the pairs of reject (docs/kto.md); left out of the recipe, the stage does not run."""

    beta: float = option(
        2.0,
        "KTO's beta, the factor on log-ratios; from 2 to 10, since these are means over a completion's tokens",
        low=0.0,
    )


@dataclass(frozen=True)
class FeedbackConfig(AlignConfig):
    """Training of the finished model on labels that people gave (docs/loop.md). Left out, the stage still runs if there are labels."""

    file: str = option(
        "",
        "the file of labels; empty: labels/<recipe>.jsonl beside the recipe, where `minitron labels add RECIPE FILE` puts them",
        decides=False,
    )
    steps: int = option(200, "optimizer steps", low=1)
    batch_rows: int = option(
        8, "labelled prompts per step, in one wording each, with all their answers to learn or to unlearn", low=1
    )
    replay_rows: int = option(
        64, "recorded answers of the training data added to each step, so that the model forgets little; 0: none", low=0
    )
    lr: float = option(3e-4, "AdamW's peak learning rate; after the warm-up it falls to 0", low=0.0)
    warmup_steps: int = option(5, "steps of linear warm-up", low=0)
    eval_every_steps: int = option(
        100, "steps between checks by the guards (a state that passes is saved as a checkpoint)", low=1
    )


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
