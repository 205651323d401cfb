"""Keep-rules as expressions: what they keep of random tables, compared with a row-by-row evaluation and with DuckDB, and the errors
for texts that are no rules."""

import math
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialogues import dialogue, numbered, part, refused, run, save, write
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.data.expressions import Agree, Among, Combined, Compare, Joined, Leaf, Not, parse
from minitron.data.formats import open_source
from minitron.data.rules import Rules
from minitron.data.sources import Reader
from minitron.recipe.data import DataConfig

pytestmark = pytest.mark.usefixtures("in_tmp_path")

# --- random tables and random rules ----------------------------------------------------------------------------------
# A rule is a tuple that is turned into three forms: the text in a recipe, SQL, and Python over a row.

NUMBERS = ["a", "b", "half", "graded", "scores.tone"]  # float64, int8, float32, text, a field of a struct
SCORES = [None, -1.0, math.nan, 0.0, 5.5, 6.0, 8.0, 10.0]
rows = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.sampled_from(SCORES),
            "b": st.sampled_from([None, -1, 0, 5, 6, 8]),
            "half": st.sampled_from(SCORES),
            "graded": st.sampled_from([None, "7", " 8.5 ", "8/10", "6.0 / 10", "-1", "n/a", "", "NaN", "9"]),
            "scores": st.sampled_from([None, {"tone": None}, {"tone": 3.0}, {"tone": 8.0}, {"tone": -1.0}]),
            "source": st.sampled_from([None, "", "a", "b", "тест", "it's"]),
            "list": st.sampled_from([None, [], [1], [1, None, 3]]),
        }
    ),
    min_size=1,
    max_size=25,
)
TYPES = pa.schema(
    [
        ("a", pa.float64()),
        ("b", pa.int8()),
        ("half", pa.float32()),
        ("graded", pa.string()),
        ("scores", pa.struct([("tone", pa.float64())])),
        ("source", pa.string()),
        ("list", pa.list_(pa.int64())),
    ]
)
number = st.sampled_from(NUMBERS)
limit = st.sampled_from([-1.0, 0.0, 5.5, 6.0, 8.0])
sign = st.sampled_from([">=", "<=", ">", "<", "==", "!="])
text = st.sampled_from(["a", "b", "тест", "it's", ""])
conditions = st.one_of(
    st.tuples(st.just("compare"), sign, number, limit),
    st.tuples(st.just("mirrored"), sign, number, limit),
    st.tuples(st.just("columns"), sign, number, number),
    st.tuples(st.just("text"), sign, text),
    st.tuples(st.just("among"), st.booleans(), st.lists(text, min_size=1, max_size=3)),
    st.tuples(st.just("numbers"), number, st.lists(limit, min_size=1, max_size=3)),
    st.tuples(st.just("length"), sign, st.sampled_from(["list", "source"]), st.sampled_from([0.0, 1.0, 3.0])),
    st.tuples(st.just("call"), st.sampled_from(["mean", "min", "max"]), sign, number, number, limit),
    st.tuples(st.just("agree"), number, number, st.sampled_from([0.0, 1.0, 2.5])),
)
rules = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


def quoted(value: str) -> str:
    return f'"{value}"'


def written(rule) -> str:
    """The text of the rule in a recipe."""
    match rule:
        case ["compare", op, column, value]:
            return f"{column} {op} {value:g}"
        case ["mirrored", op, column, value]:
            return f"{value:g} {op} {column}"
        case ["columns", op, a, b]:
            return f"{a} {op} {b}"
        case ["text", op, value]:
            return f"source {op} {quoted(value)}"
        case ["among", denied, values]:
            return f"source {'not in' if denied else 'in'} [{', '.join(map(quoted, values))}]"
        case ["numbers", column, values]:
            return f"{column} in [{', '.join(f'{value:g}' for value in values)}]"
        case ["length", op, column, value]:
            return f"len({column}) {op} {value:g}"
        case ["call", function, op, a, b, value]:
            return f"{function}({a}, {b}) {op} {value:g}"
        case ["agree", a, b, most]:
            return f"agree({a}, {b}, {most:g})"
        case ["not", inner]:
            return f"not ({written(inner)})"
        case [word, inner]:
            return f" {word} ".join(f"({written(each)})" for each in inner)


def below_zero(rule) -> set[str]:
    """Columns that are compared with numbers below 0; in these -1 is a score, not a missing value."""
    match rule:
        case ["compare", op, column, value]:
            return {column} if value < 0 or (op == "<" and value == 0) else set()
        case ["mirrored", op, column, value]:
            return {column} if value < 0 or (op == ">" and value == 0) else set()
        case ["numbers", column, values]:
            return {column} if min(values) < 0 else set()
        case ["call", _, op, a, b, value]:
            return {a, b} if value < 0 or (op == "<" and value == 0) else set()
        case ["not", inner]:
            return below_zero(inner)
        case ["and" | "or", inner]:
            return set().union(*map(below_zero, inner))
    return set()


def in_sql(rule, below: set[str]) -> str:
    def column(name: str) -> str:
        raw = {"graded": "TRY_CAST(regexp_replace(trim(graded), ' */ *10$', '') AS DOUBLE)"}.get(name, name)
        value = f"({raw})::DOUBLE"
        missing = f"isnan({value})" + ("" if name in below else f" OR {value} = -1")
        return f"(CASE WHEN {missing} THEN NULL ELSE {value} END)"

    equal = lambda op: op.replace("==", "=")  # noqa: E731
    escaped = lambda value: "'" + value.replace("'", "''") + "'"  # noqa: E731
    match rule:
        case ["compare", op, name, value]:
            return f"({column(name)} {equal(op)} {value})"
        case ["mirrored", op, name, value]:
            return f"({value} {equal(op)} {column(name)})"
        case ["columns", op, a, b]:
            return f"({column(a)} {equal(op)} {column(b)})"
        case ["text", op, value]:
            return f"(source {equal(op)} {escaped(value)})"
        case ["among", denied, values]:
            return f"(source {'NOT IN' if denied else 'IN'} ({', '.join(map(escaped, values))}))"
        case ["numbers", name, values]:
            return f"({column(name)} IN ({', '.join(map(str, values))}))"
        case ["length", op, name, value]:
            return f"(len({name}) {equal(op)} {value})"
        case ["call", function, op, a, b, value]:
            a, b = column(a), column(b)
            made = {"mean": f"({a} + {b}) / 2", "min": f"least({a}, {b})", "max": f"greatest({a}, {b})"}[function]
            whole = f"(CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL ELSE {made} END)"
            return f"({whole} {equal(op)} {value})"
        case ["agree", a, b, most]:
            return f"(abs({column(a)} - {column(b)}) <= {most})"
        case ["not", inner]:
            return f"(NOT {in_sql(inner, below)})"
        case [word, inner]:
            return "(" + f" {word.upper()} ".join(in_sql(each, below) for each in inner) + ")"


def of_row(rule, row: dict, below: set[str]) -> bool | None:
    """Whether the rule holds for the row; None if that depends on a missing value."""

    def column(name: str) -> float | None:
        value = (row["scores"] or {}).get("tone") if name == "scores.tone" else row[name]
        if isinstance(value, str):
            try:
                value = float(value.split("/")[0])
            except ValueError:
                return None
        return None if value is None or math.isnan(value) or (value == -1 and name not in below) else float(value)

    def compare(op: str, a, b) -> bool | None:
        if a is None or b is None:
            return None
        return {">=": a >= b, "<=": a <= b, ">": a > b, "<": a < b, "==": a == b, "!=": a != b}[op]

    match rule:
        case ["compare", op, name, value]:
            return compare(op, column(name), value)
        case ["mirrored", op, name, value]:
            return compare(op, value, column(name))
        case ["columns", op, a, b]:
            return compare(op, column(a), column(b))
        case ["text", op, value]:
            found = row["source"]
            return compare(op, None if found is None else found.encode(), value.encode())
        case ["among", denied, values]:
            return None if row["source"] is None else (row["source"] in values) != denied
        case ["numbers", name, values]:
            return None if column(name) is None else column(name) in values
        case ["length", op, name, value]:
            return compare(op, None if row[name] is None else len(row[name]), value)
        case ["call", function, op, a, b, value]:
            found = [column(a), column(b)]
            if None in found:
                return None
            made = {"mean": sum(found) / 2, "min": min(found), "max": max(found)}[function]
            return compare(op, made, value)
        case ["agree", a, b, most]:
            found = [column(a), column(b)]
            return None if None in found else abs(found[0] - found[1]) <= most
        case ["not", inner]:
            held = of_row(inner, row, below)
            return None if held is None else not held
        case [word, inner]:
            held = [of_row(each, row, below) for each in inner]
            decided = word == "or"  # one true decides an or, one false an and
            return decided if decided in held else None if None in held else not decided


@settings(max_examples=200, deadline=None)
@given(rows, rules, st.sampled_from(["drop", "keep"]))
def test_arrow_rows_and_duckdb_keep_the_same(rows, rule, missing_scores):
    table, below = pa.Table.from_pylist(rows, TYPES), below_zero(rule)
    turns = [{**row, "messages": dialogue(f"{i}", "a")} for i, row in enumerate(rows)]
    save("x.jsonl", turns)
    pq.write_table(table.append_column("messages", pa.array([row["messages"] for row in turns])), "x.parquet")
    config = DataConfig(keep=[written(rule)], missing_scores=missing_scores)
    want = [
        i
        for i, row in enumerate(rows)
        if (held := of_row(rule, row, below)) or (held is None and missing_scores == "keep")
    ]
    unknown = str(missing_scores == "keep").lower()
    numbered = table.append_column("i", pa.array(range(len(rows))))  # noqa: F841 (DuckDB finds it by its name)
    query = f"SELECT i FROM numbered WHERE coalesce({in_sql(rule, below)}, {unknown}) ORDER BY i"
    assert [i for (i,) in duckdb.sql(query).fetchall()] == want
    dropped = []
    for name in ("x.parquet", "x.jsonl"):
        reader = Reader(config)
        found = [int(row.turns[0]["content"]) for part in reader.read_one(open_source(Path(name))) for row in part]
        assert found == want, name
        assert reader.tally.dropped.total() == len(rows) - len(want)
        dropped.append(reader.tally.dropped)
    assert dropped[0] == dropped[1]


# --- how rules are written -------------------------------------------------------------------------------------------

A, B = Compare(">=", Leaf("a"), 1.0), Compare("<", Leaf("b"), 2.0)
FORMS = {
    "safety >= 8": Compare(">=", Leaf("safety"), 8.0),
    " overall score<=-.5 ": Compare("<=", Leaf("overall score"), -0.5),
    "a.b != 1e3": Compare("!=", Leaf("a.b"), 1000.0),
    "оценка == 7": Compare("==", Leaf("оценка"), 7.0),
    "8 <= safety": Compare(">=", Leaf("safety"), 8.0),
    "a >= 1 or b < 2": Joined("or", (A, B)),
    "(a >= 1 and b < 2)": Joined("and", (A, B)),
    "a >= 1 or a >= 1 and b < 2": Joined("or", (A, Joined("and", (A, B)))),
    "(a >= 1 or a >= 1) and b < 2 or a >= 1": Joined("or", (Joined("and", (Joined("or", (A, A)), B)), A)),
    "not a >= 1": Not(A),
    "NOT not a >= 1": Not(Not(A)),
    'lang == "ru"': Compare("==", Leaf("lang", "text"), "ru"),
    "lang in ['ru', \"en\"]": Among(Leaf("lang", "text"), ("ru", "en")),
    "lang not in ['ru']": Not(Among(Leaf("lang", "text"), ("ru",))),
    "vote in [1, -1]": Among(Leaf("vote"), (1.0, -1.0)),
    "flag == true": Compare("==", Leaf("flag"), 1.0),
    "len(messages) <= 8": Compare("<=", Leaf("messages", "length"), 8.0),
    "mean(a, b) >= 7": Compare(">=", Combined("mean", (Leaf("a"), Leaf("b"))), 7.0),
    "agree(a, b, 1)": Agree(Leaf("a"), Leaf("b"), 1.0),
    "judge_a >= judge_b": Compare(">=", Leaf("judge_a"), Leaf("judge_b")),
    "`score (0-10)` > 3": Compare(">", Leaf("score (0-10)"), 3.0),
    "`in` > 3": Compare(">", Leaf("in"), 3.0),
    "a-b > 3": Compare(">", Leaf("a-b"), 3.0),
}


@pytest.mark.parametrize("text", FORMS)
def test_forms(text):
    [found] = parse(text)
    assert found == (FORMS[text], text.strip())


def test_what_and_joins_at_the_top_drops_under_its_own_name():
    found = parse("overall_score>=6 and  (a >= 1 or b < 2) and not pii == 1 ")
    assert [part.text for part in found] == ["overall_score>=6", "(a >= 1 or b < 2)", "not pii == 1"]


WRONG = {
    "": (0, "column, a number or a text is missing"),
    "safety": (6, "comparison is missing"),
    "safety = 8": (7, "write =="),
    "safety => 8": (7, "write >="),
    "a >= 1 && b < 2": (7, "write and"),
    ">= 8": (0, "column, a number or a text is missing"),
    "a >= 8 9": (7, "over"),
    "a > nan": (4, "missing value equals nothing"),
    "a == null": (5, "data.missing_scores"),
    "8 == 8": (0, "no column"),
    "a >= (8)": (5, "missing"),
    "(a >= 8": (7, ") is missing"),
    "a >= 8)": (6, "over"),
    "a >= 8 and": (10, "missing"),
    "a in []": (6, "empty"),
    "a in [1, 'x']": (9, "not both"),
    "a in [b]": (6, "in quotes"),
    "a in 'x'": (5, "list is missing"),
    "a not 'x'": (6, "in is missing"),
    "a == 'x": (5, "never closed"),
    "len(a, b) > 1": (0, "len(column)"),
    "len(a) == 'x'": (10, "a number is compared with a text"),
    "agree(a, b)": (0, "agree(column, column, number)"),
    "mean(a, 3) > 1": (0, "mean(column, column)"),
    "agree(a, b, 1) > 2": (15, "over"),
    "1 < agree(a, b, 1)": (4, "stands alone"),
    "exec(a) > 1": (0, "backticks"),
    "__import__('os').system('ls') == 0": (0, "there is no such function"),
    "(" * 200 + "a > 1": (50, "several rules"),
    "not " * 5000 + "a > 1": (200, "several rules"),
}


@pytest.mark.parametrize("text", WRONG)
def test_the_place_of_a_mistake_is_shown(text):
    at, said = WRONG[text]
    with pytest.raises(MinitronError) as raised:
        parse(text, option="data.probes")
    message, line, caret = str(raised.value).split("\n")
    assert message.startswith(f"data.probes: '{text.strip()}' is not a rule")
    assert line == f"  {text}"
    assert caret.index("^") == at + 2
    assert said in f"{caret} | {raised.value.hint}"
    assert raised.value.code == 2


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab.(1)[-]<>=!,\"'` andorti\n", max_size=40))
def test_any_text_is_a_rule_or_a_sentence(text):
    try:
        found = parse(text)
    except MinitronError:
        return
    assert all(part.text in text and list(part.condition.leaves()) for part in found)


# --- what the columns hold -------------------------------------------------------------------------------------------


def test_of_eight_of_ten_the_eight_counts():
    write("x.parquet", numbered(6), score=["8/10", " 6.5 / 10", "3", "?", "", None])
    report = run(files=["x.parquet"], keep=["score >= 5"], valid_fraction=0.0)
    assert (report["kept"], report["dropped"]) == (2, {"no score: score": 3, "score >= 5": 1})
    assert [dict(row["scores"]) for row in part("train")] == [{"score": 8.0}, {"score": 6.5}]


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_texts_lengths_and_fields(ending):
    rows = [
        {"messages": dialogue("q", f"{i}"), "lang": lang, "scores": {"tone": tone}}
        for i, (lang, tone) in enumerate([("ru", 9), ("en", 9), (None, 9), ("ru", 3), ("ru", None)])
    ]
    rows.append({"messages": dialogue("q", "x", "y", "z"), "lang": "ru", "scores": {"tone": 9}})
    save(f"x.{ending}", rows)
    keep = ['lang in ["ru"] and scores.tone >= 5', "len(messages) <= 2"]
    report = run(files=[f"x.{ending}"], keep=keep, valid_fraction=0.0)
    assert report["kept"] == 1
    assert report["dropped"] == {
        'lang in ["ru"]': 1,
        "no value: lang": 1,
        "scores.tone >= 5": 1,
        "no score: scores.tone": 1,
        "len(messages) <= 2": 1,
    }
    assert dict(part("train")[0]["scores"]) == {"scores.tone": 9.0}


def test_a_run_s_own_files_can_be_read_again_by_their_scores():
    write("x.parquet", numbered(5), score=[1, 2, 3, 4, 5])
    run(files=["x.parquet"], keep=["score >= 1"], valid_fraction=0.0)
    table = pq.read_table("runs/t/data/train.parquet")
    pq.write_table(table, "again.parquet")
    assert run(files=["again.parquet"], keep=["scores.score >= 4"])["kept"] == 2


def test_a_length_is_told_without_reading_the_texts():
    """The texts are overwritten with garbage, so reading them would fail."""
    write("x.parquet", [dialogue(*(f"{i} {word}" for word in ("hello", "hi", "how", "fine"))) for i in range(50)])
    metadata = pq.read_metadata("x.parquet").row_group(0)
    raw = bytearray(Path("x.parquet").read_bytes())
    for column in (metadata.column(i) for i in range(metadata.num_columns)):
        if column.path_in_schema.endswith("content"):
            begin = column.dictionary_page_offset or column.data_page_offset
            raw[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    Path("x.parquet").write_bytes(raw)
    assert "len(messages) > 4: 50" in refused(files=["x.parquet"], keep=["len(messages) > 4"])


def test_what_a_rule_cannot_compare_is_said():
    write("x.parquet", numbered(3), lang=["ru"] * 3, score=[1, 2, 3], both=[{"a": 1}] * 3)
    assert "compares the column 'score' with a text, but it holds int64" in refused(
        files=["x.parquet"], keep=["score == 'x'"]
    )
    assert "'lang' with a number, but it holds text" in refused(files=["x.parquet"], keep=["lang == 3"])
    assert "asks for the length of the column 'score'" in refused(files=["x.parquet"], keep=["len(score) == 3"])
    assert "no column 'both.b' | 'both' has both.a" in refused(files=["x.parquet"], keep=["both.b == 3"])
    assert "no column 'score.x' | 'score' holds int64" in refused(files=["x.parquet"], keep=["score.x == 3"])
    assert "no column 'ru'" in refused(files=["x.parquet"], keep=["lang == ru"])
    text = refused(2, files=["x.parquet"], keep=["score >= 1"], valid_keep=["lang == 'ru'"])
    assert "data.valid_keep: 'lang == 'ru'' is not about scores" in text


def test_a_missing_value_decides_nothing():
    write("x.parquet", numbered(4), a=pa.array([None, None, 7, None]), b=pa.array([7, 3, None, None]))
    assert run(files=["x.parquet"], keep=["a >= 6 or b >= 6"])["dropped"] == {"no score: a": 2}
    report = run(files=["x.parquet"], keep=["a >= 6 or b >= 6"], missing_scores="keep")
    assert (report["kept"], report["kept_without_score"]) == (4, {"a": 2})
    assert run(files=["x.parquet"], keep=["not a >= 6 or b >= 7"])["dropped"] == {"no score: a": 2, "no score: b": 1}


def test_probes_may_be_any_rule():
    write("x.parquet", numbered(4), split=["test", "train", None, "train"])
    assert run(files=["x.parquet"], probes='split == "test"')["probes"] == 1


def test_leaves_are_the_columns_that_are_read():
    rules = Rules(DataConfig(keep=["mean(a, b) >= 3 and c in ['x']", "len(d) > a"], probes="a == 1"))
    assert rules.leaves == [Leaf("a"), Leaf("b"), Leaf("c", "text"), Leaf("d", "length")]
    assert rules.columns == ["a", "b"]
