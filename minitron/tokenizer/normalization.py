"""How a text is normalised before it is cut into tokens. The rules are stored inside the tokenizer, so that the chat program has
them too.

    normalizer = Normalizer(TokenizerConfig(normalization="ru-classics"))
    normalizer.text("«Ёлка» - - это...")        # '"Елка" - - это…'
    normalizer.charsmap                         # the rules as SentencePiece stores them (docs/formats.md)

`identity`, `nfkc` and `nmt_nfkc` are SentencePiece's, `ru-classics` is ours, and any other name is a file of rules. At each place
of a text the longest matching rule applies, and its output is not normalised again. Knows nothing about tokens.
"""

import re
import unicodedata
from pathlib import Path

import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from minitron.core.errors import MinitronError
from minitron.recipe.schema import TokenizerConfig

LONGEST = 32  # most characters of a rule's left side; SentencePiece compares at most this many rules at one place
LONGEST_BYTES = 1024  # most bytes of its right side; the chat program takes a longer one for damage
AS_IS = {"add_dummy_prefix": False, "escape_whitespaces": False, "remove_extra_whitespaces": False}  # spaces
RULE_FILE_HINT = "a rule is: code points in hex, a tab, the code points in their place, such as 451<tab>435"


def _ru_classics() -> dict[str, str]:
    rules = {"ё": "е", "Ё": "Е", "е\u0308": "е", "Е\u0308": "Е", "и\u0306": "й", "И\u0306": "Й"}
    for vowel in "аеёиоуыэюя":  # only stress marks on Russian vowels go; those of French words stay
        for letter in (vowel, vowel.upper()):
            rules |= {letter + mark: rules.get(letter, letter) for mark in ("\u0301", "\u0300")}
    rules |= dict.fromkeys("«»„“”‟", '"')
    rules |= dict.fromkeys(["--", "---", "\u2012", "\u2013", "\u2015"], "\u2014")  # an em dash; a hyphen stays
    rules |= {"...": "…", "\u2011": "-", "\u00a0": " ", "\u00ad": ""}
    return rules


RU_CLASSICS = _ru_classics()


class Normalizer:
    """The rules of a recipe. `charsmap` holds them compiled; it is empty if they change nothing."""

    def __init__(self, config: TokenizerConfig):
        name = config.normalization
        sentencepiece.set_min_log_level(2)
        rules = {"ru-classics": RU_CLASSICS}.get(name)
        if config.rules_file:
            rules = read_rules(config.rules_file)
        if rules is None:
            self._library = sentencepiece.SentencePieceNormalizer(rule_name=name, **AS_IS)
        else:
            self._library = sentencepiece.SentencePieceNormalizer(norm_map=list(rules.items()), **AS_IS)
        model = sentencepiece_model_pb2.ModelProto.FromString(self._library.serialized_model_proto())
        self.charsmap = model.normalizer_spec.precompiled_charsmap
        longest_first = sorted(config.user_symbols, key=len, reverse=True)
        self._symbols = re.compile(f"({'|'.join(map(re.escape, longest_first))})") if longest_first else None

    def text(self, text: str) -> str:
        """The normalised text, for training and for cutting into tokens; the recipe's user symbols stay as they are."""
        if not self.charsmap:
            return text
        if self._symbols is None:
            return self._library.normalize(text)
        between = self._symbols.split(text)  # every other part is a symbol
        between[::2] = [self._library.normalize(part) for part in between[::2]]
        return "".join(between)


def read_rules(path: Path) -> dict[str, str]:
    """Reads rules from a file in SentencePiece's format, one per line: code points in hex with spaces between, a tab, and the
    code points that replace them (none: the text is dropped). Anything after a second tab, empty lines and lines that begin with
    # are comments.

    Raises a MinitronError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise MinitronError(f"{path} is not UTF-8 text", hint=RULE_FILE_HINT, code=2) from None
    except OSError as error:
        raise MinitronError(
            f"the rules of tokenizer.normalization cannot be read: {path}: {error.strerror}",
            hint="paths are relative to the current directory",
            code=2,
        ) from None
    rules: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            left, right = _rule(line, f"{path}, line {number}")
            if rules.setdefault(left, right) != right:
                raise MinitronError(f"{path}, line {number}: there is another rule for the same text", code=2)
    if not rules:
        raise MinitronError(f"{path} holds no rule", hint=RULE_FILE_HINT, code=2)
    return rules


def _rule(line: str, where: str) -> tuple[str, str]:
    sides = [_characters(side, where) for side in (line.split("\t") + [""])[:2]]
    if not sides[0] or len(sides[0]) > LONGEST or len(sides[1].encode()) > LONGEST_BYTES:
        told = f"{where}: a rule replaces 1 to {LONGEST} characters by at most {LONGEST_BYTES} bytes"
        raise MinitronError(told, hint=RULE_FILE_HINT, code=2)
    return sides[0], sides[1]


def _characters(side: str, where: str) -> str:
    try:
        points = [int(point, 16) for point in side.split()]
        text = "".join(map(chr, points))
        text.encode()
    except (ValueError, OverflowError):
        raise MinitronError(f"{where}: {side!r} is no list of code points", hint=RULE_FILE_HINT, code=2) from None
    if "\0" in text:
        raise MinitronError(f"{where}: the code point 0 cannot be in a rule", hint=RULE_FILE_HINT, code=2)
    return text


def rules_of(charsmap: bytes) -> dict[str, str]:
    """The rules in a compiled map: four bytes with the size of a double-array trie (https://github.com/s-yata/darts-clone) over UTF-8,
    the trie, and the replacements, each ended by a zero."""
    size = int.from_bytes(charsmap[:4], "little")
    units, replacements = np.frombuffer(charsmap[4 : 4 + size], "<u4").astype(np.int64), charsmap[4 + size :]

    def behind(place: int) -> int:
        unit = int(units[place])
        return place ^ (unit >> 10 << ((unit & 1 << 9) >> 6))

    found, letters, todo = {}, np.arange(1, 256), [(b"", behind(0))]
    while todo:
        text, place = todo.pop()
        at = place ^ letters
        there = at < len(units)
        labels = units[np.where(there, at, 0)] & (1 << 31 | 255)
        for letter in letters[there & (labels == letters)].tolist():
            key, after = text + bytes([letter]), behind(place ^ letter)
            todo.append((key, after))
            if units[place ^ letter] >> 8 & 1:
                begin = int(units[after]) & (1 << 31) - 1
                found[key.decode()] = replacements[begin : replacements.index(0, begin)].decode()
    return found


def applied(charsmap: bytes, text: str) -> str:
    """The text after the rules in a compiled map."""
    model = sentencepiece_model_pb2.ModelProto()
    model.normalizer_spec.precompiled_charsmap = charsmap
    found: str = sentencepiece.SentencePieceNormalizer(model_proto=model.SerializeToString(), **AS_IS).normalize(text)
    return found


def spans(text: str) -> bool:
    """Whether a text is more than one character with marks that combine with it (roughly a grapheme)."""
    return sum(not unicodedata.category(c).startswith("M") for c in text) > 1
