"""How byte-pair encoding arrives at its tokens: every merge in the order in which it happens.

    merges = Merges(tokenizer)
    merges.of("▁hello").steps          # [Step(left="h", right="e", ...), ...]
    merges.of("▁hello").symbols        # what is left: ["▁hello"]

A second implementation beside SentencePiece's, kept simple: it is for inspecting and counting. Knows nothing about normalisation.
"""

import heapq
from typing import NamedTuple

from minitron.core.errors import MinitronError
from minitron.tokenizer.base import Tokenizer


class Step(NamedTuple):
    """Two neighbours that became one symbol. `at` is where its first character stands in the text."""

    at: int
    left: str
    right: str
    score: float  # of the merged piece: the pair with the highest score is merged first, of equals the leftmost


class Merged(NamedTuple):
    symbols: list[str]
    steps: list[Step]


class Merges:
    """The pieces that merging can form, for any tokenizer that merges by scores. Raises MinitronError for other tokenizers."""

    def __init__(self, tokenizer: Tokenizer):
        vocab = tokenizer.to_vocab()
        if "scores" not in vocab:
            raise MinitronError(f"{tokenizer.path} merges bytes by a list", hint="its merges are in its tokenizer.json")
        named = list(zip(vocab["pieces"], vocab["types"], vocab["scores"], strict=True))
        self.scores = {piece: score for piece, type, score in named if type == "N"}
        self.symbols = sorted((piece for piece, type, _ in named if type == "D"), key=len, reverse=True)
        self.longest = max(map(len, self.scores), default=0)

    def of(self, text: str) -> Merged:
        """Merges a normalised text. A character that is no piece stays a symbol of its own."""
        symbols, starts, frozen = self.split(text)
        before = list(range(-1, len(symbols) - 1))  # neighbours' indices; a symbol that was merged away is ""
        after = [*range(1, len(symbols)), -1]
        waiting: list[tuple[float, int, int, str]] = []  # (-score, left, right, what they become)

        def consider(left: int, right: int) -> None:
            if left < 0 or right < 0 or frozen[left] or frozen[right]:
                return
            joined = symbols[left] + symbols[right]
            if (score := self.scores.get(joined)) is not None:
                heapq.heappush(waiting, (-score, left, right, joined))

        for left in range(len(symbols) - 1):
            consider(left, left + 1)
        steps = []
        while waiting:
            score, left, right, joined = heapq.heappop(waiting)
            if not symbols[left] or not symbols[right] or symbols[left] + symbols[right] != joined:
                continue  # one of them has grown, or is part of another
            steps.append(Step(starts[left], symbols[left], symbols[right], -score))
            symbols[left], symbols[right] = joined, ""
            after[left] = after[right]
            if after[left] >= 0:
                before[after[left]] = left
            consider(before[left], left)
            consider(left, after[left])
        return Merged([symbol for symbol in symbols if symbol], steps)

    def split(self, text: str) -> tuple[list[str], list[int], list[bool]]:
        """Splits a text into the longest user symbol at each place, or else a character. Returns the symbols, where they begin,
        and which are never merged."""
        symbols, starts, frozen, at = [], [], [], 0
        while at < len(text):
            symbol = next((s for s in self.symbols if text.startswith(s, at)), "")
            symbols.append(symbol or text[at])
            starts.append(at)
            frozen.append(bool(symbol))
            at += len(symbols[-1])
        return symbols, starts, frozen
