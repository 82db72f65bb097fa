"""Application of a color map, which works in encoded sRGB or linear light, to pixels of any encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from gknet.color.encoding import Encoding, full_value
from gknet.color.luma import LUMA
from gknet.errors import InputError
from gknet.pixels.pixels import as_rgb, restore_channels
from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.cores import Strip, run_on_all_cores
from gknet.transfer.slicing import NODES, cell_size

_STRIP = 262144
"""Approximate number of pixels that a thread converts at once; the map is evaluated in 49 parts of them."""


def recolor_pixels(
    transfer: ColorTransfer,
    pixels: np.ndarray,
    encoding: Encoding,
    *,
    mask: np.ndarray | None,
    strength: float,
    device: torch.device,
    on_progress: Callable[[int, int], None],
) -> np.ndarray:
    """Return the pixels in their new colors: a new array, with alpha and unchanged values equal bit for bit.

    pixels: (h, w) or (h, w, C) of the size that the map was fitted to; uint8, uint16, float16 or float32.
    Other arguments, and errors, as in ColorTransfer.apply.
    """
    rgb, gray = as_rgb(pixels), pixels.ndim == 2 or pixels.shape[2] < 3
    if encoding.is_srgb or (encoding.space == "linear" and not gray):
        changed = transfer.apply(
            rgb, mask=mask, strength=strength, space=encoding.space, device=device, on_progress=on_progress
        )
        return restore_channels(changed, pixels)
    if not 0 <= strength <= 1:
        raise InputError(f"Invalid strength {strength}.", "It must be between 0 and 1.")
    if rgb.shape[:2] != transfer.layer_size or (mask is not None and mask.shape != rgb.shape[:2]):
        size = transfer.layer_size
        raise InputError(f"The color transfer was fitted to a layer of {size[1]} x {size[0]} pixels.")
    changed = np.empty_like(rgb)

    def worker() -> Callable[[Strip], int]:
        def work(strip: Strip) -> int:
            rows = slice(*strip)
            weight = strength * _read_weight(rgb[rows], None if mask is None else mask[rows])
            part = _cut_rows(transfer, *strip)
            changed[rows] = _apply_through_srgb(part, rgb[rows], weight, encoding, gray, device)
            return weight.size

        return work

    run_on_all_cores(_split_rows(*rgb.shape[:2]), worker, rgb.shape[0] * rgb.shape[1], on_progress)
    return restore_channels(changed, pixels)


def _apply_through_srgb(
    transfer: ColorTransfer, rgb: np.ndarray, weight: np.ndarray, encoding: Encoding, gray: bool, device: torch.device
) -> np.ndarray:
    """Apply the map through sRGB, preserving unchanged values exactly: (h, w, 3 or 4) of rgb's type."""
    if not weight.any():
        return rgb
    whole = rgb.dtype.kind == "u"
    full = full_value(rgb.dtype)
    own = np.ascontiguousarray(rgb[..., :3], np.float32) / np.float32(full)
    with np.errstate(all="ignore"):  # pixels with NaN or infinity are copied
        before = encoding.to_srgb(own)
        after = transfer.apply(before, device=device)
        if gray:
            luma = after @ np.array(LUMA, np.float32)[:, None]
            after = np.where((after == before).all(axis=2, keepdims=True), before, luma)
        change = (encoding.from_srgb(after) - encoding.from_srgb(before)) * weight[..., None]
        moved = np.isfinite(own).all(axis=2, keepdims=True) & np.isfinite(change) & (change != 0)
        most = full if whole else np.finfo(rgb.dtype).max
        colors = ((own + change) * np.float32(full)).clip(0 if whole else -most, most)
        colors = np.where(moved, np.rint(colors) if whole else colors, 0).astype(rgb.dtype)
    result = rgb.copy()
    np.copyto(result[..., :3], colors, where=moved)
    return result


def _read_weight(rgb: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the share of the change that each pixel takes, (h, w) float32 in [0, 1]."""
    weight = np.ones(rgb.shape[:2], np.float32)
    if mask is not None:
        weight = mask.astype(np.float32) / np.float32(full_value(mask.dtype))
    return weight * (rgb[..., 3] > 0) if rgb.shape[2] == 4 else weight


def _split_rows(height: int, width: int) -> list[Strip]:
    """Return the rows (first, end) of all strips; none crosses a row of the map's nodes."""
    cell, step = cell_size(height), max(1, _STRIP // width)
    cells = [(top, min(top + cell, height)) for top in range(0, height, cell)]
    return [(y, min(y + step, end)) for top, end in cells for y in range(top, end, step)]


def _cut_rows(transfer: ColorTransfer, first: int, end: int) -> ColorTransfer:
    """Return the same map for some rows of its layer; between two rows of its nodes it is linear from top to bottom."""
    height, width = transfer.layer_size
    cell = cell_size(height)
    upper = first // cell
    share = (first + np.arange(NODES) * cell_size(end - first)) / cell - upper
    nodes = transfer.curves[upper], transfer.curves[upper + 1]
    curves = nodes[0] + share[:, None, None, None, None] * (nodes[1] - nodes[0])
    return replace(transfer, curves=curves, layer_size=(end - first, width))
