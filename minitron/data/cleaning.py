"""Removes from raw text what does not belong to it, by named patterns, and reports what each of them removed.

    cleaner = Cleaner(["ru-classics"])
    text = cleaner.clean(text)            # a second time changes nothing
    cleaner.lines()                       # the report, with samples to look at before trusting the patterns

Knows nothing about files.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitron.core.files import atomic_write
from minitron.recipe.kinds import CLEANINGS

SAMPLES = 8  # kept for each pattern, at most one per text
AROUND = 30  # characters on each side of a match, in a sample
SHOWN = 120  # characters of a match, in a sample


@dataclass(frozen=True)
class Pattern:
    """What is removed: matches of `regex`, which are replaced by `keep`. With `not_before`, only matches that begin after that
    share of a text."""

    name: str
    help: str
    regex: re.Pattern[str]
    keep: str = ""
    not_before: float = 0.0


@dataclass
class Taken:
    """What a pattern removed: how often, how many characters, and the first samples as (before, removed, after)."""

    times: int = 0
    characters: int = 0
    samples: list[tuple[str, str, str]] = field(default_factory=list)


class Cleaner:
    """The patterns of some sets, applied one after the other, and what they removed from all texts so far."""

    def __init__(self, sets: Iterable[str]):
        self.patterns: list[Pattern] = [pattern for name in sets for pattern in CLEANINGS[name].load()]
        self.taken = {pattern.name: Taken() for pattern in self.patterns}
        self.texts = self.characters = 0

    def clean(self, text: str) -> str:
        """The text without what the patterns find. They are applied until none finds anything, so that cleaning again changes
        nothing. A text in which nothing is found is returned unchanged."""
        self.texts += 1
        self.characters += len(text)
        sampled = {name: False for name in self.taken}
        before = ""
        while text != before:
            before = text
            for pattern in self.patterns:
                text = self._apply(pattern, text, sampled)
        return text

    def _apply(self, pattern: Pattern, text: str, sampled: dict[str, bool]) -> str:
        taken = self.taken[pattern.name]
        least = pattern.not_before * len(text)

        def replace(match: re.Match[str]) -> str:
            kept = match.expand(pattern.keep)
            if match.start() < least or kept == match[0]:
                return match[0]
            taken.times += 1
            taken.characters += len(match[0]) - len(kept)
            if len(taken.samples) < SAMPLES and not sampled[pattern.name]:
                sampled[pattern.name] = True  # one sample per text
                around = text[max(0, match.start() - AROUND) : match.start()], text[match.end() : match.end() + AROUND]
                taken.samples.append((around[0], match[0][:SHOWN], around[1]))
            return kept

        # such a match takes all that follows, so the first one counts, and only if it begins late enough
        if pattern.not_before:
            match = pattern.regex.search(text)
            if match is None or match.start() < least:
                return text
            return text[: match.start()] + replace(match)
        return pattern.regex.sub(replace, text)

    @property
    def removed(self) -> int:
        """Characters that all patterns removed."""
        return sum(taken.characters for taken in self.taken.values())

    def report(self) -> dict[str, Any]:
        """For programs: the share of the characters that each pattern removed."""
        share = 1 / max(1, self.characters)
        return {
            "texts": self.texts,
            "characters": self.characters,
            "removed": self.removed,
            "share": self.removed * share,
            "patterns": {name: vars(taken) | {"share": taken.characters * share} for name, taken in self.taken.items()},
        }

    def write(self, path: Path) -> None:
        atomic_write(path, json.dumps(self.report(), ensure_ascii=False, indent=1))

    def lines(self) -> list[str]:
        """For people: a line for each pattern, and samples of what it removed."""
        found = [
            f"{self.texts:,} texts, {self.characters:,} characters, of which {self.removed:,} go ({self._share(self.removed)})"
        ]
        for pattern in self.patterns:
            taken = self.taken[pattern.name]
            found.append(
                f"{pattern.name}: {taken.times:,} times, {taken.characters:,} characters ({self._share(taken.characters)})"
            )
            for before, text, after in taken.samples:
                found.append(f"    {before}⟦{text}⟧{after}".replace("\n", "↵"))
        return found

    def _share(self, characters: int) -> str:
        return f"{characters / max(1, self.characters):.3%}"
