"""`--dry-run`: what a stage would cost. Run: minitron sft RECIPE --dry-run (or pretrain, reject, kto).

Parameters are counted on torch's meta device, memory is computed (`memory`), time is measured (`timing`). Needs no data; if there are
data, lengths are taken from them.
"""

from dataclasses import replace

import torch

from minitron.core import parallel
from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.plan import memory, timing
from minitron.plan.timing import METHOD, Aligning, Lengths, duration
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds


def show(config: Config, stage: str) -> None:
    """Prints what `stage` needs on this machine: parameters, tokens, memory and time."""
    if stage == "reject":
        _show_reject(config)
        return
    device = pick_device(config.device)
    config = replace(config, tokenizer=replace(config.tokenizer, vocab_size=kinds.expected_size(config)))
    _say_parameters(config)
    if stage == "kto":
        _show_kto(config, device)
        return
    if stage == "sft" and config.sft.lora_rank:
        trained, _ = memory.low_rank_bytes(config.model, config.tokenizer.vocab_size, config.sft)
        say(f"LoRA           {trained // memory.FP32:,} parameters are trained: changes of rank {config.sft.lora_rank}")
    settings, context = getattr(config, stage), config.model.context
    tokens = settings.batch_rows * settings.accumulation * context
    say(
        f"tokens         {tokens:,} per step ({settings.batch_rows} rows of {context} x {settings.accumulation}), "
        f"{tokens * settings.steps:,} in {settings.steps:,} steps"
    )
    precision = memory.expected_precision(settings.optim, device)
    needs = memory.training(config, stage, device=device, precision=precision)
    if not _say_memory(needs, device, hint="lower batch_rows and raise accumulation, or set recompute = true"):
        return
    speed = timing.measure(config, stage, device)
    validations, rows = -(-settings.steps // settings.eval_every_steps), timing.valid_rows(config, stage)
    step, validation = speed.step(settings.accumulation), rows * speed.row * timing.FORWARD_SHARE
    _say_time(
        {f"{settings.steps:,} steps": settings.steps * step, f"{validations} validations": validations * validation},
        f"{device}, {speed.chosen.precision.name}, {speed.round / speed.at_once:.2f} s a micro-batch, measured",
    )


def _say_parameters(config: Config) -> None:
    parts = memory.parameters(config.model, config.tokenizer.vocab_size)
    positions = parts.pop("positions")
    say(
        f"parameters     {sum(parts.values()) / 1e6:.2f}M: "
        + ", ".join(f"{part} {count / 1e6:.2f}M" for part, count in parts.items())
    )
    if positions:
        say(f"               and {positions / 1e6:.2f}M learned positions, which nanoGPT does not count")


def _say_memory(needs: dict[str, int], device: torch.device, *, hint: str) -> bool:
    """Prints the memory needed. Returns whether the device has it; True if that is unknown."""
    need, there = sum(needs.values()), memory.device_bytes(device)
    shown = ", ".join(f"{term} {size / 1e9:.2f}" for term, size in needs.items())
    say(f"memory         about {need / 1e9:.2f} GB: {shown}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "this computer"
    if there and need > there:
        warn(f"{name} has {there / 1e9:.1f} GB: {hint}")
        return False
    if there:
        say(f"               {name} has {there / 1e9:.1f} GB")
    return True


def _say_time(parts: dict[str, float], how: str) -> None:
    shown = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items())
    say(f"time           about {duration(sum(parts.values()))}: {shown} ({how})")


def _show_reject(config: Config) -> None:
    device, found = pick_device(config.device), timing.reject_answers(config)
    count, most = sum(n for n, _ in found.values()), sum(n * limit for n, limit in found.values())
    shown = ", ".join(f"{name} {n:,} of at most {limit} tokens" for name, (n, limit) in found.items())
    say(f"answers        {count:,}: {shown}" if found else "answers        none: only recorded labels are read")
    say(f"tokens         {most:,} at most")
    weights = memory.FP32 * sum(memory.parameters(config.model, config.tokenizer.vocab_size).values())
    rows = config.reject.batch_rows * (parallel.cores() if device.type == "cpu" else 1)
    state = memory.state_bytes(config.model, rows=rows, slots=config.model.context)
    _say_memory({"weights": weights, "KV cache": state}, device, hint="lower reject.batch_rows")
    lengths = Lengths.of(config)
    typical, longest = Aligning(config, device, lengths).reject()
    say(
        f"time           {duration(typical)} with answers {lengths.where}, {duration(longest)} if all are as long as they may "
        f"be ({device}, measured)"
    )


def _show_kto(config: Config, device: torch.device) -> None:
    settings, lengths = config.kto, Lengths.of(config)
    completions, looks = timing.kto_completions(config), timing.kto_looks(config)
    say(
        f"tokens         about {settings.batch_rows * lengths.dialogue:,.0f} per step ({settings.batch_rows} completions "
        f"{lengths.where}), twice, as every prompt also meets another's completion; {settings.steps:,} steps"
    )
    say(
        f"looks          {looks}, each {METHOD.on_policy_prompts} free answers, {METHOD.probes_asked} probes, "
        f"{METHOD.held_out_rows} held-out rows; at the end {1 + len(METHOD.blends)} models' answers to "
        f"{config.eval.prompts} prompts in {1 + len(config.reject.presets)} ways"
    )
    needs = memory.kto(config, device=device, tokens=lengths.dialogue)
    if not _say_memory(needs, device, hint="lower model.context or set kto.lora_rank"):
        return
    parts, expected = Aligning(config, device, lengths).kto(), "" if config.layout.pairs.exists() else " expected"
    _say_time(parts, f"{device}, fp32, measured; {completions:,} completions{expected}")
