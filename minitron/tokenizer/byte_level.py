"""Reads and writes the `tokenizer.json` of a byte-level BPE: its pieces, its merges, how it splits and normalises texts.

The chat program splits in the same ways (go_serve/internal/pretoken) and refuses any other. Knows nothing about dialogues.
"""

from typing import Any

# How texts are split before merging, by llama.cpp's names: the patterns of GPT-2, Llama 3 and Qwen 2; digits one by one (SmolLM2).
_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _by_pattern(digits: str) -> list[dict[str, Any]]:
    """Llama 3's pattern with the given pattern for groups of digits."""
    pattern = {"Regex": _SHORT + _LETTERS + digits + _REST}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    return [split, _byte_level(use_regex=False)]


SPLITTING: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [_byte_level(use_regex=True)],
    "smollm": [{"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True)],
    "llama-bpe": _by_pattern(r"\p{N}{1,3}"),
    "qwen2": _by_pattern(r"\p{N}"),
}
NORMALIZED = ("qwen2",)  # the ways of splitting before which texts are brought to NFC


def byte_level_json(
    pieces: list[str], merges: list[str], added: list[dict[str, Any]], *, splitting: str
) -> dict[str, Any] | None:
    """A tokenizer.json of these pieces (the id of an empty one belongs to no token), merges ("a b") and added tokens; None if the way
    of splitting is unknown."""
    if splitting not in SPLITTING:
        return None
    names = {"", *(token["content"] for token in added)}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if splitting in NORMALIZED else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": SPLITTING[splitting]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": splitting == "llama-bpe",
            "vocab": {piece: i for i, piece in enumerate(pieces) if piece not in names},
            "merges": [merge.split(" ", 1) for merge in merges],
        },
    }


def special_token(token: int, content: str) -> dict[str, Any]:
    """The entry of a special token in added_tokens."""
    how = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": content, **how, "special": True}


def splitting(whole: dict[str, Any]) -> str:
    """llama.cpp's name for how texts are split before merging; empty if it has none."""
    parts = whole.get("pre_tokenizer") or {}
    steps = [_told(step) for step in parts.get("pretokenizers", [parts])]
    return next((name for name, known in SPLITTING.items() if steps == [_told(step) for step in known]), "")


def normalization(whole: dict[str, Any]) -> str:
    """How texts are normalised before they are split: "identity", "nfc", or empty for anything else."""
    rules = whole.get("normalizer")
    rules = rules.get("normalizers", [rules]) if rules else []
    return {(): "identity", ("NFC",): "nfc"}.get(tuple(rule.get("type") for rule in rules), "")


def texts_of(whole: dict[str, Any], size: int) -> dict[int, bytes]:
    """Id -> bytes of text. Raises ValueError if this is no byte-level BPE, or not a complete one of a model with `size` rows."""
    model, added = whole["model"], whole["added_tokens"]
    if model.get("type") != "BPE" or (whole.get("decoder") or {}).get("type") != "ByteLevel":
        raise ValueError("its model is not BPE, or its decoder not ByteLevel")
    table, vocab = byte_characters(), model["vocab"]
    names = {t["content"] for t in added}
    found = {i: bytes(table[c] for c in piece) for piece, i in vocab.items() if piece not in names}
    found |= {t["id"]: t["content"].encode() for t in added}
    if not all(type(i) is int and 0 <= i < size for i in found) or len(found) != len(vocab.keys() | names):
        raise ValueError(f"an id is there twice, or not below the model's {size}")
    special = {t["id"] for t in added if t["special"]}
    known = {text for i, text in found.items() if i not in special and len(text) == 1}
    if missing := [byte for byte in range(256) if bytes([byte]) not in known]:
        raise ValueError(f"it lacks a token for byte {missing[0]}")
    return found


def without_special(whole: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer.json without its special tokens, so that no text is encoded as one: neither by its name, nor by merging, nor
    as a piece that is matched whole."""
    special = {t["content"] for t in whole["added_tokens"] if t["special"]}
    matched = [t for t in whole["added_tokens"] if not t["special"]]
    model = whole["model"]
    vocab = {piece: i for piece, i in model["vocab"].items() if piece not in special}
    merges = [
        (left, right) for left, right in map(_halves, model["merges"]) if not {left, right, left + right} & special
    ]
    # the library gives an added token the id that its text has in the vocabulary
    vocab |= {t["content"]: t["id"] for t in matched}
    return whole | {"added_tokens": matched, "model": model | {"vocab": vocab, "merges": merges, "unk_token": None}}


def merge_ids(model: dict[str, Any]) -> list[int]:
    """Three ids per merge (left, right, and what they make) in the order of merging. If a pair is listed twice, the last one counts."""
    order = dict.fromkeys(reversed([_halves(merge) for merge in model["merges"]]))
    vocab = model["vocab"]
    return [i for left, right in reversed(order) for i in (vocab[left], vocab[right], vocab[left + right])]


def trouble(whole: dict[str, Any]) -> str:
    """Why the chat program cannot encode with this tokenizer; empty if it can."""
    model = whole["model"]
    if not splitting(whole):
        return "splits texts in a way that the chat program does not know"
    if not normalization(whole):
        return "normalises texts in a way that the chat program does not know"
    if any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")):
        return "merges pieces in a way that the chat program does not know"
    matched = [t for t in whole["added_tokens"] if not t["special"]]
    if any(t["single_word"] or t["lstrip"] or t["rstrip"] for t in matched):
        return "has tokens that take the spaces beside them, which the chat program does not know"
    if any(t["normalized"] for t in matched) and (
        normalization(whole) != "identity" or not all(t["normalized"] for t in matched)
    ):
        return "looks for tokens in normalised texts, which the chat program does not know"
    return ""


def _halves(merge: Any) -> tuple[str, str]:
    """The two halves of a merge, which is written as "a b" or as a list."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right


def _told(step: dict[str, Any]) -> dict[str, Any]:
    """The part of a splitting step that decides how texts are split."""
    return {key: value for key, value in step.items() if key != "trim_offsets"}


def byte_characters() -> dict[str, int]:
    """GPT-2's characters for bytes: visible ones stand for themselves, the other bytes are written as U+0100 and up."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in seen]
    return {chr(b): b for b in seen} | {chr(256 + i): b for i, b in enumerate(rest)}
