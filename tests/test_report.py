"""The report page: well-formed, self-contained, escaped, and with the right numbers at the right places."""

import json
from html.parser import HTMLParser

import pytest

from minitron.evaluate import report
from minitron.evaluate.report import Series

EVIL = '<script>alert("x")</script><img src=http://evil.example/x onerror=alert(1)>&amp;\x00\x1b[31m\udc80'
VOID = {"meta"}


class Page(HTMLParser):
    """Checks that tags are balanced; collects them, the texts within them, and all that is text of the page."""

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


def make_model(*, step=10, loss=1.5, accuracy=0.5, loop=0.2, answer="Paris.", failures=()):
    rates = {"loop": loop, "runaway": 0.1, "canned": 0.0, "ended": 1 - loop, "answers": 20}
    sample = {"prompt": "Capital of France?", "answer": answer, "reference": "It is Paris.", "failures": list(failures)}
    wrong = {
        "skill": "capitals",
        "question": "Of Peru?",
        "answer": answer,
        "check": '{"any": ["Lima"], "none": ["Cusco"]}',
    }
    return {
        "step": step,
        "loss": loss,
        "bits_per_byte": loss / 2,
        "probes": {
            "accuracy": accuracy,
            "asked": 8,
            "skills": {"capitals": {"accuracy": accuracy, "asked": 8}},
            "wrong": [wrong],
        },
        "failures": {"all": rates, "chat": rates | {"samples": [sample]}},
    }


def make_card(*models, **changes):
    named = dict(zip(("sft", "kto"), models, strict=False))
    shipped = list(named)[-1]
    return {
        "name": "demo",
        "params": 2031616,
        "tokenizer": {"vocab_size": 2048},
        "models": named,
        "shipped": shipped,
    } | changes


@pytest.fixture
def run_dir(tmp_path):
    """A run's folder with everything that the report reads."""
    for stage in ("pretrain", "sft"):
        rows = [{"step": n, "loss": 5.0 - n / 10} for n in range(1, 11)]
        rows[4] |= {"valid_loss": 4.5}
        rows[9] |= {"valid_loss": 4.0}
        write_lines(tmp_path / stage / "metrics.jsonl", rows)
    rows = [{"step": n, "raw_z": -0.01 * n, "chosen_log_ratio": 0.1, "rejected_log_ratio": -0.2} for n in range(1, 11)]
    rows[9] |= {"valid_loss": 1.51}
    write_lines(tmp_path / "kto" / "metrics.jsonl", rows)
    (tmp_path / "kto" / "config.toml").write_text(
        "[kto]\nratio = 'mean'\nguards = {raw_z = [-0.05, -0.2], loss = [0.005, 0.02]}\n"
    )
    why = "raw z fell to -0.300, below -0.2"
    ended = {"outcome": "improved", "why": why, "shipped_step": 20, "shipped_blend": 0.5, "held_out_loss_before": 1.5}
    (tmp_path / "kto" / "report.json").write_text(json.dumps(ended))
    (tmp_path / "data").mkdir()
    counts = {"rows_in": 1000, "kept": 750, "train": 700, "valid": 30, "probes": 20}
    data = counts | {"dropped": {"safety >= 8": 200, "exact duplicate": 50}, "kept_without_score": {"pii_leak": 3}}
    (tmp_path / "data" / "report.json").write_text(json.dumps(data))
    return tmp_path


def write_lines(path, rows):
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_whole_page_is_balanced_and_loads_nothing(run_dir):
    text = report.html(run_dir, make_card(make_model(), make_model(loop=0.0)))
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
        "Wrong probes",
    ]
    assert text.isprintable() or set(c for c in text if not c.isprintable()) == {"\n"}


def test_what_a_model_said_stays_text(run_dir):
    model = make_model(answer=EVIL)
    model["failures"]["chat"]["samples"][0] |= {"prompt": EVIL, "reference": EVIL}
    model["probes"]["skills"] = {EVIL: {"accuracy": 1.0, "asked": 1}}
    text = report.html(run_dir, make_card(model, name=EVIL))
    page = Page(text)
    text.encode()  # no lone surrogate is left
    assert {tag for tag, _ in page.tags} & {"script", "img", "b"} == set()
    shown = EVIL.replace("\x00\x1b", "\ufffd\ufffd").replace("\udc80", "\ufffd")
    assert page.said("h1") == [shown]
    assert page.said("p").count(shown) == 3
    assert shown in page.said("td")
    assert "\x00" not in text
    assert "\x1b" not in text


def test_attributes_are_escaped_too():
    assert (
        report.el("i", "a", None, ["b", report.Html("<br>")], class_='"><x') == '<i class="&quot;&gt;&lt;x">ab<br></i>'
    )


def test_headline(run_dir):
    page = Page(report.html(run_dir, make_card(make_model(), make_model(step=20, loss=1.25, accuracy=0.75))))
    facts = dict(zip(page.said("dt"), page.said("dd"), strict=True))
    assert facts == {
        "parameters": "2,031,616",
        "model that ships": "kto, step 20",
        "probe accuracy": "75.0% of 8",
        "held-out loss, nats per token": "1.2500",
        "bits per byte": "0.6250",
        "tokens in the vocabulary": "2,048",
    }


def test_differences_are_marked_in_words(run_dir):
    page = Page(report.html(run_dir, make_card(make_model(), make_model(loss=1.6, accuracy=0.75, loop=0.05))))
    cells = page.said("td")
    assert cells[:12] == [
        *("1.5000", "1.6000", "+0.1000, worse"),
        *("0.7500", "0.8000", "+0.0500, worse"),
        *("50.0%", "75.0%", "+25.0 points, better"),
        *("20.0%", "5.0%", "-15.0 points, better"),
    ]
    assert cells[12:15] == ["10.0%", "10.0%", "same"]
    assert cells[18:21] == ["80.0%", "95.0%", "+15.0 points, better"]  # more answers end by themselves
    assert [a["class"] for a in page.named("td") if "class" in a][:3] == ["worse", "worse", "better"]
    assert "answers with preset chat (20)" in page.said("th")
    assert (
        "kto: improved (raw z fell to -0.300, below -0.2). A blend of 50% of step 20 and the rest of the SFT model ships."
        in page.said("p")
    )


def test_samples_stand_side_by_side(run_dir):
    after = make_model(answer="no no no", failures=["loop"])
    page = Page(report.html(run_dir, make_card(make_model(), after)))
    assert page.said("h3") == ["prompt", "reference", "before kto", "after kto"]
    start = page.said("p").index("Capital of France?")
    assert page.said("p")[start:] == ["Capital of France?", "It is Paris.", "Paris.", "no no no"]
    assert page.said("b") == [" loop"]
    assert page.said("td")[-4:] == ["capitals", "Of Peru?", "no no no", "has one of Lima; lacks Cusco"]


def test_what_it_said_while_it_learned(run_dir):
    lines = [{"step": n, "samples": [{"prompt": "Hi?", "text": f"{EVIL} {n}"}]} for n in range(1, 8)]
    (run_dir / "pretrain").mkdir(exist_ok=True)
    (run_dir / "pretrain" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = Page(report.html(run_dir, make_card(make_model())))
    assert [text for text in page.said("h3") if text.startswith("step ")] == ["step 1", "step 3", "step 5", "step 7"]
    assert any(text.startswith("pretrain: Hi?") for text in page.said("h3"))
    assert not page.named("script")


def test_a_plot_has_its_values_units_and_text():
    points = [(0, 2.0), (50, 3.0), (100, 4.0)]
    page = Page(report.plot("Loss", [Series("train", points, dots=True)], unit="nats", guards={"guard: 1": 1.0}))
    left, right, top, bottom = 52, 380, 28, 196
    assert page.named("polyline") == [{"points": f"{left}.0,140.0 216.0,84.0 {right}.0,{top}.0", "class": "curve c0"}]
    assert [(c["cx"], c["cy"]) for c in page.named("circle")] == [
        ("52.0", "140.0"),
        ("216.0", "84.0"),
        ("380.0", "28.0"),
    ]
    guard = next(line for line in page.named("line") if line["class"] == "guard g0")
    assert (guard["y1"], guard["x1"], guard["x2"]) == (f"{bottom}.0", str(left), str(right))
    assert page.said("text") == ["nats", "step", "1", "2", "3", "4", "0", "20", "40", "60", "80", "100"]
    assert page.said("title") == ["Loss"]
    assert page.said("desc") == ["In nats. train: 2 at step 0, 4 at step 100, lowest 2, highest 4. guard: 1."]
    assert page.said("li") == ["train", "guard: 1"]


def test_bars_have_the_lengths_of_their_values():
    rows = [("add", [0.5, 1.0], ["50%", "100%"]), ("spell", [0.0, 0.25], ["0%", "25%"])]
    page = Page(report.bars("Accuracy", rows, names=["before", "after"], unit="share", full=1.0))
    assert [bar["width"] for bar in page.named("rect")] == ["140.0", "280.0", "1", "70.0"]
    assert page.said("text") == ["share", "add", "50%", "100%", "spell", "0%", "25%"]
    assert page.said("desc") == ["share. add: before 50%, after 100%; spell: before 0%, after 25%."]


def test_every_svg_has_a_title_and_a_description(run_dir):
    page = Page(report.html(run_dir, make_card(make_model(), make_model())))
    assert len(page.named("svg")) == len(page.named("desc")) == 7
    assert len(page.named("title")) == 1 + 7 + 4  # the page, the plots, the labels of bars
    assert all(image["role"] == "img" for image in page.named("svg"))


def test_kto_curves_show_the_guards(run_dir):
    page = Page(report.html(run_dir, make_card(make_model(), make_model())))
    assert "guard: back below -0.2" in page.said("li")
    assert "guard: back above 1.5300" in page.said("li")
    assert "before kto: 1.5000" in page.said("li")
    assert any(
        text.startswith("In nats per token. raw z: -0.01 at step 1, -0.1 at step 10") for text in page.said("desc")
    )


def test_the_data_section_counts_every_row(run_dir):
    page = Page(report.html(run_dir, make_card(make_model())))
    assert "1,000 rows read, 750 dialogues kept (700 train, 30 valid, 20 probes)." in page.said("p")
    assert "3 rows have no score 'pii_leak' and were kept all the same." in page.said("p")
    told = "kept: rows 750 (75.0%); dropped: safety >= 8: rows 200 (20.0%); dropped: exact duplicate: rows 50 (5.0%)."
    assert any(told in text for text in page.said("desc"))


def test_missing_parts_are_left_out(tmp_path):
    bare = make_model() | {"loss": None, "bits_per_byte": None, "probes": {}, "failures": {}}
    page = Page(report.html(tmp_path, make_card(bare)))
    assert page.said("h2") == ["Figures"]
    assert page.said("dt") == ["parameters", "model that ships", "tokens in the vocabulary"]
    page = Page(report.html(tmp_path, make_card(make_model())))
    assert page.said("h2") == ["Figures", "Probes by skill", "Answers", "Wrong probes"]
    assert page.said("h3") == ["prompt", "reference", "sft"]
    assert "difference" not in page.said("th")


def test_a_run_of_one_step_and_values_that_are_no_numbers(tmp_path):
    write_lines(tmp_path / "sft" / "metrics.jsonl", [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}])
    page = Page(report.html(tmp_path, make_card(make_model())))
    assert [(c["cx"], c["cy"]) for c in page.named("circle")] == [("52.0", "196.0")]


def test_long_curves_are_thinned_but_keep_their_last_point():
    page = Page(report.plot("Loss", [Series("train", [(n, n % 7) for n in range(10_000)])], unit="nats"))
    points = page.named("polyline")[0]["points"].split()
    assert len(points) <= report.CURVE_POINTS + 1
    assert points[-1].startswith("380.0,")


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
    assert report.ticks(low, high) == wanted


def test_smoothing_starts_at_the_first_value_and_keeps_a_constant():
    assert report._smooth([(n, 3.0) for n in range(200)])[-1] == (199, pytest.approx(3.0))
    rising = report._smooth([(n, float(n)) for n in range(200)])
    assert rising[0] == (0, 0.0)
    assert 194 < rising[-1][1] < 198  # it lags by three steps: decay 3/4
