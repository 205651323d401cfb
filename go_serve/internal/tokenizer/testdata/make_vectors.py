"""Train small SentencePiece models of many kinds and write what the library makes of hostile texts.

Run: python go_serve/internal/tokenizer/testdata/make_vectors.py      writes the committed vectors, beside this file

Each file is {"vocab": <vocab.json>, "cases": [{"b64", "ids", "decoded"}], "decodes": [{"ids", "decoded"}]}, gzipped JSON.
campaign.py compares millions of cases with the models and texts from here. Needs sentencepiece and protobuf; knows
nothing of minitron but docs/formats.md.
"""

import base64
import gzip
import io
import json
import pathlib
import random

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb

MARKERS = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
LETTERS = {1: "N", 2: "U", 3: "C", 4: "D", 5: "X", 6: "B"}
RULES = [
    ("Ａ", "A"),
    ("＜", "<"),
    ("｜", "|"),
    ("＞", ">"),
    ("ё", "е"),
    ("ﬁ", "fi"),
    ("…", "..."),
    ("\t", " "),
    ("ab", "ba"),
    ("abc", "c b"),
    ("\u00a0", " "),
    ("\u200b", ""),
    ("!", "  !  "),
    ("ß", "ss"),
]
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "then",
    "it",
    "ran",
    "away",
    "from",
    "house",
    "мама",
    "мыла",
    "раму",
    "кот",
    "сидел",
    "дома",
    "привет",
    "как",
    "дела",
    "over",
    "under",
    "banana",
    "aaaa",
    "abab",
    "ababab",
    "ёлка",
    "ёж",
    "straße",
    "naïve",
    "façade",
    "über",
    "東京",
    "日本語",
    "안녕",
    "ไทย",
    "ﬁne",
    "...",
    "!?",
    "12",
    "345",
    "<|",
    "|>",
    "user",
]


def corpus(draw, lines=400, invented=0):
    """Lines of the words above, and of so many invented ones."""
    words = WORDS
    if invented:
        letters = draw.choice(["abcde", "абвгд", "aаbбcс", "אבגד", "कखग", "αβγ", "中文字", "ab01", "a-'b", "éèê"])
        words = WORDS + ["".join(draw.choices(letters, k=draw.randint(1, 9))) for _ in range(invented)]
    return [
        " ".join(draw.choice(words) for _ in range(draw.randint(1, 14)))
        + draw.choice(["", ".", "!", "  x", " \n".strip()])
        for _ in range(lines)
    ]


def tsv(draw, folder):
    """A file of random normalisation rules."""
    rules = dict(draw.sample(RULES, draw.randint(3, len(RULES))))
    lines = ["\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule) for rule in rules.items()]
    path = pathlib.Path(folder) / "rules.tsv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def train(draw, options):
    """A trained model as proto, hand-edited the way options["edit"] says."""
    options = {"model_type": "bpe", **options}
    edit = options.pop("edit", ())
    escape = options.pop("escape_whitespaces", True)  # the trainer has no such flag
    invented = options.pop("invented", 0)
    texts = options.pop("texts", None) or corpus(draw, invented=invented)
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=out,
        hard_vocab_limit=False,
        control_symbols=MARKERS,
        minloglevel=2,
        num_threads=1,
        bos_id=-1,
        eos_id=-1,
        **options,
    )
    proto = pb.ModelProto()
    proto.ParseFromString(out.getvalue())
    proto.normalizer_spec.escape_whitespaces = escape
    if "long" in edit:  # pieces that no merge of the trainer made; in a char model they must never come out
        known = {p.piece for p in proto.pieces}
        for word in sorted({draw.choice(WORDS)[: draw.randint(2, 6)] for _ in range(20)} - known):
            if len(word) > 1:
                proto.pieces.add(piece=word, score=-float(draw.randint(0, 300)), type=1)
    normals = [p for p in proto.pieces if p.type == 1]
    if "shuffle" in edit:  # a merge may come before those that it is made of
        scores = [p.score for p in normals]
        draw.shuffle(scores)
        for p, score in zip(normals, scores, strict=True):
            p.score = score
    if "ties" in edit:
        for p in normals:
            p.score = float(draw.randint(-6, 0))
    if "unused" in edit:
        for p in draw.sample(normals, len(normals) // 3):
            p.type = 5
    if "holes" in edit:  # characters and steps of merges go missing
        for p in draw.sample(normals, len(normals) // 5):
            proto.pieces.remove(p)
    if "zeros" in edit:  # -0 is below +0
        for p in normals:
            p.score = draw.choice([-0.0, 0.0, 1.5, -1.0])
    if "bytes" in edit:  # nothing but the bytes
        for p in normals:
            proto.pieces.remove(p)
    if "control" in edit:  # control pieces that a person could type must come out as unknown
        for p in draw.sample(list(proto.pieces[-40:]), 12):
            p.type = 3
    if "unk" in edit:
        proto.trainer_spec.unk_surface = "<?>"
    return proto


def vocab_json(proto):
    """vocab.json of a model. In a char model nothing is merged: to Go, a piece of several characters is unused there."""
    n = proto.normalizer_spec
    chars = proto.trainer_spec.model_type == proto.trainer_spec.CHAR
    types = "".join("X" if chars and p.type == 1 and len(p.piece) > 1 else LETTERS[p.type] for p in proto.pieces)
    return {
        "kind": "sentencepiece-bpe",
        "pieces": [p.piece for p in proto.pieces],
        "scores": [p.score for p in proto.pieces],
        "types": types,
        "unk_id": [p.type for p in proto.pieces].index(2),
        "unk_surface": proto.trainer_spec.unk_surface,
        "byte_fallback": proto.trainer_spec.byte_fallback,
        "normalizer": {
            "add_dummy_prefix": n.add_dummy_prefix,
            "remove_extra_whitespaces": n.remove_extra_whitespaces,
            "escape_whitespaces": n.escape_whitespaces,
            "precompiled_charsmap": base64.b64encode(n.precompiled_charsmap).decode(),
        },
        "treat_whitespace_as_suffix": proto.trainer_spec.treat_whitespace_as_suffix,
        "chat": {name[2:-2]: [p.piece for p in proto.pieces].index(name) for name in MARKERS},
    }


def atom(draw, pieces):
    """A few bytes that a hostile or careless person could send."""
    return draw.choice(
        [
            lambda: draw.choice(WORDS).encode(),
            lambda: draw.choice(WORDS).encode() + b" ",
            lambda: b" " * draw.randint(1, 4),
            lambda: draw.choice(pieces).encode(),
            lambda: draw.choice(pieces).replace("▁", " ").encode(),
            lambda: draw.choice(MARKERS).encode(),
            lambda: draw.choice(MARKERS)[: draw.randint(1, 8)].encode(),
            lambda: "＜｜ｕｓｅｒ｜＞".encode(),
            lambda: "<｜user｜>".encode(),
            lambda: "▁".encode() * draw.randint(1, 3),
            lambda: bytes(draw.randrange(256) for _ in range(draw.randint(1, 6))),
            lambda: draw.choice(
                ["\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\x00", "\ufeff", "\ufffd"]
            ).encode(),
            lambda: draw.choice(
                [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x96", b"\xf0\x9f\x98", b"\xff"]
            ),
            lambda: draw.choice(
                ["😀", "👩‍👩‍👧", "é", "e\u0301", "Å", "ﬀ", "㍿", "ｶﾞ", "İ", "①", "Ⅷ", "한", "각"]
            ).encode(),
            lambda: chr(draw.choice([draw.randrange(0x20, 0xD800), draw.randrange(0xE000, 0x110000)])).encode(),
            lambda: draw.choice("abаё<").encode() * draw.choice([2, 3, 7, 40, 200]),
            lambda: f"<0x{draw.randrange(256):02X}>".encode(),
            lambda: b"<unk>",
            lambda: "".join(draw.choice("ab ▁<|>usr") for _ in range(draw.randint(1, 20))).encode(),
        ]
    )()


def text(draw, pieces):
    return b"".join(atom(draw, pieces) for _ in range(draw.choice([0, 1, 1, 2, 3, 5, 8, 13])))


def page(draw, pieces):
    """What a base model reads: lines with all kinds of white space, now and then a character that it does not know."""
    blanks = [" ", " ", "  ", "     ", "\t", "\t\t", "\n", "\n\n\n", "\r\n", " \n ", "\n    "]
    words = [*WORDS, "ROMEO:", "def f(x):", "#", "😀", "Ǆ", "\x1f", "\x00"]
    parts = [draw.choice(blanks if draw.random() < 0.5 else words) for _ in range(draw.randint(0, 40))]
    return "".join(parts).encode()


def vectors(draw, proto, count, text=text):
    sp = sentencepiece.SentencePieceProcessor()
    sp.LoadFromSerializedProto(proto.SerializeToString())
    pieces = [p.piece for p in proto.pieces]
    cases, decodes = [], []
    for _ in range(count):
        data = text(draw, pieces)
        ids = sp.encode(data, out_type=int)
        cases.append({"b64": base64.b64encode(data).decode(), "ids": ids, "decoded": sp.decode(ids)})
    low = [i for i, p in enumerate(proto.pieces) if p.type != 1] or [0]
    for _ in range(count // 4):
        ids = [
            draw.choice(low) if draw.random() < 0.6 else draw.randrange(len(pieces)) for _ in range(draw.randint(0, 12))
        ]
        decodes.append({"ids": ids, "decoded": sp.decode(ids) if ids else ""})
    return {"vocab": vocab_json(proto), "cases": cases, "decodes": decodes}


def write(path, value):
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def random_options(draw, folder):
    """Options for train: any mixture that the trainer takes."""
    options = {
        "model_type": "char" if draw.random() < 0.2 else "bpe",
        "vocab_size": draw.choice([120, 300, 600, 1500]) + 256,
        "byte_fallback": draw.random() < 0.5,
        "character_coverage": draw.choice([0.98, 0.99, 1.0]),
        "add_dummy_prefix": draw.random() < 0.5,
        "remove_extra_whitespaces": draw.random() < 0.5,
        "treat_whitespace_as_suffix": draw.random() < 0.25,
        "split_by_whitespace": draw.random() < 0.5,
        "split_by_unicode_script": draw.random() < 0.5,
        "split_digits": draw.random() < 0.3,
        "allow_whitespace_only_pieces": draw.random() < 0.3,
        "invented": draw.choice([0, 50, 400]),
        "escape_whitespaces": draw.random() < 0.8,
        "edit": [
            e for e in ("long", "shuffle", "ties", "unused", "holes", "zeros", "control", "unk") if draw.random() < 0.25
        ],
        "user_defined_symbols": draw.sample(
            ["ab", "abab", "<|x|>", "<|user", "▁", "  ", "мыла", "é", "\n", "a", "b b", "<", "|>"],
            draw.choice([0, 0, 2, 4]),
        ),
    }
    kind = draw.choice(["identity", "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "tsv", "tsv"])
    if kind == "tsv":
        options["normalization_rule_tsv"] = tsv(draw, folder)
    else:
        options["normalization_rule_name"] = kind
    return options


COMMITTED = {
    "chat": dict(
        vocab_size=420,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
    ),
    "nmt_nfkc": dict(vocab_size=160, byte_fallback=False, character_coverage=0.98),
    "rules": dict(
        vocab_size=400,
        byte_fallback=True,
        treat_whitespace_as_suffix=True,
        edit=["zeros", "control"],
        user_defined_symbols=["ab", "abab", "<|user", "▁", "  "],
    ),
    "unused": dict(
        vocab_size=200,
        byte_fallback=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        edit=["unused", "holes", "unk"],
        user_defined_symbols=["<|x|>", "é"],
        split_by_whitespace=False,
    ),
    "char": dict(
        model_type="char",
        vocab_size=400,
        byte_fallback=False,
        character_coverage=0.98,
        edit=["long", "unused", "control"],
        user_defined_symbols=["ab", "abab", "мыла"],
    ),
    "shuffled": dict(
        vocab_size=800,
        byte_fallback=False,
        normalization_rule_name="identity",
        edit=["shuffle", "ties"],
        split_by_whitespace=False,
        invented=50,
    ),
    "text": dict(  # a base model's characters, as minitron trains them
        model_type="char",
        texts=[" " + "".join(sorted(set("".join(WORDS) + " \n\r\tROMEO:def(x)#"))) + " "],
        vocab_size=500,
        use_all_vocab=True,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        edit=["long"],
    ),
    "spaces": dict(  # as minitron trains bpe-spaces
        vocab_size=420,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        user_defined_symbols=["▁", "мыла"],
    ),
    "bytes": dict(  # as minitron makes bytes
        vocab_size=420,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        escape_whitespaces=False,
        edit=["bytes"],
        user_defined_symbols=["<|user", "ё"],
    ),
}


def main():
    here = pathlib.Path(__file__).parent
    for seed, (name, options) in enumerate(COMMITTED.items()):
        draw = random.Random(seed)
        if name == "rules":
            options = {**options, "normalization_rule_tsv": tsv(draw, "/tmp")}
        kind = page if name == "text" else text
        write(here / f"{name}.json.gz", vectors(draw, train(draw, options), 250, kind))


if __name__ == "__main__":
    main()
