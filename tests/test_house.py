"""The house's own rules: imports point down, recipes are sound, help is instant, option docs are true."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import minitron

from minitron.cli.arguments import STAGE_HELP
from minitron.model.language_model import LanguageModel
from minitron.recipe import layout
from minitron.recipe.load import load_recipe
from minitron.recipe.write import dump_recipe
from minitron.stages import declared

ROOT = Path(__file__).parent.parent
MEASURED = ("mini-tron-50.toml", "ru-classics.toml", "chekhov-char.toml")  # slow, since a dry run measures the machine


def script(name: str):
    """A module of docs/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference, structure = script("reference"), script("structure")


@pytest.mark.parametrize("path", sorted((ROOT / "minitron").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    package = path.relative_to(ROOT / "minitron").parts[0].removesuffix(".py")
    if package == "__init__":
        assert not structure.imported(path)
        return
    below = set(structure.FLOORS[: structure.FLOORS.index(package) + 1])
    found = structure.imported(path)
    assert found <= below, f"{package} must not import {found - below}"


def test_the_stages_are_those_that_a_run_has_folders_for():
    assert tuple(declared.NAMES) == layout.STAGES
    assert set(STAGE_HELP) | {"export", "binary"} == set(layout.STAGES)
    assert {stage.name for stage in declared.STAGES if stage.resumable} == set(layout.WITH_MODEL)


def test_stages_never_import_each_other():
    for name in declared.NAMES:
        source = (ROOT / f"minitron/stages/{name}.py").read_text(encoding="utf-8")
        assert "minitron.stages" not in source, f"stages/{name}.py imports a stage"


def test_every_package_says_what_it_is_and_what_it_knows_nothing_about():
    for path in sorted((ROOT / "minitron").glob("*/__init__.py")):
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert "nows nothing about" in doc, path


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_every_recipe_is_sound_and_written_back_the_same(path, tmp_path):
    recipe = load_recipe(path)
    again = tmp_path / path.name
    again.write_text(dump_recipe(recipe))
    loaded = load_recipe(again)
    assert loaded.name == recipe.name
    assert dump_recipe(loaded) == dump_recipe(recipe)
    with torch.device("meta"):
        assert LanguageModel(recipe.model, recipe.tokenizer.vocab_size).count_params() > 0


@pytest.mark.parametrize("name", ["demo.toml", *(pytest.param(n, marks=pytest.mark.slow) for n in MEASURED)])
def test_recipes_run_dry(name):
    path = ROOT / "recipes" / name
    stage = "pretrain" if load_recipe(path).base else "sft"
    done = minitron(stage, str(path), "--dry-run", folder=ROOT)
    assert done.returncode == 0, done.stderr
    for word in ("parameters", "tokens", "memory", "time"):
        assert f"\n{word} " in "\n" + done.stderr
    if name == "mini-tron-50.toml":
        assert "47.85M" in done.stderr
        assert "65,536 per step" in done.stderr


def test_help_imports_nothing_heavy():
    heavy = "import sys; from minitron.cli.commands import parser; parser(); print({'torch', 'pyarrow', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_generated_pages_are_what_the_code_says():
    assert (ROOT / "docs/recipes.md").read_text() == reference.recipes(), "run: python docs/reference.py"
    assert (ROOT / "docs/commands.md").read_text() == reference.commands(), "run: python docs/reference.py"


SOURCES = sorted((ROOT / "minitron").rglob("*.py"))


def test_docstrings_say_what_not_of_what():
    """A docstring that begins with "Of" leaves out what it is about."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                assert not (ast.get_docstring(node) or "").startswith("Of "), f"{path}: {getattr(node, 'name', '')}"


def test_what_a_module_knows_nothing_about_it_does_not_import():
    """`Knows nothing about models` and an import of minitron.model exclude each other."""
    words = {"models": "model", "tokens": "tokenizer", "training": "loop", "losses": "losses", "recipes": "recipe"}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = re.search(r"[Kk]nows nothing about ([^.;]*)", ast.get_docstring(tree) or "")
        unknown = {words[word] for word in re.findall(r"\w+", told[1] if told else "") if word in words}
        used = {
            part
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minitron")
            for part in [*node.module.split(".")[1:], *(alias.name for alias in node.names)]
        }
        assert not unknown & used, f"{path} says that it knows nothing about {unknown & used}"


def test_text_files_are_read_and_written_as_utf8_whatever_the_locale():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in ("read_text", "write_text"):
                given = [keyword.arg for keyword in node.keywords]
                assert "encoding" in given or len(node.args) == (2 if node.func.attr == "write_text" else 1), (
                    f"{path}:{node.lineno} does not name an encoding"
                )


def test_the_picture_is_of_this_house():
    assert (ROOT / "docs/structure.svg").read_text(encoding="utf-8") == structure.svg(), "run: python docs/structure.py"
    assert len(structure.FLOORS) <= 20
    assert {p.stem for p in (ROOT / "minitron").iterdir() if p.suffix in ("", ".py")} - {
        "__init__",
        "__pycache__",
    } == set(structure.FLOORS)


def test_the_readme_names_every_command():
    readme = (ROOT / "README.md").read_text()
    for line in reference.commands().splitlines():
        if line.startswith("## minitron "):
            assert f"`{line.split()[2]}`" in readme or f"`minitron {line.split()[2]}" in readme, line


@pytest.mark.skipif(sys.platform != "linux", reason="torch has GNU's OpenMP on Linux")
@pytest.mark.parametrize(
    ("own", "looks"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")]
)
def test_threads_soon_sleep_while_they_wait_unless_the_user_says_how(own, looks):
    env = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    shown = {"OMP_DISPLAY_ENV": "VERBOSE"} | own
    code = "import minitron.core.parallel"
    done = subprocess.run([sys.executable, "-c", code], env=env | shown, capture_output=True, text=True, check=True)
    assert f"GOMP_SPINCOUNT = '{looks}'" in done.stderr
