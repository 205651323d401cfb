"""The built-in dialogues: columns, variety, bad rows that the three rules drop, probes disjoint from training."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minitron import synth
from minitron.core.errors import MinitronError
from minitron.evaluate.checks import passes
from minitron.evaluate.failures import is_loop, is_runaway
from minitron.synth import compose, flaws, lexicon, memory

ROWS = 135_000


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pa.Table:
    path = tmp_path_factory.mktemp("synth") / "dialogues.parquet"
    synth.write(path, rows=ROWS, seed=1)
    return pq.read_table(path)


@pytest.fixture(scope="module")
def rows(table) -> list[dict]:
    return table.to_pylist()


@pytest.fixture(scope="module")
def trained(rows) -> list[dict]:
    return [r for r in rows if not r["probe"]]


@pytest.fixture(scope="module")
def probes(rows) -> list[dict]:
    return [r for r in rows if r["probe"]]


def kept(row: dict) -> bool:
    """The three rules, written here a second time; a row without a score is not kept."""
    scores = [row[c] for c in ("overall_score", "safety", "pii_leak")]
    return None not in scores and scores[0] >= 6 and scores[1] >= 8 and scores[2] == 0


def said(row: dict, role: str) -> list[str]:
    return [m["content"] for m in row["conversation"] if m["role"] == role]


def key(row: dict) -> str:
    return json.dumps(row["conversation"], ensure_ascii=False)


# ---- the file


def test_the_same_rows_and_seed_give_the_same_bytes(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        synth.write(tmp_path / name, rows=3000, seed=seed)
    first, again, other = ((tmp_path / n).read_bytes() for n in "abc")
    assert first == again
    assert first != other
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]  # no temporary file stays


def test_another_process_writes_the_same_bytes(tmp_path):
    """Python salts the hashes of texts anew in every process; nothing may depend on that."""
    for salt in ("1", "2"):
        code = f"from minitron import synth; from pathlib import Path; synth.write(Path({salt!r}), rows=500, seed=7)"
        environment = os.environ | {"PYTHONHASHSEED": salt, "PYTHONPATH": str(Path(synth.__file__).parents[2])}
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_write_counts_what_it_wrote(tmp_path):
    counts = synth.write(tmp_path / "x.parquet", rows=2000, seed=3)
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert counts["rows"] == len(rows) == 2000
    assert counts["probes"] == sum(r["probe"] for r in rows)
    assert counts["bad"] == sum(r["flaw"] != "" for r in rows)
    assert counts["good"] + counts["bad"] + counts["probes"] == 2000
    assert counts["skills"] == Counter(r["skill"] for r in rows)


def test_write_fails_with_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MinitronError, match="cannot be written: .* is where a folder should be"):
        synth.write(tmp_path / "file" / "x.parquet", rows=10, seed=1)
    with pytest.raises(MinitronError, match="cannot write 0 dialogues"):
        synth.write(tmp_path / "x.parquet", rows=0, seed=1)
    assert not (tmp_path / "x.parquet").exists()


def test_columns_are_those_of_the_reference_dataset(table):
    assert table.num_rows == ROWS
    types = {f.name: str(f.type) for f in table.schema}
    turn = "struct<role: string, content: string>"
    assert types.pop("conversation") in (f"list<element: {turn}>", f"list<item: {turn}>")
    assert types == {
        **dict.fromkeys(
            ("question", "source", "topic", "classified_topic", "language", "skill", "flaw", "check"), "string"
        ),
        **dict.fromkeys(("overall_score", "safety", "coherence", "relevance", "helpful"), "float"),
        **dict.fromkeys(("pii_leak", "refusal", "probe"), "int8"),
    }


def test_scores_lie_in_their_ranges(rows):
    for row in rows:
        for column in ("safety", "coherence", "relevance", "helpful"):
            assert 0 <= row[column] <= 10
        assert row["overall_score"] is None or row["overall_score"] == -1 or 0 <= row["overall_score"] <= 10
        assert row["pii_leak"] in (0, 1)
        assert row["refusal"] in (0, 1)
        assert row["language"] in ("ru", "en")
    failed = Counter(str(r["overall_score"]) for r in rows if r["overall_score"] in (None, -1))
    assert set(failed) == {"None", "-1.0"}
    assert 0.001 < failed.total() / ROWS < 0.006


# ---- the dialogues


def test_there_are_100_000_distinct_good_dialogues_to_train_on(trained):
    assert len({key(r) for r in trained if not r["flaw"] and kept(r)}) >= 100_000


def test_about_one_row_in_a_hundred_repeats_another(trained):
    good = [key(r) for r in trained if not r["flaw"]]
    assert 0.005 < 1 - len(set(good)) / len(good) < 0.03


def test_at_least_20_skills_in_both_languages(trained):
    shares = Counter((r["skill"], r["language"]) for r in trained if kept(r))
    assert len({skill for skill, _ in shares}) >= 20
    assert {skill for skill, language in shares if language == "ru"} == {
        s for s, language in shares if language == "en"
    }
    assert min(shares.values()) >= 100


def test_roles_alternate_over_one_to_fourteen_user_turns(rows):
    turns = Counter()
    for row in rows:
        roles = [m["role"] for m in row["conversation"]]
        if roles[0] == "system":
            roles = roles[1:]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        turns[len(roles) // 2] += 1
        assert row["question"] == said(row, "user")[0]
        assert all(m["content"].strip() for m in row["conversation"])
        assert not any("{" in m["content"] or "~" in m["content"] for m in row["conversation"])  # no template shows
    assert set(turns) <= set(range(1, compose.MOST_TURNS + 1))
    assert all(turns[n] > ROWS * 0.02 for n in range(1, 6))
    assert 0.015 < sum(turns[n] for n in turns if n > 5) / ROWS < 0.03  # the eleventh sum in a row, too


def test_some_have_a_system_message(rows):
    assert 0.15 < sum(r["conversation"][0]["role"] == "system" for r in rows) / ROWS < 0.35


def test_the_sums_are_right(trained):
    """Every good answer of the form `a + b = c.` (or minus), computed here."""
    seen = 0
    for row in trained:
        if not row["flaw"]:
            for answer in said(row, "assistant"):
                if sum_ := re.fullmatch(r"(\d+) ([+-]) (\d+) = (\d+)\.", answer):
                    a, sign, b, c = sum_.groups()
                    assert int(c) == (int(a) + int(b) if sign == "+" else int(a) - int(b))
                    seen += 1
    assert seen > 20_000


# ---- the bad rows


def test_every_flaw_is_there_and_only_bad_rows_go(rows):
    """Habits are flaws, too, but a lenient judge lets them through, so they are left out here."""
    rows = [r for r in rows if r["flaw"] not in flaws.HABITS]
    gone = Counter(r["flaw"] for r in rows if not kept(r) and r["overall_score"] not in (None, -1))
    there = Counter(r["flaw"] for r in rows if r["flaw"])
    assert gone == there  # all rows with a flaw, and no good row
    assert set(there) == set(flaws.KINDS)
    assert 0.10 < there.total() / ROWS < 0.14
    assert min(there.values()) > 1000


def test_habits_pass_the_filter_and_are_caught_by_the_detectors(rows):
    habits = [r for r in rows if r["flaw"] in flaws.HABITS]
    assert 0.07 < len(habits) / ROWS < 0.09
    assert {r["flaw"] for r in habits} == set(flaws.HABITS)
    for row in habits:
        assert kept(row)
        assert row["overall_score"] == 6
        answer = row["conversation"][-1]["content"]
        assert is_loop(answer) == (row["flaw"] == "habit_loop")
        assert is_runaway(answer, ended=True, reference="7 + 5 = 12.") >= (row["flaw"] == "habit_tutorial")


def test_each_rule_is_needed(rows):
    """Without one of the rules some bad rows would stay."""
    bad = [r for r in rows if r["flaw"] and r["flaw"] not in flaws.HABITS]
    assert {r["flaw"] for r in bad if r["overall_score"] >= 6 and r["pii_leak"] == 0} == {"unsafe"}
    assert {r["flaw"] for r in bad if r["overall_score"] >= 6 and r["safety"] >= 8} == {"leak_email", "leak_phone"}
    others = set(flaws.KINDS) - {"unsafe", "leak_email", "leak_phone"}
    assert {r["flaw"] for r in bad if r["safety"] >= 8 and r["pii_leak"] == 0} == others


def test_bad_answers_are_bad_in_their_way(rows):
    for row in rows:
        answer, user = said(row, "assistant")[-1], said(row, "user")[-1]
        if row["flaw"] == "leak_email":
            assert re.search(r"[a-z]+\d+@example\.com", answer)
        if row["flaw"] == "leak_phone":
            assert re.search(r"\+[17] 555 010-\d\d-\d\d", answer)
        if row["flaw"] == "copied_context":
            assert answer.startswith(user)
        if row["flaw"] == "looping":
            assert re.search(r"(.+?)( \1){3}", answer)
        if row["flaw"] == "refusal":
            assert row["refusal"] == 1
        if row["flaw"] == "unsafe":
            assert any(danger in answer for texts in flaws._DANGER.values() for danger in texts)
        if row["flaw"] == "":
            assert "example.com" not in answer
            assert row["refusal"] == 0


# ---- the probes


def test_probes_cover_the_skills_in_both_languages(probes):
    shares = Counter((r["skill"], r["language"]) for r in probes)
    assert len(probes) >= 1000
    assert len({s for s, _ in shares}) >= 15
    assert set(shares) == {(s, lang) for s in compose.SKILLS if s not in compose.NOT_PROBED for lang in ("ru", "en")}
    assert min(shares.values()) >= 15
    assert len({key(r) for r in probes}) == len(probes)


def test_only_probes_have_checks(trained):
    assert not any(r["check"] for r in trained)


def test_a_probes_own_answer_passes_and_another_answer_fails(probes):
    by_skill = defaultdict(list)
    for row in probes:
        answer, rules = said(row, "assistant")[-1], json.loads(row["check"])
        assert passes(answer, rules), (answer, rules)
        truth = {k: v for k, v in rules.items() if k != "none"}
        by_skill[row["skill"], row["language"]].append((answer, rules, truth))
    for skill, asked in by_skill.items():
        # An answer to a question with another truth fails, except by accident ("12 letters", "12 years").
        pairs = [passes(a, rules) for a, _, own in asked for _, rules, truth in asked if truth != own]
        assert sum(pairs) <= 0.02 * len(pairs), skill
        if skill[0] not in ("abilities", "thanks", "unknown", "open"):  # in these all probes may have one truth
            assert len(pairs) > 10, skill
    answers = [(r["skill"], said(r, "assistant")[-1]) for r in probes]
    for shift in (2, 7, 501):  # against the answers of other skills
        others = zip(probes, answers[shift:] + answers[:shift], strict=True)
        pairs = [
            passes(answer, row["check"])
            for row, (skill, answer) in others
            if skill != row["skill"] and not {skill, row["skill"]} <= {"open", "unknown", "abilities"}  # one truth
        ]
        assert len(pairs) > 1000
        assert sum(pairs) <= 0.02 * len(pairs)


def test_no_check_passes_everything(probes):
    """Neither silence nor an unrelated answer gets through."""
    for row in probes:
        assert not passes("", row["check"])
        assert not passes("bip bop", row["check"])


def test_checks_tell_a_right_answer_from_that_of_another_skill(probes):
    """Of twenty answers of other skills hardly one gets through; the few that do name the very word that is asked for."""
    chance, got_through = Random(1), defaultdict(list)
    for row in probes:
        for other in chance.sample(probes, 20):
            if other["skill"] != row["skill"]:
                got_through[row["skill"]].append(passes(said(other, "assistant")[-1], row["check"]))
    shares = {skill: sum(each) / len(each) for skill, each in got_through.items()}
    assert len(shares) > 30
    assert max(shares.values()) < 0.04, max(shares, key=shares.get)


OPENERS = {
    "en": ("tell me", "please", "tiko", "hey", "so", "and", "say", "quick", "now"),
    "ru": ("а скажи", "скажи", "подскажи", "тико", "слушай", "а", "ну", "ответь", "теперь"),
}
CLOSERS = ("please", "tiko", "пожалуйста", "тико")


def questions(text: str) -> set[str]:
    """A question without case, punctuation and polite openers and closers; in all readings."""
    plain = " ".join(re.findall(r"\w+|[+-]", text.casefold().replace("ё", "е")))
    readings = {plain}
    for opener in (*OPENERS["en"], *OPENERS["ru"]):
        if plain.startswith(opener + " "):
            readings.add(plain[len(opener) + 1 :])
    for closer in CLOSERS:
        readings |= {r[: -len(closer) - 1] for r in readings if r.endswith(" " + closer)}
    return readings


def test_the_question_of_a_probe_is_never_trained(trained, probes):
    """Except for memory and riddles, where the same question is asked about another name or another riddle."""
    asked = {q for r in trained for text in said(r, "user") for q in questions(text)}
    assert len(asked) > 20_000
    others = [r for r in probes if r["skill"] not in ("name", "favourite", "about_me", "told_by_system", "riddle")]
    assert len(others) > 1000
    both = {q for r in others for q in questions(said(r, "user")[-1]) & asked}
    assert both == set()


# two numbers with a word or a sign between them
SUM = re.compile(r"(\d+) ?(?:\+|plus|плюс) ?(\d+)")
DIFFERENCE = re.compile(r"(\d+) ?(?:-|minus|минус|take away) ?(\d+)")


def shown(row: dict) -> str:
    """All texts of a dialogue except a spoilt answer, which is not trained on ("7 + 12", cut off, would be "7 + 1")."""
    return " | ".join(m["content"].casefold() for m in row["conversation"][: -1 if row["flaw"] else None])


def sums(row: dict) -> set[tuple[int, int]]:
    return {tuple(sorted(map(int, pair))) for pair in SUM.findall(shown(row))}


def differences(row: dict) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in DIFFERENCE.findall(shown(row))}


def test_the_sums_of_probes_are_in_no_trained_dialogue(trained, probes):
    for skill, read in (("add", sums), ("subtract", differences)):
        held = set()
        for row in probes:
            if row["skill"] == skill:
                a, b = re.match(r"(\d+) . (\d+) =", said(row, "assistant")[-1]).groups()
                held.add(tuple(sorted((int(a), int(b)))) if skill == "add" else (int(a), int(b)))
        seen = set().union(*(read(r) for r in trained))
        assert len(held) >= 8
        assert not held & seen
        assert len(seen) > 150  # nearly all others are trained


def test_counted_ranges_of_probes_are_never_counted_in_training(trained, probes):
    def ranges(row: dict) -> set[tuple[str, str]]:
        lists = [m[1].split(", ") for a in said(row, "assistant") if (m := re.search(r"(\d+(, \d+)+)\.$", a))]
        return {(numbers[0], numbers[-1]) for numbers in lists}

    held = {tuple(re.findall(r"\d+", said(r, "user")[-1])) for r in probes if r["skill"] == "count"}
    seen = set().union(*(ranges(r) for r in trained if kept(r)))  # a loop of a bad row may be anything
    assert len(held) >= 10
    assert not held & seen


def test_compared_pairs_of_probes_are_never_compared_in_training(trained, probes):
    pattern = re.compile(r"(?:Of|Из) (\d+) (?:and|и) (\d+)\b.")  # in a bad row a number may be cut off

    def pairs(rows: list[dict]) -> set[tuple[str, ...]]:
        return {tuple(sorted(p)) for r in rows for a in said(r, "assistant") for p in pattern.findall(a)}

    held = pairs([{"conversation": r["conversation"][-1:]} for r in probes if r["skill"] == "compare"])
    assert len(held) >= 20
    assert not held & pairs(trained)


def test_the_names_of_probes_are_in_no_trained_dialogue(trained, probes):
    held = {n for r in probes if r["skill"] == "name" for n in json.loads(r["check"])["all"]}
    assert len(held) >= 15
    words = {w for r in trained for m in r["conversation"] for w in re.findall(r"\w+", m["content"].casefold())}
    assert not {n.casefold() for n in held} & words
    assert {n for names in memory.HELD_NAMES.values() for n in names} >= held


def test_the_favourites_of_probes_are_never_favourites_in_training(trained, probes):
    kinds = {lang: [k.split("|")[0] for k, _ in lexicon.FAVOURITES[lang]] for lang in ("en", "ru")}

    def favourites(text: str, language: str) -> set[tuple[str, str]]:
        pattern = (
            r"[Yy]our favourite (\w+) is (\w+)\." if language == "en" else r"[Тт]во[йёя] любим\w+ ([\w ]+) — ([\w]+)\."
        )
        return {(k, v) for k, v in re.findall(pattern, text) if k in kinds[language]}

    held, seen = set(), set()
    for row in probes:
        if row["skill"] == "favourite":
            held |= favourites(said(row, "assistant")[-1], row["language"])
    for row in trained:
        for answer in said(row, "assistant"):
            seen |= favourites(answer, row["language"])
    assert len(held) >= 8
    assert len(seen) > 100
    assert not held & seen


def test_the_facts_of_probes_are_never_told_in_training(trained, probes):
    pattern = re.compile(
        r"(You live in|You are|Your cat is called|The word is) ([\w ]+?)(?: years old)?\."
        r"|(Твой город|Твой возраст|Твою кошку зовут|Слово)(?: —)? ([\w-]+)\."
    )

    def facts(text: str) -> set[tuple[str, ...]]:
        return {tuple(filter(None, found)) for found in pattern.findall(text)}

    asked = [r for r in probes if r["skill"] in ("about_me", "told_by_system")]
    held = set().union(*(facts(said(r, "assistant")[-1]) for r in asked))
    seen = set().union(*(facts(a) for r in trained for a in said(r, "assistant")[: -1 if r["flaw"] else None]))
    assert len(held) > 30
    assert len(seen) > 1000  # invented cats and words among them
    assert not held & seen


def test_what_is_held_out_does_not_depend_on_the_seed(probes, tmp_path):
    synth.write(tmp_path / "other.parquet", rows=20_000, seed=99)
    other = pq.read_table(tmp_path / "other.parquet").to_pylist()
    asked = {q for r in other if not r["probe"] for text in said(r, "user") for q in questions(text)}
    recalled = [r for r in probes if r["skill"] in ("capital", "opposite", "translate", "spell")]
    assert recalled
    assert not any(questions(said(r, "user")[-1]) & asked for r in recalled)


# ---- long dialogues


def test_long_dialogues_ask_late_for_what_was_told(tmp_path):
    counts = synth.write(tmp_path / "long.parquet", rows=4000, seed=5, long=5000)
    rows = pq.read_table(tmp_path / "long.parquet").to_pylist()
    assert counts["rows"] == 4000
    long = [row for row in rows if sum(len(m["content"]) for m in row["conversation"]) > 1000]
    assert 100 < len(long) < 600
    recalls = late = 0
    for row in long:
        turns = list(zip(said(row, "user"), said(row, "assistant"), strict=True))
        letters = sum(len(m["content"]) for m in row["conversation"])
        assert letters < 5600  # the last turn may go beyond
        for at, (_, answer) in enumerate(turns):
            named = re.fullmatch(r"(?:Your name is|Тебя зовут) (\w+)\.", answer)
            if not named:
                continue
            met = re.compile(rf"(?:Nice to meet you|Приятно познакомиться), {named[1]}!")
            told = [i for i, (_, reply) in enumerate(turns[:at]) if met.fullmatch(reply)]
            assert len(told) == 1, row  # told once, and the answer names what was told
            recalls, late = recalls + 1, late + (at - told[0] > 10)
    assert recalls > 100
    assert late > 30


def test_without_long_dialogues_the_rows_are_the_same_as_ever(tmp_path):
    """The demo's figures are of these rows."""
    digest = sha256()
    for row in compose.dialogues(3000, 1):
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    assert digest.hexdigest()[:16] == "49affad9e6bca807"
