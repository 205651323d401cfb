"""The sample of text that a tokenizer learns from: spread over all the text, in the shares that a mixture names.

    sample = Sample.of(sources, limit=20_000_000, seed=1)
    for text in sample.texts(): ...          # as often as one likes, the same each time

Knows nothing about tokens.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

PARTS = 100  # a sample has about this many parts at least: longer texts are sampled in parts
PART_CHARS = 200, 10_000  # fewest and most characters of a part


@dataclass
class Origin:
    """Where text comes from. `share` is its share of a mixture; None: as large as its part of all characters. If it is not
    `countable` (a dataset that comes over the network), the sample is taken from its beginning."""

    name: str
    open: Callable[[], Iterator[str]]
    share: float | None = None
    countable: bool = True
    characters: int = 0  # of all of it, once counted
    taken: float = 0.0  # how many of these are wanted


@dataclass
class Sample:
    """How much is taken of each origin."""

    origins: list[Origin]
    limit: int  # characters
    seed: int
    met: dict[str, int] = field(default_factory=dict)  # characters that `texts` gave, by origin, the last time

    @classmethod
    def of(
        cls, origins: list[Origin], *, limit: int, seed: int, told: Callable[[int], None] = lambda done: None
    ) -> "Sample":
        """Counts the text (`told` is called with the number of characters so far) and decides how much to take: at most `limit`
        characters, and of a mixture only as much as keeps its shares."""
        done = 0
        for origin in origins if all(origin.countable for origin in origins) else ():
            for text in origin.open():
                origin.characters += len(text)
                done += len(text)
                told(done)
        shares = {id(o): o.share if o.share is not None else o.characters / max(1, done) for o in origins}
        if done:
            most = min([limit, *(o.characters / shares[id(o)] for o in origins if shares[id(o)])])
            for origin in origins:
                origin.taken = min(float(origin.characters), most * shares[id(origin)])
        else:
            for origin in origins:
                origin.taken = limit * (origin.share if origin.share is not None else 1.0)
        return cls(origins, limit, seed)

    @property
    def wanted(self) -> int:
        """About how many characters `texts` gives, or the most that it gives if nothing was counted."""
        return min(self.limit, round(sum(origin.taken for origin in self.origins)))

    @property
    def whole(self) -> bool:
        """Whether it is all the text that there is."""
        return self.wanted == sum(origin.characters for origin in self.origins)

    def texts(self) -> Iterator[str]:
        """The sample, origin by origin. Parts are chosen by a generator seeded with the recipe's seed."""
        self.met, left = {}, float(self.limit)
        for origin in self.origins:
            self.met[origin.name] = 0
            for text in up_to(round(min(left, origin.taken)), self._chosen(origin)):
                self.met[origin.name] += len(text)
                yield text
            left -= self.met[origin.name]

    def _chosen(self, origin: Origin) -> Iterator[str]:
        share = origin.taken / origin.characters if origin.characters else 1.0
        if share >= 1:
            yield from origin.open()
            return
        chance, (least, most) = random.Random(f"{self.seed} {origin.name}"), PART_CHARS
        size = min(most, max(least, round(origin.taken / PARTS)))
        for text in origin.open():
            for at in range(0, len(text), size):
                if chance.random() < share:
                    yield text[at : at + size]


def up_to(characters: int, texts: Iterable[str]) -> Iterator[str]:
    """The first texts, the last one cut, of together at most `characters` characters."""
    for text in texts:
        if characters <= 0:
            return
        yield text[:characters]
        characters -= len(text)
