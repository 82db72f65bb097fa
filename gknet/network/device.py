"""Which processor the network runs on."""

from __future__ import annotations

import torch

from gknet.errors import InputError


def choose_device(name: str) -> torch.device:
    """A device by name; "auto" is CUDA, then MPS, then the CPU. Raises InputError if it is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    have = ["auto", *(kind for kind, is_there in there.items() if is_there)]
    have += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if name not in have:
        raise InputError(f"The device {name!r} is not there.", f"Choose one of: {', '.join(have)}.")
    return torch.device(name)
