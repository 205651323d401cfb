"""Versions of an answer, how sure each was, and search, on the page of `minitron-chat web`. In headless Chromium."""

import re

import pytest
from browser import SIZES

BOTH = pytest.mark.parametrize("size", SIZES)


def limit(w, tokens: int):
    """Limits answers to `tokens` tokens: this model's answers are hardly text, and have more tokens when encoded again."""
    w.panel("settings")
    w.page.fill("#set-max_tokens", str(tokens))
    w.page.press("#set-max_tokens", "Tab")
    w.page.keyboard.press("Escape")


def written(w) -> str:
    """Waits for another version of the last answer; returns its text."""
    w.page.wait_for_selector(".theirs:last-child .pages", state="visible")
    return w.answer()


@BOTH
def test_versions_of_an_answer(window, size):
    w = window(size)
    w.panel("settings")
    w.page.fill("#set-seed", "1")
    w.page.press("#set-seed", "Escape")
    first = w.ask("hello")
    assert w.page.locator(".pages").is_hidden()
    w.panel("settings")
    w.page.fill("#set-seed", "2")
    w.page.press("#set-seed", "Escape")
    w.page.click(".theirs .again")
    second = written(w)
    assert first != second
    place = w.page.locator(".place")
    assert place.inner_text() == "2/2"
    later, earlier = w.page.get_by_label("Later version").first, w.page.get_by_label("Earlier version").first
    later.click(force=True)  # there is none
    assert w.answers() == [second]
    earlier.click()
    assert (w.answers(), place.inner_text()) == ([first], "1/2")
    assert w.page.text_content("#live").startswith("1/2 ")

    w.page.reload()  # both are kept, and which one was shown
    w.until("document.querySelectorAll('.message').length === 2")
    assert (w.answers(), place.inner_text()) == ([first], "1/2")
    answer = w.stored()[0]["messages"][1]
    assert [each and each["note"] for each in answer["versions"]] == [None, "length"]
    with w.page.expect_request("**/v1/chat/completions") as sent:
        w.ask("more")
    assert [m["content"] for m in sent.value.post_data_json["messages"]] == ["hello", answer["content"], "more"]
    if size == "phone":
        w.tap(".theirs .text >> nth=0")  # a tap shows the buttons of an answer that is not the last
    later.click()
    assert w.answers()[0] == second
    assert w.page.get_by_label("Answer again").filter(visible=True).count() == 1  # of the last answer only


def test_a_version_that_goes_on(window):
    """The version that was cut goes on, and the other one stays as it is."""
    w = window()
    limit(w, 4)
    first = w.ask("hello")
    w.page.click(".theirs .again")
    second = written(w)
    w.page.click(".theirs .more")
    w.until(f"document.querySelector('.theirs .text').textContent.length > {len(second)}")
    longer = w.answer()
    assert longer.startswith(second)
    w.page.get_by_label("Earlier version").click()
    assert w.answers() == [first]
    w.page.get_by_label("Later version").click()
    assert w.answers() == [longer]


def test_what_is_no_version_is_left_out(window):
    w = window()
    answer = w.ask("hello")
    spoil = """(versions) => { const key = Object.keys(localStorage).find((k) => k.includes(':chat:')); const chat = JSON.parse(localStorage[key]);
        chat.messages[1].versions = versions; localStorage[key] = JSON.stringify(chat); }"""
    for versions in ("all", [], [None, None], [{"content": "a"}], [None, 5], [None, {"content": 5}], {"0": None}):
        w.page.evaluate(spoil, versions)
        w.page.reload()
        w.until("document.querySelectorAll('.message').length === 2")
        assert w.answers() == [answer]
        assert w.page.locator(".pages").is_hidden()


def test_an_empty_answer_is_no_version(window):
    w = window()
    w.page.route("**/v1/chat/completions", lambda route: route.abort())
    w.send("hello")
    w.page.wait_for_selector(".theirs .trouble")
    w.page.unroute("**/v1/chat/completions")
    w.page.click(".trouble button")
    assert w.answer()
    assert w.page.locator(".pages").is_hidden()
    w.problems = [problem for problem in w.problems if "Failed to load resource" not in problem]


def test_another_tab_sees_the_versions(window):
    a = window()
    first = a.ask("hello")
    b = a.twin()
    b.page.click(".chat")
    a.page.click(".theirs .again")
    written(a)
    b.page.wait_for_selector(".place:has-text('2/2')")
    b.page.get_by_label("Earlier version").click()
    a.page.wait_for_selector(".place:has-text('1/2')")
    assert a.answers() == b.answers() == [first]
    assert a.stored()[0]["messages"][1]["versions"][0] is None


def letters(text: str) -> str:
    """The text without the signs for broken letters and for invisible tokens, which depend on where tokens are cut."""
    return re.sub("[\ufffd·]", "", text)


def tokens(w) -> str:
    """The text of the tokens whose probabilities are shown."""
    w.page.wait_for_selector(".theirs:last-child .token")
    return letters("".join(w.page.locator(".theirs:last-child .token").all_text_contents()))


def said(w) -> str:
    return letters(w.stored()[0]["messages"][-1]["content"])


def test_how_sure_each_version_was(window):
    """To show this, each version is generated once more by its own request, also one that was continued or stopped."""
    w = window()
    limit(w, 4)
    short = w.ask("hello")
    w.page.click(".theirs .more")
    w.until(f"document.querySelector('.theirs .text').textContent.length > {len(short)}")
    w.answer()
    long = said(w)
    sure = w.page.get_by_label("How sure was it?")
    sure.click()
    assert tokens(w) == long
    limit(w, 24)
    w.slow()
    w.page.click(".theirs .again")
    w.until("document.querySelector('.theirs .text').textContent.length > 3")
    w.page.click("#stop")
    w.answer()
    w.slow(False)
    assert w.page.locator(".token").count() == 0
    part = said(w)
    assert part
    sure.click()
    assert tokens(w) == part
    w.page.get_by_label("Earlier version").click()
    assert tokens(w) == long  # this version's probabilities were open
    w.page.reload()
    w.until("document.querySelectorAll('.message').length === 2")
    assert sure.is_hidden()  # an answer's request is not stored


def test_an_answer_that_goes_on_while_it_is_looked_into(window):
    w = window()
    limit(w, 4)
    w.ask("hello")
    w.slow()
    w.page.get_by_label("How sure was it?").click()
    w.page.click(".theirs .more")
    w.slow(False)
    w.answer()
    w.page.wait_for_timeout(300)
    assert w.page.locator(".token").count() == 0
    w.page.get_by_label("How sure was it?").click()
    assert tokens(w) == said(w)
    assert w.page.inner_text(".legend .facts").startswith("8 tokens")  # twice four


def test_an_answer_that_comes_differently_is_not_looked_into(window):
    w = window()
    w.ask("hello")
    body = 'data: {"choices": [{"delta": {"content": "other"}}]}\n\ndata: [DONE]\n\n'
    w.page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    w.page.get_by_label("How sure was it?").click()
    w.page.wait_for_selector("#toast:has-text('are no longer available')")
    assert w.page.locator(".token").count() == 0


@BOTH
def test_search(window, size):
    w = window(size)
    w.ask("a Hedgehog in fog")
    w.page.click("#new-chat-top" if size == "phone" else "#new-chat")
    w.ask("Где растёт ЁЛКА?")
    for n in range(6):
        w.ask(f"line {n}" + " hidden word" * (n == 2))
    w.side()
    rows = w.page.locator(".chat")
    assert rows.count() == 2
    for typed, want in {
        "елка": ["Где растёт ЁЛКА?"],
        "HEDGE fog": ["a Hedgehog in fog"],
        "fog елка": [],
        "где hidden": ["Где растёт ЁЛКА?line 2 hidden word"],
        "": ["Где растёт ЁЛКА?", "a Hedgehog in fog"],
    }.items():
        w.page.fill("#search", typed)
        assert rows.all_text_contents() == want
        assert w.page.locator("#no-chats").is_visible() == (not want)
    assert w.page.locator("#search").get_attribute("placeholder") == "Search"
    w.page.fill("#search", "nowhere")
    assert w.page.inner_text("#no-chats") == "Nothing was found."
    w.page.fill("#search", "hidden")
    rows.first.click()
    w.until("document.querySelector('.revealed')?.textContent.includes('line 2 hidden word')")
    box = w.page.locator(".mine:has-text('line 2')").bounding_box()
    assert 0 < box["y"] < SIZES[size]["viewport"]["height"]
    w.side()
    w.page.get_by_label("Delete “Где растёт").click()
    assert rows.count() == 0
    w.side() if size == "phone" else None
    w.page.press("#search", "Escape")
    assert rows.all_text_contents() == ["a Hedgehog in fog"]
