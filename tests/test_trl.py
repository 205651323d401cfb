"""TRL trains on from a folder that we export, with our loss mask, and on pairs of ours."""

import pytest
import torch
from conftest import tiny_shape, write_dialogues

from minitron.interop import hf
from minitron.interop.about import About
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import ExportConfig

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


def test_kto_trains_on_our_pairs(folder):
    prompt = [{"role": "user", "content": "say 1"}]
    rows = [{"prompt": prompt, "completion": f"{i} hello", "label": i % 2 == 0} for i in range(8)]
    data = datasets.Dataset.from_list(rows)
    # docs/interop.md: TRL wants the completion as a message, where the prompt is one
    data = data.map(lambda row: {"completion": [{"role": "assistant", "content": row["completion"]}]})
    trainer = trl.KTOTrainer(
        str(folder),
        args=trl.KTOConfig(**steps("out")),
        train_dataset=data,
        processing_class=transformers.AutoTokenizer.from_pretrained(folder),
    )
    assert trainer.train().metrics["train_loss"] > 0
