"""Color matrices for the whole foreground, predicted from color statistics and recognition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.network.extensions.color_statistics import LENGTH, REGION_LENGTH
from gknet.network.extensions.recognition import DEEP_CHANNELS
from gknet.network.extensions.surroundings import REGIONS


class GlobalHead(nn.Module):
    """Predict a 3x4 color matrix per picture from the deepest feature and the color statistics of both regions.

    statistics: (B, LENGTH).   mask: (B, 1, H, W).   reference: F_LR (B, C, h, w).
    Returns (B, 3, 4), for `apply_color_matrix`. Zero when untrained.
    """

    def __init__(self, channels: int, widths: tuple[int, int], scale: float) -> None:
        super().__init__()
        self.scale = scale
        first, second = widths
        # Without dropout the head overfits: histograms identify a photograph.
        self.dropout = nn.Dropout(0.1)
        self.statistics = nn.Linear(LENGTH, first)
        self.regions = nn.Linear(2 * channels, first, bias=False)
        self.hidden = nn.Linear(first, second)
        self.matrix = nn.Linear(second, 12)
        for layer in (self.regions, self.matrix):
            # With the regions at zero, training starts from a head that uses the statistics alone.
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, statistics: Tensor, mask: Tensor, reference: Tensor) -> Tensor:
        small_mask = F.adaptive_avg_pool2d(mask, (reference.shape[2], reference.shape[3]))
        inside = _average_region(reference, small_mask)  # (B, C)
        outside = _average_region(reference, 1 - small_mask)  # (B, C)
        statistics = self.dropout(statistics).to(reference.dtype)
        hidden = self.statistics(statistics) + self.regions(torch.cat([inside, outside], dim=1))
        hidden = self.hidden(F.elu(hidden))
        matrix: Tensor = self.scale * self.matrix(F.elu(hidden)).view(-1, 3, 4)
        return matrix


class RecognitionHead(nn.Module):
    """Predict a second 3x4 color matrix from semantic features and from the colors of related background regions.

    colors: (B, LENGTH + REGIONS * REGION_LENGTH + 1), the color statistics of both regions and their surroundings, and
    the similarity from `weigh_surroundings`.   mask: (B, 1, H, W).
    features: (B, DEEP_CHANNELS, h, w), `RecognizedFeatures.deep`.
    Returns (B, 3, 4), for `apply_color_matrix`. Zero when untrained.
    """

    def __init__(self, bottlenecks: tuple[int, int], widths: tuple[int, int], scale: float) -> None:
        super().__init__()
        self.scale = scale
        color_bottleneck, feature_bottleneck = bottlenecks
        first, second = widths
        # Semantic features identify a photograph, so this head overfits easily. Dropout and the bottlenecks limit that.
        self.color_dropout = nn.Dropout(0.1)
        self.feature_dropout = nn.Dropout(0.2)
        # The names `colours` and `things` are part of the weight files.
        self.colours = nn.Sequential(
            nn.Linear(LENGTH + REGIONS * REGION_LENGTH + 1, color_bottleneck, bias=False),
            nn.Linear(color_bottleneck, first),
        )
        self.things = nn.Sequential(
            nn.Linear(2 * DEEP_CHANNELS, feature_bottleneck, bias=False),
            nn.Linear(feature_bottleneck, first, bias=False),
        )
        self.hidden = nn.Linear(first, second)
        self.matrix = nn.Linear(second, 12)
        nn.init.zeros_(self.matrix.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, colors: Tensor, mask: Tensor, features: Tensor) -> Tensor:
        small_mask = F.adaptive_avg_pool2d(mask, (features.shape[2], features.shape[3]))
        means = torch.cat([_average_region(features, small_mask), _average_region(features, 1 - small_mask)], dim=1)
        hidden = self.colours(self.color_dropout(colors)) + self.things(self.feature_dropout(means))
        hidden = self.hidden(F.elu(hidden))
        matrix: Tensor = self.scale * self.matrix(F.elu(hidden)).view(-1, 3, 4)
        return matrix


def apply_color_matrix(matrix: Tensor, composite: Tensor) -> Tensor:
    """Return the change (B, 3, H, W) that a color matrix (B, 3, 4) makes to a composite (B, 3, H, W)."""
    # A sum rather than a matrix product, which autocast would round to bfloat16.
    change = (matrix[:, :, :3, None, None] * composite[:, None]).sum(dim=2)
    return change + matrix[:, :, 3, None, None]


def _average_region(feature: Tensor, weights: Tensor) -> Tensor:
    """Return the mean (B, C) of a feature (B, C, h, w), weighted by (B, 1, h, w)."""
    return (feature * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3)).clamp_min(1e-4)
