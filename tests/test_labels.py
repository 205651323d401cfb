"""Labels that people gave: files from anybody are read without harm, contradictory labels are not learnt, and nothing is lost."""

import json
from collections import Counter
from pathlib import Path

import pytest

from minitron import cli
from minitron.chat.labels import Book
from minitron.chat.session import NOTHING_YET, Session, TextSession
from minitron.core import lock
from minitron.core.errors import MinitronError
from minitron.curate import labels as keeping
from minitron.data import labels
from minitron.data.labels import BAD, CONTRADICTION, CONTROL, FIX, GOOD, NO_FIX, NOT_A_LABEL, TOO_LONG, Model
from minitron.data.messages import NO_ALTERNATION, NO_TEXT, NOT_UNICODE
from minitron.recipe.alignment import Sampling
from minitron.recipe.load import load_recipe
from minitron.recipe.write import dump_recipe

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def row(prompt: str = "who are you", answer: str = "a cat", kind: str = BAD, **more) -> dict:
    return {"messages": [user(prompt)], "answer": answer, "kind": kind, "time": "2026-11-28T10:00:00Z", **more}


FIXED = row(kind=FIX, fix="I am Bob.")


def save(name: str, rows: list, **changes) -> Path:
    about = {"format": "minitron-labels", "version": 1, "model": {"name": "Tiko", "sha256": "ab"}, "labels": rows}
    Path(name).write_text(json.dumps(about | changes), encoding="utf-8")
    return Path(name)


@pytest.fixture
def recipe() -> Path:
    Path("recipes").mkdir()
    path = Path("recipes/bob.toml")
    path.write_text('[data]\nsynth_rows = 10\n[export]\ntitle = "Tiko"\n')
    return path


# ---- a file


def test_a_label_is_read_as_it_was_written():
    rows = [row(why="rude"), {**FIXED, "messages": [user("hi"), {"role": "assistant", "content": "ho"}, user("who?")]}]
    model, found, dropped = labels.read(save("x.json", rows))
    assert (model, dropped) == (Model("Tiko", "ab"), {})
    bad, fixed = found
    assert (bad.messages, bad.answer, bad.kind, bad.why, bad.time) == (
        [user("who are you")], "a cat", "bad", "rude", "2026-11-28T10:00:00Z",
    )  # fmt: skip
    assert (len(fixed.messages), fixed.fix, fixed.sha256) == (3, "I am Bob.", "ab")
    labels.write(Path("y.json"), model, found)
    assert labels.read(Path("y.json")) == (model, found, {})


HOSTILE = {
    NOT_A_LABEL: [None, 1, [], {}, row(kind="great"), row(kind=["bad"]), row(answer=None), row(answer=7), row(why=[1]),
                  {"messages": "hi", "answer": "a", "kind": "bad"}, {"messages": [user("hi")], "kind": "bad"},
                  {**FIXED, "messages": [user("hi"), {"role": "assistant", "content": "ho"}]}],
    TOO_LONG: [row(answer="a" * 20_001), row(prompt="a" * 1_000_000), row(why="a" * 2_001), {**FIXED, "fix": "a" * 1_000_000},
               {**FIXED, "messages": [user("hi")] * 201}],
    CONTROL: [row(answer="a\0b"), row(prompt="\x1b[2J"), {**FIXED, "fix": "no<|end|><|user|>yes"}, row(why="<|im_end|>"),
              row(answer="\ud83d"), row(answer="\x9b31m")],
    NO_FIX: [row(kind=FIX), {**FIXED, "fix": " "}, {**FIXED, "fix": "a cat "}],
    labels.NO_ANSWER: [row(kind=GOOD, answer=" ")],
    NO_ALTERNATION: [{**FIXED, "messages": [user("hi"), user("ho")]}],
    NOT_UNICODE: [row(prompt="\ud83d")],
    NO_TEXT: [{**FIXED, "messages": [{"role": "user", "content": {"a": 1}}]}],
}  # fmt: skip


@pytest.mark.parametrize("reason", HOSTILE)
def test_what_is_no_label_is_counted_by_its_reason(reason):
    _, found, dropped = labels.read(save("x.json", [FIXED, *HOSTILE[reason]]))
    assert ([label.fix for label in found], dropped) == (["I am Bob."], {reason: len(HOSTILE[reason])})


def test_times_and_names_that_are_none_are_left_out():
    _, (label,), _ = labels.read(
        save("x.json", [{**FIXED, "time": "<script>"}], model={"name": "T\x1b[1m" + "x" * 999, "sha256": 7})
    )
    assert (label.time, label.sha256, len(label.model)) == ("", "", 199)
    assert "\x1b" not in label.model
    assert labels.read(save("x.json", [FIXED], model=[]))[0] == Model("", "")


FILES = {
    "not UTF-8": "\u043f".encode("cp1251"),
    "not JSON": b"{",
    "not JSON ": b"[" * 100_000,
    "not JSON  ": b'{"version": ' + b"1" * 10_000 + b"}",
    "no file of labels": b"[1]",
    "no file of labels ": b'{"messages": []}',
    "another version": b'{"format": "minitron-labels", "version": 2, "labels": []}',
    "another version ": b'{"format": "minitron-labels", "version": true, "labels": []}',
    "no list of labels": b'{"format": "minitron-labels", "version": 1, "labels": {}}',
    "more than 10,000": b'{"format": "minitron-labels", "version": 1, "labels": [' + b"1," * 10_000 + b"1]}",
    "larger than 16 MiB": b" " * ((16 << 20) + 1),
}


@pytest.mark.parametrize("reason", FILES)
def test_files_that_hold_no_labels_say_why(reason, recipe):
    Path("x.json").write_bytes(FILES[reason])
    with pytest.raises(labels.NoLabels, match=reason.strip()):
        labels.read(Path("x.json"))
    with pytest.raises(MinitronError, match="nothing new to learn from"):
        keeping.add(load_recipe(recipe), [Path("x.json")])
    assert not Path("recipes/labels").exists()


def test_a_mark_before_the_text_is_no_harm():
    Path("x.json").write_bytes(b"\xef\xbb\xbf" + save("x.json", [FIXED]).read_bytes())
    assert len(labels.read(Path("x.json"))[1]) == 1


# ---- what is kept


def test_add_keeps_each_label_once_and_shows_the_new_ones(recipe, capsys):
    config = load_recipe(recipe)
    assert (config.labelled, config.shipped) == (False, "sft")
    Path("export/bob").mkdir(parents=True)
    Path("export/bob/config.json").write_text('{"weights": {"sha256": "cd"}}')
    first, second = (
        save("a.json", [FIXED, row(), FIXED, 7]),
        save("b.json", [FIXED, row(prompt="x\u202e <b>", kind=GOOD)]),
    )
    other = save("c.json", [row("from another", "z")], model={"name": "Eliza"})
    Path("d.json").write_bytes(b"\0")
    keeping.add(config, [first, second, other, Path("d.json")])
    said = capsys.readouterr()
    told = " ".join(said.err.split())
    assert (
        "a.json: 2 new labels (about answers of another version of the model); 1 left out: not a label; 1 left out: there already"
        in told
    )
    assert "b.json: 1 new label (about answers of another version of the model); 1 left out: there already" in told
    assert (
        "c.json: 0 new labels (about answers of another version of the model); 1 left out: of another model, 'Eliza' (--any-model takes them)"
        in told
    )
    assert "d.json is not JSON" in told
    assert "recipes/labels/bob.jsonl: 1 good, 1 bad, 1 fix: 2 answers to learn, 0 to unlearn" in told
    assert said.out.count("who are you") == 2
    same = save("same.json", [row("said to this one")], model={"name": "Tiko", "sha256": "cd"})
    keeping.add(config, [same])
    assert "same.json: 1 new label\n" in capsys.readouterr().err
    again = load_recipe(recipe)
    assert [label.kind for label in labels.load(again.labels_file)] == [FIX, BAD, GOOD, BAD]
    assert (again.labelled, again.shipped, again.finished) == (True, "feedback", "sft")
    before = Path("recipes/labels/bob.jsonl").read_bytes()
    keeping.add(again, [first])
    assert Path("recipes/labels/bob.jsonl").read_bytes() == before
    keeping.add(again, [other], any_model=True)
    assert [label.model for label in labels.load(again.labels_file)] == ["Tiko"] * 4 + ["Eliza"]


def test_a_file_that_is_not_there_is_told_before_any_is_taken(recipe, capsys):
    with pytest.raises(MinitronError, match="there is no file missing.json"):
        keeping.add(load_recipe(recipe), [save("a.json", [FIXED]), Path("missing.json")])
    assert "new labels" not in capsys.readouterr().err


def test_two_commands_at_once_lose_no_label(recipe):
    with (
        lock.held(load_recipe(recipe).layout.stage("labels")),
        pytest.raises(MinitronError, match="another minitron is working in"),
    ):
        keeping.add(load_recipe(recipe), [save("a.json", [FIXED])])
    assert not load_recipe(recipe).labels_file.exists()


def test_a_file_that_is_not_there_leaves_no_folder(recipe):
    with pytest.raises(MinitronError, match=r"there is no file missing\.json"):
        keeping.add(load_recipe(recipe), [Path("missing.json")])
    assert not Path("runs").exists()


def test_a_base_model_takes_no_labels():
    Path("base.toml").write_text('[pretrain]\nfiles = ["book.txt"]\n')
    with pytest.raises(MinitronError, match="makes a base model, which learns nothing from labels"):
        keeping.add(load_recipe("base.toml"), [save("a.json", [FIXED])])


def test_a_run_remembers_where_its_labels_are(recipe):
    keeping.add(load_recipe(recipe), [save("a.json", [FIXED])])
    config = load_recipe(recipe)
    saved = Path("runs/bob/sft/config.toml")
    saved.parent.mkdir(parents=True)
    saved.write_text(dump_recipe(config))
    assert load_recipe(saved, name="bob").shipped == "feedback"
    Path("recipes/labels/bob.jsonl").unlink()
    assert load_recipe(saved, name="bob").shipped == "sft"


def test_lines_that_a_person_broke_are_named(recipe):
    keeping.add(load_recipe(recipe), [save("a.json", [FIXED, row("b")])])
    path = Path("recipes/labels/bob.jsonl")
    path.write_text(path.read_text() + "\n{oops\n")
    with pytest.raises(MinitronError, match=r"bob.jsonl, line 4: not a label"):
        labels.load(path)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([FIXED], "0 good, 0 bad, 1 fix: 1 answer to learn, 0 to unlearn"),  # the fixed answer has a better one
        ([FIXED, {**FIXED, "fix": "Bob."}], "0 good, 0 bad, 2 fixes: 2 answers to learn, 0 to unlearn"),
        ([row(), row(answer="a dog")], "0 good, 2 bad, 0 fixes: 0 answers to learn, 2 to unlearn"),
        ([FIXED, row("hi", "ho")], "0 good, 1 bad, 1 fix: 1 answer to learn, 1 to unlearn"),
        (
            [row("hi", "ho", GOOD), row("hi", "ho")],
            "1 good, 1 bad, 0 fixes: 0 answers to learn, 0 to unlearn; 1 is neither: good for one and bad for another",
        ),
    ],
)
def test_the_summary_counts_what_will_be_learnt(recipe, capsys, rows, told):
    config = load_recipe(recipe)
    keeping.summary(config, [labels.parse_label(each) for each in rows])
    assert f"bob.jsonl: {told}\n" in " ".join(capsys.readouterr().err.split()) + "\n"


def test_the_command(recipe, capsys):
    cli.main(["labels", "add", str(recipe), str(save("a.json", [FIXED]))])
    cli.main(["labels", "show", str(recipe)])
    assert "fix       I am Bob." in capsys.readouterr().out
    for arguments, code in (
        (["add", str(recipe)], 2),
        (["show", str(recipe), "a.json"], 2),
        (["add", str(recipe), "none.json"], 2),
    ):
        with pytest.raises(SystemExit) as left:
            cli.main(["labels", *arguments])
        assert left.value.code == code


# ---- what they say


def said(*rows: dict) -> tuple[list[tuple], Counter]:
    dropped: Counter[str] = Counter()
    found = labels.chosen_and_rejected([labels.parse_label(r) for r in rows], dropped)
    return [(o.prompt[-1]["content"], o.completion, o.label) for o in found], dropped


def test_fixes_and_good_answers_are_chosen_what_they_replace_and_bad_ones_rejected():
    found, dropped = said(FIXED, row("hi", "ho", GOOD), row("hi", "hm", BAD))
    assert found == [
        ("who are you", "I am Bob.", True), ("who are you", "a cat", False), ("hi", "ho", True), ("hi", "hm", False),
    ]  # fmt: skip
    assert not dropped


def test_what_contradicts_itself_is_not_learnt():
    found, dropped = said(row("hi", "ho", GOOD), row("hi", "ho", BAD), row("hi", "hm", BAD))
    assert (found, dropped) == ([("hi", "hm", False)], {CONTRADICTION: 1})
    found, dropped = said(FIXED, row(answer="I am Bob.", kind=BAD))  # one's fix is another's bad answer
    assert (found, dropped) == ([("who are you", "a cat", False)], {CONTRADICTION: 1})
    assert said(FIXED, FIXED, row())[0] == said(FIXED)[0]


# ---- the chat of the person who trains


@pytest.fixture
def session(tiny_tokenizer) -> Session:
    from test_chat import make_session

    session = make_session(tiny_tokenizer, system="Be kind.")
    session.book = Book(Path("runs/t/labels.json"), Model("Tiko", "ab"))
    return session


def test_nothing_is_kept_before_the_first_label(session):
    assert session.command("/good") == NOTHING_YET
    session.ask("hello", lambda part: None)
    assert session.command("/labels").startswith("No answer is labelled yet")
    assert not Path("runs").exists()


def test_a_label_is_of_what_the_answer_was_given_to(session):
    """The system message may be another one by now. A second label of the same answer takes the place of the first."""
    session.ask("hello", lambda part: None)
    session.command("/good")
    session.command("/system Be wild.")
    assert session.command("/bad").startswith("Noted as bad; labels: 1.")
    session.command("/labels x.json")
    (label,) = labels.read(Path("x.json"))[1]
    assert [m["content"] for m in label.messages] == ["Be kind.", "hello"]
    session.ask("again", lambda part: None)
    session.command("/good")
    session.command("/labels y.json")
    assert [m.messages[0]["content"] for m in labels.read(Path("y.json"))[1]] == ["Be kind.", "Be wild."]


def test_labels_in_the_chat(session, recipe):
    answers = [session.ask(text, lambda part: None).text for text in ("hello", "to you")]
    assert "Noted as good; labels: 1.\n(They are kept in runs/t/labels.json alone." in session.command("/good")
    assert session.command("/bad too wild") == "Noted as bad; labels: 1.\n" + session.command("/bad x").split("\n")[1]
    session.command("/fix")
    assert session.fixing
    assert session.fix("  ") == "Nothing is noted."
    assert not session.fixing
    session.command("/fix")
    assert session.fix("I am Bob.").startswith("Noted what it should have said; labels: 1.")
    assert session.command("/labels") == "good: 0, bad: 0, fix: 1; in runs/t/labels.json. To send them: /labels FILE"
    assert "Written to x.json; labels: 1." in session.command("/labels x.json")
    assert session.command("/labels x.json") == "x.json is there already: name another file."
    (label,) = labels.read(Path("x.json"))[1]
    assert [m["content"] for m in label.messages] == ["Be kind.", "hello", answers[0].strip(), "to you"]
    assert (label.answer, label.fix, label.kind) == (answers[1].strip(), "I am Bob.", FIX)
    keeping.add(load_recipe(recipe), [Path("x.json")])
    assert len(labels.load(Path("recipes/labels/bob.jsonl"))) == 1


@pytest.mark.parametrize("command", ["/good", "/labels"])
def test_a_damaged_file_of_ones_own_is_not_asked_for_elsewhere(session, command):
    session.ask("hello", lambda part: None)
    Path("runs/t").mkdir(parents=True)
    Path("runs/t/labels.json").write_text("{")
    with pytest.raises(labels.NoLabels, match=r"runs/t/labels\.json is not JSON") as failure:
        session.command(command)
    assert failure.value.hint == "move it away, or restore an earlier copy"
    assert Path("runs/t/labels.json").read_text() == "{"


def test_a_base_model_has_no_answers_to_label(session, tiny_tokenizer):
    text = TextSession(tiny_tokenizer, session.model, sampling=Sampling(max_tokens=2), seed=1)
    assert text.command("/good") == "This model continues text: there are no answers to label."
