"""Imports single files as runs: nanoGPT's ckpt.pt with what lies beside it, and GGUF; and what damaged files of all kinds lead to."""

import json
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_texts, tiny_shape
from test_import import assert_same_logits, byte_level, our_logits, save_folder, their_model, their_sentencepiece

from minitron.core.errors import MinitronError
from minitron.interop import gguf, import_gguf, imported
from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.tokenizer import kinds
from minitron.train import checkpoint

pytestmark = pytest.mark.slow  # imports transformers
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")


def checkpoint_of_nanogpt(rows: int, *, bias: bool) -> LanguageModel:
    """Writes theirs/ckpt.pt as nanoGPT's train.py saves a compiled model; returns the model in it."""
    torch.manual_seed(2)
    model = LanguageModel(tiny_shape("nanogpt", bias=bias, d_ff=128), rows).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += torch.randn_like(weight) * 0.1
    arguments = {
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 32,
        "block_size": 64,
        "bias": bias,
        "vocab_size": rows,
        "dropout": 0.0,
    }
    weights = {f"_orig_mod.{name}": w.detach() for name, w in model.named_parameters()}
    weights["_orig_mod.lm_head.weight"] = model.embedding.detach()
    Path("theirs").mkdir()
    torch.save(
        {"model": weights, "model_args": arguments, "iter_num": 7, "best_val_loss": torch.tensor(1.0)}, "theirs/ckpt.pt"
    )
    return model


@pytest.mark.parametrize("bias", [True, False])
def test_nanogpts_checkpoint_of_characters(in_tmp_path, bias):
    text = "".join(sorted(set("\n hello, привет! ABC")))
    model = checkpoint_of_nanogpt(len(text), bias=bias)
    meta = {"vocab_size": len(text), "itos": dict(enumerate(text)), "stoi": {c: i for i, c in enumerate(text)}}
    Path("theirs/meta.pkl").write_bytes(pickle.dumps(meta))
    imported.run(Path("theirs/ckpt.pt"), Path("runs/x"))
    tokenizer = kinds.load(Path("runs/x/tokenizer/tokenizer.model"))
    said = "hello, привет!\n"
    ids, theirs = tokenizer.encode(said), [text.index(c) for c in said]
    assert len(ids) == len(said)
    assert tokenizer.decode(ids) == said
    with torch.inference_mode():
        want = model(torch.tensor([theirs]))[0]
    found = our_logits("runs/x", ids)
    for i, c in enumerate(text):
        torch.testing.assert_close(found[:, tokenizer.encode(c)[0]], want[:, i], rtol=0, atol=1e-4)


def test_nanogpts_checkpoint_with_sentencepiece(in_tmp_path):
    """SentencePiece and our tokenizer give the same ids; our markers get rows after the model's own, which compute what they did."""
    model = checkpoint_of_nanogpt(1400, bias=False)
    library = their_sentencepiece("theirs/tokenizer.model", 1400)
    imported.run(Path("theirs/ckpt.pt"), Path("runs/x"))
    recipe = load_recipe("runs/x/x.toml")
    ours = kinds.load(recipe.layout.tokenizer)
    assert (recipe.base, ours.vocab_size, ours.end) == (True, 1404, 1403)
    assert all(ours.encode(text) == library.encode(text) for text in random_texts(300, seed=8))
    ids = library.encode("hello привет 123")
    with torch.inference_mode():
        torch.testing.assert_close(
            our_logits("runs/x", ids)[:, :1400], model(torch.tensor([ids]))[0], rtol=0, atol=1e-4
        )


@pytest.mark.parametrize("padding", [0, 47])
def test_nanogpts_checkpoint_with_gpt2s_pieces(in_tmp_path, padding):
    """nanoGPT pads GPT-2's 50,257 tokens to 50,304; the end of a text is where the tokenizer says, not the last row."""
    whole = byte_level("gpt-2", special=("<|endoftext|>",))
    rows = len(whole["model"]["vocab"]) + padding
    model = checkpoint_of_nanogpt(rows, bias=True)
    Path("theirs/tokenizer.json").write_text(json.dumps(whole))
    imported.run(Path("theirs/ckpt.pt"), Path("runs/x"))
    recipe = load_recipe("runs/x/x.toml")
    ours, library = kinds.load(recipe.layout.tokenizer), tokenizers.Tokenizer.from_str(json.dumps(whole))
    assert (recipe.base, ours.vocab_size) == (True, rows)
    assert ours.end == library.token_to_id("<|endoftext|>") == 0
    assert len(ours.never_sampled) == padding  # rows without a piece
    for text in random_texts(300, seed=8):
        assert ours.encode(text) == library.encode(text, add_special_tokens=False).ids
    ids = ours.encode("hello привет 123")
    with torch.inference_mode():
        torch.testing.assert_close(our_logits("runs/x", ids), model(torch.tensor([ids]))[0], rtol=0, atol=1e-4)


def test_a_head_beside_the_embedding_counts(in_tmp_path, tiny_tokenizer):
    """Files hold a GPT-2's head a second time; one that is not the embedding is a matrix that a nanogpt has no place for."""
    model = checkpoint_of_nanogpt(1400, bias=True)
    their_sentencepiece("theirs/tokenizer.model", 1400)
    found = torch.load("theirs/ckpt.pt")
    found["model"]["_orig_mod.lm_head.weight"] = model.embedding.detach() + 1
    torch.save(found, "theirs/ckpt.pt")
    with pytest.raises(MinitronError, match="has a head that is not its embedding"):
        imported.read(Path("theirs/ckpt.pt"))
    model = LanguageModel(tiny_shape("nanogpt", bias=True), tiny_tokenizer.vocab_size)
    for own in (False, True):
        named = gguf.tensors(model, model.trunk.gguf())
        head = named["token_embd.weight"] + own
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gguf, "tensors", lambda *_, named=named, head=head: {**named, "output.weight": head})
            Path("m.gguf").write_bytes(gguf.encode(model, tiny_tokenizer, dtype="q8"))
        if own:
            with pytest.raises(MinitronError, match=r"the model of m.gguf has a head that is not its embedding"):
                imported.read(Path("m.gguf"))
        else:
            read = imported.read(Path("m.gguf"))
            assert read.model == model.config
            assert "tanh's GELU" in read.remark


def test_a_checkpoint_without_what_its_ids_mean(in_tmp_path):
    checkpoint_of_nanogpt(300, bias=False)
    with pytest.raises(MinitronError, match="neither tokenizer.model nor meta.pkl nor tokenizer.json") as failure:
        imported.read(Path("theirs/ckpt.pt"))
    assert "GPT-2's tokenizer.json" in failure.value.hint
    Path("theirs/tokenizer.json").write_text(json.dumps(byte_level("gpt-2")))
    with pytest.raises(MinitronError, match="below the model's"):
        imported.read(Path("theirs/ckpt.pt"))  # the pieces of a larger model


class Harm:
    def __reduce__(self):
        return (open, ("harm", "w"))


def test_no_pickle_runs_anything(in_tmp_path):
    Path("theirs").mkdir()
    torch.save({"model": {}, "model_args": Harm()}, "theirs/ckpt.pt")
    with pytest.raises(MinitronError, match="no checkpoint of nanoGPT's"):
        imported.read(Path("theirs/ckpt.pt"))
    from minitron.interop import import_nanogpt

    for nasty in (
        pickle.dumps(Harm()),
        pickle.dumps({"itos": {0: Harm()}}),
        b"\x80\x04r\xff\xff\xff\x7f.",
        b"",
        b"\x80\x04K\x01.",
    ):
        Path("meta.pkl").write_bytes(nasty)
        with pytest.raises(MinitronError, match="no plain dictionary of characters"):
            import_nanogpt.characters(Path("meta.pkl"), 10)
    assert not Path("harm").exists()


@pytest.mark.parametrize("dtype", ["f16", "q8"])
@pytest.mark.parametrize("how", [{"n_heads": 4, "n_kv_heads": 2}, {"qk_norm": True}, {"arch": "nanogpt", "bias": True}])
def test_a_gguf_file_of_ours_comes_back(in_tmp_path, tiny_tokenizer, how, dtype):
    torch.manual_seed(4)
    model = LanguageModel(tiny_shape(**how), tiny_tokenizer.vocab_size).eval()
    Path("m.gguf").write_bytes(gguf.encode(model, tiny_tokenizer, dtype=dtype))
    imported.run(Path("m.gguf"), Path("runs/x"))
    found, _ = checkpoint.load_model(load_recipe("runs/x/x.toml").layout.last_trained[1])
    assert found.config == model.config
    for (name, ours), theirs in zip(found.named_parameters(), model.parameters(), strict=True):
        tolerance = theirs.abs().max().item() / (1000 if dtype == "f16" or theirs.ndim == 1 else 200)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance, msg=name)
    tokenizer = kinds.load(Path("runs/x/tokenizer/tokenizer.model"))
    assert all(tokenizer.encode(t) == tiny_tokenizer.encode(t) for t in random_texts(300, seed=2))
    assert not load_recipe("runs/x/x.toml").base


def test_a_gguf_file_of_the_librarys_own_writer(in_tmp_path):
    """A file in BF16, with GPT-2's kind of tokenizer and Llama 3's way of splitting."""
    library = pytest.importorskip("gguf")
    whole = byte_level("llama-bpe")
    vocab = whole["model"]["vocab"]
    pieces = sorted(vocab, key=vocab.get)
    theirs = their_model("llama", len(pieces), tie_word_embeddings=True, num_key_value_heads=4)
    writer = library.GGUFWriter("m.gguf", "llama")
    for name, value in (
        ("context_length", 64),
        ("embedding_length", 32),
        ("block_count", 2),
        ("feed_forward_length", 64),
    ):
        getattr(writer, f"add_{name}")(value)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(pieces)
    writer.add_token_types([3 if p.startswith("<|") else 1 for p in pieces])
    writer.add_token_merges([" ".join(m) for m in whole["model"]["merges"]])
    writer.add_eos_token_id(2)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
    }
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    names |= {"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            weight.copy_(weight.bfloat16().float())
            if "layers" in name:
                _, _, layer, inner = name.split(".", 3)
                name = f"blk.{layer}.{names[inner.removesuffix('.weight')]}.weight"
            else:
                name = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[
                    name
                ]
            values = weight.numpy()
            if "attn_q." in name or "attn_k." in name:
                values = values.reshape(4, 2, 4, 32).swapaxes(1, 2).reshape(values.shape)
            if values.ndim == 1:
                writer.add_tensor(name, values)
                continue
            packed = library.quantize(values, library.GGMLQuantizationType.BF16)
            writer.add_tensor(name, packed, raw_dtype=library.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    imported.run(Path("m.gguf"), Path("runs/x"))
    assert_same_logits("runs/x", theirs, len(pieces))
    ours, original = (
        kinds.load(Path("runs/x/tokenizer/tokenizer.model")),
        tokenizers.Tokenizer.from_str(json.dumps(whole)),
    )
    assert all(ours.encode(t) == original.encode(t, add_special_tokens=False).ids for t in random_texts(300, seed=2))


@pytest.mark.parametrize("change", ["divisors", "scale", "part of a head"])
def test_a_gguf_file_with_other_positions_is_refused(in_tmp_path, tiny_tokenizer, change, monkeypatch):
    """Llama 3.1 and later have divisors of their rotations' frequencies, in a tensor; earlier files a factor."""
    model = LanguageModel(tiny_shape(), tiny_tokenizer.vocab_size)
    whole = import_gguf.header

    def header(reader):
        keys, entries, start = whole(reader)
        size = model.config.head_size
        match change:
            case "divisors":
                entries["rope_freqs.weight"] = replace(entries["output_norm.weight"], shape=(size // 2,))
            case "scale":
                keys["llama.rope.scale_linear"] = 4.0
            case _:
                keys["llama.attention.key_length"] = size
                keys["llama.rope.dimension_count"] = size // 2
        return keys, entries, start

    with torch.no_grad():
        model.trunk.norm.weight.fill_(1.0)
    Path("m.gguf").write_bytes(gguf.encode(model, tiny_tokenizer, dtype="f16"))
    monkeypatch.setattr(import_gguf, "header", header)
    if change == "divisors":
        imported.read(Path("m.gguf"))  # divided by 1
        with torch.no_grad():
            model.trunk.norm.weight[1] = 4.0
        Path("m.gguf").write_bytes(gguf.encode(model, tiny_tokenizer, dtype="f16"))
    with pytest.raises(
        MinitronError, match="the model of m.gguf (stretches its positions|rotates 8 numbers of a head's 16)"
    ):
        imported.read(Path("m.gguf"))


def damaged(data: bytes, draw: random.Random) -> bytes:
    """The data with something wrong: cut off, bytes changed, or a number made huge."""
    found = bytearray(data)
    match draw.randint(0, 3):
        case 0:
            return bytes(found[: draw.randrange(len(found))])
        case 1:
            for _ in range(draw.randint(1, 20)):
                found[draw.randrange(min(len(found), 4000))] = draw.randrange(256)
        case 2:
            at = draw.randrange(min(len(found) - 8, 4000))
            found[at : at + 8] = draw.choice((b"\xff" * 8, b"\xff\xff\xff\xff\xff\xff\xff\x7f", bytes(8)))
        case 3:
            at, size = draw.randrange(min(len(found), 4000)), draw.randint(1, 40)
            found[at:at] = found[at : at + size]
    return bytes(found)


FUZZ = """
import random, resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_import_files
from minitron.core.errors import MinitronError
from minitron.interop import imported
target, draw = Path(sys.argv[1]), random.Random(5)
data = target.read_bytes()
whole = target if target.suffix in (".gguf", ".pt") else target.parent
imported.read(whole)  # all is loaded that will be
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
told = right = 0
for _ in range(150):
    target.write_bytes(test_import_files.damaged(data, draw))
    try:
        found = imported.read(whole)
        right += 1
    except MinitronError as error:
        assert str(error).count("\\n") == 0 and len(str(error)) < 400, str(error)
        told += 1
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(told, right, grown)
"""


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "m.gguf", "ckpt.pt"])
def test_damaged_files_get_a_sentence_and_little_memory(in_tmp_path, tiny_tokenizer, name):
    if name == "m.gguf":
        target = Path("m.gguf")
        target.write_bytes(
            gguf.encode(LanguageModel(tiny_shape(), tiny_tokenizer.vocab_size), tiny_tokenizer, dtype="q8")
        )
    elif name == "ckpt.pt":
        test_nanogpts_checkpoint_of_characters(in_tmp_path, True)
        target = Path("theirs/ckpt.pt")
    else:
        whole = byte_level("gpt-2")
        theirs = their_model("llama", len(whole["model"]["vocab"]), tie_word_embeddings=True)
        target = save_folder(in_tmp_path / "theirs", theirs, whole) / name
    size = target.stat().st_size
    command = [sys.executable, "-c", FUZZ, str(target), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told, _, grown = map(int, done.stdout.split())
    assert told > 50
    assert grown < 64 << 10, f"{grown} KiB for files of {size} bytes"
