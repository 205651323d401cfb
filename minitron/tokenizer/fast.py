"""A SentencePiece vocabulary as a tokenizer.json, which the `tokenizers` library (and so AutoTokenizer) reads; it gives the same
ids.

SentencePiece joins whichever two neighbours make the piece of the highest score; a tokenizer.json lists the pairs instead, from
the first to be joined to the last. The list made here has every way to make a piece of two others. The markers are "special"
tokens there: unlike in minitron, they match in any text (docs/interop.md). Knows nothing about where the file goes.
"""

from base64 import b64decode
from typing import Any

from minitron.core.errors import MinitronError
from minitron.tokenizer.normalization import applied, rules_of, spans

SPACE = "\u2581"  # how SentencePiece writes a space
CRLF = "\r\n"
NFKC_BYTES = 200_000  # of SentencePiece's own maps
ASIDE = "CUD"  # types of pieces that merging never makes: control, unknown, user-defined


def tokenizer_json(vocab: dict[str, Any]) -> dict[str, Any]:
    """The contents of tokenizer.json for the contents of vocab.json (docs/formats.md).

    Raises MinitronError if the library has no way to encode as SentencePiece does.
    """
    pieces, types, rules = vocab["pieces"], vocab["types"], vocab["normalizer"]
    suffix = rules["add_dummy_prefix"] and vocab["treat_whitespace_as_suffix"]
    if suffix or rules["remove_extra_whitespaces"] or not rules["escape_whitespaces"]:
        raise MinitronError(
            "a tokenizer.json cannot say what this tokenizer does with spaces",
            hint="set tokenizer.kind = 'bpe' and train anew",
        )
    normalizers: list[dict[str, Any]] = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    if rules["add_dummy_prefix"]:
        normalizers.insert(0, {"type": "Prepend", "prepend": SPACE})
    if rules["precompiled_charsmap"]:
        normalizers.insert(0, {"type": "Precompiled", "precompiled_charsmap": rules["precompiled_charsmap"]})
        normalizers[:0] = replacements(b64decode(rules["precompiled_charsmap"]))
    added = [
        {
            "id": i,
            "content": piece.replace(SPACE, " ") if kind == "D" else piece,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind != "D",
        }
        for i, (piece, kind) in enumerate(zip(pieces, types, strict=True))
        if kind in ASIDE and piece != SPACE  # the normalizer makes this one of a space
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if rules["add_dummy_prefix"] else []),
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": pieces[vocab["unk_id"]],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": vocab["byte_fallback"],
            "ignore_merges": False,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": merges(pieces, vocab["scores"], types),
        },
    }


def replacements(charsmap: bytes) -> list[dict[str, Any]]:
    """The steps before `Precompiled`, which looks at one grapheme at a time: they apply the rules for several, such as ... -> …

    Of SentencePiece's own maps, what they replace is one grapheme, but for rare signs. The two characters that end a line in Windows
    are one grapheme, of which `Precompiled` would replace the first alone and lose the second."""
    rules = {} if len(charsmap) > NFKC_BYTES else rules_of(charsmap)
    several = {text: to for text, to in rules.items() if spans(text)}
    if (ended := applied(charsmap, CRLF)) != CRLF:
        several[CRLF] = ended
    longest_first = sorted(several, key=len, reverse=True)
    return [{"type": "Replace", "pattern": {"String": text}, "content": several[text]} for text in longest_first]


def merges(pieces: list[str], scores: list[float], types: str) -> list[list[str]]:
    """Every way to make a piece of two others, in the order in which SentencePiece prefers them.

    If a piece can be made in several ways, the one with the shorter left part comes first. SentencePiece instead takes the pair
    that stands further left. The two can differ only if both ways overlap in the text, which needs a piece that is a repetition;
    there the left pair comes first too, because what stands left was joined before.
    """
    made = {
        piece: (-score, i)
        for i, (piece, score, kind) in enumerate(zip(pieces, scores, types, strict=True))
        if kind == "N"
    }
    found = [
        (*made[piece], cut)
        for piece in made
        for cut in range(1, len(piece))
        if piece[:cut] in made and piece[cut:] in made
    ]
    return [[pieces[i][:cut], pieces[i][cut:]] for _, i, cut in sorted(found)]
