"""The Go chat program with a base model: a vocabulary of characters, capped logits, texts longer than the context."""

import base64
import dataclasses
import http.client
import io
import json
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
from conftest import tiny_shape
from terminal import Terminal, build

from minitron.interop.bundle import digest, lay_out, shape_of
from minitron.model.language_model import LanguageModel
from minitron.tokenizer import kinds
from minitron.tokenizer.base import MARKERS, Tokenizer

VERSE = "ROMEO:\n\tBut, soft!  what light\nthrough    yonder window breaks?\n\n\nJULIET:\n  O Romeo, Romeo!\n"
CAP = 2.5  # the raw logits of this model reach 4
SAMPLING = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0, "max_tokens": 20}


@dataclasses.dataclass
class Setup:
    """A program without a model, a bundle of random weights, and its tokenizer and model in Python."""

    program: Path
    bundle: Path
    tokenizer: Tokenizer
    model: LanguageModel

    def run(self, *args, bundle: Path | None = None, lines=None) -> subprocess.CompletedProcess:
        """Runs the program with arguments; `lines` are its input, as JSON."""
        text = None if lines is None else "".join(json.dumps(line) + "\n" for line in lines).encode()
        return subprocess.run([self.program, *args, "--model", bundle or self.bundle], input=text, capture_output=True)

    def ask(self, command: str, lines: list) -> list:
        return [json.loads(line) for line in self.run(command, lines=lines).stdout.splitlines()]

    @torch.inference_mode()
    def logits(self, ids: list[int]) -> np.ndarray:
        """The logits after the last id, capped by NumPy."""
        raw = self.model(torch.tensor([ids]))[0, -1].numpy()
        return np.float32(CAP) * np.tanh(raw / np.float32(CAP))


@pytest.fixture(scope="module")
def setup(tmp_path_factory) -> Setup:
    folder = tmp_path_factory.mktemp("text")
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f" {''.join(sorted(set(VERSE)))} "]),
        model_writer=out,
        model_type="char",
        use_all_vocab=True,
        byte_fallback=True,
        character_coverage=1.0,
        control_symbols=list(MARKERS),
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(out.getvalue())
    spoken = kinds.load(folder / "tokenizer.model")
    torch.manual_seed(4)
    model = LanguageModel(tiny_shape(), spoken.vocab_size).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.25)
    with torch.no_grad():  # bytes and the end become unlikely, so that the text written tells its ids
        model.embedding[: spoken.vocab_size - len(set(VERSE))] *= 0.1
    tensors, weights = lay_out(model, "f16")
    vocab = json.dumps(spoken.to_vocab()).encode()
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "weights.bin").write_bytes(weights)
    (bundle / "vocab.json").write_bytes(vocab)
    about = {
        "format": "minitron-bundle",
        "version": 2,
        "name": "verse",
        "template": "text",
        "model": shape_of(model) | {"logit_cap": CAP},
        "dtype": "f16",
        "params": model.count_params(),
        "weights": digest(weights),
        "vocab": digest(vocab),
        "tensors": tensors,
        "chat": {"system": "", "greeting": "", "questions": ["ROMEO:"]},
        "sampling": SAMPLING,
        "selftest": [],
        "made": {"minitron": "0", "recipe": "verse", "stage": "pretrain", "date": ""},
    }
    (bundle / "config.json").write_text(json.dumps(about))
    return Setup(build(folder), bundle, spoken, model)


def changed(setup: Setup, out: Path, **fields) -> Path:
    """A copy of the bundle with other fields; None removes one."""
    out.mkdir()
    for name in ("weights.bin", "vocab.json"):
        (out / name).symlink_to(setup.bundle / name)
    about = json.loads((setup.bundle / "config.json").read_text()) | fields
    (out / "config.json").write_text(json.dumps({key: value for key, value in about.items() if value is not None}))
    return out


def test_characters_are_those_of_sentencepiece(setup):
    texts = [VERSE, VERSE * 3, "  \t\t\n\n", "", "Ü 😀\x00\x1f", "<|end|>\n", VERSE[5:40].upper()]
    ids = [line["ids"] for line in setup.ask("tokenize", [{"text": text} for text in texts])]
    assert ids == [setup.tokenizer.encode(text) for text in texts]
    assert len(ids[0]) == len(VERSE)
    assert setup.ask("tokenize", [{"b64": base64.b64encode(b"R\xff").decode()}])[0]["ids"] == setup.tokenizer.encode(
        b"R\xff"
    )


def test_logits_are_bent(setup, tmp_path):
    draw = np.random.default_rng(1)
    prompts = [draw.integers(0, setup.tokenizer.vocab_size, n).tolist() for n in (1, 2, 17, 64)]
    got = np.array([line["logits"] for line in setup.ask("logits", [{"ids": ids} for ids in prompts])])
    want = np.array([setup.logits(ids) for ids in prompts])
    assert np.abs(got - want).max() < 0.02
    assert np.abs(got).max() <= CAP
    about = json.loads((setup.bundle / "config.json").read_text())
    plain = changed(setup, tmp_path / "plain", model=about["model"] | {"logit_cap": 0})
    done = setup.run("logits", bundle=plain, lines=[{"ids": ids} for ids in prompts])
    raw = np.array([json.loads(line)["logits"] for line in done.stdout.splitlines()])
    assert np.abs(raw).max() > 1.5 * CAP  # otherwise the cap would not show
    assert np.abs(got - CAP * np.tanh(raw / CAP)).max() < 1e-5


# slow: hundreds of tokens, one forward pass each
@pytest.mark.slow
def test_a_text_goes_on_past_the_context(setup):
    done = setup.run("-p", VERSE, "--max-tokens", "500")
    written = done.stdout.decode().removesuffix("\n")
    ids = setup.tokenizer.encode(VERSE)
    context, new = 64, setup.tokenizer.encode(written)
    assert (done.returncode, len(new), len(set(new)) > 10) == (0, 500, True)
    window = []
    for known, i in enumerate(ids + new):
        if known >= len(ids):  # the likeliest, as far as keys and values of 16 bits can tell
            logits = setup.logits(window)
            logits[setup.tokenizer.never_sampled] = -np.inf
            assert logits[i] > logits.max() - 0.05, known
        window.append(i)
        if len(window) > context:  # the oldest half goes
            window = window[context // 2 :]
    again = setup.run("-p", VERSE + written[:333], "--max-tokens", "167").stdout.decode()
    assert again == written[333:] + "\n"


def test_a_line_may_hold_a_text(setup):
    """`complete` takes the lines that `minitron complete` takes: a text, or a message whose content is one."""
    text = VERSE[:20]
    lines = [{"text": text, "max_tokens": 9}, {"messages": [{"role": "user", "content": text}], "max_tokens": 9}]
    one, other = setup.ask("complete", lines)
    assert one == other
    assert one["text"] + "\n" == setup.run("-p", text, "--max-tokens", "9").stdout.decode()
    refused = setup.run("complete", lines=[{"max_tokens": 9}])
    assert b'line 1: it is neither {"text": "..."} nor {"messages"' in refused.stderr


def test_what_it_says_of_itself(setup, tmp_path):
    about = json.loads(setup.run("info", "--json").stdout)
    assert (about["template"], about["model"]["logit_cap"]) == ("text", CAP)
    assert b"\ntemplate    text: a base model, it continues what one types\n" in setup.run("info").stdout
    assert setup.run("selftest").returncode == 0
    other = json.loads(setup.run("info", "--json", bundle=changed(setup, tmp_path / "chat", template=None)).stdout)
    assert other["template"] == "chatml"
    for args, fields, message in [
        (["info"], {"template": "alpaca"}, 'config.json is not usable: "template" is "alpaca"'),
        (["-p", "x", "--system", "be kind"], {}, "this is a base model: it continues text"),
    ]:
        done = setup.run(*args, bundle=changed(setup, tmp_path / message[:5], **fields))
        error, hint = done.stderr.decode().strip().split("\n")
        assert (done.returncode, error.startswith(f"minitron-chat: error: {message}")) == (1, True), error
        assert hint.startswith("hint: ")


def test_in_a_terminal(setup, tmp_path):
    written = setup.run("-p", "ROMEO:", "--max-tokens", "60").stdout.decode()
    on = Terminal([setup.program, "--model", setup.bundle], home=tmp_path)
    on.ask("ROMEO:", "(That was 20 tokens; /more goes on")
    flat = re.sub(r"\s+", "", "ROMEO:" + written[:20])
    assert flat in re.sub(r"\s+", "", on.text)
    on.ask("/more", written[20:40].split()[0][:8])
    on.ask("/system be kind", "This model continues text: it has no system message.")
    on.ask("/stats", "texts: 1, tokens of the last one in view: 46 of 64")
    on.type("/quit\r")
    piped = subprocess.run([setup.program, "--model", setup.bundle], input=b"ROMEO:\n/more\n", capture_output=True)
    assert piped.stdout.decode() == written[:20] + "\n" + written[20:40] + "\n"


@contextmanager
def served(setup: Setup):
    """A function that posts to the API: (path, body) -> what is answered."""
    command = [setup.program, "serve", "--model", setup.bundle, "--addr", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = re.search(r"http://(\S+)/v1", process.stdout.readline())[1]

            def post(path: str, **body) -> str:
                connection = http.client.HTTPConnection(address, timeout=20)
                connection.request("POST", f"/v1/{path}", json.dumps(body), {"Content-Type": "application/json"})
                return connection.getresponse().read().decode()

            yield post
        finally:
            process.terminate()


def test_the_api_continues(setup):
    written = setup.run("-p", VERSE, "--max-tokens", "120").stdout.decode().removesuffix("\n")
    with served(setup) as post:
        whole = json.loads(post("completions", prompt=VERSE, max_tokens=120))
        assert whole["choices"][0]["text"] == written
        assert whole["usage"]["prompt_tokens"] == len(VERSE)
        assert whole["minitron"]["dropped_tokens"] > 100
        echoed = json.loads(post("completions", prompt=VERSE, max_tokens=120, echo=True, stop="zzz"))
        assert echoed["choices"][0]["text"] == VERSE + written
        events = post("completions", prompt=VERSE, max_tokens=120, stream=True, echo=True).split("\n\n")
        parts = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
        assert "".join(part["choices"][0]["text"] for part in parts) == VERSE + written
        messages = [
            {"role": role, "content": text} for role, text in [("system", "x"), ("user", "y"), ("assistant", "z")]
        ]
        messages.append({"role": "user", "content": VERSE})
        chat = json.loads(post("chat/completions", messages=messages, max_tokens=120))
        assert chat["choices"][0]["message"]["content"] == written
