"""One dial: a whole recipe for so many parameters, so many minutes, or both. Run: minitron plan RECIPE --params 10M --minutes 60

RECIPE says what to learn from; this measures the machine for a few seconds, counts the data on a sample (`survey`), and
decides shape, vocabulary, context, batch, learning rate and steps. Each rule is a function below, with its source.
Everything else is taken from RECIPE. The new recipe goes to stdout, the reasons to stderr.

Knows nothing about how training is done; `plan` measures that.
"""

import math
import re
import sys
import tomllib
from dataclasses import dataclass, replace
from functools import cache

import torch

from minitron.core import parallel
from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.plan import corpus_stats, dry_run, memory
from minitron.plan.corpus_stats import Corpus, Counts
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.schema import Config, ModelConfig
from minitron.recipe.shapes import default_d_ff
from minitron.recipe.write import write_recipe
from minitron.train.choices import Choices
from minitron.train.optimizer import method

SMALLEST, LARGEST = 100_000, 1_000_000_000  # parameters
LONGEST_MINUTES = 60 * 24 * 90
FIRST_GUESS = 2_000_000  # parameters, where the search for a size begins
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. (Chinchilla), arXiv 2203.15556, table 3
USEFUL_EPOCHS, MOST_EPOCHS = (
    4,
    16,
)  # Muennighoff et al., arXiv 2305.16264, section 6: nearly as good as new; worth little
MEMORY_SHARE = 0.8  # of the device's, that a proposal may take
MICRO_TOKENS = 2048  # of a micro-batch on a CPU; larger ones leave its caches
ALIGNING_SHARE = 0.5  # of the minutes, at most, kept for reject, kto and eval
WARMUP_SHARE, WARMUP_MOST = 0.05, 200  # of the steps
VALIDATIONS = 10


# ---- the rules


def vocabulary(body: int) -> int:
    """Tokens for so many parameters outside the embedding: between the raw results of Tao et al. (arXiv 2407.13623), straight
    lines in logarithms, and on beyond them. A multiple of 64."""
    points = [(1e6, 1300), (3e6, 2200), (10e6, 4500), (30e6, 5700), (100e6, 10_000)]
    pairs = list(zip(points, points[1:], strict=False))
    (x0, y0), (x1, y1) = next((pair for pair in pairs if body <= pair[1][0]), pairs[-1])
    slope = math.log(y1 / y0) / math.log(x1 / x0)
    return max(512, 64 * round(y0 * (body / x0) ** slope / 64))


def vocabulary_limit(tokens: int) -> int:
    """Tokens that so much data can teach: 95% of them should be seen 100 times (Gowda & May, arXiv 2004.02334, section 4), and
    by Zipf's law the token of rank r is seen tokens / (r ln V) times."""
    size = 512
    while 95 * 2 * size * math.log(2 * size) <= tokens:
        size *= 2
    step = size // 8
    while 95 * (size + step) * math.log(size + step) <= tokens:
        size += step
    return size


def depth(d_model: int) -> int:
    """Blocks for a width: 64 of width each, as nanochat (depth x 64), GPT-2, nanoGPT's and llama2.c's small models have it
    (384 / 6, 512 / 8, 768 / 12), and at least 4."""
    return max(4, round(d_model / 64))


def head_size(d_model: int) -> int:
    """64, as all of those have it; 32 where that would leave fewer than 3 heads."""
    return 64 if d_model >= 192 else 32


def context(counts: Counts) -> int:
    """The power of two from 256 on that holds 95% of the dialogues; a chat of several turns needs 256 in any case."""
    return next((size for size in (256, 512, 1024) if counts.longest(0.95) <= size), 2048)


def learning_rate(d_model: int, optimizer: str) -> float:
    """The optimizer's own rule for a width, in inverse proportion to it (Yang et al., arXiv 2203.03466, table 3)."""
    return _rounded(method(optimizer).learning_rate(d_model))


def batch_tokens(body: int, tokens: float) -> float:
    """Tokens of a step: 0.292 C^0.3271 with C = 6 N D operations in all (DeepSeek LLM, arXiv 2401.02954, section 3.1)."""
    return 0.292 * (6 * body * tokens) ** 0.3271


def worth(tokens: float, unique: float) -> float:
    """What so many tokens, of which only so many differ, are worth in new ones: U + U R (1 - exp(-repeats / R)) with R = 15.4
    (Muennighoff et al., arXiv 2305.16264, equation 5)."""
    once, repeats = min(tokens, unique), max(0.0, tokens / max(1.0, unique) - 1)
    return once * (1 + 15.4 * (1 - math.exp(-repeats / 15.4)))


def _rounded(value: float) -> float:
    """Two digits."""
    return float(f"{value:.1e}")


# ---- shapes


@dataclass
class Shape:
    """A model, its vocabulary and its size."""

    model: ModelConfig
    vocab_size: int
    body: int  # weights of the blocks' matrices
    params: int  # with the embedding: nanoGPT's way to count, but for the norms


def shape_for(params: int, base: ModelConfig, *, length: int, limit: int) -> Shape:
    """The rules' shape for so many parameters; what they do not speak of stays as in `base`.

    Widths alone leave gaps, so the depth may differ from what `depth` says: a size 10% off is as bad as twice the depth.
    `limit` is the largest vocabulary that the data can teach.
    """
    best, least = None, math.inf
    for width in [*range(32, 192, 32), *range(192, 3073, 64)]:
        usual = depth(width)
        for layers in range(max(3, usual // 2), 2 * usual + 1):
            body = layers * block_size(base.arch, width)
            vocab_size = min(limit, vocabulary(body))
            size = body + vocab_size * width
            cost = abs(math.log(size / params)) + 0.1 * abs(math.log2(layers / usual))
            if cost < least:
                best, least = (width, layers, vocab_size, body, size), cost
    width, layers, vocab_size, body, size = best
    heads = width // head_size(width)
    decided = {"n_layers": layers, "n_heads": heads, "n_kv_heads": heads, "d_model": width, "context": length}
    return Shape(replace(base, **decided, d_ff=default_d_ff(base.arch, width)), vocab_size, body, size)


@cache
def block_size(arch: str, d_model: int) -> int:
    """Weights of a block's matrices."""
    heads = d_model // head_size(d_model)
    shape = {
        "n_layers": 1,
        "n_heads": heads,
        "n_kv_heads": heads,
        "d_model": d_model,
        "d_ff": default_d_ff(arch, d_model),
    }
    return memory.block_matrices(ModelConfig(arch=arch, **shape))


def ladder(base: ModelConfig, *, length: int, limit: int) -> list[Shape]:
    """Sizes from 0.1M to 1000M, ascending, each a third larger than the one before."""
    sizes = (round(SMALLEST * 10 ** (rung / 8)) for rung in range(33))
    shapes = (shape_for(size, base, length=length, limit=limit) for size in sizes)
    return sorted(shapes, key=lambda shape: shape.params)


# ---- what the user says


def parse_size(text: str) -> int:
    """`10M`, `500k`, `1.5m`, `2e6` as a number of parameters. Raises MinitronError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:[._]\d+)*(?:e\d{1,2})?)\s*([kmbKMB]?)\s*", text)
    hint = "write a size such as 10M, 500k, 1.5m or 2e6"
    if not match:
        raise MinitronError(f"--params: '{text}' is not a number of parameters", hint=hint, code=2)
    try:
        size = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}[match[2].lower()]
    except ValueError:
        raise MinitronError(f"--params: '{text}' is not a number of parameters", hint=hint, code=2) from None
    if not SMALLEST <= size <= LARGEST:
        raise MinitronError(
            f"--params: {text} is outside what this program is for, 0.1M to 1000M",
            hint="the demo has 2.2M, the reference 48M",
            code=2,
        )
    return round(size)


def parse_minutes(text: str) -> float:
    """Minutes, as a number. Raises MinitronError for anything else."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= LONGEST_MINUTES:
        raise MinitronError(
            f"--minutes: '{text}' is not a time from 0 to {LONGEST_MINUTES:,} minutes",
            hint="write a number such as 60",
            code=2,
        )
    return minutes


# ---- the proposal


@dataclass
class Part:
    """What a training stage gets."""

    unique: int  # tokens of its data
    tokens: float  # to train on
    steps: int = 0


def run(config: Config, overrides: list[str], *, params: str | None, minutes: str | None) -> None:
    """Prints the proposed recipe."""
    size, time = parse_size(params) if params else None, parse_minutes(minutes) if minutes else None
    if size is None and time is None:
        raise MinitronError("plan needs a size or a time", hint="add --params 10M, --minutes 60, or both", code=2)
    proposal, comments = propose(config, size=size, minutes=time, optimizer=chosen_optimizer(config, overrides))
    asked = " ".join([f"--params {params}"] * bool(params) + [f"--minutes {minutes}"] * bool(minutes))
    sys.stdout.reconfigure(encoding="utf-8")  # TOML is UTF-8 whatever the locale
    sys.stdout.write(
        f"# Made by `minitron plan {config.recipe} {asked}`.\n" + write_recipe(proposal, comments=comments)
    )


def chosen_optimizer(config: Config, overrides: list[str]) -> str:
    """The recipe's if it names one; else Muon, which learns more in the same time (docs/architecture.md)."""
    named = "name" in tomllib.loads(config.recipe.read_text(encoding="utf-8")).get("optim", {})
    return config.optim.name if named or any(text.startswith("optim.name") for text in overrides) else "muon"


def propose(
    config: Config, *, size: int | None, minutes: float | None, optimizer: str
) -> tuple[Config, dict[str, str]]:
    """The recipe, and what to write beside its values."""
    device, found, stages = pick_device(config.device), corpus_stats.look(config), stages_of(config)
    counts = found.count(config, vocab_size=2048)  # enough to see lengths; counted again once the vocabulary is known
    say(
        f"data           {found.dialogues:,} dialogues to train on ({found.where})"
        if found.dialogues
        else "data           raw text"
    )
    limit = vocabulary_limit(counts.sft + counts.pretrain)
    how = {"length": context(counts), "limit": limit}
    search = Search(config, device, found, optimizer)
    shape = shape_for(size, config.model, **how) if size else search.largest(minutes, ladder(config.model, **how))
    proposal = search.settled(shape)
    _check_memory(proposal, device)
    counts = search.counts(proposal.tokenizer.vocab_size)
    unique = {name: getattr(counts, name) for name in stages}
    tokens = search.tokens_in(proposal, minutes) if minutes else sum(_tokens_of(config, name) for name in stages)
    if minutes and tokens > MOST_EPOCHS * sum(unique.values()):
        tokens = MOST_EPOCHS * sum(unique.values())
        say(
            f"steps          fewer than there is time for: after {MOST_EPOCHS} passes over the data more bring next to nothing"
        )
    if minutes and search.aligning > 60 * minutes * ALIGNING_SHARE:
        warn(
            f"reject, kto and eval would take {dry_run.duration(search.aligning)} of the {minutes:g} minutes; training is planned "
            "for half of them (fewer reject.prompts and eval.prompts help)"
        )
    parts = {}
    for name in stages:  # with a time every token is read as often; else as the recipe has it
        share = unique[name] / max(1, sum(unique.values())) if minutes else _tokens_of(config, name) / tokens
        parts[name] = Part(unique[name], tokens * share)
    proposal = _with_steps(proposal, parts, shape, device)
    _tell(proposal, parts, shape, search)
    return proposal, _comments(parts, shape, proposal)


def stages_of(config: Config) -> list[str]:
    """The training stages that the recipe has, alignment aside."""
    return [
        name
        for name in ("pretrain", "sft")
        if getattr(config, name) is not None and not (name == "sft" and config.base)
    ]


def _tokens_of(config: Config, stage: str) -> int:
    settings = getattr(config, stage)
    return settings.steps * settings.batch_rows * settings.accumulation * config.model.context


class Search:
    """Speeds of this machine, and the size that suits a time."""

    def __init__(self, config: Config, device: torch.device, found: Corpus, optimizer: str):
        self.config, self.device, self.found, self.optimizer = config, device, found, optimizer
        self.stages = stages_of(config)
        self.chosen: Choices | None = None  # at the first measurement
        self.aligning = 0.0  # seconds of reject, kto and eval
        self._counts: dict[int, Counts] = {}  # vocabulary -> the data in its tokens
        self._speeds: dict[tuple, float] = {}
        self._aligning_per_operation: float | None = None

    def counts(self, vocab_size: int) -> Counts:
        if vocab_size not in self._counts:
            self._counts[vocab_size] = self.found.count(self.config, vocab_size=vocab_size)
        return self._counts[vocab_size]

    def settled(self, shape: Shape) -> Config:
        """The recipe with a shape, its vocabulary and its learning rate, and micro-batches that fit."""
        config, vocab_size = self.config, shape.vocab_size
        if not TOKENIZERS[config.tokenizer.kind].sized or self.found.whole:  # what the text comes to
            vocab_size = self.counts(vocab_size).vocab_size
        lr = learning_rate(shape.model.d_model, self.optimizer)
        proposal = replace(
            config,
            model=shape.model,
            tokenizer=replace(config.tokenizer, vocab_size=vocab_size),
        ).with_optim(name=self.optimizer, lr=lr, min_lr=_rounded(lr / 20))
        # as many rows as one thread computes well on a CPU; on a GPU what fits
        rows = max(1, MICRO_TOKENS // shape.model.context) if self.device.type == "cpu" else 64
        accumulation = parallel.cores() if self.device.type == "cpu" else 1
        proposal = self._with(proposal, batch_rows=rows, accumulation=accumulation)
        while not _fits(proposal, self.device) and rows > 1:
            rows //= 2
            proposal = self._with(proposal, batch_rows=rows)
        return proposal if _fits(proposal, self.device) else self._with(proposal, recompute=True)

    def _with(self, proposal: Config, **changes) -> Config:
        """Changes of all training stages."""
        return replace(proposal, **{name: replace(getattr(proposal, name), **changes) for name in self.stages})

    def tokens_per_second(self, proposal: Config) -> float:
        """Tokens of training per second, with the optimizer's work spread over two rounds of micro-batches."""
        key = (*vars(proposal.model).values(), proposal.tokenizer.vocab_size)
        if key not in self._speeds:
            speed = dry_run.measure(proposal, self.stages[-1], self.device, chosen=self.chosen)
            self.chosen = speed.chosen
            tokens = 2 * speed.at_once * speed.rows * proposal.model.context
            self._speeds[key] = tokens / speed.step(2 * speed.at_once)
        return self._speeds[key]

    def tokens_in(self, proposal: Config, minutes: float) -> float:
        """Tokens that can be trained on, beside validations and the stages that follow."""
        self.aligning = self._aligning(proposal) if proposal.reject or proposal.kto else 0.0
        seconds = 60 * minutes - min(self.aligning, 60 * minutes * ALIGNING_SHARE)
        tokens = seconds * self.tokens_per_second(proposal)
        rows = sum(dry_run.valid_rows(proposal, name) for name in self.stages)
        validating = VALIDATIONS * rows * proposal.model.context * dry_run.FORWARD_SHARE
        return max(tokens / 2, tokens - validating)

    def _aligning(self, proposal: Config) -> float:
        """Seconds of reject, kto and eval: measured once, for other sizes in proportion to their operations."""
        if self._aligning_per_operation is None:
            counts = self.counts(proposal.tokenizer.vocab_size)
            lengths = dry_run.Lengths.in_context(counts, proposal.model.context)
            seconds = dry_run.Aligning(proposal, self.device, lengths).all()
            self._aligning_per_operation = seconds / dry_run.operations(proposal, self.stages[-1], 1)
        return self._aligning_per_operation * dry_run.operations(proposal, self.stages[-1], 1)

    def largest(self, minutes: float, shapes: list[Shape]) -> Shape:
        """The largest size that in this time sees 20 tokens per parameter, repeated ones counted for what they are worth.

        Measured at a guess, computed for all sizes from operations per token, measured again there, until both agree.
        """
        shape = min(shapes, key=lambda shape: abs(shape.params - FIRST_GUESS))
        for _ in range(4):
            proposal = self.settled(shape)
            counts = self.counts(proposal.tokenizer.vocab_size)
            rate = self.tokens_in(proposal, minutes) * dry_run.operations(proposal, self.stages[-1], 1)
            unique = sum(getattr(counts, name) for name in self.stages)
            decent = [other for other in shapes if self._decent(other, proposal, rate=rate, unique=unique)]
            largest = decent[-1] if decent else shapes[0]
            if largest is shape:
                break
            shape = largest
        if not decent:
            warn(
                f"{minutes:g} minutes, or this data, are little even for the smallest size: expect a model that babbles"
            )
        return shape

    def _decent(self, shape: Shape, proposal: Config, *, rate: float, unique: int) -> bool:
        other = replace(proposal, model=shape.model, tokenizer=replace(proposal.tokenizer, vocab_size=shape.vocab_size))
        tokens = rate / dry_run.operations(other, self.stages[-1], 1)
        return worth(tokens, unique) >= TOKENS_PER_PARAMETER * shape.params


def _fits(proposal: Config, device: torch.device) -> bool:
    return _need(proposal, device) <= MEMORY_SHARE * (memory.device_bytes(device) or math.inf)


def _need(proposal: Config, device: torch.device) -> int:
    """Bytes of training."""
    precision = dry_run.expected_precision(proposal.optim, device)
    each = (dry_run.training_memory(proposal, name, device=device, precision=precision) for name in stages_of(proposal))
    return max(sum(needs.values()) for needs in each)


def _check_memory(proposal: Config, device: torch.device) -> None:
    if not _fits(proposal, device):
        need, there = _need(proposal, device), memory.device_bytes(device)
        raise MinitronError(
            f"training {memory.block_matrices(proposal.model) / 1e6:.0f}M parameters of blocks takes about {need / 1e9:.1f} GB, "
            f"and {device} has {there / 1e9:.1f}",
            hint="ask for a smaller size: --params",
        )


def _with_steps(proposal: Config, parts: dict[str, Part], shape: Shape, device: torch.device) -> Config:
    """Batch, steps, warm-up and validations for so many tokens."""
    for name, part in parts.items():
        settings = getattr(proposal, name)
        wanted, length = batch_tokens(shape.body, part.tokens), proposal.model.context
        rows = min(settings.batch_rows, max(1, round(wanted / length)))
        accumulation = max(1, round(wanted / (rows * length)))
        at_once = memory.side_by_side(proposal.model, device, accumulation)
        accumulation = -(-accumulation // at_once) * at_once  # all threads have work to the end
        part.steps = max(1, round(part.tokens / (rows * length * accumulation)))
        every = max(1, -(-part.steps // VALIDATIONS))
        settings = replace(
            settings, batch_rows=rows, accumulation=accumulation, steps=part.steps, eval_every_steps=every
        )
        proposal = replace(proposal, **{name: settings})
    steps = min(part.steps for part in parts.values())
    warmup = min(WARMUP_MOST, round(WARMUP_SHARE * steps))
    return proposal.with_optim(warmup_steps=warmup)


# ---- what is said


def _tell(proposal: Config, parts: dict[str, Part], shape: Shape, search: Search) -> None:
    model, speed = proposal.model, search.tokens_per_second(proposal)
    say(
        f"shape          {shape.params / 1e6:.2f}M parameters: {model.n_layers} layers of width {model.d_model}, "
        f"{proposal.tokenizer.vocab_size:,} tokens, context {model.context}"
    )
    for name, part in parts.items():
        passes = part.tokens / max(1, part.unique)
        say(f"{name:<14} {part.steps:,} steps: {part.tokens:,.0f} tokens, {passes:.1f} passes over {part.unique:,}")
        if passes > USEFUL_EPOCHS:
            say(
                f"               more than {USEFUL_EPOCHS} passes: repeated text teaches less and less; bring more if you can"
            )
    ratio = sum(worth(part.tokens, part.unique) for part in parts.values()) / shape.params
    say(
        f"balance        {ratio:.1f} tokens per parameter, repeated ones counted for what they are worth; with about "
        f"{TOKENS_PER_PARAMETER} a given time is best used"
    )
    if ratio < TOKENS_PER_PARAMETER / 4:
        say("               a smaller model would learn as much in this time, or from this data, and answer faster")
    say(f"memory         about {_need(proposal, search.device) / 1e9:.2f} GB")
    training = dry_run.duration(sum(part.tokens for part in parts.values()) / speed)
    rest = f", reject, kto and eval {dry_run.duration(search.aligning)}" if search.aligning else ""
    assert search.chosen is not None
    how = f"{search.device}, {search.chosen.precision.name}, {speed:,.0f} tokens/s, measured"
    say(f"time           training {training}{rest} ({how})")


def _comments(parts: dict[str, Part], shape: Shape, proposal: Config) -> dict[str, str]:
    """Option that was decided -> why, or nothing."""
    shown = "tokenizer.vocab_size model.n_layers model.n_heads model.d_model model.d_ff model.context "
    shown += "optim.name optim.lr optim.min_lr optim.warmup_steps"
    comments = dict.fromkeys(shown.split(), "")
    comments["tokenizer.vocab_size"] = f"for {shape.body / 1e6:.2f}M parameters in the blocks"
    comments["model.n_layers"] = f"{shape.params / 1e6:.2f}M parameters with the embedding"
    comments["model.context"] = "holds 95% of the dialogues"
    comments["optim.lr"] = f"for a width of {proposal.model.d_model}"
    for name, part in parts.items():
        settings = getattr(proposal, name)
        tokens = settings.batch_rows * settings.accumulation * proposal.model.context
        comments[f"{name}.steps"] = f"{part.tokens / max(1, part.unique):.1f} passes over about {part.unique:,} tokens"
        comments |= {f"{name}.batch_rows": "", f"{name}.eval_every_steps": ""}
        comments[f"{name}.accumulation"] = f"{tokens:,} tokens a step"
    return comments
