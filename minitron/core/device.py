"""Which device a model runs on."""

import platform
import re
from pathlib import Path

import torch

from minitron.core.errors import MinitronError


def pick_device(wanted: str) -> torch.device:
    """The device `wanted`; `auto`: cuda, else mps, else cpu. Raises MinitronError if torch does not find it here."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, found in there.items() if found)
    if not there[wanted]:
        raise MinitronError(f"torch {torch.__version__} finds no {wanted} device here", hint="set device=auto")
    return torch.device(wanted)


def processor() -> str:
    """The name of this machine's processor, and which of its instructions torch uses, for reports that give times."""
    try:
        name = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        name = None
    model = name[1] if name else platform.processor() or platform.machine()
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"
