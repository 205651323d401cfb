"""What each way of rounding a trained model costs: held-out bits per byte, seconds to round, bytes of weights.bin.

Run: .venv/bin/python benchmarks/quantize.py RECIPE ... [--rows N] [--only WAY] [--stage STAGE]. Each recipe must have been run up to
that stage (default: the one that it ships). Adds the figures to benchmarks/quantize.json and writes the tables into
docs/quantization.md. The models compute with the chat program's arithmetic (`quant.arithmetic`). --rows measures on N held-out rows
in place of all; --only measures one way, and leaves the figures of the others as they were.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tables import Table, put, show_all

from minitron.evaluate.examiner import Examiner
from minitron.model.language_model import LanguageModel
from minitron.quant import arithmetic, gptq, panels
from minitron.recipe.load import load_recipe
from minitron.tokenizer import kinds
from minitron.train import calibrate, checkpoint

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_suffix(".json")
DOCS = ROOT / "docs" / "quantization.md"
# weights, second moments of their inputs (None: the embedding) -> stored matrix
Round = Callable[[np.ndarray, np.ndarray | None], panels.Matrix]


def plain(dtype: str) -> Round:
    return lambda values, moments: panels.nearest(values, dtype)


def weighed(values: np.ndarray, moments: np.ndarray | None) -> panels.Matrix:
    return panels.nearest(values, "q4", None if moments is None else np.diag(gptq.damped(moments)).astype(np.float32))


def compensated(sweeps: int) -> Round:
    return lambda values, moments: (
        panels.nearest(values, "q4") if moments is None else gptq.compensated(values, moments, sweeps=sweeps)
    )


WAYS: dict[str, tuple[str, Round]] = {
    "f16": ("f16", plain("f16")),
    "q8": ("q8", plain("q8")),
    "q4, nearest": ("q4", plain("q4")),
    "q4, scales by moments": ("q4", weighed),
    "q4, GPTQ": ("q4", compensated(0)),
    "q4, GPTQ and sweeps": ("q4", compensated(gptq.SWEEPS)),
}
TUNED = "q4, tuned"  # what export does
COLUMNS = [*WAYS, TUNED]


def measure(recipe: str, rows: int, ways: list[str], stage: str | None) -> dict:
    """Bits per byte, seconds and bytes of these ways for the model of a stage; None: the one that the recipe ships."""
    config = load_recipe(Path(recipe))
    stage = stage or config.shipped
    examiner = Examiner(config, kinds.load(config.layout.tokenizer))
    folder = checkpoint.finished(config.layout.stage(stage), stage)
    model, about = checkpoint.load_model(folder)

    def bits_per_byte(model: LanguageModel) -> float:
        return examiner.loss(model, rows=rows).bits_per_byte

    exact = bits_per_byte(model)
    start = time.perf_counter()
    moments = calibrate.of_run(config, model) if {*ways} - {"f16", "q8", "q4, nearest", TUNED} else {}
    seconds = time.perf_counter() - start
    found: dict[str, dict[str, float]] = {}
    for way in ways:
        program, start = copy.deepcopy(model).float().eval(), time.perf_counter()
        if way == TUNED:
            dtype, matrices = "q4", calibrate.round_q4(config, program)
        else:
            dtype, rounding = WAYS[way]
            matrices = {
                n: rounding(p.detach().numpy(), moments.get(n)) for n, p in program.named_parameters() if p.ndim == 2
            }
        with torch.no_grad():
            for name in matrices.keys() - {program.position_table}:
                program.get_parameter(name).copy_(torch.from_numpy(matrices[name].values()))
        spent = time.perf_counter() - start + (seconds if way not in ("f16", "q8", "q4, nearest", TUNED) else 0)
        size = sum(len(matrix.pack()) for name, matrix in matrices.items() if name != program.position_table)
        arithmetic.round_activations(program, dtype)
        found[way] = {"bits_per_byte": bits_per_byte(program), "seconds": round(spent, 1), "bytes": size}
        print(recipe, way, found[way], f"{found[way]['bits_per_byte'] / exact - 1:+.2%}", flush=True)
    step = {"stage": stage, "step": about["step"], "params": model.count_params()}
    return step | {"rows": min(rows or len(examiner.rows), len(examiner.rows)), "fp32": exact, "ways": found}


def tables(results: dict) -> list[Table]:
    """Three tables with a row per recipe: the bits per byte that each way costs, its seconds, and the bytes of the matrices."""

    def cells(r: dict, show: Callable[[dict], str]) -> list[str]:
        return [show(r["ways"][way]) if way in r["ways"] else "not measured" for way in COLUMNS]

    what = {
        name: f"{name}: {r['params'] / 1e6:.1f}M, {r['stage']} step {r['step']}, {r['fp32']:.4f} on {r['rows']} rows"
        for name, r in results.items()
    }
    cost = [
        [what[name], *cells(r, lambda way, exact=r["fp32"]: f"{way['bits_per_byte'] / exact - 1:+.2%}")]
        for name, r in results.items()
    ]
    seconds = [[name, *cells(r, lambda way: f"{way['seconds']:.1f} s")] for name, r in results.items()]
    sizes = [[name, *cells(r, lambda way: f"{way['bytes']:,}")] for name, r in results.items()]
    return [
        Table("cost", "more bits per byte than fp32", ["more bits per byte than fp32", *COLUMNS], cost),
        Table("rounding-seconds", "seconds to round", ["seconds", *COLUMNS], seconds),
        Table("matrix-bytes", "bytes of the matrices", ["bytes", *COLUMNS], sizes),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--rows", type=int, default=0, help="held-out rows; default: all")
    parser.add_argument("--only", choices=COLUMNS, help="default: every way")
    parser.add_argument("--stage", help="whose model to round; default: the one that the recipe ships")
    a = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for recipe in a.recipes:
        found, name = measure(recipe, a.rows, [a.only] if a.only else COLUMNS, a.stage), Path(recipe).stem
        if a.only and name in results:
            same = [key for key in found.keys() - {"ways", "fp32"} if found[key] != results[name][key]]
            assert not same, f"{recipe}: another {', '.join(same)} than the other ways were measured with"
            found["ways"] = results[name]["ways"] | found["ways"]
        results[name] = found
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    show_all(tables(results))
    put(tables(results), DOCS)


if __name__ == "__main__":
    main()
