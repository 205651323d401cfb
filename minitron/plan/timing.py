"""How long training, reject, kto and eval take on this machine: measured here on random ids with the engine's own functions, and
multiplied by how often a run calls them.

    speed = measure(config, "sft", device)                  # seconds of a round of micro-batches and of an update
    seconds = Aligning(config, device, lengths).all()       # of reject, kto and eval
    seconds = preparing(config, tokens)                     # of the rest: not measured here, but as it took elsewhere

Needs no data; if there are data, lengths are taken from them. Knows nothing about what is proposed or printed.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from minitron.align import pairs
from minitron.align.loop import MICRO_ROWS
from minitron.align.method import Method
from minitron.align.preference import Example, token_log_probs
from minitron.core import parallel
from minitron.core.errors import MinitronError
from minitron.data.packing import Batch, PackedRows, collate
from minitron.model import lora
from minitron.model.language_model import LanguageModel, trunk_type
from minitron.plan import corpus_stats, memory
from minitron.recipe import mixture
from minitron.recipe.schema import Config
from minitron.sample.generate import Decoding, generate
from minitron.tokenizer.base import MARKERS
from minitron.train import inherit
from minitron.train.choices import Choices, choose
from minitron.train.optimizer import make_optimizer
from minitron.train.passes import accumulate, summed_loss
from minitron.train.precision import autocast

METHOD = Method()  # as the kto stage runs it
FORWARD_SHARE = 1 / 3  # of both passes' time: 2 of 6 operations per weight and token (arXiv 2001.08361, section 2.1)
EVAL_ROWS = 256  # validation rows that are assumed if a recipe takes all and they are not packed yet
# What is not measured here, in seconds on two cores of an EPYC (benchmarks/demo.py, benchmarks/data.py): the start of a run with its
# choices, export and the chat program; writing and filtering a built-in dialogue; reading a token of the data and packing it.
STARTING, SYNTH_ROW, PREPARED_TOKEN = 10.0, 1.5e-4, 4e-7
SAMPLED_TOKENS = 8  # per prompt, to measure how long a token takes
SAMPLED_OPERATIONS = {"cpu": 3e10, "cuda": 3e13, "mps": 1e12}  # of a measured micro-batch, at most: about a second
FAILING_SHARE = 0.1  # assumed share of failures in the answers that reject draws: 4% to 9% with the demo


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def valid_rows(config: Config, stage: str) -> int:
    """The number of packed rows that a validation measures on."""
    limit = getattr(config, stage).eval_rows
    packed = config.layout.packed(stage, "valid")
    if (packed / "pack.json").exists():
        there = len(PackedRows(packed))
        return min(limit or there, there)
    return limit or EVAL_ROWS


# ---- training


@dataclass
class Speed:
    """Seconds that this machine takes, measured."""

    chosen: Choices
    at_once: int  # micro-batches of a round, computed side by side
    rows: int  # of a micro-batch
    round: float  # forward and backward of `at_once` micro-batches
    update: float  # clipping and the optimizer

    @property
    def row(self) -> float:
        """Seconds per row, forward and backward, while all threads work."""
        return self.round / (self.at_once * self.rows)

    def step(self, accumulation: int) -> float:
        return -(-accumulation // self.at_once) * self.round + self.update


def operations(config: Config, stage: str, tokens: int) -> float:
    """Operations of forward and backward over `tokens` tokens: 6 for each weight and token, for the head's weights only at
    targets, and what the blocks compute beside the products with their matrices (PaLM, arXiv 2204.02311, appendix B)."""
    shape = config.model
    head = memory.TARGET_SHARES[stage] * config.tokenizer.vocab_size * shape.d_model
    mixing = sum(block.operations(shape) for block in trunk_type(shape.arch).block_types(shape))
    return tokens * (6 * (memory.block_matrices(shape) + head) + mixing)


def sample_of(config: Config, stage: str, rows: int, device: torch.device) -> tuple[Config, int, float]:
    """A smaller recipe that can be measured in a moment in place of this one (with fewer rows, then with fewer layers), its
    rows, and how many times more operations the whole recipe has."""
    most, small, fewer = SAMPLED_OPERATIONS.get(device.type, SAMPLED_OPERATIONS["cpu"]), config, rows
    tokens = config.model.context
    while operations(small, stage, fewer * tokens) > most and (fewer > 1 or small.model.n_layers > 2):
        if fewer > 1:
            fewer //= 2
        else:
            small = replace(small, model=replace(small.model, n_layers=max(2, small.model.n_layers // 2)))
    return small, fewer, operations(config, stage, rows * tokens) / operations(small, stage, fewer * tokens)


def measure(config: Config, stage: str, device: torch.device, *, chosen: Choices | None = None) -> Speed:
    """Times two rounds of micro-batches and updates of a fresh model, computed as `train.loop` does but without torch.compile;
    the faster ones count. `chosen` are the choices of an earlier measurement, else they are made here."""
    settings = getattr(config, stage)
    rows, accumulation = settings.batch_rows, settings.accumulation
    small, fewer, times = sample_of(config, stage, rows, device)
    model = LanguageModel(small.model, small.tokenizer.vocab_size).to(device).train()
    if stage == "sft" and small.sft.lora_rank:
        lora.attach(model, small.sft, seed=0, tokens=range(len(MARKERS) if inherit.untaught(small) else 0))
    model.recompute = settings.recompute
    optimizer = make_optimizer(model, getattr(small, stage).optim)
    batch = random_batch(small, stage, fewer).to(device)
    at_once = memory.side_by_side(small.model, device, accumulation)

    def trial(model: LanguageModel, name: str) -> None:
        def part() -> tuple[Tensor, None]:
            with autocast(device, name):
                return summed_loss(model, batch) / batch.count, None

        model.zero_grad(set_to_none=True)
        accumulate(model, [part] * at_once)

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(0.0)

    chosen = chosen or choose(model, optimizer, replace(settings.optim, compile="off"), trial)
    precision, optimizer.products = chosen.precision.name, chosen.products.name
    rounds, updates = zip(
        *((seconds_of(partial(trial, model, precision), device), seconds_of(update, device)) for _ in range(2)),
        strict=True,
    )
    weights = sum(p.numel() for p in model.parameters())
    grown = sum(memory.parameters(config.model, config.tokenizer.vocab_size).values()) / weights
    return Speed(chosen, at_once, rows, min(rounds) * times, min(updates) * grown)


def random_batch(config: Config, stage: str, rows: int) -> Batch:
    """Full rows of about four sequences each, with as many targets as dialogues have. They are cut at random places: what attention
    costs depends on how many different lengths there are."""
    generator, context = np.random.default_rng(0), config.model.context

    def sequence(length: int) -> tuple[np.ndarray, np.ndarray]:
        ids = generator.integers(config.tokenizer.vocab_size, size=length)
        return ids, generator.random(length) < memory.TARGET_SHARES[stage]

    def row() -> list[tuple[np.ndarray, np.ndarray]]:
        cuts = 2 * np.flatnonzero(generator.random(context // 2 - 1) < 6 / context)
        return [sequence(length) for length in np.diff(cuts, prepend=-2, append=context - 1)]

    return collate([row() for _ in range(rows)], context=context)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def preparing(config: Config, tokens: int) -> float:
    """Seconds of all that is neither training nor reject, kto and eval: data, tokenizer, packing `tokens` tokens, export, the program."""
    built_in = sum(part.config.synth_rows for part in mixture.ingredients(config.data))
    return STARTING + SYNTH_ROW * built_in + PREPARED_TOKEN * tokens


# ---- reject and kto: answers drawn, completions scored


@dataclass
class Lengths:
    """Tokens of a typical dialogue and of one answer."""

    dialogue: float
    answer: float
    where: str

    @classmethod
    def of(cls, config: Config) -> "Lengths":
        """The lengths of the recipe's data if it can be read, else half a context and a quarter: the reference's dialogues have
        550 tokens in a context of 1,024."""
        try:
            counts = corpus_stats.look(config).count(config, vocab_size=config.tokenizer.vocab_size)
        except MinitronError:
            return cls(config.model.context / 2, config.model.context / 4, "as long as the reference's dialogues")
        return cls.in_context(counts, config.model.context)

    @classmethod
    def in_context(cls, counts: corpus_stats.Counts, context: int) -> "Lengths":
        fitting = [min(length, context) for length in counts.dialogue] or [context]
        return cls(statistics.fmean(fitting), min(counts.answer, context) or context / 4, "as long as the data's")


class Aligning:
    """Seconds of what reject, kto and eval do, measured on a fresh model of the recipe's shape in fp32, as they compute."""

    def __init__(self, config: Config, device: torch.device, lengths: Lengths):
        self.config, self.device, self.lengths = config, device, lengths
        self.length = max(3, min(round(lengths.dialogue), config.model.context))
        short = replace(config, model=replace(config.model, context=self.length))
        small, self.rows, times = sample_of(short, "sft", MICRO_ROWS, device)
        # a token's operations, as a multiple of those in the measured model
        self.deeper = times * self.rows / MICRO_ROWS
        self.model = LanguageModel(small.model, config.tokenizer.vocab_size).to(device).eval()
        self.at_once = parallel.cores() if device.type == "cpu" else 1

    @cached_property
    def drawn(self) -> float:
        """Seconds per decoded token, batched."""
        rows = min(16, self.config.eval.batch_rows)
        prompts = [[1] * max(1, min(SAMPLED_TOKENS, self.length - SAMPLED_TOKENS))] * (rows * self.at_once)
        sampling = replace(self.config.export.sampling(), max_tokens=min(SAMPLED_TOKENS, self.length - len(prompts[0])))
        how = {"sampling": sampling, "decoding": Decoding(end=-1, banned=[0], seed=0), "batch_rows": rows}
        seconds = min(seconds_of(lambda: generate(self.model, prompts, **how), self.device) for _ in range(2))
        return self.deeper * seconds / len(prompts) / sampling.max_tokens

    @cached_property
    def scored(self) -> float:
        """Seconds per completion with its prompt, forward and backward."""
        answer = min(self.length - 1, max(1, round(self.lengths.answer)))
        example = Example([1] * self.length, self.length - answer, True)

        def part() -> tuple[Tensor, None]:
            return -token_log_probs(self.model, [example] * self.rows).sum(), None

        def work() -> None:
            self.model.zero_grad(set_to_none=True)
            accumulate(self.model, [part] * self.at_once)

        return self.deeper * min(seconds_of(work, self.device) for _ in range(2)) / self.at_once / self.rows

    def answers(self, count: int, limit: int) -> float:
        """Seconds to prefill and decode `count` answers of at most `limit` tokens."""
        reading = self.scored * FORWARD_SHARE * max(0.0, 1 - self.lengths.answer / self.lengths.dialogue)
        return count * (reading + min(limit, self.lengths.answer) * self.drawn)

    def forward(self, rows: int) -> float:
        """Seconds to score `rows` held-out rows."""
        return rows * self.scored * FORWARD_SHARE * self.config.model.context / self.lengths.dialogue

    def look(self) -> float:
        """Seconds of a look at the policy (`align.look`): held-out loss, on-policy samples and their KL, probes."""
        probes = METHOD.probes_asked if self.config.data.any_probes else 0
        apart = METHOD.on_policy_prompts * 2 * self.scored * FORWARD_SHARE  # how far it is from the reference
        drawn = self.answers(METHOD.on_policy_prompts + probes, self.config.eval.max_tokens)
        return self.forward(METHOD.held_out_rows) + drawn + apart

    def card(self) -> float:
        """Seconds of a model's card: failures with every way to sample, probes, held-out loss."""
        settings, presets = self.config.eval, self.config.reject.presets if self.config.reject else {}
        limits = [self.config.export.max_tokens, *(preset.max_tokens for preset in presets.values())]
        ways = sum(self.answers(settings.prompts, min(limit, settings.max_tokens)) for limit in limits)
        probes = self.answers(settings.probes if self.config.data.any_probes else 0, settings.max_tokens)
        return ways + probes + self.forward(EVAL_ROWS)

    def kto(self) -> dict[str, float]:
        """Parts of the stage -> seconds."""
        settings, looks = self.config.kto, kto_looks(self.config)
        # the completions, and the mismatched pairs without backward: one pair for both completions of a prompt
        step = settings.batch_rows * (1 + FORWARD_SHARE / 2) * self.scored
        return {
            "reference": 1.5 * kto_completions(self.config) * self.scored * FORWARD_SHARE,
            f"{settings.steps:,} steps": settings.steps * step,
            f"{looks} looks": looks * self.look(),
            f"choice among {1 + len(METHOD.blends)} models": (1 + len(METHOD.blends)) * self.card(),
        }

    def reject(self) -> tuple[float, float]:
        """Seconds if answers are as long as the data's, and if all are as long as they may be."""
        typical = most = 0.0
        for count, limit in reject_answers(self.config).values():
            typical += self.answers(count, limit)
            most += self.answers(count, 0) + count * min(limit, self.config.model.context) * self.drawn
        return typical, most

    def all(self) -> float:
        """Seconds of reject, kto and eval."""
        reject = self.reject()[0] if self.config.reject else 0.0
        kto = sum(self.kto().values()) if self.config.kto else 0.0
        return reject + kto + self.card() * (2 if self.config.kto else 1)


def kto_looks(config: Config) -> int:
    """The number of looks: one at the SFT model, and one every `eval_every_steps`."""
    return 1 + -(-config.kto.steps // config.kto.eval_every_steps)


def kto_completions(config: Config) -> int:
    """The number of completions, chosen and rejected: counted if the pairs are there, else estimated."""
    path = config.layout.pairs
    if path.exists():
        return pairs.count(path)
    return round(2 * FAILING_SHARE * config.reject.prompts * len(config.reject.presets))


def reject_answers(config: Config) -> dict[str, tuple[int, int]]:
    """What is sampled -> how many answers, and how long each may be."""
    settings, found = config.reject, {}
    for name, preset in settings.presets.items() if settings.prompts else ():
        found[name] = (settings.prompts, settings.max_tokens or preset.max_tokens)
        if settings.chosen == "model":
            failing = round(FAILING_SHARE * settings.prompts)
            found[f"{name}-chosen"] = (failing * settings.best_of, config.export.max_tokens)
    return found
