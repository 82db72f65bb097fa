"""Composites made softer and noisier, as photographs are that were enlarged, or taken by night."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_SOFTER = 2.5
"""Most that composites are reduced by before they are enlarged again."""
_NOISE = 4 / 255
"""Largest deviation of added noise."""


def worn(composite: Tensor, real: Tensor, mask: Tensor, share: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Composites and their photographs; a `share` of batches is softened, noise added to a share of the composites.

    composite, real: (B, 3, H, W) in [0, 1].   mask: (B, 1, H, W) in [0, 1].   Returns the first two, both worn in the
    same way, with 8 bits, and equal where the mask is 0.
    """
    both, device = torch.cat([composite, real], dim=1), generator.device
    size = both.shape[2:]
    soft, factor = torch.rand(2, generator=generator, device=device).tolist()
    if soft < share:
        smaller = [max(1, round(side / (1 + (_SOFTER - 1) * factor))) for side in size]
        small = F.interpolate(both, smaller, mode="bilinear", antialias=True)
        both = F.interpolate(small, size, mode="bilinear")
    noise = torch.randn(composite.shape, generator=generator, device=device)
    noisy, amount = torch.rand(2, len(both), 1, 1, 1, generator=generator, device=device)
    noise = noise * torch.where(noisy < share, _NOISE * amount, 0.0)
    composite, real = (((part + noise).clamp(0, 1) * 255).round() / 255 for part in both.chunk(2, dim=1))
    # Softening carries the foreground's change beyond the mask.
    return composite, torch.lerp(composite, real, mask)
