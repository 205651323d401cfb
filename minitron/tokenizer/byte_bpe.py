"""`byte-bpe`: the byte-level BPE of imported models (GPT-2's, Llama 3's, Qwen's, SmolLM2's), encoded by the `tokenizers` library.

The file is JSON: {"kind": "byte-bpe", "size": rows of the embedding, "end": id, "tokenizer": the imported tokenizer.json,
unchanged}. Its markers are recognised by their names, which are those of one chat format (`forms`). A file with no such names has
no dialogues until `extended` adds our markers. Knows nothing about models.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from minitron.core.errors import MinitronError
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer import byte_level, forms
from minitron.tokenizer.base import MARKERS, Tokenizer
from minitron.tokenizer.forms import ROLES
from minitron.tokenizer.sentencepiece import clean

HEAD = b'{"kind": "byte-bpe"'


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
            self.pieces = byte_level.texts_of(self.whole, self.size)
            self.typed = byte_level.without_special(self.whole)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MinitronError(f"{path} is no byte-level BPE: {error}", hint="import the model anew") from error
        self.special = {t["id"] for t in self.whole["added_tokens"] if t["special"]}
        self.ids = {t["content"]: t["id"] for t in self.whole["added_tokens"] if t["special"]}
        self.library = _library(self.typed, path)
        self.markers = {}
        for form in forms.FORMS:
            if not self.markers and all(name in self.ids for name in form.special):
                self.form = form
                self.markers = {role: self._written(form.before.format(role=role))[0] for role in ROLES}
                self.end = self._written(form.after)[0]

    def _written(self, text: str) -> list[int]:
        """Ids of the text that a form has around messages."""
        parts = forms.split(text)
        return [i for part in parts for i in ([self.ids[part]] if part in self.ids else self.encode(part))]

    @cached_property
    def start(self) -> list[int]:
        return self._written(self.form.start) if self.markers else []

    @cached_property
    def opening(self) -> dict[str, list[int]]:
        return {role: self._written(self.form.before.format(role=role)) for role in self.markers}

    @cached_property
    def closing(self) -> list[int]:
        return self._written(self.form.after) if self.markers else [self.end]

    @property
    def vocab_size(self) -> int:
        return self.size

    @cached_property
    def never_sampled(self) -> list[int]:
        """Special tokens except the end marker, and rows of the embedding that belong to no token."""
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
        """A special token that is not the end marker; the end marker if there is no other."""
        return min(self.special - {self.end}, default=self.end)

    def to_tokenizer_json(self) -> dict[str, Any]:
        return self.whole

    def to_vocab(self) -> dict[str, Any]:
        trouble = byte_level.trouble(self.whole)
        if self.end in self.pieces and self.end not in self.special:
            trouble = trouble or "ends texts with a token that a text may hold, which the chat program does not"
        if trouble:
            hint = "run: minitron run RECIPE --to eval, then: minitron export RECIPE --format hf (or gguf)"
            raise MinitronError(f"{self.path} {trouble}", hint=hint)
        names = {i: piece for piece, i in self.whole["model"]["vocab"].items()}
        names |= {t["id"]: t["content"] for t in self.whole["added_tokens"]}
        matched = {t["id"] for t in self.typed["added_tokens"]}
        silent = self.special | {i for i in range(self.size) if i not in names}
        return {
            "kind": "byte-bpe",
            "pieces": [names.get(i, "") for i in range(self.size)],
            "types": "".join("C" if i in silent else "D" if i in matched else "N" for i in range(self.size)),
            "merges": byte_level.merge_ids(self.typed["model"]),
            "ignore_merges": bool(self.typed["model"].get("ignore_merges")),
            "splitting": byte_level.splitting(self.whole),
            "normalization": byte_level.normalization(self.whole),
            "chat": self._chat(),
        }

    def _chat(self) -> dict[str, Any]:
        """The value of `chat` in vocab.json."""
        found: dict[str, Any] = {role: self.opening.get(role, []) for role in ROLES} | {"end": self.closing}
        return found | ({"start": self.start} if self.start else {}) | ({"strip": True} if self.form.strip else {})

    @property
    def splitting(self) -> str:
        """llama.cpp's name for how texts are normalised and split before merging; empty if it has none."""
        name = byte_level.splitting(self.whole)
        usual = "nfc" if name in byte_level.NORMALIZED else "identity"
        return name if byte_level.normalization(self.whole) == usual else ""

    def extended(self) -> bytes:
        """The file's bytes with our markers added after all other tokens, so that it has dialogues. The markers take embedding
        rows that belong to no token, as far as there are any. Unchanged if the file has markers already."""
        if self.markers:
            return self.data
        first = max(self.pieces) + 1
        added = [byte_level.special_token(first + i, marker) for i, marker in enumerate(MARKERS)]
        whole = self.whole | {"added_tokens": [*self.whole["added_tokens"], *added]}
        return file_of(whole, size=max(self.size, first + len(MARKERS)), end=first + len(MARKERS) - 1)


def file_of(whole: dict[str, Any], *, size: int, end: int) -> bytes:
    """The file's bytes for a tokenizer.json whose model has `size` embedding rows and ends texts with the id `end`."""
    return json.dumps({"kind": "byte-bpe", "size": size, "end": end, "tokenizer": whole}, ensure_ascii=False).encode()


def _library(whole: dict[str, Any], path: Path) -> Any:
    """The tokenizer of the `tokenizers` library."""
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
    made.no_truncation()
    made.no_padding()
    return made
