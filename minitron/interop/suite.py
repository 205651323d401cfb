"""Evaluates a model with an external benchmark harness. Run: minitron eval RECIPE --suite lm-eval:TASK[,TASK...]

EleutherAI's lm-evaluation-harness loads the folder that `hf` writes, like any other model, and runs tasks that are files on this
disk (.yaml), whose data are local files too. Nothing is fetched. Knows nothing about recipes.
"""

import json
import os
from pathlib import Path
from typing import Any

from minitron.core.errors import MinitronError

SUITE = "lm-eval"


def tasks_of(text: str) -> list[str]:
    """The file names in `lm-eval:a.yaml,b.yaml`. Raises MinitronError for another suite, or if a file does not exist."""
    suite, _, names = text.partition(":")
    hint = f"such as --suite {SUITE}:my/colours.yaml"
    if suite != SUITE or not names:
        raise MinitronError(f"--suite {text}: there is no such suite", hint=hint, code=2)
    found = [name.strip() for name in names.split(",") if name.strip()]
    for name in found:
        if not Path(name).is_file():
            raise MinitronError(f"there is no file {name} with a task of {SUITE}", hint=hint, code=2)
    return found


def harness() -> Any:
    """The package lm_eval. Raises MinitronError if it, or a package that it needs, is not installed."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):  # lm_eval reads these when it is imported
        os.environ[name] = "1"
    try:
        import lm_eval.tasks
    except ImportError as error:
        missing = (error.name or SUITE).partition(".")[0].replace("_", "-")
        raise MinitronError(f"--suite needs the package {missing}", hint="pip install 'minitron[eval]'") from None
    return lm_eval


def run(folder: Path, tasks: list[str], *, device: str) -> dict[str, dict[str, float]]:
    """Runs all tasks on the model in `folder`; returns task -> metric -> value, under the harness's names. Raises MinitronError if
    the harness fails, such as on a file that is no task."""
    library = harness()
    try:
        found = library.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(folder), "dtype": "float32"},
            tasks=tasks,
            task_manager=library.tasks.TaskManager(include_defaults=False),
            device=device,
            log_samples=False,
        )
    except Exception as error:  # a task can run code of its own and raise anything
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MinitronError(f"{SUITE} stopped: {told[:300]}", hint="try the task with lm-eval itself") from error
    results: dict[str, dict[str, Any]] = found["results"]
    return {task: {k: v for k, v in values.items() if isinstance(v, int | float)} for task, values in results.items()}


def as_json(results: dict[str, dict[str, float]]) -> str:
    return json.dumps(results, indent=1) + "\n"


def table(results: dict[str, dict[str, float]]) -> list[str]:
    """A line for each task and metric, with its standard error."""
    lines = []
    for task, values in results.items():
        for metric, value in values.items():
            name, _, kind = metric.partition(",")
            if not kind or name.endswith("_stderr"):  # a count, such as of rows
                continue
            error = values.get(f"{name}_stderr,{kind}")
            lines.append(f"{task}  {name}  {value:.4f}" + (f" ± {error:.4f}" if error is not None else ""))
    return lines
