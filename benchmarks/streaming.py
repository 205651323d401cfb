"""Compares `stream` with `llama`: loss after equal training time, how far back each recalls, and what the hundred-thousandth token costs.

Run: .venv/bin/python benchmarks/streaming.py train --minutes 20      held-out bits per byte after equal time, three seeds
     .venv/bin/python benchmarks/streaming.py recall                  facts that are asked for later, by distance
     .venv/bin/python benchmarks/streaming.py spaces                  tokenizers with a space of its own or before the word
     .venv/bin/python benchmarks/streaming.py layers                  what a training step of each kind of layer takes
     .venv/bin/python benchmarks/streaming.py decode                  the chat program to 100,000 tokens: time and memory
     .venv/bin/python benchmarks/streaming.py beside                  decode 1,000 tokens deep, beside llama and llama.cpp's LFM2
     .venv/bin/python benchmarks/streaming.py talk                    a talk of 100,000 tokens in a terminal (tmux): time and memory

Each cell is written to benchmarks/streaming.json as soon as it is done and is then skipped; at the end docs/streaming.md gets its tables.
Two processes may measure at once, a core each: taskset -c 0 ... --archs llama & taskset -c 1 ... --archs stream
"""

import argparse
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import llamacpp
import torch
from inference import Bench
from tables import Table, put, show_all
from terminal import Window

from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.data.packing import PackedRows
from minitron.evaluate.checks import passes
from minitron.lab import study
from minitron.model.language_model import LanguageModel
from minitron.model.state import Span
from minitron.program import go
from minitron.recipe.alignment import Sampling
from minitron.recipe.load import load_recipe
from minitron.recipe.shapes import resolved
from minitron.recipe.training import ModelConfig
from minitron.sample.generate import ask
from minitron.synth.compose import SKILLS, Composer, as_messages
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.chat_template import encode_prompt, fit
from minitron.train import checkpoint

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, WORK = ROOT / "benchmarks/streaming.json", ROOT / "docs/streaming.md", ROOT / "runs/streaming"
SPACES = ROOT / "benchmarks/streaming_spaces.toml"
LOVECRAFT = ROOT.parent / "shared/data/lovecraft/*.txt"
STORIES = ROOT.parent / "shared/data/tinystories_ru.parquet"
ARCHS = ("llama", "stream")
SIZES = {"5M": {"n_layers": 6, "n_heads": 4, "d_model": 256}, "20M": {"n_layers": 8, "n_heads": 8, "d_model": 448}}
PACE = 20  # steps that are timed
DISTANCES = (64, 256, 1024, 2048)  # tokens between what was told and the question
FACTS = ("name", "city", "age")
ASKED = 500  # questions for each distance
RECALL_CONTEXT = {"llama": 512, "stream": 4096}
RECALL_TOKENS = 4096  # of an update
LETTERS = 2.3  # of a built-in dialogue's text for a token
MOST_TOKENS = 48  # of an answer
DEPTHS = (1_000, 10_000, 100_000)  # tokens
_50M = {"n_layers": 12, "n_heads": 9, "d_model": 576}
LARGE = {"50M": _50M, "50M-all-heads": _50M | {"n_kv_heads": 9, "window": 256}}  # besides SIZES, for `beside`
LFM2 = "model.layers=['conv','conv','window']"  # nearly LFM2's own share of convolutions, with windows that see all
DEPTH, WRITTEN, ROUNDS = 1_000, 32, 5  # decode is measured over WRITTEN tokens around DEPTH
TALK, SAMPLES = 100_000, 20  # tokens of a talk, and how often it is looked at
GREEDY = ("--temp", "0", "--threads", "1")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("part", choices=CELLS)
    arguments.add_argument("--minutes", type=float, default=20.0, help="of training, each cell")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    arguments.add_argument("--texts", nargs="+", default=["stories", "dialogues"], choices=("stories", "dialogues"))
    arguments.add_argument("--archs", nargs="+", default=list(ARCHS), choices=ARCHS)
    arguments.add_argument("--steps", type=int, default=2400, help="of training for recall")
    options = arguments.parse_args()
    for name, cell in CELLS[options.part](options):
        if name not in known():
            print(name, file=sys.stderr)
            result = cell()
            atomic_write(RESULTS, json.dumps(known() | {name: result}, indent=1) + "\n")
    found = tables(known())
    show_all(found)
    put(found, PAGE)


def known() -> dict:
    """Name -> figures of all cells that were measured."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


# ---- equal training time


def train_cells(options: argparse.Namespace):
    for text in options.texts:
        for size in options.sizes:
            for seed in range(1, options.seeds + 1):
                for arch in options.archs:
                    name = cell_name(text, size, options.minutes, seed, arch)
                    yield name, lambda t=text, s=size, n=seed, a=arch: trained(t, s, n, a, options.minutes)


def cell_name(text: str, size: str, minutes: float, seed: int, arch: str) -> str:
    return f"train {text} {size} {minutes:g} min seed {seed} {arch}"


def trained(text: str, size: str, seed: int, arch: str, minutes: float) -> dict:
    """Trains a model and returns its figures. Seed 1 takes the number of steps that fit into the minutes, judged by PACE steps, during
    which the machine should do nothing else; other seeds take as many steps as seed 1, so that a busy machine does not matter."""
    stage = "pretrain" if text == "stories" else "sft"
    data = {
        "stories": f'[pretrain]\nfiles = ["{STORIES}"]\ncolumn = "story"\n',
        "dialogues": "[data]\nsynth_rows = 135000\n[sft]\n",
    }[text]
    shape = "".join(f"{key} = {value}\n" for key, value in SIZES[size].items())
    lr = 3e-3 * 192 / SIZES[size]["d_model"]
    WORK.mkdir(parents=True, exist_ok=True)
    recipe = WORK / f"{text}-{size}-{seed}-{arch}.toml"
    recipe.write_text(
        f"seed = {seed}\n[model]\narch = '{arch}'\ncontext = 512\n{shape}[optim]\nname = 'muon'\nlr = {lr:.2e}\nbeta2 = 0.95\nwarmup_steps = 20\n"
        f"[tokenizer]\nvocab_size = 4096\n{data}batch_rows = 4\naccumulation = 4\neval_every_steps = 1000000\neval_rows = 256\n"
    )
    folder = WORK / "runs" / recipe.stem / stage

    def run(steps: int) -> dict:
        command = [
            sys.executable,
            "-m",
            "minitron",
            "run",
            recipe.name,
            "--to",
            stage,
            f"{stage}.steps={steps}",
            "optim.compile=off",
        ]
        subprocess.run(command, cwd=WORK, check=True, stdout=sys.stderr)
        return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])

    if first := known().get(cell_name(text, size, minutes, 1, arch)):
        steps = first["steps"]
    else:
        steps = max(100, round(PACE * 60 * minutes / run(PACE)["seconds"]))
    last = run(steps)
    packed = PackedRows(folder / "packed-valid")
    bits = last["valid_loss"] * packed.targets / packed.target_bytes / math.log(2)
    return {
        "bits_per_byte": bits,
        "tokens_per_second": last["tokens_per_second"],
        "steps": last["step"],
        "seconds": last["seconds"],
    }


# ---- recall


def recall_cells(options: argparse.Namespace):
    for seed in range(1, options.seeds + 1):
        for arch in options.archs:
            yield (
                f"recall {options.steps} steps seed {seed} {arch}",
                lambda s=seed, a=arch: recalled(a, s, options.steps),
            )


def recalled(arch: str, seed: int, steps: int) -> dict:
    """Trains a model of the demo's size on built-in dialogues, of which the longest fill the context. Returns by distance the share of
    right answers to questions about what was told so many tokens ago."""
    recipe = recall_recipe(arch, seed, steps)
    command = [sys.executable, "-m", "minitron", "run", recipe.name, "--to", "sft"]
    subprocess.run(command, cwd=WORK, check=True, stdout=sys.stderr)
    layout = load_recipe(recipe, []).layout
    tokenizer = kinds.load(WORK / layout.tokenizer)
    model, _ = checkpoint.load_model(checkpoint.finished(WORK / layout.stage("sft"), "sft"))
    return {str(distance): share_recalled(model, tokenizer, distance) for distance in DISTANCES}


def recall_recipe(arch: str, seed: int, steps: int) -> Path:
    """Writes the recipe of a model that shall recall. Returns its file."""
    WORK.mkdir(parents=True, exist_ok=True)
    context, recipe = RECALL_CONTEXT[arch], WORK / f"recall-{seed}-{arch}.toml"
    recipe.write_text(
        f"seed = {seed}\n[data]\nsynth_rows = 60000\nsynth_long = {LETTERS * context:.0f}\nvalid_fraction = 0.01\nprobes = 'probe == 1'\n"
        "keep = ['overall_score >= 6', 'safety >= 8', 'pii_leak == 0']\n[tokenizer]\nvocab_size = 2048\n"
        f"[model]\narch = '{arch}'\ncontext = {context}\nn_layers = 4\nn_heads = 2\nd_model = 128\nd_ff = 352\n"
        "[optim]\nname = 'muon'\nlr = 4e-3\nmin_lr = 1e-4\nwarmup_steps = 60\nbeta2 = 0.95\ncompile = 'off'\n"
        f"[sft]\nsteps = {steps}\nbatch_rows = {RECALL_TOKENS // context}\naccumulation = 1\neval_rows = 16\n"
    )
    return recipe


def share_recalled(model: LanguageModel, tokenizer: Tokenizer, distance: int) -> float:
    """The share of ASKED questions answered right. In each dialogue the user tells a name, a city and an age that training held out,
    speaks of other things for `distance` tokens, and asks for one of the three. What does not fit into a transformer's context is left
    out as the chat program leaves it out, the oldest turns first."""
    chance, composer = Random(distance), Composer(SKILLS)
    prompts, checks = [], []
    for number in range(ASKED):
        language, about = ("en", "ru")[number % 2], FACTS[number // 2 % len(FACTS)]
        facts = [composer.recollection(chance, language, held=True, about=kind) for kind in FACTS]
        chance.shuffle(facts)
        asked = next(fact for fact in facts if fact.about == about)
        told, talk = as_messages([fact.turns[0] for fact in facts]), []
        while len(encode_prompt(talk, tokenizer)) < distance:
            talk += as_messages(composer.other_talk(chance, asked))
        prompt = [*told, *talk, as_messages(asked.turns[1:])[0]]
        prompts.append(fit(prompt, tokenizer, context=model.context_limit, max_tokens=MOST_TOKENS)[0])
        checks.append(asked.check)
    greedy = Sampling(temperature=0.0, max_tokens=MOST_TOKENS)
    texts, _ = ask(model, tokenizer, prompts, sampling=greedy, seed=1, batch_rows=8, title=f"after {distance} tokens")
    return sum(map(passes, texts, checks)) / ASKED


# ---- a space of its own


def spaces_cells(options: argparse.Namespace):
    yield "spaces", spaced


def spaced() -> dict:
    """Kind of tokenizer -> the held-out bits per byte of its seeds, by `minitron study`, which goes on where it was stopped."""
    found: dict[str, list[float]] = {}
    for result in study.run(load_recipe(SPACES, [f"pretrain.files={json.dumps([str(LOVECRAFT)])}"])):
        found.setdefault(result.point.kind, []).append(result.bits_per_byte)
    return found


# ---- layers


def layer_cells(options: argparse.Namespace):
    for kind in ("llama", "conv", "window", "delta", "stream"):
        yield f"layers {kind}", lambda k=kind: {"cpu_ms": stepped(k)}


def stepped(kind: str) -> float:
    """Processor ms that four layers of a kind, 256 wide, take for a forward and a backward pass over eight texts of 256 tokens, in
    fp32 on one thread: the least of five passes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    arch = "llama" if kind == "llama" else "stream"
    layers = [kind] if kind in ("conv", "window", "delta") else []
    model = LanguageModel(resolved(ModelConfig(arch=arch, n_layers=4, n_heads=4, d_model=256, layers=layers)), 2048)
    ids, positions = torch.randint(2048, (1, 2048)), torch.arange(256).repeat(8)[None]
    best = math.inf
    for _ in range(5):
        began = time.process_time()
        model.hidden(ids, positions=positions, spans=[Span(256) for _ in range(8)]).square().sum().backward()
        best = min(best, 1000 * (time.process_time() - began))
    return best


# ---- decoding


def decode_cells(options: argparse.Namespace):
    for size in options.sizes:
        for tokens in DEPTHS:
            yield f"decode {size} {tokens}", lambda s=size, n=tokens: decoded(s, n)


def decoded(size: str, tokens: int) -> dict:
    """Lets the chat program write `tokens` tokens with fresh weights in q8 on one thread. The time per token is processor time, on
    which other programs have little influence, and the mean of all tokens: if late tokens cost more, it rises with their number."""
    bundle = untrained(size, "stream")
    (program,) = go.build(bundle, WORK / f"program-{size}")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [
        program,
        "bench",
        "--json",
        "--prompt-tokens",
        "16",
        "--gen-tokens",
        str(tokens),
        "--repeat",
        "1",
        "--threads",
        "1",
    ]
    said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cpu_ms_per_token": 1000 * spent / tokens,
        "decode_tps": said["decode_tps"],
        "rss_mb": said["rss_mb"],
        "params": said["params"],
        "kernel": said["kernel"],
        "seconds": time.perf_counter() - began,
        "load": os.getloadavg()[0],
    }


def untrained(size: str, arch: str, *changes: str, format: str = "bundle") -> Path:
    """The folder of an untrained model in q8, with the demo's vocabulary."""
    out = WORK / "-".join(["untrained", size, arch, *(["lfm2"] if changes else []), format])
    if not out.exists():
        shape = [f"model.{k}={v}" for k, v in (SIZES | LARGE)[size].items() if k != "window" or arch == "stream"]
        command = [sys.executable, "-m", "minitron", "export", "recipes/demo.toml", "--untrained", "--dtype", "q8"]
        command += ["--format", format, "--out", str(out), f"model.arch={arch}", "model.d_ff=0", "model.context=2048"]
        subprocess.run([*command, *shape, *changes], cwd=ROOT, check=True, stdout=sys.stderr)
    return out


def beside_cells(options: argparse.Namespace):
    for size in SIZES | LARGE:
        yield f"beside {size}", lambda s=size: compared(s)


def compared(size: str) -> dict:
    """Tokens per second of decode around DEPTH tokens, with fresh weights in q8 on one thread: the chat program with `stream` and with
    `llama`, and llama.cpp with LFM2, in turn. The median of each, and of `stream`'s ratios to the others within a round."""
    if not llamacpp.installed():
        sys.exit("llama.cpp is not installed; benchmarks/inference.py says how")
    bundles = {arch: untrained(size, arch) for arch in ("stream", "llama")}
    (program,) = go.build(bundles["stream"], WORK / f"program-{size}")
    lfm2 = next(untrained(size, "stream", LFM2, "model.window=2048", format="gguf").glob("*.gguf"))
    bench, how = Bench(WORK, program), {"prompt": DEPTH - WRITTEN // 2, "gen": WRITTEN, "threads": 1, "repeat": 3}
    speeds: dict[str, list[float]] = {"stream": [], "llama": [], "LFM2": []}
    about = {}
    try:
        for _ in range(ROUNDS):
            for arch, bundle in bundles.items():
                about[arch] = bench.ours(bundle, **how)
                speeds[arch].append(about[arch]["decode_tps"])
            speeds["LFM2"].append(bench.theirs(lfm2, flash=True, context=2048, **how)["decode_tps"])
    finally:
        bench.close()
    ratios = {
        other: statistics.median(a / b for a, b in zip(speeds["stream"], speeds[other], strict=True))
        for other in ("llama", "LFM2")
    }
    return {
        "decode_tps": {who: statistics.median(of) for who, of in speeds.items()},
        "ratio": ratios,
        "params": {arch: said["params"] for arch, said in about.items()},
        "state": kept(program),
    }


def kept(program: Path) -> str:
    """How much memory the chat program keeps of a conversation, as `/stats` says it."""
    told = subprocess.run(
        [program, "--max-tokens", "20"], input="hello\n/stats\n", capture_output=True, text=True, check=True
    )
    found = re.search(r"takes (.*?), however long", told.stdout + told.stderr)
    assert found
    return found[1]


# ---- a talk in a terminal


def talk_cells(options: argparse.Namespace):
    yield f"talk {TALK}", lambda: talked(options.steps)


def talked(steps: int) -> list[dict]:
    """Types built-in user messages into the chat program in tmux until the conversation has TALK tokens, and looks at its memory and
    speed SAMPLES times. Half-way the chat is saved and loaded in another program, which must go on with the same answers."""
    recipe = recall_recipe("stream", 1, steps)
    for command in (["run", recipe.name, "--to", "sft"], ["export", recipe.name, "--dtype", "q8", "--out", "talk"]):
        subprocess.run([sys.executable, "-m", "minitron", *command], cwd=WORK, check=True, stdout=sys.stderr)
    (program,) = go.build(WORK / "talk", WORK / "program-talk")
    questions, samples = user_messages(), list[dict]()
    with Window("minitron-talk", program, *GREEDY) as chat:
        turns, began = 0, time.perf_counter()
        while not samples or samples[-1]["tokens"] < TALK:
            for question in islice(questions, 20):
                chat.say(question)
                turns += 1
            tokens = int(re.search(r"tokens: (\d+)", chat.say("/stats"))[1])
            if tokens >= TALK * len(samples) / SAMPLES:
                seconds = time.perf_counter() - began
                samples.append({"tokens": tokens, "turns": turns, "rss_mb": chat.resident_mb(), "seconds": seconds})
                print(samples[-1], file=sys.stderr)
                if len(samples) == SAMPLES // 2:
                    turns += check_load(chat, program, list(islice(questions, 20)))
    return samples


def user_messages() -> Iterator[str]:
    """Messages of built-in dialogues, without end."""
    chance, composer = Random(1), Composer(SKILLS)
    about = composer.recollection(chance, "en")
    while True:
        yield from (message["content"] for message in as_messages(composer.other_talk(chance, about))[::2])


def check_load(chat: Window, program: Path, questions: list[str]) -> int:
    """Asks a chat, and another program that loads what it saved, the same questions. Returns how many. Raises MinitronError if an
    answer differs."""
    saved = WORK / "talk.json"
    saved.unlink(missing_ok=True)
    chat.say(f"/save {saved}")
    with Window("minitron-talk-again", program, *GREEDY) as other:
        other.say(f"/load {saved}")
        for question in questions:
            answer, again = chat.say(question), other.say(question)
            if not answer or answer != again:
                raise MinitronError(f"{question!r}: {answer!r}, and {again!r} after /load", hint="this is a bug")
    return len(questions)


CELLS = {
    "train": train_cells,
    "recall": recall_cells,
    "spaces": spaces_cells,
    "layers": layer_cells,
    "decode": decode_cells,
    "beside": beside_cells,
    "talk": talk_cells,
    "tables": lambda options: (),
}


# ---- tables


def tables(results: dict) -> list[Table]:
    """The tables of the parts that were measured."""
    groups: dict[str, dict] = {}
    for name, cell in results.items():
        groups.setdefault(name.split(" ")[0], {})[name] = cell
    return [table(groups[part]) for part, table in TABLES.items() if part in groups]


def train_table(cells: dict) -> Table:
    rows = []
    for kind in sorted({name.split(" seed ")[0] for name in cells}):
        of = {
            arch: [c for n, c in cells.items() if n.startswith(kind + " seed") and n.endswith(arch)] for arch in ARCHS
        }
        seeds = min(map(len, of.values()))
        bits = [spread([c["bits_per_byte"] for c in of[arch]], ".3f") for arch in ARCHS]
        # of seed 1 alone, which set the number of steps: others may have run on a busy machine
        paces = [cells.get(f"{kind} seed 1 {arch}") for arch in ARCHS]
        speed = [f"{pace['tokens_per_second']:,}" if pace else "-" for pace in paces]
        rows.append([kind.removeprefix("train "), str(seeds), *bits, *speed])
    by_arch = [f"{arch}, {unit}" for unit in ("bits/byte", "tokens/s") for arch in ARCHS]
    return Table("train", "Equal training time", ["text, size, time", "seeds", *by_arch], rows)


def recall_table(cells: dict) -> Table:
    rows = []
    for arch in ARCHS:
        of = [c for n, c in cells.items() if n.endswith(arch)]
        rows.append([arch, str(len(of)), *(spread([100 * c[str(d)] for c in of], ".0f") for d in DISTANCES)])
    return Table("recall", "Recall", ["% right", "seeds", *(f"{d:,} tokens" for d in DISTANCES)], rows)


def spaces_table(cells: dict) -> Table:
    (cell,) = cells.values()
    rows = [[kind, str(len(bits)), spread(bits, ".4f")] for kind, bits in cell.items()]
    prefix, own = cell.values()
    change = [100 * (b / a - 1) for a, b in zip(prefix, own, strict=True)]
    rows.append(["a space of its own changes it by", str(len(change)), spread(change, "+.2f") + " %"])
    return Table("spaces", "A space of its own", ["tokenizer", "seeds", "bits per byte"], rows)


def layers_table(cells: dict) -> Table:
    base = cells["layers llama"]["cpu_ms"]
    rows = [[n.split(" ")[1], f"{c['cpu_ms']:.0f}", f"{c['cpu_ms'] / base:.2f}"] for n, c in cells.items()]
    return Table("layers", "A training step", ["four layers of", "processor ms", "beside llama"], rows)


def decode_table(cells: dict) -> Table:
    rows = []
    for name, c in cells.items():
        _, size, tokens = name.split(" ")[:3]
        rows.append(
            [size, f"{int(tokens):,}", f"{c['cpu_ms_per_token']:.3f}", f"{c['rss_mb']:.1f}", f"{c['load']:.1f}"]
        )
    head = ["size", "tokens written", "processor ms per token", "memory, MiB", "load of the machine"]
    return Table("decode", "The hundred-thousandth token", head, rows)


def beside_table(cells: dict) -> Table:
    rows = [
        [
            f"{c['params']['stream'] / 1e6:.1f}M, {c['params']['llama'] / 1e6:.1f}M"
            + (", n_kv_heads = 9, window = 256" if "all-heads" in name else ""),
            *(f"{c['decode_tps'][who]:,.0f}" for who in ("stream", "llama", "LFM2")),
            *(f"{c['ratio'][who]:.2f}" for who in ("llama", "LFM2")),
            c["state"],
        ]
        for name, c in cells.items()
    ]
    head = [
        "parameters of stream, llama",
        "stream",
        "llama",
        "LFM2, llama.cpp",
        "stream / llama",
        "stream / LFM2",
        "state",
    ]
    return Table("beside", "Decode 1,000 tokens deep, tokens per second", head, rows)


def talk_table(cells: dict) -> Table:
    *_, cell = cells.values()
    rows, before = [], {"tokens": 0, "turns": 0, "seconds": 0.0}
    for sample in cell:
        turns = sample["turns"] - before["turns"]
        took = 1000 * (sample["seconds"] - before["seconds"]) / turns
        rows.append([f"{sample['tokens']:,}", f"{sample['turns']:,}", f"{took:.0f}", f"{sample['rss_mb']:.1f}"])
        before = sample
    head = ["tokens", "messages", "ms a message, since the row before", "memory, MB"]
    return Table("talk", "A day's talk", head, rows)


TABLES = {
    "train": train_table,
    "recall": recall_table,
    "spaces": spaces_table,
    "layers": layers_table,
    "decode": decode_table,
    "beside": beside_table,
    "talk": talk_table,
}


def spread(values: list[float], form: str) -> str:
    """The mean, and if there are several values their least and greatest; "-" without values."""
    if not values:
        return "-"
    mean = f"{sum(values) / len(values):{form}}"
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
