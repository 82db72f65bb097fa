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

Places = npt.NDArray[np.intp]

_SAMPLES = 4096
_FEWEST = 512
"""Fewer visible pixels on an even grid are replaced by some of all visible ones."""


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
        rows, columns = _find_visible(layer, mask, part, step)
        if len(rows) < _FEWEST and step > 1:  # the object fills little of the part
            rows, columns = _find_visible(layer, mask, part, 1)
            every = max(1, len(rows) // _SAMPLES)
            rows, columns = rows[::every], columns[::every]
        color = layer[rows, columns, :3].astype(np.float32) / np.float32(LARGEST[layer.dtype])
        color = encoding.to_srgb(color[None])[0]
        color = (color / color.max(-1, keepdims=True, initial=1)).clip(0, 1)
        y, x = (
            (torch.from_numpy(places).double() + 0.5) / cell_size(length)
            for places, length in ((rows, height), (columns, width))
        )
        return cls(torch.from_numpy(color), y, x)


def _find_visible(layer: Pixels, mask: Pixels | None, part: Box, step: int) -> tuple[Places, Places]:
    """Return row and column (n,) of a part's visible pixels on a grid whose points are `step` pixels apart."""
    rows = slice(part.top + min(step, part.height) // 2, part.bottom, step)
    columns = slice(part.left + min(step, part.width) // 2, part.right, step)
    grid = layer[rows, columns]
    visible = np.ones(grid.shape[:2], np.bool_)
    for alpha in (grid[..., 3] if layer.shape[2] == 4 else None, None if mask is None else mask[rows, columns]):
        if alpha is not None:
            visible &= alpha > 0.5 * max_alpha(alpha) * LARGEST[alpha.dtype]
    if layer.dtype.kind == "f":
        visible &= np.isfinite(grid[..., :3]).all(-1)
    row, column = np.nonzero(visible)
    return row * step + rows.start, column * step + columns.start
