"""Choice of the device that the network runs on."""

from __future__ import annotations

import torch

from gknet.errors import InputError


def choose_device(name: str | torch.device) -> torch.device:
    """Return a device by name; "auto" prefers CUDA, then MPS, then the CPU.

    Raises InputError if it is not available, TypeError for a name that is not a string.
    """
    if not isinstance(name, str | torch.device):
        raise TypeError(f"device must be a string or a torch.device, not {type(name).__qualname__}.")
    name = str(name)
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    names = ["auto", *(kind for kind, is_available in available.items() if is_available)]
    names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if name not in names:
        raise InputError(f"Device {name!r} is not available.", f"Choose one of: {', '.join(names)}.")
    return torch.device(name)
