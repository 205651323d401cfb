"""Shell completion in a real bash: commands, options, their values, and files."""

import shutil
import subprocess
from pathlib import Path

import pytest
from commands import minitron

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")

ASK = """
source ./completion
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
function=$(complete -p minitron | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function" minitron "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str) -> set[str]:
    """What bash offers for the last of these words."""
    done = subprocess.run(["bash", "-c", ASK, "bash", "minitron", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_bash_completes_commands_options_choices_and_files(in_tmp_path):
    done = minitron("completion", "bash")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    Path("completion").write_text(done.stdout)
    Path("recipes").mkdir()
    Path("recipes/demo.toml").write_text("")
    assert completed("exp") == {"explain", "export"}
    assert completed("pre") == {"pretrain"}
    assert {"run", "new", "sft", "import", "completion"} <= completed("")
    assert completed("export", "recipes/demo.toml", "--fo") == {"--format"}
    assert completed("export", "recipes/demo.toml", "--format", "") == {"bundle", "hf", "peft", "gguf"}
    assert completed("sft", "recipes/de") == {"recipes/demo.toml"}
    assert "recipes" in {name.rstrip("/") for name in completed("import", "m", "--out", "rec")}


def test_zsh_and_no_other_shell(in_tmp_path):
    done = minitron("completion", "zsh")
    assert done.returncode == 0
    assert done.stdout.startswith("#compdef minitron")
    if shutil.which("zsh"):
        Path("_minitron").write_text(done.stdout)
        subprocess.run(["zsh", "-n", "_minitron"], check=True)
    assert minitron("completion", "tcsh").returncode == 2
