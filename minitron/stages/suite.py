"""Measures the shipped model with someone else's test suite. Run: minitron eval RECIPE --suite lm-eval:my/colours.yaml

Exports the model for transformers into a temporary folder, and writes suite.json into the run's folder. Knows nothing about how
tasks are asked.
"""

import tempfile
from pathlib import Path

from minitron.core.console import tell
from minitron.core.device import pick_device
from minitron.core.files import atomic_write
from minitron.interop import suite
from minitron.recipe.schema import Config
from minitron.stages import export


def run(config: Config, text: str) -> None:
    """Runs the tasks that `text`, the value of --suite, names; writes and prints their results."""
    tasks = suite.tasks_of(text)
    suite.harness()  # raises here if it is not installed, before anything is computed
    with tempfile.TemporaryDirectory() as folder:
        export.write(config, out=folder, format="hf")
        results = suite.run(Path(folder), tasks, device=str(pick_device(config.device)))
    atomic_write(config.layout.suite, suite.as_json(results))
    for line in suite.table(results):
        tell(line)
