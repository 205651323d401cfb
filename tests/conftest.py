"""What many tests share: a tiny tokenizer, a tiny model, a tiny recipe, all made on the spot."""

import json
import random
import signal
from pathlib import Path

import minitron  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import pytest
import torch

from minitron.model.language_model import LanguageModel
from minitron.recipe import shapes
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import TokenizerConfig
from minitron.recipe.training import ModelConfig
from minitron.stages import pipeline
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer

# A shell ignores Ctrl-C for what it starts in the background, and the programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first: pytest-xdist hands them out in this order, and none of the last ones should take long."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


WORDS = [
    "hello",
    "who",
    "are",
    "you",
    "i",
    "am",
    "a",
    "small",
    "model",
    "and",
    "this",
    "is",
    "what",
    "you",
    "said",
    "to",
    "me",
    "today",
    "привет",
    "как",
    "дела",
    "мир",
]


def tiny_texts(count: int = 400) -> list[str]:
    return [" ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(1, 9)) + f" {i % 37}." for i in range(count)]


ALPHABETS = (
    "abc hello  who are you\n\t",
    "привет как дела ёЁ",
    "0123456789 +-=",
    "🙂👩‍👩‍👧é日本語 \u2581\u00a0\u200b",
    "aaa   ---",
)


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of every kind: known words, characters of several scripts, repetitions, any code point."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        parts = []
        for _ in range(draw.randint(1, 8)):
            match draw.randint(0, 3):
                case 0:
                    parts.append(draw.choice(tiny_texts(40)))
                case 1:
                    parts.append("".join(draw.choices(draw.choice(ALPHABETS), k=draw.randint(1, 12))))
                case 2:
                    parts.append(draw.choice(draw.choice(ALPHABETS)) * draw.randint(1, 30))
                case 3:
                    points = (draw.choice((draw.randint(1, 0x7FF), draw.randint(0, 0x10FFFF))) for _ in range(5))
                    parts.append("".join(chr(p) for p in points if not 0xD800 <= p < 0xE000))
        found.append("".join(parts))
    return found


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory) -> Tokenizer:
    """340 tokens, byte fallback."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(kinds.train(tiny_texts(), config=TokenizerConfig(vocab_size=340), seed=1))
    return kinds.load(path)


def char_tokenizer(folder: Path, *texts: str, **how) -> Tokenizer:
    path = folder / "tokenizer.model"
    path.write_bytes(kinds.train(texts, config=TokenizerConfig(kind="char", **how), seed=1))
    return kinds.load(path)


def tiny_shape(arch: str = "llama", **changes) -> ModelConfig:
    shape = {"arch": arch, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "d_model": 32, "d_ff": 64, "context": 64}
    return shapes.resolved(ModelConfig(**shape | changes))


@pytest.fixture(params=["llama", "nanogpt"])
def tiny_model(request, tiny_tokenizer) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(tiny_shape(request.param), tiny_tokenizer.vocab_size).eval()


def write_dialogues(path: Path, count: int = 200, first: int = 0) -> Path:
    """A JSONL file of little dialogues that all differ."""
    texts = tiny_texts(count + first)
    with path.open("w", encoding="utf-8") as file:
        for i in range(first, first + count):
            messages = [
                {"role": "user", "content": f"say {i}"},
                {"role": "assistant", "content": f"{i}: {texts[i]}"},
            ]
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
    return path


TINY_RECIPE = """
seed = 3
[data]
files = ["dialogues.jsonl"]
valid_fraction = 0.2
[tokenizer]
vocab_size = 340
[model]
n_layers = 2
n_heads = 2
d_model = 32
d_ff = 64
context = 64
dropout = 0.1
[optim]
lr = 3e-3
warmup_steps = 3
precision = "fp32"
[sft]
steps = 24
batch_rows = 2
accumulation = 2
eval_every_steps = 6
[reject]
prompts = 40
max_tokens = 24
[kto]
steps = 12
batch_rows = 8
lr = 1e-4
eval_every_steps = 3
max_loss_rise = 1.0
[eval]
prompts = 20
max_tokens = 24
"""


def run_to(stage: str, *overrides: str) -> None:
    """Runs the only recipe of the current directory up to a stage, in this process."""
    (recipe,) = Path().glob("*.toml")
    config = load_recipe(recipe, list(overrides))
    for each in pipeline.select(config, None, stage):
        pipeline.run_stage(each, config)


@pytest.fixture
def tiny_run(tmp_path, monkeypatch) -> Path:
    """Makes an empty folder the current directory and writes a recipe and its dialogues there; gives the recipe's path."""
    monkeypatch.chdir(tmp_path)
    write_dialogues(tmp_path / "dialogues.jsonl")
    (tmp_path / "tiny.toml").write_text(TINY_RECIPE)
    return tmp_path / "tiny.toml"


@pytest.fixture
def in_tmp_path(tmp_path, monkeypatch) -> Path:
    """Makes an empty folder the current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    """The chat program, built once, without a model in it."""
    from terminal import build

    return build(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    """A running `serve`, which must outlive the tests."""
    from serving import started

    home = tmp_path_factory.mktemp("home")
    with started(program, "serve", "--addr", "127.0.0.1:0", "--slots", "4", "--queue", "200", home=home) as process:
        yield process
        assert process.poll() is None, "the server died"


@pytest.fixture(scope="module")
def page_setup(tmp_path_factory):
    """A browser, the program and its page, for the tests of the page."""
    from browser import running

    with running(tmp_path_factory.mktemp("page")) as running_setup:
        yield running_setup


@pytest.fixture
def window(page_setup):
    """A function that opens the page in a window of a size: `desktop` or `phone`."""
    from browser import windows

    with windows(page_setup) as open_window:
        yield open_window
