"""The command line: which commands there are, their options, and how they fail.

Imports what a command needs only when it runs, so that --help is instant.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from minitron import __version__
from minitron.core import distributed, interrupt, out_of_memory
from minitron.core.console import fail, ready_streams, say
from minitron.core.errors import MinitronError
from minitron.recipe.kinds import EXPORTS

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
TRAINED = ("pretrain", "sft", "reject", "kto")  # stages that can say what they would need
# Commands that keep what they have done when they are stopped.
GO_ON = ("run", "data", "pretrain", "sft", "reject", "kto", "feedback", "judge", "study")


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
    """The parser of all commands. Each command sets `run` to the function that carries it out."""
    top = argparse.ArgumentParser(
        prog="minitron",
        description="From judged dialogues to a chat program that you can send to friends.",
        epilog="Options of a recipe are set on the command line as section.key=value, such as optim.lr=3e-4.",
    )
    top.add_argument("--version", action="version", version=f"minitron {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, run: Callable, help: str, *, recipe: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        command.set_defaults(run=run)
        if recipe:
            command.add_argument("recipe", type=place, metavar="RECIPE", help="a file such as recipes/demo.toml")
            command.add_argument(
                "overrides", nargs="*", default=[], metavar="section.key=value", help="changes to the recipe"
            )
        return command

    run = add("run", _run, "run all stages of a recipe, except those that are done")
    run.add_argument("--from", dest="first", choices=[*STAGE_HELP, "export", "binary"], help="begin at this stage")
    run.add_argument("--to", dest="last", choices=[*STAGE_HELP, "export", "binary"], help="end with this stage")
    run.add_argument("--force", action="store_true", help="run the stages even if they are done")
    for name, help in STAGE_HELP.items():
        stage = add(name, _stage, help)
        stage.add_argument("--force", action="store_true", help="run it even if it is done; training begins anew")
        if name in TRAINED:
            stage.add_argument("--dry-run", action="store_true", help="only print sizes, memory and time")
        if name == "eval":
            stage.add_argument(
                "--suite",
                metavar="lm-eval:TASK.yaml",
                help="run these tasks of lm-evaluation-harness on the shipped model, instead of the report card; separated by commas",
            )

    plan = add(
        "plan",
        _plan,
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
        "--minutes", metavar="N", help="time for the whole run (default: enough for as many tokens as RECIPE trains on)"
    )

    new = add("new", _new, "ask a few questions and write a first recipe", recipe=False)
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
        "--language", nargs="+", default=[], metavar="en|ru", help="languages that it speaks (built-in dialogues)"
    )
    new.add_argument("--name-ru", metavar="NAME", help="its name in Russian (built-in dialogues)")
    new.add_argument(
        "--fact",
        action="append",
        metavar="'QUESTION? ANSWER'",
        help="something it knows about itself, or 'Hello! = Ahoy.' for what is no question; repeatable (built-in dialogues)",
    )
    new.add_argument("--minutes", metavar="N", help="time for the whole run")
    new.add_argument(
        "--assistant", default="", metavar="NAME", help="the person of a chat's export whom it shall talk like"
    )

    synth = add(
        "synth", _synth, "write minitron's built-in dialogues, with their scores, to a parquet file", recipe=False
    )
    synth.add_argument("out", type=Path, metavar="OUT.parquet")
    synth.add_argument("--rows", type=at_least(1), default=135_000, metavar="N", help="rows to write (default: 135000)")
    synth.add_argument("--seed", type=at_least(0), default=1, metavar="S", help="seed of the generator (default: 1)")
    synth.add_argument(
        "--long",
        type=at_least(0),
        default=0,
        metavar="N",
        help="letters of the longest dialogues, as in data.synth_long (default: 0)",
    )

    chat = add("chat", _chat, "talk to a model in the terminal (RECIPE may also be a run's folder, such as runs/demo)")
    chat.add_argument(
        "--stage",
        choices=["pretrain", "sft", "kto", "feedback"],
        help="stage whose model to talk to (default: the last one trained)",
    )

    compare = add(
        "compare", _compare, "compare two models on the same prompts, with confidence intervals", recipe=False
    )
    compare.add_argument(
        "first", type=place, metavar="A", help="a stage's folder, such as runs/demo/sft, or a checkpoint"
    )
    compare.add_argument("second", type=place, metavar="B", help="another one, such as runs/demo/kto")
    compare.add_argument(
        "--prompts", type=at_least(0), default=0, metavar="N", help="number of held-out prompts (default: eval.prompts)"
    )

    bring = add(
        "import",
        _import,
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

    look = add("look", _look, "show what the data stage keeps and drops, and how rows look before and after")
    look.add_argument("--rows", type=at_least(1), default=5000, metavar="N", help="rows to look at (default: 5000)")
    look.add_argument("--html", type=Path, metavar="FILE", help="also write an HTML page")

    judge = add(
        "judge", _judge, "score dialogues with a model behind an OpenAI-compatible endpoint ([judge])", recipe=False
    )
    judge.add_argument("recipe", type=place, metavar="RECIPE|FILE", help="a recipe, or a file of dialogues")
    judge.add_argument("overrides", nargs="*", default=[], metavar="section.key=value", help="changes to the recipe")
    judge.add_argument(
        "--out", type=Path, metavar="FILE", help="file to write (default: runs/<recipe>/judge/judged.parquet)"
    )
    judge.add_argument(
        "--dry-run", action="store_true", help="only print how much there is to ask and the estimated cost"
    )

    labels = add("labels", _labels, "collect people's labels of answers, for the next run to learn from", recipe=False)
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

    add("clean", _clean, "show what pretrain.clean removes from the recipe's text, with samples")

    inspect = add(
        "inspect",
        _inspect,
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
        _census,
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

    embeddings = add("embeddings", _embeddings, "show how the embeddings of all tokens moved in training", recipe=False)
    embeddings.add_argument(
        "model", type=place, metavar="RUN", help="folder or recipe of a run that was trained with snapshot_steps"
    )
    embeddings.add_argument(
        "--stage",
        choices=["pretrain", "sft"],
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
        _study,
        "compare tokenizers: train the same small model with each, and judge it by bits per byte (recipes with [study])",
    )

    export = add(
        "export",
        _export,
        "write the model as another program reads it: bundle for the chat program (weights.bin, vocab.json, config.json), hf for "
        "transformers, gguf for llama.cpp and ollama, peft for a LoRA adapter",
    )
    export.add_argument("--format", choices=[*EXPORTS], default="bundle", help="default: bundle")
    dtypes = sorted({dtype for kind in EXPORTS.values() for dtype in kind.dtypes})
    export.add_argument(
        "--dtype", choices=dtypes, help="number format of the matrices (default: export.dtype; for hf and peft f32)"
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

    binary = add("binary", _binary, "build the chat program around a bundle", recipe=False)
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

    page = add("html", _html, "put the page, the engine and the model into one HTML file", recipe=False)
    page.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="folder of a q8 or q4 bundle (default: the one in export/ that was written last)",
    )
    page.add_argument(
        "--out", type=Path, metavar="FILE", help="file to write (default: dist/<recipe>/<title>-<version>.html)"
    )

    explain = add("explain", _explain, "write one HTML file that shows how this model was made and what it does")
    explain.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: runs/<recipe>/explain.html)")

    add("tokenize", _ndjson, 'NDJSON in, NDJSON out: {"text"} or {"b64"} -> {"ids"}')
    add("logits", _ndjson, 'NDJSON in, NDJSON out: {"ids"} -> {"logits"} of the last position')
    add(
        "complete",
        _ndjson,
        'NDJSON in, NDJSON out: {"messages", "max_tokens"}, or for a base model {"text", "max_tokens"}, '
        '-> {"text", "ids", "stopped"}, greedy',
    )

    completion = add(
        "completion", _completion, "print a script that lets the shell complete commands and options", recipe=False
    )
    completion.add_argument("shell", choices=["bash", "zsh"])
    return top


def main(argv: list[str] | None = None) -> None:
    """Runs one command and exits with its status: 0, 1 for a failure, 2 for a mistake in the command or the recipe, 130 for Ctrl-C,
    143 or 129 if SIGTERM or SIGHUP asked for the end, after the step was saved."""
    ready_streams()
    top = parser()
    arguments, rest = top.parse_known_args(argv)
    # argparse takes only key=value arguments that stand together; those after a flag come back as unknown
    if hasattr(arguments, "overrides") and all("=" in text and not text.startswith("-") for text in rest):
        arguments.overrides += rest
    elif rest:
        dashed = next((text for text in rest if re.match(r"--\w+(\.\w+)*=", text)), "")
        told = f" (an option of the recipe has no dashes: {dashed.lstrip('-')})" if dashed else ""
        top.error(f"unrecognized arguments: {' '.join(rest)}{told}")
    try:
        if distributed.launched() and arguments.command not in (*STAGE_HELP, "run"):
            raise MinitronError(f"minitron {arguments.command} is for one process", hint="leave torchrun out", code=2)
        smaller = "use a smaller model or file, or a machine with more memory"
        with (
            out_of_memory.explained(f"minitron {arguments.command}", hint=smaller),
            distributed.joined(),
            interrupt.raised(),
        ):
            arguments.run(arguments)
    except MinitronError as error:
        fail(error)
        sys.exit(error.code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        from minitron.core import files

        if error.filename is None and error.errno not in files.REASONS:
            raise
        fail(files.path_error(error))
        sys.exit(1)
    except KeyboardInterrupt as stopped:
        say(_interrupted(arguments))
        sys.exit(getattr(stopped, "code", 130))


def _interrupted(a: argparse.Namespace) -> str:
    """What to say after a signal: also how to go on, if the command keeps what it has done."""
    if a.command not in GO_ON or getattr(a, "dry_run", False):
        return "interrupted"
    again = "without --force" if getattr(a, "force", False) else "again"
    return f"interrupted; run the same command {again} to go on"


def _recipe(a: argparse.Namespace):
    from minitron.recipe.load import load_recipe

    return load_recipe(_recipe_file(a), getattr(a, "overrides", []))


def _recipe_file(a: argparse.Namespace) -> Path:
    """The file that was named, or that in the folder of an imported run."""
    path = Path(a.recipe)
    within = path / f"{path.name}.toml"
    return within if os.path.isfile(within) else path


def _run(a: argparse.Namespace) -> None:
    from minitron.stages.walk import walk

    config = _recipe(a)
    if walk(config, first=a.first, last=a.last, force=a.force)[-1] == "binary":
        from minitron.program import go

        distributed.on_rank0(lambda: go.introduce(config))


def _stage(a: argparse.Namespace) -> None:
    config = _recipe(a)
    if getattr(a, "dry_run", False):
        from minitron.plan import dry_run
        from minitron.stages import pipeline

        pipeline.select(config, a.command, a.command)
        distributed.on_rank0(lambda: dry_run.show(config, a.command))
        return
    if getattr(a, "suite", None):
        from minitron.stages import suite

        distributed.on_rank0(lambda: suite.run(config, a.suite))
        return
    from minitron.stages.walk import walk

    walk(config, first=a.command, last=a.command, force=a.force)


def _plan(a: argparse.Namespace) -> None:
    from minitron.plan import propose, request

    propose.run(request.read([a.recipe, *a.overrides], params=a.params, minutes=a.minutes))


def _new(a: argparse.Namespace) -> None:
    from minitron.plan import new

    new.run(a.file, new.Answers(a.name, a.data, a.minutes, a.assistant, a.fact, a.language, a.name_ru))


def _synth(a: argparse.Namespace) -> None:
    from minitron import synth

    if a.out.is_dir():
        raise MinitronError(f"{a.out} is a folder", hint=f"name a file, such as {a.out / 'judged.parquet'}", code=2)
    if a.seed >= 2**32:
        raise MinitronError("--seed must be below 4294967296", code=2)
    counts = synth.write(a.out, rows=a.rows, seed=a.seed, long=a.long)
    say(f"{a.out}: " + ", ".join(f"{v:,} {k}" for k, v in counts.items() if isinstance(v, int)))


def _chat(a: argparse.Namespace) -> None:
    from minitron.chat import terminal
    from minitron.recipe.target import load_target

    terminal.run(load_target(a.recipe, a.overrides), stage=a.stage)


def _compare(a: argparse.Namespace) -> None:
    from minitron.evaluate import compare

    compare.run(a.first, a.second, prompts=a.prompts)


def _import(a: argparse.Namespace) -> None:
    from minitron.interop import imported

    imported.run(a.path, a.out, adapter=a.adapter)


def _look(a: argparse.Namespace) -> None:
    from minitron.curate import look

    look.run(_recipe(a), rows=a.rows, html=a.html)


def _judge(a: argparse.Namespace) -> None:
    from minitron.curate import judge
    from minitron.recipe.load import recipe_of

    of_file = _recipe_file(a).suffix != ".toml"
    config = recipe_of({"data": {"files": [a.recipe]}}, Path(a.recipe), a.overrides) if of_file else _recipe(a)
    judge.run(config, out=a.out, dry_run=a.dry_run)


def _labels(a: argparse.Namespace) -> None:
    from minitron.curate import labels

    if a.action == "show":
        if a.files:
            raise MinitronError("labels show takes a recipe alone", hint="minitron labels add RECIPE FILE", code=2)
        labels.show_all(_recipe(a))
        return
    if not a.files:
        raise MinitronError("there is nothing to add", hint="name the files that friends sent", code=2)
    labels.add(_recipe(a), a.files, any_model=a.any_model)


def _clean(a: argparse.Namespace) -> None:
    from minitron.core.console import tell
    from minitron.data import documents
    from minitron.data.cleaning import Cleaner

    config = _recipe(a)
    if not (config.pretrain and config.pretrain.clean):
        raise MinitronError(
            f"{a.recipe} has no pretrain.clean", hint="add pretrain.clean=['ru-classics'] to try it", code=2
        )
    cleaner = Cleaner(config.pretrain.clean)
    for _ in documents.documents(config.pretrain, cleaner=cleaner):
        pass
    for line in cleaner.lines():
        tell(line)


def _inspect(a: argparse.Namespace) -> None:
    from minitron.lab import inspect

    if a.text == "-" and sys.stdin.isatty():
        say("type a text; Ctrl-D ends it")
    inspect.run([a.model, *a.others], inspect.read(a.text), html=a.html, as_json=a.json)


def _census(a: argparse.Namespace) -> None:
    from minitron.lab import census_report

    words = [word.strip() for word in a.words.split(",") if word.strip()]
    census_report.run(a.model, a.corpus, column=a.column, words=words, json_file=a.json, html=a.html)


def _embeddings(a: argparse.Namespace) -> None:
    from minitron.lab import cloud_page

    cloud_page.run(a.model, stage=a.stage, head=a.head, json_file=a.json, html=a.html)


def _study(a: argparse.Namespace) -> None:
    from minitron.lab import study_page

    study_page.run(_recipe(a))


def _export(a: argparse.Namespace) -> None:
    from minitron.stages import export

    if a.out and a.out.exists() and not a.out.is_dir():
        raise MinitronError(f"{a.out} is a file", hint="name a folder after --out", code=2)
    config = _recipe(a)
    out = a.out or (config.layout.bundle / a.format if EXPORTS[a.format].apart else config.layout.bundle)
    export.write(config, out=out, format=a.format, dtype=a.dtype, untrained=a.untrained)


def _binary(a: argparse.Namespace) -> None:
    from minitron.program import check, go

    if a.check and (a.target or a.out):
        raise MinitronError("--check builds nothing to keep", hint="leave out --target and --out", code=2)
    if a.check:
        check.run(a.check, a.bundle)
    else:
        go.build(a.bundle, a.out, targets=a.target)


def _html(a: argparse.Namespace) -> None:
    from minitron.program import go, html

    html.write(a.bundle or go.last_bundle(), a.out)


def _explain(a: argparse.Namespace) -> None:
    from minitron.lab import explain

    if a.out and a.out.is_dir():
        raise MinitronError(f"{a.out} is a folder", hint=f"name a file, such as {a.out / 'explain.html'}", code=2)
    explain.run(_recipe(a), a.out)


def _completion(a: argparse.Namespace) -> None:
    import shtab

    top = parser()
    (commands,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    for command in commands.choices.values():
        for action in command._actions:
            if action.type in (Path, place):
                action.complete = shtab.FILE
    print(shtab.complete(top, a.shell))


def _ndjson(a: argparse.Namespace) -> None:
    from minitron.chat import ndjson

    {"tokenize": ndjson.tokenize, "logits": ndjson.logits, "complete": ndjson.complete}[a.command](_recipe(a))
