"""Nothing is lost on the page of `minitron-chat web`: reloads, two tabs, drafts, files, paper. In headless Chromium."""

import json
import re
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import SIZES

BOTH = pytest.mark.parametrize("size", SIZES)
STOPPED = "Stopped"


@contextmanager
def paused(page_setup):
    """Stops the program, as if it thought for long."""
    page_setup.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        page_setup.process.send_signal(signal.SIGCONT)


def test_a_reload_in_mid_answer_is_nobodys_failure(page_setup, window):
    w = window()
    w.ask("hello")
    with paused(page_setup):
        w.send("tell me a joke")
        w.until("document.querySelectorAll('.message').length === 4")
        w.page.goto("about:blank")
    w.open()
    assert w.page.locator(".trouble:visible").count() == 0
    assert w.shown()[2:] == ["tell me a joke", f" | {STOPPED}"]
    w.page.click(".theirs .again >> nth=-2")
    assert w.answer()


def test_a_page_in_the_background_keeps_what_is_there(window):
    """A phone may end such a page without notice, so the part of an answer that has come is stored."""
    w = window()
    w.slow()
    w.send("first")
    w.until("document.querySelector('.theirs .text').textContent.length > 3")
    hide = """() => { Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true});
        document.dispatchEvent(new Event('visibilitychange')); }"""
    w.page.evaluate(hide)
    part = w.stored()[0]["messages"][1]
    assert part["note"] == "stopped"
    assert len(part["content"]) > 3
    w.slow(False)
    whole = w.answer()
    assert whole.startswith(part["content"])
    assert w.stored()[0]["messages"][1]["note"] == "length"


def test_a_reload_shows_the_same_chat_and_the_draft(window):
    w = window()
    w.ask("hello")
    w.page.fill("#message", "a long draft\nof two lines")
    tall = w.page.locator("#message").bounding_box()["height"]
    w.page.reload()
    w.until("document.querySelectorAll('.message').length === 2")
    assert w.page.input_value("#message") == "a long draft\nof two lines"
    assert w.page.locator("#message").bounding_box()["height"] == tall
    assert w.page.title() == "hello · Pip"
    w.page.press("#message", "Enter")
    w.answer()
    w.page.reload()
    w.until("document.querySelectorAll('.message').length === 4")
    assert w.page.input_value("#message") == ""
    w.page.click("#new-chat")
    w.page.reload()
    w.until("document.querySelectorAll('.chat').length === 1")
    assert w.shown() == []  # a new chat was open
    assert w.twin().shown() == []  # another tab begins anew


def turns(chat: dict) -> list[str]:
    return [m["content"] for m in chat["messages"]]


def test_two_tabs_in_one_chat(page_setup, window):
    """Each tab asks while the other's answer is still to come: both turns are kept, in both tabs and in the storage."""
    a = window()
    first = a.ask("hello")
    b = a.twin()
    b.page.click(".chat")
    with paused(page_setup):
        a.send("tell me a joke")
        b.until("document.querySelectorAll('.message').length === 4")
        b.send("what is 2 + 2?")
        a.until("document.querySelectorAll('.message').length === 6")
    for tab in (a, b):
        tab.until("[...document.querySelectorAll('.theirs .text')].every((e) => e.textContent)")
        tab.until("!document.querySelector('.writing')")
        assert tab.said() == ["hello", "tell me a joke", "what is 2 + 2?"]
    assert a.answers() == b.answers()
    assert a.answers()[0] == first
    (chat,) = a.stored()
    assert turns(chat)[::2] == a.said()
    assert turns(chat)[1::2] == a.answers()
    a.page.reload()
    a.until("document.querySelectorAll('.message').length === 6")
    assert a.answers() == b.answers()


def test_a_turn_that_one_tab_took_away_stays_away(window):
    a = window()
    for text in ("one", "two", "three"):
        a.ask(text)
    b = a.twin()
    b.page.click(".chat")
    a.page.hover(".mine >> nth=1")
    a.page.locator(".mine").nth(1).get_by_label("Edit", exact=True).click()
    a.page.fill(".editing textarea", "deux")
    a.page.press(".editing textarea", "Enter")
    a.answer()
    b.until("document.querySelectorAll('.mine').length === 2")
    b.ask("drei")
    a.until("document.querySelectorAll('.mine').length === 3")
    assert a.said() == b.said() == ["one", "deux", "drei"]
    assert turns(a.stored()[0])[::2] == ["one", "deux", "drei"]


def test_a_deleted_chat_that_another_tab_goes_on_with(window):
    a = window()
    a.ask("hello")
    b = a.twin()
    b.page.click(".chat")
    a.page.hover("#chats li")
    a.page.get_by_label("Delete “hello”").click()
    a.until("!document.querySelector('.chat')")
    b.ask("what is 2 + 2?")
    a.page.click(".chat")  # it is back
    a.until("document.querySelectorAll('.message').length === 4")
    a.ask("what is 4 + 4?")
    want = ["hello", "what is 2 + 2?", "what is 4 + 4?"]
    assert a.said() == want
    assert turns(a.stored()[0])[::2] == want
    b.until("document.querySelectorAll('.message').length === 6")


def test_chats_of_an_older_version(window):
    """Their messages had neither ids nor times."""
    w = window()
    w.ask("hello")
    strip = """() => { const key = Object.keys(localStorage).find((k) => k.includes(':chat:')); const chat = JSON.parse(localStorage[key]);
        for (const m of chat.messages) { delete m.id; delete m.at; } localStorage[key] = JSON.stringify(chat); }"""
    w.page.evaluate(strip)
    w.page.reload()
    w.until("document.querySelectorAll('.message').length === 2")
    w.ask("more")
    assert turns(w.stored()[0])[::2] == ["hello", "more"]


def test_one_edit_at_a_time(window):
    w = window()
    w.ask("one")
    w.ask("two")
    w.page.press("#message", "ArrowUp")
    w.page.focus("#message")
    w.page.press("#message", "ArrowUp")
    assert w.page.locator(".editing").count() == 1
    w.page.hover(".mine >> nth=0")
    w.page.locator(".mine").nth(0).get_by_label("Edit", exact=True).click()
    assert w.page.locator(".editing textarea").input_value() == "one"
    assert w.page.locator(".editing").count() == 1


def test_an_edit_outlives_what_another_tab_does(window):
    a = window()
    a.ask("one")
    b = a.twin()
    b.page.click(".chat")
    a.page.press("#message", "ArrowUp")
    a.page.fill(".editing textarea", "one and a half")
    b.ask("two")
    a.until("document.querySelectorAll('.message').length === 4")
    assert a.page.input_value(".editing textarea") == "one and a half"
    a.page.press(".editing textarea", "Escape")
    assert a.said() == ["one", "two"]


def test_a_cut_answer_goes_on(window):
    w = window()
    w.panel("settings")
    w.page.fill("#set-max_tokens", "4")  # this model's answers are hardly text, and have more tokens when encoded again
    w.page.keyboard.press("Escape")
    w.ask("hello")
    before = w.stored()[0]["messages"][1]
    assert before["note"] == "length"
    with w.page.expect_request("**/v1/chat/completions") as sent:
        w.page.click(".theirs .more")
    body = sent.value.post_data_json
    assert body["continue_final_message"] is True
    assert body["messages"][-1] == {"role": "assistant", "content": before["content"]}
    after = w.answer()
    assert after.startswith(before["content"].rstrip())
    assert len(w.stored()[0]["messages"][1]["content"]) > len(before["content"])
    assert len(w.stored()[0]["messages"]) == 2


@BOTH
def test_open_what_was_saved(window, size, tmp_path):
    w = window(size)
    answer = w.ask("hello")
    w.page.click("#open-save")
    with w.page.expect_download() as loaded:
        w.page.click("#save-json")
    saved = json.loads(Path(loaded.value.path()).read_text("utf-8"))
    saved["messages"] = [{"role": "system", "content": "Be brief."}, *saved["messages"], *saved["messages"]]
    file = tmp_path / "my chat.json"
    file.write_text(json.dumps(saved))
    w.forget()
    w.page.set_input_files("#file", file)
    w.until("document.querySelectorAll('.message').length === 4")
    assert w.said() == ["hello", "hello"]
    assert w.answers() == [answer, answer]
    with w.page.expect_request("**/v1/chat/completions") as sent:
        w.ask("more")
    assert sent.value.post_data_json["messages"][0] == {"role": "system", "content": "Be brief."}
    assert turns(w.stored()[0])[::2] == ["hello", "hello", "more"]
    for text in (
        "no JSON",
        "[]",
        '{"messages": []}',
        '{"messages": [{"role": "user", "content": "a"}]}',
        '{"messages": 5}',
    ):
        file.write_text(text)
        w.page.set_input_files("#file", file)
        w.page.wait_for_selector("#toast:has-text('my chat.json holds no saved chat')")
        w.page.evaluate("document.getElementById('toast').hidden = true")
    w.page.evaluate("void (File.prototype.text = () => Promise.reject(new DOMException('', 'NotReadableError')))")
    w.page.set_input_files("#file", file)  # which is gone, or changed, by the time it is read
    w.page.wait_for_selector("#toast:has-text('my chat.json cannot be read.')")
    assert len(w.stored()) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_holds_the_whole_chat(window, scheme):
    w = window(color_scheme=scheme)
    for n in range(20):
        w.ask(f"question {n}")
    pages = len(re.findall(rb"/Type\s*/Page[^s]", w.page.pdf()))
    assert pages >= 2
    w.page.emulate_media(media="print")
    whole = w.page.evaluate("document.documentElement.scrollHeight")
    last = w.page.locator(".theirs:last-child .text").bounding_box()
    assert last["y"] + last["height"] <= whole  # nothing is cut off
    assert w.page.locator("#message").is_hidden()
    assert w.page.locator(".bubble").first.evaluate("e => getComputedStyle(e).color") == "rgb(0, 0, 0)"


def test_enter_on_a_phone_is_a_new_line(window):
    w = window("phone")
    assert w.page.get_attribute("#message", "enterkeyhint") == "enter"
    w.tap("#message")
    w.page.keyboard.type("one")
    w.page.keyboard.press("Enter")
    w.page.keyboard.type("two")
    assert w.said() == []
    w.tap("#send")
    w.answer()
    assert w.said() == ["one\ntwo"]


def test_keys_that_belong_to_others(window):
    """On a Mac Option+N is the dead key of ñ; Escape that ends the composing of a word does not stop the answer."""
    mac = window(user_agent="a Mac")
    mac.page.add_init_script("Object.defineProperty(navigator, 'platform', {get: () => 'MacIntel'})")
    mac.open()
    mac.ask("hello")
    press = (
        "(key) => document.body.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, cancelable: true, ...key}))"
    )
    for code in ("KeyN", "KeyM", "KeyK"):
        assert mac.page.evaluate(press, {"key": "˜", "code": code, "altKey": True})  # the page leaves the keys alone
    assert mac.page.locator(".message").count() == 2
    mac.panel("help")
    assert "Alt" not in mac.page.inner_text("#help-body")

    w = window()
    w.ask("hello")
    assert not w.page.evaluate(press, {"key": "n", "code": "KeyN", "altKey": True})
    assert w.page.locator(".message").count() == 0
    w.slow()
    w.send("first")
    w.page.wait_for_selector(".writing:not(.empty)")
    w.page.evaluate(press, {"key": "Escape", "isComposing": True})
    assert w.page.locator(".writing").count() == 1
    w.page.evaluate(press, {"key": "Escape"})
    w.answer()
    assert w.shown()[-1].endswith(STOPPED)


def test_the_browser_is_asked_to_keep_chats(window):
    w = window()
    w.page.add_init_script(
        "window.asked = 0; StorageManager.prototype.persist = async () => { window.asked++; return true; }"
    )
    w.open()
    assert w.page.evaluate("window.asked") == 0
    w.page.click(".chip")
    w.answer()
    w.ask("hello")
    assert w.page.evaluate("window.asked") == 1
    assert w.page.locator("#storage-note").is_hidden()


@pytest.mark.parametrize(
    "promise", ["async () => false", "async () => { throw new TypeError('an opaque origin'); }", "undefined"]
)
def test_a_browser_that_may_forget_says_so(window, promise):
    """A private window, a page from a file, or a browser without a promise to give."""
    w = window()
    w.page.add_init_script(f"StorageManager.prototype.persist = {promise}")
    w.open()
    assert w.page.locator("#storage-note").is_hidden()
    w.ask("hello")
    assert w.page.inner_text("#storage-note").startswith(
        "The browser may clear what is kept here, and a private window does"
    )
    w.page.click("#language")
    assert "приватное окно стирает при закрытии" in w.page.inner_text("#storage-note")


def test_chats_without_room_are_stored_once_there_is_some(window):
    w = window()
    w.ask("old")
    w.page.evaluate(
        "for (let n = 2 ** 20; n; n >>= 1) { try { while (true) localStorage.setItem('x' + Math.random(), 'y'.repeat(n)); } catch {} }"
    )
    w.page.click("#new-chat")
    w.ask("precious")
    note = w.page.locator("#storage-note")
    assert "no room for more chats" in note.inner_text()
    w.page.evaluate(
        "localStorage.removeItem(Object.keys(localStorage).find((key) => key[0] === 'x' && localStorage[key].length === 64))"
    )
    w.page.evaluate("minitron.store.clearSettings()")  # there is room for that, and not for the chat
    assert "no room for more chats" in note.inner_text()
    w.page.evaluate("for (const key of Object.keys(localStorage)) if (key[0] === 'x') localStorage.removeItem(key)")
    assert [turns(chat)[0] for chat in w.stored()] == ["old"]
    w.page.hover("#chats li >> nth=1")
    w.page.get_by_label("Delete “old”").click()
    assert "no room" not in note.inner_text()
    assert [turns(chat)[0] for chat in w.stored()] == ["precious"]


def test_a_clock_that_goes_back(window):
    """Turns stay in their order, and of two versions of an answer the one that was written last is kept."""
    w = window()
    for text in ("one", "two"):
        w.ask(text)
    w.page.add_init_script("const now = Date.now; Date.now = () => now() - 3_600_000;")
    w.page.reload()
    w.until("document.querySelectorAll('.message').length === 4")
    w.ask("three")
    with w.page.expect_request("**/v1/chat/completions") as sent:
        w.ask("four")
    assert [m["content"] for m in sent.value.post_data_json["messages"]][::2] == ["one", "two", "three", "four"]
    assert w.said() == turns(w.stored()[0])[::2] == ["one", "two", "three", "four"]
    w.page.reload()
    w.until("document.querySelectorAll('.message').length === 8")
    w.page.click(".theirs .again >> nth=-2")
    w.until("document.querySelectorAll('.message').length === 8")
    w.answer()
    assert len(w.stored()[0]["messages"][-1]["versions"]) == 2


def test_a_name_that_is_being_typed(window):
    """An answer that ends meanwhile changes nothing of the field, and who clicks elsewhere types there."""
    w = window()
    w.ask("hello")
    w.slow()
    w.send("again")
    w.page.hover("#chats li")
    w.page.get_by_label("Rename “hello”").click()
    w.page.keyboard.type("My hol")
    w.slow(False)
    w.answer()
    w.page.keyboard.type("iday plan")
    assert w.page.input_value(".rename") == "My holiday plan"
    w.page.click("#message")
    w.page.keyboard.type("hello there")
    assert w.page.input_value("#message") == "hello there"
    assert w.page.locator(".chat").all_inner_texts() == ["My holiday plan"]


def test_a_click_on_another_chat_ends_a_renaming_and_opens_that_chat(window):
    w = window()
    w.ask("one")
    w.page.click("#new-chat")
    w.ask("two")
    w.page.get_by_label("Rename “two”").click()
    w.page.fill(".rename", "second")
    box = w.page.get_by_role("button", name="one", exact=True).bounding_box()
    w.page.mouse.move(box["x"] + 20, box["y"] + 10)
    w.page.mouse.down()
    w.page.wait_for_selector(".rename", state="detached")
    w.page.mouse.up()
    assert w.said() == ["one"]
    assert w.page.locator(".chat").all_inner_texts() == ["second", "one"]
    assert w.page.get_by_label("Delete “second”").count() == 1


def test_the_focus_in_the_list_outlives_the_end_of_an_answer(window):
    w = window()
    w.ask("hello")
    w.slow()
    w.send("again")
    w.page.focus("[aria-label='Rename “hello”']")
    w.slow(False)
    w.answer()
    assert w.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Rename “hello”"


def test_a_deletion_that_is_undone_after_another_tab_went_on(window):
    a = window()
    a.ask("shared")
    b = a.twin()
    b.page.click(".chat")
    a.page.hover("#chats li")
    a.page.get_by_label("Delete “shared”").click()
    b.ask("more")
    a.until("document.querySelector('.chat')")
    a.page.click("#toast button")
    assert a.page.locator(".chat").all_inner_texts() == ["shared"]
    assert a.said() == ["shared", "more"]


def test_a_deletion_that_is_undone_brings_the_draft_back_too(window):
    w = window()
    w.ask("one")
    w.page.fill("#message", "more of one")
    w.page.hover("#chats li")
    w.page.get_by_label("Delete “one”").click()
    assert w.page.input_value("#message") == ""
    w.page.click("#toast button")
    assert (w.said(), w.page.input_value("#message")) == (["one"], "more of one")


def test_two_tabs_change_two_settings(window):
    """Each keeps what the other one set, and takes back only its own."""
    a = window()
    b = a.twin()

    def put(w, name, value):
        w.panel("settings")
        w.page.fill(f"#set-{name}", value)
        w.page.press(f"#set-{name}", "Tab")
        w.page.keyboard.press("Escape")

    put(a, "temperature", "0.3")
    put(b, "top_k", "7")
    put(b, "system", "Be brief.")
    put(b, "system", "")
    a.page.reload()
    a.until("document.querySelector('#set-top_k')")
    assert [a.page.input_value(f"#set-{name}") for name in ("temperature", "top_k", "system")] == ["0.3", "7", ""]
    with a.page.expect_request("**/v1/chat/completions") as sent:
        a.ask("hello")
    assert (sent.value.post_data_json["temperature"], sent.value.post_data_json["top_k"]) == (0.3, 7)


@pytest.mark.parametrize(
    "stored", ["5", '"text"', "[1]", '{"top_k": "7", "temperature": null, "messages": 1, "system": 5, "n": 2}']
)
def test_settings_that_nobody_could_have_set_are_left_out(window, stored):
    w = window()
    w.panel("settings")
    w.page.fill("#set-seed", "5")
    w.page.press("#set-seed", "Tab")
    w.page.evaluate(
        "(value) => { localStorage[Object.keys(localStorage).find((key) => key.endsWith(':settings'))] = value; }",
        stored,
    )
    w.page.reload()
    w.until("document.querySelector('#set-seed')")
    with w.page.expect_request("**/v1/chat/completions") as sent:
        w.ask("hello")
    body = sent.value.post_data_json
    assert not {"0", "n", "top_k", "temperature"} & set(body)
    assert body["messages"] == [{"role": "user", "content": "hello"}]


def test_what_is_being_edited_outlives_a_look_at_another_chat(window):
    w = window()
    w.ask("one")
    w.page.press("#message", "ArrowUp")
    w.page.fill(".editing textarea", "one and a half")
    w.page.click("#new-chat")
    w.ask("two")
    w.page.press("#message", "ArrowUp")
    w.page.fill(".editing textarea", "two and a half")
    for name, text in (("one", "one and a half"), ("two", "two and a half"), ("one", "one and a half")):
        w.page.click(f".chat:has-text('{name}')")
        assert w.page.input_value(".editing textarea") == text
    w.page.press(".editing textarea", "Escape")
    w.page.click(".chat:has-text('two')")
    w.page.click(".chat:has-text('one')")
    assert w.page.locator(".editing").count() == 0
    w.page.click(".chat:has-text('two')")
    w.page.press(".editing textarea", "Enter")
    w.answer()
    assert w.said() == ["two and a half"]


def test_who_types_in_a_message_goes_on_where_they_were(window):
    """Another tab brings a turn, and the conversation is shown anew."""
    a = window()
    a.ask("one")
    b = a.twin()
    b.page.click(".chat")
    a.page.press("#message", "ArrowUp")
    a.page.press(".editing textarea", "ArrowLeft")
    b.ask("two")
    a.until("document.querySelectorAll('.message').length === 4")
    a.page.keyboard.type("-")
    assert a.page.input_value(".editing textarea") == "on-e"


def test_a_draft_of_a_new_chat_is_not_lost_in_another(window):
    w = window()
    w.ask("old")
    w.page.click("#new-chat")
    w.page.fill("#message", "a thought")
    w.page.click(".chat")
    w.ask("more of the old")
    w.page.click("#new-chat")
    assert w.page.input_value("#message") == "a thought"
    w.page.click(".chat")
    w.page.hover(".mine >> nth=0")
    w.page.locator(".mine").first.get_by_label("Edit").click()
    w.page.press(".editing textarea", "Enter")
    w.answer()
    w.page.click("#new-chat")
    assert w.page.input_value("#message") == "a thought"


def test_nothing_is_sent_before_the_model_is_known(window):
    w = window()
    w.page.route("**/api/about", lambda route: None)  # it never comes
    w.page.route("**/about", lambda route: None)
    w.page.reload()
    w.page.fill("#message", "early")
    w.page.press("#message", "Enter")
    w.page.press("#message", "ArrowUp")
    assert w.page.input_value("#message") == "early"


def test_each_chat_has_its_draft(window):
    w = window()
    w.ask("one")
    w.page.fill("#message", "more of one")
    w.page.click("#new-chat")
    assert w.page.input_value("#message") == ""
    w.page.fill("#message", "a new one")
    w.page.click(".chat")
    assert w.page.input_value("#message") == "more of one"
    w.page.reload()
    w.until("document.querySelectorAll('.message').length === 2")
    assert w.page.input_value("#message") == "more of one"
    w.page.click("#new-chat")
    assert w.page.input_value("#message") == "a new one"
    w.page.click(".chip")  # the chat is no longer the new one, and the draft belongs to it
    w.answer()
    assert w.page.input_value("#message") == "a new one"
    w.page.click("#new-chat")
    assert w.page.input_value("#message") == ""


@BOTH
def test_all_chats_in_one_file(window, size, tmp_path):
    w = window(size)
    w.ask("hello")
    w.page.click(".theirs .again")
    w.page.wait_for_selector(".place:has-text('2/2')")
    w.answer()
    w.page.click("#new-chat-top" if size == "phone" else "#new-chat")
    w.ask("Привет\nвсем")
    w.page.click("#new-chat-top" if size == "phone" else "#new-chat")
    w.page.click("#open-save")
    assert w.page.locator("#save .choice:visible").count() == 1  # the open chat is empty: nothing to save
    with w.page.expect_download() as loaded:
        w.page.click("#save-all")
    assert loaded.value.suggested_filename == "Pip-Chats.jsonl"
    file = tmp_path / "all.jsonl"
    file.write_bytes(Path(loaded.value.path()).read_bytes())
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    stored = sorted(w.stored(), key=lambda chat: -chat["updated"])
    assert [line["title"] for line in lines] == ["Привет всем", "hello"]
    assert lines[1]["messages"] == [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": stored[1]["messages"][1]["content"],
            "versions": [stored[1]["messages"][1]["versions"][0]["content"], None],
        },
    ]
    w.page.set_input_files("#file", file)
    w.page.wait_for_selector("#toast:has-text('All of it is here already')")
    w.forget()
    w.page.set_input_files("#file", file)
    w.page.wait_for_selector("#toast:has-text('Opened: 2')")
    again = sorted(w.stored(), key=lambda chat: -chat["updated"])
    for before, after in zip(stored, again, strict=True):
        assert (before["title"], before["updated"]) == (after["title"], after["updated"])
        assert turns(before) == turns(after)
    w.side()
    w.page.click(".chat >> nth=1")
    w.page.get_by_label("Earlier version").click()
    assert w.answers() == [lines[1]["messages"][1]["versions"][0]]
    file.write_text(json.dumps(lines[0]) + "\n[1]\n")
    w.page.set_input_files("#file", file)
    w.page.wait_for_selector("#toast:has-text('all.jsonl holds no saved chat')")
    assert len(w.stored()) == 2


def test_a_name_outlives_a_file(window, tmp_path):
    """All 120 characters that the field takes. The file of the chat has it as its name; in Hindi, vowels are marks."""
    w = window()
    w.ask("hello")
    for name in ("हिन्दी में", "The long name of a talk about everything " * 3):
        w.page.hover("#chats li")
        w.page.locator("#chats [aria-label^=Rename]").click()
        w.page.fill(".rename", name)
        w.page.press(".rename", "Enter")
        w.page.click("#open-save")
        with w.page.expect_download() as loaded:
            w.page.click("#save-json")
        assert loaded.value.suggested_filename.startswith(name.replace(" ", "-")[:40])
    w.page.click("#open-save")
    with w.page.expect_download() as loaded:
        w.page.click("#save-all")
    file = tmp_path / "all.jsonl"
    file.write_bytes(Path(loaded.value.path()).read_bytes())
    (title,) = (chat["title"] for chat in w.stored())
    w.forget()
    w.page.set_input_files("#file", file)
    w.page.wait_for_selector(".message")
    assert [(chat["title"], chat["named"]) for chat in w.stored()] == [(title, True)]
    assert len(title) == 120


def test_a_chat_that_begins_with_nothing_has_a_title(window, tmp_path):
    w = window()
    file = tmp_path / "saved.json"
    messages = [{"role": "user", "content": " "}, {"role": "assistant", "content": "Good morning!"}]
    file.write_text(json.dumps({"messages": messages}))
    w.page.set_input_files("#file", file)
    w.page.wait_for_selector(".message")
    assert w.page.locator(".chat").inner_text() == "Good morning!"


@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_chat_under_a_system_message_is_opened_once(window, tmp_path, all_of_them):
    w = window()
    w.panel("settings")
    w.page.fill("#set-system", "Be kind.")
    w.page.keyboard.press("Escape")
    w.ask("hello")
    w.page.click("#open-save")
    with w.page.expect_download() as loaded:
        w.page.click("#save-all" if all_of_them else "#save-json")
    file = tmp_path / "saved.json"
    file.write_bytes(Path(loaded.value.path()).read_bytes())
    assert json.loads(file.read_text())["messages"][0] == {"role": "system", "content": "Be kind."}
    w.page.click("#new-chat")
    w.page.set_input_files("#file", file)
    w.page.wait_for_selector(".message")  # a single chat is shown
    w.page.set_input_files("#file", file)
    w.page.wait_for_timeout(300)
    assert len(w.stored()) == 1
