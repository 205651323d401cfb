"""Checks whole Arrow columns of turns: what `data.messages` checks for one row, for thousands of rows at a time.

    sound, messages = check(turns, roles=roles)      # which rows are dialogues, and those rows' messages
    digests_of(messages)                             # one per dialogue, the same as `messages.digest_of`

A row that is not sound here need not be bad: `to_messages` has to check it, which knows every shape and gives the reason. Knows
nothing about files and scores.
"""

import hashlib
from itertools import pairwise
from json.encoder import encode_basestring

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minitron.data.messages import tidy
from minitron.tokenizer.base import ROLES

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SYSTEM, USER, ASSISTANT, UNKNOWN = range(4)  # indices in ROLES, and one beyond
NAMES, TEXTS = {"role", "from"}, {"content", "value", "text"}
WEIGHTS = {"weight", "train"}

_BLANK = [c.encode() for c in map(chr, range(0x80, 0x3001)) if c.isspace()]  # what str.strip removes, beyond ASCII
_BLANK_ENDS = {size: np.array([int.from_bytes(c, "big") for c in _BLANK if len(c) == size]) for size in (2, 3)}


def check(turns: pa.Array, *, roles: dict[str, str]) -> tuple[np.ndarray, pa.ListArray]:
    """Which rows are dialogues for certain, (rows,) bool, and the messages of these rows, with tidied contents.

    Raises pa.ArrowInvalid if a text is not UTF-8.
    """
    fields = _fields(turns.type)
    if not fields:
        return np.zeros(len(turns), bool), pa.array([], MESSAGES)
    offsets = turns.offsets.to_numpy().astype(np.int64)
    values = turns.values.slice(offsets[0], offsets[-1] - offsets[0])
    offsets -= offsets[0]
    names, contents = (values.field(values.type.get_field_index(name)) for name in fields)
    contents.validate(full=True)

    count = np.diff(offsets)
    row = np.repeat(np.arange(len(turns)), count)
    role = _roles(names, roles)
    system = np.zeros(len(turns), bool)
    system[count > 0] = role[offsets[:-1][count > 0]] == SYSTEM
    place = np.arange(len(role)) - offsets[:-1][row] - system[row]  # -1: the system message
    wanted = np.where(place < 0, SYSTEM, np.where(place % 2, ASSISTANT, USER))
    contents = _tidied(contents)
    empty = pc.equal(pc.fill_null(pc.binary_length(contents), 0), 0).to_numpy(zero_copy_only=False)
    bad = (role != wanted) | empty
    if values.null_count:
        bad |= values.is_null().to_numpy(zero_copy_only=False)

    answered = count - system
    sound = (answered > 0) & (answered % 2 == 0) & turns.is_valid().to_numpy(zero_copy_only=False)
    sound[row[bad]] = False
    kept = sound[row]
    ends = np.concatenate([[0], np.cumsum(count[sound])])
    written = pa.array(ROLES).take(pa.array(role[kept]))
    struct = pa.StructArray.from_arrays([written, contents.filter(pa.array(kept))], fields=list(MESSAGES.value_type))
    return sound, pa.ListArray.from_arrays(pa.array(ends, pa.int32()), struct, type=MESSAGES)


def are_checked(kind: pa.DataType) -> bool:
    """Whether `check` finds dialogues among turns of this type; it leaves all other types to `to_messages`."""
    return _fields(kind) is not None


def _fields(kind: pa.DataType) -> tuple[str, str] | None:
    """The names of the fields with role and content, if turns have one of each, both texts, and no field that says whether to learn
    a turn; else None."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
        return None
    fields = {field.name: field.type for field in kind.value_type}
    names, texts = ([name for name in fields if name in wanted] for wanted in (NAMES, TEXTS))
    if len(names) != 1 or len(texts) != 1 or WEIGHTS & fields.keys():
        return None
    return (names[0], texts[0]) if _is_text(fields[names[0]]) and _is_text(fields[texts[0]]) else None


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _roles(names: pa.Array, roles: dict[str, str]) -> np.ndarray:
    """Each turn's role, as its index in ROLES; UNKNOWN if `roles` does not have it."""
    spelled = names.dictionary_encode()
    found = [roles.get(name) or roles.get(name.strip().lower()) for name in spelled.dictionary.to_pylist()]
    known = np.array([ROLES.index(role) if role else UNKNOWN for role in found] + [UNKNOWN], np.int8)
    return known[pc.fill_null(spelled.indices, len(found)).to_numpy()]


def _tidied(contents: pa.Array) -> pa.StringArray:
    """The texts as `messages.tidy` leaves them."""
    contents = contents.cast(pa.string())
    mask = pa.array(_untidy(contents))
    if not mask.true_count:
        return contents
    tidied = [text if text is None else tidy(text) for text in contents.filter(mask).to_pylist()]
    return pc.replace_with_mask(contents, mask, pa.array(tidied, pa.string()))


def _untidy(texts: pa.StringArray) -> np.ndarray:
    """(texts,) bool: the texts that `tidy` may change, judged by their first and last characters and by carriage returns."""
    _, ends, data = texts.buffers()
    ends = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    start, end = ends[:-1], ends[1:]
    untidy = np.zeros(len(texts), bool)
    if data is None or start.size == 0 or end[-1] == start[0]:
        return untidy
    there = end > start
    data = np.frombuffer(data, np.uint8)
    first, last = start[there], end[there] - 1
    found = (data[first] <= 0x20) | (data[last] <= 0x20)
    if (data[first] >= 0x80).any() or (data[last] >= 0x80).any():
        for size, blank in _BLANK_ENDS.items():
            found |= np.isin(_number(data, first, size), blank) | np.isin(_number(data, last + 1 - size, size), blank)
    untidy[there] = found
    if (data[ends[0] : ends[-1]] == ord("\r")).any():
        untidy |= pc.fill_null(pc.match_substring(texts, "\r"), False).to_numpy(zero_copy_only=False)
    return untidy


def _number(data: np.ndarray, at: np.ndarray, size: int) -> np.ndarray:
    """The `size` bytes from each place on, as one big-endian number. A place outside of the data gives a number that is no character."""
    at = at[:, None] + np.arange(size)
    return (data[at.clip(0, len(data) - 1)].astype(np.int64) << (8 * np.arange(size)[::-1])).sum(axis=1)


# the JSON before a content: of the first message of a dialogue, and of the others
_HEADS = pa.array([f'{begin}["{role}","' for begin in ("[", ",") for role in ROLES])
_TAILS = pa.array(['"]', '"]]'])


def digests_of(messages: pa.ListArray) -> list[bytes]:
    """16 bytes for each dialogue: the BLAKE2b of its messages as JSON, the same as `messages.digest_of`."""
    if not len(messages):
        return []
    turns, ends = messages.flatten(), messages.offsets.to_numpy() - messages.offsets[0].as_py()
    head = pc.index_in(turns.field(0), pa.array(ROLES)).to_numpy() + len(ROLES)
    head[ends[:-1]] -= len(ROLES)
    tail = np.zeros(len(head), np.int8)
    tail[ends[1:] - 1] = 1
    heads, tails = _HEADS.take(pa.array(head)), _TAILS.take(pa.array(tail))
    written = pc.binary_join_element_wise(heads, _escaped(turns.field(1)), tails, "")
    # The messages of a dialogue lie one behind the other, as they stand in its JSON.
    _, starts, data = written.buffers()
    data, cuts = memoryview(data), np.frombuffer(starts, np.int32)[ends].tolist()
    return [hashlib.blake2b(data[begin:end], digest_size=16).digest() for begin, end in pairwise(cuts)]


def _escaped(texts: pa.StringArray) -> pa.StringArray:
    """Each text as it stands between the quotes of a JSON string."""
    _, ends, data = texts.buffers()
    ends = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    whole = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    there = b'"\\'
    if len(whole) and whole.min() < 0x20:
        controls = set(np.unique(whole[whole < 0x20]).tolist())
        if controls - {ord("\n"), ord("\t")}:
            return pa.array([encode_basestring(text)[1:-1] for text in texts.to_pylist()], pa.string())
        there += bytes(controls)
    found = whole.tobytes()  # searching bytes is several times as fast as comparing them all with NumPy
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        if ord(plain) in there and plain.encode() in found:
            texts = pc.replace_substring(texts, plain, escaped)
    return texts
