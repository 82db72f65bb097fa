"""Variants: further answers for the foreground besides the network's own. Not in the paper.

Which colors an object should have is often not decided by its scene, so one answer lies between several plausible ones.
Each variant is a tone curve per channel on top of the network's answer, darker or brighter, with more or less contrast.
On composites that the network has not seen, most of the remaining error is of that kind (docs/research-log.md).

One answer has several plausible ones beside it: Li et al., "Diverse Image Harmonization", arXiv 2407.15481. The head
is trained so that the best of its answers wins: Lee et al., "Stochastic Multiple Choice Learning", NeurIPS 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

CUES = 9
"""Numbers per picture from `make_cues`."""
APART = 8 / 255
"""Root mean square difference below which two variants count as alike; at least 6 levels are left of it in a layer."""

_WIDTH = 64
_SHIFTS = (-0.8, -0.35, 0.35, 0.8)
"""Of an untrained head, for all channels: about -48, -22, 22, and 48 levels of 255 for middle gray."""
_CONTRAST = 0.7
"""Largest logarithm of a variant's contrast."""
_ROOM = 0.02
"""Distance from black and white that a mean color keeps, so that its logit is finite."""
_SAMPLES = 8192
"""Pixels of a large object that are looked at, at least; at most twice as many."""


@dataclass(frozen=True, slots=True)
class ToneCurve:
    """An S-shaped or bow-shaped curve for each channel that keeps black black and white white.

    In units of the logit, log(v / (1 - v)), it is a straight line: contrast times the value, plus shift. So nothing is
    ever clipped, and no color becomes another's equal.
    shift: of red, green, and blue; above 0 is brighter.   contrast: above 0; below 1 is flatter.
    """

    shift: tuple[float, float, float]
    contrast: float

    def apply(self, colors: Tensor) -> Tensor:
        """Return colors (..., 3), encoded sRGB. Those beyond 0 and 1 move with black and white."""
        return apply_tone_curves(colors, colors.new_tensor(self.shift), colors.new_tensor(self.contrast))


def apply_tone_curves(colors: Tensor, shifts: Tensor, contrasts: Tensor) -> Tensor:
    """Apply `ToneCurve`s to colors; all arguments are broadcast."""
    inside = colors.clamp(0, 1)
    bright = inside**contrasts
    dark = (1 - inside) ** contrasts * (-shifts).exp()
    return bright / (bright + dark) + (colors - inside)


@dataclass(frozen=True, slots=True)
class Variant:
    """One answer for an object.

    probability: that it is the best one, in [0, 1]; those of an object's variants sum to 1.
    curve: from the network's colors to the variant's; None for the network's own answer.
    """

    probability: float
    curve: ToneCurve | None = None


class VariantHead(nn.Module):
    """Predict further answers, and how likely each answer is.

    cues: (B, CUES), from `make_cues`.
    Returns shifts (B, K - 1, 3) and contrasts (B, K - 1) of `ToneCurve`s, and logits (B, K), the network's own answer
    first. Untrained, it returns fixed shifts.
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


def make_cues(before: Tensor, after: Tensor) -> Tensor:
    """Return (B, CUES) from a foreground's pixels (B, n, 3) in the composite and in the network's answer, in [0, 1]."""
    mean = after.mean(dim=1)
    change = mean - before.mean(dim=1)
    deviation = before.std(dim=1, correction=0)
    return torch.cat([mean.clamp(_ROOM, 1 - _ROOM).logit(), 4 * change, 4 * deviation], dim=1)


@torch.no_grad()
def predict_variants(head: VariantHead, composite: Tensor, answer: Tensor, mask: Tensor) -> list[Variant]:
    """Return an object's variants: the network's answer, then the others, likeliest first, without those that look
    like one before them.

    composite: (3, H, W), sRGB in [0, 1].   answer: (3, H, W), the network's.   mask: (H, W) in [0, 1].
    """
    inside = (mask > 0.5).flatten().nonzero()[:, 0]
    if not len(inside):
        return [Variant(1.0)]
    inside = inside[:: max(1, len(inside) // _SAMPLES)]
    before, after = (picture.flatten(1)[:, inside].T.float() for picture in (composite, answer.clamp(0, 1)))  # (n, 3)
    cues = make_cues(before[None], after[None])
    shifts, contrasts, logits = (part[0].cpu() for part in head(cues.to(next(head.parameters()).device)))
    curves = [
        ToneCurve((red, green, blue), contrast)
        for (red, green, blue), contrast in zip(shifts.tolist(), contrasts.tolist(), strict=True)
    ]
    return _choose_distinct(after.cpu(), curves, logits.softmax(dim=0).tolist())


def _choose_distinct(colors: Tensor, curves: list[ToneCurve], probabilities: list[float]) -> list[Variant]:
    shown, kept = [colors], [Variant(probabilities[0])]
    for number in np.argsort(-np.array(probabilities[1:]), kind="stable").tolist():
        new = curves[number].apply(colors)
        if all(float((new - other).square().mean().sqrt()) >= APART for other in shown):
            shown.append(new)
            kept.append(Variant(probabilities[1 + number], curves[number]))
    total = sum(variant.probability for variant in kept)
    return [Variant(variant.probability / total, variant.curve) for variant in kept]
