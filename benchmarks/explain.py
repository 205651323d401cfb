"""How soon the page that explains a model is usable. Run: .venv/bin/python benchmarks/explain.py runs/demo/explain.html

Needs Debian's chromium and `pip install playwright`. Opens the page five times from disk and prints medians: seconds until the chapters
made from the run's files can be read, seconds until the engine has answered, and milliseconds of two requests after that.
"""

import json
import shutil
import statistics
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

OPENINGS = 5
TIMED = """async ([request]) => {
  const began = performance.now();
  await minitron.engine.explain(request);
  return performance.now() - began;
}"""


def opening(browser, file: Path) -> dict[str, float]:
    page = browser.new_page()
    page.goto(file.resolve().as_uri(), wait_until="commit")
    told = until(page, "document.querySelector('#card-body')?.childElementCount")
    ready = until(page, "performance.getEntriesByName('minitron-explained')[0]?.startTime")
    tokens = page.evaluate("minitron.engine.explain({do: 'tokens', text: 'Hello! What can you do?', chat: true})")
    ids = [token["id"] for token in tokens]
    found = {"read_s": told / 1000, "ready_s": ready / 1000}
    found["next_ms"] = page.evaluate(TIMED, [{"do": "next", "ids": ids, "top": 12}])
    found["attention_ms"] = page.evaluate(TIMED, [{"do": "attention", "ids": ids}])
    page.close()
    return found


def until(page, condition: str) -> float:
    """The time at which a condition first holds, in ms of the page's clock. A condition above 100 is itself that time."""
    while not (value := page.evaluate(f"{condition} ?? 0")):
        time.sleep(0.005)
    return value if value > 100 else page.evaluate("performance.now()")


def main() -> None:
    file = Path(sys.argv[1])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        runs = [opening(browser, file) for _ in range(OPENINGS)]
        browser.close()
    medians = {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
    print(json.dumps({"megabytes": round(file.stat().st_size / 1e6, 1), **medians}))


if __name__ == "__main__":
    main()
