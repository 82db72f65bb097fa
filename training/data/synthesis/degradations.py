"""Degradations of composites: softening, noise and compression, as in enlarged, night-time or re-shared photographs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.data.synthesis.jpeg import compress_pictures

_SOFTER = (1.3, 1.7, 2.5)
"""Factors by which pictures may be reduced before they are enlarged again."""
_NOISE = 4 / 255
"""Largest standard deviation of added noise."""
_QUALITY = (40.0, 95.0)
"""Lowest and highest JPEG quality."""


def degrade(composite: Tensor, real: Tensor, mask: Tensor, share: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Soften, add noise to and compress composites and their photographs, each with probability `share`.

    composite, real: (B, 3, H, W) in [0, 1].
    mask: (B, 1, H, W) in [0, 1].
    Returns both with the same degradations and 8-bit values, equal where the mask is 0.
    """
    both = torch.cat([composite, real], dim=1)
    both = _compress(add_noise(soften(both, share, generator), share, generator), share, generator)
    composite, real = ((part * 255).round() / 255 for part in both.chunk(2, dim=1))
    # Softening and compression spread the foreground's change beyond the mask.
    return composite, torch.lerp(composite, real, mask)


def degrade_objects(
    composite: Tensor, real: Tensor, mask: Tensor, share: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Degrade only the objects, as if they came from a worse file than the scene; some are sharpened. See `degrade`."""
    both = sharpen(torch.cat([composite, real], dim=1), share, generator)
    changed, truth = both.chunk(2, dim=1)
    changed, truth = degrade(changed, truth, mask, share, generator)
    return torch.lerp(composite, changed, mask), torch.lerp(real, truth, mask)


def sharpen(pictures: Tensor, share: float, generator: Generator) -> Tensor:
    """Sharpen a share of pictures (B, C, H, W) in [0, 1] with an unsharp mask of random strength up to 1."""
    chance = _draw_chance(len(pictures), generator) < share
    amount = torch.where(chance, _draw_chance(len(pictures), generator), 0.0)[:, None, None, None]
    blurred = F.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    return (pictures + amount * (pictures - blurred)).clamp(0, 1)


def soften(pictures: Tensor, share: float, generator: Generator) -> Tensor:
    """Reduce and enlarge a share of pictures (B, C, H, W)."""
    found, size = pictures.clone(), pictures.shape[2:]
    chance = _draw_chance(len(pictures), generator)
    for number, factor in enumerate(_SOFTER):
        low, high = (share * edge / len(_SOFTER) for edge in (number, number + 1))
        here = ((chance >= low) & (chance < high)).nonzero().squeeze(1)
        if len(here):
            smaller = [max(1, round(side / factor)) for side in size]
            small = F.interpolate(pictures[here], smaller, mode="bilinear", antialias=True)
            found[here] = F.interpolate(small, size, mode="bilinear")
    return found


def add_noise(pairs: Tensor, share: float, generator: Generator) -> Tensor:
    """Add the same noise to composite and photograph in a share of pairs (B, 6, H, W) in [0, 1]."""
    batch, _, height, width = pairs.shape
    noise = torch.randn(batch, 3, height, width, generator=generator, device=generator.device)
    amount = torch.where(_draw_chance(batch, generator) < share, _NOISE * _draw_chance(batch, generator), 0.0)
    return (pairs + (amount[:, None, None, None] * noise).repeat(1, 2, 1, 1)).clamp(0, 1)


def _compress(pairs: Tensor, share: float, generator: Generator) -> Tensor:
    """Compress composite and photograph as JPEG of one quality in a share of pairs (B, 6, H, W) in [0, 1]."""
    here = (_draw_chance(len(pairs), generator) < share).nonzero().squeeze(1)
    if not len(here):
        return pairs
    least, most = _QUALITY
    quality = least + (most - least) * _draw_chance(len(here), generator)
    found = pairs.clone()
    found[here] = torch.cat([compress_pictures(part, quality) for part in pairs[here].chunk(2, dim=1)], dim=1)
    return found


def _draw_chance(count: int, generator: Generator) -> Tensor:
    """Draw (B,) uniformly from 0..1."""
    return torch.rand(count, generator=generator, device=generator.device)
