"""The folder for Hugging Face against transformers itself, which loads it with no code of ours."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import minitron
from conftest import TINY_RECIPE, char_tokenizer, random_texts, run_to, tiny_shape, tiny_texts

from minitron.core.errors import MinitronError
from minitron.interop import hf, model_card
from minitron.interop.about import About
from minitron.model.language_model import LanguageModel
from minitron.recipe.data import Source
from minitron.recipe.layout import Layout
from minitron.recipe.schema import ExportConfig, TokenizerConfig
from minitron.tokenizer import chat_template, kinds

pytestmark = pytest.mark.slow  # imports transformers
transformers = pytest.importorskip("transformers")


def about(dtype: str = "f32", **changes) -> About:
    return dataclasses.replace(About("Tiny", dtype, ExportConfig(), "tiny", "sft"), **changes)


def model(vocab_size: int, **changes) -> LanguageModel:
    torch.manual_seed(1)
    made = LanguageModel(tiny_shape(**changes), vocab_size).eval()
    with torch.no_grad():  # attention is not uniform, norms are not 1, biases are not 0
        for weight in made.parameters():
            weight += torch.randn_like(weight) * 0.2
    return made


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("LlamaForCausalLM", {"n_heads": 4, "n_kv_heads": 2, "rope_theta": 500.0}),
        ("Qwen3ForCausalLM", {"qk_norm": True, "norm_eps": 1e-6}),
        ("GPT2LMHeadModel", {"arch": "nanogpt"}),
        ("GPT2LMHeadModel", {"arch": "nanogpt", "bias": True}),
    ],
)
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_transformers_computes_the_same_logits(tmp_path, tiny_tokenizer, kind, shape, dtype):
    made = model(tiny_tokenizer.vocab_size, **shape)
    hf.write(made, tiny_tokenizer, about(dtype), tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(theirs).__name__ == kind
    assert str(theirs.dtype).removeprefix("torch.") == {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[dtype]
    stored = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]
    with torch.inference_mode():
        for weight in made.parameters():
            weight.copy_(weight.to(stored).float())
        ids = torch.randint(tiny_tokenizer.vocab_size, (3, 64), generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(made(ids), theirs.float()(ids).logits, rtol=0, atol=1e-4)
        want = made(ids).argmax(-1)
    assert want.unique().numel() > 10  # not the same id everywhere


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"byte_fallback": False, "vocab_size": 150},
        {"split_digits": False},
        {"vocab_size": 2300},
        {"kind": "bpe-spaces"},
        {"kind": "bpe-spaces", "user_symbols": ["—", "…"]},
    ],
)
def test_its_tokenizer_gives_our_ids(tmp_path, how):
    config = TokenizerConfig(**{"vocab_size": 340, "character_coverage": 1.0} | how)
    training = tiny_texts() if config.vocab_size < 2000 else [*tiny_texts(), *random_texts(300, seed=5)]
    path = tmp_path / "tokenizer.model"
    path.write_bytes(kinds.train(training, config=config, seed=1))
    same_ids(kinds.load(path), tmp_path / "hf")


@pytest.mark.parametrize("kind", ["bpe", "bpe-spaces"])
def test_rules_for_several_characters_are_applied_there_too(tmp_path, kind):
    path = tmp_path / "tokenizer.model"
    config = TokenizerConfig(kind=kind, vocab_size=340, character_coverage=1.0, normalization="ru-classics")
    path.write_bytes(kinds.train([*tiny_texts(), "Ну… вот — так. "], config=config, seed=1))
    ours = kinds.load(path)
    hf.write(model(ours.vocab_size), ours, about(), tmp_path / "hf")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    for text in ("Ну... вот", "он -- вот", "a --- b....", "«Ёлка» — ё", "- - -- ---- ."):
        assert theirs(text)["input_ids"] == ours.encode(text)


@pytest.mark.parametrize("rules", ["nmt_nfkc", "D\t\n", "A\t20\n", "D A\t\n"])
def test_the_end_of_a_line_in_windows_is_two_characters_there_too(tmp_path, rules):
    file = tmp_path / "rules.tsv"
    file.write_text(rules)
    config = TokenizerConfig(vocab_size=340, normalization=str(file) if "\t" in rules else rules)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(kinds.train(tiny_texts(), config=config, seed=1))
    ours = kinds.load(path)
    hf.write(model(ours.vocab_size), ours, about(), tmp_path / "hf")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    for text in ("a\r\nb", "a\rb\n", "\r\n\r\n", "a\n\rb"):
        assert theirs(text)["input_ids"] == ours.encode(text)


def test_a_character_tokenizer_gives_our_ids(tmp_path):
    same_ids(char_tokenizer(tmp_path, *tiny_texts(), "日本 \n\t"), tmp_path / "hf")


def same_ids(ours, folder: Path) -> None:
    hf.write(model(ours.vocab_size), ours, about(), folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert len(theirs) == ours.vocab_size
    different = [t for t in random_texts(5000, seed=3) if theirs(t)["input_ids"] != ours.encode(t)]
    assert not different, different[:3]
    for text in random_texts(300, seed=4):
        ids = ours.encode(text)
        if 0 not in ids:  # the unknown piece is " ⁇ " here and <unk> there
            assert theirs.decode(ids) == ours.decode(ids)


DIALOGUE = [
    {"role": "system", "content": "be a small model"},
    {"role": "user", "content": "  hello\n"},
    {"role": "assistant", "content": "привет 🙂\n\nhow are you"},
    {"role": "user", "content": ""},
    {"role": "assistant", "content": " i am 17."},
]


def test_its_chat_template_gives_what_sft_trains_on_and_its_mask_is_our_loss_mask(tmp_path, tiny_tokenizer):
    hf.write(model(tiny_tokenizer.vocab_size), tiny_tokenizer, about(), tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for messages in (DIALOGUE, DIALOGUE[1:], DIALOGUE[:3]):
        ids, mask = chat_template.encode_dialogue(messages, tiny_tokenizer)
        found = theirs.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        assert found["input_ids"] == ids
        assert [bool(m) for m in found["assistant_masks"]] == mask
        prompt = theirs.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=True)
        assert prompt["input_ids"] == chat_template.encode_prompt(messages[:-1], tiny_tokenizer)
    for wrong in ([{"role": "tool", "content": "x"}], [*DIALOGUE, DIALOGUE[0]]):
        with pytest.raises(Exception, match="roles are system"):
            theirs.apply_chat_template(wrong)


def test_it_writes_on_as_we_do_until_the_end_marker(tmp_path, tiny_tokenizer):
    """generate() with the folder's generation_config.json is greedy and writes no marker but the end marker, which ends the answer."""
    settings = ExportConfig(temperature=0.0, max_tokens=30)
    made = model(tiny_tokenizer.vocab_size)
    hf.write(made, tiny_tokenizer, about(settings=settings), tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    prompt = chat_template.encode_prompt(DIALOGUE[:2], tiny_tokenizer)
    got = theirs.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)))[0, len(prompt) :].tolist()
    ids = list(prompt)
    with torch.inference_mode():
        while len(ids) < len(prompt) + 30 and ids[-1] != tiny_tokenizer.end:
            logits = made(torch.tensor([ids]))[0, -1]
            logits[tiny_tokenizer.never_sampled] = -torch.inf
            ids.append(int(logits.argmax()))
    assert got == ids[len(prompt) :]


def test_what_transformers_cannot_say_is_refused(tmp_path, tiny_tokenizer):
    with pytest.raises(MinitronError, match="LlamaForCausalLM cannot store model.logit_cap"):
        hf.write(model(tiny_tokenizer.vocab_size, logit_cap=5.0), tiny_tokenizer, about(), tmp_path)
    with pytest.raises(MinitronError, match="LFM2 in transformers has a `window` at least"):
        hf.write(model(tiny_tokenizer.vocab_size, arch="stream", layers=["conv"]), tiny_tokenizer, about(), tmp_path)
    infinite = model(tiny_tokenizer.vocab_size)
    with torch.no_grad():
        infinite.embedding[3, 3] = 1e6
    with pytest.raises(MinitronError, match="does not fit into fp16"):
        hf.write(infinite, tiny_tokenizer, about("f16"), tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(MinitronError, match="holds a bundle"):
        hf.write(model(tiny_tokenizer.vocab_size), tiny_tokenizer, about(), tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_a_run_is_exported_with_a_card_of_its_own_figures(tiny_run):
    Path("tiny.toml").write_text(
        TINY_RECIPE.replace("[data]", '[data]\nsources = [{name = "made | up", licence = "CC0-1.0", address = "here"}]')
    )
    run_to("eval")
    done = minitron("export", "tiny.toml", "--format", "hf")
    assert done.returncode == 0, done.stderr
    folder = Path("export/tiny/hf")
    card = (folder / "README.md").read_text(encoding="utf-8")
    report = json.loads(Path("runs/tiny/report.json").read_text())
    assert f"{report['models']['kto']['loss']:.4f}" in card
    assert f"{report['params']:,}" in card
    assert "| made \\| up | CC0-1.0 | here |" in card
    assert "| sft | dialogues | 24 | 256 | 0.003 | adamw | 3 |" in card
    assert report["models"]["kto"]["failures"]["chat"]["samples"][0]["answer"] in card
    assert "| runaway | " in card
    again = minitron("export", "tiny.toml", "--format", "hf", "--out", "again")
    assert again.returncode == 0, again.stderr
    for name in sorted(path.name for path in folder.iterdir()):
        assert (folder / name).read_bytes() == (Path("again") / name).read_bytes(), name
    wrong = minitron("export", "tiny.toml", "--format", "hf", "--dtype", "q4")
    assert wrong.returncode == 2
    assert "--format hf has no --dtype q4" in wrong.stderr
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("hello мир")["input_ids"]) == "hello мир"
    (example,) = re.findall("```python\n(.*?)```", card, re.DOTALL)
    answered = subprocess.run(  # -I: without the folder that minitron is in
        [sys.executable, "-I", "-c", f"import sys; sys.modules['minitron'] = None\n{example}"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert answered.returncode == 0, answered.stderr


def test_a_fence_in_an_answer_does_not_end_the_cards(tmp_path, tiny_tokenizer):
    """Somebody's text stays a quotation: it makes no heading and no HTML."""
    report = {
        "name": "tiny",
        "tokenizer": {"vocab_size": 340},
        "params": 1,
        "models": {"sft": {"step": 1, "loss": None, "probes": {}, "failures": {}, "continuations": []}},
    }
    nasty = "````\n# not a heading\n<script>"
    report["models"]["sft"]["continuations"] = [{"prompt": nasty, "reference": "", "answer": "x"}]
    run = Layout(tmp_path / "runs" / "tiny")
    run.card.parent.mkdir(parents=True)
    run.card.write_text(json.dumps(report))
    made = about(base=True, run=run, sources=[Source(name="<b>bold</b>\n# heading")])
    card = model_card.text(model(340), tiny_tokenizer, made)
    assert f"`````text\n> {nasty}\nx\n`````" in card
    assert "\\<b\\>bold\\</b\\> \\# heading" in card


def test_a_base_model_has_no_template(tmp_path, tiny_tokenizer):
    hf.write(model(tiny_tokenizer.vocab_size), tiny_tokenizer, about(base=True), tmp_path)
    assert not (tmp_path / "chat_template.jinja").exists()
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).chat_template is None
