"""What a model can learn from labels, and how often it already answers as people wished.

    wishes = wishes_of(chosen_and_rejected, tokenizer, context=256)
    material = Material.of(wishes, replay, ...)   # labelled completions first, then answers to keep
    granted(model, tokenizer, asked(wishes, tokenizer, context=256), max_tokens=200)

Knows nothing about files and training.
"""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from minitron.align.examples import encode_pairs
from minitron.align.method import Method
from minitron.align.pairs import Completion
from minitron.align.preference import Example
from minitron.align.wordings import other_ways, worded
from minitron.core.errors import MinitronError
from minitron.data.labelled import Labelled
from minitron.data.messages import Prompt
from minitron.evaluate import checks
from minitron.evaluate.intervals import Share
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import Sampling
from minitron.sample.generate import ask
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.chat_template import Message

MOST_ASKED = 400  # at most so many prompts are asked for the verdict
LIKE = 0.5  # an answer with at least this F1 of words resembles a good one
STILL = 0.8  # an answer with less than this F1 of words is unlike a bad one


@dataclass(frozen=True)
class Wish:
    """A prompt, and the answers to it that people called good and bad."""

    prompt: list[Message]
    good: tuple[str, ...]
    bad: tuple[str, ...]

    def granted(self, answer: str) -> bool:
        """Whether an answer resembles a good one, and that more than any bad one; or if no good one is known, whether it is unlike
        every bad one."""
        unlike = max((likeness(answer, text) for text in self.bad), default=0.0)
        if not self.good:
            return unlike < STILL
        like = max(likeness(answer, text) for text in self.good)
        return like >= LIKE and like > unlike


def likeness(answer: str, other: str) -> float:
    """F1 of the words and signs of two texts, as in SQuAD (arXiv 1606.05250), from 0 to 1."""
    a, b = (Counter(re.findall(r"\w+|[^\w\s]", text.casefold().replace("ё", "е"))) for text in (answer, other))
    common = (a & b).total()
    return 2 * common / (a.total() + b.total()) if common else float(a == b)


def wishes_of(said: Sequence[Labelled], tokenizer: Tokenizer, *, context: int) -> tuple[list[Wish], int]:
    """The labels grouped by prompt, with each prompt as the chat program would show it to the model; and how many prompts do not fit."""
    by_prompt: dict[str, tuple[list[Message], list[Labelled]]] = {}
    unfit = set()
    for one in said:
        if not (prompt := shown(one.prompt, tokenizer, context=context)):
            unfit.add(json.dumps(one.prompt))
            continue
        by_prompt.setdefault(json.dumps(prompt), (prompt, []))[1].append(one)
    wishes = []
    for prompt, of_it in by_prompt.values():
        good, bad = (tuple(dict.fromkeys(o.completion for o in of_it if o.label is kind)) for kind in (True, False))
        wishes.append(Wish(prompt, good, tuple(text for text in bad if text not in good)))
    return wishes, len(unfit)


def shown(prompt: list[Message], tokenizer: Tokenizer, *, context: int) -> list[Message]:
    """The prompt as the chat program would show it to the model; empty if it does not fit."""
    try:
        return chat_template.fit(prompt, tokenizer, context=context, max_tokens=context)[0]
    except MinitronError:
        return []


def asked(wishes: list[Wish], tokenizer: Tokenizer, *, context: int) -> list[Wish]:
    """The prompts that the verdict is based on: labelled prompts in wordings that training does not see and that fit. Of more than
    MOST_ASKED a sample is taken, chosen by digest."""
    others = [other for wish in wishes for other in reworded(wish)]
    others.sort(key=lambda wish: hashlib.sha256(json.dumps(wish.prompt).encode()).digest())
    fitting = (replace(wish, prompt=shown(wish.prompt, tokenizer, context=context)) for wish in others)
    return list(itertools.islice((wish for wish in fitting if wish.prompt), MOST_ASKED))


def reworded(wish: Wish) -> list[Wish]:
    """The same wish with its last message written in other ways."""
    ways = other_ways(wish.prompt[-1]["content"])
    return [replace(wish, prompt=[*wish.prompt[:-1], {"role": "user", "content": way}]) for way in ways]


def contradicts(wishes: Sequence[Wish], check: str) -> bool:
    """Whether a probe asks for what people do not want: for some prompt, its check accepts a bad answer and none of the good ones."""
    return any(
        any(checks.passes(text, check) for text in wish.bad) and not any(checks.passes(t, check) for t in wish.good)
        for wish in wishes
        if wish.good
    )


def granted(
    model: LanguageModel, tokenizer: Tokenizer, wishes: list[Wish], *, max_tokens: int, batch_rows: int, title: str
) -> Share:
    """The share of wishes that the model's answers grant; tokens are chosen greedily."""
    greedy = Sampling(temperature=0.0, max_tokens=max_tokens)
    prompts = [wish.prompt for wish in wishes]
    texts, _ = ask(model, tokenizer, prompts, sampling=greedy, seed=0, batch_rows=batch_rows, title=title)
    return Share.of(sum(wish.granted(text) for wish, text in zip(wishes, texts, strict=True)), len(wishes))


def without_contradictions(replay: Sequence[Prompt], wishes: Sequence[Wish]) -> list[Prompt]:
    """The answers to replay, without those to a labelled prompt and those that repeat a bad answer for which a good one is
    known."""
    unwished = against(wishes)
    return [(prompt, answer) for prompt, answer in replay if not unwished([prompt[-1]["content"], answer])]


def against(wishes: Sequence[Wish]) -> Callable[[list[str]], bool]:
    """A test of the contents of a dialogue's messages: whether one of them is a labelled prompt, or a bad answer for which a good
    one is known."""
    texts = {_plain(wish.prompt[-1]["content"]) for wish in wishes}
    texts |= {_plain(text) for wish in wishes if wish.good for text in wish.bad}
    return lambda contents: any(_plain(content) in texts for content in contents)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold().replace("ё", "е")))


@dataclass(frozen=True)
class Material:
    """Completions as token ids. The first `labels` of them are those that people labelled, each with several wordings of its
    prompt; the others are answers to keep."""

    examples: list[Example]
    labels: int

    @classmethod
    def of(
        cls, wishes: Sequence[Wish], replay: Sequence[Prompt], tokenizer: Tokenizer, *, context: int, method: Method
    ) -> "Material":
        """Each wish's good answers, or its bad ones if no good one is known; then the answers to replay."""
        rows = [
            Completion(prompt, text, bool(wish.good), "label")
            for wish in wishes
            for prompt in worded(wish.prompt)
            for text in wish.good or wish.bad
        ]
        others = [Completion(prompt, answer, True, "data") for prompt, answer in replay]
        examples, more = (encode_pairs(some, tokenizer, context=context, method=method)[0] for some in (rows, others))
        return cls(examples + more, len(examples))
