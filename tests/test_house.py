"""The house's own rules: imports point down, recipes are sound, help is instant, option docs are true."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from minitron.recipe.load import load_recipe
from minitron.recipe.write import dump_recipe
from minitron.stages import pipeline

ROOT = Path(__file__).parent.parent


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


def test_stages_never_import_each_other():
    for name in pipeline.NAMES:
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


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_every_recipe_runs_dry(path):
    stage = "pretrain" if load_recipe(path).base else "sft"
    done = subprocess.run(
        [sys.executable, "-m", "minitron", stage, str(path), "--dry-run"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for word in ("parameters", "tokens", "memory", "time"):
        assert f"\n{word} " in "\n" + done.stderr
    if path.name == "mini-tron-50.toml":
        assert "47.85M" in done.stderr
        assert "65,536 per step" in done.stderr


def test_help_imports_nothing_heavy():
    heavy = "import sys; from minitron import cli; cli.parser(); print({'torch', 'pyarrow', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_generated_pages_are_what_the_code_says():
    assert (ROOT / "docs/recipes.md").read_text() == reference.recipes(), "run: python docs/reference.py"
    assert (ROOT / "docs/commands.md").read_text() == reference.commands(), "run: python docs/reference.py"


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
