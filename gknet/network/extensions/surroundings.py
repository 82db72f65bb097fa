"""Parts of the background that tell more of the foreground's light than the rest: what is near, and what is alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gknet.network.extensions.color_statistics import PURITY

REACHES = (0.03, 0.1)
"""How far from the foreground's edge is near, in long sides of the picture."""
TEMPERATURES = (0.06, 0.03)
"""How much a place must be more alike than another, in cosines, to count e times as much."""
REGIONS = len(REACHES) + len(TEMPERATURES)

# A foreground that leaves nothing near it has the whole background for a neighbour.
_ELSEWHERE = 1e-5
# Of a place that the foreground covers whole; its logarithm must stay finite.
_LEAST = 1e-4


def surroundings(mask: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """How much each pixel counts in each region of the background, and how alike the most alike places are.

    mask: (B, 1, H, W) in [0, 1].   places: (B, C, h, w), `Recognized.places`.   Returns weights (B, REGIONS, H, W),
    those of what is near first, for `region_statistics`, and (B, 1), a cosine. Not differentiable.
    """
    with torch.no_grad():
        mask = mask.float()
        background = (1 - mask) ** PURITY
        alike, cosine = _alike(mask, places)
        alike = F.interpolate(alike, mask.shape[2:], mode="bilinear")
        return torch.cat([*_near(mask, background), alike * background], dim=1), cosine


def _near(mask: Tensor, background: Tensor) -> list[Tensor]:
    """(B, 1, H, W) for each of REACHES."""
    side = max(mask.shape[2:])
    grown, steps, found = mask, 0, []
    for reach in REACHES:
        further = max(1, round(reach * side)) - steps
        steps += further
        grown = _greatest(_greatest(grown, further).mT, further).mT
        found.append(((grown - mask).clamp_min(0) + _ELSEWHERE) * background)
    return found


def _greatest(values: Tensor, reach: int) -> Tensor:
    """The greatest of the values (..., W), at least 0, up to `reach` places to either side."""
    width, found = values.shape[-1], F.pad(values, (reach, reach))
    # Every step doubles how many are compared; a pooling of this width takes thirty times as long.
    seen, whole = 1, 2 * reach + 1
    while 2 * seen <= whole:
        found = torch.maximum(found[..., :-seen], found[..., seen:])
        seen *= 2
    return torch.maximum(found[..., :width], found[..., whole - seen : whole - seen + width])


def _alike(mask: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Every place of the foreground shares itself out among the background's places that look like it.

    Returns (B, len(TEMPERATURES), h, w) and (B, 1).
    """
    size = (places.shape[2], places.shape[3])
    tokens = places.float().flatten(2)  # (B, C, T)
    tokens = F.normalize(tokens - tokens.mean(dim=2, keepdim=True), dim=1)
    inside = F.adaptive_avg_pool2d(mask, size).flatten(1)  # (B, T)
    asking = inside**PURITY + 1e-6
    asking = asking / asking.sum(dim=1, keepdim=True)
    allowed = ((1 - inside) ** PURITY).clamp_min(_LEAST).log()[:, None]  # (B, 1, T)
    cosine = tokens.transpose(1, 2) @ tokens + TEMPERATURES[0] * allowed  # (B, T asking, T asked)
    best = cosine.amax(dim=2, keepdim=True)
    found = []
    for temperature in TEMPERATURES:
        shares = ((cosine - best) / temperature).softmax(dim=2)
        found.append((asking[:, None] @ shares).view(-1, 1, *size))
    return torch.cat(found, dim=1), (asking * best[..., 0]).sum(dim=1, keepdim=True)
