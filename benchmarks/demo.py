"""How long `make demo` takes from a fresh clone, stage by stage: on this machine as it is, and as if it had AVX2 only.

Run: .venv/bin/python benchmarks/demo.py [--setting NAME] [--recipe FILE] [--keep FOLDER]. Writes benchmarks/demo.json and the table in
docs/performance.md. The fresh clone is made in the folder for temporary files and removed; its run is copied to the folder of --keep, if
given. The setting `avx2` hides from torch and its libraries what the processor has beyond AVX2, among it the bf16 instructions.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tables import Table, put, show_all

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_suffix(".json")
DOCS = ROOT / "docs" / "performance.md"
SETTINGS = {
    "as it is": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
STAGES = ("data", "tokenizer", "sft", "reject", "kto", "eval", "export", "binary")


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Seconds that a command takes, and MB of its largest process. Its output goes to the terminal."""
    start = time.perf_counter()
    # without this variable Python stores its compiled files, as it does by default
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = subprocess.Popen(command, cwd=folder, env=own | environment)
    _, status, usage = os.wait4(started.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return round(time.perf_counter() - start, 1), round(usage.ru_maxrss * 1024 / 1e6)


def measure(setting: str, recipe: str, keep: Path | None) -> dict:
    """Seconds of set-up and of each stage, MB of the largest process, and the share of probes that each model answers right."""
    environment = SETTINGS[setting]
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "minitron"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        set_up, set_up_mb = timed(["make", "setup"], clone, environment)
        seconds = {"set-up": set_up}
        run = clone / "runs" / Path(recipe).stem
        end = time.time()
        _, peak_mb = timed([".venv/bin/minitron", "run", recipe], clone, environment)  # all that `make demo` does
        for stage in STAGES:
            begun, end = end, (run / stage / "stage.json").stat().st_mtime
            seconds[stage] = round(end - begun, 1)
        card = json.loads((run / "report.json").read_text())
        if keep:
            shutil.copytree(run, keep / setting.replace(" ", "-") / "runs" / run.name, dirs_exist_ok=True)
        choices = json.loads((run / "sft" / "report.json").read_text())
        last = (run / "sft" / "metrics.jsonl").read_text().splitlines()[-1]
    probes = {stage: model["probes"]["accuracy"] for stage, model in card["models"].items()}
    return {
        "processor": choices["processor"],
        "precision": choices["choices"]["precision"]["name"],
        "seconds": seconds,
        "whole": round(sum(seconds.values()), 1),
        "sft_tokens_per_second": json.loads(last)["tokens_per_second"],
        "peak_mb": peak_mb,
        "set_up_mb": set_up_mb,
        "probes": probes,
        "load": os.getloadavg()[1] if hasattr(os, "getloadavg") else None,
    }


def tables(results: dict) -> list[Table]:
    """Seconds by stage, one column for each setting that was measured."""
    names = list(results)
    rows = [["processor", *(r["processor"] for r in results.values())]]
    rows += [["precision", *(r["precision"] for r in results.values())]]
    rows += [[part, *(f"{r['seconds'][part]:.0f} s" for r in results.values())] for part in ("set-up", *STAGES)]
    rows += [["the whole", *(f"{r['whole'] // 60:.0f} min {r['whole'] % 60:.0f} s" for r in results.values())]]
    rows += [["SFT, tokens per second", *(f"{r['sft_tokens_per_second']:,}" for r in results.values())]]
    rows += [["largest process, MB", *(f"{r['peak_mb']:,}" for r in results.values())]]
    if all("set_up_mb" in r for r in results.values()):
        rows += [["largest process of set-up (pip), MB", *(f"{r['set_up_mb']:,}" for r in results.values())]]
    rows += [["load at the end (processes that want a core)", *(f"{r['load'] or 0:.0f}" for r in results.values())]]
    rows += [["probes right", *(f"{list(r['probes'].values())[-1]:.1%}" for r in results.values())]]
    return [Table("demo", "make demo, from a fresh clone", ["", *names], rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--setting", choices=SETTINGS, action="append", help="default: all")
    parser.add_argument("--recipe", default="recipes/demo.toml")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for setting in arguments.setting or SETTINGS:
        results[setting] = measure(setting, arguments.recipe, arguments.keep)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    found = tables(results)
    show_all(found)
    if arguments.recipe == "recipes/demo.toml":
        put(found, DOCS)


if __name__ == "__main__":
    main()
