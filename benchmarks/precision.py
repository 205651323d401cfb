"""How often a run chooses the faster precision: in fresh processes, alone and beside a busy program.

Run: .venv/bin/python benchmarks/precision.py [--processes 20]. Which precision is faster is decided by long
measurements before and after. Prints what was chosen and writes benchmarks/precision.json.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHILD = """
import json, sys
from minitron.core.device import processor
from minitron.plan import timing
from minitron.recipe.load import load_recipe
import torch
config, device, rounds = load_recipe("recipes/demo.toml"), torch.device("cpu"), int(sys.argv[1])
if rounds:
    from minitron.train import precision
    precision.ROUNDS, precision.LEAST_SECONDS, precision.MOST_SECONDS = rounds, 20.0, 60.0
chosen = timing.measure(config, "sft", device).chosen.precision
print(json.dumps({"name": chosen.name, "seconds": chosen.seconds, "processor": processor()}))
"""


def chosen(rounds: int = 0) -> dict:
    """What a fresh process chooses. With `rounds` it measures that many turns, for 20 to 60 seconds, in place of its usual few."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(rounds)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def spin() -> None:
    while True:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=20)
    count = parser.parse_args().processes
    results = {"long": [chosen(50)]}
    for beside in ("alone", "beside a busy program"):
        busy = multiprocessing.Process(target=spin, daemon=True)
        if beside != "alone":
            busy.start()
        results[beside] = dict(Counter(chosen()["name"] for _ in range(count)))
        if beside != "alone":
            busy.kill()
        print(beside, results[beside], flush=True)
    results["long"].append(chosen(50))
    print("long measurements", [r["name"] for r in results["long"]])
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
