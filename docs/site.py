"""What `make site` changes in the documents: README.md becomes the first page, links into the source tree become plain text, and the
pictures of benchmarks/ are added. A hook of mkdocs (mkdocs.yml)."""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config) -> Files:
    """Adds the files that lie outside docs/: the pictures of benchmarks/ and README.md as index.md."""
    picture = [path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks").glob("*.svg")]
    for name in picture:
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, **_) -> str:
    """Rewrites links to fit the site; those to other files outside docs/ become plain text."""
    markdown = markdown.replace("](../benchmarks/", "](benchmarks/").replace("](../README.md", "](index.md")
    return re.sub(r"(?<!!)\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", markdown)
