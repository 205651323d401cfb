"""KTO on the model's own failures, with a frozen reference. Run: minitron kto recipes/demo.toml.

Reads reject/pairs.parquet, data/valid.parquet and sft/best (policy at the start, and reference); writes
kto/checkpoints, kto/best (the last checkpoint that passed the guards, the SFT model itself if none did) and
kto/report.json. Knows nothing about where the pairs come from.
"""

import json
import math
from functools import partial

import pyarrow.parquet as pq
import torch
from torch import Tensor

from minitron import chatml, checkpoint, failures, losses
from minitron.config import Config, KtoConfig
from minitron.console import progress, say, warn
from minitron.errors import MinitronError
from minitron.files import atomic_write
from minitron.metrics import MetricsLog
from minitron.model import pick_device
from minitron.optim import make_optimizer
from minitron.packing import PackedRows
from minitron.preference import Example, Scored, mismatch, scored, token_log_probs
from minitron.tokenizer import Tokenizer
from minitron.trainer import Interrupt, accumulate, mean_loss, rows_of_step

MICRO_ROWS = 8  # completions computed at once in a step


def read_pairs(config: Config, tokenizer: Tokenizer) -> tuple[list[Example], list[int]]:
    """pairs.parquet as examples, and for each a number that stands for its prompt.

    A rejected runaway never ended, so its end marker is not part of what is pushed down; of a rejected loop, with
    `kto.mask_loops`, only what comes after its first round is.
    """
    path = config.stage_dir("reject") / "pairs.parquet"
    try:
        rows = pq.read_table(path).to_pylist()
    except FileNotFoundError:
        raise MinitronError(f"there are no pairs in {path.parent}", hint="run: minitron reject RECIPE") from None
    examples, prompts, known = [], [], {}
    for row in rows:
        prompt = chatml.encode_prompt(row["prompt"], tokenizer)
        completion, skip = tokenizer.encode(row["completion"]), 0
        if row["label"] or "runaway" not in row["failure"]:
            completion.append(tokenizer.end)
        if config.kto.mask_loops and not row["label"] and (repeat := failures.first_repeat(row["completion"])):
            skip = min(tokenizer.tokens_within(completion, repeat), len(completion) - 1)
        ids = (prompt + completion)[: config.model.context + 1]
        if len(prompt) + skip < len(ids):
            examples.append(Example(ids, len(prompt), row["label"], len(prompt) + skip))
            prompts.append(known.setdefault(tuple(prompt), len(known)))
    return examples, prompts


class Batches:
    """Which examples each step reads: of chosen and rejected as many as their numbers say, each in an order of its own.

    Where there are as many of both, in the same order (pairs), a step reads both completions of a prompt.
    """

    def __init__(self, labels: list[bool], *, rows: int, seed: int):
        self.classes = [[i for i, label in enumerate(labels) if label is wanted] for wanted in (True, False)]
        chosen = round(rows * len(self.classes[0]) / len(labels))
        self.per_step = (min(max(chosen, 1), rows - 1), rows - min(max(chosen, 1), rows - 1))
        self.seed = seed

    def step(self, step: int) -> list[int]:
        numbers = []
        for members, count in zip(self.classes, self.per_step, strict=True):
            numbers += [members[i] for i in rows_of_step(step, rows=len(members), per_step=count, seed=self.seed)]
        return numbers


def run(config: Config) -> None:
    settings, folder = config.kto, config.stage_dir("kto")
    tokenizer = Tokenizer(config.stage_dir("tokenizer") / "tokenizer.model")
    device = pick_device(config.device)
    sft = checkpoint.finished(config.stage_dir("sft"), "sft")
    model, _ = checkpoint.load_model(sft, device=device)
    valid = PackedRows(config.stage_dir("sft") / "packed-valid")
    examples, prompts = read_pairs(config, tokenizer)
    chosen = sum(e.label for e in examples)
    rejected = len(examples) - chosen
    say(f"kto: {chosen} chosen and {rejected} rejected completions")

    def held_out() -> float:
        return mean_loss(model, valid, limit=settings.eval_rows, batch_rows=config.sft.batch_rows)

    base_loss = held_out()
    if len(examples) < 2 * settings.batch_rows or not (chosen and rejected):
        warn(f"kto needs at least {2 * settings.batch_rows} completions, of both kinds; the SFT model stays as it is")
        checkpoint.save(folder, model, step=0, info={"stage": "kto", "valid_loss": base_loss})
        checkpoint.point(folder, "best", "step-000000")
        finish(config, outcome="no change", why="too few pairs", step=0, base_loss=base_loss, loss=base_loss, z=0.0)
        return

    pairs, mixed = Scored(model, examples), Scored(model, mismatch(examples, prompts, config.model.context))
    batches = Batches(pairs.labels.tolist(), rows=settings.batch_rows, seed=config.seed)
    weight_chosen, weight_rejected = weights_of(settings, chosen, rejected)
    say(f"kto: weight {weight_chosen:.2f} on chosen, {weight_rejected:.2f} on rejected")
    mean, clamp = settings.ratio == "mean", tuple(settings.token_clamp)
    optimizer = make_optimizer(model, config.optim)
    start, z, matched, passed = 0, 0.0, 0.0, 0
    newest = checkpoint.newest_whole(folder)
    if newest:
        checkpoint.load_weights(model, newest)
        state = checkpoint.load_trainer(newest)
        optimizer.load_state_dict(state["optimizer"])
        start, z, matched, passed = state["step"], state["z"], state["matched"], state["passed"]
        checkpoint.point(folder, "best", f"step-{passed:06d}")
        say(f"going on from {newest} (step {start} of {settings.steps})")

    def save(step: int, valid_loss: float | None) -> None:
        state = {"optimizer": optimizer.state_dict(), "step": step, "z": z, "matched": matched, "passed": passed}
        checkpoint.save(folder, model, step=step, info={"stage": "kto", "valid_loss": valid_loss}, trainer=state)

    if not newest:
        save(0, base_loss)
        checkpoint.point(folder, "best", "step-000000")

    log = MetricsLog(folder / "metrics.jsonl", from_step=start)
    why = ""

    # No dropout: at the first step policy and reference agree exactly.
    with Interrupt() as interrupt, progress("kto", settings.steps, done=start) as bar:
        for step in range(start, settings.steps):
            numbers = batches.step(step)
            numbers.sort(key=lambda n: len(examples[n].ids))  # micro-batches of like lengths waste little on padding
            good = pairs.labels[numbers]
            # z comes of the whole step, so that it does not depend on how the step is divided
            mixed_now = scored(model, mixed.pick(numbers), at_once=MICRO_ROWS)
            raw = mixed.ratios(mixed_now, numbers, mean=mean).mean().item()
            z = raw if step == 0 or settings.z == "batch" else settings.z_decay * z + (1 - settings.z_decay) * raw
            z_ref = matched if settings.z == "matched" else z
            chosen_tokens = pairs.lengths[numbers][good].sum()

            def part(some: list[int], count: int = len(numbers), z: float = z_ref, tokens: Tensor = chosen_tokens):
                labels = pairs.labels[some]
                log_probs = token_log_probs(model, pairs.pick(some))
                ratios = pairs.ratios(log_probs, some, mean=mean, clamp=clamp)
                loss = preference_loss(ratios, labels=labels, lengths=pairs.lengths[some], z=z, settings=settings)
                loss = (torch.where(labels, weight_chosen, weight_rejected) * loss).sum() / count
                # RPO's term (arXiv 2404.19733): plain cross-entropy per token on the chosen completions
                nll = -log_probs[labels[pairs.owners(some)]].sum() / tokens
                real = pairs.ratios(log_probs.detach(), some, mean=mean)
                return loss + settings.nll_weight * nll, (real, nll.item())

            micro = [numbers[i : i + MICRO_ROWS] for i in range(0, len(numbers), MICRO_ROWS)]
            results = accumulate(model, [partial(part, some) for some in micro])
            ratios = torch.cat([ratios for _, (ratios, _) in results])
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.grad_clip or math.inf)
            optimizer.step(settings.lr * min(1.0, (step + 1) / max(1, settings.warmup_steps)))
            means = ratios[good].mean().item(), ratios[~good].mean().item()
            matched = settings.z_decay * matched + (1 - settings.z_decay) * sum(means) / 2
            row = {
                "step": step + 1,
                "loss": sum(value for value, _ in results),
                "nll": sum(nll for _, (_, nll) in results),
                "raw_z": z,
                "batch_z": raw,
                "chosen_log_ratio": means[0],
                "rejected_log_ratio": means[1],
                "grad_norm": norm.item(),
            }
            bar.update(step + 1, f"loss {row['loss']:.3f}  raw z {z:+.3f}")
            last = step + 1 == settings.steps
            if last or (step + 1) % settings.eval_every_steps == 0:
                row["valid_loss"] = held_out()
                why = breach(z, row["valid_loss"], base_loss=base_loss, config=settings)
                if not why:
                    passed = step + 1
                    save(step + 1, row["valid_loss"])
                    checkpoint.point(folder, "best", f"step-{passed:06d}")
                    checkpoint.prune(folder, keep=2)
            log.write(row)
            if why:
                break
            if interrupt.wanted and not last:
                save(step + 1, None)
                raise KeyboardInterrupt
    log.close()
    if why:
        warn(f"kto stopped at step {step + 1}: {why}")
    model, about = checkpoint.load_model(folder / "checkpoints" / f"step-{passed:06d}", device=device)
    outcome = "stopped" if why else "finished"
    finish(config, outcome=outcome, why=why, step=passed, base_loss=base_loss, loss=about["valid_loss"], z=z)


def weights_of(settings: KtoConfig, chosen: int, rejected: int) -> tuple[float, float]:
    """lambda_d and lambda_u: the recipe's, or what the numbers of both classes ask for."""
    by_count = losses.class_weights(chosen, rejected)
    return settings.weight_chosen or by_count[0], settings.weight_rejected or by_count[1]


def preference_loss(ratios: Tensor, *, labels: Tensor, lengths: Tensor, z: float, settings: KtoConfig) -> Tensor:
    """The recipe's loss of each completion, (B,), unweighted. `ratios` are in the unit of `kto.ratio`."""
    if settings.rejected_floor:
        floor = -settings.rejected_floor * (torch.ones_like(ratios) if settings.ratio == "mean" else lengths)
        ratios = torch.where(labels, ratios, torch.maximum(ratios, floor))
    if settings.loss == "apo_zero":
        return losses.apo_zero(ratios, labels=labels, beta=settings.beta)
    return losses.kto(ratios, labels=labels, z=z, beta=settings.beta)


def breach(z: float, valid_loss: float, *, base_loss: float, config: KtoConfig) -> str:
    """Why this state must not ship, or nothing.

    A raw z below zero means that likelihood falls on everything; the loss cannot see it, because it clamps z at 0.
    """
    if not (math.isfinite(z) and math.isfinite(valid_loss)):
        return "the loss is no longer a number"
    per_token = "" if config.ratio == "mean" else " (summed over a completion)"
    if z < -config.max_z_drop:
        return f"raw z fell to {z:+.3f}{per_token}, below -{config.max_z_drop}"
    if valid_loss > base_loss * (1 + config.max_loss_rise):
        return f"held-out loss rose from {base_loss:.4f} to {valid_loss:.4f}, over {config.max_loss_rise:.1%}"
    return ""


def finish(config: Config, *, outcome: str, why: str, step: int, base_loss: float, loss: float, z: float) -> None:
    """Says and records how it ended."""
    report = {
        "outcome": outcome,
        "why": why,
        "shipped_step": step,
        "held_out_loss_before": base_loss,
        "held_out_loss": loss,
        "raw_z": z,
    }
    atomic_write(config.stage_dir("kto") / "report.json", json.dumps(report, indent=1))
    say(f"kto: {outcome}; step {step} ships; held-out loss {base_loss:.6f} -> {loss:.6f}, raw z {z:+.6f}")
