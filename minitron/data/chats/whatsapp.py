"""WhatsApp's export: a text file, a line (or several) per message; the date's format depends on the phone's language.

    31.12.23, 21:15 - Nadia: hello                      Android
    12/31/23, 9:15\u202fPM - Nadia: hello               Android with a 12-hour clock
    [31.12.23, 21:15:10] Nadia: hello                   iOS

iOS puts U+200E before what nobody typed (pictures, calls, deleted messages), Android writes <...> in the phone's language.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from minitron.data.chats.export import DELETED, NO_TEXT, PARTS, SERVICE, Export, Said

MARKS = "\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufeff"  # direction marks, and the byte-order mark
NOT_TYPED = "\u200e"  # before a text: nobody typed it
BLANK = "[ \u00a0\u202f]"
# What stands at noon and after it, and before, behind the time (PM, μ.μ.) or in front of it (下午), by language.
PM = {"p", "pm", "μμ", "م", "下午", "晚上", "中午", "오후"}
AM = {"a", "am", "πμ", "ص", "上午", "早上", "凌晨", "오전"}
IN_FRONT = re.compile(r"[\u3400-\u9fff\uac00-\ud7af]+")  # 下午, 오후
BETWEEN = rf"[{MARKS}]*[./-]{BLANK}?"  # the numbers of a date; Arabic phones write a mark before each /
HEAD = re.compile(
    rf"[{MARKS}]*\[?(\d{{1,4}}){BETWEEN}(\d{{1,2}}){BETWEEN}(\d{{1,4}})\.?"  # 31.12.23
    rf"(?P<between>[^\d\n:]{{1,8}}?)[{MARKS}]*"  # a comma, "à", "klo", "г.,", 下午
    rf"(?P<hour>\d{{1,2}})[:.](?P<minute>\d{{2}})(?:[:.](?P<second>\d{{2}}))?"
    rf"(?:{BLANK}?(?P<half>[AaPp]\.?{BLANK}?[Mm]\.?|[πμ]\.?{BLANK}?μ\.?|[صم]))?[{MARKS}]*"  # PM
    rf"(?:\]|{BLANK}-)(?:{BLANK}|$)(?P<rest>.*)",
    re.DOTALL,
)
ATTACHED = re.compile(rf"[{MARKS}]*[^\n]*\.\w{{2,4}} \([^()\n]+\)(?:\n|$)")  # IMG-1.jpg (file attached)
# iOS without media: "a caption \u200eimage omitted", "a.pdf • \u200e3 pages \u200edocument omitted"
BEHIND = re.compile(rf"\s?{NOT_TYPED}[^\W\d_][^\d\n<>{NOT_TYPED}]{{2,40}}\s*\Z")
FILE_NAME = re.compile(rf"[^\n]*(?:\.\w{{2,5}}| • {NOT_TYPED}[^\n]*)")
OMITTED = re.compile(r"<[^<>\n]{2,60}>")
EDITED = re.compile(
    rf"\s*[{MARKS}]+<[^<>\n]{{2,60}}>\s*$|\s*<(This message was edited|Se editó este mensaje\.?|Diese Nachricht wurde bearbeitet\.?"
    r"|Dit bericht is bewerkt|Сообщение изменено|Ce message a été modifié|Questo messaggio è stato modificato|Mensagem editada)>\s*$"
)
REMOVED = re.compile(
    r"(this message was deleted|you deleted this message|(данное|это) сообщение удалено|вы удалили (данное|это) сообщение"
    r"|diese nachricht wurde gelöscht|du hast diese nachricht gelöscht|se eliminó este mensaje|eliminaste este mensaje"
    r"|ce message a été supprimé|vous avez supprimé ce message|mensagem apagada|você apagou esta mensagem"
    r"|questo messaggio è stato eliminato|hai eliminato questo messaggio|dit bericht is verwijderd|je hebt dit bericht verwijderd"
    r"|ta wiadomość została usunięta|usunięto tę wiadomość|bu mesaj silindi|bu mesajı sildiniz|це повідомлення видалено"
    r"|ви видалили це повідомлення|pesan ini telah dihapus|anda menghapus pesan ini|esta mensagem foi apagada|apagou esta mensagem"
    r"|este mensaje fue eliminado|הודעה זו נמחקה|מחקת הודעה זו)\.?",
    re.IGNORECASE,
)
LOOKED_AT = 40  # non-empty lines at the beginning by which a file is recognised


class Entry(NamedTuple):
    """A line with a date, and the lines that continue it. `date` has its three numbers in the order in which they are written."""

    date: tuple[int, int, int]
    time: tuple[int, int, int]
    rest: str


class WhatsApp(Export):
    title, holds = "WhatsApp", "text"

    @staticmethod
    def recognises(value: Any) -> bool:
        lines = [line for line in value[:20_000].split("\n") if line.strip()][:LOOKED_AT]
        return bool(lines and HEAD.match(lines[0])) and any(
            ": " in HEAD.match(line)["rest"] for line in lines if HEAD.match(line)
        )

    @staticmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        entries = list(entries_of(value))
        order, talk = order_of_date(entries), []
        for entry in entries:
            who, colon, text = entry.rest.partition(":")
            if not colon or "\n" in who or (text and text[0] not in " \n"):
                left_out[SERVICE] += 1
                continue
            text = text.removeprefix(" ")
            bare = text.strip(f"{MARKS} \n")
            if REMOVED.fullmatch(bare):
                left_out[DELETED] += 1
                continue
            text = EDITED.sub("", text)
            if with_file := ATTACHED.match(text):  # its caption is below
                text = text[with_file.end() :]
                parts[PARTS] += bool(text.strip())
            elif text.startswith(NOT_TYPED) or OMITTED.fullmatch(bare) or bare == "null":
                text = ""
            elif behind := BEHIND.search(text):
                text = text[: behind.start()]
                text = "" if FILE_NAME.fullmatch(text) else text
                parts[PARTS] += bool(text)
            if text.strip():
                talk.append(Said(who.strip(f"{MARKS} \u202f\u00a0"), text, time_of(entry, order)))
            else:
                left_out[NO_TEXT] += 1
        yield talk


def entries_of(text: str) -> Iterator[Entry]:
    """The entries of an export. All its heads are written alike; a line that begins with a date and a time in another way belongs to
    the message above, such as a timetable that somebody sent."""
    begun: list[str] = []
    way = None
    for line in text.split("\n"):
        head = HEAD.match(line)
        if head and way in (None, _way(head)):
            if begun:
                yield entry_of(begun)
            begun, way = [], _way(head)
        elif not begun:
            continue
        begun.append(line)
    if begun:
        yield entry_of(begun)


def _way(head: re.Match) -> str:
    """How a head is written: what stands between date and time, where 上午 and 下午 are the same."""
    return IN_FRONT.sub("下午", head["between"])


def entry_of(lines: list[str]) -> Entry:
    match = HEAD.match("\n".join(lines))
    hour = int(match["hour"])
    written = [match["half"] or "", *IN_FRONT.findall(match["between"])]
    halves = {re.sub(r"[\W_]", "", half).casefold() for half in written}
    if halves & (AM | PM):
        hour = hour % 12 + 12 * bool(halves & PM)
    time = (hour, int(match["minute"]), int(match["second"] or 0))
    return Entry((int(match[1]), int(match[2]), int(match[3])), time, match["rest"])


def order_of_date(entries: list[Entry]) -> str:
    """The order of year, month and day in the dates. A number above 12 is no month. If every number could be a month, it is the
    order in which the times go back least often, since messages stand in order of time."""
    if any(entry.date[0] > 31 for entry in entries):
        return "ymd"
    if any(entry.date[0] > 12 for entry in entries):
        return "dmy"
    if any(entry.date[1] > 12 for entry in entries):
        return "mdy"
    return min(("dmy", "mdy"), key=lambda order: steps_back([time_of(entry, order) for entry in entries]))


def steps_back(times: list[float | None]) -> int:
    known = [time for time in times if time is not None]
    return sum(after < before for before, after in pairwise(known))


def time_of(entry: Entry, order: str) -> float | None:
    """An entry's time in seconds, as if the phone were in UTC; None if there is no such day."""
    part = dict(zip(order, entry.date, strict=True))
    year = part["y"] + 2000 if part["y"] < 100 else part["y"]
    try:
        return datetime(year, part["m"], part["d"], *entry.time, tzinfo=UTC).timestamp()
    except ValueError:
        return None
