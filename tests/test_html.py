"""The one HTML file, in a real browser from file://: the engine in its worker, what it answers, how it fails.

Needs Playwright and Debian's chromium. In all tests but one a page of a few lines stands for the real one, which test_page.py tests.
"""

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import tiny_shape
from test_tokenizer_kinds import KINDS, made

from minitron.core.errors import MinitronError
from minitron.interop import bundle
from minitron.interop.about import About
from minitron.model.language_model import LanguageModel
from minitron.program import go, html
from minitron.recipe.schema import ExportConfig
from minitron.tokenizer.chat_template import encode_prompt

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium")
NODE = shutil.which("node")
FIVE = ["model.n_layers=5", "model.n_heads=4", "model.d_model=256", "model.d_ff=704", "model.context=512"]
FIVE += ["tokenizer.vocab_size=4096", "export.title=Five & <co>"]  # 5 million parameters
INDEX = """<!doctype html>
<html><head><meta charset="utf-8">
<title>x</title><link rel="stylesheet" href="style.css"></head><body>
<p id="greeting"></p><textarea id="message"></textarea>
<script src="app.js"></script><script src="http-engine.js"></script><script src="main.js"></script></body></html>"""
APP = """
globalThis.minitron ??= {};
const ask = (text, settings = {}, signal) => {
  const r = { text: "", times: [] };
  const onChunk = (c) => { r.text += c.choices[0]?.delta.content ?? ""; r.times.push(performance.now()); r.last = c; };
  const messages = [{ role: "user", content: text }];
  return minitron.engine.chat({ messages, stream: true, ...settings }, { signal, onChunk })
    .then(() => r, (e) => Object.assign(r, { error: e.message, code: e.code, name: e.name }));
};
const longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask", buffered: true });
minitron.start = (engine) => {
  minitron.engine = engine;
  document.getElementById("greeting").textContent = engine.early.greeting;
  globalThis.greeted = performance.now();
};
"""
# Records the worker's messages, unchanged.
RECORDER = """
globalThis.said = [];
globalThis.Worker = class extends Worker {
  constructor(url) { super(url); this.addEventListener("message", (e) => said.push(e.data)); }
};
"""


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if not CHROMIUM:
        pytest.skip("needs Debian's chromium")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def until(page, condition: str, seconds: float = 60) -> None:
    """Waits for a condition in the page. Playwright's own way needs eval, which the file's policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(f"!!({condition})"):
        assert time.monotonic() < end, f"waited in vain for {condition}"
        page.wait_for_timeout(5)


@pytest.fixture
def opened(browser):
    """Opens a file; gives the page, which holds the addresses of all requests in `requests`."""
    contexts = []

    def open_file(file: Path, **how):
        contexts.append(browser.new_context(**how))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        page.failed = []
        page.on("requestfailed", lambda request: page.failed.append((request.url, request.failure)))
        page.add_init_script(RECORDER)
        page.goto(file.as_uri(), wait_until="commit")
        until(page, "globalThis.minitron?.engine")
        return page

    yield open_file
    for context in contexts:
        context.close()


def export(out: Path, dtype: str, *settings: str) -> Path:
    """A bundle with fresh weights: what the model says is nonsense, and must be the same nonsense everywhere."""
    command = [sys.executable, "-m", "minitron", "export", ROOT / "recipes/demo.toml", "--untrained", *settings]
    subprocess.run([*command, "--dtype", dtype, "--out", out], check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A page of a few lines that stands for the real one."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in {"index.html": INDEX, "style.css": "p {color: green}", "app.js": APP}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {dtype: export(folder / dtype, dtype, *FIVE) for dtype in ("q8", "q4")}


@pytest.fixture(scope="module")
def files(bundles, plain, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("html")
    return {dtype: html.write(bundle, folder / f"{dtype}.html", page=plain) for dtype, bundle in bundles.items()}


@pytest.fixture(scope="module")
def program(bundles, tmp_path_factory) -> Path:
    return go.build(bundles["q8"], tmp_path_factory.mktemp("dist"))[0]


@pytest.mark.parametrize("dtype", ["q8", "q4"])
def test_it_answers_as_the_program_does(dtype, files, bundles, program, opened):
    page = opened(files[dtype])
    for text, temperature, seed in (
        ("Hello! Who are you?", 0, 1),
        ("Привет, как дела?", 1, 7),
        ("tell me more", 1.5, 2**40),
    ):
        settings = {"temperature": temperature, "seed": seed, "max_tokens": 40}
        got = page.evaluate("([text, settings]) => ask(text, settings)", [text, settings])
        command = [program, "--model", bundles[dtype], "-p", text, "--temp", str(temperature), "--seed", str(seed)]
        done = subprocess.run([*command, "--max-tokens", "40"], check=True, capture_output=True)
        assert got["text"] + "\n" == done.stdout.decode()
        assert len(got["text"]) > 20
        assert got["last"]["minitron"]["stopped"] == "max_tokens"
    assert page.requests
    assert {url.split(":")[0] for url in page.requests} <= {"file", "blob", "data"}


TYPED = [
    "Привет, «Ещё раз»... как дела — 12?",
    "e\u0301 ｆｕｌｌ 👩‍👩‍👧 \u00ad漢",
    "<|end|><|user|>＜｜end｜＞<0x41><unk>",
    "  two  spaces\n\n\ttab \u2581",
]


@pytest.mark.parametrize("kind", [*KINDS, "byte-bpe"])
def test_every_kind_of_tokenizer_reads_and_writes_as_in_the_program(kind, plain, program, opened, tmp_path):
    if kind == "byte-bpe":
        tokenizer = pytest.importorskip("test_byte_bpe").PLAIN["qwen2"]
    else:
        tokenizer = made(tmp_path, kind=kind, normalization="ru-classics")
    torch.manual_seed(1)
    model = LanguageModel(tiny_shape(context=128), tokenizer.vocab_size).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += torch.randn_like(weight) * 0.1
    (folder := tmp_path / "bundle").mkdir()
    greedy = ExportConfig(temperature=0.0, repeat_penalty=1.0)
    bundle.write(model, tokenizer, About("Kind", "q8", greedy, "kind", "sft"), folder)
    page = opened(html.write(folder, tmp_path / "kind.html", page=plain))
    dialogues = [[{"role": "user", "content": text}] for text in TYPED]
    lines = "".join(json.dumps({"messages": messages, "max_tokens": 30}) + "\n" for messages in dialogues)
    done = subprocess.run(
        [program, "--model", folder, "complete"], input=lines.encode(), check=True, capture_output=True
    )
    settings = {"temperature": 0, "max_tokens": 30, "stream_options": {"include_usage": True}}
    for messages, line in zip(dialogues, done.stdout.splitlines(), strict=True):
        got = page.evaluate("([text, settings]) => ask(text, settings)", [messages[0]["content"], settings])
        assert got["text"] == json.loads(line)["text"]
        assert got["last"]["usage"]["prompt_tokens"] == len(encode_prompt(messages, tokenizer))


def test_the_page_is_not_blocked(files, opened):
    """The page stays responsive while the model is handed over and while it talks."""
    page = opened(files["q8"])
    assert page.inner_text("#greeting").startswith("Hi!")
    until(page, "said.some((m) => m.ready)")
    assert page.evaluate("() => greeted < performance.getEntriesByName('minitron-ready')[0].startTime")
    page.evaluate("() => { globalThis.answer = ask('Hello', {max_tokens: 400, temperature: 0}); }")
    page.locator("#message").press_sequentially("typed meanwhile")
    got = page.evaluate("() => answer")
    assert len(got["times"]) > 200
    assert page.input_value("#message") == "typed meanwhile"
    # were the model at work where the page is, one task would last as long as the answer
    assert max([0, *page.evaluate("() => longTasks")]) < got["times"][-1] / 2


def test_stop_ends_the_answer(files, opened):
    page = opened(files["q8"])
    until(page, "said.some((m) => m.ready)")
    got = page.evaluate("""() => new Promise((resolve) => {
      const stop = new AbortController();
      const answer = ask("Hello", { max_tokens: 480, temperature: 1 }, stop.signal);
      const watch = setInterval(() => {
        if (said.filter((m) => m.chunk).length < 5) return;
        clearInterval(watch);
        stop.abort();
        answer.then(resolve);
      }, 1);
    })""")
    assert got["name"] == "AbortError"
    until(page, "said.some((m) => m.done)")  # the engine has stopped too, and did not write to the end
    assert 5 <= page.evaluate("() => said.filter((m) => m.chunk).length") < 480
    again = page.evaluate("() => ask('Hello', {max_tokens: 5})")
    assert again["last"]["minitron"]["stopped"] == "max_tokens"


def test_a_stop_before_the_model_is_there(files, opened):
    page = opened(files["q8"])
    got = page.evaluate("""() => {
      const stop = new AbortController();
      const answer = ask("Hello", { max_tokens: 480 }, stop.signal);
      stop.abort();
      return answer;
    }""")
    assert got["name"] == "AbortError"
    assert page.evaluate("() => ask('Hello', {max_tokens: 5})")["text"]


def test_refusals_are_openai_s(files, opened):
    page = opened(files["q8"])
    assert page.evaluate("() => ask('Hello', {model: 'another'})")["code"] == "model_not_found"
    assert page.evaluate("() => ask('Hello '.repeat(2000))")["code"] == "context_length_exceeded"
    assert page.evaluate("() => ask('Hello', {temperature: 'hot'})")["code"] == "invalid_type"


def test_about_is_what_the_engine_says(files, opened):
    page = opened(files["q8"])
    early = page.evaluate("() => minitron.engine.early")
    assert page.evaluate("() => minitron.engine.about()") == early
    assert early["name"] == page.title() == "Five & <co>"
    assert early["kernel"] == "wasm"


@pytest.mark.parametrize("language", ["en-US", "ru-RU"])
def test_the_real_page_on_a_phone(language, bundles, browser, tmp_path):
    file = html.write(bundles["q4"], tmp_path / "page.html")
    how = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "locale": language}
    context = browser.new_context(**how)
    page = context.new_page()
    troubles, requests = [], []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: requests.append(request.url.split(":")[0]))
    page.goto(file.as_uri(), wait_until="commit")
    page.locator("#message").fill("Hello!")
    page.locator("#send").tap()
    page.wait_for_selector(".theirs:last-child:not(.writing)")
    page.wait_for_selector("#send")
    said = page.locator(".theirs .text").text_content()
    assert said
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    files = {"en-US": "other HTML files opened on it may read it", "ru-RU": "другие открытые на нём файлы HTML"}[
        language
    ]
    assert files in page.inner_text("#fine")  # browsers share one storage among all files
    lasting = {
        "en-US": "The browser may clear what is kept here",
        "ru-RU": "Браузер может стереть то, что здесь хранится",
    }
    assert page.text_content("#storage-note").startswith(lasting[language])
    page.locator(".theirs [aria-pressed]").first.tap()  # the worker writes the answer once more
    page.wait_for_selector(".token")
    page.locator(".theirs [aria-pressed]").first.tap()
    page.reload(wait_until="commit")
    page.wait_for_selector(".theirs")
    assert page.locator(".theirs .text").text_content() == said
    assert not troubles
    assert set(requests) == {"file", "blob"}
    context.close()


def test_a_model_that_continues_text(bundles, program, browser, tmp_path):
    """On the real page, with capped logits: what `-p` writes, right behind what was typed."""
    bundle = shutil.copytree(bundles["q8"], tmp_path / "text")
    about = json.loads((bundle / "config.json").read_text())
    about |= {"template": "text", "model": about["model"] | {"logit_cap": 0.5}}
    about["sampling"] |= {"temperature": 0.0, "max_tokens": 30}
    del about["crc32"]
    (bundle / "config.json").write_text(json.dumps(about))
    page = browser.new_page(locale="en-US")
    page.goto(html.write(bundle, tmp_path / "page.html").as_uri(), wait_until="commit")
    page.wait_for_selector("#new-chat:has-text('New text')")
    page.fill("#message", "One  day,\n")
    page.press("#message", "Enter")
    page.wait_for_selector(".theirs:last-child:not(.writing, .empty)")
    done = subprocess.run([program, "--model", bundle, "-p", "One  day,\n"], check=True, capture_output=True, text=True)
    assert page.text_content(".theirs .text") + "\n" == "One  day,\n" + done.stdout
    page.close()


def test_browsers_before_2025(files, opened, tmp_path):
    """They have no Uint8Array.fromBase64."""
    text = files["q8"].read_text()
    packed = re.search(r'data-file="worker.js" data-last>([^<]*)', text)[1]
    worker = gzip.decompress(base64.b64decode(packed))
    assert b"Uint8Array.fromBase64" in worker
    worker = gzip.compress(worker.replace(b"Uint8Array.fromBase64", b"Uint8Array.notThere"))
    older = tmp_path / "older.html"
    older.write_text(text.replace(packed, base64.b64encode(worker).decode()))
    assert opened(older).evaluate("() => ask('Hello', {max_tokens: 5})")["text"]


def test_a_browser_that_is_too_old(browser, files):
    page = browser.new_page()
    page.add_init_script("delete globalThis.DecompressionStream")
    page.goto(files["q8"].as_uri())
    assert page.evaluate("() => ask('Hello')")["code"] == "old_browser"
    page.close()


def damage(file: Path, name: str, out: Path) -> Path:
    """A copy of the file with one character of that part changed."""
    text = file.read_text()
    begin = re.search(rf'data-file="{re.escape(name)}"[^>]*>', text).end()
    at = (begin + text.index("<", begin)) // 2
    out.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    return out


@pytest.mark.parametrize("name", ["weights.bin", "config.json", "vocab.json", "engine.wasm", "worker.js"])
@pytest.mark.parametrize("language", ["en-US", "ru-RU"])
def test_a_damaged_file_says_one_sentence(name, language, files, opened, tmp_path):
    page = opened(damage(files["q8"], name, tmp_path / "damaged.html"), locale=language)
    said = page.evaluate("() => minitron.engine.about().catch((error) => error.message)")
    want = {
        "en-US": "This file is damaged: please get it again.",
        "ru-RU": "Этот файл повреждён: пожалуйста, получите его ещё раз.",
    }
    assert said == want[language]
    assert page.evaluate("() => ask('Hello')")["error"] == said


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_says_so(share, files, opened, tmp_path):
    """As after a download that broke off."""
    text = files["q8"].read_text()
    cut = tmp_path / "cut.html"
    cut.write_text(text[: int(share * len(text))])
    page = opened(cut)
    said = page.evaluate("() => minitron.engine.about().catch((error) => error.message)")
    assert said == "This file is damaged: please get it again."


def test_a_damaged_script_says_so_too(files, browser, tmp_path):
    """The policy does not let it run."""
    text = files["q8"].read_text()
    assert text.count("const running = new Map()") == 1
    damaged = tmp_path / "damaged.html"
    damaged.write_text(text.replace("const running = new Map()", "const running = new Nap()"))
    page = browser.new_page(locale="en-US")
    page.goto(damaged.as_uri())
    assert page.inner_text("body").startswith("This file is damaged: please get it again. Этот файл")
    page.close()


def test_the_policy_lets_nothing_out(files, opened):
    page = opened(files["q8"])
    refused = page.evaluate("""async () => {
      const said = [];
      document.addEventListener("securitypolicyviolation", (e) => said.push(e.effectiveDirective));
      await fetch("http://127.0.0.1:9/").catch(() => {});
      const image = new Image();
      await new Promise((resolve) => { image.onerror = resolve; image.src = "http://127.0.0.1:9/"; });
      const script = document.createElement("script");
      script.textContent = "said.push('ran')";
      document.body.append(script);
      await new Promise((resolve) => setTimeout(resolve));
      return said;
    }""")
    assert refused == ["connect-src", "img-src", "script-src-elem"]
    assert all(reason == "csp" for url, reason in page.failed if url.startswith("http"))
    assert {url for url, _ in page.failed} >= {url for url in page.requests if url.startswith("http")}


def test_the_file_is_sound(files):
    text = files["q8"].read_text()
    assert text.startswith("<!doctype html>")
    assert "<title>Five &amp; &lt;co&gt;</title>" in text
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=\"?(?!data:)", text)
    assert "Copyright 2009 The Go Authors" in text
    ids = re.findall(r'<\w+[^>]* id="([\w-]+)"', text)
    assert len(ids) == len(set(ids))


def test_an_icon_that_is_none(bundles, browser, tmp_path, monkeypatch):
    """An icon that would end its attribute and redirect the page, which no policy forbids, is refused; even unrefused it does no harm."""
    bundle = shutil.copytree(bundles["q4"], tmp_path / "bundle")
    config = json.loads((bundle / "config.json").read_text())
    harmless = go.describe(bundle)
    evil = '"><meta http-equiv="refresh" content="0; url=data:text/html,gone"><i x="'
    config["about"]["icon"] = evil
    del config["crc32"]
    (bundle / "config.json").write_text(json.dumps(config))
    with pytest.raises(MinitronError, match='"about.icon" is no PNG in base64'):
        html.write(bundle, tmp_path / "refused.html")
    monkeypatch.setattr(go, "describe", lambda _: harmless | {"about": harmless["about"] | {"icon": evil}})
    page = browser.new_page()
    page.goto(html.write(bundle, tmp_path / "page.html").as_uri(), wait_until="commit")
    page.wait_for_selector("#greeting:not(:empty)")
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    assert page.locator("link[rel=icon]").count() == 1
    page.close()


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(MinitronError, match="there is no .*config.json"):
        html.write(tmp_path)
    half = export(
        tmp_path / "half", "f16", "model.d_model=64", "model.n_layers=1", "model.n_heads=1", "tokenizer.vocab_size=500"
    )
    with pytest.raises(MinitronError, match="is f16, too large and slow for a browser") as caught:
        html.write(half)
    assert "--dtype q8" in caught.value.hint
    (half / "config.json").write_text("{}")
    with pytest.raises(MinitronError, match="config.json is no bundle's"):
        html.write(half)


@pytest.mark.slow  # builds the tests for WebAssembly
@pytest.mark.skipif(not NODE, reason="needs node")
@pytest.mark.parametrize(("package", "tests"), [("kernel", "."), ("model", "Golden|Reference")])
def test_wasm_computes_the_same_bits(package, tests):
    """Products against the scalar tier, vectors of NumPy, and bits that were recorded on amd64."""
    environment = os.environ | {"GOOS": "js", "GOARCH": "wasm", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    runner = go.go_root() / "lib" / "wasm" / "wasm_exec_node.js"
    command = [
        go.find_go(),
        "test",
        "-exec",
        f"{NODE} --stack-size=8192 {runner}",
        "-run",
        tests,
        f"./internal/{package}",
    ]
    done = subprocess.run(command, cwd=ROOT / "go_serve", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
