"""Builds the chat program for this machine and tests it. Run: minitron run recipes/demo.toml --from binary.

Reads export/<recipe>/ and, if the recipe has probes, what eval asked; writes dist/<recipe>/minitron-chat-<os>-<arch>. The
program that was built last is also dist/minitron-chat-<os>-<arch>.
The new program replays its own reference outputs and is asked eval's probes: what friends get must be as good as what was
measured.
"""

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from minitron.core.console import say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.evaluate import checks
from minitron.program import go
from minitron.recipe.schema import Config

POINTS = 0.01  # how far the program's probe accuracy, a share, may be from eval's


def run(config: Config) -> None:
    bundle = config.layout.bundle
    (program,) = go.build(bundle, config.layout.dist)
    test = subprocess.run([program.resolve(), "selftest"], capture_output=True, text=True)
    if test.returncode:
        hint = "build it again; if that fails too, please report this output"
        raise MinitronError(f"{program} does not compute what torch does: {test.stderr.strip()}", hint=hint)
    say("binary: its selftest passes")
    go.publish([program], bundle)
    asked = read_probes(config.layout.probes(config.shipped))
    if not asked:
        return
    answers = go.complete(program, [a["messages"] for a in asked], max_tokens=config.eval.max_tokens)
    right = sum(checks.passes(text, a["check"]) for text, a in zip(answers, asked, strict=True))
    accuracy = right / len(asked)
    same = sum(text == a["answer"] for text, a in zip(answers, asked, strict=True)) / len(asked)
    measured = sum(a["right"] for a in asked) / len(asked)
    report = {"probe_accuracy": accuracy, "asked": len(asked), "same_answer_as_eval": same}
    atomic_write(config.layout.stage_report("binary"), json.dumps(report, indent=1))
    say(f"binary: answers {accuracy:.1%} of {len(asked)} held-out probes right (eval: {measured:.1%})")
    if abs(accuracy - measured) > POINTS:
        warn(
            "the program's accuracy on the probes differs from eval's by more than a percentage point; rounded weights may be why: "
            "try export.dtype = 'f16'"
        )


def read_probes(file: Path) -> list[dict[str, Any]]:
    """What eval asked and what was answered; nothing if there is no file. Raises MinitronError for a file that is damaged."""
    if not file.exists():
        return []
    *lines, cut = file.read_bytes().split(b"\n")
    with suppress(ValueError, TypeError):
        probes = [json.loads(line) for line in lines]
        if not cut and all({"messages", "check", "answer", "right"} <= {*probe} for probe in probes):
            return probes
    raise MinitronError(f"{file} is damaged", hint="run: minitron eval RECIPE")
