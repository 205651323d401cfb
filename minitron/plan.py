"""`--dry-run`: what a training stage would cost, without data. Run: minitron sft RECIPE --dry-run.

Parameters are counted on torch's meta device, time is measured on two micro-batches of random ids, memory is computed.
"""

import time

import torch

from minitron import tokenizer
from minitron.config import Config
from minitron.console import say
from minitron.model import LanguageModel, pick_device
from minitron.optim import autocast, choose_precision
from minitron.packing import collate
from minitron.trainer import summed_loss

TARGET_SHARE = 0.58  # of tokens under loss: the reference's dialogues have 57.7%
ADAMW_BYTES = 16  # per parameter: weight, gradient, two moments, all fp32


def show(config: Config, stage: str) -> None:
    """Says parameters, tokens per step, memory and estimated time of `stage` on this machine."""
    settings, shape = getattr(config, stage), config.model
    config.tokenizer.vocab_size = tokenizer.expected_size(config)
    with torch.device("meta"):
        model = LanguageModel(shape, config.tokenizer.vocab_size)
    params, all_params = model.count_params(), sum(p.numel() for p in model.parameters())
    embedding = model.embedding.numel()
    positions = all_params - params
    say(
        f"parameters     {params / 1e6:.2f}M: embedding {embedding / 1e6:.2f}M, blocks {(params - embedding) / 1e6:.2f}M"
    )
    if positions:
        say(f"               and {positions / 1e6:.2f}M learned positions, which nanoGPT does not count")
    rows = settings.batch_rows
    accumulation = getattr(settings, "accumulation", 1)
    tokens = rows * accumulation * shape.context
    say(
        f"tokens         {tokens:,} per step ({rows} rows of {shape.context} x {accumulation}), {tokens * settings.steps:,} in all"
    )
    device = pick_device(config.device)
    weights = all_params * ADAMW_BYTES
    active = activation_bytes(config, rows)
    say(
        f"memory         about {(weights + active) / 1e9:.2f} GB: weights and optimizer {weights / 1e9:.2f}, activations {active / 1e9:.2f}"
    )
    seconds, precision = micro_batch_seconds(config, rows, device)
    passes = 2 if stage == "kto" else 1  # chosen and rejected, and the mismatched pairs
    total = seconds * passes * accumulation * settings.steps
    say(f"time           about {duration(total)} on {device} in {precision} ({seconds:.2f} s a micro-batch, measured)")


def activation_bytes(config: Config, rows: int) -> int:
    """What backward needs at its peak, per micro-batch in fp32: per layer about 14 d + 4 ff values a token and the
    attention's rows (Korthikanti et al., arXiv 2205.05198, section 4.1, without dropout), and the logits three times."""
    shape = config.model
    tokens = rows * shape.context
    per_token = shape.n_layers * (14 * shape.d_model + 4 * shape.d_ff + 2 * shape.n_heads * shape.context)
    return 4 * tokens * int(per_token + 3 * TARGET_SHARE * config.tokenizer.vocab_size)


def micro_batch_seconds(config: Config, rows: int, device: torch.device) -> tuple[float, str]:
    """Seconds of one forward and backward pass on random ids, and the precision that a run would choose."""
    model = LanguageModel(config.model, config.tokenizer.vocab_size).to(device)
    generator = torch.Generator().manual_seed(0)
    shape = (rows, config.model.context + 1)
    ids = torch.randint(config.tokenizer.vocab_size, shape, generator=generator).numpy()
    mask = (torch.rand(shape, generator=generator) < TARGET_SHARE).numpy()
    batch = collate([[pair] for pair in zip(ids, mask, strict=True)], context=config.model.context).to(device)

    def trial(precision: str) -> None:
        with autocast(device, precision):
            loss = summed_loss(model, batch)
        loss.backward()
        model.zero_grad(set_to_none=True)

    precision, _ = choose_precision(config.optim.precision, device, trial)
    trial(precision)
    start = time.perf_counter()
    trial(precision)
    return time.perf_counter() - start, precision


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
