"""What a study of the recipe's own text says about the size of its vocabulary: `minitron study` writes it, `minitron plan` uses it.

Knows nothing about how a study is run.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from minitron.core.errors import MinitronError
from minitron.recipe.schema import Config


@dataclass(frozen=True)
class Studied:
    """The vocabulary that needed the fewest bits per byte of held-out text."""

    vocab_size: int
    body: int  # parameters in the blocks of the model that it was measured with
    sizes: tuple[int, ...]  # all that were tried, ascending
    seeds: int
    file: Path

    @property
    def told(self) -> str:
        """The finding in words."""
        edge = {self.sizes[0]: ", the smallest of", self.sizes[-1]: ", the largest of"}.get(self.vocab_size, " of")
        tried = ", ".join(f"{size:,}" for size in self.sizes)
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else "one seed"
        return (
            f"{self.vocab_size:,}{edge} {tried} needed the fewest bits per byte with {self.body / 1e6:.2f}M parameters in the "
            f"blocks ({seeds}, {self.file})"
        )


def read(config: Config) -> Studied | None:
    """The study in the recipe's run, of the recipe's kind and normalization; None if it has fewer than two sizes of vocabulary for
    these. A size counts by the mean of its seeds at its best learning rate. Raises MinitronError if the file is no study's."""
    path, wanted = config.layout.study_results, config.tokenizer
    if not path.exists():
        return None
    found, seeds, body = defaultdict[tuple[int, float], list[float]](list), set(), 0
    try:
        for cell in json.loads(path.read_text(encoding="utf-8")):
            point = cell["point"]
            if (point["kind"], point["normalization"]) == (wanted.kind, wanted.normalization):
                found[point["vocab_size"], point["lr"]].append(float(cell["bits_per_byte"]))
                seeds.add(cell["seed"])
                body = int(cell["body"])
    except (ValueError, KeyError, TypeError) as error:
        raise MinitronError(
            f"{path} is not what a study writes", hint="run minitron study again, or delete it"
        ) from error
    sizes = tuple(sorted({size for size, _ in found}))
    if len(sizes) < 2:
        return None
    (best, _), _ = min(found.items(), key=lambda each: fmean(each[1]))
    return Studied(best, body, sizes, len(seeds), path)
