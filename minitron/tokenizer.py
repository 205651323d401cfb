"""SentencePiece BPE with the four chat markers. Made by: minitron tokenizer recipes/demo.toml.

The markers are CONTROL pieces, which SentencePiece never matches in text: whatever a person types, by whatever
normalisation, cannot become one. Only `chatml` puts their ids in. Knows nothing about messages.
"""

import bisect
import io
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from minitron.config import TokenizerConfig
from minitron.errors import MinitronError

MARKERS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
UNKNOWN_ID = 0


class Tokenizer:
    """A trained model. `system`, `user`, `assistant`, `end` are the ids of the markers."""

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            self.sp = sentencepiece.SentencePieceProcessor(model_proto=self.path.read_bytes())
        except FileNotFoundError:
            raise MinitronError(f"there is no tokenizer {path}", hint="run: minitron tokenizer RECIPE") from None
        except (RuntimeError, OSError) as error:
            raise MinitronError(
                f"{path} is not a SentencePiece model", hint="make it anew: minitron tokenizer RECIPE --force"
            ) from error
        ids = [self.sp.piece_to_id(marker) for marker in MARKERS]
        if UNKNOWN_ID in ids or not all(self.sp.is_control(i) for i in ids):
            raise MinitronError(
                f"{path} lacks the chat markers {' '.join(MARKERS)} as control pieces",
                hint="make it anew: minitron tokenizer RECIPE --force",
            )
        self.system, self.user, self.assistant, self.end = ids

    @property
    def vocab_size(self) -> int:
        return self.sp.get_piece_size()

    @property
    def never_sampled(self) -> list[int]:
        """Ids that no answer may hold: unknown and every control piece but the end marker."""
        return [i for i in range(self.vocab_size) if (self.sp.is_control(i) or self.sp.is_unknown(i)) and i != self.end]

    def encode(self, text: str | bytes) -> list[int]:
        """Ids of any text; bytes need not be UTF-8."""
        return self.sp.encode(_clean(text))

    def tokens_within(self, ids: list[int], length: int) -> int:
        """How many of the first ids make up a text of at most `length` characters."""
        return bisect.bisect_right(range(len(ids) + 1), length, key=lambda count: len(self.decode(ids[:count]))) - 1

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        return self.sp.encode([_clean(t) for t in texts], num_threads=2)

    def decode(self, ids: list[int]) -> str:
        """Text of ids; markers decode to nothing, broken UTF-8 among byte pieces to U+FFFD."""
        return self.sp.decode(list(ids))


def _clean(text: str | bytes) -> str | bytes:
    """Lone surrogates (from JSON escapes) are no text: U+FFFD, as in Go."""
    if isinstance(text, str) and not text.isascii():
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text) if _has_surrogate(text) else text
    return text


def _has_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def train(texts: Iterable[str], *, config: TokenizerConfig, seed: int) -> bytes:
    """Trains on an iterator of texts and returns the `.model` file's bytes.

    The same texts, options and seed give the same bytes. Raises MinitronError when there is too little text for
    `vocab_size` tokens.
    """
    sentencepiece.set_random_generator_seed(seed)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=config.vocab_size,
            control_symbols=list(MARKERS),
            unk_id=UNKNOWN_ID,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            byte_fallback=config.byte_fallback,
            split_digits=config.split_digits,
            character_coverage=config.character_coverage,
            normalization_rule_name=config.normalization,
            # Lossless: decode(encode(text)) == text, so that an answer's layout is what the model wrote.
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            num_threads=1,
            max_sentence_length=1 << 20,
            minloglevel=2,
        )
    except (RuntimeError, StopIteration) as error:
        raise MinitronError(
            f"SentencePiece could not make {config.vocab_size} tokens from this text: {_reason(error)}",
            hint="lower tokenizer.vocab_size, or bring more text",
        ) from error
    return model.getvalue()


def _reason(error: Exception) -> str:
    """The last part of SentencePiece's message, without its source positions."""
    return str(error).strip().split("] ")[-1].strip() or "no text"
