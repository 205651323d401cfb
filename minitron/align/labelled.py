"""What there is to learn from labels, and how far a model already answers as people wished.

    wishes = wishes_of(chosen_and_rejected, tokenizer, context=256)
    taught, asked = divided(wishes)               # what is learnt, and what is asked of it afterwards
    material = Material.of(taught, replay, ...)   # labelled completions first, then answers to replay
    granted(model, tokenizer, asked, max_tokens=200)

Knows nothing about files and training.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from minitron.align.examples import encode_pairs
from minitron.align.method import Method
from minitron.align.pairs import Completion
from minitron.align.preference import Example
from minitron.align.prompts import Prompt
from minitron.core.errors import MinitronError
from minitron.data.labelled import Labelled
from minitron.evaluate import checks
from minitron.evaluate.intervals import Share
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Sampling
from minitron.sample.generate import ask
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.chat_template import Message

FEWEST_TO_DIVIDE = 10  # labelled prompts from which some are held out; of fewer all are needed
HELD_OUT = 5  # one prompt in so many
LIKE = 0.5  # F1 of words from which an answer is the wished one
STILL = 0.8  # F1 of words up to which it is not the unwished one any more


@dataclass(frozen=True)
class Wish:
    """What people said of answers to a prompt: which are good, and which are not."""

    prompt: list[Message]
    good: tuple[str, ...]
    bad: tuple[str, ...]

    def granted(self, answer: str) -> bool:
        """Whether an answer is like a good one, more than like a bad one; or where none is known to be good, no bad one."""
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
    """By prompt, as the chat program would have shown it to the model; and how many prompts do not fit."""
    by_prompt: dict[str, tuple[list[Message], list[Labelled]]] = {}
    unfit = set()
    for one in said:
        try:
            prompt, _ = chat_template.fit(one.prompt, tokenizer, context=context, max_tokens=context)
        except MinitronError:
            unfit.add(json.dumps(one.prompt))
            continue
        by_prompt.setdefault(json.dumps(prompt), (prompt, []))[1].append(one)
    wishes = []
    for prompt, of_it in by_prompt.values():
        good, bad = (tuple(dict.fromkeys(o.completion for o in of_it if o.label is kind)) for kind in (True, False))
        wishes.append(Wish(prompt, good, tuple(text for text in bad if text not in good)))
    return wishes, len(unfit)


def divided(wishes: list[Wish]) -> tuple[list[Wish], list[Wish]]:
    """Those to learn, and those that the verdict asks: every fifth prompt, by its digest; where there are few, all in other
    wordings."""
    if len(wishes) < FEWEST_TO_DIVIDE:
        return wishes, [other for wish in wishes for other in reworded(wish)]
    order = sorted(wishes, key=lambda wish: hashlib.sha256(json.dumps(wish.prompt).encode()).digest())
    count = len(order) // HELD_OUT
    return order[count:], order[:count]


def reworded(wish: Wish) -> list[Wish]:
    """The same wish with its last message written in other ways."""
    text = wish.prompt[-1]["content"]
    bare, russian = text.rstrip(" .!?…"), bool(re.search("[а-яё]", text.casefold()))
    hello, tell = ("Привет! ", "Скажи, ") if russian else ("Hi! ", "Tell me, ")
    ways = [bare.lower(), hello + text[:1].upper() + text[1:], tell + text[:1].lower() + text[1:], bare + "??"]
    return [
        replace(wish, prompt=[*wish.prompt[:-1], {"role": "user", "content": way}])
        for way in dict.fromkeys(ways)
        if way != text
    ]


def contradicts(wishes: Sequence[Wish], check: str) -> bool:
    """Whether a probe wants what people do not: its check takes a bad answer to some prompt and no good one to that."""
    return any(
        any(checks.passes(text, check) for text in wish.bad) and not any(checks.passes(t, check) for t in wish.good)
        for wish in wishes
        if wish.good
    )


def granted(
    model: LanguageModel, tokenizer: Tokenizer, wishes: list[Wish], *, max_tokens: int, batch_rows: int, title: str
) -> Share:
    """The share of wishes that the model's likeliest answers grant."""
    greedy = Sampling(temperature=0.0, max_tokens=max_tokens)
    prompts = [wish.prompt for wish in wishes]
    texts, _ = ask(model, tokenizer, prompts, sampling=greedy, seed=0, batch_rows=batch_rows, title=title)
    return Share.of(sum(wish.granted(text) for wish, text in zip(wishes, texts, strict=True)), len(wishes))


def without_contradictions(replay: Sequence[Prompt], wishes: Sequence[Wish]) -> list[Prompt]:
    """The answers to replay but for those that people do not want: to a labelled prompt, or the very words of a bad answer
    that has a better one."""
    unwished = against(wishes)
    return [(prompt, answer) for prompt, answer in replay if not unwished([prompt[-1]["content"], answer])]


def against(wishes: Sequence[Wish]) -> Callable[[list[str]], bool]:
    """Whether among the contents of a dialogue's messages there is a labelled prompt, or a bad answer that has a better one."""
    texts = {_plain(wish.prompt[-1]["content"]) for wish in wishes}
    texts |= {_plain(text) for wish in wishes if wish.good for text in wish.bad}
    return lambda contents: any(_plain(content) in texts for content in contents)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold().replace("ё", "е")))


@dataclass(frozen=True)
class Material:
    """Completions as token ids; the first `labels` of them are people's, the others are replayed. `prompts` says which share a
    prompt."""

    examples: list[Example]
    prompts: list[int]
    labels: int

    @classmethod
    def of(
        cls, wishes: Sequence[Wish], replay: Sequence[Prompt], tokenizer: Tokenizer, *, context: int, method: Method
    ) -> "Material":
        rows = [
            Completion(wish.prompt, text, label, "label")
            for wish in wishes
            for label, texts in ((True, wish.good), (False, wish.bad))
            for text in texts
        ]
        others = [Completion(prompt, answer, True, "data") for prompt, answer in replay]
        examples, prompts = encode_pairs(rows, tokenizer, context=context, method=method)
        more, places = encode_pairs(others, tokenizer, context=context, method=method)
        first = max(prompts, default=-1) + 1
        return cls(examples + more, prompts + [first + place for place in places], len(examples))
