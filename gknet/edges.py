"""Removal of the old background from a cut-out's soft edge.

Where a layer is partly transparent, its colors are often still the photograph's: alpha F + (1 - alpha) B, a mix of the
object and its old background. F and B are estimated by the multi-level method of Germer et al. ("Fast Multi-Level
Foreground Estimation", ICPR 2020) in PyMatting's implementation, on a copy of limited size. Each pixel of the edge
then solves the method's equations once more at full resolution, starting from the estimate on the copy.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from gknet.color.encoding import full_value
from gknet.errors import InputError, MissingPackageError
from gknet.pixels import reduction
from gknet.pixels.box import Box, bounding_box

LARGEST_COPY = 1 << 20
"""Pixels of the copy: about a second of PyMatting's time, and 100 MB."""
_MARGIN = 8
"""Pixels around the object that may still show the old background."""
_STRIP = 64
"""Rows processed at once at full resolution."""

_estimating = threading.Lock()  # numba's threads can serve only one caller at a time


def check_available() -> None:
    """Raise MissingPackageError if PyMatting is not installed."""
    if importlib.util.find_spec("pymatting") is None:
        raise MissingPackageError("Cleaning edges needs the package PyMatting.", "edges")


def clean_edges(layer: np.ndarray, on_progress: Callable[[str, int, int], None]) -> np.ndarray:
    """Return the layer with the object's own colors where 0 < alpha < 1; all other pixels are equal bit for bit.

    layer: (h, w, 4) RGB, or (h, w, 2) gray, with straight alpha; uint8, uint16, float16 or float32.
    on_progress: called with ("clean", rows done, rows in all).
    Returns a new array, or the layer itself if there is nothing to clean: without an alpha channel, without partial
    alpha, or without nearly opaque pixels, which show the object's own color.
    Colors of fully transparent pixels are taken for the old background if the edge blends into them, and ignored
    otherwise.
    Raises MissingPackageError without PyMatting, InputError if visible pixels contain NaN or infinite values.
    """
    check_available()
    if layer.ndim != 3 or layer.shape[2] not in (2, 4):
        return layer
    full = full_value(layer.dtype)
    rows = [first for first in range(0, len(layer), _STRIP) if _find_partial(layer[first : first + _STRIP], full).any()]
    if not rows or layer[..., -1].max() <= 0.9 * full:
        return layer
    on_progress("clean", 0, len(layer))
    shown = bounding_box(layer[..., -1])
    around = Box(shown.left - _MARGIN, shown.top - _MARGIN, shown.width + 2 * _MARGIN, shown.height + 2 * _MARGIN)
    box = around.intersect(Box(0, 0, layer.shape[1], layer.shape[0]))
    assert box is not None
    colors = _estimate_colors(layer, box)
    result = layer.copy()
    for first in rows:
        on_progress("clean", first, len(layer))
        _clean_rows(result, layer, first, colors, box, full)
    on_progress("clean", len(layer), len(layer))
    return result


@functools.cache
def _import_pymatting() -> Any:
    """Import only PyMatting's module of the multi-level method.

    Importing the whole package compiles all of it, which takes 45 seconds the first time. This takes 5 seconds, and
    half a second afterwards.
    """
    package = importlib.util.find_spec("pymatting")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "foreground" / "estimate_foreground_ml.py"
    spec = importlib.util.spec_from_file_location("gknet._pymatting", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # required by numba
    spec.loader.exec_module(module)
    return module


def _find_partial(pixels: np.ndarray, full: float) -> np.ndarray:
    """Return True where 0 < alpha < 1; False for NaN."""
    alpha = pixels[..., -1]
    found: np.ndarray = (alpha > 0) & (alpha < full)
    return found


def _estimate_colors(layer: np.ndarray, box: Box) -> np.ndarray:
    """Return (2, h, w, C) float32: reduced colors of object and old background for a box of the layer."""
    scale = min(1.0, math.sqrt(LARGEST_COPY / (box.width * box.height)))
    size = (max(1, round(box.height * scale)), max(1, round(box.width * scale)))
    visible, hidden, alpha, share = reduction.reduce_visible_and_hidden(layer, box, size)
    if not np.isfinite(visible).all():
        raise InputError("The picture contains NaN or infinite values.", "Replace them with finite values first.")
    background = _estimate_background(visible, hidden, alpha, share)
    image = visible * share[..., None] + background * (1 - share[..., None])
    largest = max(1.0, float(image.max()))

    def estimate() -> tuple[np.ndarray, np.ndarray]:
        pictures: tuple[np.ndarray, np.ndarray] = _import_pymatting().estimate_foreground_ml(
            (image / largest).clip(0, 1), alpha * share, return_background=True
        )
        return pictures

    # When numba starts its threads, it sets OpenMP's number of threads, which is also torch's, for the calling thread.
    # In a thread of its own, that does not change how many threads the caller's torch uses.
    with _estimating, ThreadPoolExecutor(1, "edges") as alone:
        found = alone.submit(estimate).result()
    return np.stack(found) * np.float32(largest)


def _estimate_background(visible: np.ndarray, hidden: np.ndarray, alpha: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the color (h, w, C) behind the object, as seen where the layer is transparent.

    Programs store anything in transparent pixels: the old background, or black. It is taken for the old background if
    the faintest pixels of the edge are closer to it than to the object; otherwise only those pixels are used.
    """
    faint = share * (1 - alpha) ** 4 * (alpha < 0.999)
    transparent = _spread_colors(hidden, 1 - share)
    solid = _spread_colors(visible, share * (alpha > 0.98))
    to_hidden, to_solid = (float((faint[..., None] * abs(visible - other)).sum()) for other in (transparent, solid))
    return hidden if to_hidden < 0.5 * to_solid else _spread_colors(visible, faint)


def _spread_colors(colors: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Extrapolate colors (h, w, C) from where they have weight (h, w) to everywhere, smoothly; the nearest count most.

    Averages over squares of increasing size; each fills the gaps of the smaller one.
    """
    w = torch.from_numpy(weight.astype(np.float32))[None, None]
    pyramid = [torch.cat((torch.from_numpy(colors).permute(2, 0, 1)[None] * w, w), 1)]
    while max(pyramid[-1].shape[2:]) > 1:
        pyramid.append(F.avg_pool2d(pyramid[-1], 2, ceil_mode=True, count_include_pad=False))
    filled = pyramid[-1]
    for level in reversed(pyramid[:-1]):
        below = F.interpolate(filled, size=level.shape[2:], mode="bilinear", align_corners=False)
        below = below / below[:, -1:].clamp(min=1e-12)
        filled = level + (1 - level[:, -1:].clamp(max=1)) * below
    result: np.ndarray = (filled[0, :-1] / filled[0, -1:].clamp(min=1e-12)).permute(1, 2, 0).numpy()
    return result


def _clean_rows(result: np.ndarray, layer: np.ndarray, first: int, colors: np.ndarray, box: Box, full: float) -> None:
    """Write a strip's edge pixels."""
    rows = layer[first : first + _STRIP]
    y, x = np.nonzero(_find_partial(rows, full))
    alpha = (rows[y, x, -1].astype(np.float32) / np.float32(full))[:, None]
    pixels = rows[y, x, :-1].astype(np.float32) / np.float32(full)
    foreground, background = _sample_colors(colors, y + first, x, box)
    # One step of the method. It minimizes the squared residual plus, times the steepness, the squared distance to the
    # estimate on the copy. A steep edge says little and keeps the estimate; a flat one determines its own colors.
    missing = pixels - alpha * foreground - (1 - alpha) * background
    weight = alpha**2 + (1 - alpha) ** 2 + _measure_steepness(layer, y + first, x, full)[:, None]
    foreground = foreground + alpha * missing / weight
    new = foreground.clip(0, max(1.0, float(colors.max()))) * np.float32(full)
    result[y + first, x, :-1] = np.rint(new) if layer.dtype.kind == "u" else new


def _sample_colors(colors: np.ndarray, y: np.ndarray, x: np.ndarray, box: Box) -> np.ndarray:
    """Return (2, n, C): the copy's colors at pixels of the layer, bilinear."""
    height, width = colors.shape[1:3]
    down = ((y + 0.5 - box.top) * (height / box.height) - 0.5).clip(0, height - 1)
    across = ((x + 0.5 - box.left) * (width / box.width) - 0.5).clip(0, width - 1)
    top, left = down.astype(np.intp), across.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    fy, fx = ((at - whole).astype(np.float32)[:, None] for at, whole in ((down, top), (across, left)))
    upper = colors[:, top, left] * (1 - fx) + colors[:, top, right] * fx
    lower = colors[:, bottom, left] * (1 - fx) + colors[:, bottom, right] * fx
    mixed: np.ndarray = upper * (1 - fy) + lower * fy
    return mixed


def _measure_steepness(layer: np.ndarray, y: np.ndarray, x: np.ndarray, full: float) -> np.ndarray:
    """Return (n,): the sum of the differences of alpha to its four neighbors."""
    alpha = layer[..., -1]
    own, total = alpha[y, x].astype(np.float32), np.zeros(len(y), np.float32)
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        beside = alpha[(y + down).clip(0, len(alpha) - 1), (x + across).clip(0, alpha.shape[1] - 1)]
        total += abs(own - np.nan_to_num(beside.astype(np.float32)))
    return total / np.float32(full)
