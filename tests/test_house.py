"""The house's own rules: imports point down, recipes are sound, help is instant, option docs are true."""

import ast
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minitron.recipe.load import load_recipe
from minitron.recipe.write import dump_recipe

ROOT = Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
# From the ground up: a package imports only from those before it. The last two are modules.
FLOORS = [
    "core",
    "recipe",
    "tokenizer",
    "model",
    "quant",
    "data",
    "sample",
    "train",
    "evaluate",
    "align",
    "synth",
    "program",
    "interop",
    "plan",
    "chat",
    "stages",
    "cli",
    "__main__",
]


def imported(path: Path) -> set[str]:
    """Packages of minitron that a file imports from, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "minitron":
            found |= {alias.name for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minitron."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("minitron.")}
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "minitron").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    package = path.relative_to(ROOT / "minitron").parts[0].removesuffix(".py")
    if package == "__init__":
        assert not imported(path)
        return
    below = set(FLOORS[: FLOORS.index(package) + 1])
    assert imported(path) <= below, f"{package} must not import {imported(path) - below}"


def test_stages_never_import_each_other():
    for path in sorted((ROOT / "minitron/stages").glob("*.py")):
        within = {
            node.module.removeprefix("minitron.").removeprefix("stages").removeprefix(".") or alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minitron.stages")
            for alias in node.names
        }
        assert not within, f"{path.name} imports {within}"


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


def test_help_is_instant():
    """Nothing heavy is imported: the bar is 0.3 s, which a busy machine may miss once, not three times."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "minitron", "--help"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert "RECIPE" not in done.stderr
    assert min(seconds) < 0.3
    heavy = "import sys; from minitron import cli; cli.parser(); print({'torch', 'pyarrow', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_generated_pages_are_what_the_code_says():
    assert (ROOT / "docs/recipes.md").read_text() == reference.recipes(), "run: python docs/reference.py"
    assert (ROOT / "docs/commands.md").read_text() == reference.commands(), "run: python docs/reference.py"


def test_the_readme_names_every_command():
    readme = (ROOT / "README.md").read_text()
    for line in reference.commands().splitlines():
        if line.startswith("## minitron "):
            assert f"`{line.split()[2]}`" in readme or f"`minitron {line.split()[2]}" in readme, line
