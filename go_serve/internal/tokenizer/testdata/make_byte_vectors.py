"""Train small byte-level BPE models with the `tokenizers` library and write what it makes of hostile texts.

Run: python go_serve/internal/tokenizer/testdata/make_byte_vectors.py      writes the committed vectors, beside this file

The files are as make_vectors.py has them, with dialogues beside: {"messages", "ids"}, the ids being minitron's. benchmarks/tokenizer.py compares many more texts with the models and atoms from here.
What each model merges, cuts and normalises is the library's; vocab.json is minitron's.
"""

import json
import pathlib
import random

import make_vectors
import tokenizers

from minitron.tokenizer.byte_bpe import ByteBPE, file_of
from minitron.tokenizer.byte_level import SPLITTING, byte_level_json
from minitron.tokenizer.chat_template import encode_prompt

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")  # ChatML's
LLAMA_3 = ("<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
MATCHED = ("<tool_call>", "the cat", "<|x|>", "мыла", "ab", "abab")
CUTS = [  # what the patterns cut at
    "'s", "'S", "'ſ", "'t", "'re", "'RE", "'rE", "'ve", "'m", "'ll", "'lL", "'d", "'D", "'x", "'", "''", "’s", "it's", "I'LL'VE",
    "\n", "\n\n", "\r\n", "\r", "\t", "  ", " \n ", "\n  x", "\x0b", "\x0c", "\x1c", "\x85", "\u00a0", "\u1680", "\u180e",
    "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u200b", "\u3000", "\ufeff",
    "0", "12", "345", "6789", "٣", "७७", "²", "½", "Ⅷ", "①", "〇", "𝟘𝟙", "㊿", "፼", "1a", "a1", " 1", "-1.5e3",
    "ª", "ʰ", "ǅ", "あア", "漢字", "한글", "ไทย", "हिन्दी", "\u0301", "\u20dd", "_", "€", "😀", "👩‍👩‍👧", "...", "—", " —", "!?\n\n", "(abc", "#include",
]  # fmt: skip
COMPOSED = [  # what NFC changes, or leaves
    "é", "e\u0301", "e\u0301\u0323", "e\u0323\u0301", "q\u0307\u0323", "\u1e9b\u0323", "\u212b", "\u2126", "\u0340", "\u0344", "\u0958",
    "\u09c7\u09be", "\u0b47\u0b56", "\u1100\u1161\u11a8", "\uac00\u11a8", "\uac01\u11a8", "\u1100\u1161", "\u1161", "\u11a8", "각",
    "\u0f71\u0f72\u0f74", "\u0f73", "\u2adc", "\U0001d15e", "\U0001d1bc", "\uf900", "\U0002f800", "a\u05b0\u0327\u0301", "\u3099か\u3099",
    "か\u3099", "\u0cc6\u0cc2\u0cd5", "\u0dd9\u0dcf\u0dca", "\u1b05\u1b35", "\U00011099\U000110ba", "o\u031b\u0301\u0323", "\ufb1d", "й", "и\u0306",
    "\u0301\u0301", "e" + "\u0301\u0323" * 20, "\u0345\u0301α", "α\u0345\u0301", "A\u0315\u0300\u05ae\u0062",
]  # fmt: skip


def train(
    draw: random.Random, splitting: str, *, nfc: bool, ignore_merges: bool, matched: int, pieces: int = 700
) -> dict:
    """A tokenizer.json that the library trained, with so many tokens that it looks for before it cuts."""
    shell = byte_level_json(["a"], [], [], splitting=splitting) | {"normalizer": {"type": "NFC"} if nfc else None}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(ignore_merges=ignore_merges))
    parts = tokenizers.Tokenizer.from_str(json.dumps(shell))
    made.pre_tokenizer, made.decoder = parts.pre_tokenizer, parts.decoder
    if nfc:
        made.normalizer = parts.normalizer
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=pieces,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(LLAMA_3 if splitting == "llama-bpe" else SPECIAL),
        show_progress=False,
    )
    lines = make_vectors.corpus(draw, invented=200)
    made.train_from_iterator([*lines, *(" ".join(draw.choices(CUTS + COMPOSED, k=9)) for _ in range(200))], trainer)
    for token in draw.sample(MATCHED, matched):
        made.add_tokens([tokenizers.AddedToken(token, normalized=False)])
    return json.loads(made.to_str())


def models(draw: random.Random, splitting: str) -> list[dict]:
    """One splitting with all that may be beside it."""
    usual = splitting == "qwen2"
    return [
        train(draw, splitting, nfc=usual, ignore_merges=splitting == "llama-bpe", matched=0),
        train(draw, splitting, nfc=usual, ignore_merges=False, matched=3, pieces=draw.choice([261, 500, 2000])),
        train(draw, splitting, nfc=not usual, ignore_merges=True, matched=2, pieces=1200),
    ]


def read(whole: dict) -> ByteBPE:
    """minitron's, in rows of which the last ones have no token."""
    return ByteBPE(
        file_of(whole, size=len(whole["model"]["vocab"]) + len(MATCHED) + 3, end=2), pathlib.Path("tokenizer.json")
    )


def atom(draw: random.Random, pieces: list[str]) -> bytes:
    match draw.randrange(5):
        case 0 | 1:
            return draw.choice(CUTS).encode()
        case 2:
            return draw.choice(COMPOSED + [chr(draw.randrange(0x300, 0x345)) for _ in range(9)]).encode()
        case 3:
            return draw.choice([*SPECIAL, *LLAMA_3, *MATCHED, "<|im_", "t_call>", *pieces]).encode()
    return make_vectors.atom(draw, pieces)


class Library:
    """What the library makes of any bytes."""

    def __init__(self, whole: dict):
        self.made = tokenizers.Tokenizer.from_str(json.dumps(whole))
        self.made.encode_special_tokens = True

    def encode(self, data: list[bytes]) -> list[list[int]]:
        return [
            e.ids for e in self.made.encode_batch([d.decode(errors="replace") for d in data], add_special_tokens=False)
        ]

    def decode(self, ids: list[list[int]]) -> list[str]:
        return self.made.decode_batch(ids, skip_special_tokens=True)


def dialogue(draw: random.Random, ours: ByteBPE, pieces: list[str]) -> dict:
    """A dialogue that asks for an answer."""
    roles = ["system"] * draw.randint(0, 1) + ["user", "assistant"] * draw.randint(0, 3) + ["user"]
    messages = [
        {
            "role": role,
            "content": b"".join(atom(draw, pieces) for _ in range(draw.randint(1, 5))).decode(errors="replace"),
        }
        for role in roles
    ]
    return {"messages": messages, "ids": encode_prompt(messages, ours)}


def vectors(draw: random.Random, whole: dict, count: int) -> dict:
    ours, library = read(whole), Library(whole)
    pieces = [ours.piece_bytes(i).decode(errors="replace") for i in range(ours.vocab_size)]
    texts = [b"".join(atom(draw, pieces) for _ in range(draw.choice([0, 1, 1, 2, 3, 5, 8, 13]))) for _ in range(count)]
    ids = library.encode(texts)
    any_ids = [draw.choices(range(len(whole["model"]["vocab"])), k=draw.randint(0, 12)) for _ in range(count // 4)]
    return {
        "vocab": ours.to_vocab(),
        "cases": [
            {"b64": make_vectors.base64.b64encode(t).decode(), "ids": i, "decoded": d}
            for t, i, d in zip(texts, ids, library.decode(ids), strict=True)
        ],
        "dialogues": [dialogue(draw, ours, pieces) for _ in range(40)],
        "decodes": [{"ids": i, "decoded": d} for i, d in zip(any_ids, library.decode(any_ids), strict=True)],
    }


def main() -> None:
    here = pathlib.Path(__file__).parent
    for seed, splitting in enumerate(SPLITTING):
        draw = random.Random(seed)
        make_vectors.write(here / f"byte-{splitting}.json.gz", vectors(draw, models(draw, splitting)[seed % 3], 250))


if __name__ == "__main__":
    main()
