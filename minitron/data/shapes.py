"""Finds the columns in which a source keeps its dialogues: turns in one column, or a question and its answer in two.

    shape = Shape.find(names, config=config.data, where="x.jsonl")
    shape.turns(cells, count)      # the turns of each row, for `to_messages`

Knows nothing about files and scores.
"""

import difflib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from minitron.core.errors import MinitronError
from minitron.data.messages import as_turns, transcript
from minitron.recipe.data import DataConfig

TURNS = ("messages", "conversation", "conversations", "dialogue")
PAIRS = (  # a question's column and its answer's, the likeliest first
    ("instruction", "output"),  # Alpaca
    ("instruction", "response"),  # Dolly
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
    ("query", "response"),
    ("input", "output"),
)
MORE = ("input", "context")  # the text that an instruction is about
SYSTEM = ("system", "system_prompt")
HISTORY = "history"  # earlier turns: [[question, answer], ...]


@dataclass(frozen=True)
class Shape:
    """The columns of a source's dialogues. In each row the first column of `in_turns` that is filled counts; if none is, the
    first of `pairs` (question, answer) of which both are there. So the meaning of a row does not depend on the rows around it."""

    in_turns: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    beside: tuple[str, ...]  # input, system and history, as far as they are there

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.in_turns, *itertools.chain(*self.pairs), *self.beside)))

    @classmethod
    def find(cls, names: list[str], *, config: DataConfig, where: str) -> "Shape":
        """Finds the columns by the recipe's `format` and `column`, or else by the usual names. Raises MinitronError if there are none."""
        pairs = tuple(pair for pair in PAIRS if set(pair) <= set(names))
        in_turns = tuple(name for name in TURNS if name in names)
        if config.column != "auto" and config.format != "alpaca":
            if config.column not in names:
                raise no_column(config.column, names=names, where=where)
            in_turns, pairs = (config.column,), ()
        if config.format == "alpaca":
            in_turns = ()
        if config.format == "messages":
            pairs = ()
        kto = pairs[:1] == (("prompt", "completion"),) and "label" in names
        if not in_turns and (kto or (not pairs and {"chosen", "rejected"} <= set(names))):
            hint = "name the file in reject.files; data.files is for dialogues to learn from"
            raise MinitronError(f"{where} holds labelled answers", hint=hint)
        if not in_turns and not pairs:
            wanted = "instruction and output" if config.format == "alpaca" else ", ".join(TURNS)
            known = ", ".join(f"{question} and {answer}" for question, answer in PAIRS)
            hint = f"it has {listed(names)}; name the one with the turns in data.column, or rename two columns: {known}"
            if names == ["text"]:
                hint = "raw text belongs into pretrain.files; in a text with dialogues each message begins as in 'Anna: hello'"
            raise MinitronError(f"{where} has no column with turns ({wanted})", hint=hint)
        return cls(in_turns, pairs, tuple(name for name in (*MORE, *SYSTEM, HISTORY) if name in names))

    @property
    def whole_turns(self) -> str:
        """The one column that has all of every row's turns; empty if other columns may have some of them."""
        alone = len(self.in_turns) == 1 and not self.pairs and not {*SYSTEM, HISTORY} & set(self.beside)
        return self.in_turns[0] if alone else ""

    def turns(self, cells: dict[str, list], count: int) -> list:
        """Each row's turns, from the cells of `columns`."""
        columns = [cells.get(name, [None] * count) for name in self.columns]
        return [self._of_row(dict(zip(self.columns, row, strict=True))) for row in zip(*columns, strict=True)]

    def _of_row(self, row: dict[str, Any]) -> Any:
        found = next((row[name] for name in self.in_turns if row[name]), None)
        if found is None and self.pairs:
            pair = next((p for p in self.pairs if all(row[name] is not None for name in p)), self.pairs[0])
            question, answer = (row[name] for name in pair)
            more = next((row[n] for n in MORE if row.get(n) is not None and n not in pair), None)
            found = [*question_turns(question, more), *answer_turns(answer)]
        return with_earlier(found, row)


def question_turns(question: Any, more: Any = None) -> list:
    """A question as turns, with the text that it is about (`more`) below it. The question may itself be a list of turns."""
    if isinstance(question, str) and isinstance(more, str) and more.strip():
        question = f"{question.strip()}\n\n{more.strip()}"
    if isinstance(question, str) and (turns := transcript(question)):
        return turns if turns[-1]["content"].strip() else turns[:-1]  # it may end with "Assistant:"
    return [{"role": "user", "content": question}] if isinstance(question, str | None) else as_turns(question) or []


def answer_turns(answer: Any) -> list:
    """An answer as turns. It may be a list that begins with the question, or a transcript of the whole dialogue."""
    if isinstance(answer, str | None):
        return transcript(answer or "") or [{"role": "assistant", "content": answer}]
    return as_turns(answer) or []


def with_earlier(turns: Any, row: dict[str, Any]) -> Any:
    """Puts before the turns what the row's columns `system` and `history` hold. If the turns have a system message of their own,
    it comes first and replaces that of the column."""
    before = []
    system = next((row[name] for name in SYSTEM if isinstance(row.get(name), str) and row[name].strip()), None)
    history = row.get(HISTORY)
    if not system and not history:
        return turns
    turns = as_turns(turns) or []
    own = isinstance(turns[0], dict) and "system" in (turns[0].get("role"), turns[0].get("from")) if turns else False
    if system and not own:
        before.append({"role": "system", "content": system})
    for exchange in history if isinstance(history, list) else ():
        if not isinstance(exchange, dict | list | tuple):
            exchange = {}  # no message, so that the row is counted as malformed
        pair = [{"role": role, "content": said} for role, said in zip(("user", "assistant"), exchange, strict=False)]
        before += [exchange] if isinstance(exchange, dict) else pair
    return [*turns[:own], *before, *turns[own:]]


def listed(names: Iterable[str], most: int = 30) -> str:
    """Names in a sentence."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def no_column(column: str, *, names: Iterable[str], where: str, otherwise: str = "") -> MinitronError:
    """The error for a column that is not among `names`; the hint names the closest one, or says what to do `otherwise`."""
    names = list(names)
    near = difflib.get_close_matches(column, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    hint += f"it has {listed(names)}" + (f"; {otherwise}" if otherwise and not near else "")
    return MinitronError(f"{where} has no column '{column}'", hint=hint)
