"""KTO on the model's own failures, with a frozen reference. Run: minitron kto recipes/demo.toml.

Reads reject/pairs.parquet, data/ and sft/best (policy at the start, and reference); writes kto/checkpoints, kto/best (the
blend that ships, the SFT model itself where none may: `choice`) and kto/report.json. Knows nothing about where the pairs
come from.
"""

import copy
import json
import math
import statistics
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from minitron.align import leakage, losses, selection
from minitron.align.guards import Signals, check
from minitron.align.preference import Batches, Example, Scored, deal, mismatch, scored, token_log_probs
from minitron.core.console import progress, say, warn
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.core.interrupt import Interrupt
from minitron.data.packing import PackedRows, is_whole
from minitron.evaluate import failures
from minitron.evaluate.examiner import Examiner
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config, KtoConfig, OptimConfig
from minitron.tokenizer import chat_template, kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint
from minitron.train.loop import accumulate, mean_loss
from minitron.train.metrics import MetricsLog
from minitron.train.optimizer import make_optimizer

MICRO_ROWS = 8  # completions computed at once in a step
FIRST_STEPS = 5  # whose gradients later ones are compared with
AUDIT_ROWS = 20  # of each class, for the audit to say something
TOO_GOOD = 0.99  # accuracy in the first tenth of the steps


def read_pairs(config: Config, tokenizer: Tokenizer) -> tuple[list[Example], list[int]]:
    """pairs.parquet as examples, and for each a number that stands for its prompt.

    Of a rejected completion not all is pushed down. A runaway never ended, so its end marker is not; of a loop, with
    `kto.mask_loops`, only what comes after its first round is; and with `kto.cut_rejected` no more tokens are than the
    chosen completion of that prompt has: a long failure is decided where it begins, and what follows only takes time.
    """
    path = config.layout.pairs
    try:
        rows = pq.read_table(path, columns=["prompt", "completion", "label", "failure"]).to_pylist()
    except FileNotFoundError:
        raise MinitronError(f"there are no pairs in {path.parent}", hint="run: minitron reject RECIPE") from None
    except pa.ArrowException as error:
        raise MinitronError(f"{path} holds no pairs", hint="run: minitron reject RECIPE --force") from error
    known: dict[tuple[int, ...], int] = {}
    read = []  # (row, prompt, its number, completion)
    for row in rows:
        prompt, completion = chat_template.encode_prompt(row["prompt"], tokenizer), tokenizer.encode(row["completion"])
        if row["label"] or "runaway" not in row["failure"]:
            completion.append(tokenizer.end)
        read.append((row, prompt, known.setdefault(tuple(prompt), len(known)), completion))
    longest: dict[int, int] = {}  # chosen completion of each prompt, in tokens
    for row, _, number, completion in read:
        if row["label"]:
            longest[number] = max(longest.get(number, 0), len(completion))
    examples, prompts = [], []
    for row, prompt, number, completion in read:
        skip = 0
        if config.kto.mask_loops and not row["label"] and (repeat := failures.first_repeat(row["completion"])):
            skip = min(tokenizer.tokens_within(completion, repeat), len(completion) - 1)
        if config.kto.cut_rejected and not row["label"] and number in longest:
            completion = completion[: skip + longest[number]]
        ids = (prompt + completion)[: config.model.context + 1]
        if len(prompt) + skip < len(ids):
            examples.append(Example(ids, len(prompt), row["label"], len(prompt) + skip))
            prompts.append(number)
    if len(examples) < len(rows):
        say(f"kto: {len(rows) - len(examples)} completions left out: their prompts fill the context")
    return examples, prompts


def run(config: Config) -> None:
    tokenizer = kinds.load(config.layout.tokenizer)
    examples, prompts = read_pairs(config, tokenizer)
    told = look_for_giveaways(examples, tokenizer.end, seed=config.seed)
    run, fewest = Run(config, tokenizer), 2 * config.kto.batch_rows
    if len(examples) < fewest or len({e.label for e in examples}) < 2:
        warn(f"kto needs at least {fewest} completions, of both kinds; the SFT model stays as it is")
        finish(config, run, outcome="no change", why="too few pairs", told=told)
        return
    run.align(examples, prompts)
    finish(config, run, told=told)


@dataclass
class State:
    """What a checkpoint holds beside weights and optimizer."""

    step: int = 0
    z: float = 0.0  # running mean of the mismatched log-ratios, in the unit of `kto.ratio`
    drift: float = 0.0  # the same in nats per token: what the guards watch
    matched: float = 0.0  # running mean of (chosen + rejected) / 2
    passed: int = 0  # the last step that passed the guards
    breaches: int = 0
    lr_scale: float = 1.0
    first_norms: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)  # of the gradient, since the last check
    chosen: list[float] = field(default_factory=list)  # log-ratios of chosen in nats per token, since the last check
    accuracy: list[float] = field(default_factory=list)  # of the first tenth of the steps
    why: str = ""  # the last breach


class Run:
    """One alignment: a policy, its frozen reference, the pairs, and what is measured on the way."""

    def __init__(self, config: Config, tokenizer: Tokenizer):
        self.config, self.settings = config, config.kto
        self.folder = config.layout.stage("kto")
        best = checkpoint.finished(config.layout.stage("sft"), "sft")
        self.model, _ = checkpoint.load_model(best, device=pick_device(config.device))
        self.reference = copy.deepcopy(self.model).requires_grad_(False)
        packed = config.layout.packed("sft", "valid")
        if not is_whole(packed):
            raise MinitronError(
                f"there are no whole packed rows in {packed}", hint="delete it; run: minitron sft RECIPE"
            )
        self.valid = PackedRows(packed)
        self.examiner = Examiner(config, tokenizer, spare=True, title="kto")
        if self.settings.lora_rank:
            lora.attach(self.model, rank=self.settings.lora_rank, seed=config.seed)
        o = config.optim
        optim = OptimConfig(
            # low-rank factors are no matrices of a block for Muon
            name="adamw" if self.settings.lora_rank else o.name,
            weight_decay=o.weight_decay,
            beta1=o.beta1,
            beta2=o.beta2,
            eps=o.eps,
            grad_clip=o.grad_clip,
        )
        self.optimizer = make_optimizer(self.model, optim)
        self.state = State()
        self.early = max(1, self.settings.steps // 10)  # the steps in which accuracy should not be perfect

    def loss(self, model: LanguageModel) -> float:
        """Held-out loss, quickly."""
        return mean_loss(model, self.valid, limit=self.settings.eval_rows, batch_rows=self.config.sft.batch_rows)

    @cached_property
    def before(self) -> dict:
        """What the guards compare with: the SFT model, looked at as the policy will be."""
        return self.look(self.reference)

    def look(self, model: LanguageModel) -> dict:
        """Held-out loss, a free walk and probe accuracy of a model."""
        guards, found = self.settings.guards, {"loss": self.loss(model)}
        if guards.walk_prompts and self.examiner.prompts:
            found |= vars(self.examiner.walk(model, self.reference, count=guards.walk_prompts))
        if guards.probes_asked and self.examiner.questions:
            found["probes"] = self.examiner.probes(model, limit=guards.probes_asked)["accuracy"]
        return found

    def signals(self) -> tuple[Signals, float]:
        """The policy against the SFT model, and its held-out loss. What was gathered since the last look is used up."""
        now, before, state = self.look(self.model), self.before, self.state
        chosen, norm = statistics.fmean(state.chosen), statistics.median(state.norms)
        state.chosen, state.norms = [], []

        def change(name: str) -> float | None:
            return now[name] - before[name] if name in now else None

        return Signals(
            raw_z=state.drift,
            chosen=chosen,
            loss=now["loss"] / before["loss"] - 1 if before["loss"] else None,
            gradient=norm / max(statistics.median(state.first_norms), 1e-30),
            kl=now.get("kl"),
            entropy=now["entropy"] / max(now["reference_entropy"], 1e-9) if "entropy" in now else None,
            loops=change("loop"),
            endings=change("ended"),
            words=change("real_words"),
            probes=change("probes"),
        ), now["loss"]

    # ---- checkpoints

    def save(self, valid_loss: float | None) -> None:
        trainer = {"optimizer": self.optimizer.state_dict(), "state": vars(self.state), "lora": lora.state(self.model)}
        info = {"stage": "kto", "valid_loss": valid_loss}
        checkpoint.save(self.folder, self.model, step=self.state.step, info=info, trainer=trainer)

    def load(self, folder: Path) -> None:
        """Weights, optimizer and state of a checkpoint."""
        trainer = checkpoint.load_trainer(folder, state=State)
        if self.settings.lora_rank:
            self.model.load_state_dict(trainer["lora"], strict=False)
        else:
            checkpoint.load_weights(self.model, folder)
        checkpoint.load_optimizer(self.optimizer, trainer, folder)
        self.state = trainer["state"]

    def go_back(self, why: str) -> None:
        """The last good checkpoint again, with half the learning rate; the data goes on."""
        step, breaches, scale = self.state.step, self.state.breaches + 1, self.state.lr_scale / 2
        self.load(self.config.layout.checkpoint("kto", f"step-{self.state.passed:06d}"))
        self.state.step, self.state.breaches, self.state.lr_scale, self.state.why = step, breaches, scale, why
        self.save(None)

    # ---- training

    def align(self, examples: list[Example], prompts: list[int]) -> None:
        """All steps on these examples (`read_pairs`), or what is left of them."""
        chosen = sum(e.label for e in examples)
        weights = weights_of(self.settings, chosen, len(examples) - chosen)
        say(
            f"kto: {chosen} chosen and {len(examples) - chosen} rejected completions, "
            f"weights {weights[0]:.2f} and {weights[1]:.2f}"
        )
        pairs = Scored(self.reference, examples)
        mixed = Scored(self.reference, mismatch(examples, prompts, self.config.model.context))
        if newest := checkpoint.newest_whole(self.folder, state=State):
            self.load(newest)
            checkpoint.point(self.folder, "best", f"step-{self.state.passed:06d}")
            say(f"going on from {newest} (step {self.state.step} of {self.settings.steps})")
        else:
            self.save(self.before["loss"])
            checkpoint.point(self.folder, "best", "step-000000")
        self.train(pairs, mixed, weights)

    def train(self, pairs: Scored, mixed: Scored, weights: tuple[float, float]) -> None:
        """To the last step, or to the breach that ends it. Raises Stopped after saving."""
        settings, guards = self.settings, self.settings.guards
        batches = Batches(pairs.labels.tolist(), rows=settings.batch_rows, seed=self.config.seed)
        with (
            MetricsLog(self.config.layout.metrics("kto"), from_step=self.state.step) as log,
            Interrupt() as interrupt,
            progress("kto", settings.steps, done=self.state.step) as bar,
        ):
            while self.state.step < settings.steps and self.state.breaches <= guards.retries:
                row = self.step(batches.step(self.state.step), pairs, mixed, weights)
                bar.update(self.state.step, f"loss {row['loss']:.3f}  raw z {self.state.drift:+.3f}")
                last = self.state.step == settings.steps
                if self.state.step == self.early and statistics.fmean(self.state.accuracy) >= TOO_GOOD:
                    warn(
                        "kto: after a tenth of the steps chosen and rejected are told apart without an error; something "
                        "trivial may do that, see the shares said at the start"
                    )
                if last or self.state.step % settings.eval_every_steps == 0:
                    signals, row["valid_loss"] = self.signals()
                    row["guards"] = signals.readings()
                    self.judge(signals, row["valid_loss"])
                log.write(row)
                if interrupt.wanted and not last:
                    self.save(None)
                    interrupt.leave()

    def judge(self, signals: Signals, valid_loss: float) -> None:
        """Keeps this state, or goes back."""
        warnings, breaches = check(signals, self.settings.guards)
        if not self.settings.guards.on:
            warnings, breaches = warnings + breaches, []
        for text in warnings:
            warn(f"kto, step {self.state.step}: {text}")
        if breaches:
            step, passed = self.state.step, self.state.passed
            self.go_back("; ".join(breaches))
            ends = self.state.breaches > self.settings.guards.retries
            warn(
                f"kto, step {step}: {self.state.why}. "
                + (
                    f"Stopped; the model of step {passed} is kept"
                    if ends
                    else f"Back to step {passed}, with half the learning rate"
                )
            )
            return
        self.state.passed = self.state.step
        self.save(valid_loss)
        checkpoint.point(self.folder, "best", f"step-{self.state.passed:06d}")
        checkpoint.prune(self.folder, keep=2)

    def step(self, numbers: list[int], pairs: Scored, mixed: Scored, weights: tuple[float, float]) -> dict:
        """One optimizer step on these examples."""
        settings, state, first = self.settings, self.state, self.state.step == 0
        mean, clamp = settings.ratio == "mean", tuple(settings.token_clamp)
        micro = deal(pairs.examples, numbers, -(-len(numbers) // MICRO_ROWS))
        numbers = [n for some in micro for n in some]
        good = pairs.labels[numbers]
        # z comes of the whole step, so that it does not depend on how the step is divided
        mixed_now = scored(self.model, mixed.pick(numbers))
        raw = mixed.ratios(mixed_now, numbers, mean=mean).mean().item()
        drift = mixed.ratios(mixed_now, numbers, mean=True).mean().item()
        state.z = running(state.z, raw, decay=0.0 if settings.z == "batch" else settings.z_decay, first=first)
        state.drift = running(state.drift, drift, decay=settings.z_decay, first=first)
        z = state.matched if settings.z == "matched" else state.z
        chosen_tokens = pairs.lengths[numbers][good].sum()

        def part(some: list[int]):
            labels = pairs.labels[some]
            log_probs = token_log_probs(self.model, pairs.pick(some))
            ratios = pairs.ratios(log_probs, some, mean=mean, clamp=clamp)
            loss = preference_loss(ratios, labels=labels, lengths=pairs.lengths[some], z=z, settings=settings)
            loss = (torch.where(labels, *weights) * loss).sum() / len(numbers)
            # RPO's term (arXiv 2404.19733): plain cross-entropy per token on the chosen completions
            nll = -log_probs[labels[pairs.owners(some)]].sum() / chosen_tokens
            free = [pairs.ratios(log_probs.detach(), some, mean=unit) for unit in (mean, True)]
            return loss + settings.nll_weight * nll, (*free, nll.item())

        results = accumulate(self.model, [partial(part, some) for some in micro])
        ratios, per_token = (torch.cat([more[i] for _, more in results]) for i in (0, 1))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.grad_clip or math.inf)
        self.optimizer.step(settings.lr * state.lr_scale * min(1.0, (state.step + 1) / max(1, settings.warmup_steps)))
        chosen, rejected = ratios[good].mean().item(), ratios[~good].mean().item()
        # how often a chosen completion of the step is above a rejected one
        accuracy = (ratios[good][:, None] > ratios[~good][None, :]).float().mean().item()
        state.norms.append(norm.item())
        state.chosen.append(per_token[good].mean().item())
        if len(state.first_norms) < FIRST_STEPS:
            state.first_norms.append(norm.item())
        if state.step < self.early:
            state.accuracy.append(accuracy)
        state.matched = running(state.matched, (chosen + rejected) / 2, decay=settings.z_decay)
        state.step += 1
        return {
            "step": state.step,
            "loss": sum(value for value, _ in results),
            "nll": sum(nll for _, (_, _, nll) in results),
            "raw_z": state.drift,
            "batch_z": raw,
            "chosen_log_ratio": chosen,
            "rejected_log_ratio": rejected,
            "accuracy": accuracy,
            "grad_norm": norm.item(),
        }


def running(mean: float, value: float, *, decay: float, first: bool = False) -> float:
    """A running mean; the first value is taken as it is."""
    return value if first else decay * mean + (1 - decay) * value


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


def look_for_giveaways(examples: list[Example], end: int, *, seed: int) -> dict[str, float]:
    """Warns where something trivial tells chosen from rejected; returns how well."""
    seen = [leakage.Seen(e.ids[e.prompt :], e.ids[-1] == end, e.label) for e in examples]
    if min(sum(s.label for s in seen), sum(not s.label for s in seen)) < AUDIT_ROWS:
        return {}
    accuracies = leakage.audit(seen, seed=seed)
    shown = ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in accuracies.items())
    say(f"kto: chosen are told from rejected by something trivial in these shares (chance: 50%): {shown}")
    for text in leakage.findings(accuracies):
        warn(f"kto: {text}")
    return accuracies


def finish(config: Config, run: Run, *, told: dict[str, float], **over: str) -> None:
    """Chooses what ships, points `best` at it, and says and records why."""
    state, report = run.state, {}
    if state.passed and state.passed != state.step:
        run.load(config.layout.checkpoint("kto", f"step-{state.passed:06d}"))
    trained = lora.weights(run.model) if state.passed else None
    model, report = selection.choose(run.examiner, run.reference, trained, why=state.why, settings=config.kto)
    report |= {
        "shipped_step": state.passed if report["shipped_blend"] else 0,
        "breaches": state.breaches,
        "raw_z": state.drift,
    }
    report |= {"told_apart_by": told, **over}
    name = f"blend-{report['shipped_blend']:.2f}"
    info = {"stage": "kto", "valid_loss": report["held_out_loss"]}
    checkpoint.save(run.folder, model, step=report["shipped_step"], info=info, name=name)
    checkpoint.point(run.folder, "best", name)
    atomic_write(config.layout.stage_report("kto"), json.dumps(report, indent=1))
    selection.tell(report)
