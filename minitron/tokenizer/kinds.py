"""Chooses the kind of tokenizer: the recipe names it for training, the file's contents show it for reading.

data = train(texts, config=config.tokenizer, seed=1)
tokenizer = load(path)
"""

from collections.abc import Iterable
from pathlib import Path

from minitron.core.errors import MinitronError
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.layout import Layout
from minitron.recipe.schema import Config, TokenizerConfig
from minitron.tokenizer.base import Tokenizer


def train(texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
    """Trains a tokenizer of the recipe's kind and returns the file's bytes; see `Tokenizer.train`."""
    kind: type[Tokenizer] = TOKENIZERS[config.kind].load()
    return kind.train(texts, config=config, seed=seed)


def load(path: Path) -> Tokenizer:
    """The tokenizer in a file. Raises MinitronError if there is none."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise MinitronError(f"there is no tokenizer {path}", hint="run: minitron tokenizer RECIPE") from None
    except OSError as error:
        raise MinitronError(
            f"{path} cannot be read: {error.strerror}", hint="is it a file, and yours to read?"
        ) from error
    return read(data, Path(path))


def inherited(config: Config) -> bytes:
    """The tokenizer file's bytes of the run that this one continues, with our markers added if it has none and the recipe has
    dialogues."""
    path = Layout(Path(config.init)).tokenizer
    found = load(path)
    return path.read_bytes() if found.markers or config.base else found.extended()


def read(data: bytes, path: Path) -> Tokenizer:
    """The tokenizer in a file's bytes. Raises MinitronError if there is none."""
    for line in TOKENIZERS.values():
        kind: type[Tokenizer] = line.load()
        if kind.reads(data):
            return kind(data, path)
    raise MinitronError(
        f"{path} is not a tokenizer of the kinds {', '.join(TOKENIZERS)}",
        hint="make it anew: minitron tokenizer RECIPE --force",
    )


def name_of(tokenizer: Tokenizer) -> str:
    """The recipe's word for a tokenizer's kind."""
    return next(word for word, line in TOKENIZERS.items() if type(tokenizer) is line.load())


def expected_size(config: Config) -> int:
    """The vocabulary size of the recipe's tokenizer. A tokenizer of another run, or of a kind that takes as many tokens as the
    text needs, has the size of its file; without a file, it is the size that the recipe plans with."""
    path, line = config.layout.tokenizer, TOKENIZERS[config.tokenizer.kind]
    if config.init and not path.exists():
        return read(inherited(config), path).vocab_size
    if (config.init or not line.sized) and path.exists():
        return load(path).vocab_size
    kind: type[Tokenizer] = line.load()
    return kind.reckoned_size(config.tokenizer)
