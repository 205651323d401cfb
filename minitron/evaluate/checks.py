"""The answer checker of eval's probes: rules that need no judge.

    passes("7 + 5 = 12.", {"all": ["= 12"]})  # True

A check is a mapping (or its JSON) with any of these keys; all that are there must hold:

    all     every text occurs in the answer
    any     at least one text occurs
    none    no text occurs
    equals  the whole answer is this text

A text occurs as whole words: "12" is not in "112", nor "Anna" in "Annabel", nor "ku" in "ku-ku" (a word with a hyphen is
one word). A number is a whole number: "12" is neither in "12.5" nor in "-12". Case does not matter, ё is е, any run of
spaces is one, and beside a sign a space is optional: "= 12" is in "7+5=12". `equals` further ignores quotes around the
answer and the mark at its end. Knows nothing about models.
"""

import json
import re
from functools import lru_cache
from typing import Any

from minitron.core.errors import MinitronError

KEYS = ("all", "any", "none", "equals")
_HINT = 'write it as {"all": ["Paris"], "none": ["London"]}'


def passes(answer: str, check: str | dict[str, Any]) -> bool:
    """Whether `answer` obeys `check`. Raises MinitronError if the check is malformed."""
    rules = parse(check)
    text = _normal(answer)
    if "equals" in rules and _bare(answer) != _bare(rules["equals"]):
        return False
    if not all(_pattern(t).search(text) for t in rules.get("all", ())):
        return False
    if any(_pattern(t).search(text) for t in rules.get("none", ())):
        return False
    return "any" not in rules or any(_pattern(t).search(text) for t in rules["any"])


def parse(check: str | dict[str, Any]) -> dict[str, Any]:
    """The rules as a mapping. Raises MinitronError if they are malformed."""
    if isinstance(check, str):
        try:
            check = json.loads(check)
        except ValueError:
            raise MinitronError(f"the check {check!r} is not JSON", hint=_HINT) from None
    if not isinstance(check, dict) or not check:
        raise MinitronError(f"the check {check!r} has no rules", hint=_HINT)
    for key, value in check.items():
        if key not in KEYS:
            raise MinitronError(f"a check has no rule '{key}'", hint=f"the rules are {', '.join(KEYS)}")
        texts = [value] if key == "equals" else value
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            wanted = "a text" if key == "equals" else "a list of texts"
            raise MinitronError(f"the rule '{key}' of a check must be {wanted}, not {value!r}", hint=_HINT)
    return check


def _normal(text: str) -> str:
    return " ".join(text.casefold().replace("ё", "е").split())


def _bare(text: str) -> str:
    return _normal(text).strip(" \"'«»“”").rstrip(" .!?…").strip(" \"'«»“”")


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    """The regular expression that finds `text` as whole words in a normalised answer."""
    pieces = re.findall(r"\s|\w+|[^\w\s]", _normal(text))
    pattern = _EDGES[_kind(pieces[0])][0]
    for i, piece in enumerate(pieces):
        if piece == " ":  # never first or last
            pattern += r"\s*" if "sign" in (_kind(pieces[i - 1]), _kind(pieces[i + 1])) else r"\s"
        else:
            pattern += re.escape(piece)
    return re.compile(pattern + _EDGES[_kind(pieces[-1])][1])


# Patterns for what must not come before and after a text, by the kind of its first and last piece.
_EDGES = {
    "number": (r"(?<!\w)(?<!\d[.,])(?<!(?<!\w)[-−])", r"(?!\w)(?![.,]\d)"),
    "word": (r"(?<!\w)(?<!\w-)", r"(?!-?\w)"),  # a word with a hyphen is one word
    "sign": ("", ""),
}


def _kind(piece: str) -> str:
    if piece[0].isdigit():
        return "number"
    return "word" if re.match(r"\w", piece) else "sign"
