"""A checkpoint's model.json from somebody else: errors are one sentence, and reading takes no more memory than the weights."""

import json
import re
import subprocess
import sys

import pytest
import torch
from conftest import tiny_shape

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.train import checkpoint

HUGE = {"n_layers": 3, "d_model": 65536, "n_heads": 2, "n_kv_heads": 2, "d_ff": 262144}  # 17 GB of weights
HOSTILE = {
    "huge": ({"model": HUGE}, "the weights beside it are of another shape"),
    "wider": ({"model": {"d_ff": 65}}, "the weights beside it are of another shape"),
    "vocabulary": ({"vocab_size": 10**9}, "the weights beside it are of another shape"),
    "other names": ({"model": {"arch": "nanogpt"}}, "the weights beside it are of another shape"),
    "layers": ({"model": {"n_layers": 10**6}}, "model.n_layers must be at most 256, not 1000000"),
    "context": ({"model": {"context": 10**10}}, "model.context must be at most 65536, not 10000000000"),
    "unknown": ({"model": {"evil": 1}}, "unknown key 'model.evil'"),
    "no heads": ({"model": {"n_heads": 0}}, "model.n_heads must be at least 1, not 0"),
    "odd heads": ({"model": {"n_heads": 3}}, "model.d_model 32 is no multiple of model.n_heads 3"),
    "negative": ({"model": {"n_layers": -1}}, "model.n_layers must be at least 1, not -1"),
    "text": ({"model": {"n_layers": "2"}}, "model.n_layers must be a whole number, not '2'"),
    "no such shape": ({"model": {"arch": "os"}}, "model.arch must be one of"),
    "no model": ({"model": None}, ""),
    "no step": ({"step": None}, ""),
    "step": ({"step": "\x1b]0;x\x07"}, ""),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("sft")
    return checkpoint.save(folder, LanguageModel(tiny_shape(), 100), step=1, info={})


def rewrite(saved, out, changes):
    """Copies the checkpoint to `out` with other values in model.json; values under "model" are merged into the old ones."""
    out.mkdir()
    about = json.loads((saved / "model.json").read_text())
    changed = changes.get("model")
    whole = about | changes | ({"model": about["model"] | changed} if isinstance(changed, dict) else {})
    (out / "model.json").write_text(json.dumps(whole))
    (out / "model.safetensors").symlink_to(saved / "model.safetensors")
    return out


@pytest.mark.parametrize("name", HOSTILE)
def test_what_it_says_is_checked_like_a_recipe(saved, tmp_path, name):
    changes, told = HOSTILE[name]
    with pytest.raises(MinitronError, match=r"model\.json is damaged") as failure:
        checkpoint.load_model(rewrite(saved, tmp_path / "here", changes))
    assert told in str(failure.value)
    assert failure.value.hint


@pytest.mark.parametrize("text", ["[1]", "null", '"x"', "{", "{}"])
def test_it_is_an_object(saved, tmp_path, text):
    folder = rewrite(saved, tmp_path / "here", {})
    (folder / "model.json").write_text(text)
    with pytest.raises(MinitronError, match=re.escape("model.json is damaged")):
        checkpoint.load_model(folder)


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from minitron.core.errors import MinitronError
from minitron.train import checkpoint
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, used + 10**9))
for folder in sys.argv[1:]:
    try:
        checkpoint.load_model(Path(folder))
    except MinitronError as error:
        print("refused")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and RLIMIT_AS")
def test_no_size_in_it_decides_an_allocation(saved, tmp_path):
    names = ["huge", "vocabulary", "layers", "context"]
    folders = [str(rewrite(saved, tmp_path / name, HOSTILE[name][0])) for name in names]
    done = subprocess.run([sys.executable, "-c", LIMITED, *folders], capture_output=True, text=True)
    assert done.stdout.split() == ["refused"] * len(names), done.stderr
