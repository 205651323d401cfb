"""The options of the model and of how it is trained: [model], [optim], [pretrain] and [sft], as dataclasses.

Knows nothing about the other sections; `schema.Config` is the whole recipe.
"""

from dataclasses import dataclass, field

from minitron.recipe.kinds import OPTIMIZERS, SHAPES
from minitron.recipe.option import option


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
    n_kv_heads: int = option(
        0,
        "key/value heads (llama, stream); 0: as many as n_heads, in a stream about a third of them, but not one",
        low=0,
    )
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
    window: int = option(0, "tokens that a `window` layer attends to (stream); 0: 128", low=0, high=65536)
    conv_width: int = option(0, "width in tokens of a `conv` layer's convolution (stream); 0: 3", low=0, high=8)
    rope_theta: float = option(10000.0, "base of RoPE's frequencies (llama, stream)", low=1.0, high=1e12)
    norm_eps: float = option(1e-5, "epsilon of the norms", low=1e-12, high=1.0)

    @property
    def head_size(self) -> int:
        """The width of a head."""
        return self.head_dim or self.d_model // self.n_heads


@dataclass(frozen=True)
class OptimConfig:
    """The optimizer and its schedule in pretrain and sft. kto and feedback use the options from weight_decay to grad_clip, kto also name."""

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
    induction_head: bool = option(
        False,
        "fresh weights begin with two attention heads that copy what came after the same token earlier (llama, with Muon): a lower "
        "loss after few steps, but see docs/training-notes.md",
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
