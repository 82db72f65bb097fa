"""Random numbers for a batch of pictures."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def draw_uniform(like: Tensor, low: float, high: float, generator: Generator, channels: int = 1) -> Tensor:
    """Draw (B, channels, 1, 1) uniformly from low..high."""
    drawn = torch.rand(like.shape[0], channels, 1, 1, generator=generator, device=like.device)
    return low + (high - low) * drawn
