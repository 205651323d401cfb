"""Which device a model runs on."""

import torch


def pick_device(wanted: str) -> torch.device:
    """`auto`: cuda, else mps, else cpu."""
    if wanted != "auto":
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
