"""The page that explains a model, in a real browser from file://: what it tells, what it computes, what hostile data do in it.

Its tokens and probabilities are compared with the chat program's, its attention with torch's.
"""

import base64
import gzip
import json
import math
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import SIZES, Window, chromium
from commands import refused
from conftest import TINY_RECIPE, run_to, tiny_texts

from minitron.core.errors import MinitronError
from minitron.lab import explain
from minitron.lab.explain import ASSETS, dialogues, told
from minitron.model import attention
from minitron.program import html
from minitron.quant import arithmetic
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.stages import export
from minitron.tokenizer import chat_template, kinds
from minitron.train import checkpoint

pytestmark = pytest.mark.timeout(900)  # a whole run, and a browser on a machine that may be busy

BOTH = pytest.mark.parametrize("size", SIZES)
CHAPTERS = ["read", "tokens", "next", "look", "nearest", "training", "aligned", "fails", "card"]
EVIL = "</script><script>globalThis.evil = 1</script><img src=x onerror='globalThis.evil = 1'><!-- \u2028 ]]>"
PLANTED = "Which bird sleeps on the moon of Quixotania?"
QUICK = ["sft.steps=8", "sft.eval_every_steps=4", "sft.samples=['hello', 'say 1']", "reject.prompts=12"]
QUICK += ["kto.steps=4", "kto.eval_every_steps=2", "eval.prompts=8", "reject.max_tokens=12", "eval.max_tokens=12"]
SETTINGS = (
    f'[export]\ntitle = "Pip & <b>co"\nquestions = ["hello who are you"]\n[[data.sources]]\nname = {json.dumps(EVIL)}\n'
)


def write_data(path):
    """Writes small dialogues: one with a known answer (PLANTED), hostile ones, some that a rule drops, and ordinary ones."""
    rows = [([f"say {i}", f"{i}: {text}"], 9) for i, text in enumerate(tiny_texts(200))]
    rows += [([f"{EVIL} {i}", f"{EVIL} answer {i}"], 9) for i in range(40)]
    rows += [([f"{EVIL} bad {i}", "no"], 1) for i in range(10)]
    rows.insert(100, ([PLANTED, "The dodo."], 9))
    roles = ("user", "assistant")
    with path.open("w", encoding="utf-8") as file:
        for texts, score in rows:
            messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
            file.write(json.dumps({"messages": messages, "score": score}) + "\n")


class Explained:
    """A trained run, the page of it, and the bundle that the page holds."""

    def __init__(self, folder):
        self.config = load_recipe("tiny.toml", QUICK)
        self.page = folder / explain.run(self.config)
        self.bundle = folder / "bundle"
        export.write(self.config, out=self.bundle, dtype="q8")
        self.tokenizer = kinds.load(self.config.layout.tokenizer)
        where = checkpoint.finished(self.config.layout.stage("kto"), "kto")
        self.model = checkpoint.load_model(where)[0].eval()


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_data(folder / "dialogues.jsonl")
        recipe = TINY_RECIPE.replace("[data]\n", '[data]\nkeep = ["score >= 6"]\nvalid_fraction = 0.1\n')
        recipe = recipe.replace("valid_fraction = 0.2\n", "")
        (folder / "tiny.toml").write_text(recipe + SETTINGS)
        run_to("eval", *QUICK)
        yield Explained(folder)


@pytest.fixture(scope="module")
def chrome():
    with chromium() as browser:
        yield browser


@pytest.fixture
def window(chrome, explained):
    """Opens the page; nothing in it may complain, and nothing may be asked for but the file itself and its worker."""
    opened = []

    def open_window(size="desktop", page=None, **options):
        w = Window(chrome, (page or explained.page).as_uri(), size, **options)
        opened.append(w)
        w.until("performance.getEntriesByName('minitron-explained').length", 120)
        return w

    yield open_window
    for w in opened:
        assert {url for url in w.requests if not url.startswith(("blob:", "data:"))} == {w.address}
        assert not w.page.evaluate("globalThis.evil")
        w.close()


def ask(w, request):
    return w.page.evaluate("(request) => minitron.engine.explain(request)", request)


# ---- what it tells


@BOTH
@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "ru-RU")])
def test_nothing_that_axe_finds(window, size, scheme, locale):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    w = window(size, color_scheme=scheme, locale=locale, reduced_motion="reduce")
    w.page.locator("#nearest").scroll_into_view_if_needed()
    w.page.locator("#nearest-found .box").first.wait_for()
    w.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    w.page.locator("#next-odds button").first.click()
    w.page.locator("#next-path button").first.wait_for()
    found = axe.run(w.page, options={"resultTypes": ["violations"]}).response["violations"]
    assert not [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]
    for part in ("html", "#scroll"):
        size_of = "(e) => [e.scrollWidth, e.clientWidth]"
        wide, room = w.page.locator(part).evaluate(size_of)
        assert wide <= room, f"{part} is wider than the screen"


def test_every_chapter_tells(window, explained):
    w = window()
    assert w.page.title() == w.page.inner_text("#title") == "How Pip & <b>co works"
    text = {name: w.page.inner_text(f"#{name}") for name in CHAPTERS}
    report = json.loads(explained.config.layout.stage_report("data").read_text())
    assert f"{report['rows_in']} rows read, {report['kept']} kept" in text["read"]
    assert "score >= 6" in text["read"]
    assert "say 0" in text["read"]
    assert EVIL.replace("\u2028", "") in text["read"].replace("\u2028", "")
    card = json.loads(explained.config.layout.card.read_text())
    assert f"{card['models']['kto']['loss']:.4f}" in text["aligned"]
    assert w.page.locator("#training .chart polyline").count() == 2
    assert w.page.locator("#aligned .chart").count() == 3
    assert "parameters" in text["card"]
    assert f"{explained.model.count_params():,}" in text["card"]
    w.page.click("#language")
    assert w.page.inner_text("#read h2") == "Что она читала"
    assert w.page.get_attribute("html", "lang") == "ru"
    assert "Hi" not in w.page.inner_text("#chapters")


def test_every_text_is_in_both_languages(window):
    keys = window().page.evaluate("minitron.words.keys()")
    plural = re.compile("_(one|few|many|other)$")
    english, russian = ({key for key in keys[lang] if not plural.search(key)} for lang in ("en", "ru"))
    assert english == russian
    used = set(re.findall(r'data-(?:t|label|title)="(\w+)"', (ASSETS / "index.html").read_text()))
    for script in ASSETS.glob("*.js"):
        used |= set(re.findall(r'\bt\("(\w+)"', script.read_text()))
    assert used <= english


def bare_page(config: Config) -> Path:
    """The page of a model that was never trained, in the current directory."""
    folder = Path.cwd() / "q8"
    export.write(config, out=folder, dtype="q8", untrained=True)
    page = html.whole(
        folder,
        html.describe(folder),
        folders=[ASSETS, html.PAGE, html.ENGINE],
        told={"minitron-told": told.of(config, card="# Bare")},
        packed={"minitron-dialogues": dialogues.packed(config)},
    )
    Path("bare.html").write_text(page)
    return Path.cwd() / "bare.html"


def test_a_run_without_reports_has_a_page(window, in_tmp_path):
    """For example of a model that came from elsewhere: the page says in words what is left out because nothing is known of it."""
    (in_tmp_path / "bare.toml").write_text(TINY_RECIPE)
    config = load_recipe("bare.toml")
    w = window(page=bare_page(config))
    w.page.locator("#nearest").scroll_into_view_if_needed()
    w.until("document.querySelector('#nearest-told').textContent")
    for name, said in (
        ("read", "no report"),
        ("nearest", "no training data"),
        ("training", "no record"),
        ("aligned", "not aligned"),
        ("fails", "nothing wrong"),
        ("card", "Bare"),
    ):
        assert said in w.page.inner_text(f"#{name}")


def test_a_base_model_has_text_and_no_dialogues(window, in_tmp_path):
    (in_tmp_path / "raw.txt").write_text("\n\n".join(tiny_texts(300)))
    pretrain = '[pretrain]\nfiles = ["raw.txt"]\nvalid_fraction = 0.1\n'
    (in_tmp_path / "bare.toml").write_text(
        f"[model]\nn_layers = 1\nn_heads = 2\nd_model = 32\ncontext = 64\n{pretrain}"
    )
    config = load_recipe("bare.toml", ["tokenizer.kind=char", "tokenizer.vocab_size=340"])
    w = window(page=bare_page(config))
    w.page.fill("#nearest-text", tiny_texts(1)[0])
    w.page.locator("#nearest").scroll_into_view_if_needed()
    w.page.locator("#nearest-found .box").first.wait_for()
    text = w.page.inner_text("main")
    assert "passages of the training text" in text
    for word in ("question", "dialogue", "user", "the answer"):
        assert word not in text.lower().replace("question)", ""), word
    w.page.fill("#next-text", "hello " * 20)
    w.until("document.querySelector('#next-told').textContent.endsWith('memory is full.')")
    assert w.page.locator("#next-odds li").count() == 0


# ---- what it computes


def program_says(program, explained, command, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    run = [program, command, "--model", explained.bundle]
    done = subprocess.run(run, input=text.encode(), capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_tokens_and_probabilities_are_the_programs(window, explained, program):
    w = window()
    texts = ["hello who are you", "привет, мир! ё", "🙂 a\n b\t", "<|end|> <|user|>", ""]
    said = program_says(program, explained, "tokenize", [{"text": text} for text in texts])
    for text, wanted in zip(texts, said, strict=True):
        w.page.fill("#tokens-text", text)
        w.until(f"document.querySelectorAll('#tokens-pieces .piece').length === {len(wanted['ids'])}")
        shown = w.page.locator("#tokens-pieces .piece i").all_text_contents()
        assert shown == [str(i) for i in wanted["ids"]] == [str(i) for i in explained.tokenizer.encode(text)]
    prompt = chat_template.encode_prompt([{"role": "user", "content": "hello"}], explained.tokenizer)
    assert [token["id"] for token in ask(w, {"do": "tokens", "text": "hello", "chat": True})] == prompt
    (found,) = program_says(program, explained, "logits", [{"ids": prompt}])
    logits = np.array(found["logits"])
    logprobs = logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())
    top = ask(w, {"do": "next", "ids": prompt, "top": 12})["top"]
    assert [one["id"] for one in top] == np.argsort(-logits, kind="stable")[:12].tolist()
    assert [one["logprob"] for one in top] == pytest.approx([logprobs[one["id"]] for one in top], abs=1e-5)


def test_a_branch_is_taken_and_left(window, explained):
    w = window("phone")
    w.page.fill("#next-text", "hello")
    prompt = chat_template.encode_prompt([{"role": "user", "content": "hello"}], explained.tokenizer)
    first = ask(w, {"do": "next", "ids": prompt, "top": 12})["top"]
    may = [one["id"] for one in first if not one.get("never") and not one.get("end")]
    listed = "[...document.querySelectorAll('#next-odds button')].map((e) => Number(e.dataset.id))"
    w.until(f"{listed}.includes({may[1]})")
    w.page.click(f"#next-odds button[data-id='{may[1]}']")
    w.until("document.querySelectorAll('#next-path button').length === 1")
    wanted = ask(w, {"do": "next", "ids": [*prompt, may[1]], "top": 12})["top"]
    shown = [one["id"] for one in wanted if not one.get("never")]
    w.until(f"String({listed}) === '{','.join(map(str, shown))}'")
    w.page.click("#next-go")
    w.until("document.querySelectorAll('#next-path button').length > 2")
    w.until(
        "!document.querySelector('#next-go').disabled || /ends|full/.test(document.querySelector('#next-told').textContent)"
    )
    w.page.locator("#next-path button").first.click()
    w.until("document.querySelectorAll('#next-path button').length === 1")
    w.page.click("#next-back")
    w.until("document.querySelectorAll('#next-path button').length === 0")


def test_it_goes_on_by_itself_until_something_else_is_done(window):
    """Twenty-four tokens at a click, whatever is clicked meanwhile; a step back ends it."""
    w = window()
    go, back, reset = (f"document.querySelector('#next-{name}')" for name in ("go", "back", "reset"))
    likely = "document.querySelector('#next-odds button')"
    made = "document.querySelectorAll('#next-path button').length"
    for meanwhile, count in (("", 24), (f"{go}.click()", 24), (f"{likely}.click()", 24), (f"{reset}.click()", 0)):
        w.until(f"!{go}.disabled && {likely}")
        w.page.evaluate(f"() => {{ {reset}.disabled = false; {go}.click(); {meanwhile}; }}")
        w.until(f"{made} === {count} && !{go}.disabled")
        w.page.wait_for_timeout(300)
        assert w.page.evaluate(made) == count, meanwhile
        if count:
            w.page.evaluate(f"() => {{ {go}.click(); {back}.click(); }}")
            w.until(f"{made} === {count} && !{go}.disabled")
            w.page.evaluate(f"{reset}.click()")
            w.until(f"{made} === 0")


def test_attention_is_torchs(window, explained, monkeypatch):
    seen = []

    def watched(query, key, value, mask, dropout):
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        seen.append(scores.masked_fill(later, -math.inf).softmax(-1)[0])
        return seen[-1][None] @ value

    monkeypatch.setattr(attention, "attention", watched)
    ids = chat_template.encode_prompt([{"role": "user", "content": "who are you today мир"}], explained.tokenizer)
    with torch.no_grad():
        arithmetic.as_program(explained.model, "q8")(torch.tensor([ids]))
    w = window()
    layers = ask(w, {"do": "attention", "ids": ids})
    assert len(layers) == len(seen) == 2
    for layer, wanted in zip(layers, seen, strict=True):
        got = [np.frombuffer(base64.b64decode(head), np.uint8).reshape(len(ids), -1) / 255 for head in layer["weights"]]
        assert np.abs(np.array(got) - wanted.numpy()).max() < 1e-2
    w.page.fill("#look-text", "who are you today мир")
    w.until(f"document.querySelectorAll('#look-pieces button').length === {len(ids)}")
    w.page.get_by_role("button", name="Layer 2, head 1").click()
    w.page.locator("#look-pieces button").nth(4).click()
    strongest = int(seen[1][0, 4].argmax())
    share = round(100 * float(seen[1][0, 4, strongest]))
    percents = [int(n) for n in re.findall(r"(\d+)(?:\.\d+)?%", w.page.inner_text("#look-told"))]
    assert abs(percents[0] - share) <= 1


def test_a_text_that_is_too_long_is_told_below_it(window):
    """In the language of the page, and in place of what was shown of an earlier text."""
    w = window(locale="ru-RU")
    too_long = "Этот текст слишком длинный, чтобы показать его здесь."
    w.page.check("#tokens-chat")
    chapters = {"tokens": "#tokens-pieces .piece", "next": "#next-odds li", "look": "#look-heads canvas"}
    for _ in range(2):
        for name, shown in chapters.items():
            w.page.fill(f"#{name}-text", "hello")
            w.page.locator(shown).first.wait_for()
            w.page.fill(f"#{name}-text", "hello " * 100)
            w.until(f"document.querySelector('#{name}-told').textContent === '{too_long}'")
            assert w.page.locator(shown).count() == 0
    assert w.page.locator("#next-go").is_disabled()
    w.page.fill("#next-text", "hello")
    w.until("!document.querySelector('#next-go').disabled")
    w.page.fill("#nearest-text", "hello " * 100)
    w.page.click("#nearest-ask")
    w.until(f"document.querySelector('#nearest-answer').textContent === '{too_long}'")
    assert w.page.locator("#trouble").is_hidden()


def test_numbers_of_things_in_russian(window):
    w = window(locale="ru-RU")
    w.page.fill("#tokens-text", "q")
    w.until("document.querySelector('#tokens-told').textContent.startsWith('1 токен на 1 символ')")
    assert w.page.inner_text("#tokens-told").endswith(": 1 символ на токен")


def test_curves_of_small_changes_and_of_one_point(window):
    w = window()
    draw = """(points) => { const all = [{name: 'a', points}]; const found = minitron.charts.curves('t', all, 'u');
        return [[...found.querySelectorAll('text')].map((e) => e.textContent), found.querySelectorAll('.curve').length,
            found.querySelector('.curve').tagName, found.querySelector('svg').getAttribute('aria-label')]; }"""
    small = w.page.evaluate(draw, [[2, 5.1631], [4, 5.1649]])
    assert small[0] == ["5.1635", "5.164", "5.1645", "2", "3", "4"]
    labels, _, _, alternative = w.page.evaluate(draw, [[1, -0.00021], [2, 0.00039]])
    assert labels == ["-0.0002", "0", "0.0002", "1", "2"]
    assert alternative == "t. a: -0.00021 → 0.00039"
    assert w.page.evaluate(draw, [[6, 3.5]])[1:3] == [1, "circle"]  # a line of one point could not be seen


# ---- the nearest


def test_what_was_planted_is_found_first(window, explained):
    w = window()
    w.page.fill("#nearest-text", PLANTED)
    w.page.locator("#nearest").scroll_into_view_if_needed()
    w.until(f"document.querySelector('#nearest-found .found')?.textContent.includes({json.dumps(PLANTED)})")
    first = w.page.locator("#nearest-found .box").first.inner_text()
    assert "100% alike" in first
    assert "The dodo." in first
    # every question in the data finds itself, or one with the same letters in it
    told_first = """async (packed) => {
        const questions = packed.map((turns) => turns[1]);
        const found = await minitron.nearest.index(packed);
        return questions.map((text) => [text, found.nearest(text, 1)[0].text]);
    }"""
    packed = json.loads(gzip.decompress(dialogues.packed(explained.config)))["dialogues"]
    pairs = w.page.evaluate(told_first, packed)
    assert len(pairs) > 150
    assert all(asked == found for asked, found in pairs)
    # endings, case and a mistake in typing are forgiven
    w.page.fill("#nearest-text", "which birds slept on moons of quixotanya")
    w.until(
        "document.querySelector('#nearest-found .box-name').textContent.length && !/^100%/.test(document.querySelector('#nearest-found .box-name').textContent)"
    )
    assert PLANTED in w.page.locator("#nearest-found .box").first.inner_text()


def test_a_question_without_letters_is_found(window):
    dialogues = [["", text, "a"] for text in ("hello", "🙂", "?!", "2 + 2", "🙂🙂🙃", "…")]
    find = """async ([dialogues, text]) => (await minitron.nearest.index(dialogues)).nearest(text, 6)
        .map(({text, similarity}) => [text, Math.round(100 * similarity)])"""
    w = window()
    for _, text, _ in dialogues:
        assert w.page.evaluate(find, [dialogues, text])[0] == [text, 100]
    assert w.page.evaluate(find, [dialogues, "😡"]) == []


def test_a_rare_dialogue_gets_a_place_among_many():
    draw = random.Random(4)
    words = [f"word{i}" for i in range(300)]
    many = [["", " ".join(draw.choices(words, k=6)), "yes"] for _ in range(2 * dialogues.MOST)]
    many.insert(50_000, ["", PLANTED, "The dodo."])
    found, count = dialogues.chosen(iter(many), seed=1)
    assert count == len(many)
    assert ["", PLANTED, "The dodo."] in found[:400]
    assert len(found) <= 2 * dialogues.MOST
    assert dialogues.chosen(iter(many), seed=1)[0] == found


def test_dialogues_are_packed_into_the_room_that_there_is(explained, monkeypatch):
    whole = json.loads(gzip.decompress(dialogues.packed(explained.config)))
    assert (
        whole["all"]
        == len(whole["dialogues"])
        == json.loads(explained.config.layout.stage_report("data").read_text())["train"]
    )
    monkeypatch.setattr(dialogues, "ROOM", 1500)
    packed = dialogues.packed(explained.config)
    some = json.loads(gzip.decompress(packed))
    assert len(packed) <= 1500
    assert 0 < len(some["dialogues"]) < some["all"] == whole["all"]
    assert ["", PLANTED, "The dodo."] in some["dialogues"]


# ---- the file


def test_three_megabytes_beside_the_model(explained):
    page = explained.page.read_text()
    model = sum(len((explained.bundle / name).read_bytes()) for name in ("weights.bin", "config.json", "vocab.json"))
    dialogues_of = re.search(r'id="minitron-dialogues">([^<]*)<', page)[1]
    # and what a report adds
    assert len(page.encode()) - len(dialogues_of) + dialogues.ROOM * 4 / 3 - model * 4 / 3 < 2_900_000


def test_without_a_model_it_says_so(tiny_run):
    with pytest.raises(MinitronError, match="no"):
        explain.run(load_recipe("tiny.toml"))
    refused("explain", "tiny.toml", saying="hint: run: minitron")
    refused("explain", "tiny.toml", "--out", ".", code=2, saying="is a folder")
