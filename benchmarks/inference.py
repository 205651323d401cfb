"""How fast the chat program is, beside llama.cpp on the same weights. Run: .venv/bin/python benchmarks/inference.py

Every model is a fresh one of a given shape (`minitron export --untrained`; its weights are also written as GGUF), and every
figure comes from alternating runs: ours, theirs, ours, theirs. Parts:

    agreement  logits of both programs against torch, so that both compute the same thing
    speed      prefill and decode, two shapes of 48M parameters, every dtype, 1 and 2 threads
    tiers      with `--kernel avx2` only: the same as speed for the llama shape, by the program's kernel of that name and a
               llama.cpp that was built without the newer instructions (CMAKE_ARGS below, without AVX512)
    scaling    decode at several depths of context, 5M to 150M parameters, and the share of the memory bandwidth that it reaches
    kernels    the program's kernels for the instruction sets of this processor, one by one
    start      size, time to the first prompt, memory, idle CPU; the program in a terminal of its own (Linux)

All but `tiers` by default. Prints tables, writes benchmarks/inference.json and inference.svg, and puts the tables into docs/performance.md. Takes about
ten minutes on two cores; nothing else may run on the machine. `--quick` takes two minutes and only prints. A single part can be
measured anew, and the rest of the file stays as it is: `--only speed --shape nanogpt --dtype q8 --threads 2`. `--docs` measures
nothing and writes the tables and the plot from the file.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import llamacpp
import numpy as np
import tables
import terminal
import torch

from minitron import __version__
from minitron.core import parallel
from minitron.core.console import say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.interop import gguf
from minitron.model.language_model import LanguageModel
from minitron.program import go
from minitron.recipe.load import load_recipe

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "inference.json"
RECIPE = "recipes/mini-tron-50.toml"
LLAMA = "model.arch=llama model.n_layers={} model.d_model={} model.n_heads={} model.d_ff={} tokenizer.vocab_size={}"
MODELS = {  # name: changes to the recipe
    "nanogpt": "",  # 47.85M parameters
    "llama": LLAMA.format(10, 512, 8, 1376, 32000),  # 48.02M
    "llama-5M": LLAMA.format(8, 192, 3, 512, 8000),
    "llama-20M": LLAMA.format(12, 320, 5, 864, 16000),
    "llama-150M": LLAMA.format(18, 768, 12, 2048, 32000),
}
SHAPES, SIZES = ("nanogpt", "llama"), ("llama-5M", "llama-20M", "llama", "llama-150M")
DTYPES = ("f16", "q8", "q4")
# those that this processor lacks are skipped
KERNELS = ("scalar", "neon", "neon-dot", "sse4", "avx2", "avxvnni", "avx512")
# measure: (tokens read, tokens written, which figure); the first two come from the same runs
MEASURES = {
    "decode": (256, 128, "decode_tps"),
    "prefill 256": (256, 128, "prefill_tps"),
    "prefill 900": (900, 1, "prefill_tps"),
}
DEPTHS, DEPTH_GEN = (128, 512, 1000), 32  # decode is measured over DEPTH_GEN tokens around that many in the cache
QUIET = 0.1  # cores; figures taken while other programs used more are named at the end
IDLE_SECONDS = 5  # how long CPU time is counted while the program waits at its prompt
AGREE = 0.02  # largest difference of a logit from torch's that fp16 files may show
INSTALL = (
    'CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON '
    '-DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON" .venv/bin/pip install --no-binary llama-cpp-python llama-cpp-python'
)


class Bench:
    """The models on disk, the program, and llama.cpp in a process of its own."""

    def __init__(self, folder: Path, program: Path | None):
        self.folder = folder
        self.given = program
        self.peer = None
        if llamacpp.installed():
            command = [sys.executable, str(HERE / "llamacpp.py")]
            self.peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        if self.peer:
            self.peer.stdin.close()
            self.peer.wait()

    # ---- models

    def bundle(self, name: str, dtype: str) -> Path:
        """The bundle of a model, which is made on first use."""
        out = self.folder / f"{name}-{dtype}"
        if not (out / "config.json").exists():
            how = ["--untrained", "--dtype", dtype, "--out", str(out)]
            run([sys.executable, "-m", "minitron", "export", RECIPE, *how, *MODELS[name].split()])
        return out

    def model(self, name: str) -> LanguageModel:
        """A model with the same weights as `minitron export --untrained` writes."""
        recipe = load_recipe(RECIPE, MODELS[name].split())
        torch.manual_seed(recipe.seed)
        return LanguageModel(recipe.model, recipe.tokenizer.vocab_size).eval()

    def gguf(self, name: str, dtype: str) -> Path:
        path = self.folder / f"{name}-{dtype}.gguf"
        if not path.exists():
            path.write_bytes(gguf.encode(self.model(name), None, dtype=dtype))
        return path

    def program(self) -> Path:
        """The chat program; which bundle it embeds does not matter to commands with --model."""
        if not self.given:
            self.given = self.build("nanogpt", "f16")
        return self.given

    def build(self, name: str, dtype: str) -> Path:
        out = self.folder / f"dist-{name}-{dtype}"
        made = out / go.program_name(None)
        return made if made.exists() else go.build(self.bundle(name, dtype), out)[0]

    # ---- one measurement each

    def ours(
        self,
        bundle: Path,
        *,
        prompt: int,
        gen: int,
        threads: int,
        repeat: int = 3,
        kernel: str = "",
        bandwidth: bool = False,
    ) -> dict:
        """What `minitron-chat bench` prints, parsed."""
        command = [self.program(), "bench", "--json", "--model", bundle, "--threads", threads, "--repeat", repeat]
        command += ["--prompt-tokens", prompt, "--gen-tokens", gen]
        command += ["--kernel", kernel] if kernel else []
        command += ["--bandwidth"] if bandwidth else []
        return json.loads(run([str(word) for word in command]))

    def theirs(self, path: Path, **how) -> dict:
        """What benchmarks/llamacpp.py answers. Raises MinitronError if that process has ended."""
        print(json.dumps({"gguf": str(path), "context": 1024} | how), file=self.peer.stdin, flush=True)
        line = self.peer.stdout.readline()
        if not line:
            status = self.peer.wait()
            raise MinitronError(f"llama.cpp ended with status {status}", hint=f"built for another processor? {INSTALL}")
        return json.loads(line)

    def busy_seconds(self) -> tuple[float, float, float]:
        """The time now in seconds; CPU seconds so far of the whole machine; and those of this program and its children. Without Linux's
        /proc the last two are equal."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        try:
            columns = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
            fields = [int(n) for n in columns]
            whole = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # without idle and iowait
            own += terminal.cpu_seconds(self.peer.pid) if self.peer else 0
        except (OSError, AttributeError):
            whole = own
        return time.perf_counter(), whole, own

    def others(self, since: tuple[float, float, float]) -> float:
        """How many cores other programs kept busy since an earlier `busy_seconds`."""
        wall, whole, own = (now - then for now, then in zip(self.busy_seconds(), since, strict=True))
        return round(max(0.0, whole - own) / wall, 2)

    # ---- paired measurements

    def pairs(
        self, name: str, dtype: str, wanted: list[tuple[int, int]], *, threads: int, rounds: int, kernel: str = ""
    ) -> dict:
        """Alternating runs of both programs: {who: {(prompt, gen): answers of the rounds}} for each (prompt, gen) of `wanted`, and
        `others`, the cores that other programs used at most. `who` is "ours", or for llama.cpp False and True: flash attention.

        A round during which other programs ran is followed by one more, up to twice `rounds` in all; the `rounds` with the least
        use by other programs count.
        """
        bundle = self.bundle(name, dtype)
        whom = ["ours"]
        if self.peer:
            whom += [False, True]  # without and with flash attention
            peer = self.gguf(name, dtype)
            for flash in whom[1:]:
                self.theirs(peer, prompt=64, gen=4, threads=threads, flash=flash, repeat=1)  # warm
        taken = []
        while len(taken) < 2 * rounds and sum(others <= QUIET for others, _ in taken) < rounds:
            began, said = self.busy_seconds(), {}
            for prompt, gen in wanted:
                how = {"prompt": prompt, "gen": gen, "threads": threads, "repeat": 3}
                for who in whom:
                    said[who, prompt, gen] = (
                        self.ours(bundle, kernel=kernel, **how)
                        if who == "ours"
                        else self.theirs(peer, flash=who, **how)
                    )
            taken.append((self.others(began), said))
        taken = sorted(taken, key=lambda one: one[0])[:rounds]
        answers = {who: {at: [said[who, *at] for _, said in taken] for at in wanted} for who in whom}
        return answers | {"others": taken[-1][0]}


def compared(said: dict, at: tuple[int, int], field: str) -> dict:
    """One figure of `pairs` (tokens per second) for both programs; for llama.cpp the faster of its two kinds of attention."""
    ours = [answer[field] for answer in said["ours"][at]]
    row = {"ours": summary(ours), "others": said["others"]}
    if True in said:
        ways = {flash: [answer[field] for answer in said[flash][at]] for flash in (False, True)}
        better = max(ways, key=lambda flash: statistics.median(ways[flash]))
        ratios = [us / them for us, them in zip(ours, ways[better], strict=True)]
        row |= {"llama.cpp": summary(ways[better]), "flash_attention": better, "ratio": summary(ratios, digits=3)}
    return row


def summary(values: list[float], *, digits: int = 1) -> dict:
    """Median, lowest and highest of the values, rounded."""
    of = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {key: round(value, digits) for key, value in of.items()}


# ---- the parts; each adds rows to results[part]: name of the row -> figures


def agreement(bench: Bench, found: dict, a: argparse.Namespace) -> None:
    chance = torch.Generator().manual_seed(1)
    for shape in [s for s in SHAPES if s in a.shape]:
        model = bench.model(shape)
        ids = torch.randint(model.vocab_size, (1, 200), generator=chance)
        with torch.inference_mode():
            want = model(ids)[0, -1].numpy()
        for dtype in a.dtype:
            asked = json.dumps({"ids": ids[0].tolist()}) + "\n"
            command = [str(bench.program()), "logits", "--model", str(bench.bundle(shape, dtype))]
            got = {"ours": json.loads(run(command, asked))["logits"]}
            if bench.peer:
                path = bench.gguf(shape, dtype)
                got["llama.cpp"] = bench.theirs(path, ids=ids[0].tolist(), flash=True)["logits"]
            gaps = {who: float(np.abs(np.subtract(logits, want)).max()) for who, logits in got.items()}
            if dtype == "f16" and max(gaps.values()) > AGREE:
                raise MinitronError(f"{shape}: fp16 logits are {gaps} from torch's", hint="this is a bug")
            found[f"{shape} {dtype}"] = {who: round(gap, 4) for who, gap in gaps.items()} | {
                "spread": round(float(want.std()), 2)
            }


def speed(bench: Bench, found: dict, a: argparse.Namespace) -> None:
    for shape in [s for s in SHAPES if s in a.shape]:
        beside(bench, found, a, shape=shape, name=shape)


def tiers(bench: Bench, found: dict, a: argparse.Namespace) -> None:
    if not a.kernel or not bench.peer:
        raise MinitronError("tiers needs --kernel NAME, and llama.cpp", hint=INSTALL)
    peer = bench.theirs(bench.gguf("llama", a.dtype[0]), instructions=True)["instructions"]
    if newer := [name for name in peer if name.startswith("AVX512") and a.kernel in ("avx2", "avxvnni")]:
        raise MinitronError(f"this llama.cpp uses {', '.join(newer)}", hint=f"build it for the kernel {a.kernel}")
    beside(bench, found, a, shape="llama", name=a.kernel, kernel=a.kernel)


def beside(bench: Bench, found: dict, a: argparse.Namespace, *, shape: str, name: str, kernel: str = "") -> None:
    """All measures of a shape, beside llama.cpp, as rows that begin with `name`. `kernel`: the program's, its best one by default."""
    wanted = list(dict.fromkeys((prompt, gen) for prompt, gen, _ in MEASURES.values()))
    for dtype in a.dtype:
        for threads in a.threads:
            said = bench.pairs(shape, dtype, wanted, threads=threads, rounds=a.rounds, kernel=kernel)
            for measure, (prompt, gen, field) in MEASURES.items():
                row = found[f"{name} {dtype} {threads} {measure}"] = compared(said, (prompt, gen), field)
                row |= {"params": said["ours"][wanted[0]][0]["params"]}
                tell(f"{name} {dtype} {threads}T {measure}", row)


def scaling(bench: Bench, found: dict, a: argparse.Namespace) -> None:
    threads = max(a.threads)
    wanted = {depth: (depth - DEPTH_GEN // 2, DEPTH_GEN) for depth in DEPTHS}
    for size in [s for s in SIZES if s in a.shape]:
        for dtype in a.dtype:
            said = bench.pairs(size, dtype, list(wanted.values()), threads=threads, rounds=max(1, a.rounds - 2))
            about = json.loads((bench.bundle(size, dtype) / "config.json").read_text())
            read_gbps = bench.ours(bench.bundle(size, dtype), prompt=1, gen=1, threads=threads, bandwidth=True)[
                "read_gbps"
            ]
            for depth, at in wanted.items():
                row = found[f"{size} {dtype} {depth}"] = compared(said, at, "decode_tps") | {"threads": threads}
                # the embedding is also the head, so it is read as a whole for each token
                row["weights_mb"] = round(sum(t["bytes"] for t in about["tensors"]) / 1e6, 1)
                row["read_gbps"] = round(read_gbps, 1)
                row["bandwidth_share"] = round(row["weights_mb"] * row["ours"]["median"] / 1e3 / read_gbps, 3)
                row["params"] = about["params"]
                tell(f"{size} {dtype}, {depth} tokens deep", row)


def kernels(bench: Bench, found: dict, a: argparse.Namespace) -> None:
    for dtype in a.dtype:
        bundle = bench.bundle("nanogpt", dtype)
        for kernel in KERNELS:
            began = bench.busy_seconds()
            try:
                said = bench.ours(bundle, prompt=128, gen=32, threads=1, kernel=kernel)
            except MinitronError as error:
                if "there is no kernel" in str(error):
                    continue
                raise
            row = found[f"{kernel} {dtype}"] = {key: round(said[key], 1) for key in ("prefill_tps", "decode_tps")}
            row["others"] = bench.others(began)


def start(bench: Bench, found: dict, a: argparse.Namespace) -> None:
    if not Path("/proc/self/stat").exists():
        say("start: left out, it needs Linux's /proc")
        return
    for dtype in a.dtype:
        program = bench.build("nanogpt", dtype)
        began, seconds = bench.busy_seconds(), []
        for _ in range(20):
            with terminal.Terminal(program) as chat:
                seconds.append(chat.until_prompt())
        with terminal.Terminal(program, "--max-tokens", "100") as chat:
            chat.until_prompt()
            chat.until_idle()
            empty = chat.resident_mb()
            chat.type("a" * 900 + "\r")  # one token per letter: the untrained vocabulary has only bytes
            chat.until_prompt()
            chat.until_idle()
            full = chat.resident_mb()
            before = terminal.cpu_seconds(chat.process.pid)
            time.sleep(IDLE_SECONDS)
            idle = (terminal.cpu_seconds(chat.process.pid) - before) / IDLE_SECONDS
        found[dtype] = {
            "program_mb": round(program.stat().st_size / 1e6, 1),
            "prompt_ms": summary([s * 1000 for s in seconds]),
            "rss_empty_mb": round(empty, 1),
            "rss_full_mb": round(full, 1),
            "idle_cpu_percent": round(100 * idle, 1),
            "others": bench.others(began),
        }


BY_DEFAULT = {"agreement": agreement, "speed": speed, "scaling": scaling, "kernels": kernels, "start": start}
PARTS = BY_DEFAULT | {"tiers": tiers}


# ---- helpers


def run(command: list[str], text: str = "") -> str:
    """The stdout of a program. Raises MinitronError if it fails."""
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise MinitronError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def tell(name: str, row: dict) -> None:
    them = (
        f", llama.cpp {row['llama.cpp']['median']:,.0f}, ratio {row['ratio']['median']:.2f}" if "ratio" in row else ""
    )
    say(f"{name}: {row['ours']['median']:,.0f} tokens/s{them}")


def machine() -> dict:
    """The machine that the figures hold for; results of different machines are not mixed."""
    name = platform.processor()
    if Path("/proc/cpuinfo").exists():
        told = dict(
            re.findall(r"^(model name|cpu family|model)\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        )
        name = told.get("model name", "unknown")
        if "cpu family" in told:  # the name alone may be that of several generations
            name += f", family {told['cpu family']} model {told['model']}"
    return {"cpu": name, "cores": parallel.cores(), "system": f"{platform.system()} {platform.machine()}"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--only", nargs="+", choices=PARTS, default=list(BY_DEFAULT), help="these parts")
    arguments.add_argument("--shape", nargs="+", choices=MODELS, default=list(MODELS), help="these models")
    arguments.add_argument("--kernel", choices=KERNELS, default="", help="the program's kernel, for tiers")
    arguments.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES))
    cores = parallel.cores()
    arguments.add_argument("--threads", nargs="+", type=int, default=sorted({1, min(2, cores)}), metavar="N")
    arguments.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="alternating runs per figure (default: 3)"
    )
    arguments.add_argument("--program", type=Path, metavar="PATH", help="measure this chat program, do not build one")
    arguments.add_argument("--quick", action="store_true", help="speed of one shape, two rounds; print, write nothing")
    arguments.add_argument("--docs", action="store_true", help="only write the tables and the plot anew from the file")
    a = arguments.parse_args()
    if a.quick:
        a.only, a.shape, a.rounds = ["agreement", "speed"], a.shape[:1], min(2, a.rounds)
    results = {"machine": machine(), "parts": {}}
    if not a.quick:
        results = tables.earlier(RESULTS, results, docs=a.docs)
    if not a.docs:
        if not llamacpp.installed():
            say(f"llama.cpp is not installed, so only minitron is measured; to compare: {INSTALL}")
        results["versions"] = {"minitron": __version__, "llama-cpp-python": llamacpp.installed()}
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), a.program and a.program.resolve())
            try:
                for part in a.only:
                    PARTS[part](bench, results["parts"].setdefault(part, {}), a)
                    if not a.quick:
                        atomic_write(RESULTS, json.dumps(results, indent=1) + "\n")
            finally:
                bench.close()
    tables.show(results)
    disturbed = [
        f"{part} {name}"
        for part, rows in results["parts"].items()
        for name, row in rows.items()
        if row.get("others", 0) > QUIET
    ]
    if disturbed:
        warn(f"other programs ran beside these; measure them again (--help says how): {'; '.join(disturbed)}")
    if not a.quick:
        tables.write(results, docs=HERE.parent / "docs/performance.md", plot=HERE / "inference.svg")


if __name__ == "__main__":
    tables.run(main)
