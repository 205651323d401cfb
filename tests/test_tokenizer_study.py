"""benchmarks/tokenizer_study.py: the order of its cells, what the page says of made figures, and that the committed page is of the committed ones."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from conftest import tiny_shape
from test_tokenizer_kinds import made

from minitron.data import documents
from minitron.data.packing import PackedRows, pack
from minitron.model.language_model import LanguageModel

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import tokenizer_study  # noqa: E402
import tokenizer_study_page as page  # noqa: E402
from tokenizer_study import Cell  # noqa: E402

LETTERS = {"Ж": "ж", "W": "w", "Ё": "ё"}


def row(text: str, kind: str, size: int, seed: int, bits: float, **more) -> dict:
    """A finished cell; tokens have 3 bytes in `bpe`, 2 in `bpe-spaces`, 1 in `char` and half of one in `bytes`."""
    where = {name: more.pop(name) for name in ("body", "equal", "rules", "rate") if name in more}
    cell = Cell(text, where.pop("body", "1M"), where.pop("equal", "text"), kind, size, seed, **where)
    per_token = {"bpe": 3.0, "bpe-spaces": 2.0, "char": 1.0, "bytes": 0.5}[kind]
    found = {"cell": dataclasses.asdict(cell), "bits_per_byte": bits, "loss": 0.7 * bits * per_token, "head": 1e5}
    found |= {
        "bytes_per_token": per_token,
        "text_bytes": 1e6,
        "seldom": 0.1,
        "seconds": 9.0,
        "curve": [[1, bits + 1], [2, bits]],
    }
    return found | {"words": {word: [3.0, 50] for word in tokenizer_study.TEXTS[text].words}} | more


def words(made, rows: list[dict]) -> str:
    return " ".join(made(page.Rows(rows)))


def both(kind: str, size: int, bits: float, **more) -> list[dict]:
    """Cells of three seeds in both texts; a seed moves all cells nearly alike."""
    return [
        row(text, kind, size, s, bits + s / 10 + s / 1000 * size / 2048, **more)
        for text in page.LANGUAGES
        for s in (1, 2, 3)
    ]


def test_every_cell_comes_once_and_the_first_question_first():
    cells = tokenizer_study.order()
    assert len(cells) == len(set(cells)) == len({cell for wave in tokenizer_study.WAVES for cell in wave.cells})
    assert {(c.kind, c.size, c.equal, c.body) for c in cells[:8]} == {
        (k, 2048, "text", "1M") for k in ("bpe", "bpe-spaces")
    }
    assert {c.text for c in cells[:2]} == {"English", "Russian"}
    keys = [tokenizer_study.key_of(cell) for cell in cells]
    assert len(set(keys)) == len(keys)


def test_cells_that_were_trained_are_not_trained_again():
    """An option of the recipe that came later would change all keys, and hours of training would begin anew."""
    cells = {tokenizer_study.key_of(cell): dataclasses.asdict(cell) for cell in tokenizer_study.order()}
    finished = tokenizer_study.finished()
    assert len(finished) == len(cells)
    assert {key: row["cell"] for key, row in finished.items()}.items() <= cells.items()


def test_capitals_are_folded_behind_a_mark_in_front_of_the_space(tmp_path):
    from test_tokenizer_kinds import made

    (tmp_path / "fold.tsv").write_text(tokenizer_study.fold_rules())
    found = made(tmp_path, normalization=str(tmp_path / "fold.tsv"))
    for capital, small in LETTERS.items():
        text = found.normalized(f"{capital}a {capital}b c").replace("\u2581", " ")
        assert text == f"⇧{small}a⇧ {small}b c"


def test_a_claim_is_confirmed_only_where_both_texts_say_so_beyond_chance():
    prefix = both("bpe", 2048, 2.0)
    assert words(page.spaces, prefix + both("bpe-spaces", 2048, 1.8)).startswith("**confirmed.**")
    assert words(page.spaces, prefix + both("bpe-spaces", 2048, 2.2)).startswith("**not confirmed.**")
    noisy = [row(t, "bpe-spaces", 2048, s, 2.0 + (-1) ** s / 5) for t in page.LANGUAGES for s in (1, 2, 3)]
    assert words(page.spaces, prefix + noisy).startswith("**not decided.**")
    split = both("bpe-spaces", 2048, 1.8)[:3] + both("bpe-spaces", 2048, 2.2)[3:]
    assert words(page.spaces, prefix + split).startswith("**not decided.**")
    one_seed = [r for r in prefix + both("bpe-spaces", 2048, 1.8) if r["cell"]["seed"] == 1]
    told = words(page.spaces, one_seed)
    assert told.startswith("**not decided.**")
    assert "-9.5% (one seed) in English" in told  # (1.8 + 0.101) / (2.0 + 0.101) - 1


def test_shorter_tokens_explain_the_loss():
    told = words(page.plunge, both("bpe", 2048, 2.0) + both("bpe-spaces", 2048, 2.01))
    assert told.startswith("**An illusion.**")
    assert "-33.3% is what shorter tokens make of the same bits per byte" in told
    assert words(page.plunge, []) == "**not decided.** No pair is finished."


@pytest.mark.parametrize(("cost", "verdict"), [(4.5, "confirmed"), (2.5, "not confirmed"), (3.15, "not decided")])
def test_words_starve_where_they_cost_more_than_before(cost, verdict):
    dear = both("bpe", 32_000, 2.1)
    for n, one in enumerate(dear):
        one["words"] = {word: [cost + n % 3 / 10 - 0.1, 50] for word in one["words"]}
    assert words(page.starving, both("bpe", 2048, 2.0) + dear).startswith(f"**{verdict}.**")


def test_characters_have_the_smallest_loss_and_need_more_bits():
    assert words(page.characters, both("bpe", 2048, 2.0) + both("char", 0, 2.3)).startswith("**confirmed.**")
    smaller = both("bytes", 0, 2.4)  # whose loss per token is smaller still
    assert words(page.characters, both("bpe", 2048, 2.0) + both("char", 0, 2.3) + smaller).startswith("**confirmed.**")
    assert words(page.characters, both("bpe", 2048, 2.0) + both("char", 0, 1.7)).startswith("**not confirmed.**")


def test_the_page_says_what_is_missing():
    empty = page.page(page.Rows([]))
    assert f"from 0 of {len(tokenizer_study.order())} cells" in empty
    assert "- capitals folded (1M, the same text, seeds 1, 2, 3): 0 of 6 cells" in empty
    some = page.page(page.Rows(both("bpe", 2048, 2.0) + both("bpe", 512, 2.2)))
    assert "| English | bpe 2,048 | 2.202 |" in some
    assert "- English, 1M, the same text: 2,048 tokens need the fewest bits per byte; 512 +" in some
    assert "a third seed of the first question (1M, the same text, seeds 3): 2 of 4 cells" in some


def test_the_committed_page_is_of_the_committed_figures():
    if not tokenizer_study.RESULTS.exists():
        assert not page.PAGE.exists()
        return
    rows = page.Rows(json.loads(tokenizer_study.RESULTS.read_text(encoding="utf-8")))
    assert page.PAGE.read_text(encoding="utf-8") == page.page(rows)
    assert (BENCHMARKS / "tokenizer_study.svg").read_text(encoding="utf-8") == page.illusion(rows)
    assert (BENCHMARKS / "tokenizer_study_sizes.svg").read_text(encoding="utf-8") == page.sizes(rows)


@pytest.mark.parametrize("kind", ["bpe", "bpe-spaces", "char"])
def test_what_a_word_costs_is_that_of_all_tokens_that_hold_it(tmp_path, kind):
    """Computed by hand: the sum of -log p over all tokens that overlap " you" or " are" in the text, in nats."""
    tokenizer = made(tmp_path, kind=kind)
    torch.manual_seed(1)
    model = LanguageModel(tiny_shape(), tokenizer.vocab_size)
    text = "who are you? you, your «you» are\nare you are"
    pack(documents.sequences([text], tokenizer, 64), context=64, vocab_size=tokenizer.vocab_size, out=tmp_path / "rows")
    found = tokenizer_study.losses_by_word(model, PackedRows(tmp_path / "rows"), tokenizer, ["you", "are"])
    ids = [*tokenizer.encode(text), tokenizer.end]
    with torch.inference_mode():
        costs = -torch.log_softmax(model(torch.tensor([ids[:-1]]))[0].double(), -1)
    until = [len(tokenizer.decode(ids[: n + 1])) for n in range(len(ids))]  # every id is whole characters here
    wanted: dict[str, list[float]] = {"you": [], "are": []}
    for match in re.finditer(r" (you|are)(?![\w»])", text):
        tokens = [n for n in range(1, len(ids) - 1) if until[n - 1] < match.end() and until[n] > match.start()]
        wanted[match[1]].append(sum(float(costs[n - 1, ids[n]]) for n in tokens))
    assert [len(wanted["you"]), len(wanted["are"])] == [3, 3]
    assert found == {word: pytest.approx(nats, rel=1e-4) for word, nats in wanted.items()}
