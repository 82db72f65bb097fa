"""Transfer of the network's small result to every pixel of a layer of any size and depth.

The result is not enlarged. Instead, a smooth color map is fitted to it and applied to the layer's own pixels, so
detail, noise and alpha survive. The map is a coarse grid of additive color curves. At each of 8 x 8 nodes over the
layer, the change of color is the sum of four piecewise-linear curves, of r, g, b and luma. Each has 8 knots and three
outputs; between nodes the change is bilinear. The change depends only on a pixel's own color and position: no halo, no
seam, and an object's soft edge gets the map of its interior.

The fit has two steps: curves that vary over the layer like a parabola, then a correction at each node. Highlights and
shadows that would leave the range are rolled off, as a part of the curves (`ColorTransfer.roll_off`).

Sources: a coarse grid of color transforms, sliced per pixel, is the idea of the bilateral grid (Chen et al.,
SIGGRAPH 2007) and of HDRnet (Gharbi et al., SIGGRAPH 2017). Curves in place of affine matrices, and the
constants below, were chosen by measurement on real photographs under known changes of color and light.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gknet.color.srgb import linear_to_srgb
from gknet.errors import InputError, UnsupportedError
from gknet.pixels.pixels import max_alpha
from gknet.transfer.cores import run_in_halves, run_on_all_cores
from gknet.transfer.equations import evaluate_curves, solve_smooth
from gknet.transfer.fit import CurveFit, to_hats
from gknet.transfer.slicing import KNOTS, LARGEST, Pixels, Slicer, cell_size

if TYPE_CHECKING:
    from gknet.transfer.fused_slicing import FusedSlicer

_SAMPLES = 4096
"""Pixels of a layer sampled to check whether its colors leave the range."""
_BEYOND = 0.005
"""Share of them that may leave it: a few white glints should not darken all bright areas."""
_WIDEST = 0.25
"""Maximum width of a shoulder or a toe, as a part of the range."""


@dataclass(frozen=True, slots=True, eq=False)
class ColorTransfer:
    """A color map over one layer.

    curves: (8, 8, 4, 8, 3) float64: node row, node column, curve (r, g, b, luma), knot, change of r, g, b.
    layer_size: (height, width) of the layer it was fitted for. Values are encoded sRGB, 0..1.
    """

    curves: npt.NDArray[np.float64]
    layer_size: tuple[int, int]

    @classmethod
    def fit(
        cls,
        *,
        composite: npt.NDArray[np.float32],
        harmonized: npt.NDArray[np.float32],
        mask: npt.NDArray[np.float32],
        foreground: npt.NDArray[np.float32],
        layer_box: tuple[float, float, float, float],
        layer_size: tuple[int, int],
    ) -> ColorTransfer:
        """Fit the color map that best explains the network's change to the small picture.

        composite: (h, w, 3) encoded sRGB in [0, 1], the network's input.
        harmonized: (h, w, 3), its output.
        mask: (h, w) in [0, 1], area mean of alpha.
        foreground: (h, w, 3), area mean of straight color, weighted by alpha; arbitrary where mask is 0.
        layer_box: (left, top, width, height) of the layer in the small picture's pixels; may reach outside.
        layer_size: (height, width) of the layer itself.

        If nothing changed, the map changes nothing, exactly. Positions and colors absent from the small picture follow
        the nearest ones present. Pixels with NaN or infinity are ignored; the result is always finite.
        Raises InputError for mismatched shapes.
        """
        fit = CurveFit(mask=mask, foreground=foreground, layer_box=layer_box, layer_size=layer_size)
        return cls(fit.fit_curves(composite, harmonized), layer_size)

    def roll_off(
        self, layer: Pixels, mask: Pixels | None = None, space: Literal["srgb", "linear"] = "srgb"
    ) -> ColorTransfer:
        """Return this map with a soft shoulder and toe if it moves the layer's colors out of 0..1; otherwise itself.

        Without them, these colors would be clipped to the same white or black. A color that leaves the range by e is
        mapped from at most 2e inside it, and the order is kept. The shoulder is a part of the curves: it costs nothing
        later, scales with the strength, and is the same at every depth.
        layer, mask, space: as in `apply`. About 4,000 of the pixels are sampled.
        """
        slices = self.sample_slices(layer)
        color, visible = _select_visible(layer[slices], None if mask is None else mask[slices], space)
        if not visible.any():
            return self
        y, x = (torch.from_numpy(at) for at in np.nonzero(visible))
        y, x = ((at + 0.5) / cell_size(length) for at, length in zip((y, x), visible.shape, strict=True))
        curves, visible_color = torch.from_numpy(self.curves), torch.from_numpy(color[visible])
        more = run_in_halves(lambda pool: _fit_roll_off(curves, visible_color, y, x, pool))
        return self if more is None else replace(self, curves=self.curves + more.numpy())

    def followed_by(self, matrix: npt.NDArray[np.float64]) -> ColorTransfer:
        """Return this map followed by an affine change of its new colors, as one map.

        matrix: (3, 3) or (3, 4), of encoded sRGB (r, g, b, 1). The curves represent this exactly, because a linear
        curve is one of them.
        """
        linear = matrix[:, :3]
        curves = self.curves @ linear.T
        more = linear - np.eye(3)
        for channel in range(3):
            curves[:, :, channel] += np.linspace(0, 1, KNOTS)[:, None] * more[:, channel]
        if matrix.shape[1] == 4:
            curves[:, :, 0] += matrix[:, 3]
        return replace(self, curves=curves)

    @staticmethod
    def sample_slices(layer: Pixels) -> tuple[slice, slice]:
        """Return the slices of rows and columns that `roll_off` samples: evenly spaced, or all of an extract made with
        them.
        """
        step = max(1, math.ceil(math.sqrt(layer.shape[0] * layer.shape[1] / _SAMPLES)))
        return slice(step // 2, None, step), slice(step // 2, None, step)

    def apply(
        self,
        layer: Pixels,
        *,
        mask: Pixels | None = None,
        strength: float = 1.0,
        space: Literal["srgb", "linear"] = "srgb",
        tile_pixels: int = 49152,
        device: torch.device | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Pixels:
        """Return the layer in its new colors: a new array of the same shape and dtype.

        layer: (H, W, 3) or (H, W, 4), straight alpha last; uint8, uint16, float16 or float32.
        mask: (H, W) uint8, uint16 or float32 in [0, 1], the share of the change that each pixel takes.
        strength: in [0, 1], of the whole change; the result is linear in it, in the layer's own values.
        space: of the layer's values, encoded sRGB or linear light.
        tile_pixels: approximate number of pixels per tile of a thread; does not alter the result.
        device: a CUDA device does the work if Triton is installed, and rounds an integer differently now and then.
        on_progress: called with (pixels done, pixels in all) on the calling thread. An exception from it stops the work
        and is raised; no thread is left running.

        Alpha is copied, and so are whole pixels where alpha or mask is 0, bit for bit. Integers are rounded
        to the nearest and clamped. Floats are not: a color above 1 is scaled down to 1, mapped, and scaled
        up. A pixel with NaN or +infinity in its color is copied, without an effect on its neighbors. Uses torch's
        number of threads; needs memory for the result and a few MiB per thread.
        Raises InputError for mismatched sizes or invalid values, UnsupportedError for other dtypes and channels.
        """
        _check(layer, mask, strength, space, tile_pixels, self.layer_size)
        curves = torch.from_numpy(self.curves)
        slicer: Slicer | FusedSlicer
        if device is not None and device.type == "cuda" and importlib.util.find_spec("triton") is not None:
            from gknet.transfer.fused_slicing import FusedSlicer  # late: only CUDA needs it

            slicer = FusedSlicer(curves, layer, mask, strength, space == "linear", device)
        else:
            slicer = Slicer(curves, layer, mask, strength, space == "linear", tile_pixels)
        total = layer.shape[0] * layer.shape[1]
        run_on_all_cores(slicer.split_rows(), slicer.make_worker, total, on_progress)
        return slicer.result


def _check(
    layer: Pixels, mask: Pixels | None, strength: float, space: str, tile_pixels: int, size: tuple[int, int]
) -> None:
    if layer.ndim != 3 or layer.shape[2] not in (3, 4):
        raise UnsupportedError(f"Expected a layer of shape (H, W, 3) or (H, W, 4), got {layer.shape}.")
    if layer.dtype not in LARGEST or (mask is not None and mask.dtype not in LARGEST):
        raise UnsupportedError("Layer and mask must be uint8, uint16, float16 or float32.")
    if layer.shape[:2] != size or (mask is not None and mask.shape != size):
        raise InputError(f"The color transfer was fitted to a layer of {size[1]} x {size[0]} pixels.")
    if not 0 <= strength <= 1:
        raise InputError(f"Invalid strength {strength}.", "It must be between 0 and 1.")
    if space not in ("srgb", "linear"):
        raise InputError(f"Unknown color space {space!r}.", "Choose 'srgb' or 'linear'.")
    if tile_pixels < 1:
        raise InputError(f"Invalid tile_pixels {tile_pixels}.", "It must be at least 1.")


def _select_visible(
    layer: Pixels, mask: Pixels | None, space: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return encoded colors (h, w, 3) of a layer, those above 1 scaled down as in `apply`, and True (h, w) where they
    count.
    """
    color = layer[..., :3].astype(np.float32) / np.float32(LARGEST[layer.dtype])
    visible = np.isfinite(color).all(-1)
    for alpha in (layer[..., 3] if layer.shape[2] == 4 else None, mask):
        if alpha is not None:
            visible &= alpha > 0.5 * max_alpha(alpha) * LARGEST[alpha.dtype]
    color = np.where(visible[..., None], color, 0)
    if space == "linear":
        color = linear_to_srgb(torch.from_numpy(color)).numpy()
    return (color / color.max(-1, keepdims=True).clip(1)).clip(0, 1), visible


def _fit_roll_off(curves: Tensor, color: Tensor, y: Tensor, x: Tensor, pool: Executor) -> Tensor | None:
    """Return the addition to curves (8, 8, 4, 8, 3) that keeps all colors in range; None if they already are.

    color: (n, 3), encoded, in 0..1.   y, x: (n,) in cells of the grid.
    """
    features = to_hats(color).double()
    change = _measure_roll_off(color + evaluate_curves(curves.flatten(2, 3), features, y, x))
    if not change.any():
        return None
    weight = torch.full((len(y),), 1 / len(y), dtype=torch.float64)
    return solve_smooth(features, change, weight, y, x, pool).view(curves.shape)


def _measure_roll_off(color: Tensor) -> Tensor:
    """Return the addition to colors (n, 3) that keeps highlights and shadows in 0..1; exactly 0 if they are."""
    high = float(color.amax(1).quantile(1 - _BEYOND)) - 1
    low = -float(color.amin(1).quantile(_BEYOND))
    return _measure_excess(1 - color, low=high).neg_().add_(_measure_excess(color, low=low))


def _measure_excess(value: Tensor, low: float) -> Tensor:
    """Return the addition to values that maps the lowest of them, -low, to 0.

    The curve starts with slope 1, twice as far inside the range as the values reach outside; then the slope decreases,
    but never to 0.
    """
    if low <= 0:
        return torch.zeros_like(value)
    room = min(2 * low, _WIDEST)
    beyond = (room - value).clamp(min=0)
    return beyond - beyond / (1 + beyond * (1 / room - 1 / (room + low)))
