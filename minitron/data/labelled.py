"""Reads completions that people or judges labelled, in the shapes that such data comes in (docs/data.md).

- `prompt`, `completion`, `label` rows, as TRL's KTO reads them
- `chosen` and `rejected` columns: answers to a prompt beside them, or whole dialogues that differ in their last answer
- dialogues with scores: what passes `reject.chosen_if` is chosen, what passes `reject.rejected_if` is rejected

Yields one `Labelled` per completion; knows nothing about who learns from it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from minitron.core.errors import MinitronError
from minitron.data.formats import open_source
from minitron.data.formats.source import Source, reading
from minitron.data.messages import HINTS, NO_ANSWER, check_order, parse, role_map, to_messages
from minitron.data.rules import Rules, to_number
from minitron.data.shapes import HISTORY, MORE, SYSTEM, TURNS, answer_turns, listed, question_turns, with_earlier
from minitron.data.sources import Reader, find_files
from minitron.recipe.schema import Config
from minitron.tokenizer.chat_template import Message

NO_LABEL = "no label"
NO_PROMPT = "malformed: no prompt"
SAME = "chosen equals rejected"
BOTH = "passes chosen_if and rejected_if"
GOOD = {"true", "1", "yes", "y", "good", "chosen", "desirable", "positive", "like", "liked", "up", "thumbs up"}
GOOD |= {"thumbs_up", "👍"}
BAD = {"false", "0", "-1", "no", "n", "bad", "rejected", "undesirable", "negative", "dislike", "disliked", "down"}
BAD |= {"thumbs down", "thumbs_down", "👎"}


@dataclass
class Labelled:
    """A dialogue up to the user's turn, an answer to it, and whether it is a good one."""

    prompt: list[Message]
    completion: str
    label: bool


def read(config: Config, dropped: Counter) -> Iterator[Labelled]:
    """All labelled completions of `reject.files`; those that cannot be used are counted in `dropped` by the reason.

    Raises MinitronError if a file has no known shape, or if no completion can be used.
    """
    found = 0
    for one in _judged(config, dropped) if judged(config) else _recorded(config, dropped):
        found += 1
        yield one
    if not found:
        raise none_of_use(dropped)


def none_of_use(dropped: Counter) -> MinitronError:
    """The error for files of which every row was dropped."""
    reasons = "; ".join(f"{reason}: {rows:,}" for reason, rows in dropped.most_common())
    hint = HINTS.get(next(iter(dict(dropped.most_common(1))), ""), "docs/data.md shows the shapes that are read")
    return MinitronError(f"reject.files: no completion is of use ({reasons or 'no row is labelled'})", hint=hint)


def judged(config: Config) -> bool:
    """Whether labels come from the scores of dialogues."""
    return bool(config.reject.chosen_if or config.reject.rejected_if)


def files(config: Config) -> list[Source]:
    """The sources of `reject.files`."""
    return [open_source(path) for path in find_files(config.reject.files, option="reject.files")]


# --- dialogues with scores -------------------------------------------------------------------------------------------


def judging_rules(config: Config) -> list[tuple[Rules, bool]]:
    """For each label that has rules: the rules that give it (`Rules.keep`) with those that give the other one (`Rules.valid`),
    and the label."""
    found = []
    # A row that nobody judged is neither good nor bad, whatever data.missing_scores says about training data.
    base = replace(config.data, probes="", missing_scores="drop")
    chosen, rejected = ("chosen_if", config.reject.chosen_if), ("rejected_if", config.reject.rejected_if)
    for (name, rules), (other_name, others), label in ((chosen, rejected, True), (rejected, chosen, False)):
        if rules:
            options = {"keep": f"reject.{name}", "valid": f"reject.{other_name}"}
            found.append((Rules(replace(base, keep=rules, valid_keep=others), **options), label))
    return found


def _judged(config: Config, dropped: Counter) -> Iterator[Labelled]:
    """Columns, shape and roles are those of [data]."""
    roles = role_map(config.data)
    for rules, label in judging_rules(config):
        for rows in Reader(config.data, rules=rules).read(files(config)):
            for row in rows:
                if rules.valid and row.may_be_valid:  # it passes the other label's rules, too
                    if label:  # counted once
                        dropped[BOTH] += 1
                    continue
                messages = to_messages(row.turns, roles=roles, unknown=set())
                if isinstance(messages, str):
                    dropped[messages] += 1
                else:
                    yield Labelled(messages[:-1], messages[-1]["content"], label)


# --- recorded labels -------------------------------------------------------------------------------------------------


def _recorded(config: Config, dropped: Counter) -> Iterator[Labelled]:
    roles = role_map(config.data)
    for source in files(config):
        with reading(source.where):
            for row in source.rows():
                yield from of_row(row, roles=roles, where=source.where, dropped=dropped)


def of_row(row: dict, *, roles: dict[str, str], where: str, dropped: Counter) -> list[Labelled]:
    """A row's completions; empty if they cannot be used. Raises MinitronError if the row has no known shape."""
    answers = next((found for shape in SHAPES if (found := shape(row, where)) is not None), None)
    if answers is None:
        raise MinitronError(
            f"{where} has neither chosen and rejected nor prompt, completion and label, but {listed(row)}",
            hint="for dialogues with scores set reject.chosen_if and reject.rejected_if",
        )
    prompt = asked(row)
    found = []
    for answer, label in answers:
        if label is None:
            dropped[NO_LABEL] += 1
            return []
        messages = _joined(prompt, answer, roles)
        if isinstance(messages, str):
            dropped[messages] += 1
            return []
        found.append(Labelled(messages[:-1], messages[-1]["content"], label))
    if len(found) == 2 and found[0].completion == found[1].completion:
        dropped[SAME] += 1
        return []
    return found


Answers = list[tuple[Any, bool | None]]  # each as the row has it, and its label


def unpaired(row: dict, where: str) -> Answers | None:
    """A completion (or an answer under another name) and its label; None if the row has another shape."""
    if "label" not in row:
        return None
    for name in ("completion", "response", "answer", "output"):
        if name in row:
            return [(row[name], to_label(row["label"], where=where))]
    return None


def paired(row: dict, where: str) -> Answers | None:
    """A chosen and a rejected answer: texts, messages, or dialogues that begin with the prompt; None if the row has another shape."""
    return [(row["chosen"], True), (row["rejected"], False)] if "chosen" in row and "rejected" in row else None


SHAPES: list[Callable[[dict, str], Answers | None]] = [unpaired, paired]


def to_label(value: Any, *, where: str) -> bool | None:
    """True for good, False for bad, None if nobody judged. Raises MinitronError for any other value."""
    number = to_number(value)
    if value is None or value == "" or (number is None and isinstance(value, float)):
        return None
    word = str(value).strip().lower() if number is None else f"{number:g}"
    if word in GOOD or word in BAD:
        return word in GOOD
    hint = (
        "labels are true or false, 1 or 0, 1 or -1, good or bad; for scores set reject.chosen_if and reject.rejected_if"
    )
    raise MinitronError(f"{where}: the label {value!r} is neither good nor bad", hint=hint)


def asked(row: dict) -> list:
    """The turns that come before a row's answers, from whichever of the known columns the row has."""
    question = next((row[name] for name in ("prompt", "question", "instruction", *TURNS) if row.get(name)), None)
    more = next((row[name] for name in MORE if row.get(name)), None)
    turns = question_turns(question, more) if question is not None or more is not None else []
    return with_earlier(turns, {name: row.get(name) for name in (*SYSTEM, HISTORY)}) or []


def _joined(prompt: list, answer: Any, roles: dict[str, str]) -> list[Message] | str:
    """Prompt and answer as a checked dialogue, or the reason why they are none. An answer that begins with the user's turn holds
    the prompt itself, unless it continues the prompt's dialogue."""
    parts = [parse(turns, roles=roles, unknown=set()) if turns else [] for turns in (prompt, answer_turns(answer))]
    if reason := next((part for part in parts if isinstance(part, str)), ""):
        return reason
    before, after = parts
    if not after or after[-1]["role"] != "assistant":
        return NO_ANSWER
    if not before and after[0]["role"] == "assistant":
        return NO_PROMPT
    system = before[:1] if before and before[0]["role"] == "system" else []
    turns = before[len(system) :]
    if turns and after[0]["role"] != "assistant" and (turns[-1]["role"] == "user" or turns[0] == after[0]):
        before = [] if after[0]["role"] == "system" else system
    messages = before + after
    return check_order(messages) or messages
