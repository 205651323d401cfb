"""What the examiner asks models: eval's questions and spare ones, the dialogues that sft validates on, probes whose rules are sound."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from conftest import tiny_texts

from minitron.core.errors import MinitronError
from minitron.data import encoding
from minitron.data.packing import PackedRows, pack
from minitron.evaluate.examiner import Examiner
from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.stages import pipeline, sft
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer


def prepared(*overrides: str, turns: int = 1, check: str = '{"any": ["am"]}') -> tuple[Config, Tokenizer]:
    """Data and tokenizer of 400 dialogues with `turns` turns each; a fifth are held out, and a tenth are probes."""
    with Path("dialogues.jsonl").open("w") as file:
        for i, text in enumerate(tiny_texts(400)):
            messages = [
                {"role": role, "content": said}
                for turn in range(turns)
                for role, said in (("user", f"say {i} {turn}"), ("assistant", text))
            ]
            source = "mine" if i % 4 == 1 else "theirs"
            row = {
                "source": source,
                "messages": messages,
                "probe": int(i % 10 == 0),
                "check": check,
                "skill": f"skill {i % 3}",
            }
            file.write(json.dumps(row) + "\n")
    recipe = load_recipe("tiny.toml", ['data.probes="probe == 1"', *overrides])
    for stage in pipeline.select(recipe, None, "tokenizer"):
        pipeline.run_stage(stage, recipe)
    return recipe, kinds.load(recipe.layout.tokenizer)


def asked(examiner: Examiner) -> tuple[set[str], set[str]]:
    """All prompts and all probes of an examiner, as JSON."""
    prompts = {json.dumps(prompt) for prompt, _ in examiner.prompts}
    return prompts, {json.dumps(probe["messages"]) for probe in examiner.questions}


def test_spare_questions_are_other_ones(tiny_run, capfd):
    recipe, tokenizer = prepared("eval.prompts=20", "eval.probes=15")
    ours, others = asked(Examiner(recipe, tokenizer)), asked(Examiner(recipe, tokenizer, spare=True))
    for one, other, count in zip(ours, others, (20, 15), strict=True):
        assert len(one) == len(other) == count
        assert not one & other
    assert "decide here too" not in capfd.readouterr().err


def test_where_there_are_too_few_it_says_that_they_are_the_same(tiny_run, capfd):
    recipe, tokenizer = prepared("eval.prompts=60", "eval.probes=38")
    ours, others = asked(Examiner(recipe, tokenizer)), asked(Examiner(recipe, tokenizer, spare=True, title="kto"))
    assert ours == others
    said = capfd.readouterr().err
    assert "held-out prompts, so those of eval decide here too" in said
    assert "there are only 40 held-out probes, so those of eval" in said


def test_held_out_loss_is_of_the_dialogues_that_sft_validates_on(tiny_run, tmp_path):
    """Dialogues longer than the context lose their last turns; they are not left out."""
    recipe, tokenizer = prepared(turns=4)
    cut = {"shortened": 0, "left out": 0}
    sequences = encoding.encode(recipe.layout.dialogues("valid"), tokenizer, recipe.model.context, cut)
    pack(sequences, context=recipe.model.context, vocab_size=tokenizer.vocab_size, out=tmp_path / "want")
    assert cut["shortened"] > 20
    rows, want = Examiner(recipe, tokenizer).rows, PackedRows(tmp_path / "want")
    assert (len(rows), rows.targets, rows.target_bytes) == (len(want), want.targets, want.target_bytes)
    assert rows.targets > 0


def test_the_loss_by_source_is_that_of_the_whole_in_parts(tiny_run):
    """The mean of the sources' losses, weighted by their numbers of targets, is the loss of all."""
    recipe, tokenizer = prepared()
    examiner = Examiner(recipe, tokenizer)
    torch.manual_seed(1)
    model = LanguageModel(recipe.model, tokenizer.vocab_size).eval()
    found, whole = examiner.losses_by_source(model), examiner.loss(model)
    held_out = Counter(pq.read_table(recipe.layout.dialogues("valid"))["source"].to_pylist())
    assert {name: loss.dialogues for name, loss in found.items()} == dict(held_out)
    assert list(found) == ["theirs", "mine"]
    targets = {name: rows.targets for name, (rows, _) in examiner.rows_by_source.items()}
    assert sum(targets.values()) == examiner.rows.targets
    total = sum(found[name].loss * targets[name] for name in targets)
    assert total / examiner.rows.targets == pytest.approx(whole.loss, rel=1e-4)
    assert found["mine"].loss != found["theirs"].loss


@pytest.mark.parametrize(
    ("check", "said"),
    [("lima", "the check 'lima' is not JSON"), ('{"some": ["lima"]}', "a check has no rule 'some'")],
)
def test_a_probe_with_broken_rules_is_told_when_the_data_are_read(tiny_run, check, said):
    with pytest.raises(MinitronError, match=said):
        prepared(check=check)
    assert not Path("runs/tiny/data/probes.parquet").exists()


def test_only_many_dialogues_that_the_context_cuts_are_worth_a_warning(tiny_run, capfd, monkeypatch):
    recipe, tokenizer = prepared(turns=4)
    told = "sft: valid: {} dialogues longer than the context of 64 tokens lost their last turns, 0 whose first answer"
    for share, begin in ((0.01, "warning: "), (1.0, "\n")):
        monkeypatch.setattr(sft, "MANY", share)
        shutil.rmtree(recipe.layout.packed("sft", "valid"), ignore_errors=True)
        capfd.readouterr()
        sft.rows(recipe, tokenizer, "valid")
        assert begin + told.format(53) in capfd.readouterr().err
