"""What training needs of memory, term by term, from a recipe alone: weights, gradients, optimizer, activations.

    parameters(config.model, vocab_size)      # part of the model -> how many
    needs = training(config, "sft", rows=2, accumulation=32, device=torch.device("cuda"), precision="bf16")   # term -> bytes

Activations are what autograd keeps for backward: each term below names the tensors, and tests/test_plan.py compares their
sum with what torch keeps. The optimizer's work within a step and the allocator's slack are not counted.

Letters: n tokens of a micro-batch, D d_model, F d_ff, V vocabulary, T tokens of a row.
"""

import os
import re

import torch
from torch import nn

from minitron.core import parallel
from minitron.data.packing import ROUND_TARGETS
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config, ModelConfig, OptimConfig
from minitron.train import cross_entropy

FP32 = 4  # bytes: weights, gradients, optimizer, residual stream, norms and the loss, in every precision
TARGET_SHARES = {"pretrain": 1.0, "sft": 0.58}  # of tokens under loss: the reference's dialogues have 57.7%
PARTS = {
    "embedding": r"embed_tokens|\.wte\.",
    "positions": r"\.wpe\.",
    "norms": r"norm|\.ln_",
    "attention": r"self_attn|\.attn\.",
    "MLP": r"\.mlp\.",
}


def parameters(shape: ModelConfig, vocab_size: int) -> dict[str, int]:
    """Part of the model -> its parameters; the head is the embedding. `positions` are those that nanoGPT does not count."""
    counts = dict.fromkeys(PARTS, 0)
    for name, weight in meta_model(shape, vocab_size).named_parameters():
        counts[next(part for part, pattern in PARTS.items() if re.search(pattern, name))] += weight.numel()
    return counts


def meta_model(shape: ModelConfig, vocab_size: int) -> LanguageModel:
    """The model without numbers, to count."""
    with torch.device("meta"):
        return LanguageModel(shape, vocab_size)


def optimizer_bytes(shape: ModelConfig, vocab_size: int, optim: OptimConfig) -> int:
    """AdamW keeps two moments of every weight, Muon one of each matrix in the blocks (`optim.make_optimizer`)."""
    counts = parameters(shape, vocab_size)
    matrices = block_matrices(shape) if optim.name == "muon" else 0
    return FP32 * (2 * (sum(counts.values()) - matrices) + matrices)


def linears(shape: ModelConfig) -> list[nn.Linear]:
    """All of the blocks', without numbers."""
    return [module for module in meta_model(shape, 1).modules() if isinstance(module, nn.Linear)]


def block_matrices(shape: ModelConfig) -> int:
    """Weights of the blocks' matrices."""
    return sum(linear.weight.numel() for linear in linears(shape))


def side_by_side(shape: ModelConfig, device: torch.device, accumulation: int) -> int:
    """Micro-batches that `trainer.accumulate` computes at once."""
    return 1 if device.type != "cpu" or shape.dropout else min(accumulation, parallel.cores())


def gradient_sets(accumulation: int, at_once: int) -> int:
    """Gradients of all weights that `trainer.accumulate` holds at once: those of `at_once` micro-batches, and their sum."""
    return min(accumulation, at_once + 1)


def training(
    config: Config,
    stage: str,
    *,
    rows: int,
    accumulation: int,
    device: torch.device,
    precision: str,
    recompute: bool = False,
) -> dict[str, int]:
    """Bytes at the peak of a step of `stage`, pretrain or sft, by term; `rows` of model.context tokens are a micro-batch."""
    shape, vocab_size = config.model, config.tokenizer.vocab_size
    weights = FP32 * sum(parameters(shape, vocab_size).values())
    at_once = side_by_side(shape, device, accumulation)
    kept = activations(
        shape,
        vocab_size,
        rows=rows,
        length=shape.context,
        device=device,
        precision=precision,
        recompute=recompute,
        stage=stage,
    )
    targets = targets_of(rows * shape.context, stage)
    return {
        "weights": weights,
        "gradients": gradient_sets(accumulation, at_once) * weights,
        "optimizer": optimizer_bytes(shape, vocab_size, config.optim),
        "activations": at_once * sum(kept.values()),
        "logits": at_once * logits_bytes(targets, vocab_size, shape.d_model, precision=precision),
    }


def low_bytes(precision: str) -> int:
    """Of a number that Linear and attention read and write under autocast."""
    return FP32 if precision == "fp32" else 2


def logits_bytes(targets: int, vocab_size: int, d_model: int, *, precision: str) -> int:
    """What `losses.linear_cross_entropy` holds for a moment: a piece's logits, log-probabilities and their gradient, and in 16
    bits the embedding and a piece of its gradient."""
    low, rows = low_bytes(precision), max(cross_entropy.ROWS_AT_ONCE, cross_entropy.LOGITS_AT_ONCE // vocab_size)
    piece = min(rows, targets) * vocab_size
    return 2 * FP32 * piece if low == FP32 else (FP32 + 2 * low) * piece + 2 * low * vocab_size * d_model


def targets_of(tokens: int, stage: str = "sft") -> int:
    """Positions that the vocabulary is projected to."""
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
) -> dict[str, int]:
    """What autograd keeps of one forward pass over rows of `length` tokens, term -> bytes.

    With `recompute` (gradient checkpointing, Chen et al., arXiv 1604.06174) the blocks' inputs and what one block keeps.
    `packed`: rows with a mask and `trainer.summed_loss`; else completions in fp32 as `preference.token_log_probs` has them.
    """
    n, width, layers = rows * length, shape.d_model, shape.n_layers
    targets = targets_of(n, stage)
    low = low_bytes(precision)
    llama, on_cuda, dropout = shape.arch == "llama", device.type == "cuda", shape.dropout > 0
    norm = FP32 * width * (1 if on_cuda or not llama else 2)  # per token its input; RMSNorm on a CPU also input / rms
    # Under autocast every Linear makes a copy of its own of what it reads, in fp32 they share it.
    before, behind = (1, 1) if low == FP32 or not llama else (3, 2)  # q, k, v; gate, up
    dropped = width * (1 if on_cuda else low) if dropout else 0  # which values stayed: a byte on CUDA

    def block(after: int) -> dict[str, int]:
        """Of a block that computes so many positions behind its attention: all, or in the last one those wanted."""
        return {
            "norms": norm * (n + after) + (2 * norm * n if shape.qk_norm and llama else 0),
            "Linear's inputs": low * width * (before * n + behind * after),
            "attention": _attention(shape, rows, length, after, device=device, low=low, packed=packed),
            "MLP": (4 if llama else 2) * low * after * shape.d_ff,  # llama: gate, silu(gate), up, their product
            "dropout": 2 * dropped * after,
            "weights in 16 bits": low * block_matrices(shape) // layers if low < FP32 else 0,
        }

    inner, last = block(n), block(targets)
    once = inner if layers > 1 else last  # what is computed again, one block at a time
    terms = {k: once[k] if recompute else (layers - 1) * inner[k] + last[k] for k in inner}
    ends = {
        "norms": norm * targets,
        "dropout": dropped and n * width * (1 if on_cuda else FP32),
        # `losses.linear_cross_entropy` keeps the gradients of what it reads, cross_entropy of whole logits the log-probabilities
        "loss": FP32 * (targets + vocab_size) * width if packed else FP32 * targets * (width + vocab_size),
    }
    terms |= {name: size + terms.get(name, 0) for name, size in ends.items()}
    return terms | ({"blocks' inputs": FP32 * n * width * layers} if recompute else {})


def _attention(
    shape: ModelConfig, rows: int, length: int, after: int, *, device: torch.device, low: int, packed: bool
) -> int:
    """Of one block: query, key, value, the output that the last Linear reads (of `after` positions), and what
    `model.attention` keeps for itself."""
    n, heads = rows * length, shape.n_heads
    written_out = device.type == "cpu" and low < FP32
    if written_out or (
        device.type != "cuda" and shape.dropout
    ):  # the lines in `attention`, torch's own of the same kind
        copies = 3 if shape.dropout else 1  # the weights; with dropout what stayed of them, and the product
        return low * ((3 * n + after) * shape.d_model + copies * heads * n * length)
    keys = shape.n_kv_heads * shape.d_model // heads
    fused = low * n * (2 * shape.d_model + 2 * keys) + FP32 * n * heads  # and the log-sum-exp of every row of weights
    wanted = low * after * shape.d_model if after < n else 0  # picked from the output, which is kept too
    return fused + wanted + (low * n * length if packed else 0)  # the mask, as numbers


def device_bytes(device: torch.device) -> int:
    """The device's memory, or the computer's where the device has none of its own."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
