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
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gknet.errors import InputError, UnsupportedError
from gknet.transfer.cores import run_in_halves, run_on_all_cores
from gknet.transfer.equations import evaluate_curves, solve_smooth
from gknet.transfer.fit import CurveFit, to_hats
from gknet.transfer.sample import Sample
from gknet.transfer.slicing import KNOTS, LARGEST, Pixels, Slicer

if TYPE_CHECKING:
    from gknet.transfer.fused_slicing import FusedSlicer

_BEYOND = 0.005
"""Share of a sample that may leave it: a few white glints should not darken all bright areas."""
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

    def roll_off(self, sample: Sample) -> ColorTransfer:
        """Return this map with a soft shoulder and toe if it moves the layer's colors out of 0..1; otherwise itself.

        Without them, these colors would be clipped to the same white or black. A color that leaves the range by e is
        mapped from at most 2e inside it, and the order is kept. The shoulder is a part of the curves: it costs nothing
        later, scales with the strength, and is the same at every depth.
        sample: of the layer.
        """
        return self._add(sample, _measure_roll_off)

    def followed_by_curve(self, curve: Callable[[Tensor], Tensor], sample: Sample) -> ColorTransfer:
        """Return this map followed by a smooth change of its new colors, as one map: the closest to it on the sample.

        curve: from colors (n, 3) to colors, encoded sRGB.   sample: of the layer.
        """
        return self._add(sample, lambda color: curve(color) - color)

    def followed_by(self, matrix: npt.NDArray[np.float64]) -> ColorTransfer:
        """Return this map followed by a linear change of its new colors, as one map.

        matrix: (3, 3), of encoded sRGB. The curves represent this exactly, because a linear curve is one of them.
        """
        curves = self.curves @ matrix.T
        more = matrix - np.eye(3)
        for channel in range(3):
            curves[:, :, channel] += np.linspace(0, 1, KNOTS)[:, None] * more[:, channel]
        return replace(self, curves=curves)

    def _add(self, sample: Sample, measure: Callable[[Tensor], Tensor]) -> ColorTransfer:
        """Return this map with an addition; itself if that is 0 everywhere.

        measure: from the map's new colors (n, 3) of the sample to the addition.
        """
        if not len(sample.color):
            return self
        curves = torch.from_numpy(self.curves)
        more = run_in_halves(lambda pool: _fit_addition(curves, sample, measure, pool))
        return self if more is None else replace(self, curves=self.curves + more.numpy())

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


def _fit_addition(curves: Tensor, sample: Sample, measure: Callable[[Tensor], Tensor], pool: Executor) -> Tensor | None:
    """Return the addition to curves (8, 8, 4, 8, 3) that is closest to what is measured; None if that is 0."""
    features = to_hats(sample.color).double()
    change = measure(sample.color + evaluate_curves(curves.flatten(2, 3), features, sample.y, sample.x))
    if not change.any():
        return None
    weight = torch.full((len(sample.y),), 1 / len(sample.y), dtype=torch.float64)
    return solve_smooth(features, change, weight, sample.y, sample.x, pool).view(curves.shape)


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
