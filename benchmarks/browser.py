"""The one HTML file in headless Chromium, from file://: how soon it answers after opening, and how fast.

Run: .venv/bin/python benchmarks/browser.py (needs Debian's chromium and `pip install playwright`). Prints medians and writes
benchmarks/browser.json. The models have fresh weights and 5 or 48 million parameters. Every request also asks for the tokens'
probabilities, as the page does. Everything is measured twice: alone, and beside two busy programs.
"""

import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from minitron.program import html

ROOT = Path(__file__).resolve().parents[1]
OPENINGS = 5
SHAPES = {
    "5M": {"n_layers": 5, "n_heads": 4, "d_model": 256, "d_ff": 704, "context": 512, "vocab": 4096},
    "48M": {"n_layers": 10, "n_heads": 8, "d_model": 512, "d_ff": 1376, "context": 1024, "vocab": 32000},
}
# Waits for nothing but the engine: the question is asked at the first moment at which the page could accept one.
ASK = """async () => {
  while (!globalThis.engine) await new Promise((resolve) => setTimeout(resolve, 1));
  const times = [];
  const request = { messages: [{ role: "user", content: "Hello! Who are you? Tell me a story." }], max_tokens: 150, seed: 1,
    stream: true, logprobs: true, top_logprobs: 5 };
  await engine.chat(request, { onChunk: () => times.push(performance.now()) });
  const tokens = times.slice(1, -1); // the first chunk is the role, the last one the end
  const longest = Math.max(0, ...longTasks);
  return { first_token_s: tokens[0] / 1000, tokens_per_s: (tokens.length - 1) * 1000 / (tokens.at(-1) - tokens[0]), longest_task_ms: longest };
}"""
APP = """
globalThis.minitron ??= {};
globalThis.longTasks = [];
new PerformanceObserver((l) => longTasks.push(...l.getEntries().map((e) => e.duration))).observe({ type: "longtask", buffered: true });
minitron.start = (engine) => { globalThis.engine = engine; };
"""
INDEX = """<!doctype html>
<html><head><meta charset="utf-8">
<title>x</title></head><body><script src="app.js"></script><script src="http-engine.js"></script>
<script src="main.js"></script></body></html>"""


def spin() -> None:
    while True:
        pass


def make(folder: Path, shape: dict, dtype: str) -> Path:
    settings = [f"tokenizer.vocab_size={shape['vocab']}"]
    settings += [f"model.{key}={value}" for key, value in shape.items() if key != "vocab"]
    command = [sys.executable, "-m", "minitron", "export", ROOT / "recipes/demo.toml", "--untrained", *settings]
    subprocess.run([*command, "--dtype", dtype, "--out", folder / "bundle"], check=True, capture_output=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "app.js").write_text(APP)
    return html.write(folder / "bundle", folder / "page.html", page=folder)


def measure(browser, file: Path) -> dict:
    runs = []
    for _ in range(OPENINGS):
        page = browser.new_page()
        page.goto(file.as_uri(), wait_until="commit")
        runs.append(page.evaluate(ASK))
        page.close()
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}


def main() -> None:
    results = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for size, dtype in (("5M", "q8"), ("5M", "q4"), ("48M", "q8"), ("48M", "q4")):
            folder = Path(name) / f"{size}-{dtype}"
            folder.mkdir()
            file = make(folder, SHAPES[size], dtype)
            result = {"megabytes": round(file.stat().st_size / 1e6, 1), "alone": measure(browser, file)}
            others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(2)]
            for other in others:
                other.start()
            result["beside two busy programs"] = measure(browser, file)
            for other in others:
                other.terminate()
            results[f"{size} {dtype}"] = result
            print(f"{size} {dtype}: {json.dumps(result)}", flush=True)
        results["browser"] = browser.version
        browser.close()
    (ROOT / "benchmarks/browser.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
