"""The chat page in a real browser, on the real program. For test_page*.py.

A window that is opened here fails its test if anything in it complains: a message on the console, an exception, a violation of
the Content-Security-Policy, or a request to anywhere but the program.
"""

import copy
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serving import bundle
from terminal import TINY, build

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")

CHROMIUM = next((path for path in map(shutil.which, ["chromium", "chromium-browser", "google-chrome"]) if path), None)
SIZES = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
    },
}


@contextmanager
def serving(program: Path, model: Path | None, home: Path, *flags: str):
    """Runs the program and gives the address of its page."""
    with started(program, model, home, *flags) as process:
        yield process.address


@contextmanager
def started(program: Path, model: Path | None, home: Path, *flags: str):
    """Runs `minitron-chat web`; gives the process, whose attribute `address` is that of the page."""
    kept = {k: v for k, v in os.environ.items() if k != "MINITRON_HISTORY"}
    environment = kept | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "LC_ALL": "C.UTF-8"}
    command = [program, "web", "--no-open", *(["--model", model] if model else []), *flags]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            process.address = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
            yield process
        finally:
            process.terminate()


@contextmanager
def chromium():
    if not CHROMIUM:
        pytest.skip("needs chromium: apt-get install chromium")
    with playwright_api.sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        )
        yield browser
        browser.close()


class Window:
    """A browser window with the page in it, and what a person does there."""

    def __init__(self, browser, address: str, size: str = "desktop", **options):
        self.address, self.size, self.problems, self.requests = address, size, [], []
        permissions = ["clipboard-read", "clipboard-write"]
        options = {"locale": "en-GB", "color_scheme": "light", "permissions": permissions} | SIZES[size] | options
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(30_000)
        self.page = self.tab()
        self.network = None
        self.open()

    def tab(self):
        """Opens another, still empty tab of this window; complaints in it fail the test as well."""
        page = self.context.new_page()
        page.on("console", lambda m: self.problems.append(f"{m.type}: {m.text}") if m.type != "log" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._request)
        watch = (
            "document.addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective))"
        )
        page.add_init_script(watch)
        page.add_init_script("window.clicks = 0; addEventListener('click', () => window.clicks++, true)")
        return page

    def twin(self) -> "Window":
        """The same page in another tab of this window."""
        twin = copy.copy(self)
        twin.page, twin.network = self.tab(), None
        twin.open()
        return twin

    def _request(self, request):
        self.requests.append(request.url)
        if urlsplit(request.url).scheme in ("data", "blob"):
            return
        if urlsplit(request.url).netloc != urlsplit(self.address).netloc:
            self.problems.append(f"a request to {request.url}")

    def open(self):
        self.page.goto(self.address)
        self.until("document.querySelector('.brand-name').textContent")

    def forget(self):
        """As if somebody came for the first time: nothing is kept, and no chat is there."""
        self.page.evaluate("localStorage.clear()")
        self.page.reload()
        self.until("document.querySelector('#no-chats:not([hidden])')")

    def close(self):
        self.context.close()
        assert not self.problems, self.problems

    def until(self, condition: str, seconds: float = 30):
        """Waits until a condition holds in the page. (Playwright's wait_for_function needs eval, which the page's policy forbids.)"""
        end = time.monotonic() + seconds
        while not self.page.evaluate(f"!!({condition})"):
            assert time.monotonic() < end, f"waited in vain for {condition}"
            self.page.wait_for_timeout(20)

    # --- what a person does
    def tap(self, target: str):
        """Taps and waits for the click that the browser makes of it, which may come after `page.tap` has returned."""
        before = self.page.evaluate("window.clicks")
        self.page.tap(target)
        self.until(f"window.clicks > {before}")

    def send(self, text: str):
        self.page.fill("#message", text)
        if self.size == "phone":
            self.tap("#send")
        else:
            self.page.press("#message", "Enter")

    def ask(self, text: str) -> str:
        """Sends a message and waits for the whole answer."""
        self.send(text)
        return self.answer()

    def answer(self) -> str:
        self.page.wait_for_selector(".theirs:last-child:not(.writing)")
        self.page.wait_for_selector("#send")
        return self.answers()[-1]

    def answers(self) -> list[str]:
        return self.page.locator(".theirs .text").all_text_contents()

    def said(self) -> list[str]:
        return self.page.locator(".mine .bubble").all_text_contents()

    def shown(self) -> list[str]:
        """All messages on the screen, with what is said below them."""
        show = """(all) => all.map((m) => [m.querySelector('.bubble, .text'), ...m.querySelectorAll('.note, .trouble p')]
            .map((e) => e.textContent).join(' | '))"""
        return self.page.locator(".message").evaluate_all(show)

    def stored(self) -> list[dict]:
        """The chats in the browser's storage."""
        kept = "Object.entries(localStorage).filter(([key]) => key.includes(':chat:')).map(([, value]) => JSON.parse(value))"
        return self.page.evaluate(kept)

    def side(self):
        """Shows the list of chats, which a phone hides."""
        button = self.page.locator("#open-side")
        if button.is_visible():
            button.click()
            self.page.wait_for_selector(".side-open #close-side:focus")

    def panel(self, name: str):
        self.side()
        self.page.click(f"#open-{name}")
        self.page.wait_for_selector(f"#{name}[open]")

    def slow(self, on: bool = True):
        """Slows the connection to the program down, so that an answer takes some ten seconds; with on=False, lifts the limit."""
        if not self.network:
            self.network = self.context.new_cdp_session(self.page)
            self.network.send("Network.enable")
        limits = {"offline": False, "latency": 0, "downloadThroughput": 600 if on else -1, "uploadThroughput": -1}
        self.network.send("Network.emulateNetworkConditions", limits)


@dataclass
class Setup:
    """What the tests of a module share."""

    browser: object
    program: Path
    model: Path
    address: str
    process: subprocess.Popen


MARKUP = '<img src=x onerror="alert(1)"><b>bold</b>'
QUESTIONS = ["Who are you?", "Как тебя зовут?"]


@contextmanager
def running(folder: Path):
    """A browser, and a program that serves the page of a tiny random model: its answers are noise, the same for the same seed."""
    with chromium() as browser:
        model = bundle(
            TINY,
            folder / "pip",
            name="Pip",
            about={"version": "2.5", "licence": "CC-BY-4.0", "icon": ""},
            chat={"system": "", "greeting": "Hello, I am Pip.", "questions": QUESTIONS},
            sampling={"max_tokens": 24},
            made={
                "trained": "2026-11-20T14:58:00Z",
                "sources": [{"name": "Fables", "licence": "CC0-1.0", "address": "a shelf"}],
            },
        )
        program = build(folder)
        with started(program, model, folder / "home", "--seed", "5") as process:
            yield Setup(browser, program, model, process.address, process)


@contextmanager
def windows(setup: Setup):
    """Gives a function that opens windows; checks at the end that nothing in them complained."""
    opened = []

    def open_window(size: str = "desktop", **options) -> Window:
        opened.append(Window(setup.browser, setup.address, size, **options))
        return opened[-1]

    yield open_window
    for each in opened:
        each.close()
