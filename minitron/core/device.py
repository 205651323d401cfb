"""Which device a model runs on."""

import platform
import re
from pathlib import Path

import torch


def pick_device(wanted: str) -> torch.device:
    """`auto`: cuda, else mps, else cpu."""
    if wanted != "auto":
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def processor() -> str:
    """The name of this machine's processor and what torch uses of its instructions, for reports that speak of time."""
    try:
        name = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        name = None
    model = name[1] if name else platform.processor() or platform.machine()
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"
