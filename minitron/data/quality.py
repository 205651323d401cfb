"""Rules about the text of dialogues, named in `data.clean`, for data that nobody judged: some drop a dialogue, others mask words
in it.

    quality = Quality(["repetition", "language:ru", "emails"])
    messages = quality.of(messages)      # masked where needed, or the reason why the dialogue is dropped
    quality.masked                       # how many dialogues each mask changed

Each rule is a rough guess by the letters alone, so look at what it takes out (`minitron look`) before you trust it.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

from minitron.core.errors import MinitronError
from minitron.tokenizer.chat_template import Message

FEWEST_WORDS = 24  # a shorter answer is never called repetitive
GRAM = 4  # words in a run
MOST_REPEATED = 0.4  # share of an answer's runs of GRAM words that may repeat earlier ones
CLOSE = {"“": "„", "«": "»"}  # in German, in Russian within other quotes, and in Danish these end what the others begin
FEWEST_CHARACTERS = 60  # a shorter answer is only called broken off for an open code fence
LETTERS = 0.7  # share of an answer's letters that must be of the language's script
FEWEST_LETTERS = 12

SCRIPTS = {  # how Unicode names the letters of a language
    **dict.fromkeys(("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "mn", "tg"), ("CYRILLIC",)),
    **dict.fromkeys(
        ("en", "de", "fr", "es", "pt", "it", "nl", "pl", "cs", "sv", "da", "no", "fi", "tr", "vi", "id", "ro", "hu"),
        ("LATIN",),
    ),
    "el": ("GREEK",),
    "he": ("HEBREW",),
    **dict.fromkeys(("ar", "fa", "ur"), ("ARABIC",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("DEVANAGARI",)),
    "bn": ("BENGALI",),
    "ta": ("TAMIL",),
    "th": ("THAI",),
    "ka": ("GEORGIAN",),
    "hy": ("ARMENIAN",),
    "ko": ("HANGUL", "CJK"),
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "zh": ("CJK",),
}

TEMPLATE = re.compile(
    r"<\|[a-z_]{2,24}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|^### ?(?:Instruction|Response|Input|Human|Assistant):"
    r"|\{\{ ?[\w.]+ ?\}\}|\[(?:insert|your|company) [\w ]{1,30}\]|lorem ipsum dolor",
    re.IGNORECASE | re.MULTILINE,
)
YEAR, BYTE = r"(?:1[89]|20)\d\d", r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
NO_PHONE = (
    r"\+?\d{1,3}(?:[ .]\d{3}){0,4}[ .]000(?![ .-]?\d)"  # 146 000 000
    rf"|(?:{BYTE}\.){{3}}{BYTE}(?!\.?\d)"  # 192.168.100.200
    rf"|{YEAR}[ -]{YEAR}(?!\d)"  # 2023 2024 2025
    rf"|\d\d?\.\d\d?\.{YEAR}(?!\d)|{YEAR}-\d\d-\d\d(?!\d)"  # 31.12.2024 12.30
)
MASKS = {
    "emails": (  # the last part is letters: react@18.2.0, checkout@v4.1 and q@k.T are none, nor is q@k.transpose(
        re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,4}(?:xn--[\w-]{1,59}|[^\W\d_]{2,63})\b(?!\()"),
        "[email]",
    ),
    "phones": (
        re.compile(
            rf"(?<![\w,/=+-])(?!{NO_PHONE})(?:\+(?!\d+\.\d+(?![ .-]?\d))"  # +1.23456789 is none
            r"(?:\d(?:[ .-]?\d){10}\d{0,4}|\d(?:[ .-]?\d){8,9})"  # +79211234567, +33 6 12 34 56 78; another may follow
            r"|(?<![.:])(?:\+?\d{1,3}[ .-]?)?\((?!(?:1[89]|20)\d\d\))\d{2,5}\)[ .-]?\d{2,7}(?:[ .-]\d{2,4}){0,4}"  # 8 (921) 123-45-67
            r"|(?<![.:])(?:8[ .-])?\d{2,4}(?:[ .-]\d{2,4}){2,4}|(?<!\d\.)89\d{9})"  # 0171 123 45 67, 8-800-555-35-35, 89211234567
            r"(?![\w/:=-]|[.,]\d)"
        ),
        "[phone]",
    ),
    "keys": (
        re.compile(
            r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bAKIA[A-Z0-9]{16}\b"
            r"|\bhf_[A-Za-z0-9]{30,}|\bxox[abposr]-[A-Za-z0-9-]{20,}|\bAIza[\w-]{35}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"
            r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)",
            re.DOTALL,
        ),
        "[key]",
    ),
}
PHONE_DIGITS = range(9, 16)


def repetitive(text: str) -> bool:
    """Whether much of a text repeats earlier parts of it word for word."""
    words = text.casefold().split()
    if len(words) < FEWEST_WORDS:
        return False
    grams = Counter(zip(*(words[i:] for i in range(GRAM)), strict=False))
    return 1 - len(grams) / grams.total() > MOST_REPEATED


def broken_off(text: str) -> bool:
    """Whether a text of several sentences ends in the middle of one: with a letter, a comma, an open bracket or code fence."""
    if text.count("```") % 2:
        return True
    if len(text) < FEWEST_CHARACTERS:
        return False
    last = text.rstrip()[-1:]
    if last in CLOSE and text.count(last) == text.count(CLOSE[last]):
        return False
    return last in ",;(-–—«“" or (
        last.isalpha() and bool(re.search(r"[.!?…。！？]\s+\S", text)) and "\n" not in text[-200:].strip()
    )


def of_template(text: str) -> bool:
    return TEMPLATE.search(text) is not None


def is_in(scripts: tuple[str, ...], text: str) -> bool:
    """Whether most letters of a text are of these scripts; true, too, of a text with too few letters to tell."""
    names = [unicodedata.name(c, "") for c in text if c.isalpha()]
    return len(names) < FEWEST_LETTERS or sum(name.startswith(scripts) for name in names) >= LETTERS * len(names)


DROPS: dict[str, Callable[[list[str]], bool]] = {  # what each rule says of a dialogue's answers
    "repetition": lambda answers: any(map(repetitive, answers)),
    "truncated": lambda answers: broken_off(answers[-1]),
    "template": lambda answers: any(map(of_template, answers)),
}


class Quality:
    """The rules of one recipe. Raises MinitronError for an unknown name."""

    def __init__(self, names: Iterable[str], *, masked: Counter[str] | None = None):
        self.drops: dict[str, Callable[[list[str]], bool]] = {}
        self.masks: dict[str, tuple[re.Pattern[str], str]] = {}
        self.masked: Counter[str] = Counter() if masked is None else masked  # name -> dialogues
        for name in names:
            kind, _, language = name.partition(":")
            if name in DROPS:
                self.drops[name] = DROPS[name]
            elif name in MASKS:
                self.masks[name] = MASKS[name]
            elif kind == "language" and language in SCRIPTS:
                self.drops[name] = lambda answers, scripts=SCRIPTS[language]: (
                    not all(is_in(scripts, text) for text in answers)
                )
            else:
                known = ", ".join([*DROPS, *MASKS, "language:xx"])
                hint = f"known are {known}, where xx is one of {', '.join(sorted(SCRIPTS))}"
                raise MinitronError(f"data.clean: there is no rule '{name}'", hint=hint, code=2)

    def of(self, messages: list[Message]) -> list[Message] | str:
        """The dialogue, masked, or the reason why it is dropped: `clean: ` and the first rule that drops it."""
        answers = [message["content"] for message in messages if message["role"] == "assistant"]
        for name, drops in self.drops.items():
            if drops(answers):
                return f"clean: {name}"
        for name, (pattern, sign) in self.masks.items():
            made = [{**message, "content": masked(name, pattern, sign, message["content"])} for message in messages]
            self.masked.update([name] if made != messages else [])
            messages = made
        return messages


def masked(name: str, pattern: re.Pattern[str], sign: str, text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        digits = sum(c.isdigit() for c in match[0])
        return match[0] if name == "phones" and digits not in PHONE_DIGITS else sign

    return pattern.sub(replaced, text)
