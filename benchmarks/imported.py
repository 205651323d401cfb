"""From a model of others to a program: SmolLM2-135M's shape, imported, in q8. Run: .venv/bin/python benchmarks/imported.py

Makes a folder as transformers saves it (after `make test` has installed that): 30 layers, width 576, 9 heads, 3 of keys and values,
49,152 byte-level pieces, which are learnt from the Python files of torch, and random weights in bf16. Then measures

    program  the seconds of `minitron import`, `minitron export --dtype q8` and `minitron binary`, one after the other
    decode   128 tokens after 256, beside llama.cpp on the same weights as GGUF, in alternating runs (benchmarks/inference.py)

and writes benchmarks/imported.json and the table in docs/performance.md. About seven minutes on two cores; nothing else may run.
`--docs` only writes the table.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import inference
import llamacpp
import tables
import torch

from minitron import __version__
from minitron.core.console import say
from minitron.core.files import atomic_write
from minitron.core.parallel import cores
from minitron.program import go

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "imported.json"
PIECES = 49_152
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DTYPES = ("q8", "f16")


def make(folder: Path) -> None:
    """Writes the model and its tokenizer as transformers saves them."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.Sequence(split)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=PIECES, special_tokens=SPECIAL, initial_alphabet=alphabet)
    files = sorted(Path(torch.__file__).parent.rglob("*.py"))
    pieces.train_from_iterator((path.read_text(encoding="utf-8", errors="replace") for path in files), trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces, bos_token=SPECIAL[1], eos_token=SPECIAL[2], unk_token=SPECIAL[0], pad_token=SPECIAL[2]
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=PIECES,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        rope_theta=100_000.0,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


class Imported(inference.Bench):
    """The bench of inference.py for one imported run."""

    def __init__(self, folder: Path, run: Path, program: Path):
        super().__init__(folder, program)
        self.run = run

    def bundle(self, name: str, dtype: str) -> Path:
        return self.exported(self.folder / f"{name}-{dtype}", "bundle", dtype)

    def gguf(self, name: str, dtype: str) -> Path:
        return next(self.exported(self.folder / f"{name}-{dtype}-gguf", "gguf", dtype).glob("*.gguf"))

    def exported(self, out: Path, kind: str, dtype: str) -> Path:
        if not out.exists():
            minitron("export", self.run, "--format", kind, "--dtype", dtype, "--out", out)
        return out


def minitron(*words: object) -> float:
    """Runs a command of minitron. Returns its seconds."""
    began = time.perf_counter()
    inference.run([sys.executable, "-m", "minitron", *map(str, words)])
    return time.perf_counter() - began


def measure(folder: Path) -> dict:
    say("making the model")
    make(folder / "theirs")
    run, bundle, dist = folder / "runs/imported", folder / "bundle", folder / "dist"
    seconds = {
        "import": minitron("import", folder / "theirs", "--out", run),
        "export": minitron("export", run, "--dtype", "q8", "--out", bundle),
        "binary": minitron("binary", "--bundle", bundle, "--out", dist),
    }
    program = dist / go.program_name(None)
    found = {"seconds": {name: round(value, 1) for name, value in seconds.items()}}
    found["program_mb"] = round(program.stat().st_size / 1e6, 1)
    say(f"from the folder to the program: {sum(seconds.values()):.0f} s, {found['program_mb']} MB")
    bench = Imported(folder, run, program)
    try:
        for dtype in DTYPES:
            for threads in sorted({1, min(2, cores())}):
                said = bench.pairs("imported", dtype, [(256, 128)], threads=threads, rounds=3)
                for field in ("decode", "prefill"):
                    row = inference.compared(said, (256, 128), f"{field}_tps")
                    found.setdefault(field, {})[f"{dtype} {threads}T"] = row
                    inference.tell(f"{field} {dtype} {threads}T", row)
    finally:
        bench.close()
    return found


def made(results: dict) -> list[tables.Table]:
    """The table of the page: seconds to the program, then decode and prefill."""
    seconds = results["found"]["seconds"]
    rows = [[f"`minitron {name}`, seconds", f"{value:.1f}", "", ""] for name, value in seconds.items()]
    rows.append(["from the folder to the program, seconds", f"{sum(seconds.values()):.1f}", "", ""])
    rows.append(["the program, MB", f"{results['found']['program_mb']:.0f}", "", ""])
    for field in ("decode", "prefill"):
        for name, row in results["found"][field].items():
            rows.append([f"{field}, {name.replace(' ', ', ')}, tokens per second", *tables.pair(row)])
    title = f"SmolLM2-135M's shape on {results['machine']['cpu']}"
    return [tables.Table("imported", title, ["", "minitron", "llama.cpp", "ratio"], rows)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--docs", action="store_true", help="only write the table anew from the file")
    a = arguments.parse_args()
    if a.docs:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    else:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # runs lie in the working folder
            versions = {"minitron": __version__, "llama-cpp-python": llamacpp.installed()}
            results = {"machine": inference.machine(), "versions": versions, "found": measure(Path(folder))}
        atomic_write(RESULTS, json.dumps(results, indent=1) + "\n")
    tables.show_all(made(results))
    tables.put(made(results), HERE.parent / "docs/performance.md")


if __name__ == "__main__":
    tables.run(main)
