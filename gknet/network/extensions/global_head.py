"""Colour matrices for the whole foreground, from what statistics and recognition tell of it and of its surroundings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.network.extensions.color_statistics import LENGTH, REGION_LENGTH
from gknet.network.extensions.recognition import THINGS
from gknet.network.extensions.surroundings import REGIONS


class GlobalHead(nn.Module):
    """One 3x4 colour matrix a picture, from the deepest feature and `color_statistics` of both regions.

    statistics: (B, LENGTH).   mask: (B, 1, H, W).   reference: F_LR (B, C, h, w).   Returns (B, 3, 4), for
    `colour_change`. Zero when untrained.
    """

    def __init__(self, channels: int, widths: tuple[int, int], scale: float) -> None:
        super().__init__()
        self.scale = scale
        first, second = widths
        # Training forgets some at random, or a photograph would soon be known again by its histograms.
        self.forgotten = nn.Dropout(0.1)
        self.statistics = nn.Linear(LENGTH, first)
        self.regions = nn.Linear(2 * channels, first, bias=False)
        self.hidden = nn.Linear(first, second)
        self.matrix = nn.Linear(second, 12)
        for layer in (self.regions, self.matrix):
            # The regions at zero let training start from a head that knows the statistics alone.
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, statistics: Tensor, mask: Tensor, reference: Tensor) -> Tensor:
        small_mask = F.adaptive_avg_pool2d(mask, (reference.shape[2], reference.shape[3]))
        inside = _region_mean(reference, small_mask)  # (B, C)
        outside = _region_mean(reference, 1 - small_mask)  # (B, C)
        known = self.forgotten(statistics).to(reference.dtype)
        hidden = self.statistics(known) + self.regions(torch.cat([inside, outside], dim=1))
        hidden = self.hidden(F.elu(hidden))
        matrix: Tensor = self.scale * self.matrix(F.elu(hidden)).view(-1, 3, 4)
        return matrix


class RecognitionHead(nn.Module):
    """A colour matrix more, from what things are and from the colours of what is near them and of what is alike.

    colours: (B, LENGTH + REGIONS * REGION_LENGTH + 1), `color_statistics` of both regions and their surroundings, and
    how alike the most alike places are.   mask: (B, 1, H, W).   things: (B, THINGS, h, w), `Recognized.things`.
    Returns (B, 3, 4), for `colour_change`. Zero when untrained.
    """

    def __init__(self, bottlenecks: tuple[int, int], widths: tuple[int, int], scale: float) -> None:
        super().__init__()
        self.scale = scale
        of_colours, of_things = bottlenecks
        first, second = widths
        # A photograph is easily known again by what is in it, and its colours learnt by heart. Training forgets a part
        # of what it is told at random, and only so much passes the bottlenecks.
        self.forgotten_colours = nn.Dropout(0.1)
        self.forgotten_things = nn.Dropout(0.2)
        self.colours = nn.Sequential(
            nn.Linear(LENGTH + REGIONS * REGION_LENGTH + 1, of_colours, bias=False), nn.Linear(of_colours, first)
        )
        self.things = nn.Sequential(
            nn.Linear(2 * THINGS, of_things, bias=False), nn.Linear(of_things, first, bias=False)
        )
        self.hidden = nn.Linear(first, second)
        self.matrix = nn.Linear(second, 12)
        nn.init.zeros_(self.matrix.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, colours: Tensor, mask: Tensor, things: Tensor) -> Tensor:
        small_mask = F.adaptive_avg_pool2d(mask, (things.shape[2], things.shape[3]))
        seen = torch.cat([_region_mean(things, small_mask), _region_mean(things, 1 - small_mask)], dim=1)
        hidden = self.colours(self.forgotten_colours(colours)) + self.things(self.forgotten_things(seen))
        hidden = self.hidden(F.elu(hidden))
        matrix: Tensor = self.scale * self.matrix(F.elu(hidden)).view(-1, 3, 4)
        return matrix


def colour_change(matrix: Tensor, composite: Tensor) -> Tensor:
    """What a `GlobalHead`'s matrix (B, 3, 4) adds to a composite (B, 3, H, W): (B, 3, H, W)."""
    # A sum rather than a matrix product, which autocast would round to bfloat16.
    change = (matrix[:, :, :3, None, None] * composite[:, None]).sum(dim=2)
    return change + matrix[:, :, 3, None, None]


def _region_mean(feature: Tensor, weights: Tensor) -> Tensor:
    """(B, C): the feature's mean where the weights (B, 1, h, w) are."""
    return (feature * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3)).clamp_min(1e-4)
