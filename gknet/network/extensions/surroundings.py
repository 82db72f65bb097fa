"""Weights for the background regions that say most about the foreground's light: nearby ones and similar ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gknet.network.extensions.color_statistics import PURITY

REACHES = (0.03, 0.1)
"""Distances from the foreground's edge that count as near, in long sides of the picture."""
TEMPERATURES = (0.06, 0.03)
"""Softmax temperatures: a difference in cosine similarity of this size changes a weight by a factor of e."""
REGIONS = len(REACHES) + len(TEMPERATURES)

# Weight of the rest of the background, used if the foreground leaves nothing near it.
_ELSEWHERE = 1e-5
# Weight of a cell that the foreground covers completely; its logarithm must stay finite.
_LEAST = 1e-4


def weigh_surroundings(mask: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight of each pixel in each background region, and the similarity of the most similar cells.

    mask: (B, 1, H, W) in [0, 1].   features: (B, C, h, w), `RecognizedFeatures.middle`.
    Returns weights (B, REGIONS, H, W), the near regions first, for `compute_region_statistics`, and the mean cosine
    similarity (B, 1). Not differentiable.
    """
    with torch.no_grad():
        mask = mask.float()
        background = (1 - mask) ** PURITY
        similar, cosine = _weigh_similar(mask, features)
        similar = F.interpolate(similar, mask.shape[2:], mode="bilinear")
        return torch.cat([*_weigh_near(mask, background), similar * background], dim=1), cosine


def _weigh_near(mask: Tensor, background: Tensor) -> list[Tensor]:
    """Return weights (B, 1, H, W) for each of REACHES."""
    side = max(mask.shape[2:])
    grown, steps, weights = mask, 0, []
    for reach in REACHES:
        further = max(1, round(reach * side)) - steps
        steps += further
        grown = _dilate(_dilate(grown, further).mT, further).mT
        weights.append(((grown - mask).clamp_min(0) + _ELSEWHERE) * background)
    return weights


def _dilate(values: Tensor, reach: int) -> Tensor:
    """Return the maximum of the values (..., W) within `reach` columns to either side, and at least 0."""
    width, largest = values.shape[-1], F.pad(values, (reach, reach))
    # Each step doubles the number of columns compared; max pooling of this width takes thirty times as long.
    covered, whole = 1, 2 * reach + 1
    while 2 * covered <= whole:
        largest = torch.maximum(largest[..., :-covered], largest[..., covered:])
        covered *= 2
    return torch.maximum(largest[..., :width], largest[..., whole - covered : whole - covered + width])


def _weigh_similar(mask: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Let each foreground cell attend to the background cells with similar features.

    Returns weights (B, len(TEMPERATURES), h, w) and the mean of the highest cosine similarities (B, 1).
    """
    size = (features.shape[2], features.shape[3])
    tokens = features.float().flatten(2)  # (B, C, T)
    tokens = F.normalize(tokens - tokens.mean(dim=2, keepdim=True), dim=1)
    inside = F.adaptive_avg_pool2d(mask, size).flatten(1)  # (B, T)
    queries = inside**PURITY + 1e-6
    queries = queries / queries.sum(dim=1, keepdim=True)
    background = ((1 - inside) ** PURITY).clamp_min(_LEAST).log()[:, None]  # (B, 1, T)
    cosine = tokens.transpose(1, 2) @ tokens + TEMPERATURES[0] * background  # (B, T queries, T keys)
    best = cosine.amax(dim=2, keepdim=True)
    weights = []
    for temperature in TEMPERATURES:
        shares = ((cosine - best) / temperature).softmax(dim=2)
        weights.append((queries[:, None] @ shares).view(-1, 1, *size))
    return torch.cat(weights, dim=1), (queries * best[..., 0]).sum(dim=1, keepdim=True)
