"""Labels on the chat page: thumbs and a pencil below each answer, kept in the browser, written to a file. In headless Chromium."""

import json
from pathlib import Path

import pytest
from browser import SIZES

from minitron.data import labels


def saved(w) -> dict:
    w.page.click("#open-save")
    with w.page.expect_download() as loaded:
        w.page.click("#save-labels")
    assert loaded.value.suggested_filename == "labels.json"
    return json.loads(Path(loaded.value.path()).read_text(encoding="utf-8"))


@pytest.mark.parametrize("size", SIZES)
def test_labels_are_kept_and_written_to_a_file(window, tmp_path, size):
    w = window(size)
    first = w.ask("hello")
    w.page.click("#open-save")
    assert w.page.locator("#save-labels").is_hidden()  # nothing is labelled yet
    w.page.keyboard.press("Escape")
    press = lambda title, at=0: w.page.locator(f".theirs >> nth={at} >> role=button[name='{title}']").click()  # noqa: E731
    press("Good answer")
    w.until("document.querySelector('#toast:not([hidden])')")
    assert w.page.locator("[aria-pressed=true]").count() == 1
    press("Bad answer")  # in its place
    second = w.ask("again")
    press("Write what it should have said", 1)
    field = w.page.locator(".fixing textarea")
    assert field.input_value() == second.replace("\r", "\n")
    field.fill("I am <b>Bob</b>.")
    w.page.click(".fixing [type=submit]")
    w.page.reload()
    w.until("document.querySelectorAll('[aria-pressed=true]').length === 2")
    file = saved(w)
    assert (file["format"], file["version"], file["model"]["name"]) == ("minitron-labels", 1, "Pip")
    said = [(o["kind"], o["answer"], o.get("fix"), [m["role"][0] for m in o["messages"]]) for o in file["labels"]]
    assert said == [("bad", first, None, ["u"]), ("fix", second, "I am <b>Bob</b>.", ["u", "a", "u"])]
    for row in file["labels"]:  # the random model writes control characters, which must not be learnt
        row["answer"] = "No."
        row["messages"] = [m | {"content": "plain"} for m in row["messages"]]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(file), encoding="utf-8")
    model, found, dropped = labels.read(path)
    assert not dropped
    assert len(model.sha256) == 64
    assert [(o.kind, o.fix, bool(o.time)) for o in found] == [("bad", "", True), ("fix", "I am <b>Bob</b>.", True)]


def test_a_label_is_of_the_answer_as_it_was(window):
    """An answer whose text is no longer the labelled one (written anew, continued) has no label."""
    w = window()
    w.ask("hello")
    w.page.click(".theirs >> role=button[name='Good answer']")
    w.page.evaluate(
        """() => { const key = Object.keys(localStorage).find((key) => key.includes(':chat:'));
        const chat = JSON.parse(localStorage[key]);
        chat.messages[1].content += ' more';
        localStorage[key] = JSON.stringify(chat); }"""
    )
    w.page.reload()
    w.until("document.querySelectorAll('.message').length === 2")
    w.until("!document.querySelector('[aria-pressed=true]')")
    w.page.click(".theirs >> role=button[name='Bad answer']")
    w.page.click(".theirs >> role=button[name='Bad answer']")  # twice takes it back
    w.page.click("#open-save")
    assert w.page.locator("#save-labels").is_hidden()


def test_a_fix_that_is_being_written_stays(window):
    w = window()
    w.ask("hello")
    w.page.click(".theirs >> role=button[name='Write what it should have said']")
    w.page.fill(".fixing textarea", "I am Bob.")
    w.page.click("#theme")
    w.page.click("#language")
    assert w.page.input_value(".fixing textarea") == "I am Bob."
    w.page.click(".fixing [type=submit]")
    assert [label["fix"] for label in saved(w)["labels"]] == ["I am Bob."]


PENCIL = ".theirs >> role=button[name='Write what it should have said']"


def two_versions(w) -> tuple[str, str]:
    first = w.ask("hello")
    w.page.click(".theirs .again")
    w.page.wait_for_selector(".theirs .pages", state="visible")
    return first, w.answer()


def test_a_fix_stays_with_the_version_that_it_corrects(window):
    w = window()
    first, second = two_versions(w)
    w.page.click(PENCIL)
    w.page.fill(".fixing textarea", "I am Bob.")
    w.page.get_by_label("Earlier version").click()
    assert w.page.locator(".fixing").count() == 0
    w.page.click(PENCIL)
    assert w.page.input_value(".fixing textarea") == first.replace("\r", "\n")
    w.page.get_by_label("Later version").click()
    assert w.page.input_value(".fixing textarea") == "I am Bob."
    w.page.click(".fixing [type=submit]")
    assert [(label["answer"], label["fix"]) for label in saved(w)["labels"]] == [(second, "I am Bob.")]


def test_a_fix_of_an_answer_that_is_written_again(window):
    w = window()
    first = w.ask("hello")
    w.page.click(PENCIL)
    w.page.fill(".fixing textarea", "I am Bob.")
    w.page.click(".theirs .again")
    w.page.wait_for_selector(".theirs .pages", state="visible")
    w.answer()
    assert w.page.locator(".fixing").count() == 0
    w.page.get_by_label("Earlier version").click()
    w.page.click(".fixing [type=submit]")
    assert [(label["answer"], label["fix"]) for label in saved(w)["labels"]] == [(first, "I am Bob.")]


def test_a_fix_of_an_answer_that_went_on_meanwhile(window):
    """The person is told, while it is written and once when it is done; the text stays, and is kept with what they have seen."""
    w = window()
    first = w.ask("hello")
    w.page.click(PENCIL)
    w.page.fill(".fixing textarea", "I am Bob.")
    w.slow()
    w.page.click(".theirs .more")
    w.page.wait_for_selector(".theirs.writing")
    told = {"en": "The answer has changed since you began.", "ru": "Ответ с тех пор изменился."}
    for language in told.values():
        w.page.click(".fixing [type=submit]")
        w.page.wait_for_selector(f"#toast:has-text('{language}')")
        w.page.click("#language")
    w.slow(False)
    whole = w.answer()
    assert len(whole) > len(first)
    w.page.click(".fixing [type=submit]")
    assert w.page.input_value(".fixing textarea") == "I am Bob."
    w.page.click(".fixing [type=submit]")
    assert [(label["answer"], label["fix"]) for label in saved(w)["labels"]] == [(whole, "I am Bob.")]


def test_a_fix_outlives_a_look_at_another_chat(window):
    w = window()
    w.ask("hello")
    w.page.click(PENCIL)
    w.page.fill(".fixing textarea", "I am Bob.")
    w.page.click("#new-chat")
    w.ask("again")
    assert w.page.locator(".fixing").count() == 0
    w.page.click(".chat:has-text('hello')")
    assert w.page.input_value(".fixing textarea") == "I am Bob."


def test_a_label_has_the_system_message_that_the_answer_was_given_under(window):
    w = window()
    for text in ("Be kind.", "Be wild."):
        w.panel("settings")
        w.page.fill("#set-system", text)
        w.page.keyboard.press("Escape")
        if text == "Be kind.":
            w.ask("hello")
    w.page.click(".theirs >> role=button[name='Good answer']")
    (label,) = saved(w)["labels"]
    assert [m["content"] for m in label["messages"]] == ["Be kind.", "hello"]


def test_a_fix_that_changes_nothing_is_none(window):
    w = window()
    w.ask("hello")
    pencil = ".theirs >> role=button[name='Write what it should have said']"
    w.page.click(pencil)
    w.page.click(".fixing [type=submit]")
    w.page.click(pencil)
    w.page.keyboard.press("Escape")
    assert w.page.locator(".fixing").count() == 0
    assert w.page.locator("[aria-pressed=true]").count() == 0
