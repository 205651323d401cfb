"""`minitron eval --suite`: tasks that lie on this disk, asked by the harness itself."""

import json
from pathlib import Path

import pytest
from commands import minitron, refused
from conftest import run_to

from minitron.core.errors import MinitronError
from minitron.interop import suite

TASK = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: colours.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [" hello", " xqzj"]
doc_to_target: 0
metric_list: [{metric: acc}]
"""


def test_what_is_no_suite_is_told(tiny_run):
    refused("eval", "tiny.toml", "--suite", "bench:x", code=2, saying="--suite bench:x: there is no such suite")
    refused("eval", "tiny.toml", "--suite", "lm-eval:x.yaml", code=2, saying="there is no file x.yaml")


def test_without_the_extra_it_says_which(tiny_run):
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        Path("colours.yaml").write_text(TASK)
        said = refused("eval", "tiny.toml", "--suite", "lm-eval:colours.yaml", saying="needs the package lm-eval")
        assert "pip install 'minitron[eval]'" in said


def test_a_table_has_values_with_their_errors():
    found = {"colours": {"acc,none": 0.75, "acc_stderr,none": 0.05, "sample_len": 20}}
    assert suite.table(found) == ["colours  acc  0.7500 ± 0.0500"]
    assert suite.tasks_of(f"lm-eval:{__file__}") == [__file__]
    with pytest.raises(MinitronError, match="no such suite"):
        suite.tasks_of("lm-eval:")


@pytest.mark.slow  # imports transformers and the harness
def test_a_small_task_of_ones_own(tiny_run):
    pytest.importorskip("lm_eval")
    run_to("sft")
    Path("tiny.toml").write_text(Path("tiny.toml").read_text().split("[reject]")[0])
    Path("colours.yaml").write_text(TASK)
    Path("colours.jsonl").write_text("".join(json.dumps({"question": f"say {i}"}) + "\n" for i in range(20)))
    done = minitron("eval", "tiny.toml", "--suite", "lm-eval:colours.yaml")
    assert done.returncode == 0, done.stderr
    found = json.loads(Path("runs/tiny/suite.json").read_text())["colours"]
    assert 0.0 <= found["acc,none"] <= 1.0
    assert f"colours  acc  {found['acc,none']:.4f}" in done.stdout
