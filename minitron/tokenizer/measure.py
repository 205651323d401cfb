"""Measures a tokenizer on the text that it was trained for: characters per token by script, its longest and oddest tokens.

Knows nothing about where the text comes from.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby

from minitron.tokenizer.base import Tokenizer

WORD = re.compile(r"[^\W\d_]+")
LISTED = 10  # longest and oddest tokens
RUN = 4  # this many of one character in a row are odd


def per_token(texts: list[str], tokenizer: Tokenizer) -> dict[str, float]:
    """The number of tokens, and characters and bytes per token."""
    tokens = sum(map(len, tokenizer.encode_many(texts)))
    return {
        "tokens": tokens,
        "characters_per_token": round(sum(map(len, texts)) / max(1, tokens), 3),
        "bytes_per_token": round(sum(len(text.encode()) for text in texts) / max(1, tokens), 3),
    }


def by_script(texts: Iterable[str], tokenizer: Tokenizer) -> dict[str, dict[str, float]]:
    """For each script, its words, characters and bytes per token, and tokens per word, the commonest script first. A word counts
    with the space before it. Languages that share a tokenizer are told apart by their letters."""
    words = Counter(word for text in texts for word in WORD.findall(text))
    known = list(words)
    sums: dict[str, list[int]] = {}
    for word, ids in zip(known, tokenizer.encode_many([f" {word}" for word in known]), strict=True):
        found = sums.setdefault(script(word[0]), [0, 0, 0, 0])
        for place, value in enumerate((1, len(ids), len(word) + 1, len(word.encode()) + 1)):
            found[place] += value * words[word]
    return {
        name: {
            "words": count,
            "characters_per_token": round(characters / tokens, 3),
            "bytes_per_token": round(size / tokens, 3),
            "tokens_per_word": round(tokens / count, 3),
        }
        for name, (count, tokens, characters, size) in sorted(sums.items(), key=lambda item: -item[1][0])
    }


@lru_cache(maxsize=1 << 14)
def script(letter: str) -> str:
    """The script of a letter, by its Unicode name: latin, cyrillic, cjk."""
    return unicodedata.name(letter, "other").split()[0].split("-")[0].lower()


def longest(tokenizer: Tokenizer) -> list[str]:
    """The longest tokens, by characters."""
    return sorted(_texts(tokenizer), key=lambda text: (-len(text), text))[:LISTED]


def oddest(tokenizer: Tokenizer) -> list[str]:
    """Unexpected tokens: letters of two scripts, a character many times in a row, letters mixed with other signs; the oddest
    first, then the longest."""
    found = [(odd, -len(text), text) for text in _texts(tokenizer) if (odd := _oddity(text)) < 3]
    return [text for _, _, text in sorted(found)[:LISTED]]


def _oddity(text: str) -> int:
    body = [c for c in text.strip(" ") if unicodedata.category(c)[0] != "M"]  # marks belong to their letters
    if len({script(c) for c in body if c.isalpha()}) > 1:
        return 0
    if any(len(list(run)) >= RUN for _, run in groupby(text)):
        return 1
    if any(map(str.isalpha, body)) and not all(c.isalpha() or c in "'-’" for c in body):
        return 2
    return 3


def _texts(tokenizer: Tokenizer) -> list[str]:
    ids = (i for i in range(tokenizer.vocab_size) if not tokenizer.is_byte(i))
    return [raw.decode(errors="replace") for i in ids if (raw := tokenizer.piece_bytes(i))]
