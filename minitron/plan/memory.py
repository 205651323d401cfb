"""How much memory training needs, term by term, from a recipe alone: weights, gradients, optimizer, activations.

    parameters(config.model, vocab_size)      # part of the model -> how many
    needs = training(config, "sft", device=torch.device("cuda"), precision="bf16")   # term -> bytes

Activations are what autograd keeps for backward: each layer says what that is (`saved_bytes` in minitron/model), and
tests/test_plan.py compares the sum with what torch keeps. The optimizer's temporary tensors within a step and the allocator's
slack are not counted.

Letters: n tokens of a micro-batch, D d_model, F d_ff, V vocabulary, T tokens of a row.
"""

import math
import os
from dataclasses import replace

import torch
from torch import nn

from minitron.align.loop import MICRO_ROWS
from minitron.core import parallel
from minitron.data.packing import ROUND_TARGETS
from minitron.model import lora as low_rank
from minitron.model.costs import FP32, Load, total
from minitron.model.language_model import LanguageModel, trunk_type
from minitron.model.shape import Block
from minitron.recipe.schema import Config
from minitron.recipe.training import LoraConfig, ModelConfig, OptimConfig
from minitron.tokenizer.base import MARKERS
from minitron.train import cross_entropy, inherit
from minitron.train.optimizer import method
from minitron.train.precision import choose_precision

TARGET_SHARES = {"pretrain": 1.0, "sft": 0.58}  # share of tokens that are targets: the reference's dialogues have 57.7%


def parameters(shape: ModelConfig, vocab_size: int) -> dict[str, int]:
    """Part of the model -> number of its parameters. `positions` are learned positions, which nanoGPT does not count."""
    model = meta_model(shape, vocab_size)
    parts: dict[str, list[nn.Parameter]] = model.trunk.parts()
    if shape.untied_head:
        parts["head"] = [model.lm_head.weight]
    return {part: sum(weight.numel() for weight in weights) for part, weights in parts.items()}


def meta_model(shape: ModelConfig, vocab_size: int) -> LanguageModel:
    """The model on torch's meta device: with shapes and without values, to count."""
    with torch.device("meta"):
        return LanguageModel(shape, vocab_size)


def optimizer_bytes(shape: ModelConfig, vocab_size: int, optim: OptimConfig) -> int:
    """Bytes that the recipe's optimizer keeps for all weights."""
    weights = sum(parameters(shape, vocab_size).values())
    return method(optim.name).state_bytes(weights, block_matrices(shape))


def state_bytes(shape: ModelConfig, *, rows: int, slots: int) -> int:
    """Bytes that a model keeps while it generates: a KV cache for `rows` texts of `slots` tokens, or what its shape has in its place."""
    return meta_model(shape, 1).new_state(rows, slots).nbytes


def names_of_linears(shape: ModelConfig) -> list[str]:
    """The last part of the name of each Linear of the blocks, such as q_proj."""
    named = meta_model(shape, 1).blocks.named_modules()
    return [name.rpartition(".")[2] for name, module in named if isinstance(module, nn.Linear)]


def block_matrices(shape: ModelConfig) -> int:
    """The number of weights in the blocks' matrices."""
    return sum(weight.numel() for block in meta_model(shape, 1).trunk.matrices() for weight in block)


def side_by_side(shape: ModelConfig, device: torch.device, accumulation: int) -> int:
    """The number of micro-batches that `passes.accumulate` computes at once."""
    return 1 if device.type != "cpu" or shape.dropout else min(accumulation, parallel.cores())


def gradient_sets(accumulation: int, at_once: int) -> int:
    """How many gradients of each weight `passes.accumulate` holds at once: those of `at_once` micro-batches, and their sum."""
    return min(accumulation, at_once + 1)


def expected_precision(optim: OptimConfig, device: torch.device) -> str:
    """What `precision.choose_precision` will choose. On a CPU it will measure; bf16 is assumed, since both need about as much memory."""
    if device.type == "cpu" and optim.precision == "auto":
        return "bf16"
    return choose_precision(optim.precision, device, lambda _: None, what="").name


def training(config: Config, stage: str, *, device: torch.device, precision: str) -> dict[str, int]:
    """Bytes at the peak of a step of `stage`, pretrain or sft, by term."""
    shape, vocab_size, settings = config.model, config.tokenizer.vocab_size, getattr(config, stage)
    weights = FP32 * sum(parameters(shape, vocab_size).values())
    at_once = side_by_side(shape, device, settings.accumulation)
    adapted = stage == "sft" and config.sft.lora_rank > 0
    tokens = len(MARKERS) if adapted and inherit.untaught(config) else 0
    kept = activations(
        shape,
        vocab_size,
        rows=settings.batch_rows,
        length=shape.context,
        device=device,
        precision=precision,
        recompute=settings.recompute,
        stage=stage,
        lora=config.sft if adapted else None,
        head=not adapted or tokens > 0,
    )
    targets = targets_of(settings.batch_rows * shape.context, stage)
    trained, optimizer = weights, optimizer_bytes(shape, vocab_size, settings.optim)
    if adapted:
        trained, optimizer = low_rank_bytes(shape, vocab_size, config.sft, tokens=tokens)
    return {
        "weights": weights + (trained if adapted else 0),
        "gradients": gradient_sets(settings.accumulation, at_once) * trained,
        "optimizer": optimizer,
        "activations": at_once * sum(kept.values()),
        "logits": at_once * logits_bytes(targets, vocab_size, shape.d_model, precision=precision),
    }


def kto(config: Config, *, device: torch.device, tokens: float) -> dict[str, int]:
    """Bytes at the peak of a step of kto, by term: the policy, its frozen reference, and completions of `tokens` tokens, without packing."""
    shape, vocab_size = config.model, config.tokenizer.vocab_size
    weights = FP32 * sum(parameters(shape, vocab_size).values())
    trained, optimizer = weights, optimizer_bytes(shape, vocab_size, config.optim)
    if config.kto.lora_rank:
        trained, optimizer = low_rank_bytes(shape, vocab_size, config.kto)
    parts = -(-config.kto.batch_rows // MICRO_ROWS)
    at_once = side_by_side(replace(shape, dropout=0.0), device, parts)  # a loaded model is in evaluation mode
    length = min(math.ceil(tokens), shape.context)
    rows = min(MICRO_ROWS, config.kto.batch_rows)
    kept = activations(replace(shape, dropout=0.0), vocab_size, rows=rows, length=length, device=device, packed=False)
    return {
        "weights": weights,
        "reference": weights,
        "gradients": gradient_sets(parts, at_once) * trained,
        "optimizer": optimizer,
        "activations": at_once * sum(kept.values()),
        "loss's gradient": at_once * 2 * FP32 * targets_of(rows * length) * vocab_size,
    }


def low_rank_bytes(shape: ModelConfig, vocab_size: int, lora: LoraConfig, *, tokens: int = 0) -> tuple[int, int]:
    """Bytes of the weights that LoRA trains, and of what AdamW keeps for them; `tokens` rows of the vocabulary are trained, too."""
    model = meta_model(shape, vocab_size)
    low_rank.attach(model, lora, seed=0, tokens=range(tokens))
    trained = sum(weight.numel() for weight in low_rank.state(model).values())
    return FP32 * trained, method("adamw").state_bytes(trained, trained)


def low_bytes(precision: str) -> int:
    """Bytes of a number that Linear and attention read and write."""
    return FP32 if precision == "fp32" else 2


def logits_bytes(targets: int, vocab_size: int, d_model: int, *, precision: str) -> int:
    """Bytes that `cross_entropy.linear_cross_entropy` holds for a moment: a piece's logits, log-probabilities and their gradient; with a
    precision of 16 bits also the embedding in it, and what one piece adds to its gradient."""
    low, rows = low_bytes(precision), max(cross_entropy.ROWS_AT_ONCE, cross_entropy.LOGITS_AT_ONCE // vocab_size)
    piece = min(rows, targets) * vocab_size
    return 2 * FP32 * piece if low == FP32 else (FP32 + 2 * low) * piece + 2 * low * vocab_size * d_model


def targets_of(tokens: int, stage: str = "sft") -> int:
    """The number of positions that logits are computed at, rounded up as batches are."""
    return -(-round(TARGET_SHARES[stage] * tokens) // ROUND_TARGETS) * ROUND_TARGETS


def activations(
    shape: ModelConfig,
    vocab_size: int,
    *,
    rows: int,
    length: int,
    device: torch.device,
    precision: str = "fp32",
    recompute: bool = False,
    packed: bool = True,
    stage: str = "sft",
    lora: LoraConfig | None = None,
    head: bool = True,
) -> dict[str, int]:
    """What autograd keeps of one forward pass over rows of `length` tokens: term -> bytes. With `lora` this includes what its
    factors read; without `head` the vocabulary is not trained.

    With `recompute` (gradient checkpointing, Chen et al., arXiv 1604.06174) it is the blocks' inputs and what one block keeps.
    `packed`: rows have a mask and the loss is `passes.summed_loss`; else completions in fp32, as in `preference.token_log_probs`.
    """
    n, width, layers = rows * length, shape.d_model, shape.n_layers
    targets, trunk = targets_of(n, stage), trunk_type(shape.arch)
    low = low_bytes(precision)
    on_cuda, dropout = device.type == "cuda", shape.dropout > 0
    dropped = width * (1 if on_cuda else low) if dropout else 0  # the mask of dropout: a byte per value on CUDA

    def load_of(after: int) -> Load:
        return Load(rows, length, after, device, low, packed, lora is not None)

    def block(kind: type[Block], after: int) -> dict[str, int]:
        """Term -> bytes that one block keeps. Behind its mixing it computes `after` positions: all, or in the last block those
        with a target."""
        load = load_of(after)
        more = {"dropout": 2 * dropped * after}
        more["weights in 16 bits"] = low * block_matrices(shape) // layers if load.autocast else 0
        return kind.saved_bytes(shape, load) | more

    *others, last = trunk.block_types(shape)
    blocks = [*(block(kind, n) for kind in others), block(last, targets)]
    # blocks are computed again one at a time: the largest counts
    terms = max(blocks, key=lambda kept: sum(kept.values())) if recompute else total(*blocks)
    ends = trunk.saved_bytes(shape, load_of(n)) | {
        "norms": trunk.norm_type.saved_bytes(width, targets, on_cuda=on_cuda),
        "dropout": dropped and n * width * (1 if on_cuda else FP32),
        # `cross_entropy.linear_cross_entropy` keeps its inputs' gradients; plain cross_entropy of whole logits keeps log-probabilities
        "loss": FP32 * (targets + (vocab_size if head else 0)) * width
        if packed
        else FP32 * targets * (width + vocab_size),
    }
    if lora:  # A x, which B reads
        changed = [name for name in names_of_linears(shape) if name in lora.lora_targets or not lora.lora_targets]
        ends["low ranks"] = low * lora.lora_rank * n * len(changed) // (layers if recompute else 1)
    terms |= {name: size + terms.get(name, 0) for name, size in ends.items()}
    return terms | ({"blocks' inputs": FP32 * n * width * layers} if recompute else {})


def device_bytes(device: torch.device) -> int:
    """Bytes of the device's memory, or of the computer's if the device has none of its own; 0 if unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
