"""The house's own rules: imports point down, recipes are sound, help is instant, option docs are true."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minitron import config, docs

ROOT = Path(__file__).parent.parent
FLOORS = {
    0: "errors console config",
    1: "files distributed parallel metrics probes failures losses rules tokenizer chatml model quantize guards audit lora",
    2: "dataset recorded dialogues corpus packing checkpoint optim generate preference trainer report synth program lowbit "
    "scorecard choice memory",
    3: "stages chat compare ndjson survey plan dial",
    4: "pipeline cli docs __main__",
}
# Within a floor these may lean on each other, in this order only.
BESIDE = {
    "console": {"errors"},
    "config": {"errors"},
    "chatml": {"tokenizer"},
    "rules": {"probes"},
    "trainer": {"checkpoint", "optim", "packing"},
    "lora": {"model"},
    "parallel": {"distributed"},
    "metrics": {"files"},
    "checkpoint": set(),
    "preference": {"trainer"},
    "choice": {"scorecard"},
    "recorded": {"dataset"},
    "corpus": {"dataset", "generate", "packing"},
    "scorecard": {"corpus", "dialogues", "generate", "packing", "trainer"},
    "memory": {"packing"},
    "plan": {"survey"},
    "dial": {"survey", "plan"},
    "generate": set(),
    "cli": {"pipeline"},
    "docs": {"cli"},
    "__main__": {"cli"},
}


def floor_of(name: str) -> int:
    return next(floor for floor, names in FLOORS.items() if name in names.split())


def imports(path: Path) -> set[str]:
    """Modules of minitron that a file imports, anywhere in it."""
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
        assert not imports(path)
        return
    for other in imports(path) - ({package} if package in ("synth", "program") else set()):
        below = floor_of(other) < floor_of(package)
        assert below or other in BESIDE.get(package, ()), f"{package} must not import {other}"


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_every_recipe_is_sound_and_written_back_the_same(path, tmp_path):
    recipe = config.load(path)
    again = tmp_path / path.name
    again.write_text(config.dump(recipe))
    loaded = config.load(again)
    assert loaded.name == recipe.name
    assert config.dump(loaded) == config.dump(recipe)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_every_recipe_runs_dry(path):
    stage = "pretrain" if config.load(path).base else "sft"
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
    assert (ROOT / "docs/recipes.md").read_text() == docs.recipes(), "run: python -m minitron.docs"
    assert (ROOT / "docs/commands.md").read_text() == docs.commands(), "run: python -m minitron.docs"


def test_the_readme_names_every_command():
    readme = (ROOT / "README.md").read_text()
    for line in docs.commands().splitlines():
        if line.startswith("## minitron "):
            assert f"`{line.split()[2]}`" in readme or f"`minitron {line.split()[2]}" in readme, line
