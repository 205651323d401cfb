"""The chat program's tokenizer gives the library's ids: a small run of the campaign in benchmarks/tokenizer.py --fuzz."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_random_models_and_hostile_texts_give_equal_ids():
    command = [
        sys.executable,
        "benchmarks/tokenizer.py",
        "--fuzz",
        "48000",
        "--models",
        "24",
        "--seed",
        "7",
        "--no-save",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    counts = {
        name.strip(): int(n.replace(",", "")) for name, n in re.findall(r"^  (\D+?) +([\d,]+)$", done.stdout, re.M)
    }
    assert counts["texts"] >= 48000
    assert counts["models"] == 24
    assert counts["of them char models"] > 0
    assert counts["wrong"] == 0
