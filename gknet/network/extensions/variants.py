"""Variants: further answers for the foreground besides the network's own. Not in the paper.

Which colors an object should have is often not decided by its scene, so one answer lies between several plausible ones.
Each variant is a color map on top of the network's answer: it moves the object's mean color and scales its contrast.
On composites that the network has not seen, most of the remaining error is of that kind (docs/research-log.md).

One answer has several plausible ones beside it: Li et al., "Diverse Image Harmonization", arXiv 2407.15481. The head
is trained so that the best of its answers wins: Lee et al., "Stochastic Multiple Choice Learning", NeurIPS 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

CUES = 9
"""Numbers per picture from `measure_foreground`."""
APART = 6 / 255
"""Root mean square difference below which two variants look alike."""

_WIDTH = 64
_SHIFTS = (-45 / 255, -20 / 255, 20 / 255, 45 / 255)
"""Of an untrained head, for all channels."""
_CONTRAST = 0.7
"""Largest logarithm of a variant's contrast."""
_ROOM = 0.02
"""Distance from black and white that a mean color keeps."""
_OUTLIERS = 0.002
"""Share of an object's values, on either side, that may leave the range."""
_EDGE = 2 / 255
"""Distance from black and white that the others keep, so that rounding does not make them one."""
_SAMPLES = 8192
"""Pixels of an object, about, that are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """One answer for an object.

    probability: that it is the best one, in [0, 1]; those of an object's variants sum to 1.
    matrix: (3, 4) float64, from the network's colors (r, g, b, 1), encoded sRGB, to the variant's; None for the
    network's own answer.
    """

    probability: float
    matrix: npt.NDArray[np.float64] | None = None


class VariantHead(nn.Module):
    """Predict further answers, and how likely each answer is.

    cues: (B, CUES), from `measure_foreground`.
    Returns shifts (B, K - 1, 3) of the mean color, values in [0, 1]; contrasts (B, K - 1), factors; and logits (B, K),
    the network's own answer first. Untrained, it returns fixed shifts.
    """

    def __init__(self, variants: int) -> None:
        super().__init__()
        self.others = variants - 1
        self.hidden = nn.Sequential(nn.Linear(CUES, _WIDTH), nn.ELU(), nn.Linear(_WIDTH, _WIDTH), nn.ELU())
        self.shifts = nn.Linear(_WIDTH, 3 * self.others)
        self.contrasts = nn.Linear(_WIDTH, self.others)
        self.logits = nn.Linear(_WIDTH, variants)
        for layer in (self.shifts, self.contrasts, self.logits):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.shifts.bias.copy_(torch.tensor(_SHIFTS[: self.others]).repeat_interleave(3))

    def forward(self, cues: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.hidden(cues)
        contrasts = (_CONTRAST * self.contrasts(hidden).tanh()).exp()
        return self.shifts(hidden).view(-1, self.others, 3), contrasts, self.logits(hidden)


def make_cues(mean: Tensor, change: Tensor, deviation: Tensor) -> Tensor:
    """Return (B, CUES) from a foreground's mean color in the network's answer, the mean change, and the composite's
    deviation: (B, 3) each.
    """
    return torch.cat([mean.clamp(_ROOM, 1 - _ROOM).logit(), 4 * change, 4 * deviation], dim=1)


@torch.no_grad()
def predict_variants(head: VariantHead, composite: Tensor, answer: Tensor, mask: Tensor) -> list[Variant]:
    """Return an object's variants: the network's answer, then the others, likeliest first, without those that look
    like a likelier one.

    composite: (3, H, W), sRGB in [0, 1].   answer: (3, H, W), the network's.   mask: (H, W) in [0, 1].
    """
    inside = (mask > 0.5).flatten().nonzero()[:, 0]
    if not len(inside):
        return [Variant(1.0)]
    inside = inside[:: max(1, len(inside) // _SAMPLES)]
    before, colors = (picture.flatten(1)[:, inside].float() for picture in (composite, answer.clamp(0, 1)))  # (3, n)
    mean = colors.mean(dim=1)
    cues = make_cues(mean[None], (mean - before.mean(dim=1))[None], before.std(dim=1, correction=0)[None])
    shifts, contrasts, logits = (part[0].cpu() for part in head(cues.to(next(head.parameters()).device)))
    matrices = _make_matrices(colors.cpu(), shifts, contrasts)
    return _choose_distinct(colors.cpu(), matrices, logits.softmax(dim=0))


def _make_matrices(colors: Tensor, shifts: Tensor, contrasts: Tensor) -> Tensor:
    """Return a matrix (K - 1, 3, 4) for each variant, with less contrast where the object would leave the range.

    colors: (3, n).   shifts: (K - 1, 3).   contrasts: (K - 1,).
    """
    # Compared in one place of a sorted list: `quantile` would interpolate, at three times the cost.
    ordered = colors.sort(dim=1).values
    beyond = int(_OUTLIERS * colors.shape[1])
    lowest, highest = ordered[:, beyond], ordered[:, -1 - beyond]
    mean = colors.mean(dim=1)
    target = (mean + shifts).clamp(_ROOM, 1 - _ROOM)
    down, up = (mean - lowest).clamp_min(1e-6), (highest - mean).clamp_min(1e-6)
    gains = contrasts[:, None].minimum((target - _EDGE) / down).minimum((1 - _EDGE - target) / up)
    return torch.cat([torch.diag_embed(gains), (target - gains * mean)[..., None]], dim=2)


def _choose_distinct(colors: Tensor, matrices: Tensor, probabilities: Tensor) -> list[Variant]:
    shown = [colors]
    kept = [Variant(float(probabilities[0]))]
    for number in probabilities[1:].argsort(descending=True, stable=True).tolist():
        matrix = matrices[number]
        new = (matrix[:, :3] @ colors + matrix[:, 3:]).clamp(0, 1)
        if all(float((new - other).square().mean().sqrt()) >= APART for other in shown):
            shown.append(new)
            kept.append(Variant(float(probabilities[1 + number]), matrix.double().numpy()))
    total = sum(variant.probability for variant in kept)
    return [Variant(variant.probability / total, variant.matrix) for variant in kept]
