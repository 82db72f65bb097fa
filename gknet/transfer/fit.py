"""Fit of color curves to a small picture, prepared before the change of its colors is known."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from gknet.color.luma import LUMA
from gknet.errors import InputError
from gknet.transfer.cores import run_in_halves
from gknet.transfer.equations import CurveEquations
from gknet.transfer.slicing import KNOTS, NODES, cell_size

_EDGE = 30
"""Additional weight of the last three small pixels inside the object's edge."""

_ENOUGH = 8192
"""Number of small pixels of an object above which half of them suffices for the fit."""


class CurveFit:
    """The fit of curves to a change of colors that is not known yet: all but the last, fast step.

    mask: (h, w) in [0, 1], area mean of alpha.
    foreground: (h, w, 3), area mean of straight color, weighted by alpha; arbitrary where mask is 0.
    layer_box: (left, top, width, height) of the layer in the small picture's pixels; may reach outside.
    layer_size: (height, width) of the layer itself.
    Pixels with NaN or infinity are ignored.   Raises InputError for mismatched shapes.
    """

    def __init__(
        self,
        *,
        mask: npt.NDArray[np.float32],
        foreground: npt.NDArray[np.float32],
        layer_box: tuple[float, float, float, float],
        layer_size: tuple[int, int],
    ) -> None:
        if foreground.shape != (*mask.shape, 3):
            raise InputError(f"Mask {mask.shape} and foreground {foreground.shape} do not match.")
        if min(*layer_size, *layer_box[2:]) <= 0:
            raise InputError("The layer has no pixels.")
        self.mask, self.foreground = (torch.from_numpy(np.array(a, np.float32)) for a in (mask, foreground))
        self.layer_box, self.layer_size = layer_box, layer_size
        self.equations: CurveEquations | None = None
        found = (self.mask > 0).nonzero()  # (n, 2)
        if len(found):
            # Only the object and three pixels around it matter, which define its edge.
            first, last = (found.amin(0) - 3).clamp(min=0), found.amax(0) + 3
            self.first = (int(first[0]), int(first[1]))
            self.known = (slice(self.first[0], int(last[0]) + 1), slice(self.first[1], int(last[1]) + 1))
            run_in_halves(self._prepare)

    def fit_curves(
        self, composite: npt.NDArray[np.float32], harmonized: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Return the curves (8, 8, 4, 8, 3) that best explain the network's change to the small picture.

        composite: (h, w, 3) encoded sRGB in [0, 1], the network's input.   harmonized: (h, w, 3), its output.
        If nothing changed, the curves are exactly zero; the result is always finite.   Raises InputError for mismatched
        shapes.
        """
        if not composite.shape == harmonized.shape == self.foreground.shape:
            raise InputError(
                f"Composite {composite.shape} and harmonized {harmonized.shape} do not match the foreground."
            )
        equations = self.equations
        if equations is None:
            return np.zeros((NODES, NODES, 4, KNOTS, 3))
        before, after = (torch.from_numpy(np.array(a[self.known], np.float32)) for a in (composite, harmonized))
        # Dividing by alpha undoes the blending with the background; this is what keeps halos out.
        change = ((after - before) / self.mask[self.known].clamp(min=0.01)[..., None]).clamp(-1, 1)
        used = self.weight > 0
        if not change[used].isfinite().all():
            return self._drop_pixels(~change.isfinite().all(-1)).fit_curves(composite, harmonized)
        change = _blur(torch.where(used[..., None], change, 0.0), self.weight)[self.at].double()
        solution = run_in_halves(lambda pool: equations.solve(change, pool))
        # Only a contradictory result needs larger changes; the clamp limits its effect on unobserved colors.
        return solution.clamp_(-1, 1).view(NODES, NODES, 4, KNOTS, 3).numpy()

    def _drop_pixels(self, pixels: Tensor) -> Self:
        """Return the fit without some of the observed pixels, bool."""
        foreground = self.foreground.clone()
        foreground[self.known][pixels] = torch.nan
        parts = {"mask": self.mask.numpy(), "foreground": foreground.numpy()}
        return type(self)(**parts, layer_box=self.layer_box, layer_size=self.layer_size)

    def _prepare(self, pool: Executor) -> None:
        color, self.weight = _weigh_observations(self.mask[self.known], self.foreground[self.known])
        worth = self.weight > 0
        if not worth.any():
            return
        features = _blur(to_hats(color), self.weight)
        if int(worth.sum()) > _ENOUGH:  # after the blur, every second pixel of a checkerboard suffices
            worth[::2, ::2] = worth[1::2, 1::2] = False
        self.at = worth.nonzero(as_tuple=True)
        # From the centers of small pixels to the layer's pixels to cells of the grid, (n,) each.
        (left, top, width, height), size = self.layer_box, self.layer_size
        y = (self.at[0] + self.first[0] + 0.5 - top) * (size[0] / height) / cell_size(size[0])
        x = (self.at[1] + self.first[1] + 0.5 - left) * (size[1] / width) / cell_size(size[1])
        # The equations need double precision, their inputs do not.
        features, weight = features[self.at].double(), self.weight[self.at].double()
        self.equations = CurveEquations(features, weight / weight.sum(), y, x, pool)


def _weigh_observations(mask: Tensor, foreground: Tensor) -> tuple[Tensor, Tensor]:
    """Return the straight color (h, w, 3) and the weight (h, w) of each pixel."""
    inner, deep = (_erode(mask, n) for n in (3, 7))
    # Near the edge, curves are observed from one side only; without a higher weight their error would be larger.
    weight = torch.where(mask > 0.05, (mask * inner) ** 2 * (1 + _EDGE * (1 - deep)), 0.0)
    known = torch.isfinite(foreground).all(-1)
    if not (weight[known] > 0).any():  # thinner than three pixels: its edge is all we have
        weight = mask**2
    weight = torch.where(known & (weight > 0), weight, 0.0)  # NaN in the mask is 0, too
    return torch.where(weight[..., None] > 0, foreground, 0.0).clamp(0, 1), weight


def _erode(mask: Tensor, size: int) -> Tensor:
    """Return the minimum of the size x size pixels around each of (h, w), ignoring pixels outside."""
    for window in ((size, 1), (1, size)):
        mask = -F.max_pool2d(-mask[None], window, stride=1, padding=(window[0] // 2, window[1] // 2))[0]
    return mask


def to_hats(color: Tensor) -> Tensor:
    """Convert colors (h, w, 3) to hat functions (h, w, 32): the position of r, g, b and luma between their two
    knots.
    """
    z = torch.cat((color, (color * color.new_tensor(LUMA)).sum(-1, keepdim=True)), -1)
    knots = torch.arange(KNOTS, dtype=z.dtype)
    return (1 - (z[..., None] * (KNOTS - 1) - knots).abs()).clamp(min=0).flatten(-2)


def _blur(values: Tensor, weight: Tensor) -> Tensor:
    """Blur values (h, w, k) by their weight (Gaussian, sigma 1 pixel).

    A network's output is softer than its input. Fitting a soft change to sharp colors gives slopes that are
    too flat; blurring both gives the right ones (+1.1 dB, measured on real photographs).
    """
    tap = torch.exp(-0.5 * torch.arange(-3, 4, dtype=weight.dtype) ** 2)
    both = torch.cat((values, torch.ones_like(values[..., :1])), -1) * weight[..., None]
    for axis in (0, 1):
        size = both.shape[axis]
        padded = F.pad(both, (0, 0, 3, 3) if axis else (0, 0, 0, 0, 3, 3))
        both = tap[0] * padded.narrow(axis, 0, size)
        for k in range(1, 7):
            both.add_(padded.narrow(axis, k, size), alpha=float(tap[k]))
    return both[..., :-1] / both[..., -1:].clamp(min=torch.finfo(both.dtype).tiny)
