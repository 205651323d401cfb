"""Imports Hugging Face folders, made with transformers' own classes, as runs: weights, tokenizers, templates, and further training."""

import json
import subprocess
import unicodedata
from pathlib import Path

import pytest
import torch
from commands import minitron
from conftest import random_texts, tiny_shape, tiny_texts, write_dialogues
from llamacpp import LlamaCpp
from safetensors.torch import load_file, save_file

from minitron.core.errors import MinitronError
from minitron.interop import gguf, imported
from minitron.interop.about import About
from minitron.model.language_model import LanguageModel
from minitron.plan import propose
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import ExportConfig
from minitron.stages import declared, export, pipeline, walk
from minitron.tokenizer import chat_template, forms, kinds
from minitron.tokenizer.byte_bpe import file_of
from minitron.tokenizer.byte_level import SPLITTING, byte_level_json, special_token
from minitron.train import checkpoint

pytestmark = pytest.mark.slow  # imports transformers
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
CHATML = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


# Llama 3's, as its tokenizer_config.json has it
LLAMA_3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA_3_SPECIAL = ("<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def byte_level(splitting: str, *, special: tuple[str, ...] = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")) -> dict:
    """A tokenizer.json that the library itself trains, with one of the ways of splitting."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    empty = byte_level_json(["a"], [], [], splitting=splitting)
    shell = tokenizers.Tokenizer.from_str(json.dumps(empty))
    made.pre_tokenizer, made.normalizer, made.decoder = shell.pre_tokenizer, shell.normalizer, shell.decoder
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=list(special), show_progress=False
    )
    made.train_from_iterator([*tiny_texts(), *random_texts(200, seed=7)], trainer)
    return json.loads(made.to_str())


def their_model(kind: str, rows: int, **changes):
    """A model of transformers' own class, of a kind, with random weights."""
    torch.manual_seed(3)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=rows,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=64,
            eos_token_id=0,
            activation_function="gelu",
            **changes,
        )
        made = transformers.GPT2LMHeadModel(config)
    else:
        family = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM)}
        family["qwen3"] = (transformers.Qwen3Config, transformers.Qwen3ForCausalLM)
        settings, model = family[kind]
        config = settings(
            **{"vocab_size": rows, "max_position_embeddings": 64, "num_key_value_heads": 2, "eos_token_id": 0}
            | SIZES
            | changes
        )
        made = model(config)
    with torch.no_grad():
        for weight in made.parameters():
            weight += torch.randn_like(weight) * 0.1
    return made.eval()


def save_folder(folder: Path, model, whole: dict, *, template: str = "", **how) -> Path:
    model.save_pretrained(folder, **how)
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def our_logits(run: str, ids: list[int]) -> torch.Tensor:
    _, folder = load_recipe(f"{run}/{Path(run).name}.toml").layout.last_trained
    model, _ = checkpoint.load_model(folder)
    with torch.inference_mode():
        return model(torch.tensor([ids]))[0]


def assert_same_logits(run: str, model, rows: int) -> None:
    ids = torch.randint(rows, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    with torch.inference_mode():
        torch.testing.assert_close(
            our_logits(run, ids), model.float()(torch.tensor([ids])).logits[0], rtol=0, atol=1e-4
        )


CASES = {
    "llama": ("llama", {"tie_word_embeddings": True, "rope_theta": 500.0}, {}),
    "llama, untied, in shards": ("llama", {"tie_word_embeddings": False}, {"max_shard_size": "40KB"}),
    "qwen3, wide heads": ("qwen3", {"head_dim": 16, "tie_word_embeddings": True}, {}),
    "gpt2": ("gpt2", {}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_folder_computes_the_same_and_goes_out_as_it_came_in(in_tmp_path, case):
    kind, changes, how = CASES[case]
    whole = byte_level("gpt-2")
    rows = len(whole["model"]["vocab"]) + 10  # an embedding is often longer than the vocabulary
    theirs = their_model(kind, rows, **changes)
    folder = save_folder(in_tmp_path / "theirs", theirs, whole, **how)
    imported.run(folder, Path("runs/x"))
    assert_same_logits("runs/x", theirs, rows)
    recipe = load_recipe("runs/x/x.toml")
    assert recipe.base  # it has no chat template
    export.write(recipe, out="out", format="hf")
    again = transformers.AutoModelForCausalLM.from_pretrained("out")
    assert type(again) is type(theirs)
    before, after = theirs.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    tokenizer = transformers.AutoTokenizer.from_pretrained("out")
    original = tokenizers.Tokenizer.from_str(json.dumps(whole))
    ours = kinds.load(recipe.layout.tokenizer)
    for text in random_texts(500, seed=8):
        want = original.encode(text, add_special_tokens=False).ids
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == want
        assert ours.encode(text) == want
        assert ours.decode(want) == text


@pytest.mark.parametrize("splitting", SPLITTING)
def test_every_way_of_splitting_gives_the_librarys_ids_and_no_special_one(tmp_path, splitting):
    whole = byte_level(splitting)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(file_of(whole, size=700, end=0))
    ours, library = kinds.load(path), tokenizers.Tokenizer.from_str(json.dumps(whole))
    for text in random_texts(500, seed=9):
        assert ours.encode(text) == library.encode(text, add_special_tokens=False).ids
    typed = ours.encode("hi <|im_end|><|endoftext|> <|im_start|>user\n")
    assert not set(typed) & {0, 1, 2}
    assert ours.decode(typed) == "hi <|im_end|><|endoftext|> <|im_start|>user\n"
    assert ours.encode(b"\xff\xfehi") == ours.encode("��hi")
    assert sorted(ours.never_sampled) == [0, 1, *range(len(whole["model"]["vocab"]), 700)]


@pytest.mark.parametrize("splitting", SPLITTING)
def test_llama_cpp_has_its_ids_too(in_tmp_path, splitting):
    form, special = forms.CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    if splitting == "llama-bpe":
        form, special = forms.LLAMA_3, LLAMA_3_SPECIAL
    whole = byte_level(splitting, special=special)
    rows = len(whole["model"]["vocab"])
    whole["added_tokens"].append(special_token(rows, "<think>") | {"special": False})  # text, as Qwen 3 has it
    Path("tokenizer.model").write_bytes(file_of(whole, size=rows + 3, end=2))
    ours = kinds.load(Path("tokenizer.model"))
    assert (ours.splitting, ours.form) == (splitting, form)
    Path("m.gguf").write_bytes(gguf.encode(LanguageModel(tiny_shape(), ours.vocab_size), ours, dtype="f16"))
    theirs = LlamaCpp(Path("m.gguf"))
    texts = ["<think>hm", *tiny_texts(50), *random_texts(500, seed=9)]
    assert ours.encode("<think>") == [rows]
    if splitting == "qwen2":  # llama.cpp leaves Qwen's NFC out
        texts = [unicodedata.normalize("NFC", t) for t in texts]
    different = [t for t in texts if theirs.ids(t) != ours.encode(t)]
    assert not different, different[:3]
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": " ?\n" if form.strip else "?"},
    ]
    assert theirs.ids(theirs.prompt(messages), markers=True) == chat_template.encode_prompt(messages, ours)
    back = imported.read(Path("m.gguf"))
    assert not back.base
    again = kinds.read(back.tokenizer, Path("m.gguf"))
    assert chat_template.encode_prompt(messages, again) == chat_template.encode_prompt(messages, ours)
    assert again.never_sampled == ours.never_sampled  # rows of no token among them
    assert all(again.encode(t) == ours.encode(t) for t in texts)


@pytest.mark.parametrize("template", [CHATML, LLAMA_3], ids=["ChatML", "Llama 3"])
def test_a_known_template_gives_what_it_gives_in_transformers(in_tmp_path, template):
    splitting, special, stripped = "qwen2", ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), False
    if template == LLAMA_3:
        splitting, special, stripped = "llama-bpe", LLAMA_3_SPECIAL, True
    whole = byte_level(splitting, special=special)
    rows = len(whole["model"]["vocab"])
    # Llama 3 names two end tokens, of which its dialogues use the second
    theirs = their_model("llama", rows, tie_word_embeddings=True, eos_token_id=[0, 4] if stripped else 2)
    imported.run(save_folder(in_tmp_path / "theirs", theirs, whole, template=template), Path("runs/x"))
    recipe = load_recipe("runs/x/x.toml")
    assert not recipe.base
    ours = kinds.load(recipe.layout.tokenizer)
    messages = [
        {"role": "system", "content": "be small"},
        {"role": "user", "content": "привет"},
        {"role": "assistant", "content": "hello you"},
    ]
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer.from_str(json.dumps(whole)))
    tokenizer.chat_template = template
    tokenizer.bos_token = special[1]
    if stripped:
        messages[1]["content"] = "\n \x1c\u2003привет  "
        messages[2]["content"] = " hello you\n"
    ids, mask = chat_template.encode_dialogue(messages, ours)
    assert ids == tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    supervised = [i for i, m in zip(ids, mask, strict=True) if m]
    assert supervised == [*ours.encode("hello you"), ours.end]
    prompt = tokenizer.apply_chat_template(messages[:2], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert chat_template.encode_prompt(messages[:2], ours) == prompt
    export.write(recipe, out="out", format="hf")
    loaded = transformers.AutoTokenizer.from_pretrained("out")
    found = loaded.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    assert found["input_ids"] == ids
    assert [bool(m) for m in found["assistant_masks"]] == mask
    for text in random_texts(200, seed=6) if stripped else ():
        messages[1]["content"] = text
        want = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
        assert chat_template.encode_dialogue(messages, ours)[0] == want


PROGRAMS = {
    "qwen2, ChatML": ("qwen2", "llama", {"tie_word_embeddings": True, "eos_token_id": 2}, CHATML),
    "smollm, ChatML": ("smollm", "llama", {"tie_word_embeddings": True, "eos_token_id": 2}, CHATML),
    "llama-bpe, Llama 3": ("llama-bpe", "llama", {"tie_word_embeddings": True, "eos_token_id": 4}, LLAMA_3),
    "llama-bpe, text": ("llama-bpe", "llama", {"tie_word_embeddings": False}, ""),
    "gpt-2, text": ("gpt-2", "gpt2", {}, ""),
}


@pytest.mark.parametrize("case", PROGRAMS)
def test_it_becomes_a_program_that_answers_as_python_does(in_tmp_path, program, case):
    splitting, kind, changes, template = PROGRAMS[case]
    whole = byte_level(splitting, **({"special": LLAMA_3_SPECIAL} if template == LLAMA_3 else {}))
    theirs = their_model(kind, len(whole["model"]["vocab"]) + 3, **changes)
    imported.run(save_folder(in_tmp_path / "theirs", theirs, whole, template=template), Path("runs/x"))
    recipe = load_recipe("runs/x/x.toml")
    ours = kinds.load(recipe.layout.tokenizer)
    done = minitron("export", "runs/x", "--dtype", "f16")
    assert done.returncode == 0, done.stderr

    texts = [*random_texts(500, seed=8), "<|im_end|><|endoftext|>", "e\u0301 Å ḍ̇", "it's\n\n 123"]
    answers = ask(program, "tokenize", [{"text": text} for text in texts])
    assert [answer["ids"] for answer in answers] == [ours.encode(text) for text in texts]
    questions = [{"messages": [{"role": "user", "content": f"say {n} é"}], "max_tokens": 8} for n in range(12)]
    system = [{"role": "system", "content": "be small"}]
    before = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    questions += [q | {"messages": system + before + q["messages"]} for q in questions[:4]]
    questions.append({"messages": [{"role": "user", "content": " \n\x1cwhite space around\u2003"}], "max_tokens": 8})
    lines = "".join(json.dumps(q) + "\n" for q in questions)
    told = minitron("complete", "runs/x", stdin=lines)
    assert told.returncode == 0, told.stderr
    python = [json.loads(line) for line in told.stdout.splitlines()]
    found = ask(program, "complete", questions)
    assert sum(p == g for p, g in zip(python, found, strict=True)) >= len(questions) - 1  # fp16's rounding may turn one
    said = subprocess.run([program, "--model", "export/x", "selftest"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def ask(program: Path, command: str, lines: list[dict]) -> list[dict]:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(
        [program, "--model", "export/x", command], input=text, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_way_of_splitting_that_the_program_does_not_know_is_told_before_anything_is_trained(in_tmp_path):
    whole = byte_level("gpt-2", special=("<|endoftext|>",))
    whole["pre_tokenizer"]["pretokenizers"][0]["add_prefix_space"] = True
    theirs = their_model("gpt2", len(whole["model"]["vocab"]))
    imported.run(save_folder(in_tmp_path / "theirs", theirs, whole), Path("runs/x"))
    write_dialogues(Path("dialogues.jsonl"))
    Path("mine.toml").write_text(RECIPE.replace("STEPS", "5"))
    done = minitron("run", "mine.toml")
    assert done.returncode == 1
    assert "splits texts in a way that the chat program does not know" in done.stderr
    assert not Path("runs/mine/data").exists()


def their_sentencepiece(path: str, size: int):
    """A tokenizer that the library trains as Llama's was: a dummy prefix, <s> and </s>."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*tiny_texts(), *random_texts(100, seed=7)]),
        model_prefix="their",
        vocab_size=size,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    Path("their.model").rename(path)
    return sentencepiece.SentencePieceProcessor(model_file=path)


def test_sentencepieces_own_tokenizer_as_llama_has_it(in_tmp_path):
    """A dummy prefix, <s> and </s>: SentencePiece, our tokenizer and its exports give the same ids; our markers come after them."""
    theirs = their_model("llama", 1400, tie_word_embeddings=False, eos_token_id=2)
    theirs.save_pretrained("theirs")
    library = their_sentencepiece("theirs/tokenizer.model", 1400)
    imported.run(Path("theirs"), Path("runs/x"))
    recipe = load_recipe("runs/x/x.toml")
    ours = kinds.load(recipe.layout.tokenizer)
    assert (recipe.base, ours.vocab_size, ours.end) == (True, 1404, 1403)
    ids = list(range(5, 45))
    with torch.inference_mode():
        want = theirs(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(our_logits("runs/x", ids)[:, :1400], want, rtol=0, atol=1e-4)
    export.write(recipe, out="out", format="hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained("out")
    for text in random_texts(500, seed=8):
        assert ours.encode(text) == library.encode(text)
        assert tokenizer(text)["input_ids"] == library.encode(text)
    export.write(recipe, out="bundle")  # the program's own tokenizer knows dummy prefixes
    assert Path("bundle/vocab.json").exists()


RECIPE = """
[data]
files = ["dialogues.jsonl"]
valid_fraction = 0.2
[optim]
lr = 3e-3
warmup_steps = 2
precision = "fp32"
[sft]
init = "runs/x"
steps = STEPS
batch_rows = 2
accumulation = 2
eval_every_steps = 10
"""


def test_training_goes_on_from_it_with_markers_that_it_did_not_have(in_tmp_path):
    whole = byte_level("gpt-2", special=("<|endoftext|>",))
    rows = len(whole["model"]["vocab"])
    theirs = their_model("gpt2", rows)
    imported.run(save_folder(in_tmp_path / "theirs", theirs, whole), Path("runs/x"))
    write_dialogues(Path("dialogues.jsonl"))
    Path("mine.toml").write_text(RECIPE.replace("STEPS", "30"))
    config = load_recipe("mine.toml")
    assert (config.model.arch, config.model.d_model, config.base) == ("nanogpt", 32, False)
    for stage in pipeline.select(config, None, "sft"):
        pipeline.run_stage(stage, config)
    tokenizer = kinds.load(config.layout.tokenizer)
    assert tokenizer.vocab_size == rows + 4
    losses = [
        json.loads(line)["valid_loss"]
        for line in config.layout.metrics("sft").read_text().splitlines()
        if "valid_loss" in line
    ]
    assert losses[-1] < losses[0] - 0.5
    assert not pipeline.run_stage(declared.named("sft"), config)  # it is done
    walk.check(config, {"sft", "export"})
    Path("other.toml").write_text(RECIPE.replace("STEPS", "5") + "[model]\nd_model = 64\n")
    with pytest.raises(MinitronError, match="model.d_model is 64, but 32 in runs/x"):
        load_recipe("other.toml")
    Path("none.toml").write_text(RECIPE.replace("STEPS", "5").replace("runs/x", "runs/none"))
    with pytest.raises(MinitronError, match="no finished model"):
        load_recipe("none.toml")
    with pytest.raises(MinitronError, match="goes on from runs/x, which has a size and a vocabulary already"):
        propose.propose(config, size=1_000_000, minutes=None, optimizer="muon")


def test_a_base_model_is_taken_as_it_is(in_tmp_path):
    whole = byte_level("gpt-2", special=("<|endoftext|>",))
    theirs = their_model("gpt2", len(whole["model"]["vocab"]))
    imported.run(save_folder(in_tmp_path / "theirs", theirs, whole), Path("runs/x"))
    Path("text.txt").write_text("".join(random_texts(200, seed=1)))
    Path("base.toml").write_text('[pretrain]\ninit = "runs/x"\nfiles = ["text.txt"]\nvalid_fraction = 0.2\nsteps = 0\n')
    config = load_recipe("base.toml")
    for stage in pipeline.select(config, None, "pretrain"):
        pipeline.run_stage(stage, config)
    ours, before = (
        checkpoint.load_model(checkpoint.finished(layout.stage("pretrain"), "pretrain"))[0].state_dict()
        for layout in (config.layout, load_recipe("runs/x/x.toml").layout)
    )
    assert all(torch.equal(weight, ours[name]) for name, weight in before.items())
    done = minitron("export", "runs/x", "--format", "hf", "--out", "back")
    assert done.returncode == 0, done.stderr
    assert "| pretrain | imported, not trained here |" in Path("back/README.md").read_text()


def test_a_run_of_ours_comes_back_as_it_went_out_and_may_stay_as_it_is(in_tmp_path, tiny_tokenizer):
    """HF export -> import -> sft of no steps -> export: the same tensors and ids."""
    from minitron.interop import hf

    torch.manual_seed(1)
    model = LanguageModel(tiny_shape(n_heads=4, n_kv_heads=2), tiny_tokenizer.vocab_size).eval()
    hf.write(model, tiny_tokenizer, About("Tiny", "f32", ExportConfig(), "tiny", "sft"), Path("first"))
    done = minitron("import", "first", "--out", "runs/x")
    assert done.returncode == 0, done.stderr
    assert "answers in dialogues" in done.stderr
    write_dialogues(Path("dialogues.jsonl"))
    Path("mine.toml").write_text(RECIPE.replace("STEPS", "0"))
    config = load_recipe("mine.toml")
    for stage in pipeline.select(config, None, "sft"):
        pipeline.run_stage(stage, config)
    export.write(config, out="second", format="hf")
    first, second = load_file("first/model.safetensors"), load_file("second/model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first.keys() | second.keys())
    assert Path("first/tokenizer.json").read_bytes() == Path("second/tokenizer.json").read_bytes()
    done = minitron("export", "runs/x")  # what the program embeds, with answers to check itself by
    assert done.returncode == 0, done.stderr
    assert len(json.loads(Path("export/x/config.json").read_text())["selftest"]) == 5


def test_training_never_takes_the_place_of_the_model_that_it_goes_on_from(in_tmp_path, tiny_tokenizer):
    from minitron.interop import hf

    model = LanguageModel(tiny_shape(n_heads=4, n_kv_heads=2), tiny_tokenizer.vocab_size).eval()
    hf.write(model, tiny_tokenizer, About("Tiny", "f32", ExportConfig(), "tiny", "sft"), Path("theirs"))
    imported.run(Path("theirs"), Path("runs/x"))
    write_dialogues(Path("dialogues.jsonl"))
    scratch = RECIPE.replace("STEPS", "5").replace('init = "runs/x"', "")
    Path("x.toml").write_text(RECIPE.replace("STEPS", "5"))  # named like the run
    Path("of").mkdir()
    Path("of/x.toml").write_text(scratch)
    before = Path("runs/x/tokenizer/tokenizer.model").read_bytes()
    for recipe in ("x.toml", "of/x.toml", "runs/x/x.toml"):
        config = load_recipe(recipe, ["data.files=['dialogues.jsonl']"])
        with pytest.raises(MinitronError, match="training would take the place of the model in runs/x"):
            walk.walk(config, first=None, last="sft", force=False)
    assert Path("runs/x/tokenizer/tokenizer.model").read_bytes() == before
    assert Path("runs/x/sft/best").read_text().strip() == "imported"
    Path("mine.toml").write_text(scratch)
    walk.walk(load_recipe("mine.toml"), first=None, last="sft", force=False)
    with pytest.raises(MinitronError, match="training would take the place of the model in runs/mine"):
        walk.walk(load_recipe("mine.toml", ["sft.init=runs/mine"]), first="sft", last="sft", force=False)


def test_an_imported_model_has_no_held_out_text_and_is_told_of_without(in_tmp_path, tiny_tokenizer):
    from minitron.interop import hf

    model = LanguageModel(tiny_shape(n_heads=4, n_kv_heads=2), tiny_tokenizer.vocab_size).eval()
    hf.write(model, tiny_tokenizer, About("Tiny", "f32", ExportConfig(), "tiny", "sft"), Path("theirs"))
    for name in ("x", "y"):
        imported.run(Path("theirs"), Path(f"runs/{name}"))
    Path("text.txt").write_text("hello you, and hello me")
    done = minitron("census", "runs/x", "text.txt", "--json", "census.json")
    assert done.returncode == 0, done.stderr
    assert "embeddings as long as those" in done.stdout
    assert "largest loss" not in done.stdout
    vocabulary = json.loads(Path("census.json").read_text())["vocabulary"]
    assert all(token["norm"] > 0 and token["loss"] is None for token in vocabulary)
    done = minitron("compare", "runs/x/sft", "runs/y/sft")
    assert done.returncode == 1
    assert "runs/x has nothing held out to compare on\nhint: name first the model of a run with data" in done.stderr


def test_the_default_of_several_templates_counts(in_tmp_path):
    whole = byte_level("qwen2")
    theirs = their_model("llama", len(whole["model"]["vocab"]), tie_word_embeddings=True)
    folder = save_folder(in_tmp_path / "theirs", theirs, whole)
    for names, base in ((("tool_use", "default"), False), (("tool_use",), True)):
        templates = [{"name": name, "template": CHATML} for name in names]
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
        assert imported.read(folder).base == base


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tie_word_embeddings": False}, "has a head that is not its embedding"),
        ({"scale_attn_weights": False}, "computes attention in a way of its own"),
    ],
)
def test_a_gpt2_that_computes_otherwise_is_refused(in_tmp_path, changes, said):
    whole = byte_level("gpt-2")
    theirs = their_model("gpt2", len(whole["model"]["vocab"]), **changes)
    with pytest.raises(MinitronError, match=said):
        imported.read(save_folder(in_tmp_path / "theirs", theirs, whole))


def test_what_is_no_model_is_told_so(in_tmp_path, tiny_tokenizer):
    whole = byte_level("gpt-2")
    rows = len(whole["model"]["vocab"])
    folder = save_folder(in_tmp_path / "theirs", their_model("llama", rows, tie_word_embeddings=True), whole)
    about = json.loads((folder / "config.json").read_text())

    def told(**changes) -> str:
        (folder / "config.json").write_text(json.dumps(about | changes))
        with pytest.raises(MinitronError) as failure:
            imported.read(folder)
        assert failure.value.hint
        return str(failure.value)

    assert "of the kind 'mamba'" in told(model_type="mamba")
    assert "stretches its positions" in told(rope_scaling={"rope_type": "llama3"}, rope_parameters=None)
    assert "has biases" in told(attention_bias=True)
    assert "model.n_layers must be at most 256" in told(num_hidden_layers=10**9)
    assert "model.d_model must be a whole number" in told(hidden_size="wide")
    assert "has the shape" in told(intermediate_size=72)
    assert "no eos_token_id" in told(eos_token_id=None)
    (folder / "config.json").write_text(json.dumps(about))
    weights = load_file(folder / "model.safetensors")
    for changes, said in (
        ({"model.norm.weight": torch.full((32,), float("nan"))}, "holds a value that is not a finite number"),
        ({"model.norm.weight": torch.ones(32, dtype=torch.int32)}, "is of the type I32"),
        ({"model.layers.0.strange.weight": torch.ones(32)}, "such a model does not have"),
    ):
        save_file(weights | changes, folder / "model.safetensors")
        with pytest.raises(MinitronError, match=said):
            imported.write(imported.read(folder), Path("runs/bad"), source=folder)
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    for index, said in (
        ({"weight_map": {"x": "../../etc/passwd"}}, "names the file '../../etc/passwd'"),
        ({"weight_map": {"x": "a.safetensors"}}, "where it is not"),
        ({"weight_map": []}, "has no weight_map"),
    ):
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(MinitronError, match=said):
            imported.read(folder)
    for path, said in ((Path("nothing"), "there is no nothing"), (Path(__file__), "not a model that minitron reads")):
        with pytest.raises(MinitronError, match=said):
            imported.read(path)
    done = minitron("import", "theirs", "--out", "elsewhere")
    assert done.returncode == 2
    assert "is not in the folder runs" in done.stderr
