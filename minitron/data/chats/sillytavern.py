"""SillyTavern's chats: JSON lines, of which the first names the user and the character. Of several answers (swipes) to a message,
only the chosen one (`mes`) is read."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from minitron.data.chats.export import HIDDEN, JUNK, SWIPES, Export, Said, field


class SillyTavern(Export):
    title, holds = "SillyTavern", "lines"

    @staticmethod
    def recognises(value: Any) -> bool:
        return bool(value) and {"user_name", "character_name"} <= value[0].keys()

    @staticmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        talk = []
        for line in value[1:]:
            if "mes" not in line or not isinstance(line.get("is_user"), bool):
                left_out[JUNK] += 1
            elif line.get("is_system") is True:
                left_out[HIDDEN] += 1
            else:
                parts[SWIPES] += max(0, len(field(line, "swipes", list)) - 1)
                role = "user" if line["is_user"] else "assistant"
                talk.append(Said(field(line, "name", str), field(line, "mes", str), None, role))
        yield talk
