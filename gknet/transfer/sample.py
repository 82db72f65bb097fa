"""Some of a layer's pixels, evenly spaced, to which changes of a color map are fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gknet.color.encoding import ENCODED_SRGB, Encoding
from gknet.pixels.box import Box
from gknet.pixels.pixels import max_alpha
from gknet.transfer.slicing import LARGEST, Pixels, cell_size

_SAMPLES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Visible pixels of a layer, about 4,000 in the part that was looked at.

    color: (n, 3) float32, encoded sRGB in [0, 1]; colors above 1 are scaled down, as in `ColorTransfer.apply`.
    y, x: (n,) float64, in cells of the color map's grid.
    """

    color: Tensor
    y: Tensor
    x: Tensor

    @classmethod
    def take(
        cls, layer: Pixels, mask: Pixels | None = None, encoding: Encoding = ENCODED_SRGB, part: Box | None = None
    ) -> Sample:
        """Take a sample of a layer.

        layer, mask: as in `ColorTransfer.apply`.   encoding: of the layer.
        part: in the layer's pixels, to look only there, where it is not transparent; None for everywhere.
        """
        height, width = layer.shape[:2]
        part = part or Box(0, 0, width, height)
        step = max(1, math.ceil(math.sqrt(part.width * part.height / _SAMPLES)))
        rows = np.arange(part.top + min(step, part.height) // 2, part.bottom, step)
        columns = np.arange(part.left + min(step, part.width) // 2, part.right, step)
        shown = np.ix_(rows, columns)
        color, visible = _select_visible(layer[shown], None if mask is None else mask[shown], encoding)
        y, x = (torch.from_numpy(at) for at in np.nonzero(visible))
        y, x = (
            (torch.from_numpy(places)[at] + 0.5) / cell_size(length)
            for places, at, length in ((rows, y, height), (columns, x, width))
        )
        return cls(torch.from_numpy(color[visible]), y, x)


def _select_visible(
    layer: Pixels, mask: Pixels | None, encoding: Encoding
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return encoded colors (h, w, 3) of a layer, those above 1 scaled down, and True (h, w) where they count."""
    color = layer[..., :3].astype(np.float32) / np.float32(LARGEST[layer.dtype])
    visible = np.isfinite(color).all(-1)
    for alpha in (layer[..., 3] if layer.shape[2] == 4 else None, mask):
        if alpha is not None:
            visible &= alpha > 0.5 * max_alpha(alpha) * LARGEST[alpha.dtype]
    color = encoding.to_srgb(np.where(visible[..., None], color, 0))
    return (color / color.max(-1, keepdims=True).clip(1)).clip(0, 1), visible
