"""Carries out the commands that `arguments` describes, and says how they failed.

Imports what a command needs only when it runs, so that --help is instant.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from minitron.cli.arguments import STAGE_HELP, parser, place
from minitron.core import distributed, interrupt, out_of_memory
from minitron.core.console import fail, ready_streams, say
from minitron.core.errors import MinitronError
from minitron.recipe.kinds import EXPORTS
from minitron.recipe.layout import WITH_MODEL

# Commands that keep what they have done when they are stopped.
GO_ON = ("run", "data", *WITH_MODEL, "reject", "judge", "study")


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
        _in_a_folder()
        if distributed.launched() and arguments.command not in (*STAGE_HELP, "run"):
            raise MinitronError(f"minitron {arguments.command} is for one process", hint="leave torchrun out", code=2)
        smaller = "use a smaller model or file, or a machine with more memory"
        with (
            out_of_memory.explained(f"minitron {arguments.command}", hint=smaller),
            distributed.joined(),
            interrupt.raised(),
        ):
            COMMANDS[arguments.command](arguments)
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


def _in_a_folder() -> None:
    """Raises MinitronError where the current folder was deleted: torch would end the process without saying why."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise MinitronError("the current folder was deleted", hint="change to another one", code=2) from None


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

    answers = new.Answers(
        name=a.name,
        data=a.data,
        minutes=a.minutes,
        assistant=a.assistant,
        facts=a.fact,
        languages=a.language,
        name_ru=a.name_ru,
    )
    new.run(a.file, answers)


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
    from minitron.program import bundle, html

    html.write(a.bundle or bundle.last_bundle(), a.out)


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


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "run": _run,
    **dict.fromkeys(STAGE_HELP, _stage),
    "plan": _plan,
    "new": _new,
    "synth": _synth,
    "chat": _chat,
    "compare": _compare,
    "import": _import,
    "look": _look,
    "judge": _judge,
    "labels": _labels,
    "clean": _clean,
    "inspect": _inspect,
    "census": _census,
    "embeddings": _embeddings,
    "study": _study,
    "export": _export,
    "binary": _binary,
    "html": _html,
    "explain": _explain,
    **dict.fromkeys(("tokenize", "logits", "complete"), _ndjson),
    "completion": _completion,
}
