"""Whether `minitron plan` proposes the best size: compares three proposals with models of half and twice the size, trained as long.

    .venv/bin/python benchmarks/plan.py                            # three kinds of data, 6 minutes a model; an hour
    .venv/bin/python benchmarks/plan.py --case demo --minutes 20 --seed 1 2 3
    .venv/bin/python benchmarks/plan.py --vocabulary               # the proposals with other vocabularies; two hours
    .venv/bin/python benchmarks/plan.py --table                    # write the table of docs/plan.md again

Finished models are skipped, so the command can be stopped and started again. The shapes of all three sizes, and the vocabulary,
batch and learning rate that go with them, follow plan's rules. How many steps fit is measured for the sizes in turn before the first
one trains, so that other load on the machine affects all alike. Compared are held-out bits per byte of the best checkpoint on all
held-out rows, since the vocabularies differ. Exits with 1 if a neighbour is better by more than 1%.

With --vocabulary the proposed model is trained with half, once, one and a half times and twice the rule's vocabulary, for as many steps as make
the same number of steps times parameters, which takes about as long.

Writes benchmarks/plan.json and the tables of docs/plan.md.
"""

import argparse
import json
import math
import statistics
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from tables import Table, put, show_all

from minitron.core.device import pick_device, processor
from minitron.core.files import atomic_write
from minitron.plan import corpus_stats, rules, timing
from minitron.plan.propose import Search
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.stages import pipeline
from minitron.train import metrics

HERE = Path(__file__).resolve().parent
RESULTS = Path(__file__).with_suffix(".json")
PAGE = HERE.parent / "docs" / "plan.md"
CASES = ("demo", "ru-jokes", "tinystories-10k")  # recipes with synthetic dialogues, real dialogues, raw text
SIZES = {"half": 0.5, "proposed": 1.0, "twice": 2.0}
VOCABULARIES = (0.5, 1.0, 1.5, 2.0)  # times the rule's
VOCABULARY = ", vocabulary"  # how the keys of such results end
TURNS = 3  # measurements of each size's speed
VALIDATIONS = 4
OF_THE_RULE = ", 8 min"  # the results that the rule's size for minutes was taken from (rules.MEASURED); proposed were an earlier rule's
WORSE = 0.01  # a neighbour that is better by less than this share does not count as better


def subject(case: str) -> Config:
    """The recipe of a case, without reject and kto, so that all of the time is for training."""
    return replace(load_recipe(HERE.parent / f"recipes/{case}.toml"), reject=None, kto=None)


def proposals(case: str, minutes: float) -> dict[str, dict]:
    """Size -> its parameters, tokens and settings, and the seconds that training should take."""
    config = subject(case)
    search = Search(config, pick_device(config.device), corpus_stats.look(config), "muon")
    best = search.best(minutes)
    shapes = {name: best if times == 1 else search.shape_for(times * best.params) for name, times in SIZES.items()}
    for _ in range(TURNS):
        for shape in shapes.values():
            search.measure(search.settled(shape))
    found = {}
    for name, shape in shapes.items():
        proposal, parts = search.proposal(shape, minutes)
        (stage,) = search.stages
        found[name] = {
            "params": shape.params,
            "tokens": parts[stage].tokens,
            "expected_seconds": round(search.seconds(proposal, parts[stage].tokens), 1),
            "stage": stage,
            "settings": {section: asdict(getattr(proposal, section)) for section in ("model", "tokenizer", stage)},
        }
        print(f"{case}, {name}: {shape.params / 1e6:.2f}M parameters, {parts[stage].steps:,} steps", file=sys.stderr)
    return found


def with_vocabularies(proposed: dict) -> dict[str, dict]:
    """The proposal with other vocabularies, by their size."""
    found, settings, stage = {}, proposed["settings"], proposed["stage"]
    width, tokens = settings["model"]["d_model"], settings["tokenizer"]["vocab_size"]
    for times in VOCABULARIES:
        vocab_size = 64 * round(times * tokens / 64)
        params = proposed["params"] + (vocab_size - tokens) * width
        steps = round(settings[stage]["steps"] * proposed["params"] / params)
        changed = {
            "tokenizer": settings["tokenizer"] | {"vocab_size": vocab_size},
            stage: settings[stage] | {"steps": steps},
        }
        found[str(vocab_size)] = proposed | {"params": params, "settings": settings | changed}
    return found


def planned(case: str, size: str, seed: int, row: dict) -> Config:
    """The recipe of a run, from the stored proposal: with unchanged options a run that was stopped goes on."""
    config, stage, settings = subject(case), row["stage"], row["settings"]
    train = type(getattr(config, stage))(**settings[stage] | {"optim": type(config.optim)(**settings[stage]["optim"])})
    every = -(-train.steps // VALIDATIONS)
    train = replace(train, eval_every_steps=every, eval_rows=0, keep_checkpoints=1, samples=[])
    return replace(
        config,
        name=f"plan-{case}-{size}-{seed}",
        seed=seed,
        model=type(config.model)(**settings["model"]),
        tokenizer=type(config.tokenizer)(**settings["tokenizer"]),
        optim=train.optim,
        **{stage: train},
    )


def train(case: str, size: str, seed: int, row: dict) -> dict:
    """Trains a model. Returns its bits per byte, the seconds in steps, and the date."""
    config, stage = planned(case, size, seed, row), row["stage"]
    if stage == "sft":  # the sizes share one data stage
        shared = replace(subject(case), name=f"plan-{case}")
        for each in pipeline.select(shared, None, "data"):
            pipeline.run_stage(each, shared)
        config.layout.run.mkdir(parents=True, exist_ok=True)
        if not config.layout.stage("data").is_symlink():
            config.layout.stage("data").symlink_to(Path("..") / shared.name / "data", target_is_directory=True)
    for each in pipeline.select(config, "tokenizer", stage):
        pipeline.run_stage(each, config)
    logged = [line for line in metrics.read(config.layout.metrics(stage)) if "valid_loss" in line]
    return {
        "bits_per_byte": min(line["valid_bits_per_byte"] for line in logged),
        "seconds": logged[-1]["seconds"],
        "finished": time.strftime("%Y-%m-%d"),
    }


def tables(results: dict) -> list[Table]:
    """The table: a line per case and size, with the medians over its seeds."""
    rows, vocabularies = [], []
    for key, case in results.items():
        for size, row in case["sizes"].items():
            if not (runs := list(row["runs"].values())):
                continue
            if key.endswith(VOCABULARY):
                vocabularies.append(_vocabulary_row(key, row))
                continue
            bits = statistics.median(run["bits_per_byte"] for run in runs)
            rows.append(
                [
                    f"{key}, {size}",
                    f"{row['params'] / 1e6:.2f}M",
                    "{n_layers} × {d_model}".format(**row["settings"]["model"]),
                    f"{row['tokens'] / 1e6:.2f}M",
                    f"{statistics.median(run['seconds'] for run in runs):,.0f}",
                    f"{bits:.4f}",
                    "" if (than := against(case, size)) is None else f"{than:+.1%}",
                ]
            )
    head = [
        "",
        "parameters",
        "layers × width",
        "tokens",
        "seconds in steps",
        "held-out bits per byte",
        "than the proposal",
    ]
    found = {k: best for k, case in results.items() if k.endswith(OF_THE_RULE) and (best := lowest(k, case))}
    lines = [[key, f"{operations:.1e}", f"{params / 1e6:.2f}M"] for key, (operations, params) in found.items()]
    if len(found) > 1:
        operations, params = (
            math.exp(statistics.mean(map(math.log, values))) for values in zip(*found.values(), strict=True)
        )
        lines.append(["geometric mean", f"{operations:.1e}", f"{params / 1e6:.2f}M"])
    sizes = ["", "operations of training", "best size"]
    told = ["", "parameters of the blocks", "layers × width", "vocabulary", "steps", "held-out bits per byte"]
    return [
        Table("plan", "proposals and their neighbours", head, rows),
        Table("plan-vocabulary", "other vocabularies", told, vocabularies),
        Table("plan-best", "where the parabola through the three sizes of 8 minutes is lowest", sizes, lines),
    ]


def _vocabulary_row(key: str, row: dict) -> list[str]:
    model, vocab_size = row["settings"]["model"], row["settings"]["tokenizer"]["vocab_size"]
    return [
        key.removesuffix(VOCABULARY),
        f"{(row['params'] - vocab_size * model['d_model']) / 1e6:.2f}M",
        "{n_layers} × {d_model}".format(**model),
        f"{vocab_size:,}",
        f"{row['settings'][row['stage']]['steps']:,}",
        f"{statistics.median(run['bits_per_byte'] for run in row['runs'].values()):.4f}",
    ]


def lowest(key: str, case: dict) -> tuple[float, float] | None:
    """The operations of training that the three sizes had (their geometric mean), and the size between them at which a parabola
    through their bits per byte, over the logarithm of the size, is lowest. None before all three are trained. A size is that of the
    blocks with today's vocabulary for them."""
    rows = [row for row in case["sizes"].values() if row["runs"]]
    if len(rows) < len(SIZES):
        return None
    name = key.split(",")[0]
    spent = [timing.operations(planned(name, "", 1, row), row["stage"], row["tokens"]) for row in rows]
    bits = [statistics.median(run["bits_per_byte"] for run in row["runs"].values()) for row in rows]
    sizes = np.array([_size_today(row) for row in rows])
    between = np.geomspace(sizes[0], sizes[-1], 1000)
    parabola = np.polyval(np.polyfit(np.log(sizes), bits, 2), np.log(between))
    return math.exp(statistics.mean(map(math.log, spent))), float(between[parabola.argmin()])


def _size_today(row: dict) -> int:
    width = row["settings"]["model"]["d_model"]
    body = row["params"] - row["settings"]["tokenizer"]["vocab_size"] * width
    return body + rules.vocabulary(body) * width


def against(case: dict, size: str) -> float | None:
    """By what share a size's bits per byte are above the proposal's: the median over the seeds that both have. None for the proposal
    itself, without such seeds, or where vocabularies are compared."""
    here, proposed = case["sizes"][size]["runs"], case["sizes"].get("proposed", {}).get("runs", {})
    both = [here[seed]["bits_per_byte"] / proposed[seed]["bits_per_byte"] - 1 for seed in here if seed in proposed]
    return statistics.median(both) if both and size != "proposed" else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--minutes", type=float, default=6, help="for each model (default: 6)")
    parser.add_argument("--seed", nargs="+", type=int, default=[1], help="default: 1")
    parser.add_argument("--vocabulary", action="store_true", help="compare vocabularies in place of sizes")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    end = VOCABULARY if arguments.vocabulary else ""
    keys = {} if arguments.table else {f"{case}, {arguments.minutes:g} min{end}": case for case in arguments.case}
    for key, case in keys.items():
        if key not in results:
            found = proposals(case, arguments.minutes)
            if arguments.vocabulary:
                found = with_vocabularies(found["proposed"])
            results[key] = {
                "processor": processor(),
                "sizes": {size: row | {"runs": {}} for size, row in found.items()},
            }
        for seed in arguments.seed:
            for size, row in results[key]["sizes"].items():
                if str(seed) not in row["runs"]:
                    row["runs"][str(seed)] = train(case, size, seed, row)
                atomic_write(RESULTS, json.dumps(results, indent=1) + "\n")
    show_all(tables(results))
    put(tables(results), PAGE)
    better = [
        f"{key}: {size} is better by {-than:.1%}"
        for key in keys
        for size in results[key]["sizes"]
        if (than := against(results[key], size)) is not None and than < -WORSE
    ]
    print("\n".join(better), file=sys.stderr)
    sys.exit(bool(better))


if __name__ == "__main__":
    main()
