"""KTO on the model's own failures, with a frozen reference. Run: minitron kto recipes/demo.toml.

Reads reject/pairs.parquet, data/valid.parquet and sft/best (policy at the start, and reference); writes
kto/checkpoints, kto/best (the last checkpoint that passed the guards, the SFT model itself if none did) and
kto/report.json. Knows nothing about where the pairs come from.
"""

import itertools
import json
import math
from dataclasses import dataclass
from functools import partial

import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.nn import functional as F

from minitron import chatml, checkpoint, parallel
from minitron.config import Config, KtoConfig
from minitron.console import progress, say, warn
from minitron.errors import MinitronError
from minitron.files import atomic_write
from minitron.metrics import MetricsLog
from minitron.model import LanguageModel, pick_device
from minitron.optim import make_optimizer
from minitron.packing import PackedRows
from minitron.tokenizer import Tokenizer
from minitron.trainer import Interrupt, accumulate, mean_loss, rows_of_step

REFERENCE_ROWS = 32  # completions scored at once by the frozen model
MICRO_ROWS = 8  # completions computed at once in a step


@dataclass
class Example:
    """A prompt with a completion; `start` is where the completion begins."""

    ids: list[int]
    start: int
    label: bool

    @property
    def length(self) -> int:
        """Tokens of the completion."""
        return len(self.ids) - self.start


def kto_loss(log_ratios: Tensor, *, labels: Tensor, z: float, config: KtoConfig) -> Tensor:
    """Kahneman-Tversky optimisation (Ethayarajh et al., arXiv 2402.01306, eq. 8), one value per example, (B,) -> (B,).

    lambda_d * (1 - sigmoid(beta * (r - z0))) for chosen, lambda_u * (1 - sigmoid(beta * (z0 - r))) for rejected, with
    z0 = max(0, z), detached. At policy = reference (all r and z 0) every value is half its weight.
    """
    z0 = max(0.0, z)
    chosen = config.weight_chosen * (1 - torch.sigmoid(config.beta * (log_ratios - z0)))
    rejected = config.weight_rejected * (1 - torch.sigmoid(config.beta * (z0 - log_ratios)))
    return torch.where(labels, chosen, rejected)


def completion_log_probs(model: LanguageModel, examples: list[Example]) -> Tensor:
    """log π(completion | prompt) of each example, summed over its tokens, (B,)."""
    width = max(len(e.ids) for e in examples) - 1
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    owner, select, targets = [], [], []
    for row, example in enumerate(examples):
        n = len(example.ids) - 1
        ids[row, :n] = torch.tensor(example.ids[:-1])  # padding on the right: no earlier position sees it
        select += range(row * width + example.start - 1, row * width + n)
        targets += example.ids[example.start :]
        owner += [row] * example.length
    device = model.device
    hidden = model.hidden(ids.to(device)).flatten(0, 1)[torch.tensor(select, device=device)]
    log_probs = -F.cross_entropy(model.head(hidden).float(), torch.tensor(targets, device=device), reduction="none")
    return torch.zeros(len(examples), device=device).index_add(0, torch.tensor(owner, device=device), log_probs)


def scored(model: LanguageModel, examples: list[Example], *, at_once: int = REFERENCE_ROWS) -> Tensor:
    """`completion_log_probs` of any number of examples, without gradients, (N,)."""

    def part(start: int) -> Tensor:
        with torch.no_grad():
            return completion_log_probs(model, examples[start : start + at_once])

    return torch.cat(parallel.each(part, range(0, len(examples), at_once), device=model.device))


class Scored:
    """Examples with the frozen reference's log-probabilities, computed once: they never change, so any order is legal."""

    def __init__(self, model: LanguageModel, examples: list[Example]):
        self.examples = examples
        self.reference = scored(model, examples)  # (N,)
        self.lengths = torch.tensor([e.length for e in examples], device=model.device)  # (N,) tokens
        self.labels = torch.tensor([e.label for e in examples], device=model.device)  # (N,) bool

    def pick(self, numbers: list[int]) -> list[Example]:
        return [self.examples[i] for i in numbers]

    def ratios(self, log_probs: Tensor, numbers: list[int], *, unit: str) -> Tensor:
        """log π - log π_ref of these examples, (len(numbers),): summed, or per token where `unit` is `mean`."""
        ratios = log_probs - self.reference[numbers]
        return ratios / self.lengths[numbers] if unit == "mean" else ratios


def read_pairs(config: Config, tokenizer: Tokenizer) -> list[Example]:
    """pairs.parquet as ids. A rejected runaway never ended, so its end marker is not part of what is pushed down."""
    path = config.stage_dir("reject") / "pairs.parquet"
    try:
        rows = pq.read_table(path).to_pylist()
    except FileNotFoundError:
        raise MinitronError(f"there are no pairs in {path.parent}", hint="run: minitron reject RECIPE") from None
    examples = []
    for chosen, rejected in itertools.zip_longest(rows[::2], rows[1::2], fillvalue={}):
        if not (chosen["label"] and rejected.get("label") is False and chosen["prompt"] == rejected["prompt"]):
            raise MinitronError(
                f"{path} does not hold a chosen and a rejected completion of each prompt in turn",
                hint="make it anew: minitron reject RECIPE --force",
            )
        prompt = chatml.encode_prompt(chosen["prompt"], tokenizer)
        for row in (chosen, rejected):
            completion = tokenizer.encode(row["completion"])
            if row["label"] or "runaway" not in row["failure"]:
                completion.append(tokenizer.end)
            ids = (prompt + completion)[: config.model.context + 1]
            examples.append(Example(ids, len(prompt), row["label"]))
    return examples


def mismatch(examples: list[Example], context: int) -> list[Example]:
    """Each prompt with another prompt's completion, by a fixed derangement, so that the reference can be cached.

    Rows come as chosen, rejected of one prompt: two further on is another prompt (z0 of the paper, section 4.1).
    """
    mixed = []
    for i, example in enumerate(examples):
        other = examples[(i + 2) % len(examples)]
        ids = (example.ids[: example.start] + other.ids[other.start :])[: context + 1]
        mixed.append(Example(ids, example.start, example.label))
    return mixed


def run(config: Config) -> None:
    settings, folder = config.kto, config.stage_dir("kto")
    tokenizer = Tokenizer(config.stage_dir("tokenizer") / "tokenizer.model")
    device = pick_device(config.device)
    sft = checkpoint.finished(config.stage_dir("sft"), "sft")
    model, _ = checkpoint.load_model(sft, device=device)
    valid = PackedRows(config.stage_dir("sft") / "packed-valid")
    examples = read_pairs(config, tokenizer)
    chosen = sum(e.label for e in examples)
    say(f"kto: {chosen} chosen and {len(examples) - chosen} rejected completions")

    def held_out() -> float:
        return mean_loss(model, valid, limit=settings.eval_rows, batch_rows=config.sft.batch_rows)

    base_loss = held_out()
    if len(examples) < 2 * settings.batch_rows:
        warn(f"kto needs at least {2 * settings.batch_rows} completions; the SFT model stays as it is")
        checkpoint.save(folder, model, step=0, info={"stage": "kto", "valid_loss": base_loss})
        checkpoint.point(folder, "best", "step-000000")
        finish(config, outcome="no change", why="too few pairs", step=0, base_loss=base_loss, loss=base_loss, z=0.0)
        return

    pairs, mixed = Scored(model, examples), Scored(model, mismatch(examples, config.model.context))
    optimizer = make_optimizer(model, config.optim)
    start, z, passed = 0, 0.0, 0
    newest = checkpoint.newest_whole(folder)
    if newest:
        checkpoint.load_weights(model, newest)
        state = checkpoint.load_trainer(newest)
        optimizer.load_state_dict(state["optimizer"])
        start, z, passed = state["step"], state["z"], state["passed"]
        checkpoint.point(folder, "best", f"step-{passed:06d}")
        say(f"going on from {newest} (step {start} of {settings.steps})")

    def save(step: int, valid_loss: float | None) -> None:
        state = {"optimizer": optimizer.state_dict(), "step": step, "z": z, "passed": passed}
        checkpoint.save(folder, model, step=step, info={"stage": "kto", "valid_loss": valid_loss}, trainer=state)

    if not newest:
        save(0, base_loss)
        checkpoint.point(folder, "best", "step-000000")

    log = MetricsLog(folder / "metrics.jsonl", from_step=start)
    why = ""

    # No dropout: at the first step policy and reference agree exactly.
    with Interrupt() as interrupt, progress("kto", settings.steps, done=start) as bar:
        for step in range(start, settings.steps):
            # pairs stay together: row 2i is a chosen completion, row 2i + 1 the rejected one of the same prompt
            both = rows_of_step(step, rows=len(examples) // 2, per_step=settings.batch_rows // 2, seed=config.seed)
            numbers = [n for pair in both for n in (2 * int(pair), 2 * int(pair) + 1)]
            numbers.sort(key=lambda n: len(examples[n].ids))  # micro-batches of like lengths waste little on padding
            good = pairs.labels[numbers]
            mixed_now = scored(model, mixed.pick(numbers), at_once=MICRO_ROWS)
            raw = mixed.ratios(mixed_now, numbers, unit=settings.ratio).mean().item()
            z = raw if step == 0 else settings.z_decay * z + (1 - settings.z_decay) * raw
            chosen_tokens = pairs.lengths[numbers][good].sum()

            def part(some: list[int], count: int = len(numbers), z: float = z, tokens: Tensor = chosen_tokens):
                chosen = pairs.labels[some]
                log_probs = completion_log_probs(model, pairs.pick(some))
                ratios = pairs.ratios(log_probs, some, unit=settings.ratio)
                # RPO's term (arXiv 2404.19733): plain cross-entropy per token on the chosen completions
                nll = -log_probs[chosen].sum() / tokens
                loss = kto_loss(ratios, labels=chosen, z=z, config=settings).sum() / count
                return loss + settings.nll_weight * nll, (ratios.detach(), nll.item())

            micro = [numbers[i : i + MICRO_ROWS] for i in range(0, len(numbers), MICRO_ROWS)]
            results = accumulate(model, [partial(part, some) for some in micro])
            ratios = torch.cat([ratios for _, (ratios, _) in results])
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.grad_clip or math.inf)
            optimizer.step(settings.lr * min(1.0, (step + 1) / max(1, settings.warmup_steps)))
            row = {
                "step": step + 1,
                "loss": sum(value for value, _ in results),
                "nll": sum(nll for _, (_, nll) in results),
                "raw_z": z,
                "chosen_log_ratio": ratios[good].mean().item(),
                "rejected_log_ratio": ratios[~good].mean().item(),
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
