"""The page of `minitron-chat web` in headless Chromium, at desktop and phone size: chats, answers, what is kept, errors.

test_page_access tests for whom the page is usable.
"""

import json
import re
from pathlib import Path

import pytest
from browser import MARKUP, QUESTIONS, SIZES, Window, bundle, serving

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # a PNG
BOTH = pytest.mark.parametrize("size", SIZES)


def request_of(window: Window, text: str) -> dict:
    """The body that is sent with a message."""
    with window.page.expect_request("**/v1/chat/completions") as sent:
        window.ask(text)
    return sent.value.post_data_json


@BOTH
def test_welcome_ask_and_reload(window, size):
    w = window(size)
    assert w.page.inner_text("#greeting") == "Hello, I am Pip."
    assert w.page.title() == "Pip"
    chips = w.page.locator(".chip")
    assert chips.all_inner_texts() == QUESTIONS
    assert w.page.locator(".welcome .badge").evaluate("e => getComputedStyle(e, '::before').content") == '"P"'
    assert w.page.get_attribute("link[rel=icon]", "href").startswith("data:image/svg+xml,")
    chips.first.click()
    first = w.answer()
    assert first
    assert w.said() == [QUESTIONS[0]]
    second = w.ask("And?\nTwo lines  and  blanks")
    assert w.page.locator("#welcome").is_hidden()
    kept = [m["content"] for m in w.stored()[0]["messages"]]
    assert kept == [QUESTIONS[0], kept[1], "And?\nTwo lines  and  blanks", kept[3]]

    w.open()  # a reload
    w.side()
    w.page.click(".chat")
    assert w.said() == [kept[0], kept[2]]
    assert w.answers() == [first, second]
    assert w.page.title() == "Who are you? · Pip"
    overflow = w.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow == 0


@BOTH
def test_stop_and_regenerate(window, size):
    w = window(size)
    whole = w.ask("hello")
    w.slow()
    w.page.click(".theirs .again")
    w.until("document.querySelector('.theirs .text').textContent.length > 3")
    assert w.page.locator("#send").is_hidden()
    (w.page.tap if size == "phone" else w.page.click)("#stop")
    part = w.answer()
    assert w.page.inner_text(".note") == "Stopped"
    assert len(part) < len(whole)
    assert [m["content"] == "hello" for m in w.stored()[0]["messages"]] == [True, False]
    w.slow(False)
    w.page.click(".theirs .again")
    w.page.wait_for_selector(".note:has-text('longest answer')")
    assert w.answer() == whole  # the seed of --seed
    assert w.page.locator(".message").count() == 2


def test_an_answer_goes_on_while_another_chat_is_open(window):
    w = window()
    w.slow()
    w.send("first")
    w.page.wait_for_selector(".writing:not(.empty)")
    w.page.click("#new-chat")
    assert w.page.locator(".message").count() == 0
    w.slow(False)
    w.until('Object.values(localStorage).some((v) => /"note":"length"/.test(v))')
    w.page.click(".chat")
    assert w.said() == ["first"]
    assert w.page.inner_text(".note").startswith("The longest answer is reached")


def test_reload_in_the_middle_keeps_what_is_there(window):
    w = window()
    w.slow()
    w.send("first")
    w.until("document.querySelector('.theirs .text').textContent.length > 3")
    w.page.goto("about:blank")
    w.slow(False)
    w.open()
    [chat] = w.stored()
    assert chat["messages"][1]["note"] == "stopped"
    assert len(chat["messages"][1]["content"]) > 3


@BOTH
def test_edit_goes_on_from_there(window, size):
    w = window(size)
    for text in ("one", "two", "three"):
        w.ask(text)
    (w.page.tap if size == "phone" else w.page.hover)(".mine >> nth=1")
    w.page.locator(".mine").nth(1).get_by_label("Edit", exact=True).click()
    field = w.page.locator(".editing textarea")
    assert field.input_value() == "two"
    field.press("Escape")
    assert w.said() == ["one", "two", "three"]
    w.page.locator(".mine").nth(1).get_by_label("Edit", exact=True).click()
    field.fill("deux")
    with w.page.expect_request("**/v1/chat/completions") as sent:
        w.tap(".editing .solid") if size == "phone" else field.press("Enter")
    w.answer()
    assert w.said() == ["one", "deux"]
    assert [m["content"] for m in sent.value.post_data_json["messages"]][::2] == ["one", "deux"]
    assert [m["content"] for m in w.stored()[0]["messages"]][::2] == ["one", "deux"]


def test_edit_while_an_answer_is_written(window):
    w = window()
    w.slow()
    w.send("one")
    w.page.wait_for_selector(".writing:not(.empty)")
    w.page.keyboard.press("ArrowUp")
    w.page.fill(".editing textarea", "uno")
    w.page.press(".editing textarea", "Enter")
    w.page.wait_for_selector(".writing:not(.empty)")
    assert w.page.locator("#stop").is_visible()
    w.slow(False)
    w.answer()
    assert w.said() == ["uno"]
    assert [m["content"] for m in w.stored()[0]["messages"]][0] == "uno"
    assert "note" not in w.stored()[0]["messages"][1] or w.stored()[0]["messages"][1]["note"] == "length"


@BOTH
def test_copy_and_save(window, size):
    w = window(size)
    w.ask("hello")
    answer = w.stored()[0]["messages"][1]["content"]
    w.page.locator(".theirs").get_by_label("Copy", exact=True).click()
    w.until("document.getElementById('live').textContent === 'Copied'")
    assert w.page.evaluate("navigator.clipboard.readText()") == answer
    w.page.click("#open-save")
    with w.page.expect_download() as loaded:
        w.page.click("#save-text")
    assert loaded.value.suggested_filename == "hello.txt"
    assert Path(loaded.value.path()).read_text("utf-8") == f"hello\n\nYou:\nhello\n\nPip:\n{answer}\n"
    w.page.click("#open-save")
    with w.page.expect_download() as loaded:
        w.page.click("#save-json")
    assert json.loads(Path(loaded.value.path()).read_text("utf-8")) == {
        "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": answer}]
    }


@BOTH
def test_settings_change_what_is_sent(window, size):
    w = window(size)
    plain = request_of(w, "hello")
    ours = {"temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens", "seed"}
    assert not ours & set(plain)
    assert plain["model"] == "Pip"
    assert plain["truncation"] == "auto"
    assert plain["messages"] == [{"role": "user", "content": "hello"}]
    w.panel("settings")
    wanted = {
        "temperature": "0.3",
        "top_p": "0.5",
        "top_k": "7",
        "min_p": "0.05",
        "repeat_penalty": "1.2",
        "max_tokens": "5",
        "seed": "12",
    }
    for name, value in wanted.items():
        w.page.fill(f"#set-{name}", value)
    w.page.fill("#set-system", "Be brief.")
    w.page.fill("#set-temperature", "99")  # out of bounds: the nearest that is possible
    w.page.press("#set-temperature", "Tab")
    assert w.page.input_value("#set-temperature") == "2"
    w.page.click("#settings footer [data-close]")
    w.open()
    sent = request_of(w, "hello")
    assert {name: sent[name] for name in ours} == {name: float(value) for name, value in wanted.items()} | {
        "temperature": 2
    }
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    w.panel("settings")
    w.page.fill("#set-system", "")
    w.page.keyboard.press("Escape")
    assert request_of(w, "hello")["messages"][0]["role"] == "user"  # this model has no system message of its own
    w.panel("settings")
    w.page.click("#reset")
    assert w.page.input_value("#set-top_k") == "40"
    w.page.press("#set-top_k", "Escape")
    assert not ours & set(request_of(w, "hello"))


@BOTH
def test_list_of_chats(window, size):
    w = window(size)
    w.ask("first")
    w.page.click("#new-chat-top" if size == "phone" else "#new-chat")
    w.ask("second")
    w.side()
    titles = w.page.locator(".chat")
    assert titles.all_inner_texts() == ["second", "first"]
    w.page.get_by_label("Rename “second”").click()
    w.page.fill(".rename", MARKUP)
    w.page.press(".rename", "Enter")
    assert titles.first.inner_text() == MARKUP
    assert w.page.locator(".side img, .side b").count() == 0
    w.page.get_by_label(re.compile("Delete “<img")).click()
    assert titles.all_text_contents() == ["first"]
    assert len(w.stored()) == 1
    w.page.click("#toast button")
    assert titles.all_text_contents() == [MARKUP, "first"]
    assert [chat["title"] for chat in w.stored()].count(MARKUP) == 1
    w.open()
    assert titles.all_text_contents() == [MARKUP, "first"]


@BOTH
def test_probabilities(window, size):
    w = window(size)
    with w.page.expect_request("**/v1/chat/completions") as sent:
        w.ask("hello")
    assert not {"logprobs", "top_logprobs"} & set(sent.value.post_data_json)  # they cost time, and few look at them
    button = w.page.locator(".theirs").get_by_label("How sure was it?")
    with w.page.expect_request("**/v1/chat/completions") as sent:
        button.click()
    assert (sent.value.post_data_json["logprobs"], sent.value.post_data_json["top_logprobs"]) == (True, 5)
    tokens = w.page.locator(".token")
    tokens.first.wait_for()
    kept = w.stored()[0]["messages"][1]["content"]
    plain = re.compile("[\ufffd·]")  # signs for broken letters, and for tokens without visible text
    assert plain.sub("", "".join(tokens.all_text_contents())) == plain.sub("", kept)
    assert tokens.count() > 10
    assert "24 tokens" in w.page.inner_text(".legend")
    classes = tokens.evaluate_all(
        "(all) => new Set(all.flatMap((e) => [...e.classList]).filter((c) => c.startsWith('level-'))).size"
    )
    assert classes > 1
    (tokens.nth(3).tap if size == "phone" else tokens.nth(3).hover)()
    card = w.page.locator("#odds-card")
    assert card.is_visible()
    assert card.locator(".chosen").count() >= 1
    assert card.locator("li").count() >= 5
    assert re.search(r"\d ?%", card.inner_text())
    box = card.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= SIZES[size]["viewport"]["width"]
    tokens.first.focus()
    w.page.keyboard.press("ArrowRight")
    assert w.page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "odds-card"
    w.page.keyboard.press("Escape")
    assert card.is_hidden()
    button.click()
    assert tokens.count() == 0


def test_a_character_of_several_tokens(window):
    """It has its own name and their joint probability, also where the answer broke off within it."""
    show = """(bytes) => [...minitron.odds.view(bytes.map((b) => ({token: '?', bytes: [b], logprob: Math.log(0.5)}))).querySelectorAll('.token')]
        .map((e) => e.getAttribute('aria-label'))"""
    w = window()
    assert w.page.evaluate(show, list("aé ".encode())) == ["a 50%", "é 25%", "space 50%"]
    assert w.page.evaluate(show, list("€".encode()[:2])) == ["\ufffd 25%"]


@BOTH
def test_another_branch(window, size):
    """An alternative that is clicked, or whose number is typed, replaces its token, and the answer goes on from there."""
    w = window(size)
    w.ask("hello")
    w.page.locator(".theirs").get_by_label("How sure was it?").click()
    tokens, card = w.page.locator(".token"), w.page.locator("#odds-card")
    others = card.locator(".takeable").filter(has=w.page.locator(".what", has_text=re.compile(r"^\S$")))
    tokens.first.wait_for()
    before = tokens.all_text_contents()
    for at in range(len(before)):  # the first token that has a letter among its alternatives
        (tokens.nth(at).tap if size == "phone" else tokens.nth(at).click)()
        if others.count():
            break
    taken = others.first.locator(".what").text_content()
    with w.page.expect_request("**/chat/completions") as asked:
        others.first.click()
    request = asked.value.post_data_json
    begun = request["messages"][-1]["content"]
    assert (request["messages"][-1]["role"], request["continue_final_message"]) == ("assistant", True)
    # the tokens before may end inside a character
    assert re.fullmatch(re.escape("".join(before[:at])) + "\ufffd*" + re.escape(taken), begun)
    w.answer()
    assert w.page.locator(".pages .place").text_content() == "2/2"  # the original answer is version 1
    w.page.locator(".theirs").get_by_label("How sure was it?").click()
    tokens.first.wait_for()
    after = tokens.all_text_contents()
    assert after[:at] == before[:at]
    assert after[at].endswith(taken)
    assert after[at] != before[at]
    assert w.stored()[0]["messages"][-1]["content"].startswith(begun)
    tokens.nth(at).focus()
    lines = [line.get_attribute("class") for line in card.locator("li").all()]
    number = next(n for n, name in enumerate(lines) if name and "takeable" in name)
    with w.page.expect_request("**/chat/completions") as asked:
        w.page.keyboard.press(str(number + 1))
    again = asked.value.post_data_json["messages"][-1]["content"]
    assert again.startswith("".join(before[:at]))
    assert again != begun


@pytest.mark.parametrize(("stopped", "per_second"), [("max_tokens", 10), ("end", 11)])
def test_speed_counts_passes(window, stopped, per_second):
    """The prompt's pass gives the first token; the end marker takes a pass, but is not among the 11 tokens."""
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    told = {"stopped": stopped, "decode_ms": 1000, "dropped_turns": 0}
    chunks = [
        {"choices": [{"delta": {"content": "a" * 11}, "logprobs": {"content": [token] * 11}}]},
        {"choices": [{"delta": {}}], "minitron": told},
        {"choices": [], "usage": {"completion_tokens": 11}},
    ]
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    w = window()
    w.page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=stream))
    w.ask("hello")
    w.page.locator(".theirs").get_by_label("How sure was it?").click()
    w.page.wait_for_selector(".legend")
    assert f"11 tokens · 61% on average · {per_second} per second" in w.page.inner_text(".legend")


def test_full_memory_is_told_once(window):
    w = window()
    for n in range(4):
        w.ask(f"a longer message of twenty, {n}")
    assert w.page.locator(".forgot").count() == 1
    assert "Pip remembers about 64 tokens" in w.page.inner_text(".forgot")
    w.ask("x" * 100)  # does not fit at all
    assert "too long for such a small memory" in w.page.inner_text(".theirs .trouble")
    w.problems = [problem for problem in w.problems if "400 (Bad Request)" not in problem]
    w.ask("again")
    assert w.page.locator(".theirs .trouble").count() == 1


def test_the_program_was_closed(page_setup, tmp_path):
    browser, program = page_setup.browser, page_setup.program
    model = bundle(page_setup.model, tmp_path / "bundle", about={"icon": DOT})
    with serving(program, model, tmp_path, "--seed", "5") as address:
        w = Window(browser, address)
        assert w.page.get_attribute("link[rel=icon]", "href") == f"data:image/png;base64,{DOT}"
        face = w.page.locator(".welcome .badge").evaluate("e => getComputedStyle(e).backgroundImage")
        assert DOT in face
        first = w.ask("hello")
    w.send("are you there?")
    w.page.wait_for_selector(".theirs .trouble")
    assert "The program does not answer." in w.page.inner_text(".theirs .trouble")
    with serving(program, model, tmp_path, "--seed", "5") as again:
        assert again.split("/")[2] == address.split("/")[2]  # the same port: the browser's chats are there again
        w.page.click(".theirs .trouble button")
        w.page.wait_for_selector(".theirs .trouble:has-text('The program was started anew')")
        w.address = again
        w.open()
        w.page.click(".chat")
        assert w.answers()[0] == first
        w.page.click(".theirs .trouble button")
        assert w.answer()
    assert all("Failed to load resource" in problem for problem in w.problems), w.problems
    w.problems = []
    w.close()


def test_storage_that_is_full_or_forbidden(window):
    w = window()
    fill = "try { for (let n = 2 ** 20; n; n >>= 1) { try { while (true) localStorage.setItem('x' + Math.random(), 'y'.repeat(n)); } catch {} } } catch {}"
    w.page.evaluate(fill)
    assert w.ask("hello")
    assert "no room for more chats" in w.page.inner_text("#storage-note")
    w.page.evaluate("localStorage.clear()")
    w.page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    )
    w.open()
    assert w.ask("hello")
    assert "This browser keeps nothing" in w.page.inner_text("#storage-note")


def test_it_is_all_there_without_a_network(window):
    """Everything comes from the program: once it is loaded no request is made but the answers'."""
    w = window()
    w.ask("hello")
    for name in ("settings", "about", "help"):
        w.panel(name)
        w.page.keyboard.press("Escape")
    names = {url.removeprefix(w.address) for url in w.requests if not url.startswith(("data:", "blob:"))}
    assets = {path.name for path in (Path(__file__).parents[1] / "go_serve/internal/page/assets").iterdir()}
    assert names - assets <= {"", "about", "v1/chat/completions"}


def test_a_long_chat_stays_fast(window):
    """A frame of an answer costs the same after 400 messages as after 2: only what changed is drawn."""
    w = window()
    w.ask("hello")
    many = """() => { const key = Object.keys(localStorage).find((k) => k.includes(':chat:')); const chat = JSON.parse(localStorage[key]);
        const turns = []; for (let i = 0; i < 200; i++) turns.push({role: 'user', content: 'q ' + i}, {role: 'assistant', content: 'word '.repeat(60)});
        chat.messages = [...turns, ...chat.messages]; localStorage[key] = JSON.stringify(chat); }"""
    w.page.evaluate(many)
    w.open()
    w.page.click(".chat")
    assert w.page.locator(".message").count() == 402
    count = """() => { window.changed = 0; new MutationObserver((all) => { window.changed += all.length; })
        .observe(document.getElementById('messages'), {childList: true, subtree: true, characterData: true}); }"""
    w.page.evaluate(count)
    w.ask("more")
    assert w.page.evaluate("window.changed") < 24 * 4  # 24 tokens
    end = "(e) => e.scrollHeight - e.scrollTop - e.clientHeight"
    assert w.page.locator("#scroll").evaluate(end) < 2
    w.page.locator("#scroll").evaluate("(e) => { e.scrollTop = 100; }")
    w.page.wait_for_selector("#to-end")
    w.page.click("#to-end")
    w.until("document.querySelector('#to-end').hidden")


def test_a_model_that_continues_text(page_setup, tmp_path):
    begin = "  One day,\n\tshe"
    chat = {"greeting": "", "system": "never sent", "questions": ["Once"]}
    model = bundle(page_setup.model, tmp_path / "verse", name="Verse", template="text", chat=chat)
    with serving(page_setup.program, model, tmp_path, "--seed", "5") as address:
        w = Window(page_setup.browser, address)
        assert w.page.inner_text("#greeting") == "Verse continues what you begin."
        assert w.page.get_attribute("#message", "placeholder") == "Begin a text, Verse continues it…"
        assert w.page.inner_text("#new-chat") == "New text"
        assert request_of(w, begin)["messages"] == [{"role": "user", "content": begin}]
        first = w.answer()
        stored = w.stored()[0]["messages"]
        assert [m["role"] for m in stored] == ["user", "assistant"]
        assert first == begin + stored[1]["content"]  # white space and all
        assert w.page.inner_text(".note") == "The set length is reached. It can go on."
        with w.page.expect_request("**/v1/chat/completions") as sent:
            w.page.click(".theirs .more")
        assert sent.value.post_data_json["messages"] == [{"role": "user", "content": first}]
        w.until(f"document.querySelector('.theirs .text').textContent.length > {len(first)}")
        whole = w.answer()
        assert whole.startswith(first)
        w.page.click(".theirs >> [aria-label='Copy']")
        assert w.page.evaluate("navigator.clipboard.readText()") == whole
        assert [m["content"] for m in request_of(w, "another")["messages"]] == ["another"]
        w.answer()
        w.panel("settings")
        assert w.page.locator("#set-system").count() == 0
        assert float(w.page.get_attribute("#set-max_tokens", "max")) == 2000
        w.page.keyboard.press("Escape")
        w.page.click("#language")
        assert w.page.inner_text("#new-chat") == "Новый текст"
        w.close()
