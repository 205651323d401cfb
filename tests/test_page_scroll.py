"""What is read on the page of `minitron-chat web` stays where it is: long chats, other languages, another tab, a phone that is turned."""

import json

import pytest
from browser import SIZES
from terminal import TINY

BOTH = pytest.mark.parametrize("size", SIZES)
TO_END = "(e) => e.scrollHeight - e.scrollTop - e.clientHeight"
# [the number of the message at the top, how far it is from the top]
READING = """(e) => { const top = (m) => m.getBoundingClientRect().top - e.getBoundingClientRect().top;
    const all = [...e.querySelectorAll('.message')];
    const at = all.findIndex((m) => top(m) + m.offsetHeight > 20);
    return [at, Math.round(top(all[at]))]; }"""
SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"


def long_chat(w, turns: int):
    """Stores a chat whose messages differ much in height, and opens it."""
    sha256 = json.loads((TINY / "config.json").read_text())["weights"]["sha256"]
    messages = []
    for n in range(turns):
        text = "word " * (1, 5, 60, 400)[n * 7 % 4]
        messages += [
            {"role": "user", "content": f"question {n} {text}", "id": f"{n:013}-a"},
            {"role": "assistant", "content": f"answer {n}\n\n{text}\n\n- and\n- a list", "at": n},
        ]
    chat = {"id": "long", "title": "long", "updated": 1, "removed": [], "messages": messages}
    w.page.evaluate("([k, v]) => localStorage.setItem(k, v)", [f"minitron:{sha256[:12]}:chat:long", json.dumps(chat)])
    w.open()
    w.side()
    w.page.click(".chat")
    w.page.evaluate(SETTLED)


@BOTH
def test_a_chat_of_hundreds_is_read_without_jumps(window, size):
    """Messages out of sight are not laid out, and yet their number and their heights make no difference."""
    w = window(size)
    long_chat(w, 300)
    scroll = w.page.locator("#scroll")
    assert scroll.evaluate(TO_END) < 2
    w.ask("hello")
    w.page.evaluate(SETTLED)
    assert scroll.evaluate(TO_END) < 2
    top = "(e, n) => e.querySelectorAll('.message')[n].getBoundingClientRect().top"
    for _ in range(30):
        at, _ = scroll.evaluate(READING)
        before = scroll.evaluate(top, at)
        scroll.evaluate("(e) => { e.scrollTop -= 250; }")
        w.page.evaluate(SETTLED)
        assert abs(scroll.evaluate(top, at) - before - 250) <= 2
    w.side()
    w.page.fill("#search", "question 150")
    w.page.click(".chat")
    w.page.evaluate(SETTLED)
    box, found = scroll.bounding_box(), w.page.locator(".mine", has_text="question 150 ").bounding_box()
    assert box["y"] < found["y"] < box["y"] + box["height"] / 2
    # most are not laid out; those on paper are
    sight = "getComputedStyle(document.querySelector('.message')).contentVisibility"
    assert w.page.evaluate(sight) == "auto"
    w.page.emulate_media(media="print")
    assert w.page.evaluate(sight) == "visible"


@BOTH
def test_the_buttons_of_an_earlier_message_can_be_pressed(window, size):
    """They reach into the space of the next message."""
    w = window(size)
    long_chat(w, 40)
    answer = w.page.locator(".theirs").nth(8)
    middle = "(e) => e.scrollIntoView({ block: 'center' })"
    answer.evaluate(middle)
    w.page.evaluate(SETTLED)
    if size == "phone":
        w.tap(".theirs >> nth=8 >> .text")  # which may scroll, if it has to try twice
        answer.evaluate(middle)
        w.page.evaluate(SETTLED)
    else:
        answer.locator(".text").hover()
    box = answer.get_by_label("Good answer").bounding_box()
    title = "([x, y]) => document.elementFromPoint(x, y).closest('button')?.title"
    for y in (2, box["height"] - 2):
        assert w.page.evaluate(title, [box["x"] + box["width"] / 2, box["y"] + y]) == "Good answer"


@BOTH
def test_who_has_scrolled_up_goes_on_reading_there(window, size):
    w = window(size)
    long_chat(w, 60)
    scroll = w.page.locator("#scroll")
    scroll.evaluate("(e) => { e.scrollTop -= 3000; }")
    w.page.wait_for_selector("#to-end")
    w.page.evaluate(SETTLED)
    before = scroll.evaluate(READING)
    for change in ("theme", "language"):
        w.page.evaluate("(id) => document.getElementById(id).click()", change)
        w.page.evaluate(SETTLED)
        assert scroll.evaluate(READING) == pytest.approx(before, abs=2)
    other = w.twin()
    other.side()
    other.page.click(".chat")
    other.ask("more")
    w.until("document.querySelectorAll('.message').length === 122")
    w.page.evaluate(SETTLED)
    assert scroll.evaluate(READING) == pytest.approx(before, abs=2)
    w.page.click("#to-end")
    assert scroll.evaluate(TO_END) < 2


@pytest.mark.parametrize("turns", [4, 60])
def test_the_end_stays_in_view_when_a_phone_is_turned(window, turns):
    w = window("phone")
    long_chat(w, turns)
    for width, height in ((844, 390), (390, 844), (700, 500), (320, 600)):
        w.page.set_viewport_size({"width": width, "height": height})
        w.page.wait_for_timeout(100)
        assert w.page.locator("#scroll").evaluate(TO_END) < 2
