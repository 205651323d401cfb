"""The terminal chat: its session alone, then the program in a real terminal (pexpect) and in a pipe."""

import os
import random
import re
import shutil
import subprocess
import sys
import time

import pexpect
import pytest
import torch

from minitron.chat import session as conversation
from minitron.core.console import visible
from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import Sampling
from minitron.recipe.load import load_recipe
from minitron.recipe.target import load_target
from minitron.recipe.training import ModelConfig
from minitron.recipe.write import dump_recipe
from minitron.tokenizer import chat_template
from minitron.train import checkpoint

COMMAND = [sys.executable, "-m", "minitron", "chat"]
# The prompt is drawn once the terminal is in raw mode; without colour, its space is drawn as a move of the cursor.
PROMPT = r">( |\x08\x1b\[2C)"
RECIPE = """
[model]
n_layers = 1
n_heads = 1
d_model = 16
context = 16384

[export]
title = "Tiny"
greeting = "Good day."
temperature = 0.0
max_tokens = 8
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_tokenizer):
    """A folder with tiny.toml and an untrained model in runs/tiny/sft that never ends an answer by itself."""
    folder = tmp_path_factory.mktemp("chat")
    (folder / "tiny.toml").write_text(RECIPE)
    run = folder / "runs" / "tiny"
    (run / "tokenizer").mkdir(parents=True)
    shutil.copy(tiny_tokenizer.path, run / "tokenizer" / "tokenizer.model")
    config = load_recipe(folder / "tiny.toml")
    model = make_model(config.model, tiny_tokenizer)
    checkpoint.save(run / "sft", model, step=7, info={"stage": "sft"})
    checkpoint.point(run / "sft", "best", "step-000007")
    (run / "sft" / "config.toml").write_text(dump_recipe(config))
    return folder


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    return tiny_tokenizer


def make_model(shape, tokenizer):
    torch.manual_seed(1)
    model = LanguageModel(shape, tokenizer.vocab_size).eval()
    with torch.no_grad():
        model.embedding[tokenizer.end] = 0  # its logit is 0, and some other one is always above that
    return model


def make_session(tokenizer, *, context=64, max_tokens=4, system=""):
    shape = ModelConfig(n_layers=1, n_heads=1, n_kv_heads=1, d_model=16, d_ff=64, context=context)
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    return conversation.Session(tokenizer, make_model(shape, tokenizer), sampling=sampling, system=system, seed=1)


def ignore(part):
    pass


# ---- the session


def test_parts_are_whole_characters_and_join_to_the_decoded_text(tokenizer):
    emoji = [tokenizer.sp.piece_to_id(f"<0x{byte:02X}>") for byte in "🙂é".encode()]
    assert list(conversation.whole_characters(emoji, tokenizer)) == ["🙂", "é"]
    assert list(conversation.whole_characters(emoji[:3], tokenizer)) == ["\ufffd" * 3]  # cut within a character
    assert list(conversation.whole_characters([*emoji[:2], *tokenizer.encode("the")], tokenizer))[0].startswith(
        "\ufffd\ufffd"
    )
    chance = random.Random(1)
    some_bytes = [tokenizer.sp.piece_to_id(f"<0x{b:02X}>") for b in b"\xe2\x82\xac\xf0\x9f\x99\x82\xc3A\x80\xff"]
    for _ in range(500):
        ids = chance.choices([*some_bytes, *tokenizer.encode(" hello to you")], k=12)
        assert "".join(conversation.whole_characters(ids, tokenizer)) == tokenizer.decode(ids)


def test_a_reply_is_remembered_as_it_was_shown(tokenizer):
    session = make_session(tokenizer, system="Be short.")
    shown = []
    reply = session.ask("hello there", shown.append)
    assert "".join(shown) == reply.text == session.turns[1]["content"]
    assert session.turns[0] == {"role": "user", "content": "hello there"}
    assert (reply.stopped, reply.answer_tokens, reply.forgotten_turns) == ("max_tokens", 4, 0)
    asked = [{"role": "system", "content": "Be short."}, session.turns[0]]
    assert reply.prompt_tokens == len(chat_template.encode_prompt(asked, tokenizer))
    assert list(reply.remarks()) == ["(The answer was cut at 4 tokens; /max_tokens changes that.)"]


def test_the_oldest_turns_are_forgotten_and_the_system_message_stays(tokenizer):
    session = make_session(tokenizer, context=48, system="hi")
    forgotten = 0
    for number in range(6):
        reply = session.ask(f"{number} hello you", ignore)
        forgotten += reply.forgotten_turns
        assert session.messages()[0] == {"role": "system", "content": "hi"}
        assert [m["role"] for m in session.turns] == ["user", "assistant"] * (len(session.turns) // 2)
    assert forgotten == 6 - len(session.turns) // 2 > 0
    assert session.turns[-2]["content"] == "5 hello you"
    assert reply.prompt_tokens + 4 <= 48
    assert list(reply.remarks())[0] == "(The conversation no longer fits: oldest turns forgotten: 2.)"


def test_a_too_long_message_leaves_the_conversation_as_it_was(tokenizer):
    session = make_session(tokenizer)
    session.ask("hello", ignore)
    before = list(session.turns)
    with pytest.raises(MinitronError, match=r"the message has \d+ tokens and the model has room for 62"):
        session.ask("hello " * 100, ignore)
    assert session.turns == before
    session.command("/system " + "long " * 100)
    with pytest.raises(MinitronError, match="the system message takes all the room"):
        session.ask("hello", ignore)
    assert session.turns == before


def test_an_answer_ends_where_the_context_is_full(tokenizer):
    session = make_session(tokenizer, context=32, max_tokens=1000)
    reply = session.ask("hello", ignore)
    assert reply.stopped == "context"
    assert reply.prompt_tokens + reply.answer_tokens == 32
    assert list(reply.remarks()) == ["(The answer was cut: the context is full.)"]


def test_a_stopped_answer_keeps_what_was_said_and_an_unsaid_one_is_no_turn(tokenizer):
    session = make_session(tokenizer, max_tokens=20)
    parts = []
    reply = session.ask("hello", parts.append, stopped=lambda: len(parts) >= 3)
    assert reply.stopped == "interrupted"
    assert session.turns[-1]["content"] == "".join(parts) != ""
    assert session.ask("again", ignore, stopped=lambda: True).answer_tokens == 0
    assert len(session.turns) == 2


def test_commands(tokenizer):
    session = make_session(tokenizer)
    told = session.command
    assert all(name in told("/help") for name in conversation.COMMANDS)
    assert conversation.COMMANDS == [
        "/help",
        "/reset",
        "/system",
        "/temp",
        "/max_tokens",
        "/probs",
        "/branch",
        "/tokens",
        "/stats",
        "/good",
        "/bad",
        "/fix",
        "/labels",
        "/quit",
    ]
    assert told("/system") == "There is no system message."
    assert told("/system  Be kind. ") == "The system message is set."
    assert told("/system") == "System message: Be kind."
    assert told("/system -") == "The system message is removed."
    assert session.messages() == []
    assert told("/temp 0,7") == told("/temp") == "temperature: 0.7"
    for wrong in ("warm", "-1", "101", "nan", "inf"):
        assert told(f"/temp {wrong}") == "/temp needs a number from 0 to 100."
    assert session.sampling.temperature == 0.7
    assert told("/temp 0") == "temperature: 0"
    assert told("/max_tokens 5") == told("/max_tokens") == "tokens per answer, at most: 5"
    for wrong in ("0", "2.5", "many", "9" * 500):
        assert told(f"/max_tokens {wrong}") == "/max_tokens needs a whole number from 1 to 1048576."
    assert session.sampling.max_tokens == 5
    assert told("/stats") == "turns: 0, tokens: 0 of 64"
    session.ask("hello", ignore)
    used = sum(len(chat_template.encode_message(m, tokenizer)) for m in session.turns)
    assert told("/stats").splitlines()[0] == f"turns: 1, tokens: {used} of 64"
    assert re.search(r"read \d+ tokens in \d\.\d\d s, wrote 5 tokens at [\d.]+ per second", told("/stats"))
    assert told("/reset") == "The conversation is forgotten."
    assert session.turns == []
    told("/max_tokens 500")
    assert session.ask("hello", ignore).stopped == "context"
    assert told("/stats").splitlines()[0] == "turns: 1, tokens: 64 of 64"
    told("/reset")
    assert told("/sytem x") == "There is no command /sytem. Did you mean /system?"
    assert told("/max") == "There is no command /max. Did you mean /max_tokens?"
    assert told("/zzzzzz") == "There is no command /zzzzzz. /help shows the commands."
    with pytest.raises(EOFError):
        told("/quit")


def test_no_answer_can_steer_the_terminal():
    assert visible("a\x1b[31m\tb\r\n\x9b\x7fé") == "a\ufffd[31m\tb\ufffd\n\ufffd\ufffdé"


# ---- whose model


def test_load_target_takes_a_recipe_and_a_run_folder(place, monkeypatch):
    monkeypatch.chdir(place)
    recipe = load_target("tiny.toml", ["export.title='Other'"])
    assert (recipe.name, recipe.export.title) == ("tiny", "Other")
    for text in ("runs/tiny", "runs/tiny/", str(place / "runs" / "tiny")):
        config = load_target(text, ["export.max_tokens=3"])
        assert (config.name, config.export.title, config.export.max_tokens) == ("tiny", "Tiny", 3)
        assert config.model == recipe.model


def test_load_target_prefers_the_settings_of_the_last_stage(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for stage, title in (("sft", "old"), ("kto", "new")):
        (tmp_path / "runs" / "x" / stage).mkdir(parents=True)
        (tmp_path / "runs" / "x" / stage / "config.toml").write_text(f'[export]\ntitle = "{title}"\n')
    assert load_target("runs/x", []).export.title == "new"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("runs/tiyn", "there is no recipe and no run runs/tiyn", "did you mean runs/tiny?"),
        ("recipes/x.toml", "there is no recipe recipes/x.toml", "name a recipe, such as recipes/demo.toml"),
        ("runs", "runs holds no run: none of its folders has a config.toml", "name a run's folder"),
    ],
)
def test_load_target_says_what_is_wrong(place, monkeypatch, text, message, hint):
    monkeypatch.chdir(place)
    with pytest.raises(MinitronError) as caught:
        load_target(text, [])
    assert str(caught.value) == message
    assert caught.value.hint.startswith(hint)
    assert caught.value.code == 2


def test_a_run_folder_elsewhere_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MinitronError, match="is not in the folder runs of") as caught:
        load_target(str(place / "runs" / "tiny"), [])
    assert caught.value.hint == f"go to {place} and run: minitron chat runs/tiny"


# ---- in a terminal


def spawn(place, **environment):
    env = os.environ | {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONUTF8": "1"} | environment
    for name in {"NO_COLOR", "FORCE_COLOR"} - environment.keys():
        env.pop(name, None)
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "tiny.toml"], cwd=place, env=env, encoding="utf-8", timeout=20)
    child.setwinsize(40, 160)
    child.expect_exact("This is Tiny (sft, step 7).")
    child.expect_exact("Good day.")
    child.expect(PROMPT)
    return child


def ask(child, line, told):
    """Types a line; waits for the expected text and for the next prompt."""
    child.send(f"{line}\r")
    child.expect_exact(told)
    child.expect(PROMPT)


def leave(child):
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_every_command_in_a_terminal(place):
    child = spawn(place)
    for line, told in (
        ("/help", "Ctrl-C stops an answer."),
        ("/system Be kind.", "The system message is set."),
        ("/temp 0.5", "temperature: 0.5"),
        ("/max_tokens 6", "tokens per answer, at most: 6"),
        ("hello", "(The answer was cut at 6 tokens; /max_tokens changes that.)"),
        ("/stats", "wrote 6 tokens at"),
        ("/reset", "The conversation is forgotten."),
        ("/sats", "There is no command /sats. Did you mean /stats?"),
        ("hello", "(The answer was cut at 6 tokens"),
    ):
        ask(child, line, told)
    child.send("/quit\r")
    assert leave(child) == 0


def test_ctrl_c_stops_an_answer_and_says_how_to_leave_at_the_prompt(place):
    child = spawn(place)
    ask(child, "/max_tokens 100000", "at most: 100000")
    child.send("hello\r")
    time.sleep(1)
    child.sendintr()
    child.expect_exact("(stopped)")
    child.expect(PROMPT)
    ask(child, "/stats", "turns: 1,")  # the chat goes on, and the turn is kept
    child.send("half a line")
    child.expect_exact("half a line")
    for _ in range(2):  # a line between two Ctrl-C: it warns again
        child.sendintr()
        child.expect_exact("To leave, press Ctrl-C once more, or type /quit.")
        child.expect(PROMPT)
        ask(child, "/temp", "temperature: 0")
    child.sendintr()
    child.expect_exact("To leave, press Ctrl-C once more")
    child.expect(PROMPT)
    child.sendintr()
    assert leave(child) == 0


def test_history_across_runs_and_ctrl_d(place):
    (place / "runs" / "tiny" / "chat.history").unlink(missing_ok=True)
    child = spawn(place)
    ask(child, "an early question", "(The answer was cut")
    child.sendeof()
    assert leave(child) == 0
    assert "+an early question\n" in (place / "runs" / "tiny" / "chat.history").read_text()
    child = spawn(place)
    child.send("\x1b[A")
    child.expect_exact("an early question")
    child.send("\r")
    child.expect_exact("(The answer was cut")
    child.expect(PROMPT)
    child.sendeof()
    assert leave(child) == 0


def test_a_dumb_terminal_gets_no_escape_sequences(place):
    child = spawn(place, TERM="dumb")
    child.logfile_read = log = Log()
    child.send("hello\n")
    child.expect_exact("(The answer was cut at 8 tokens")
    child.expect_exact("> ")
    child.sendintr()
    child.expect_exact("To leave, press Ctrl-C once more")
    child.expect_exact("> ")
    child.send("/quit\n")
    assert leave(child) == 0
    assert "\x1b" not in log.text


def test_no_color_means_no_colours(place):
    for no_color, coloured in (("1", False), ("", True)):
        child = spawn(place, NO_COLOR=no_color)
        child.logfile_read = log = Log()
        ask(child, "/temp", "temperature: 0")
        child.sendeof()
        assert leave(child) == 0
        assert bool(re.search(r"\x1b\[[\d;]*\b(3[0-7]|38|9[0-7])\b[\d;]*m", log.text)) == coloured


class Log:
    """What a child wrote."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


# ---- in a pipe


def test_a_pipe_gets_the_answers_and_nothing_else(place, tokenizer):
    lines = "hello there\n\n/temp 0\nand you?\n/nonsense\nlast line without its end"
    done = subprocess.run([*COMMAND, "tiny.toml"], cwd=place, input=lines.encode(), capture_output=True, check=True)
    config = load_recipe(place / "tiny.toml")
    model = make_model(config.model, tokenizer)
    session = conversation.Session(
        tokenizer, model, sampling=Sampling(temperature=0.0, max_tokens=8), system="", seed=1
    )
    wanted = "".join(
        session.ask(t, ignore).text + "\n" for t in ("hello there", "and you?", "last line without its end")
    )
    assert done.stdout.decode() == wanted
    told = done.stderr.decode()
    for line in ("This is Tiny (sft, step 7).", "Good day.", "temperature: 0", "There is no command /nonsense."):
        assert line in told
    assert "\x1b" not in told
    assert "> " not in told


def test_a_too_long_message_is_one_sentence_and_the_chat_goes_on(place):
    lines = "hello " * 17000 + "\nhello\n"
    done = subprocess.run([*COMMAND, "tiny.toml"], cwd=place, input=lines.encode(), capture_output=True, check=True)
    assert done.stdout.count(b"\n") == 1
    sentence = (
        r"the message has \d+ tokens and the model has room for \d+: shorten it, or train with a larger model.context\n"
    )
    assert re.search(sentence, done.stderr.decode())


def test_broken_bytes_in_a_pipe_are_answered_too(place):
    done = subprocess.run(
        [*COMMAND, "tiny.toml"], cwd=place, input=b"\xff\xfe hello\n", capture_output=True, check=True
    )
    assert done.stdout.endswith(b"\n")
    assert b"Traceback" not in done.stderr


def test_a_model_that_is_not_there_is_one_plain_error(place, tmp_path):
    (tmp_path / "new.toml").write_text(RECIPE)
    done = subprocess.run([*COMMAND, "new.toml"], cwd=tmp_path, input=b"", capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "minitron: error: there is no finished model in runs/new/sft\nhint: run: minitron sft RECIPE\n"
    )


def test_a_question_stopped_before_its_answer_forgets_nothing(tokenizer):
    session = make_session(tokenizer, context=64)
    for word in ("one", "two", "three"):
        session.ask(word, ignore)
    before = list(session.turns)
    reply = session.ask(
        "a longer question for which the oldest turns would have to go " * 1, ignore, stopped=lambda: True
    )
    assert reply.forgotten_turns > 0
    assert reply.stopped == "interrupted"
    assert session.turns == before
