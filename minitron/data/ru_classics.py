"""`ru-classics`: what editors of scanned Russian prose added to it.

Each pattern is narrow on purpose: prose has square brackets, numbers and asterisks of its own (*N*, a street ***ov*), and a note
that is left in does less harm than prose that is lost. The tests hold an invented example of each pattern, and of what it must
leave alone (tests/test_cleaning.py).
"""

import re

from minitron.data.cleaning import Pattern

MONTH = "(?:января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря)"
ARCHIVE = "(?:ЦГАЛИ|РГАЛИ|ЦГАОР|ЦГИА|РГИА|ГБЛ|РГБ|ГПБ|РНБ|ИРЛИ|ПД|ЛБ|ГЛМ|ГИМ)"
SHELF = r"ф\.\s?\d+,\s?(?:оп\.\s?\d+,\s?)?(?:№\s?\d+|ед\.\s?хр\.\s?\d+)(?:,\s?лл?\.\s?\d+(?:[-–—]\d+)?(?:\s?об\.)?)?"
LINE = re.MULTILINE

PATTERNS = [
    Pattern(
        "notes at the end",
        "a heading Примечания (Комментарии, Варианты) in the last third of a text, the first one in it, and all behind it",
        re.compile(r"^[ \t]*(?:примечани[ея]|комментари[ий]|варианты)[ \t]*\.?[ \t]*\n[\s\S]*\Z", LINE | re.IGNORECASE),
        not_before=2 / 3,
    ),
    Pattern(
        "variant readings",
        "a variant in braces, such as {Вместо: ... - было: ...}, and the space before it",
        re.compile(r"[ \t]?\{(?:Вместо|Далее|Было|Первоначально|В рукописи|Зач[её]ркнуто|Вписано|После|Перед)\b[^{}]{1,600}\}"),
    ),
    Pattern(
        "instead of",
        "a line that tells a variant: Вместо: «...» — было: «...»",
        re.compile(
            r"^[ \t]*(?:С(?:тр)?\.\s?\d+[.,:]?[ \t]*)?"
            r"(?:Вместо[ \t]*:[^\n]{1,300}?было|(?:После|Перед|Далее)\b[^\n]{1,300}?[-–—][ \t]*(?:вписано|зач[её]ркнуто|начато))"
            r"[ \t]*:[^\n]*\n?",
            LINE,
        ),
    ),
    Pattern(
        "archive codes",
        "where a manuscript lies: (ЦГАЛИ, ф. 549, оп. 1, ед. хр. 12, л. 3)",
        re.compile(rf"[ \t]?[(\[](?:{ARCHIVE}\b[^()\[\]\n]{{0,160}}|{SHELF}\.?)[)\]]|[ \t]?\b{ARCHIVE},\s?{SHELF}\.?"),
    ),
    Pattern(
        "letter headers",
        "the addressee in capitals, with a number or not, and the date in the next line: А. С. СУВОРИНУ / 5 мая 1889 г.",
        re.compile(
            rf"^[ \t]*(?:\d{{1,4}}\.[ \t]*)?[А-ЯЁ]\.[ \t]?(?:[А-ЯЁ]\.[ \t]?)?[А-ЯЁ-]{{2,}}(?:У|Ю|ОЙ|ЕЙ|ОМУ|ЕМУ|ЫМ|ИМ|АМ)[ \t]*\n\s*"
            rf"\d{{1,2}}(?:[ \t]?[-–—(][ \t]?\d{{1,2}}\)?)?[ \t]{MONTH}[ \t]1[789]\d\d[ \t]?г\.[^\n]{{0,60}}\n",
            LINE,
        ),
    ),
    Pattern(
        "numbered notes",
        "a line that begins with a note's number in brackets or with an asterisk: [12] ..., {12} ..., 12* ...",
        re.compile(r"^[ \t]*(?:\[\d{1,3}\]|\{\d{1,3}\}|\d{1,3}\*)[ \t]+[^\n]+\n?", LINE),
    ),
    Pattern(
        "signed notes",
        "a line of at most 400 characters that ends with (Прим. ...), (Примеч. автора) and the like",
        re.compile(r"^[^\n]{0,400}\((?:Прим|Примеч)\.[^()\n]{1,40}\)[ \t]*\.?[ \t]*(?:\n|\Z)", LINE),
    ),
    Pattern(
        "page references",
        "a reference in brackets to a page of the edition: (см. стр. 12), [стр. 5—7], (с. 30)",
        re.compile(r"[ \t]?[(\[](?:[Сс]м\.[ \t]?|[Сс]р\.[ \t]?)?(?:наст\.[ \t]изд\.,[ \t]?)?[Сс](?:тр)?\.[ \t]?\d{1,4}(?:[-–—]{1,2}\d{1,4})?\.?[)\]]"),
    ),
    Pattern(
        "footnote marks",
        "a note's number behind a word or a mark: слово[12], слово{12}, слово12*, and [*]",
        re.compile(r"(?<=[\w»”\".,!?…);:])(?:\[\d{1,3}\]|\{\d{1,3}\})|(?<=[а-яё»,.!?…])\d{1,2}\*(?!\w)|\[\*\][ \t]?"),
    ),
    Pattern(
        "completions",
        "an editor's angle brackets; what is in them stays: Петерб<ургские>",
        re.compile(r"(?<=[А-Яа-яЁё])<([А-Яа-яЁё]{1,30})>"),
        keep=r"\1",
    ),
]  # fmt: skip
