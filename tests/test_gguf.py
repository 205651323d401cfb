"""GGUF files, checked with programs that we did not write: gguf's reader, llama.cpp, and transformers, which computes with the weights."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import minitron
from conftest import char_tokenizer, random_texts, tiny_shape, tiny_texts
from llamacpp import LlamaCpp

from minitron.core.errors import MinitronError
from minitron.interop import gguf, imported
from minitron.interop.about import About
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import ExportConfig, TokenizerConfig
from minitron.tokenizer import chat_template, kinds


def about(dtype: str = "f16") -> About:
    return About("tiny", dtype, ExportConfig(), "tiny", "sft")


def model(vocab_size: int = 340, **changes) -> LanguageModel:
    torch.manual_seed(1)
    made = LanguageModel(tiny_shape(**changes), vocab_size).eval()
    with torch.no_grad():  # attention is not uniform, norms are not 1, and all weights are exact in fp16
        for weight in made.parameters():
            weight.copy_((weight + torch.randn_like(weight) * 0.1).half().float())
    return made


def test_what_gguf_cannot_say_is_refused():
    for changes, told in (
        ({"logit_cap": 5.0}, "GGUF's llama cannot store model.logit_cap"),
        ({"d_model": 48, "d_ff": 128}, "GGUF's q8 takes 32 weights of a row at once"),
        ({"arch": "stream", "window": 8}, "layer 2 of this model sees a window of 8 tokens, LFM2 in llama.cpp"),
        # what llama.cpp does not load
        ({"arch": "stream", "layers": ["conv"]}, "LFM2 in llama.cpp has a `window` at least"),
        ({"arch": "stream", "layers": ["window"], "window": 64}, "LFM2 in llama.cpp has a `conv` at least"),
        (
            {"arch": "stream", "layers": ["conv", "window"], "window": 64, "head_dim": 32},
            "the heads of this model are together 64 wide",
        ),
    ):
        with pytest.raises(MinitronError) as failure:
            gguf.encode(model(**changes), None, dtype="q8")
        assert str(failure.value).startswith(told)
        assert failure.value.hint
    infinite = model()
    with torch.no_grad():
        infinite.embedding[3, 3] = 1e6
    with pytest.raises(MinitronError, match="does not fit into fp16"):
        gguf.encode(infinite, None, dtype="f16")


def test_a_tokenizer_without_bytes_is_refused(tmp_path):
    tokenizer = char_tokenizer(tmp_path, *tiny_texts(), byte_fallback=False)
    with pytest.raises(MinitronError, match="needs byte tokens"):
        gguf.encode(model(tokenizer.vocab_size), tokenizer, dtype="f16")


def test_symbols_that_overlap_are_refused(tmp_path):
    """Ours are found from left to right, llama.cpp's the longest first."""
    path = tmp_path / "tokenizer.model"
    for symbols, both in ((["ab", "bcd"], "'abcd'"), (["12", "23", "1"], "'123'"), (["aa", "aaa", "b"], "")):
        config = TokenizerConfig(vocab_size=340, user_symbols=symbols)
        path.write_bytes(kinds.train(tiny_texts(), config=config, seed=1))
        tokenizer = kinds.load(path)
        if not both:  # the longest begins first wherever they overlap
            assert gguf.encode(model(tokenizer.vocab_size), tokenizer, dtype="f16")
            continue
        with pytest.raises(MinitronError, match=f"llama.cpp cuts {both} into other tokens"):
            gguf.encode(model(tokenizer.vocab_size), tokenizer, dtype="f16")


@pytest.mark.parametrize("arch", ["llama", "nanogpt"])
@pytest.mark.parametrize("dtype", ["f16", "q8", "q4"])
def test_a_reader_finds_every_tensor(tmp_path, arch, dtype):
    library = pytest.importorskip("gguf")
    made = model(arch=arch)
    gguf.write(made, None, about(dtype), tmp_path)
    reader = library.GGUFReader(tmp_path / f"model-{dtype}.gguf")
    assert reader.fields["general.architecture"].contents() == {"llama": "llama", "nanogpt": "gpt2"}[arch]
    assert reader.fields["general.name"].contents() == "tiny"
    found = {t.name: library.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    assert reader.tensors[0].data_offset % 32 == 0
    name = {"llama": "blk.1.ffn_down.weight", "nanogpt": "blk.1.ffn_down.weight"}[arch]
    mlp = made.blocks[1].mlp
    want = (mlp.down_proj if arch == "llama" else mlp.c_proj).weight.detach().numpy()
    largest = np.abs(want).max()
    error = {"f16": 0.0, "q8": largest / 127, "q4": largest / 7}[dtype]
    np.testing.assert_allclose(found[name], want, atol=error + 1e-7, rtol=0)
    np.testing.assert_allclose(
        found["token_embd.weight"], made.embedding.detach().numpy(), atol=error * 2 + 1e-7, rtol=0
    )
    if arch == "nanogpt":  # gpt2 wants biases
        assert not found["blk.0.attn_qkv.bias"].any()
    assert len(found) == len(reader.tensors)


def test_the_vocabulary_is_the_tokenizers(tmp_path, tiny_tokenizer):
    library = pytest.importorskip("gguf")
    gguf.write(model(tiny_tokenizer.vocab_size), tiny_tokenizer, about(), tmp_path)
    fields = library.GGUFReader(tmp_path / "model-f16.gguf").fields
    sp = tiny_tokenizer.sp
    pieces = fields["tokenizer.ggml.tokens"].contents()
    assert pieces == [sp.id_to_piece(i) for i in range(tiny_tokenizer.vocab_size)]
    types = fields["tokenizer.ggml.token_type"].contents()
    kinds = library.TokenType
    assert [i for i, kind in enumerate(types) if kind == kinds.CONTROL] == [1, 2, 3, 4]
    assert all((kind == kinds.BYTE) == sp.is_byte(i) for i, kind in enumerate(types))
    assert types[0] == kinds.UNKNOWN
    scores = fields["tokenizer.ggml.scores"].contents()
    assert scores == pytest.approx([sp.get_score(i) for i in range(len(pieces))])
    assert fields["tokenizer.ggml.eos_token_id"].contents() == tiny_tokenizer.end
    template = fields["tokenizer.chat_template"].contents()
    jinja2 = pytest.importorskip("jinja2")
    said = jinja2.Template(template).render(messages=[{"role": "user", "content": "hi"}], add_generation_prompt=True)
    assert said == "<|user|>hi<|end|><|assistant|>"


@pytest.mark.slow  # imports transformers
def test_transformers_computes_the_same_logits(tmp_path):
    pytest.importorskip("gguf")
    transformers = pytest.importorskip("transformers")
    made = model(n_heads=4, n_kv_heads=2, rope_theta=500.0)
    gguf.write(made, None, about(), tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="model-f16.gguf", dtype=torch.float32
    ).eval()
    ids = torch.randint(340, (2, 30), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        torch.testing.assert_close(made(ids), theirs(ids).logits, rtol=1e-3, atol=1e-4)


@pytest.mark.slow  # starts llama.cpp's server
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"n_heads": 4, "n_kv_heads": 2, "rope_theta": 500.0},
        {"qk_norm": True},
        {"arch": "nanogpt", "bias": True},
        {"arch": "stream", "layers": ["conv", "window"], "window": 64, "n_heads": 4, "n_kv_heads": 2},
    ],
)
def test_llama_cpp_computes_the_same_probabilities(tmp_path, tiny_tokenizer, shape):
    made = model(tiny_tokenizer.vocab_size, **shape)
    (tmp_path / "model.gguf").write_bytes(gguf.encode(made, tiny_tokenizer, dtype="f16"))
    theirs = LlamaCpp(tmp_path / "model.gguf")
    generator = torch.Generator().manual_seed(2)
    for length in (1, 7, 60):
        ids = torch.randint(5, made.vocab_size, (1, length), generator=generator)
        with torch.inference_mode():
            want = made(ids)[0, -1].log_softmax(-1).numpy()
        found = theirs.log_probabilities(ids[0].tolist(), made.vocab_size)
        np.testing.assert_allclose(found, want, atol=0.03, rtol=0)


@pytest.mark.slow  # starts llama.cpp's server
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"vocab_size": 2300},
        {"kind": "char", "user_symbols": ["lo", "—"]},
        {"kind": "bpe-spaces", "vocab_size": 2300, "user_symbols": ["ab", "hello", "—«"]},
    ],
)
def test_llama_cpp_has_the_same_ids_and_the_same_template(tmp_path, how):
    training = [*tiny_texts(), *(random_texts(300, seed=5) if how else [])]
    config = TokenizerConfig(**{"vocab_size": 340, "character_coverage": 1.0} | how)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(kinds.train(training, config=config, seed=1))
    ours = kinds.load(path)
    (tmp_path / "model.gguf").write_bytes(gguf.encode(model(ours.vocab_size), ours, dtype="f16"))
    theirs = LlamaCpp(tmp_path / "model.gguf")
    texts = random_texts(2000, seed=3)
    different = [t for t in texts if theirs.ids(t) != ours.encode(t)]
    assert not different, different[:3]
    for text in texts[:100]:
        assert theirs.ask("detokenize", tokens=ours.encode(text))["content"] == ours.decode(ours.encode(text))
    back = imported.read(tmp_path / "model.gguf")
    assert all(kinds.read(back.tokenizer, path).encode(t) == ours.encode(t) for t in texts[:300])
    assert not {*theirs.ids("<|end|> <|user|>")} & {*ours.markers.values(), ours.end}
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": " hello\n"}]
    assert theirs.ids(theirs.prompt(messages), markers=True) == chat_template.encode_prompt(messages, ours)


def test_the_modelfile_says_how_the_program_draws(tmp_path, tiny_tokenizer):
    settings = ExportConfig(system='be """good"""', temperature=0.5, licence="yours")
    made = dataclasses.replace(about("q8"), settings=settings)
    lines = gguf.modelfile(tiny_tokenizer, made, "model-q8.gguf").splitlines()
    assert lines[0] == "FROM ./model-q8.gguf"
    assert "PARAMETER temperature 0.5" in lines
    assert 'PARAMETER stop "<|end|>"' in lines
    assert "SYSTEM \"\"\"be '''good'''\"\"\"" in lines
    template = next(line for line in lines if line.startswith("TEMPLATE"))
    assert template == (
        'TEMPLATE """{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}<|assistant|>"""'
    )
    commands = gguf.commands_for(dataclasses.replace(about(), recipe="My model!"), tmp_path / "a b" / "m.gguf")
    assert commands["ollama"].endswith("&& ollama run my-model")
    assert f"'{tmp_path}/a b/m.gguf'" in commands["LM Studio"]


@pytest.mark.slow  # a process that imports torch
def test_the_command_writes_it(tiny_run):
    done = minitron("export", "tiny.toml", "--format", "gguf", "--untrained", "--dtype", "q8", "--out", "here")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in Path("here").iterdir()] == ["model-q8.gguf"]
    assert Path("here/model-q8.gguf").read_bytes()[:8] == b"GGUF\3\0\0\0"
