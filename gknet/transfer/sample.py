"""Some of a layer's pixels, evenly spaced, to which changes of a color map are fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gknet.color.srgb import linear_to_srgb
from gknet.pixels.pixels import max_alpha
from gknet.transfer.slicing import LARGEST, Pixels, cell_size

_SAMPLES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """About 4,000 of a layer's visible pixels.

    color: (n, 3) float32, encoded sRGB in [0, 1]; colors above 1 are scaled down, as in `ColorTransfer.apply`.
    y, x: (n,) float64, in cells of the color map's grid.
    """

    color: Tensor
    y: Tensor
    x: Tensor

    @classmethod
    def take(cls, layer: Pixels, mask: Pixels | None = None, space: Literal["srgb", "linear"] = "srgb") -> Sample:
        """Take a sample of a layer.   layer, mask, space: as in `ColorTransfer.apply`."""
        slices = find_slices(layer.shape)
        color, visible = _select_visible(layer[slices], None if mask is None else mask[slices], space)
        y, x = (torch.from_numpy(at) for at in np.nonzero(visible))
        y, x = ((at + 0.5) / cell_size(length) for at, length in zip((y, x), visible.shape, strict=True))
        return cls(torch.from_numpy(color[visible]), y, x)


def find_slices(shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the slices of rows and columns that a sample takes: evenly spaced, or all of an extract made with them."""
    step = max(1, math.ceil(math.sqrt(shape[0] * shape[1] / _SAMPLES)))
    return slice(step // 2, None, step), slice(step // 2, None, step)


def _select_visible(
    layer: Pixels, mask: Pixels | None, space: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return encoded colors (h, w, 3) of a layer, those above 1 scaled down, and True (h, w) where they count."""
    color = layer[..., :3].astype(np.float32) / np.float32(LARGEST[layer.dtype])
    visible = np.isfinite(color).all(-1)
    for alpha in (layer[..., 3] if layer.shape[2] == 4 else None, mask):
        if alpha is not None:
            visible &= alpha > 0.5 * max_alpha(alpha) * LARGEST[alpha.dtype]
    color = np.where(visible[..., None], color, 0)
    if space == "linear":
        color = linear_to_srgb(torch.from_numpy(color)).numpy()
    return (color / color.max(-1, keepdims=True).clip(1)).clip(0, 1), visible
