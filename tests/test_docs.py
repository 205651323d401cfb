"""The documents are tried: commands parse, targets and files exist, links lead somewhere, and a first recipe works as printed."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minitron.cli.arguments import parser
from minitron.program import go
from minitron.recipe.schema import Config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
COMMANDS = ("minitron", "make", "torchrun", "python", ".venv/bin/python")


def fences(page: Path) -> list[tuple[str, str]]:
    """Fenced blocks of a page: language and text."""
    return [(match[1], match[2]) for match in FENCE.finditer(page.read_text(encoding="utf-8"))]


def commands() -> list[pytest.param]:
    """Every command line of the pages: in fences without a language or with `sh`, and in `code` that begins with a command."""
    found = []
    for page in PAGES:
        if page.name == "extending.md":  # its commands need its patches: tests/test_extending.py runs them
            continue
        for language, text in fences(page):
            lines = text.replace("\\\n", " ").splitlines() if language in ("", "sh") else []
            found += [(page.name, line.removeprefix("$ ")) for line in lines]
        inline = FENCE.sub("", page.read_text(encoding="utf-8"))
        found += [(page.name, text) for text in re.findall(r"`([^`\n]+)`", inline) if " " in text]
    lines = [(page, re.split(r"\s+#\s|\s+[<>|]\s", line)[0].strip()) for page, line in found]
    return [
        pytest.param(line, id=f"{page}: {line}"[:90])
        for page, line in sorted(set(lines))
        if line.split() and line.split()[0] in COMMANDS and "..." not in line
    ]


def parse(words: list[str]) -> None:
    """Fails on what `minitron` would refuse; a command's bare name is only a mention, not a call."""
    if len(words) == 1 and not words[0].startswith("-"):
        words = [*words, "--help"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()) as said:
        arguments, rest = parser().parse_known_args(words)
    # as in `minitron export --format gguf`: for any recipe
    if "the following arguments are required: RECIPE" in said.getvalue():
        parse([words[0], "recipes/demo.toml", *words[1:]])
        return
    assert not said.getvalue(), said.getvalue()
    if "--help" in words:
        return
    assert all("=" in text and not text.startswith("-") for text in rest)
    if (recipe := getattr(arguments, "recipe", "")) and recipe.startswith("recipes/"):
        invented = {"recipes/mine.toml", "recipes/hour.toml", "recipes/judged.toml"}  # the reader writes these
        assert recipe in invented or (ROOT / recipe).exists(), f"there is no {recipe}"


@pytest.mark.parametrize("line", commands())
def test_a_command_in_the_documents_is_one(line):
    words = shlex.split(line)
    match words[0]:
        case "minitron":
            if "|" not in line:  # `minitron tokenize|logits` names several
                parse(words[1:])
        case "torchrun":
            parse(words[words.index("minitron") + 1 :])
        case "make":
            outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
            command = ["make", "-n", "-o", "setup", *words[1:]]
            done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        case _:
            if "-m" in words:
                parse(words[words.index("minitron") + 1 :])
                return
            script = ROOT / words[1]
            assert script.exists(), f"there is no {words[1]}"
            for option in (word for word in words[2:] if word.startswith("--")):
                assert f'"{option}"' in script.read_text(), f"{words[1]} has no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
            assert anchor in slugs, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_as_many_cells(page):
    """A line end within a cell would end the table."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for table in re.findall(r"(?:^ *\|.*\n)+", text, re.M):
        rows = [re.sub(r"\\\|", "", row.strip()) for row in table.splitlines()]
        assert all(row.endswith("|") and row.count("|") == rows[0].count("|") for row in rows), table[:200]


def options(kind: type) -> set[str]:
    """The names of all options of a recipe's section, also of those in tables within it."""
    found = set()
    for field in dataclasses.fields(kind):
        found |= {field.name} if field.metadata else set()
        hint = typing.get_type_hints(kind)[field.name]
        for inner in (hint, *typing.get_args(hint)):
            found |= options(inner) if dataclasses.is_dataclass(inner) else set()
    return found


def test_the_page_of_recipes_has_every_option():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/recipes.md").read_text(encoding="utf-8"), re.M)
    assert not options(Config) - set(rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page):
    """`code` with a slash and a file ending names a file of the project, unless a run makes that file."""
    made = (
        "runs/",
        "export/",
        "dist/",
        "my/",
        "../",
        "recipes/mine",
        "recipes/hour",
        "recipes/judged.",
        "kto/",
        "sft/",
        "data/",
        "reject/",
    )
    for name in re.findall(r"`([\w./*-]+/[\w.*-]+\.(?:py|go|toml|json|s|js|md))`", page.read_text(encoding="utf-8")):
        if not name.startswith(made) and "*" not in name:
            assert any(
                (ROOT / folder / name).exists() for folder in ("", "minitron", "go_serve", "go_serve/internal")
            ), name


QUICK = ["sft.steps=12", "sft.eval_every_steps=6", "model.d_model=32", "model.n_heads=2", "model.n_layers=1"]
QUICK += ["eval.prompts=8", "optim.precision=fp32", "reject.prompts=60", "reject.max_tokens=16", "kto.steps=4"]


def readme_recipe(name: str) -> str:
    texts = [text for language, text in fences(ROOT / "README.md") if language == "toml"]
    (found,) = [text for text in texts if text.startswith(f"# recipes/{name}.toml")]
    return found


def dialogues(count: int) -> list[list[dict]]:
    words = [
        "river",
        "stone",
        "lamp",
        "bread",
        "cloud",
        "letter",
        "garden",
        "winter",
        "story",
        "music",
        "window",
        "paper",
    ]
    return [
        [
            {"role": "user", "content": f"Tell me about the {words[i % 12]} and the {words[i // 12 % 12]}, part {i}."},
            {
                "role": "assistant",
                "content": f"The {words[i % 12]} is near the {words[(i * 5 + 1) % 12]}; {i} is enough.",
            },
        ]
        for i in range(count)
    ]


def test_the_go_programs_of_the_page_run(tmp_path):
    (module,) = [text for _, text in fences(ROOT / "docs/go.md") if text.startswith("module ")]
    programs = [text for language, text in fences(ROOT / "docs/go.md") if language == "go"]
    told = []
    for number, program in enumerate(programs):
        folder = tmp_path / str(number)
        shutil.copytree(go.SOURCES / "internal/model/testdata/llama-qknorm", folder / "model")
        (folder / "go.mod").write_text(re.sub(r"=> .*", f"=> {go.SOURCES}", module))
        (folder / "main.go").write_text(program)
        outside = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "", "GOWORK": "off"}
        done = subprocess.run(
            [go.find_go(), "run", "."], cwd=folder, env=os.environ | outside, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.splitlines())
    chat, session = told
    assert any(chat)
    assert len(session) == 5  # tokens


# slow: a whole run, to the program
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mine", "judged"])
def test_a_first_recipe_works_as_the_readme_prints_it(name, tmp_path):
    """A user's small file: 300 dialogues; `mine` has no scores, `judged` has them."""
    count = 300
    columns = {"messages": dialogues(count)}
    if name == "judged":
        columns |= {"overall_score": [9 - i % 5 for i in range(count)], "safety": [10] * count}
    (tmp_path / "recipes").mkdir()
    folder = tmp_path / ("my" if name == "mine" else "judged")
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "chats.parquet")
    (tmp_path / f"recipes/{name}.toml").write_text(readme_recipe(name))
    quick = [key for key in QUICK if name == "judged" or not key.startswith(("reject", "kto"))]
    command = [sys.executable, "-m", "minitron", "run", f"recipes/{name}.toml", *quick]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (program,) = [p for p in (tmp_path / "dist").glob("minitron-chat-*") if p.is_file()]
    answer = subprocess.run([program, "info", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["name"] == name
