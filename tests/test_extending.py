"""docs/extending.md: every patch applies to a copy of the package, is one new file and one line of a list, and does what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# heading -> its patch and the lines that use it
CASES = {
    heading: (patch, use)
    for heading, patch, use in re.findall(
        r"^## (.*?)\n.*?^```diff\n(.*?)^```\n\n^```python\n(.*?)^```$",
        (ROOT / "docs/extending.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
}


def test_there_is_a_patch_for_every_list():
    assert len(CASES) == 5


@pytest.mark.parametrize("heading", CASES)
def test_a_patch_is_one_new_file_and_one_line(heading):
    patch, _ = CASES[heading]
    changed = re.findall(r"^--- (.*)$", patch, re.MULTILINE)
    assert sorted(changed) == ["/dev/null", "a/minitron/recipe/kinds.py"]
    listed = re.search(r"^--- a/.*?(?=^--- |\Z)", patch, re.MULTILINE | re.DOTALL)[0]
    changed = [line for line in listed.splitlines()[2:] if line.startswith(("+", "-"))]
    assert len(changed) == 1
    assert changed[0].startswith("+    ")


@pytest.mark.slow  # each imports torch in a process of its own
@pytest.mark.parametrize("heading", CASES)
def test_a_patch_applies_and_works(tmp_path, heading):
    patch, use = CASES[heading]
    shutil.copytree(ROOT / "minitron", tmp_path / "minitron", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "--unidiff-zero", "-"], input=patch, text=True, cwd=tmp_path, check=True)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", f"import minitron\nassert minitron.__file__.startswith({str(tmp_path)!r})\n{use}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
