"""The report page of a real card: well-formed, self-contained, escaped, and with the right numbers at the right places."""

import contextlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import TINY_RECIPE, tiny_texts

from minitron.evaluate import report
from minitron.evaluate.card import Card, Failures, HeldOut, ProbeAnswer, Probes, Sample
from minitron.evaluate.failures import FailureRates
from minitron.evaluate.intervals import Share
from minitron.evaluate.markup import Html, el
from minitron.evaluate.plots import CURVE_POINTS, Row, Series, bars, plot, ticks
from minitron.evaluate.style import STYLE
from minitron.recipe.layout import Layout
from minitron.recipe.load import load_recipe
from minitron.stages import pipeline
from minitron.stages.eval import cost_of_bits

EVIL = '<script>alert("x")</script><img src=http://evil.example/x onerror=alert(1)>&amp;\x00\x1b[31m\udc80'
VOID = {"meta"}


class Page(HTMLParser):
    """Checks that tags are balanced; collects the tags, the texts within them, and all text of the page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def said(self, tag):
        return [text for name, text in self.texts if name == tag]


# Settings of a run that has everything a report shows: probes, dialogues of several turns, samples during training.
CHANGES = [
    'data.probes="probe == 1"', "sft.steps=4", "sft.eval_every_steps=2", 'sft.samples=["say 3"]', "reject.prompts=20",
    "kto.steps=4", "kto.eval_every_steps=2", "kto.force=true", "kto.guards.on=false", "eval.prompts=12", "eval.probes=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Layout:
    """A whole run, from dialogues to the report."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    with (folder / "dialogues.jsonl").open("w") as file:
        for i, text in enumerate(tiny_texts(240)):
            messages = [{"role": "user", "content": f"say {i}"}, {"role": "assistant", "content": text}]
            if i % 3 == 0:
                more = ({"role": "user", "content": "what said i?"}, {"role": "assistant", "content": f"say {i}"})
                messages += more
            probe = {
                "source": "mine" if i % 5 == 2 else "theirs",
                "probe": int(i % 12 == 1),
                "skill": ["repeat", "count"][i % 2],
                "check": '{"any": ["lima"]}',
            }
            file.write(json.dumps({"messages": messages, **probe}) + "\n")
    with contextlib.chdir(folder):
        recipe = load_recipe("tiny.toml", CHANGES)
        for stage in pipeline.select(recipe, None, "eval"):
            pipeline.run_stage(stage, recipe)
    return Layout(folder / "runs/tiny")


def test_the_same_run_gives_the_same_page_to_the_byte(run):
    """In another process, with other hashes of texts."""
    files = [run.page, run.card]
    before = [file.read_bytes() for file in files]
    command = [sys.executable, "-m", "minitron", "eval", "tiny.toml", "--force", *CHANGES]
    how = {"cwd": run.run.parents[1], "env": os.environ | {"PYTHONHASHSEED": "7"}, "capture_output": True, "text": True}
    done = subprocess.run(command, **how)
    assert done.returncode == 0, done.stderr
    for file, was in zip(files, before, strict=True):
        assert file.read_bytes() == was, file.name


@pytest.fixture
def card(run) -> Card:
    return Card.from_json(json.loads(run.card.read_text()))


def changed(card: Card, stage: str, **changes) -> Card:
    """The card with other figures of one model."""
    model = card.models[stage]
    return replace(card, models={**card.models, stage: replace(model, figures=replace(model.figures, **changes))})


def page_of(run: Layout, card: Card) -> Page:
    return Page(report.html(run, card))


def test_a_card_is_read_as_it_was_written(run, card):
    """The card also has the members of report.json that others rely on, and the page that eval wrote shows this card."""
    value = json.loads(run.card.read_text())
    assert card.to_json() == value
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card
    assert list(value["models"]) == ["sft", "kto"]
    assert value["shipped"] == "kto"
    assert value["probe_accuracy"] == value["models"]["kto"]["probes"]["accuracy"]
    assert set(value["dtypes"]) == {"f16", "q8", "q4"}
    for model in value["models"].values():
        assert {"step", "loss", "bits_per_byte", "probes", "failures", "continuations", "sources"} == set(model)
        assert set(model["sources"]) == {"mine", "theirs"}
        assert list(model["failures"]) == ["all", "chat", "loops", "canned", "tutorial"]
        for found in model["failures"].values():
            assert {"loop", "runaway", "canned", "ended", "failing", "distinct_2", "answers"} < set(found)
            for name, (low, high) in found["intervals"].items():
                assert low <= found[name] <= high
        assert {"accuracy", "asked", "interval", "skills", "wrong"} == set(model["probes"])
        assert model["failures"]["all"]["answers"] == 4 * model["failures"]["chat"]["answers"]
    assert run.page.read_text() == report.html(run, card)


def test_a_card_of_an_older_version_gets_intervals(card):
    value = card.to_json()
    for model in value["models"].values():
        for found in model["failures"].values():
            del found["intervals"]
            for sample in found.get("samples", []):
                del sample["context"]
        del model["probes"]["interval"]
    old = Card.from_json(value)
    chat = old.last.failures["chat"].rates.ended
    assert chat == card.last.failures["chat"].rates.ended  # answers to different prompts are independent
    assert old.last.probes.accuracy == card.last.probes.accuracy


def test_a_whole_page_is_balanced_and_loads_nothing(run, card):
    text = report.html(run, card)
    page = Page(text)
    for reference in ("http://", "https://", "src=", "href=", "<script", "url(", "@import"):
        assert reference not in text
    assert "default-src 'none'" in page.named("meta")[2]["content"]
    assert page.said("h2") == [
        "Before and after kto",
        "Probes by skill",
        "Training",
        "kto",
        "Data",
        "Answers",
        "While it learned",
        "Wrong probes",
    ]
    kinds = {unicodedata.category(c) for c in text if c not in "\n\t"}
    assert not kinds & {"Cc", "Cs"}  # control characters, lone surrogates
    assert all(image["role"] == "img" for image in page.named("svg"))
    assert len(page.named("svg")) == len(page.named("desc"))


def with_sample(card: Card, stage: str, sample: Sample) -> Card:
    failures = card.models[stage].figures.failures
    return changed(card, stage, failures={**failures, "chat": replace(failures["chat"], samples=[sample])})


def test_what_a_model_said_stays_text(run, card):
    evil = Sample([{"role": "user", "content": EVIL}], EVIL, EVIL, EVIL, [])
    probes = Probes.of([ProbeAnswer([{"role": "user", "content": EVIL}], '{"any": ["Lima"]}', EVIL, False, EVIL)])
    card = with_sample(with_sample(card, "sft", evil), "kto", evil)
    text = report.html(run, replace(changed(card, "kto", probes=probes), name=EVIL))
    page = Page(text)
    text.encode()  # no lone surrogate is left
    assert {tag for tag, _ in page.tags} & {"script", "img"} == set()
    shown = EVIL.replace("\x00\x1b", "\ufffd\ufffd").replace("\udc80", "\ufffd")
    assert page.said("h1") == [shown]
    assert page.said("p").count(shown) == 4
    assert f"user: {shown}" in page.said("p")
    assert page.said("td").count(shown) == 3
    assert "\x00" not in text
    assert "\x1b" not in text


def test_attributes_are_escaped_too():
    assert el("i", "a", None, ["b", Html("<br>")], class_='"><x') == '<i class="&quot;&gt;&lt;x">ab<br></i>'


def facts(page: Page) -> dict[str, str]:
    return dict(zip(page.said("dt"), page.said("dd"), strict=True))


def test_headline(run, card):
    told = facts(page_of(run, card))
    last = card.last
    assert told["parameters"] == f"{card.params:,}"
    assert told["model that ships"] == f"kto, step {json.loads(run.stage_report('kto').read_text())['shipped_step']}"
    assert told["probe accuracy"] == f"{last.probes.accuracy.value:.1%} of {last.probes.accuracy.count}"
    assert told["held-out loss, nats per token"] == f"{last.held_out.loss:.4f}"
    assert told["bits per byte as q8"].startswith(f"{card.dtypes['q8'].bits_per_byte:.4f} (")
    assert told["tokens in the vocabulary"] == "340"


def test_the_sft_model_ships_where_kto_changes_nothing(run, card, tmp_path):
    """The model that ships lies in kto's folder, as "kto, step 0"; the page names it by its own stage and step."""
    kto = json.loads(run.stage_report("kto").read_text())
    kto |= {"outcome": "no change", "shipped_blend": 0.0, "shipped_step": 0}
    other = Layout(tmp_path)
    other.stage("kto").mkdir()
    other.stage_report("kto").write_text(json.dumps(kto))
    page = page_of(other, card)
    assert facts(page)["model that ships"] == f"sft, step {card.models['sft'].step} (kto: no change)"
    assert any(text.startswith("kto: no change") and text.endswith("The SFT model ships.") for text in page.said("p"))


def rates(**shares: Share) -> FailureRates:
    return FailureRates(
        **{name: Share.of(0, 1000) for name in ("loop", "runaway", "canned", "ended", "failing")} | shares
    )


def test_differences_are_marked_in_words_if_they_are_beyond_chance(run, card):
    before = {"held_out": HeldOut(1.5, 0.75), "probes": Probes(Share.of(500, 1000), {"add": Share.of(34, 50)})}
    after = {"held_out": HeldOut(1.6, 0.8), "probes": Probes(Share.of(750, 1000), {"add": Share.of(28, 50)})}
    before["sources"] = after["sources"] = {}
    before["failures"] = {"chat": Failures(rates(loop=Share.of(200, 1000), ended=Share.of(800, 1000)), 0.5)}
    after["failures"] = {"chat": Failures(rates(loop=Share.of(190, 1000), ended=Share.of(900, 1000)), 0.5)}
    page = page_of(run, changed(changed(card, "sft", **before), "kto", **after))
    cells = page.said("td")
    assert cells[:3] == ["1.5000", "1.6000", "+0.1000, worse"]
    assert cells[3:6] == ["0.7500", "0.8000", "+0.0500, worse"]
    assert cells[6:9] == ["50.0% (46.9% to 53.1%)", "75.0% (72.2% to 77.6%)", "+25.0 points, better"]
    assert cells[9:12] == ["20.0% (17.6% to 22.6%)", "19.0% (16.7% to 21.5%)", "-1.0 points, within chance"]
    assert cells[14] == "same"
    assert cells[18:21][2] == "+10.0 points, better"  # more answers end by themselves
    assert [a["class"] for a in page.named("td") if "class" in a][:4] == ["worse", "worse", "better", "better"]
    assert "answers with preset chat (1,000)" in page.said("th")
    # 68% and 56% of 50 are no difference; of 5,000 they are
    assert "56% (42% to 69%)" in page.said("text")
    more = Probes(Share.of(750, 1000), {"add": Share.of(2800, 5000)})
    before["probes"] = Probes(Share.of(500, 1000), {"add": Share.of(3400, 5000)})
    page = page_of(run, changed(changed(card, "sft", **before), "kto", **after | {"probes": more}))
    assert "56% (55% to 57%) *" in page.said("text")


def test_few_prompts_come_with_a_caution(run, card):
    asked = card.last.failures["chat"].answers
    held_out = json.loads(run.stage_report("data").read_text())["valid"]
    (said,) = (text for text in page_of(run, card).said("p") if text.startswith("Only"))
    assert said.startswith(f"Only {asked} prompts of {held_out} held-out dialogues were asked")
    many = {"chat": Failures(rates(), 0.5)}
    page = page_of(run, changed(changed(card, "sft", failures=many), "kto", failures=many))
    assert not [text for text in page.said("p") if text.startswith("Only")]


def test_samples_stand_side_by_side_with_what_was_said_before(run, card):
    turns = [{"role": "user", "content": "i am Panu"}, {"role": "assistant", "content": "hello"}]
    card = with_sample(card, "sft", Sample(turns, "who am i?", "Panu.", "You are Panu.", []))
    page = page_of(run, with_sample(card, "kto", Sample(turns, "who am i?", "no no no", "You are Panu.", ["loop"])))
    start = page.said("h3").index("before it")
    assert page.said("h3")[start : start + 5] == ["before it", "prompt", "reference", "before kto", "after kto"]
    start = page.said("p").index("user: i am Panu\nassistant: hello")
    assert page.said("p")[start + 1 : start + 5] == ["who am i?", "You are Panu.", "Panu.", "no no no"]
    assert " loop" in page.said("b")
    real = [sample for found in card.last.failures.values() for sample in found.samples]
    assert {len(sample.context) for sample in real} == {0, 2}  # the dialogues have one turn or two


def test_wrong_probes_are_shown_with_their_rules(run, card):
    asked = ProbeAnswer(
        [{"role": "user", "content": "Of Peru?"}], '{"any": ["Lima"], "none": ["Cusco"]}', "no", False, "cities"
    )
    page = page_of(run, changed(card, "kto", probes=Probes.of([asked])))
    assert page.said("td")[-4:] == ["cities", "Of Peru?", "no", "has one of Lima; lacks Cusco"]


def test_what_it_said_while_it_learned(run, card, tmp_path):
    page = page_of(run, card)
    assert [text for text in page.said("h3") if text.startswith("step ")] == ["step 2", "step 4"]
    assert "sft: say 3" in page.said("h3")
    other = Layout(tmp_path)
    lines = [{"step": n, "samples": [{"prompt": "Hi?", "text": f"{EVIL} {n}"}]} for n in range(1, 8)]
    write_lines(other.metrics("pretrain"), lines)
    page = page_of(other, card)
    assert [text for text in page.said("h3") if text.startswith("step ")] == ["step 1", "step 3", "step 5", "step 7"]
    assert not page.named("script")


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_kto_curves_show_the_guards(run, card):
    page = page_of(run, card)
    before = json.loads(run.stage_report("kto").read_text())["held_out_loss_before"]
    assert {"guard: back below -0.2", "guard: warning below -0.15"} <= set(page.said("li"))
    assert f"guard: back above {before * 1.01:.4f}" in page.said("li")
    assert f"before kto: {before:.4f}" in page.said("li")
    raw_z = [json.loads(line)["raw_z"] for line in run.metrics("kto").read_text().splitlines()]
    (told,) = (text for text in page.said("desc") if ". raw z: " in text or text.startswith("In nats per token. raw z"))
    assert told.startswith(f"In nats per token. raw z: {raw_z[0]:.4g} at step 1, {raw_z[-1]:.4g} at step 4")


def test_the_guard_of_the_loss_is_that_of_the_rows_it_looks_at(run, card, tmp_path):
    """Guards look at some of the held-out rows, whose loss is another one than that of all."""
    other, rows = Layout(tmp_path), [json.loads(line) for line in run.metrics("kto").read_text().splitlines()]
    looks = [row for row in rows if "valid_loss" in row]
    before = 2 * looks[0]["valid_loss"] / (1 + looks[0]["guards"]["loss"])
    for row in looks:
        row["valid_loss"] *= 2
    write_lines(other.metrics("kto"), rows)
    other.stage_report("kto").write_bytes(run.stage_report("kto").read_bytes())
    told = page_of(other, card).said("li")
    assert {f"guard: back above {before * 1.01:.4f}", f"before kto: {before:.4f}"} <= set(told)


def test_a_model_that_is_certain_has_no_cost_of_bits(card, tiny_model):
    """All answers may be the same one, whose probability is 1 in floating point."""
    examiner = SimpleNamespace(loss=lambda model: HeldOut(0.0, 0.0))
    assert cost_of_bits(examiner, tiny_model, replace(card.last, held_out=HeldOut(0.0, 0.0))) == {}


def test_the_data_section_counts_every_row(run, card, tmp_path):
    counts = json.loads(run.stage_report("data").read_text())
    parts = f"({counts['train']} train, {counts['valid']} valid, {counts['probes']} probes)"
    assert f"240 rows read, {counts['kept']} dialogues kept {parts}." in page_of(run, card).said("p")
    other = Layout(tmp_path)
    other.stage("data").mkdir()
    counts = {"rows_in": 1000, "kept": 750, "train": 700, "valid": 30, "probes": 20}
    dropped = {"dropped": {"safety >= 8": 200, "exact duplicate": 50}, "kept_without_score": {"pii_leak": 3}}
    sources = [
        {"name": "mine", "rows_in": 50, "train": 40, "valid": 5, "probes": 0, "written": 175},
        {"name": "built-in", "rows_in": 950, "train": 525, "valid": 25, "probes": 20, "written": 525},
    ]
    other.stage_report("data").write_text(json.dumps(counts | dropped | {"sources": sources}))
    page = page_of(other, card)
    assert "mine: 45 of 50 rows kept, 25.0% of what is trained on." in page.said("p")
    assert "1,000 rows read, 750 dialogues kept (700 train, 30 valid, 20 probes)." in page.said("p")
    assert "3 rows have no score 'pii_leak' and were kept all the same." in page.said("p")
    told = "kept: rows 750 (75.0%); dropped: safety >= 8: rows 200 (20.0%); dropped: exact duplicate: rows 50 (5.0%)."
    assert any(told in text for text in page.said("desc"))


def test_the_loss_of_each_source_is_a_group(run, card):
    page, sources = page_of(run, card), card.models["kto"].figures.sources
    for name, loss in sources.items():
        assert f"held out of {name} ({loss.dialogues})" in page.said("th")
        assert f"{loss.loss:.4f}" in page.said("td")


def test_missing_parts_are_left_out(card, tmp_path):
    sft = replace(card, models={"sft": card.models["sft"]}, dtypes={})
    bare = changed(sft, "sft", held_out=None, probes=None, failures={})
    page = page_of(Layout(tmp_path), bare)
    assert page.said("h2") == ["Figures"]
    assert page.said("dt") == ["parameters", "model that ships", "tokens in the vocabulary"]
    page = page_of(Layout(tmp_path), sft)
    assert page.said("h2") == ["Figures", "Probes by skill", "Answers", "Wrong probes"]
    assert set(page.said("h3")) == {"before it", "prompt", "reference", "sft"}
    assert "difference" not in page.said("th")


# --- plots -----------------------------------------------------------------------------------------------------------


def corners(page: Page) -> list[tuple[float, float]]:
    (line,) = page.named("polyline")
    return [tuple(map(float, pair.split(","))) for pair in line["points"].split()]


def test_a_plot_has_its_values_units_and_text():
    points = [(0, 2.0), (50, 3.0), (100, 5.0)]
    page = Page(plot("Loss", [Series("train", points, dots=True)], unit="nats", guards={"guard: 1": 1.0}))
    (x0, y0), (x1, y1), (x2, y2) = corners(page)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)  # half of the steps is half of the way
    assert 2 * (y0 - y1) == pytest.approx(y1 - y2, abs=0.2)  # upwards, as far as the values are apart
    assert [(float(c["cx"]), float(c["cy"])) for c in page.named("circle")] == corners(page)
    guard = next(line for line in page.named("line") if line["class"] == "guard g0")
    assert float(guard["y1"]) - y0 == pytest.approx(y0 - y1, abs=0.2)  # as far below 2 as 3 is above
    assert (float(guard["x1"]), float(guard["x2"])) == (x0, x2)
    assert page.said("text") == ["nats", "step", "1", "2", "3", "4", "5", "0", "20", "40", "60", "80", "100"]
    assert page.said("title") == ["Loss"]
    assert page.said("desc") == ["In nats. train: 2 at step 0, 5 at step 100, lowest 2, highest 5. guard: 1."]
    assert page.said("li") == ["train", "guard: 1"]


def test_bars_have_the_lengths_of_their_values():
    rows = [Row("add", [0.5, 1.0], ["50%", "100%"]), Row("spell", [0.0, 0.25], ["0%", "25%"])]
    page = Page(bars("Accuracy", rows, names=["before", "after"], unit="share", full=1.0))
    half, whole, none, quarter = (float(bar["width"]) for bar in page.named("rect"))
    assert (half, quarter) == (pytest.approx(whole / 2), pytest.approx(whole / 4))
    assert 0 < none < quarter / 10  # a bar that can be seen
    assert page.said("text") == ["share", "add", "50%", "100%", "spell", "0%", "25%"]
    assert page.said("desc") == ["share. add: before 50%, after 100%; spell: before 0%, after 25%."]
    assert [key["class"] for key in page.named("i")] == ["key swatch c0", "key swatch c1"]  # areas, as bars are


def test_a_run_of_one_step_and_values_that_are_no_numbers(card, tmp_path):
    other = Layout(tmp_path)
    write_lines(other.metrics("sft"), [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}])
    page = page_of(other, replace(card, models={"sft": card.models["sft"]}))
    assert len(page.named("circle")) == 1
    assert "NaN" not in "".join(line["points"] for line in page.named("polyline"))


def test_long_curves_are_thinned_but_keep_their_last_point():
    page = Page(plot("Loss", [Series("train", [(n, n % 7) for n in range(10_000)])], unit="nats"))
    points = corners(page)
    assert len(points) <= CURVE_POINTS + 1
    assert points[-1][0] == max(float(line["x2"]) for line in page.named("line"))


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.21, 0.013, [-0.2, -0.15, -0.1, -0.05, 0.0]),
        (1, 1500, [500, 1000, 1500]),
        (3, 3, [3]),
    ],
)
def test_ticks(low, high, wanted):
    assert ticks(low, high) == wanted


def test_smoothing_starts_at_the_first_value_and_keeps_a_constant():
    assert report._smooth([(n, 3.0) for n in range(200)])[-1] == (199, pytest.approx(3.0))
    rising = report._smooth([(n, float(n)) for n in range(200)])
    assert rising[0] == (0, 0.0)
    assert 194 < rising[-1][1] < 198  # it lags by three steps: decay 3/4


def test_it_has_the_colours_of_the_chat_page():
    chat = (Path(__file__).parents[1] / "go_serve/internal/page/assets/style.css").read_text()
    names = {
        "page": "paper",
        "box": "tint",
        "ink": "ink",
        "soft": "soft",
        "line": "line",
        "c0": "accent",
        "worse": "alarm",
    }
    themes = {":root {": STYLE.partition("@media")[0], ':root[data-theme="dark"] {': STYLE.partition("@media")[2]}
    for theme, ours in themes.items():
        theirs = chat.partition(theme)[2].partition("}")[0]
        for name, same in names.items():
            if (theme, name) == (':root[data-theme="dark"] {', "box"):
                same = "raised"  # a box stands out of the dark
            assert re.search(rf"--{name}: (#\w+)", ours)[1] == re.search(rf"--{same}: (#\w+)", theirs)[1], (theme, name)
