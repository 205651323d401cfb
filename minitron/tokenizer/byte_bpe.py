"""`byte-bpe`: the byte-level BPE of imported models (GPT-2's, Llama 3's, Qwen's, SmolLM2's), encoded by the `tokenizers` library.

The file is JSON: {"kind": "byte-bpe", "size": rows of the embedding, "end": id, "tokenizer": their tokenizer.json as it was}. Which
markers it has it says by their names: ours, or ChatML's, `<|im_start|>role\\n` ... `<|im_end|>\\n`; or none, and then there are no
dialogues until `extended` puts ours in. Knows nothing about models.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from minitron.core.errors import MinitronError
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer.base import MARKERS, ROLES, Tokenizer
from minitron.tokenizer.sentencepiece import clean

HEAD = b'{"kind": "byte-bpe"'
CHATML = ("<|im_start|>", "<|im_end|>")


class ByteBPE(Tokenizer):
    @classmethod
    def train(cls, texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
        raise MinitronError(
            "tokenizer.kind = 'byte-bpe' comes with a model that was made elsewhere",
            hint="import one: minitron import PATH --out runs/NAME; or set tokenizer.kind = 'bpe'",
            code=2,
        )

    @classmethod
    def reads(cls, data: bytes) -> bool:
        return data.startswith(HEAD)

    def __init__(self, data: bytes, path: Path):
        self.path, self.data = path, data
        try:
            about = json.loads(data)
            self.whole: dict[str, Any] = about["tokenizer"]
            self.size, self.end = int(about["size"]), int(about["end"])
            self.pieces = _pieces(self.whole, self.size)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MinitronError(f"{path} is no byte-level BPE: {error}", hint="import the model anew") from error
        self.special = {t["id"] for t in self.whole["added_tokens"] if t["special"]}
        self.ids = {t["content"]: t["id"] for t in self.whole["added_tokens"] if t["special"]}
        if all(marker in self.ids for marker in MARKERS):
            found = [self.ids[marker] for marker in MARKERS]
            self.markers, self.end = dict(zip(ROLES, found[:-1], strict=True)), found[-1]
        elif self.chatml:
            self.markers, self.end = dict.fromkeys(ROLES, self.ids[CHATML[0]]), self.ids[CHATML[1]]
        else:
            self.markers = {}
        self.library = _library(self.whole, path)

    @property
    def chatml(self) -> bool:
        """Whether its dialogues are ChatML's."""
        return all(marker in self.ids for marker in CHATML) and not all(marker in self.ids for marker in MARKERS)

    @cached_property
    def opening(self) -> dict[str, list[int]]:
        if self.chatml:
            return {role: [self.markers[role], *self.encode(f"{role}\n")] for role in ROLES}
        return super().opening

    @cached_property
    def closing(self) -> list[int]:
        return [self.end, *self.encode("\n")] if self.chatml else super().closing

    @property
    def vocab_size(self) -> int:
        return self.size

    @cached_property
    def never_sampled(self) -> list[int]:
        """Special tokens but the end marker, and rows of the embedding that no token has."""
        return [i for i in range(self.size) if i != self.end and (i in self.special or i not in self.pieces)]

    def encode(self, text: str | bytes) -> list[int]:
        return self.encode_many([text])[0]

    def encode_many(self, texts: list[str] | list[str | bytes]) -> list[list[int]]:
        whole = [clean(t if isinstance(t, str) else t.decode(errors="replace")) for t in texts]
        found: list[list[int]] = [e.ids for e in self.library.encode_batch(whole, add_special_tokens=False)]
        return found

    def decode(self, ids: list[int]) -> str:
        return b"".join(map(self.piece_bytes, ids)).decode(errors="replace")

    def piece_bytes(self, token: int) -> bytes:
        return b"" if token in self.special else self.pieces.get(token, b"")

    @property
    def pad(self) -> int:
        """A special token that is not the end marker; the end marker, where there is no other."""
        return min(self.special - {self.end}, default=self.end)

    def to_tokenizer_json(self) -> dict[str, Any]:
        return self.whole

    def to_vocab(self) -> dict[str, Any]:
        raise MinitronError(
            f"the chat program has no tokenizer like {self.path}, a byte-level BPE",
            hint="minitron export RECIPE --format hf or gguf; a whole run goes --to eval",
        )

    @property
    def splitting(self) -> str:
        """How it splits texts before merging, by llama.cpp's name; empty where that has none."""
        parts = self.whole["pre_tokenizer"] or {}
        steps = [_told(step) for step in parts.get("pretokenizers", [parts])]
        normalized = (self.whole["normalizer"] or {}).get("type")
        for name, known in SPLITTING.items():
            if steps == [_told(step) for step in known] and normalized == ("NFC" if name in NORMALIZED else None):
                return name
        return ""

    def extended(self) -> bytes:
        """The file of the same with our markers behind all else, so that it has dialogues; in rows that no token has, as far as
        there are such. The same file where it has markers."""
        if self.markers:
            return self.data
        first = max(self.pieces) + 1
        added = [special_token(first + i, marker) for i, marker in enumerate(MARKERS)]
        whole = self.whole | {"added_tokens": [*self.whole["added_tokens"], *added]}
        return file_of(whole, size=max(self.size, first + len(MARKERS)), end=first + len(MARKERS) - 1)


def file_of(whole: dict[str, Any], *, size: int, end: int) -> bytes:
    """The file of a tokenizer.json for a model with `size` rows whose texts end with the id `end`."""
    return json.dumps({"kind": "byte-bpe", "size": size, "end": end, "tokenizer": whole}, ensure_ascii=False).encode()


def special_token(token: int, content: str) -> dict[str, Any]:
    """An entry of added_tokens."""
    how = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": content, **how, "special": True}


# How texts are split before merging, by llama.cpp's names: the patterns of GPT-2, Llama 3 and Qwen 2; digits one by one (SmolLM2).
_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _by_pattern(digits: str) -> list[dict[str, Any]]:
    """Llama 3's pattern with other groups of digits."""
    pattern = {"Regex": _SHORT + _LETTERS + digits + _REST}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    return [split, _byte_level(use_regex=False)]


SPLITTING: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [_byte_level(use_regex=True)],
    "smollm": [{"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True)],
    "llama-bpe": _by_pattern(r"\p{N}{1,3}"),
    "qwen2": _by_pattern(r"\p{N}"),
}
NORMALIZED = ("qwen2",)  # which are brought to NFC first


def byte_level_json(
    pieces: list[str], merges: list[str], special: list[dict[str, Any]], *, splitting: str
) -> dict[str, Any] | None:
    """A tokenizer.json of these pieces and merges ("a b"); None where the way of splitting is not known."""
    if splitting not in SPLITTING:
        return None
    names = {token["content"] for token in special}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
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


def _told(step: dict[str, Any]) -> dict[str, Any]:
    """What of a step of splitting decides the parts."""
    return {key: value for key, value in step.items() if key != "trim_offsets"}


def byte_characters() -> dict[str, int]:
    """GPT-2's characters for bytes: those that can be seen stand for themselves, the others for U+0100 and on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in seen]
    return {chr(b): b for b in seen} | {chr(256 + i): b for i, b in enumerate(rest)}


def _pieces(whole: dict[str, Any], size: int) -> dict[int, bytes]:
    """Id -> bytes of text. Raises ValueError where this is none of a byte-level BPE's."""
    model, added = whole["model"], whole["added_tokens"]
    if model.get("type") != "BPE" or (whole.get("decoder") or {}).get("type") != "ByteLevel":
        raise ValueError("its model is not BPE, or its decoder not ByteLevel")
    table, vocab = byte_characters(), model["vocab"]
    names = {t["content"] for t in added}
    if missing := [c for c in table if c not in vocab]:
        raise ValueError(f"it lacks a token for byte {table[missing[0]]}")
    found = {}
    for piece, i in vocab.items():
        if piece not in names:
            found[i] = bytes(table[c] for c in piece)
    found |= {t["id"]: t["content"].encode() for t in added}
    if not all(type(i) is int and 0 <= i < size for i in found) or len(found) != len(vocab.keys() | names):
        raise ValueError(f"an id is there twice, or not below the model's {size}")
    return found


def _library(whole: dict[str, Any], path: Path) -> Any:
    """The library's tokenizer, to which the text of a special token is text."""
    try:
        import tokenizers
    except ImportError:
        raise MinitronError(f"{path} needs the package tokenizers", hint="pip install 'minitron[export]'") from None
    try:
        made = tokenizers.Tokenizer.from_str(json.dumps(whole, ensure_ascii=False))
    except Exception as error:  # the library raises plain Exceptions
        raise MinitronError(
            f"{path} is not a tokenizer.json: {str(error)[:200]}", hint="import the model anew"
        ) from error
    made.encode_special_tokens = True
    made.no_truncation()
    made.no_padding()
    return made
