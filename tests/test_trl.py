"""TRL goes on training from a folder that we export, with our loss mask, and trains on our pairs; its formats of rows are read here."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from conftest import tiny_shape, write_dialogues

from minitron.align import pairs
from minitron.align.pairs import Completion
from minitron.data import labelled, sources
from minitron.data.messages import role_map, to_messages
from minitron.data.sources import Reader
from minitron.interop import hf
from minitron.interop.about import About
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import RejectConfig
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config, ExportConfig

pytestmark = pytest.mark.slow  # imports TRL
trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(in_tmp_path, tiny_tokenizer):
    torch.manual_seed(1)
    model = LanguageModel(tiny_shape(context=128), tiny_tokenizer.vocab_size).eval()
    hf.write(model, tiny_tokenizer, About("Tiny", "f32", ExportConfig(), "tiny", "sft"), in_tmp_path / "hf")
    return in_tmp_path / "hf"


def steps(output, **how):
    return how | {
        "output_dir": str(output),
        "max_steps": 2,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
    }


def test_sft_counts_loss_where_we_do(folder, in_tmp_path):
    write_dialogues(in_tmp_path / "dialogues.jsonl", 16)
    data = datasets.load_dataset("json", data_files=str(in_tmp_path / "dialogues.jsonl"), split="train")
    trainer = trl.SFTTrainer(
        str(folder), args=trl.SFTConfig(**steps("out", assistant_only_loss=True)), train_dataset=data
    )
    batch = next(iter(trainer.get_train_dataloader()))
    counted = batch["labels"] != -100
    end = trainer.processing_class.convert_tokens_to_ids("<|end|>")
    assistant = trainer.processing_class.convert_tokens_to_ids("<|assistant|>")
    for ids, mask in zip(batch["input_ids"], counted, strict=True):
        assert mask.any()
        first = int(mask.nonzero()[0])
        assert ids[first - 1] == assistant
        assert ids[int(mask.nonzero()[-1])] == end
    assert trainer.train().metrics["train_loss"] > 0


def test_kto_trains_on_our_pairs_as_they_are(folder):
    prompt = [{"role": "user", "content": "say 1"}]
    rows = [Completion(prompt, f"{i} hello", i % 2 == 0, "hot", "" if i % 2 == 0 else "loop") for i in range(8)]
    pairs.write(Path("pairs.parquet"), rows)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    trainer = trl.KTOTrainer(
        str(folder),
        args=trl.KTOConfig(**steps("out")),
        train_dataset=datasets.load_dataset("parquet", data_files="pairs.parquet", split="train"),
        processing_class=tokenizer,
    )
    assert [row["label"] for row in trainer.train_dataset] == [row.label for row in rows]
    for row, wanted in zip(trainer.train_dataset, rows, strict=True):
        assert tokenizer.decode(row["completion_ids"], skip_special_tokens=True) == wanted.completion
    assert trainer.train().metrics["train_loss"] > 0


ASKED, SAID, WORSE = (
    [{"role": role, "content": text}]
    for role, text in (("user", "What color is the sky?"), ("assistant", "It is blue."), ("assistant", "It is green."))
)
PAIR = [(ASKED, "It is blue.", True), (ASKED, "It is green.", False)]
# TRL's own names of its formats (its page on dataset formats) -> a row, and the labels that we read from it.
PREFERENCES = {
    "preference, standard, explicit prompt": (
        {"prompt": "What color is the sky?", "chosen": "It is blue.", "rejected": "It is green."}, PAIR),
    "preference, conversational, explicit prompt": ({"prompt": ASKED, "chosen": SAID, "rejected": WORSE}, PAIR),
    "preference, conversational, implicit prompt": ({"chosen": ASKED + SAID, "rejected": ASKED + WORSE}, PAIR),
    "unpaired preference, standard": (
        {"prompt": "What color is the sky?", "completion": "It is blue.", "label": True}, PAIR[:1]),
    "unpaired preference, conversational": ({"prompt": ASKED, "completion": WORSE, "label": False}, PAIR[1:]),
}  # fmt: skip
DIALOGUES = {
    "language modeling, conversational": {"messages": ASKED + SAID},
    "prompt-completion, standard": {"prompt": "What color is the sky?", "completion": "It is blue."},
    "prompt-completion, conversational": {"prompt": ASKED, "completion": SAID},
}


def as_trl_saves(row: dict, kind: str) -> str:
    """Writes this row ten times to a file with `datasets`; returns the file's name."""
    rows = datasets.Dataset.from_list([row] * 10)
    name = f"rows.{kind}"
    rows.to_parquet(name) if kind == "parquet" else rows.to_json(name)
    return name


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize("name", PREFERENCES)
def test_its_preference_formats_are_labels_as_they_are(in_tmp_path, name, kind):
    row, want = PREFERENCES[name]
    if kind == "parquet" and "standard" not in name:
        assert trl.is_conversational(row)
    config = Config(name="t", recipe=Path("t.toml"), reject=RejectConfig(files=[as_trl_saves(row, kind)]))
    dropped: Counter = Counter()
    found = [(one.prompt, one.completion, one.label) for one in labelled.read(config, dropped)]
    assert (found, dropped) == (want * 10, {})


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize("name", DIALOGUES)
def test_its_formats_for_sft_are_dialogues_as_they_are(in_tmp_path, name, kind):
    data = DataConfig(files=[as_trl_saves(DIALOGUES[name], kind)])
    (rows, *more) = Reader(data).read(sources.sources(data))
    assert not more
    for row in rows:
        assert to_messages(row.turns, roles=role_map(data), unknown=set()) == ASKED + SAID
    assert len(rows) == 10
