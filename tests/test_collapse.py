"""The collapse of the reference article, reproduced: its settings wreck a small model while kto's own figures look perfect;
with the guards on, from the same start and with the same settings, nothing worse than the SFT model ships."""

import contextlib
import json
import random
import shutil
import statistics
from pathlib import Path

import pytest
from conftest import run_to

from minitron.align.method import Method
from minitron.evaluate.examiner import Examiner
from minitron.recipe.load import load_recipe
from minitron.stages import kto
from minitron.tokenizer import kinds
from minitron.train import checkpoint, metrics

pytestmark = pytest.mark.slow  # a model is trained until it knows its facts, and then aligned twice

THINGS = ["apple", "river", "stone", "cloud", "tiger", "lamp", "bread", "chair", "snow", "violin", "ship", "garden"]
COLOURS = ["red", "blue", "green", "white", "black", "yellow", "brown", "grey"]
PLACES = ["home", "school", "sea", "market", "hill", "station", "farm", "castle"]
GREETINGS = ["", "hi, ", "please: "]
ASK_COLOUR = [
    "what colour is the {}?", "tell me the colour of the {}", "the {}: which colour?", "say what colour a {} has",
    "do you know what colour the {} is?", "colour of the {}, please",
]  # fmt: skip
ASK_PLACE = [
    "where is the {}?", "tell me where the {} is", "the {}: which place?", "say where a {} is",
    "do you know where the {} is?", "place of the {}, please",
]  # fmt: skip
RECIPE = """
seed = 3
[data]
files = ["facts.jsonl"]
probes = "probe == 1"
valid_fraction = 0.15
[tokenizer]
vocab_size = 360
[model]
n_layers = 2
n_heads = 2
d_model = 64
d_ff = 128
context = 48
[optim]
lr = 1e-2
warmup_steps = 10
precision = "fp32"
[sft]
steps = 120
batch_rows = 16
eval_every_steps = 60
[reject]
prompts = 300
max_tokens = 40
[reject.presets]
hot = {temperature = 1.6}
[kto]
steps = 70
eval_every_steps = 20
[eval]
prompts = 40
max_tokens = 40
"""
# The article: length-normalised ratios with beta 0.1, z = max(0, running mean of (chosen + rejected) / 2), weights 1 and 1, and
# nothing else. An Adam step is as long as the learning rate: the article's 2,000 steps at 5e-6 lead as far as 100 at 1e-4. A model
# 400 times smaller has fewer weights that act together; it collapses as the article's did in 70 steps at 20 times that rate.
ARTICLE = Method(
    z_ref="matched", weights=(1.0, 1.0), nll_weight=0.0, token_clamp=None, rejected_floor=None, mask_loops=False,
    cut_rejected=False, blends=(0.5, 1.0),
)  # fmt: skip
RATES = ["kto.beta=0.1", "kto.lr=2e-3"]


def write_facts(path: Path) -> None:
    """Two facts about each of twelve things, asked for in 18 ways; a fifth of the questions are probes."""
    chance, rows = random.Random(1), []
    for thing in THINGS:
        colour, place = chance.choice(COLOURS), chance.choice(PLACES)
        answers = (
            (ASK_COLOUR, colour, f"the {thing} is {colour}, and it has always been {colour} as far as I know."),
            (ASK_PLACE, place, f"you find the {thing} at the {place}, near the gate of the {place}."),
        )
        for questions, word, answer in answers:
            for question in (greeting + question for greeting in GREETINGS for question in questions):
                probe = chance.random() < 0.2
                messages = [
                    {"role": "user", "content": question.format(thing)},
                    {"role": "assistant", "content": answer},
                ]
                rows.append({"messages": messages, "probe": int(probe), "check": json.dumps({"all": [word]})})
    chance.shuffle(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a model that knows its facts, and with the failures that `reject` sampled from it."""
    folder = tmp_path_factory.mktemp("facts")
    write_facts(folder / "facts.jsonl")
    (folder / "facts.toml").write_text(RECIPE)
    with contextlib.chdir(folder):
        run_to("reject")
    return folder


@pytest.fixture
def start(trained, tmp_path, monkeypatch) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def figures(stage: str) -> tuple[float, float]:
    """Held-out loss and probe accuracy of what a stage ships."""
    recipe = load_recipe("facts.toml", ["eval.probes=0"])
    model, _ = checkpoint.load_model(checkpoint.finished(recipe.layout.stage(stage), stage))
    examiner = Examiner(recipe, kinds.load(recipe.layout.tokenizer))
    return examiner.loss(model).loss, examiner.probes(model).accuracy.value


def test_the_articles_settings_wreck_the_model_and_kto_looks_perfect(start):
    kto.run(load_recipe("facts.toml", [*RATES, "kto.guards.on=false", "kto.force=true"]), method=ARTICLE)
    (loss, probes), (loss_after, probes_after) = figures("sft"), figures("kto")
    last = metrics.read(Path("runs/facts/kto/metrics.jsonl"))[-30:]  # of 64 pairs each
    # Seen with AVX-512: accuracy 0.996, raw z -1.07, loss from 0.0018 to 0.51, probes from 100% to 61%; with AVX2, where sums are
    # rounded differently and training takes another course: 0.991, -1.06, from 0.0013 to 0.64, from 100% to 26%.
    assert statistics.fmean(row["accuracy"] for row in last) >= 0.95
    assert last[-1]["raw_z"] < -0.3
    assert probes > 0.9
    assert loss_after > 10 * loss
    assert probes_after < probes - 0.2


def test_with_the_guards_the_same_settings_ship_nothing_worse(start):
    kto.run(load_recipe("facts.toml", RATES), method=ARTICLE)
    (loss, probes), (loss_after, probes_after) = figures("sft"), figures("kto")
    assert json.loads(Path("runs/facts/kto/report.json").read_text())["breaches"] > 0
    assert loss_after <= 1.01 * loss
    assert probes_after >= probes - 0.02
