"""The commands of minitron and their arguments, for argparse. `commands` carries them out.

    parser().parse_args(["sft", "recipes/demo.toml", "sft.steps=10"])      # .command, .recipe, .overrides, ...

A command's help, the reference in docs/commands.md and the shells' completion all come from here. Imports nothing slow, so that
--help is instant. Knows nothing about what a command does.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from minitron import __version__
from minitron.recipe.kinds import EXPORTS
from minitron.recipe.layout import STAGES, TRAINING, WITH_MODEL

STAGE_HELP = {
    "data": "keep dialogues by their scores, hold some out, report what was dropped and why",
    "tokenizer": "train the tokenizer",
    "pretrain": "train a base model on raw text (recipes with [pretrain])",
    "sft": "train on dialogues, from scratch or from pretrain's model",
    "reject": "sample the model's own failures",
    "kto": "align with KTO on the failures that reject found, watched by guards",
    "feedback": "learn from the labels that people gave to answers, watched by guards",
    "eval": "write the report card",
}
MEASURED = (*TRAINING, "reject", "kto")  # stages that can say what they would need
Add = Callable[..., argparse.ArgumentParser]  # adds a command by name and help, see `parser`


def place(text: str) -> str:
    """The type of an argument that may name a file: like `Path` it is completed by the shell, but stays as it was typed."""
    return text


def at_least(least: int) -> Callable[[str], int]:
    """The type of a whole number that is not below `least`."""

    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
        return value

    return number


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="minitron",
        description="From judged dialogues to a chat program that you can send to friends.",
        epilog="Options of a recipe are set on the command line as section.key=value, such as optim.lr=3e-4.",
    )
    top.add_argument("--version", action="version", version=f"minitron {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, help: str, *, recipe: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        if recipe:
            command.add_argument("recipe", type=place, metavar="RECIPE", help="a file such as recipes/demo.toml")
            command.add_argument(
                "overrides", nargs="*", default=[], metavar="section.key=value", help="changes to the recipe"
            )
        return command

    for group in (_stages, _beginnings, _models, _data, _tokenizers, _studies, _products, _programs):
        group(add)
    return top


def _stages(add: Add) -> None:
    """The whole run, and each stage of it."""
    run = add("run", "run all stages of a recipe, except those that are done")
    run.add_argument("--from", dest="first", choices=STAGES, help="begin at this stage")
    run.add_argument("--to", dest="last", choices=STAGES, help="end with this stage")
    run.add_argument("--force", action="store_true", help="run the stages from their beginning, even if they are done")
    for name, help in STAGE_HELP.items():
        stage = add(name, help)
        stage.add_argument("--force", action="store_true", help="run it from its beginning, even if it is done")
        if name in MEASURED:
            stage.add_argument("--dry-run", action="store_true", help="only print sizes, memory and time")
        if name == "eval":
            stage.add_argument(
                "--suite",
                metavar="lm-eval:TASK.yaml",
                help="run these tasks of lm-evaluation-harness on the shipped model, instead of the report card; separated by commas",
            )


def _beginnings(add: Add) -> None:
    """What comes before a run: a plan, a recipe, dialogues."""
    plan = add(
        "plan",
        "measure this machine and print a recipe for a given size, a given time, or both",
        recipe=False,
    )
    plan.add_argument(
        "recipe", type=place, metavar="RECIPE|DATA", help="a recipe, or files of dialogues and plain text"
    )
    plan.add_argument(
        "overrides",
        nargs="*",
        default=[],
        type=place,
        metavar="DATA|section.key=value",
        help="more files, or changes to the recipe",
    )
    plan.add_argument(
        "--params", metavar="SIZE", help="number of parameters, such as 10M or 500k (default: what the time allows)"
    )
    plan.add_argument(
        "--minutes",
        metavar="N",
        help="minutes that the whole run may take (default: enough for as many tokens as RECIPE trains on)",
    )
    new = add("new", "ask a few questions, unless options answer them, and write a first recipe", recipe=False)
    new.add_argument(
        "file", type=place, metavar="FILE", nargs="?", help="the recipe to write (default: recipes/<name>.toml)"
    )
    new.add_argument("--name", help="name of the chat program")
    new.add_argument(
        "--data",
        nargs="+",
        default=[],
        type=place,
        metavar="DATA",
        help="files or folders of dialogues or text; built-in: minitron's own dialogues, alone or together with files",
    )
    new.add_argument(
        "--language",
        nargs="+",
        default=[],
        metavar="en|ru",
        help="languages that it speaks (built-in dialogues; default: both)",
    )
    new.add_argument("--name-ru", metavar="NAME", help="its name in Russian (built-in dialogues; default: as --name)")
    new.add_argument(
        "--fact",
        action="append",
        metavar="'QUESTION? ANSWER'",
        help="something it knows about itself, or 'Hello! = Ahoy.' for what is no question; repeatable (built-in dialogues)",
    )
    new.add_argument("--minutes", metavar="N", help="minutes that the whole run may take")
    new.add_argument(
        "--assistant", default="", metavar="NAME", help="the person of a chat's export whom it shall talk like"
    )
    synth = add("synth", "write minitron's built-in dialogues, with their scores, to a parquet file", recipe=False)
    synth.add_argument("out", type=Path, metavar="OUT.parquet", help="file to write")
    synth.add_argument("--rows", type=at_least(1), default=135_000, metavar="N", help="rows to write (default: 135000)")
    synth.add_argument("--seed", type=at_least(0), default=1, metavar="S", help="seed of the generator (default: 1)")
    synth.add_argument(
        "--long",
        type=at_least(0),
        default=0,
        metavar="N",
        help="letters of the longest dialogues, as in data.synth_long (default: 0, no long ones)",
    )


def _models(add: Add) -> None:
    """What is done with models."""
    chat = add("chat", "talk to a model in the terminal (RECIPE may also be a run's folder, such as runs/demo)")
    chat.add_argument(
        "--stage",
        choices=WITH_MODEL,
        help="stage whose model to talk to (default: the last one trained)",
    )
    compare = add("compare", "compare two models on the same prompts, with confidence intervals", recipe=False)
    compare.add_argument(
        "first", type=place, metavar="A", help="a stage's folder, such as runs/demo/sft, or a checkpoint"
    )
    compare.add_argument("second", type=place, metavar="B", help="another one, such as runs/demo/kto")
    compare.add_argument(
        "--prompts", type=at_least(0), default=0, metavar="N", help="number of held-out prompts (default: eval.prompts)"
    )
    bring = add(
        "import",
        "turn a model that was made elsewhere into a run, from which other recipes can go on",
        recipe=False,
    )
    bring.add_argument(
        "path", type=Path, metavar="PATH", help="a Hugging Face model's folder, nanoGPT's ckpt.pt, or a .gguf file"
    )
    bring.add_argument(
        "--adapter",
        type=Path,
        metavar="FOLDER",
        help="folder of a LoRA adapter by peft for this model, which is merged into the weights",
    )
    bring.add_argument("--out", type=Path, metavar="RUN", required=True, help="the run to make, such as runs/smol")


def _data(add: Add) -> None:
    """What is done with dialogues, labels and text."""
    look = add("look", "show what the data stage keeps and drops, and how rows look before and after")
    look.add_argument("--rows", type=at_least(1), default=5000, metavar="N", help="rows to look at (default: 5000)")
    look.add_argument("--html", type=Path, metavar="FILE", help="also write an HTML page")
    judge = add("judge", "score dialogues with a model behind an OpenAI-compatible endpoint ([judge])", recipe=False)
    judge.add_argument("recipe", type=place, metavar="RECIPE|FILE", help="a recipe, or a file of dialogues")
    judge.add_argument("overrides", nargs="*", default=[], metavar="section.key=value", help="changes to the recipe")
    judge.add_argument(
        "--out", type=Path, metavar="FILE", help="file to write (default: runs/<recipe>/judge/judged.parquet)"
    )
    judge.add_argument(
        "--dry-run", action="store_true", help="only print how much there is to ask and the estimated cost"
    )
    labels = add("labels", "collect people's labels of answers, for the next run to learn from", recipe=False)
    labels.add_argument(
        "action",
        choices=["add", "show"],
        help="add labels from files to those of the recipe, or show the recipe's labels",
    )
    labels.add_argument("recipe", type=place, metavar="RECIPE", help="a file such as recipes/demo.toml")
    labels.add_argument(
        "files",
        nargs="*",
        default=[],
        type=Path,
        metavar="FILE",
        help="file of labels, written by /labels FILE in a chat or by the button on the page",
    )
    labels.add_argument(
        "--any-model", action="store_true", help="also add labels of answers by a model of another name"
    )
    add("clean", "show what pretrain.clean removes from the recipe's text, with samples")


def _tokenizers(add: Add) -> None:
    """What shows how tokenizers split text."""
    inspect = add(
        "inspect",
        "show how a tokenizer splits a text, and by which merges its words became tokens",
        recipe=False,
    )
    inspect.add_argument(
        "model", type=place, metavar="RECIPE|MODEL", help="a recipe, a run's folder, or a tokenizer.model"
    )
    inspect.add_argument(
        "text", metavar="TEXT", nargs="?", default="-", help="the text; if it is - or left out, stdin is read"
    )
    inspect.add_argument(
        "--with",
        dest="others",
        action="append",
        default=[],
        type=place,
        metavar="OTHER",
        help="another tokenizer to show beside it; repeatable",
    )
    inspect.add_argument(
        "--html", type=Path, metavar="FILE", help="also write an HTML page, with the tokenizers side by side"
    )
    inspect.add_argument(
        "--json", action="store_true", help="for programs: print one line of JSON per tokenizer, about the whole text"
    )
    census = add(
        "census",
        "count how a text uses the tokens of a vocabulary, and sort them into classes such as live, rare and unseen",
        recipe=False,
    )
    census.add_argument(
        "model", type=place, metavar="RECIPE|MODEL", help="a recipe, a run's folder, or a tokenizer.model"
    )
    census.add_argument(
        "corpus",
        type=place,
        metavar="CORPUS",
        nargs="*",
        help="files, folders or globs (default: the text that the run learns from)",
    )
    census.add_argument(
        "--column",
        default="",
        metavar="NAME",
        help="column with the texts, in files with columns (default: the turns of dialogues, else text)",
    )
    census.add_argument(
        "--words",
        default="",
        metavar="a,the",
        help="words of interest (default: the commonest English and Russian ones)",
    )
    census.add_argument("--json", type=Path, metavar="FILE", help="also write every token with its class and counts")
    census.add_argument("--html", type=Path, metavar="FILE", help="also write an HTML page with plots")


def _studies(add: Add) -> None:
    """What shows what models learn of tokens."""
    embeddings = add("embeddings", "show how the embeddings of all tokens moved in training", recipe=False)
    embeddings.add_argument(
        "model", type=place, metavar="RUN", help="folder or recipe of a run that was trained with snapshot_steps"
    )
    embeddings.add_argument(
        "--stage",
        choices=TRAINING,
        help="stage whose embeddings to show (default: the last one with snapshots)",
    )
    embeddings.add_argument(
        "--head", action="store_true", help="show the rows of an untied head instead of the embedding's"
    )
    embeddings.add_argument(
        "--html", type=Path, metavar="FILE", help="the page (default: embeddings.html in the stage's folder)"
    )
    embeddings.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    add(
        "study",
        "compare tokenizers: train the same small model with each, and judge it by bits per byte (recipes with [study])",
    )


def _products(add: Add) -> None:
    """What is made of a finished model."""
    export = add(
        "export",
        "write the model as another program reads it: bundle for the chat program (weights.bin, vocab.json, config.json), hf for "
        "transformers, gguf for llama.cpp and ollama, peft for a LoRA adapter",
    )
    export.add_argument("--format", choices=[*EXPORTS], default="bundle", help="what to write (default: bundle)")
    dtypes = sorted({dtype for kind in EXPORTS.values() for dtype in kind.dtypes})
    export.add_argument(
        "--dtype",
        choices=dtypes,
        help="number format of the matrices: f16, q8 or q4 (default: export.dtype); for hf f32 (default), f16 or bf16; for peft f32",
    )
    export.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to write into (default: export/<recipe>; for hf and peft export/<recipe>/<format>)",
    )
    export.add_argument(
        "--untrained", action="store_true", help="write untrained weights of the recipe's shape, for benchmarks"
    )
    binary = add("binary", "build the chat program around a bundle", recipe=False)
    binary.add_argument(
        "--target",
        action="append",
        metavar="OS/ARCH",
        help="system to build for (default: this machine); repeatable; 'all': every system, and a folder to send to friends",
    )
    binary.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="folder of the bundle (default: the one in export/ that was written last)",
    )
    binary.add_argument("--out", type=Path, metavar="DIR", help="folder to write into (default: dist/<recipe>)")
    binary.add_argument(
        "--check",
        type=Path,
        metavar="FILE",
        help="keep no program, only check that this one is byte for byte what would be built",
    )
    page = add("html", "put the page, the engine and the model into one HTML file", recipe=False)
    page.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="folder of a q8 or q4 bundle (default: the one in export/ that was written last)",
    )
    page.add_argument(
        "--out", type=Path, metavar="FILE", help="file to write (default: dist/<recipe>/<title>-<version>.html)"
    )
    explain = add("explain", "write one HTML file that shows how this model was made and what it does")
    explain.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: runs/<recipe>/explain.html)")


def _programs(add: Add) -> None:
    """What other programs call."""
    add("tokenize", 'NDJSON in, NDJSON out: {"text"} or {"b64"} -> {"ids"}')
    add("logits", 'NDJSON in, NDJSON out: {"ids"} -> {"logits"} of the last position')
    add(
        "complete",
        'NDJSON in, NDJSON out: {"messages", "max_tokens"}, or for a base model {"text", "max_tokens"}, '
        '-> {"text", "ids", "stopped"}, greedy',
    )
    completion = add("completion", "print a script that lets the shell complete commands and options", recipe=False)
    completion.add_argument("shell", choices=["bash", "zsh"], help="the shell to print it for")
