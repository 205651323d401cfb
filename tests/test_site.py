"""`make site`: every document is a page, no link is broken, nothing is loaded from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow  # renders all documents


def test_the_site_is_whole_and_loads_nothing(tmp_path):
    pytest.importorskip("material")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(
        build, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr  # strict: a warning is an error
    pages = {page.stem for page in (tmp_path / "site").glob("*.html")}
    assert pages == {"index", "404", *(page.stem for page in (ROOT / "docs").glob("*.md"))}
    first = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "From a pile of judged dialogues" in first
    assert 'href="recipes.html"' in first
    for page in ((tmp_path / "site" / f"{name}.html") for name in pages - {"404"}):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|link|source)[^>]*(?:src|href)="([^"]+)"', text)
        assert loaded
        assert not [address for address in loaded if address.startswith(("http", "//"))], page.name
        for name in (name for name in loaded if name.endswith((".svg", ".png"))):
            assert (page.parent / name).exists(), f"{page.name}: {name}"
