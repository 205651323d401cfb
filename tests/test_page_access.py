"""For whom the page is usable: by keyboard alone, with a phone's keyboard, in both languages, in both colour schemes; and by axe-core."""

import json
import re
from pathlib import Path

import pytest
from browser import SIZES
from terminal import TINY

BOTH = pytest.mark.parametrize("size", SIZES)


def test_the_keyboard_of_a_phone_leaves_room(window):
    w = window("phone")
    for n in range(3):
        w.ask(f"line {n}")
    w.page.set_viewport_size({"width": 390, "height": 430})
    w.until("document.querySelector('.composer').getBoundingClientRect().bottom <= 430")
    w.until("document.querySelector('.theirs:last-child .text').getBoundingClientRect().bottom < 430")
    assert w.page.locator(".top").bounding_box()["y"] == 0


@pytest.mark.parametrize("screen", [(667, 375), (320, 480), (1000, 360)], ids=["on its side", "small", "enlarged"])
def test_a_low_screen_shows_the_chats_and_what_is_below_them(window, screen):
    w = window("desktop", viewport=dict(zip(("width", "height"), screen, strict=True)), locale="ru-RU")
    w.ask("hello")
    w.side()
    w.page.locator(".chat").scroll_into_view_if_needed()
    box, screen_height = w.page.locator(".chats").bounding_box(), screen[1]
    assert box["height"] >= 100
    assert 0 <= box["y"] < screen_height - 40
    w.page.locator("#language").scroll_into_view_if_needed()
    w.page.wait_for_timeout(300)  # the drawer comes in
    box = w.page.locator("#language").bounding_box()
    assert box["y"] + box["height"] <= screen_height
    w.page.mouse.click(box["x"] + 5, box["y"] + 5)
    assert w.page.get_attribute("html", "lang") == "en"


def test_the_keyboard_alone(window):
    w = window()
    w.page.wait_for_selector("#message:focus")
    w.page.keyboard.type("one")
    w.page.keyboard.press("Shift+Enter")
    w.page.keyboard.type("more")
    w.page.keyboard.press("Enter")
    w.answer()
    assert w.said() == ["one\nmore"]
    w.slow()
    w.page.keyboard.type("two")
    w.page.keyboard.press("Enter")
    w.page.wait_for_selector(".writing:not(.empty)")
    w.page.keyboard.press("Escape")
    w.answer()
    assert w.page.locator(".note").last.inner_text() == "Stopped"
    w.slow(False)
    w.page.keyboard.press("ArrowUp")
    w.page.wait_for_selector(".editing textarea:focus")
    w.page.keyboard.press("End")
    w.page.keyboard.type("!")
    w.page.keyboard.press("Enter")
    w.answer()
    assert w.said() == ["one\nmore", "two!"]
    w.page.keyboard.press("Alt+k")
    w.page.wait_for_selector("#help[open]")
    assert "Shift" in w.page.inner_text("#help")
    w.page.keyboard.press("Escape")
    w.page.wait_for_selector("#message:focus")
    w.page.keyboard.press("Alt+n")
    assert w.page.locator(".message").count() == 0
    w.page.keyboard.press("Shift+Tab")  # back through the page: everything there can be reached
    reached = set()
    for _ in range(40):
        reached.add(w.page.evaluate("document.activeElement.id || document.activeElement.className"))
        w.page.keyboard.press("Shift+Tab")
    assert {"chip", "language", "theme", "open-help", "open-about", "open-settings", "chat", "new-chat", "skip"} <= {
        word for each in reached for word in each.split()
    }


def test_composing_a_word_does_not_send(window):
    w = window()
    w.page.fill("#message", "にほ")
    compose = "(e) => e.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    assert w.page.locator("#message").evaluate(compose)  # the page leaves the key alone
    assert w.page.input_value("#message") == "にほ"
    assert w.said() == []


@BOTH
def test_russian_and_colours(window, size):
    w = window(size, locale="ru-RU", color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = w.page.evaluate(background)
    assert w.page.get_attribute("html", "lang") == "ru"
    w.side()
    assert w.page.inner_text("#new-chat") == "Новая беседа"
    w.page.click("#theme")  # auto -> light
    assert w.page.inner_text("#theme") == "Цвета: светлые"
    light = w.page.evaluate(background)
    assert light != dark
    w.page.click("#language")
    assert w.page.inner_text("#new-chat") == "New chat"
    w.open()
    assert w.page.get_attribute("html", "lang") == "en"
    assert w.page.evaluate(background) == light


def test_the_number_of_tokens_in_russian(window):
    w = window(locale="ru-RU")
    w.panel("about")
    assert "64 токена разговора" in w.page.inner_text("#about")


def test_every_text_is_in_both_languages(window):
    keys = window().page.evaluate("minitron.words.keys()")
    plural = re.compile("_(one|few|many|other)$")
    english, russian = ({key for key in keys[lang] if not plural.search(key)} for lang in ("en", "ru"))
    assert english == russian


def test_every_text_is_said_somewhere():
    """Each key of words.js stands in quotes in another file; what is told of a setting is `<setting>Hint`."""
    assets = Path(__file__).parents[1] / "go_serve/internal/page/assets"
    sources = "".join(
        p.read_text("utf-8") for p in assets.iterdir() if p.suffix in (".js", ".html") and p.name != "words.js"
    )
    keys = re.findall(r'[ {](\w+): "', (assets / "words.js").read_text("utf-8"))
    named = {re.sub("(_(text|one|few|many|other)|Hint)$", "", key) for key in keys}
    assert len(named) > 100
    assert not {key for key in named if f'"{key}"' not in sources}


def test_about(window):
    w = window("phone")
    w.panel("about")
    text = w.page.inner_text("#about")
    for part in (
        "Pip",
        "2.5",
        "Nothing you write leaves this device.",
        "17,016",
        "64 tokens",
        "Fables",
        "CC0-1.0",
        "a shelf",
    ):
        assert part in text
    assert "CC-BY-4.0" in text
    assert "20 November 2026" in text
    assert json.loads((TINY / "config.json").read_text())["weights"]["sha256"] in text


@BOTH
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_that_axe_finds_serious(window, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    w = window(size, color_scheme=scheme, reduced_motion="reduce")

    def look(where: str):
        found = axe.run(w.page, options={"resultTypes": ["violations"]}).response["violations"]
        found = [each for each in found if each["impact"] in ("serious", "critical")]
        told = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
        assert not told, (where, told)

    look("welcome")
    w.ask("hello")
    w.page.click(".theirs .again")
    w.page.wait_for_selector(".pages", state="visible")
    look("versions")
    markdown = "# T\\n| a | b |\\n|-|-|\\n| 1 | [x](y) |\\n\\n> q\\n\\n- a\\n  1. b\\n\\n```\\nx\\n```"
    w.page.evaluate(f"minitron.markdown.writer(document.querySelector('.theirs .text'))('{markdown}')")
    look("markdown")
    w.page.locator(".theirs").get_by_label("How sure was it?").click()
    w.page.wait_for_selector(".token")
    look("chat")
    w.page.locator(".token").nth(2).focus()
    look("probabilities")
    w.page.keyboard.press("Escape")
    w.page.click("#open-save")
    look("save")
    w.page.keyboard.press("Escape")
    w.side()
    look("list")
    w.page.fill("#search", "no such chat")
    look("search")
    if size == "phone":
        w.page.click("#close-side")
    for name in ("settings", "about", "help"):
        w.panel(name)
        look(name)
        w.page.keyboard.press("Escape")
