"""Sampling of many prompts at once, as the stages need it (`ask`); `continue_text` samples a single one.

The operations are in the same order as in the chat program (go_serve/internal/sample): repetition penalty over the answer so
far, temperature, top-k, top-p, min-p, draw; temperature 0 takes the likeliest token. Unknown and control ids other than the
end marker are never drawn.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from minitron.core import heap, parallel
from minitron.core.console import progress
from minitron.model.language_model import LanguageModel
from minitron.model.state import State
from minitron.recipe.alignment import Sampling
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.chat_template import Message, encode_prompt

NONE = float("-inf")


@dataclass(frozen=True)
class Answer:
    """The ids of an answer without the end marker, and why it ended: `end`, `max_tokens` or `context`."""

    ids: list[int]
    stopped: str


@dataclass(frozen=True)
class Decoding:
    """What decoding needs besides the sampling options: the id that ends an answer, the ids that are never drawn, the seed."""

    end: int
    banned: list[int]
    seed: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, *, seed: int) -> "Decoding":
        """The tokenizer's end marker; unknown and other control ids are never drawn."""
        return cls(tokenizer.end, tokenizer.never_sampled, seed)


def filter_logits(logits: Tensor, sampling: Sampling, *, seen: Tensor, banned: list[int]) -> Tensor:
    """(B, V) logits -> the logits to draw from; `seen` (B, V) bool marks ids already in each answer."""
    logits = logits.clone()
    if sampling.repeat_penalty != 1.0:  # CTRL (arXiv 1909.05858), as llama.cpp and transformers compute it
        penalty = sampling.repeat_penalty
        logits = torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)
    logits[:, banned] = NONE
    if sampling.temperature == 0:
        return logits
    logits = logits / sampling.temperature
    if sampling.top_k or sampling.top_p < 1.0:
        if 0 < sampling.top_k < logits.shape[1]:
            ordered, order = logits.topk(sampling.top_k, dim=-1)
        else:
            ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        if sampling.top_p < 1.0:
            probabilities = ordered.softmax(-1)
            # a token is dropped if all likelier tokens together reach top_p
            drop = probabilities.cumsum(-1) - probabilities >= sampling.top_p
            drop[:, 0] = False  # the likeliest token always stays
            ordered = ordered.masked_fill(drop, NONE)
        logits = torch.full_like(logits, NONE).scatter(1, order, ordered)
    if sampling.min_p > 0:
        probabilities = logits.softmax(-1)
        logits = logits.masked_fill(probabilities < sampling.min_p * probabilities.amax(-1, keepdim=True), NONE)
    return logits


def draw(logits: Tensor, sampling: Sampling, *, seen: Tensor, banned: list[int], generator: torch.Generator) -> Tensor:
    """(B, V) logits -> (B,) ids."""
    logits = filter_logits(logits, sampling, seen=seen, banned=banned)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    # By the inverse of the cumulative distribution: one random number per row, while torch.multinomial takes one per id.
    mass = logits.softmax(-1).cpu().cumsum(-1, dtype=torch.float64)
    # above 0, so that no banned id is found
    at = (1 - torch.rand(len(mass), 1, dtype=torch.float64, generator=generator)) * mass[:, -1:]
    # a model whose weights are no longer numbers has no ids to draw from: the guards find that out, not an index out of bounds
    return torch.searchsorted(mass, at).squeeze(1).clamp(max=logits.shape[1] - 1).to(logits.device)


def ask(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: list[list[Message]],
    *,
    sampling: Sampling,
    seed: int,
    batch_rows: int,
    title: str,
) -> tuple[list[str], list[bool]]:
    """The model's answers to dialogues that end with the user's turn, and whether each ended by itself."""
    how = {"seed": seed, "batch_rows": batch_rows, "title": title}
    return ask_each(model, tokenizer, prompts, ways=[sampling], **how)[0]


def ask_each(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: list[list[Message]],
    *,
    ways: list[Sampling],
    seed: int,
    batch_rows: int,
    title: str,
) -> list[tuple[list[str], list[bool]]]:
    """`ask` with each of several ways of sampling; each prompt is read only once for all of them."""
    ids = [encode_prompt(messages, tokenizer) for messages in prompts]
    decoding = Decoding.of(tokenizer, seed=seed)
    with progress(title, len(ids) * len(ways)) as bar:
        found = generate_each(model, ids, ways=ways, decoding=decoding, batch_rows=batch_rows, on_progress=bar.update)
    return [([tokenizer.decode(a.ids) for a in answers], [a.stopped == "end" for a in answers]) for answers in found]


@dataclass
class _Text:
    """A prompt and its answer so far."""

    prompt: list[int]
    sampling: Sampling
    answer: list[int] = field(default_factory=list)
    stopped: str = ""  # why it ended, as in `Answer`; empty: it has not ended

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


def generate(
    model: LanguageModel,
    prompts: list[list[int]],
    *,
    sampling: Sampling,
    decoding: Decoding,
    batch_rows: int = 64,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Answer]:
    """One answer per prompt, in the prompts' order; the same seed and batch_rows give the same answers. See `generate_each`."""
    how = {"decoding": decoding, "batch_rows": batch_rows, "on_progress": on_progress}
    return generate_each(model, prompts, ways=[sampling], **how)[0]


def generate_each(
    model: LanguageModel,
    prompts: list[list[int]],
    *,
    ways: list[Sampling],
    decoding: Decoding,
    batch_rows: int = 64,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[list[Answer]]:
    """For each of several ways of sampling, one answer per prompt in the prompts' order; `batch_rows` answers are written at once.

    Prompts must be shorter than the model's context. Texts of similar length are written together. A step of few rows takes as
    long as one of many, so a batch stops when most of its answers have ended; the few long ones that all batches leave are read
    again and go on together.
    """
    texts = [_Text(prompt, sampling) for prompt in prompts for sampling in ways]
    seeds = itertools.count(decoding.seed * 1_000_003)

    def work(batch: list[_Text], seed: int, leave: bool) -> None:
        _write(model, batch, decoding, torch.Generator().manual_seed(seed), leave=leave)
        on_progress(sum(text.stopped != "" for text in texts))

    while waiting := sorted((text for text in texts if not text.stopped), key=len):
        batches = [waiting[start : start + batch_rows] for start in range(0, len(waiting), batch_rows)]
        parts = [partial(work, batch, next(seeds), len(batches) > 1) for batch in batches]
        parallel.parallel_map(lambda part: part(), parts, device=model.device)
    answers = [Answer(text.answer, text.stopped) for text in texts]
    return [answers[number :: len(ways)] for number in range(len(ways))]


LEFT = 4  # a batch that may be left early is left when at most 1 in LEFT of its answers has not ended
# While more than this share of a batch's rows is unfinished, ended rows stay in it: removing rows copies the state.
MOST = 7 / 8


@torch.inference_mode()
def _write(
    model: LanguageModel,
    texts: list[_Text],
    decoding: Decoding,
    generator: torch.Generator,
    *,
    leave: bool,
) -> None:
    """Continues the answers until they end or, with `leave`, until few of them are unfinished."""
    heap.give_back()
    context, device = model.context_limit, model.device
    steps = max(min(text.sampling.max_tokens - len(text.answer), context - len(text)) for text in texts)
    seen = torch.zeros(len(texts), model.vocab_size, dtype=torch.bool, device=device)
    for row, text in enumerate(texts):
        seen[row, text.answer] = True
    enough = len(texts) // LEFT if leave else 0

    by_sampling = _by_sampling(texts, device)
    state, hidden = _read([text.prompt + text.answer for text in texts], model, slots=max(map(len, texts)) + steps)
    while True:
        logits = model.head(hidden).float()
        drawn = torch.empty(len(texts), dtype=torch.long, device=device)
        for sampling, rows in by_sampling:
            drawn[rows] = draw(logits[rows], sampling, seen=seen[rows], banned=decoding.banned, generator=generator)
        alive = []
        for row, (text, token) in enumerate(zip(texts, drawn.tolist(), strict=True)):
            if text.stopped:  # in an earlier step
                continue
            if token == decoding.end:
                text.stopped = "end"
                continue
            text.answer.append(token)
            if len(text) >= context:
                text.stopped = "context"
            elif len(text.answer) >= text.sampling.max_tokens:
                text.stopped = "max_tokens"
            else:
                alive.append(row)
        if len(alive) <= enough:
            return
        assert state.pad is not None
        read = state.used - int(state.pad.min())  # tokens of the longest row
        # an ended row may be the one that fills the context, since ended rows are stepped too
        if len(alive) <= len(texts) * MOST or read == context:
            rows = torch.tensor(alive, device=device)
            texts, seen, drawn = [texts[row] for row in alive], seen[rows], drawn[rows]
            by_sampling = _by_sampling(texts, device)
            state.select(rows)
        seen.scatter_(1, drawn[:, None], True)
        hidden = model.step(drawn, state)


def _read(prompts: list[list[int]], model: LanguageModel, *, slots: int) -> tuple[State, Tensor]:
    """A state that has read one prompt per row, and the hidden states of the prompts' last ids (B, D). Equal prompts are read once."""
    rows = {tuple(prompt): row for row, prompt in reversed(list(enumerate(prompts)))}
    once = sorted(rows.values())  # the first row of each different prompt
    state = model.new_state(len(once), slots)
    hidden = model.prefill([prompts[row] for row in once], state)
    if len(once) == len(prompts):
        return state, hidden
    fork = torch.tensor([once.index(rows[tuple(prompt)]) for prompt in prompts], device=model.device)
    state.select(fork)
    return state, hidden[fork]


def _by_sampling(texts: list[_Text], device: torch.device) -> list[tuple[Sampling, Tensor | slice]]:
    """Each way of sampling, with its rows."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        rows[id(text.sampling)].append(row)
    whole = len(rows) == 1
    return [(texts[r[0]].sampling, slice(None) if whole else torch.tensor(r, device=device)) for r in rows.values()]
