"""Adapters: ours in peft itself, peft's in a run of ours, and back again."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from commands import minitron
from conftest import TINY_RECIPE, tiny_texts, write_dialogues
from test_import import CHATML, byte_level, our_logits, save_folder, their_model
from test_resume import PRETRAIN

from minitron.core.errors import MinitronError
from minitron.interop import import_peft, imported
from minitron.recipe.load import load_recipe
from minitron.stages import export, pipeline
from minitron.train import checkpoint

pytestmark = pytest.mark.slow  # imports transformers and peft
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

IDS = torch.randint(340, (2, 40), generator=torch.Generator().manual_seed(1))


def loaded(folder: str = "out"):
    """An adapter on the model that it names, loaded as a user of peft loads them."""
    return peft.AutoPeftModelForCausalLM.from_pretrained(folder).eval()


def shipped(config):
    model, _ = checkpoint.load_model(checkpoint.finished(config.layout.stage("sft"), "sft"))
    return model


@pytest.mark.parametrize("arch", ["llama", "nanogpt", "stream"])
@pytest.mark.parametrize("head", ["tied", "untied"])
def test_peft_computes_our_logits(in_tmp_path, arch, head):
    """The base is pretrain's model, to which sft teaches the markers: so the adapter holds their rows, too."""
    if (arch, head) == ("nanogpt", "untied"):
        pytest.skip("nanogpt's head is the embedding")
    write_dialogues(Path("dialogues.jsonl"))
    Path("book.txt").write_text("\n".join(tiny_texts(600)))
    changes = f'[model]\narch = "{arch}"\nuntied_head = {str(head == "untied").lower()}'
    if arch == "stream":  # what Lfm2 has too
        changes += '\nlayers = ["conv", "window"]\nwindow = 4096'
    recipe = TINY_RECIPE.replace("[model]", changes).replace("[sft]", "[sft]\nlora_rank = 4\nlora_alpha = 8\n")
    Path("tiny.toml").write_text(recipe.split("[reject]")[0] + PRETRAIN)
    few = ["pretrain.steps=2", "pretrain.eval_every_steps=2", "sft.steps=4", "sft.eval_every_steps=4"]
    config = load_recipe("tiny.toml", ["sft.optim.lr=5e-2", "optim.warmup_steps=0", *few])
    for stage in pipeline.select(config, None, "sft"):
        pipeline.run_stage(stage, config)
    export.write(config, out="out", format="peft")
    theirs, ours = loaded(), shipped(config)
    names = {type(module).__name__ for module in theirs.modules()}
    assert "TrainableTokensLayer" in names
    with torch.inference_mode():
        want = ours(IDS)
        torch.testing.assert_close(theirs(IDS).logits, want, rtol=0, atol=1e-4)
        with theirs.disable_adapter():
            assert (theirs(IDS).logits - want).abs().max() > 0.01
    tokenizer = transformers.AutoTokenizer.from_pretrained("out")
    assert tokenizer("hello")["input_ids"]
    if arch == "stream":
        return  # no import reads Lfm2
    done = minitron("import", "out/base", "--adapter", "out", "--out", "runs/back")
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        torch.testing.assert_close(our_logits("runs/back", IDS[0].tolist()), want[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("how", [{}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}])
def test_an_adapter_of_pefts_goes_into_the_weights(in_tmp_path, kind, how):
    whole = byte_level("qwen2")
    rows = len(whole["model"]["vocab"])
    theirs = their_model(
        kind, rows, **({"tie_word_embeddings": not how.get("modules_to_save")} if kind == "llama" else {})
    )
    if kind == "gpt2" and how.get("modules_to_save"):
        pytest.skip("GPT-2's head is the embedding")
    save_folder(in_tmp_path / "theirs", theirs, whole, template=CHATML)
    targets = ["q_proj", "up_proj"] if kind == "llama" else ["c_attn", "c_proj"]
    settings = peft.LoraConfig(r=4, lora_alpha=12, target_modules=targets, task_type="CAUSAL_LM", **how)
    adapted = peft.get_peft_model(theirs, settings).eval()
    torch.manual_seed(5)
    with torch.no_grad():
        for _, weight in adapted.named_parameters():
            if weight.requires_grad:
                weight += torch.randn_like(weight) * 0.1
    adapted.save_pretrained("adapter")
    imported.run(Path("theirs"), Path("runs/x"), adapter=Path("adapter"))
    with torch.inference_mode():
        want = adapted(IDS[:1]).logits[0]
    torch.testing.assert_close(our_logits("runs/x", IDS[0].tolist()), want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize(
    ("how", "untied"),
    [
        ({"modules_to_save": ["EMBEDDING"]}, True),
        ({"modules_to_save": ["EMBEDDING", "lm_head"]}, True),
        ({"target_modules": ["lm_head"]}, True),
        ({"modules_to_save": ["EMBEDDING"], "ensure_weight_tying": True}, False),
    ],
)
def test_an_adapter_may_part_the_head_from_the_embedding(in_tmp_path, kind, how, untied):
    """peft changes a tied matrix for the embedding alone, or for the head alone."""
    whole = byte_level("qwen2")
    theirs = their_model(kind, len(whole["model"]["vocab"]), tie_word_embeddings=True)
    save_folder(in_tmp_path / "theirs", theirs, whole, template=CHATML)
    how = {k: v if v is True else [{"EMBEDDING": embedding_of(kind)}.get(m, m) for m in v] for k, v in how.items()}
    usual = {"target_modules": ["q_proj"] if kind == "llama" else ["c_attn"], "task_type": "CAUSAL_LM", "r": 4}
    adapted = peft.get_peft_model(theirs, peft.LoraConfig(**usual | how)).eval()
    torch.manual_seed(5)
    with torch.no_grad():
        for _, weight in adapted.named_parameters():
            if weight.requires_grad:
                weight += torch.randn_like(weight) * 0.1
    adapted.save_pretrained("adapter")
    base = imported.read(Path("theirs"))
    if kind == "gpt2":  # even ensure_weight_tying does not reach its head
        with pytest.raises(MinitronError, match="has a head that is not its embedding"):
            import_peft.merged(base, Path("adapter"))
        return
    found = import_peft.merged(base, Path("adapter"))
    assert found.model.untied_head == untied
    imported.write(found, Path("runs/x"), source=Path("theirs"))
    with torch.inference_mode():
        want = adapted(IDS[:1]).logits[0]
    torch.testing.assert_close(our_logits("runs/x", IDS[0].tolist()), want, rtol=0, atol=1e-4)


def embedding_of(kind: str) -> str:
    return "embed_tokens" if kind == "llama" else "wte"


def test_training_goes_on_with_lora_from_an_imported_model(in_tmp_path):
    """The imported model knows dialogues already, so the adapter has nothing but factors, and fits the original."""
    whole = byte_level("qwen2")
    theirs = their_model("llama", len(whole["model"]["vocab"]), tie_word_embeddings=True, eos_token_id=2)
    imported.run(save_folder(in_tmp_path / "theirs", theirs, whole, template=CHATML), Path("runs/x"))
    write_dialogues(Path("dialogues.jsonl"))
    Path("mine.toml").write_text(
        '[data]\nfiles = ["dialogues.jsonl"]\n[optim]\nlr = 1e-2\nwarmup_steps = 0\nprecision = "fp32"\n[sft]\ninit = "runs/x"\nsteps = 4\n'
        "lora_rank = 4\nlora_targets = ['q_proj', 'v_proj']\nbatch_rows = 2\naccumulation = 1\neval_every_steps = 4\n"
    )
    config = load_recipe("mine.toml")
    for stage in pipeline.select(config, None, "sft"):
        pipeline.run_stage(stage, config)
    done = minitron("export", "mine.toml", "--format", "peft")
    assert done.returncode == 0, done.stderr
    told = json.loads(Path("export/mine/peft/adapter_config.json").read_text())
    assert told["target_modules"] == ["q_proj", "v_proj"]
    assert "trainable_token_indices" not in told
    adapted = peft.PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained("theirs"), "export/mine/peft"
    ).eval()
    with torch.inference_mode():
        torch.testing.assert_close(adapted(IDS).logits, shipped(config)(IDS), rtol=0, atol=1e-4)
    text = "hello мир"
    tokenizer = transformers.AutoTokenizer.from_pretrained("export/mine/peft/base")
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_what_is_no_adapter_is_refused(tiny_run, in_tmp_path):
    from conftest import run_to

    run_to("sft")
    config = load_recipe("tiny.toml", [])
    with pytest.raises(MinitronError, match="has no LoRA adapter alone to export"):
        export.write(dataclasses.replace(config, reject=None, kto=None), out="out", format="peft")
    done = minitron("export", "tiny.toml", "--format", "peft", "--untrained")
    assert done.returncode == 2
    assert not Path("out").exists()


def test_adapters_of_another_kind_or_model_are_refused(in_tmp_path):
    whole = byte_level("gpt-2")
    theirs = their_model("llama", len(whole["model"]["vocab"]), tie_word_embeddings=True)
    base = imported.read(save_folder(in_tmp_path / "theirs", theirs, whole))
    folder = Path("adapter")
    peft.get_peft_model(theirs, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder)
    about = json.loads((folder / "adapter_config.json").read_text())

    def told(**changes) -> str:
        (folder / "adapter_config.json").write_text(json.dumps(about | changes))
        with pytest.raises(MinitronError) as failure:
            import_peft.merged(base, folder)
        assert failure.value.hint
        return str(failure.value)

    assert "of the kind 'LOHA'" in told(peft_type="LOHA")
    assert "use_dora" in told(use_dora=True)
    assert "rank_pattern" in told(rank_pattern={"q_proj": 4})
    assert "also changed the model" in told(init_lora_weights="pissa_niter_4")
    assert "also changed the model" in told(init_lora_weights="lora_ga")
    assert "alora_invocation_tokens" in told(alora_invocation_tokens=[3, 4])
    assert "no r and lora_alpha" in told(r="two")
    (folder / "adapter_config.json").write_text(json.dumps(about))
    narrow = their_model("llama", len(whole["model"]["vocab"]), tie_word_embeddings=True, hidden_size=64, head_dim=16)
    other = imported.read(save_folder(in_tmp_path / "other", narrow, whole))
    with pytest.raises(MinitronError, match="is of another model: model.layers.0.self_attn.q_proj.weight"):
        import_peft.merged(other, folder)
    with pytest.raises(MinitronError, match="there is no folder nowhere"):
        import_peft.merged(base, Path("nowhere"))
    peft.get_peft_model(theirs, peft.LoraConfig(r=2, target_modules=["embed_tokens"])).save_pretrained(folder)
    with pytest.raises(MinitronError, match="has model.embed_tokens.lora_embedding_A, which minitron does not compute"):
        import_peft.merged(base, folder)
    (folder / "adapter_model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(MinitronError, match="no file of tensors"):
        import_peft.merged(base, folder)
