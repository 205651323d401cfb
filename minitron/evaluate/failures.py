"""The failures that tiny chat models show, each with a rule that anyone can check by eye.

- loop: a block of 1 to 12 words comes three or more times in a row and fills at least 8 words; or one character comes 16
  times in a row; or, in an answer of 40 words and more, over half of the runs of four words are repeats.
- runaway: the answer did not end by itself, or is over 4 times as long as the reference answer and over 60 words.
- canned: this prompt got an answer that at least 5 and at least 1% of the prompts got (comparing letters and digits only),
  although its reference answer is another one that fewer than half as many prompts have as theirs. (The answer to "thanks"
  is common by right.) Where models are compared, the one that says it most often counts, so that the same texts are canned for
  each: otherwise one more or one less such answer would be five more or five less.

Knows nothing about models.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minitron.evaluate.intervals import Share

KINDS = ("loop", "runaway", "canned")
RATES = (*KINDS, "ended", "failing")
LOOP_BLOCK_WORDS, LOOP_TIMES, LOOP_WORDS = 12, 3, 8
WORD = r"\w+|[^\w\s]"  # a word, or a single mark


@dataclass(frozen=True)
class Judged:
    """What one answer shows."""

    loop: bool
    runaway: bool
    canned: bool
    ended: bool

    @property
    def failures(self) -> list[str]:
        return [name for name in KINDS if getattr(self, name)]


def words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(WORD, text)]


def is_loop(text: str) -> bool:
    if first_repeat(text) is not None:
        return True
    said = words(text)
    if len(said) >= 40:
        grams = [tuple(said[i : i + 4]) for i in range(len(said) - 3)]
        return len(set(grams)) < len(grams) / 2
    return False


def first_repeat(text: str) -> int | None:
    """The place, in characters, where a loop begins to repeat itself; None if no block and no character loops.

    The text before it is not a failure: training should make a loop less likely only from here on (DITTO, arXiv 2206.02369).
    """
    places = [m.start() for m in re.finditer(WORD, text)]
    said, found = words(text), []
    for size in range(1, LOOP_BLOCK_WORDS + 1):
        same = 0  # words in a row that equal the word one block earlier
        for at in range(size, len(said)):
            same = same + 1 if said[at] == said[at - size] else 0
            if same // size + 1 >= LOOP_TIMES and same + size >= LOOP_WORDS:
                found.append(places[at - same + 1])
                break
    if run := re.search(r"(\S)\1{15}", text):
        found.append(run.start() + 1)
    return min(found, default=None)


def is_runaway(text: str, *, ended: bool, reference: str) -> bool:
    length = len(words(text))
    return not ended or (length > 60 and length > 4 * len(words(reference)))


def plain(text: str) -> str:
    """The words of a text, without case and marks; two answers with the same words count as the same."""
    return " ".join(re.findall(r"\w+", text.lower()))


# way of sampling -> a model's answers, and whether each ended by itself
Answers = Mapping[str, tuple[list[str], list[bool]]]


def how_often(answers: Sequence[list[str]]) -> Counter[str]:
    """How many prompts got each text as an answer, from the model that gave it most often: `answers[model][prompt]`. So a text is
    canned for all models or for none, and one that sticks to a text is seen beside others that never say it."""
    times = Counter[str]()
    for of_model in answers:
        times |= Counter(map(plain, of_model))
    return times


def judge(
    answers: list[str], *, ended: list[bool], references: list[str], times: Mapping[str, float] | None = None
) -> list[Judged]:
    """Judges answers to distinct prompts, each with its reference answer. It takes all of them at once, since only the number of equal
    answers shows that an answer is canned; `times` are these numbers (`how_often`) where models are compared."""
    keys, wanted = [plain(a) for a in answers], [plain(r) for r in references]
    times, due = times or Counter(keys), Counter(wanted)
    often = max(5, 0.01 * len(answers))
    return [
        Judged(
            loop=is_loop(answer),
            runaway=is_runaway(answer, ended=end, reference=reference),
            canned=times[key] >= often and key != want and 2 * due[want] < times[key],
            ended=end,
        )
        for answer, key, end, reference, want in zip(answers, keys, ended, references, wanted, strict=True)
    ]


@dataclass(frozen=True)
class FailureRates:
    """Shares of answers that show each failure, that show any (`failing`), and that end by themselves."""

    loop: Share
    runaway: Share
    canned: Share
    ended: Share
    failing: Share

    @classmethod
    def of(cls, judged: Sequence[Sequence[Judged]]) -> "FailureRates":
        """From `judged[prompt][answer]`: answers are grouped by prompt, since those to one prompt are not independent."""
        shares = {
            name: Share.clustered([[getattr(j, name) for j in of_prompt] for of_prompt in judged])
            for name in (*KINDS, "ended")
        }
        return cls(**shares, failing=Share.clustered([[bool(j.failures) for j in of_prompt] for of_prompt in judged]))

    def shares(self) -> dict[str, Share]:
        """By name, in the order of the fields."""
        return dict(vars(self))

    def values(self) -> dict[str, float]:
        """The shares without their intervals."""
        return {name: share.value for name, share in self.shares().items()}


def distinct_2(texts: list[str]) -> float:
    """Distinct pairs of neighbouring words divided by all such pairs (Li et al., arXiv 1510.03055, section 5.2)."""
    pairs = [pair for text in texts for pair in itertools.pairwise(words(text))]
    return len(set(pairs)) / max(1, len(pairs))
