"""`minitron judge` against an endpoint on loopback that misbehaves in every way that endpoints do."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dialogues import A, U, dialogue, numbered, run, save, write

from minitron.core.errors import MinitronError
from minitron.curate import judge
from minitron.curate.agreement import agreement
from minitron.recipe.load import recipe_of
from minitron.recipe.schema import JudgeConfig

pytestmark = pytest.mark.usefixtures("in_tmp_path")


class Endpoint(ThreadingHTTPServer):
    """Answers by `plan`, a function of the question's text and of how often it was asked before. It returns (status, body, headers), or
    the text of a sound answer; with the header `cut` the response promises more bytes than it sends."""

    daemon_threads = True

    def __init__(self, plan):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan, self.asked, self.models, self.keys, self.busy, self.busiest = plan, Counter(), Counter(), set(), 0, 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = json.loads(body["messages"][1]["content"])[0]["content"]
        server = self.server
        with server.lock:
            before = server.asked[question]
            server.asked[question] += 1
            server.models[body["model"]] += 1
            server.keys.add(self.headers.get("Authorization"))
            server.busy += 1
            server.busiest = max(server.busiest, server.busy)
        assert self.path == "/v1/chat/completions"
        made = (
            server.plan(question, before)
            if server.plan.__code__.co_argcount == 2
            else server.plan(question, before, body)
        )
        with server.lock:
            server.busy -= 1
        status, data, headers = made if isinstance(made, tuple) else (200, sound(made), {})
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) + 100 * ("cut" in headers)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, *_):
        pass


def sound(text: str) -> bytes:
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}).encode()


def scores(n: float, why: str = "fine") -> str:
    return json.dumps({"overall": n, "why": why})


@contextmanager
def endpoint(plan):
    server = Endpoint(plan)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def recipe(url: str, *, files: str = "x.jsonl", **options):
    settings = {"url": url, "model": "m", "pause_seconds": 0.0, "tries": 3, "timeout_seconds": 5.0} | options
    return recipe_of({"data": {"files": [files], "keep": ["old >= 5"]}, "judge": settings}, Path("t.toml"))


def judged(path: str = "runs/t/judge/judged.parquet") -> dict[str, float | None]:
    """Maps each question to its score."""
    return {row["messages"][0]["content"]: row["overall"] for row in pq.read_table(path).to_pylist()}


def refused(config) -> str:
    with pytest.raises(MinitronError) as raised:
        judge.run(config)
    assert raised.value.hint
    assert "\n" not in str(raised.value)
    return f"{raised.value} | {raised.value.hint}"


ROWS = [{"messages": turns, "old": 3} for turns in numbered(20)]


def test_rows_get_scores_that_rules_read(capfd):
    save("x.jsonl", [*ROWS, ROWS[0], {"messages": [U]}])
    with endpoint(lambda question, _: f"Sure!\n```json\n{scores(int(question.split()[1]) % 10 + 1)}\n```") as server:
        judge.run(recipe(server.url, key_env="KEY_OF_TEST", concurrency=3))
        assert set(server.asked.values()) == {1}
        assert server.busiest <= 3
        assert server.keys == {None}
    assert judged() == {f"question {i}": i % 10 + 1 for i in range(20)}
    said = capfd.readouterr().err
    assert "21 dialogues; 20 questions to ask" in said
    assert "- malformed: no assistant turn: 1" in said
    assert "21 dialogues have scores; all answers took 2,000 tokens in, 200 out" in said
    assert run(files=["runs/t/judge/judged.parquet"], keep=["overall >= 9"])["kept"] == 4


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("KEY_OF_TEST", "secret")
    save("x.jsonl", ROWS[:1])
    with endpoint(lambda *_: scores(5)) as server:
        judge.run(recipe(server.url, key_env="KEY_OF_TEST"))
        assert server.keys == {"Bearer secret"}
    assert "secret" not in Path("runs/t/judge/answers.jsonl").read_text()


def test_an_endpoint_that_fails_now_and_then_is_asked_again():
    failures = [
        (429, b'{"error": {"message": "slow down"}}', {"Retry-After": "0"}),
        (500, b"<html>oops", {}),
        (503, b"", {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}),
        (200, b"garbage", {}),
        (200, b'{"choices": []}', {}),
        (200, b'{"choices": [{"message": {"content": null}}]}', {}),
        (200, sound(scores(7)), {"cut": "1"}),
    ]
    save("x.jsonl", ROWS)
    with endpoint(lambda q, n: failures[int(q.split()[1]) % len(failures)] if n < 2 else scores(7)) as server:
        judge.run(recipe(server.url))
        assert set(server.asked.values()) == {3}
    assert set(judged().values()) == {7}


@pytest.mark.parametrize(
    "answer",
    [
        "no idea",
        "{",
        '{"overall": "great"}',
        '{"overall": 11}',
        '{"overall": true}',
        "[1]",
        '{"why": "good"}',
        "{" * 5000,
    ],
)
def test_answers_without_scores_are_counted_and_asked_again_next_time(answer, capfd):
    save("x.jsonl", ROWS[:3])
    with endpoint(lambda q, _: answer if q == "question 1" else scores(5)) as server:
        judge.run(recipe(server.url))
        assert server.asked == {"question 0": 1, "question 1": judge.SCORE_TRIES, "question 2": 1}
    assert judged() == {"question 0": 5, "question 1": None, "question 2": 5}
    assert "1 dialogues got no scores from m; the same command asks again" in capfd.readouterr().err
    with endpoint(lambda *_: scores(2)) as server:
        judge.run(recipe(server.url))
        assert server.asked == {"question 1": 1}
    assert judged() == {"question 0": 5, "question 1": 2, "question 2": 5}


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (
            (401, b'{"error": {"message": "Incorrect API key\\nprovided"}}', {}),
            "does not accept the key: Incorrect API key | set the var",
        ),
        ((404, b'{"error": "model not found"}', {}), "has no model 'm': model not found | check judge.model"),
        ((302, b"", {"Location": "http://127.0.0.1:1/"}), "refuses to judge (302): Found | check judge.model"),
        ((400, b"", {}), "refuses to judge (400): Bad Request | check judge.model"),
        ((500, b"broken", {}), "answers 500 again and again: broken | lower judge.concurrency"),
        ((429, b"{}", {}), "answers 429 again and again: {} | lower"),
    ],
)
def test_an_endpoint_that_refuses_is_one_sentence(reply, told):
    save("x.jsonl", ROWS)
    with endpoint(lambda *_: reply) as server:
        assert told in refused(recipe(server.url))
        assert sum(server.asked.values()) <= 3 * 8


def test_a_dialogue_that_is_refused_gets_no_scores_and_the_others_do(capfd):
    """Such as one that is too long for the judge: it must not keep the others, wherever it stands."""
    save("x.jsonl", ROWS)
    too_long = (400, b'{"error": {"message": "exceeds the context"}}', {})
    with endpoint(lambda q, _: too_long if q in ("question 0", "question 9") else scores(4)) as server:
        for _ in range(2):
            judge.run(recipe(server.url, concurrency=1))
            told = (
                f"2 dialogues got no scores from m ({server.url} refuses to judge (400): exceeds the context); the same"
            )
            assert told in capfd.readouterr().err
        assert server.asked["question 0"] == 2
    assert [name for name, score in judged().items() if score is None] == ["question 0", "question 9"]


def test_what_was_answered_before_a_failure_stays():
    save("x.jsonl", ROWS)
    with endpoint(lambda q, _: (401, b"", {}) if q == "question 9" else scores(4)) as server:
        refused(recipe(server.url, concurrency=1))
        before = set(server.asked) - {"question 9"}
        assert len(before) >= 9
    with endpoint(lambda *_: scores(4)) as server:
        judge.run(recipe(server.url))
        assert not before & set(server.asked)
    assert len(judged()) == 20


def test_a_file_of_answers_that_somebody_edited_is_one_sentence():
    save("x.jsonl", ROWS[:1])
    Path("runs/t/judge").mkdir(parents=True)
    for line in ("{", "[]", '{"key": 1}', '{"key": "a", "scores": 5}'):
        Path("runs/t/judge/answers.jsonl").write_text(f'{{"key": "a", "scores": {{"overall": 5}}}}\n{line}\n')
        assert "answers.jsonl, line 2, is no answer of a judge | remove that line" in refused(
            recipe("http://127.0.0.1:1")
        )


def test_nobody_listening_and_an_endpoint_that_is_slow():
    save("x.jsonl", ROWS[:2])
    with endpoint(lambda *_: scores(1)) as server:
        url = server.url
    assert "does not answer: " in refused(recipe(url))
    assert "is no address" in refused(recipe("file:///etc/hosts"))
    assert "is no address" in refused(recipe("localhost:8080/v1"))
    stop = threading.Event()
    with endpoint(lambda *_: "" if stop.wait(10) else "") as server:
        try:
            assert "does not answer: " in refused(recipe(server.url, timeout_seconds=0.2, tries=2))
        finally:
            stop.set()


def test_another_rubric_or_model_asks_anew():
    save("x.jsonl", ROWS[:2])
    with endpoint(lambda *_: scores(5)) as server:
        for options in ({}, {}, {"rubric": "be strict"}, {"highest": 20}, {"model": "n"}, {}):
            judge.run(recipe(server.url, **options))
        assert server.asked == {"question 0": 4, "question 1": 4}


def test_two_judges_and_how_far_they_agree(capsys):
    save("x.jsonl", ROWS)
    other = lambda q, _, body: scores(int(q.split()[1]) % 4 + (2 if body["model"] == "n" and q.endswith("3") else 1))  # noqa: E731
    with endpoint(other) as server:
        judge.run(recipe(server.url, second_model="n"))
        assert server.models == {"m": 20, "n": 20}
    assert capsys.readouterr().out == (
        "overall: m and n gave 20 dialogues the same score in 90%, within 1 in 100%; Cohen's kappa 0.87\n"
    )
    row = pq.read_table("runs/t/judge/judged.parquet").to_pylist()[3]
    assert (row["overall"], row["overall_second"], row["why"]) == (4, 5, "fine")


def test_kappa_is_cohens():
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15  # a worked example: 0.7 agree, 0.5 by chance
    found = agreement(pairs)
    assert (found.rows, found.same, found.within_1) == (50, 0.7, 1.0)
    assert found.kappa == pytest.approx(0.4)
    assert agreement([(5, 5)] * 3).kappa is None
    assert agreement([]) is None


def test_the_estimate_comes_first_and_a_dry_run_is_only_that(capfd):
    save("x.jsonl", ROWS)
    judge.run(recipe("http://127.0.0.1:1/v1", price_in=1000.0, price_out=5000.0), dry_run=True)
    said = capfd.readouterr().err
    assert "20 dialogues; 20 questions to ask, about " in said
    tokens = int(said.split("about ")[1].split()[0].replace(",", ""))
    assert f"about {(tokens * 1000 + 800 * 5000) / 1e6:,.2f} by judge.price_in and price_out" in said
    assert not Path("runs/t/judge/judged.parquet").exists()


def test_what_a_recipe_lacks():
    save("x.jsonl", ROWS)
    assert "judge.model is empty" in refused(recipe("http://x", model=""))
    assert "judge.columns is empty" in refused(recipe("http://x", columns=[]))
    assert "'why' is taken" in refused(recipe("http://x", columns=["why"]))
    save("x.jsonl", [{"messages": [U]}])
    assert "there are no dialogues to judge (malformed: no assistant turn: 1)" in refused(recipe("http://x"))


def test_scores_of_an_answer():
    settings = JudgeConfig(columns=["a", "b"])
    assert judge.scores_of('x {"a": "7/10", "b": 1, "why": 3} y', settings) in (
        None,
        {"scores": {"a": 7, "b": 1}, "why": ""},
    )
    assert judge.scores_of('{"a": "7", "b": 1.5}', settings) == {"scores": {"a": 7, "b": 1.5}, "why": ""}
    assert judge.scores_of('{"a": 7}', settings) is None
    thought = '<think>The form is {"a": N, "b": N}, as in {"a": 1, "b": 1}. {</think>'
    right = {"scores": {"a": 7, "b": 2}, "why": "good"}
    assert judge.scores_of(thought + '{"a": 7, "b": 2, "why": "good"} {}', settings) == right
    assert judge.scores_of(thought + '{"a": 70, "b": 2}', settings) is None
    assert judge.scores_of(thought + '{"a": 7, "b": 2, "more": {"a": {}}, "why": "good"}', settings) == right
    assert judge.scores_of('{"a": 7, "b": 2, "why": "good", "example": {"a": 1, "b": 1}}', settings) == right
    assert judge.scores_of('{"a": 7, "b": 2} A bad one would be {"a": 1, "b": 1}.', settings) is None  # asked again
    assert judge.scores_of("{" * 100_000, settings) is None


def test_half_a_character_in_a_reason_is_replaced():
    save("x.jsonl", ROWS)
    with endpoint(lambda question, before: scores(7, "half \ud83d")) as server:
        judge.run(recipe(server.url))
    assert set(pq.read_table("runs/t/judge/judged.parquet")["why"].to_pylist()) == {"half \ufffd"}


def test_a_killed_run_goes_on_and_asks_nothing_twice():
    write("x.parquet", numbered(60))
    killed = threading.Event()

    def stuck(*_) -> str:
        """Answers 20 questions, and the next one only when nobody waits for it any more."""
        if sum(server.asked.values()) > 20:
            killed.wait(60)
        return scores(6)

    with endpoint(stuck) as server:
        options = [f'judge.url="{server.url}"', 'judge.model="m"', "judge.concurrency=1"]
        command = [sys.executable, "-m", "minitron", "judge", "x.parquet", *options]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        first = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
        stored = Path("runs/x/judge/answers.jsonl")
        while first.poll() is None and not (stored.exists() and stored.read_text().count("\n") == 20):
            time.sleep(0.01)
        first.kill()
        first.communicate()
        killed.set()
        with stored.open("a") as file:
            file.write('{"key": "cut o')  # a line that a crash cut off
        done = subprocess.run([*command, "--out", "judged.parquet"], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        twice = [question for question, count in server.asked.items() if count > 1]
        assert len(twice) <= 1  # the question that was on its way when the process was killed
    assert judged("judged.parquet") == {f"question {i}": 6 for i in range(60)}


def test_a_wrong_key_is_one_sentence_on_the_command_line():
    save("x.jsonl", ROWS)
    with endpoint(lambda *_: (401, b'{"error": {"message": "no such key"}}', {})) as server:
        command = [sys.executable, "-m", "minitron", "judge", "x.jsonl", f"judge.url={server.url}", "judge.model=m"]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"minitron: error: {server.url} does not accept the key: no such key\nhint: set the variable" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dialogue_of_many_turns_is_shown_whole():
    messages = dialogue("q", "a", "q2", "a2")
    assert json.loads(judge.shown(messages)) == messages
    assert judge.shown([U, A]) == json.dumps([U, A], indent=0)
