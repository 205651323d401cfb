"""Proposes a whole recipe for a number of parameters, of minutes, or both. Run: minitron plan RECIPE --params 10M --minutes 60

RECIPE, or files of data in its place, says what to learn from. This module measures the machine for a few seconds, counts the
data on a sample (`corpus_stats`), and decides shape, vocabulary, context, batch, learning rate and steps by the `rules`.
Everything else is taken from RECIPE. The new recipe goes to stdout, the reasons to stderr.

Knows nothing about how training is done; `timing` measures it.
"""

import math
import sys
from dataclasses import dataclass, replace

import torch

from minitron.core import parallel
from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.data import check
from minitron.plan import corpus_stats, memory, rules, studied, timing
from minitron.plan.corpus_stats import Corpus, Counts
from minitron.plan.request import Request
from minitron.plan.rules import MOST_EPOCHS, USEFUL_EPOCHS, Shape
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.layout import TRAINING
from minitron.recipe.schema import Config
from minitron.recipe.write import comment, write_recipe

FIRST_GUESS = 2_000_000  # parameters, where the search for a size begins
COUNTED_BY = 2048  # size of the vocabulary that data are counted with before the model's size is known
MEMORY_SHARE = 0.8  # share of the device's memory that a proposal may take
MICRO_TOKENS = 2048  # tokens of a micro-batch on a CPU; larger ones do not fit its caches
OTHERS_SHARE = 0.5  # largest share of the minutes that is kept for the stages that do not train
WARMUP_SHARE, WARMUP_MOST = 0.05, 200  # share of the steps; steps, at most
VALIDATIONS = 10


# ---- the proposal


@dataclass
class Part:
    """What a training stage gets."""

    unique: int  # tokens of its data
    tokens: float  # to train on
    steps: int = 0


def run(request: Request) -> None:
    """Prints the proposed recipe."""
    proposal, comments = propose(
        request.config, size=request.size, minutes=request.minutes, optimizer=request.optimizer
    )
    sys.stdout.reconfigure(encoding="utf-8")  # TOML is UTF-8 whatever the locale
    sys.stdout.write(comment(f"Made by `{request.command}`.") + "\n" + write_recipe(proposal, comments=comments))


def propose(
    config: Config, *, size: int | None, minutes: float | None, optimizer: str
) -> tuple[Config, dict[str, str]]:
    """The proposed recipe, and the comments to write beside its values (option -> comment). Raises MinitronError for data that a run
    would refuse."""
    if config.init:
        raise MinitronError(
            f"{config.recipe} goes on from {config.init}, which has a size and a vocabulary already",
            hint="plan it without init, or set steps by hand: --dry-run says how long they take",
            code=2,
        )
    check.check(config)
    found = corpus_stats.look(config)
    if found.dialogues == 1:
        hint = "bring more: some are held out, and the best checkpoint is chosen with them"
        raise MinitronError("there is only one dialogue", hint=hint)
    if found.dialogues:
        say(f"data           {found.dialogues:,} dialogues to train on ({found.where})")
    else:
        say("data           raw text")
    search = Search(config, pick_device(config.device), found, optimizer)
    shape = search.shape_for(size) if size else search.best(minutes)
    proposal, parts = search.proposal(shape, minutes)
    if minutes and sum(part.tokens for part in parts.values()) == MOST_EPOCHS * sum(p.unique for p in parts.values()):
        say(
            f"steps          fewer than the time allows: after {MOST_EPOCHS} passes over the data, more passes teach next to nothing"
        )
    if minutes and search.others > 60 * minutes * OTHERS_SHARE:
        fewer = " (fewer reject.prompts and eval.prompts help)" if config.reject or config.kto else ""
        warn(
            f"the stages that do not train would take {timing.duration(search.others)} of the {minutes:g} minutes; training is planned "
            f"for half of them{fewer}"
        )
    _tell(proposal, parts, shape, search)
    comments = _comments(parts, shape, proposal)
    if found.dialogues:
        whole = search.counts(proposal.tokenizer.vocab_size).fitting(proposal.model.context)
        comments["model.context"] = f"holds {whole:.0%} of the dialogues"
        if whole < 0.95:
            warn(
                f"only {whole:.0%} of the dialogues fit into {proposal.model.context:,} tokens, the longest context that plan proposes; "
                "the others lose their last turns, or are left out"
            )
    if search.studied:
        comments["tokenizer.vocab_size"] += f", by {search.studied.file.as_posix()}"
    return proposal, comments


def stages_of(config: Config) -> list[str]:
    """The training stages that the recipe has, alignment aside."""
    return [name for name in TRAINING if getattr(config, name) is not None and not (name == "sft" and config.base)]


def _tokens_of(config: Config, stage: str) -> int:
    settings = getattr(config, stage)
    return settings.steps * settings.batch_rows * settings.accumulation * config.model.context


class Search:
    """Measures this machine, and searches for the size of model that suits a time."""

    def __init__(self, config: Config, device: torch.device, found: Corpus, optimizer: str):
        self.config, self.device, self.found, self.optimizer = config, device, found, optimizer
        self.stages = stages_of(config)
        self.studied = studied.read(config) if TOKENIZERS[config.tokenizer.kind].sized else None
        self.others = 0.0  # seconds of the stages that do not train
        self._counts: dict[int, Counts] = {}  # vocabulary -> the data in its tokens
        self._speeds: dict[tuple, timing.Speed] = {}
        self._aligning_per_operation: float | None = None

    def counts(self, vocab_size: int) -> Counts:
        """The data in tokens of a vocabulary, dialogues as the proposed context cuts them. Raises MinitronError where none fits."""
        if vocab_size not in self._counts:
            counts = self.found.count(self.config, vocab_size=vocab_size)
            counts = counts.within(length := rules.context(counts))
            if counts.dialogue and not counts.sft:
                raise MinitronError(
                    f"no dialogue fits into a context of {length:,} tokens, the longest that plan proposes",
                    hint="bring shorter ones, or write a recipe with a longer model.context (docs/data.md)",
                )
            self._counts[vocab_size] = counts
        return self._counts[vocab_size]

    def unique(self, vocab_size: int) -> int:
        """Tokens of one epoch, summed over all training stages."""
        return sum(getattr(self.counts(vocab_size), name) for name in self.stages)

    def shape_for(self, params: float) -> Shape:
        """The rules' shape for `params` parameters and this data."""
        counts = self.counts(COUNTED_BY)
        return rules.shape_for(
            params,
            self.config.model,
            length=rules.context(counts) if counts.dialogue else self.config.model.context,
            limit=rules.vocabulary_limit(counts.sft + counts.pretrain),
            fixed=0 if TOKENIZERS[self.config.tokenizer.kind].sized else counts.vocab_size,
            studied=self.studied,
        )

    def settled(self, shape: Shape) -> Config:
        """The recipe with a shape, its vocabulary and learning rate, and micro-batches that fit into memory."""
        config, vocab_size = self.config, shape.vocab_size
        if not TOKENIZERS[config.tokenizer.kind].sized or self.found.whole:  # as many tokens as the text gives
            vocab_size = self.counts(vocab_size).vocab_size
        lr = rules.learning_rate(shape.model.d_model, self.optimizer)
        proposal = replace(
            config,
            model=shape.model,
            tokenizer=replace(config.tokenizer, vocab_size=vocab_size),
        ).with_optim(name=self.optimizer, lr=lr, min_lr=rules.two_digits(lr / 20))
        # as many rows as one thread computes well on a CPU; on a GPU what fits
        rows = max(1, MICRO_TOKENS // shape.model.context) if self.device.type == "cpu" else 64
        accumulation = parallel.cores() if self.device.type == "cpu" else 1
        proposal = self._with(proposal, batch_rows=rows, accumulation=accumulation)
        while not _fits(proposal, self.device) and rows > 1:
            rows //= 2
            proposal = self._with(proposal, batch_rows=rows)
        return proposal if _fits(proposal, self.device) else self._with(proposal, recompute=True)

    def _with(self, proposal: Config, **changes) -> Config:
        """The recipe with these options changed in all training stages."""
        return replace(proposal, **{name: replace(getattr(proposal, name), **changes) for name in self.stages})

    def speed(self, proposal: Config) -> timing.Speed:
        """This machine's speed with the proposed model; measured once."""
        return self._speeds.get(_key(proposal)) or self.measure(proposal)

    def measure(self, proposal: Config) -> timing.Speed:
        """Measures the speed again; the fastest measurement counts. The choices made at the first one are kept for the others."""
        key, chosen = _key(proposal), next((speed.chosen for speed in self._speeds.values()), None)
        now = timing.measure(proposal, self.stages[-1], self.device, chosen=chosen)
        self._speeds[key] = min(now, self._speeds.get(key, now), key=lambda speed: speed.round + speed.update)
        return self._speeds[key]

    def seconds(self, proposal: Config, tokens: float) -> float:
        """Seconds to train on `tokens` tokens, in steps of the size that the rules give."""
        speed, context = self.speed(proposal), proposal.model.context
        rows = rows_per_step(rules.batch_tokens(memory.block_matrices(proposal.model), tokens) / context, speed.at_once)
        return tokens / (rows * context) * (rows * speed.row + speed.update)

    def tokens_in(self, proposal: Config, minutes: float) -> float:
        """Tokens that can be trained on in `minutes`, less the time for validations and for the other stages."""
        tokens = self.unique(proposal.tokenizer.vocab_size)
        self.others = timing.preparing(proposal, tokens) + (0.0 if proposal.base else self._aligning(proposal))
        seconds = 60 * minutes - min(self.others, 60 * minutes * OTHERS_SHARE)
        rows = sum(timing.valid_rows(proposal, name) for name in self.stages)
        validating = VALIDATIONS * rows * timing.FORWARD_SHARE * self.speed(proposal).row
        seconds = max(seconds / 2, seconds - validating)
        tokens = seconds / self.speed(proposal).row * proposal.model.context
        for _ in range(5):  # the more tokens, the larger a step, the fewer updates
            tokens *= seconds / self.seconds(proposal, tokens)
        return tokens

    def _aligning(self, proposal: Config) -> float:
        """Seconds of reject, kto and eval: measured for one size, and for others in proportion to their operations."""
        if self._aligning_per_operation is None:
            counts = self.counts(proposal.tokenizer.vocab_size)
            lengths = timing.Lengths.in_context(counts, proposal.model.context)
            seconds = timing.Aligning(proposal, self.device, lengths).all()
            self._aligning_per_operation = seconds / timing.operations(proposal, self.stages[-1], 1)
        return self._aligning_per_operation * timing.operations(proposal, self.stages[-1], 1)

    def best(self, minutes: float) -> Shape:
        """The best shape for what can be computed in this time. The speed is measured with a guessed size, from which a better size
        follows; that one is measured in turn, until the size does not change."""
        shape = self.shape_for(FIRST_GUESS)
        for _ in range(4):
            proposal = self.settled(shape)
            each = timing.operations(proposal, self.stages[-1], 1)
            better = self.best_for(each * self.tokens_in(proposal, minutes))
            if better == shape:
                break
            shape = better
        return shape

    def best_for(self, operations: float) -> Shape:
        """The shape that `rules.best_size` gives for so many operations. Repeated tokens count for what they are worth (`rules.worth`)."""
        shape, unique = self.shape_for(FIRST_GUESS), self.unique(COUNTED_BY)
        for _ in range(20):  # a larger model computes more with each token
            tokenizer = replace(self.config.tokenizer, vocab_size=shape.vocab_size)
            each = timing.operations(replace(self.config, model=shape.model, tokenizer=tokenizer), self.stages[-1], 1)
            worth = rules.worth(min(operations / each, MOST_EPOCHS * unique), unique)
            size = max(rules.SMALLEST, rules.best_size(each * worth))
            better = self.shape_for(min(size, rules.LARGEST))
            if better == shape:
                break
            shape = better
        return shape

    def proposal(self, shape: Shape, minutes: float | None) -> tuple[Config, dict[str, Part]]:
        """The whole recipe for a shape, and what its training stages get: what the minutes allow, else what RECIPE trains on."""
        counts = self.counts(shape.vocab_size)
        if counts.dialogue:  # which has more tokens of a small vocabulary than of the one that the shape was found with
            shape = replace(shape, model=replace(shape.model, context=rules.context(counts)))
        proposal = self.settled(shape)
        _check_memory(proposal, self.device)
        counts = self.counts(proposal.tokenizer.vocab_size)
        parts = {name: Part(getattr(counts, name), _tokens_of(self.config, name)) for name in self.stages}
        if minutes:  # all stages make the same number of passes
            passes = self.tokens_in(proposal, minutes) / max(1, self.unique(proposal.tokenizer.vocab_size))
            parts = {name: Part(part.unique, min(passes, MOST_EPOCHS) * part.unique) for name, part in parts.items()}
        return _with_steps(proposal, parts, shape, self.device), parts


def _key(proposal: Config) -> tuple:
    return (repr(proposal.model), proposal.tokenizer.vocab_size)


def rows_per_step(wanted: float, at_once: int) -> int:
    """About as many rows as wanted, in a multiple of `at_once`, so that micro-batches computed side by side have equally many."""
    return at_once * max(1, round(wanted / at_once))


def _fits(proposal: Config, device: torch.device) -> bool:
    return _need(proposal, device) <= MEMORY_SHARE * (memory.device_bytes(device) or math.inf)


def _need(proposal: Config, device: torch.device) -> int:
    """Bytes that training needs, in the stage that needs most."""
    precision = memory.expected_precision(proposal.optim, device)
    each = (memory.training(proposal, name, device=device, precision=precision) for name in stages_of(proposal))
    return max(sum(needs.values()) for needs in each)


def _check_memory(proposal: Config, device: torch.device) -> None:
    if not _fits(proposal, device):
        need, there = _need(proposal, device), memory.device_bytes(device)
        raise MinitronError(
            f"training a model of this size needs about {need / 1e9:.1f} GB, and {device} has {there / 1e9:.1f} GB",
            hint="ask for a smaller size: --params",
        )


def _with_steps(proposal: Config, parts: dict[str, Part], shape: Shape, device: torch.device) -> Config:
    """The recipe with batch, steps, warm-up and validations for the parts' tokens; also sets each part's `steps`."""
    for name, part in parts.items():
        settings = getattr(proposal, name)
        length, at_once = proposal.model.context, memory.side_by_side(proposal.model, device, settings.accumulation)
        in_step = rows_per_step(rules.batch_tokens(shape.body, part.tokens) / length, at_once)
        rows = min(settings.batch_rows, in_step // at_once)
        accumulation = at_once * round(in_step / rows / at_once)  # all threads have work to the end
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
    model = proposal.model
    say(
        f"shape          {shape.params / 1e6:.2f}M parameters: {model.n_layers} layers of width {model.d_model}, "
        f"{proposal.tokenizer.vocab_size:,} tokens, context {model.context}"
    )
    if search.studied:
        say(f"vocabulary     {search.studied.told}")
    for name, part in parts.items():
        passes = part.tokens / max(1, part.unique)
        say(f"{name:<14} {part.steps:,} steps: {part.tokens:,.0f} tokens, {passes:.1f} passes over {part.unique:,}")
        if passes > USEFUL_EPOCHS:
            say(
                f"               more than {USEFUL_EPOCHS} passes: repeated text teaches less and less; bring more if you can"
            )
    learnt = sum(rules.worth(part.tokens, part.unique) for part in parts.values())
    best = rules.best_size(learnt * timing.operations(proposal, search.stages[-1], 1))
    say(
        f"balance        {learnt / shape.params:.1f} tokens per parameter (repeated tokens count less); this much training suits "
        f"about {best / 1e6:.2g}M parameters best"
    )
    if shape.params > 3 * best:
        say("               a smaller model would learn as much in this time, or from this data, and answer faster")
    say(f"memory         about {_need(proposal, search.device) / 1e9:.2f} GB")
    tokens = sum(part.tokens for part in parts.values())
    seconds = sum(search.seconds(proposal, part.tokens) for part in parts.values())
    rest = f", the other stages {timing.duration(search.others)}" if search.others else ""
    precision = search.speed(proposal).chosen.precision.name
    how = f"{search.device}, {precision}, {tokens / seconds:,.0f} tokens/s, measured"
    say(f"time           training {timing.duration(seconds)}{rest} ({how})")
    if learnt < rules.SPEAKS:
        warn(f"expect a model that babbles: {remedy(parts, learnt)}")


def remedy(parts: dict[str, Part], learnt: float) -> str:
    """Why so little is learnt, and what helps."""
    unique = sum(part.unique for part in parts.values())
    most = rules.worth(MOST_EPOCHS * unique, unique)
    why = f"sentences take about {rules.SPEAKS:,} tokens to learn, and"
    if most >= rules.SPEAKS:
        return f"{why} here it sees {learnt:,.0f} (repeated tokens count less). There is enough data: what helps is more time"
    return (
        f"{why} this data is worth {most:,.0f}, however long it trains. What helps: more data; a model to start from, which learns "
        "the language first ([pretrain] on plain text); or data of the same kind mixed in (more files in data.files). "
        "How: docs/plan.md"
    )


def _comments(parts: dict[str, Part], shape: Shape, proposal: Config) -> dict[str, str]:
    """Each option that was decided -> the reason, or an empty text."""
    shown = "tokenizer.vocab_size model.n_layers model.n_heads model.d_model model.d_ff model.context "
    shown += "optim.name optim.lr optim.min_lr optim.warmup_steps"
    comments = dict.fromkeys(shown.split(), "")
    comments["tokenizer.vocab_size"] = f"for {shape.body / 1e6:.2f}M parameters in the blocks"
    comments["model.n_layers"] = f"{shape.params / 1e6:.2f}M parameters with the embedding"
    comments["optim.lr"] = f"for a width of {proposal.model.d_model}"
    for name, part in parts.items():
        settings = getattr(proposal, name)
        tokens = settings.batch_rows * settings.accumulation * proposal.model.context
        comments[f"{name}.steps"] = f"{part.tokens / max(1, part.unique):.1f} passes over about {part.unique:,} tokens"
        comments |= {f"{name}.batch_rows": "", f"{name}.eval_every_steps": ""}
        comments[f"{name}.accumulation"] = f"{tokens:,} tokens a step"
    return comments
