"""A grid of color curves, evaluated at every pixel of a layer: the second half of `gknet.transfer.color_transfer`.

Works in tiles that stay in the cache, each within one cell of the grid, without a copy of the whole layer.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gknet.color.luma import LUMA
from gknet.color.srgb import linear_to_srgb, srgb_to_linear

NODES = 8
"""Nodes of the grid on each axis."""
KNOTS = 8
"""Knots of each curve."""
LARGEST = {np.dtype(t): top for t, top in (("u1", 255.0), ("u2", 65535.0), ("f2", 1.0), ("f4", 1.0))}
"""The value that stands for 1, by dtype."""

Pixels = npt.NDArray[Any]

_CURVES = 4  # of luma, r, g, b
_FEATURES = 3 + 1 + _CURVES * (KNOTS - 2)  # of the slicing basis: r, g, b, 1, max(z, inner knot); z = luma, r, g, b


def cell_size(length: int) -> int:
    """Return the pixels between two nodes: an integer, so that every tile lies in one cell; the last cell may
    overhang.
    """
    return -(-length // (NODES - 1))


def _to_slicing_basis(curves: Tensor) -> Tensor:
    """Convert knot values of r, g, b, luma (..., 4, 8, 3) to factors of `_FEATURES` (..., 3, 28): the same
    functions.
    """
    curves = curves.roll(1, dims=-3)  # luma first
    slope = curves.diff(dim=-2) * (KNOTS - 1)  # (..., 4, 7, 3)
    turn = slope.diff(dim=-2)  # (..., 4, 6, 3)
    knots = torch.arange(1, KNOTS - 1, dtype=curves.dtype) / (KNOTS - 1)
    constant = (curves[..., 0, :] - (turn * knots[:, None]).sum(-2)).sum(-2, keepdim=True)  # (..., 1, 3)
    # Luma is linear in r, g and b, and so is the straight part of its curve.
    straight = slope[..., 1:, 0, :] + curves.new_tensor(LUMA)[:, None] * slope[..., :1, 0, :]  # (..., 3, 3)
    return torch.cat((straight, constant, turn.flatten(-3, -2)), -2).transpose(-1, -2)


class Slicer:
    """Evaluates the grid's curves on strips of rows of one layer, each independent of the others.

    curves: (NODES, NODES, 4, KNOTS, 3), change of r, g, b at each knot of the curves of r, g, b and luma.
    layer: (H, W, 3 or 4) of a type in LARGEST.   mask: (H, W) or None.   strength: 0..1.
    linear: whether the layer holds linear light.   tile: approximate number of pixels per tile.
    `result` holds the result once every strip is processed.
    """

    def __init__(
        self, curves: Tensor, layer: Pixels, mask: Pixels | None, strength: float, linear: bool, tile: int
    ) -> None:
        self.layer, self.mask, self.strength, self.linear = layer, mask, strength, linear
        self.result = np.empty(layer.shape, layer.dtype)
        self.top = LARGEST[layer.dtype]
        self.direct = layer.dtype.kind == "u" and not linear  # nothing to encode, nothing above 1
        rgba8 = layer.dtype == np.uint8 and layer.shape[2] == 4
        self.packed = rgba8 and self.direct and sys.byteorder == "little"
        # Integers stay in their own levels, which saves passes.
        unit = self.top if self.direct else 1.0
        basis = _to_slicing_basis(curves)
        basis[..., 3] *= unit
        if self.direct:
            # Computes the new color itself, plus the half for rounding, at the cost of the change alone.
            basis *= strength
            basis[..., :3] += torch.eye(3, dtype=basis.dtype)
            basis[..., 3] += 0.5
        self.nodes = basis.to(torch.float32)  # (8, 8, 3, 28)
        self.knots = (torch.arange(1, KNOTS - 1) / (KNOTS - 1) * unit)[:, None]
        self.cell = (cell_size(layer.shape[0]), cell_size(layer.shape[1]))
        self.place = (torch.arange(self.cell[1]) + 0.5) / self.cell[1]  # of a column between two nodes
        # A tile is as wide as its cell: the arithmetic goes by rows, so the number of rows cannot alter it.
        self.tile_height = min(self.cell[0], max(1, tile // self.cell[1]))

    def split_rows(self) -> list[tuple[int, int]]:
        """Return the rows (first, end) of all strips, top to bottom; none crosses a row of nodes."""
        height, (cell, _), step = self.layer.shape[0], self.cell, self.tile_height
        cells = [(top, min(top + cell, height)) for top in range(0, height, cell)]
        return [(y, min(y + step, end)) for top, end in cells for y in range(top, end, step)]

    def make_worker(self) -> Callable[[tuple[int, int]], int]:
        """Return a function that processes one strip and returns its number of pixels; each thread makes its own.

        It reuses the same memory for every tile: allocating would cost as much as the arithmetic.
        """
        most = self.tile_height * self.cell[1]
        pixels, numbers = np.empty(most * self.layer.shape[2], self.layer.dtype), torch.empty(most * _NUMBERS)
        bench_for = functools.cache(functools.partial(_Bench, pixels, numbers))

        def work(strip: tuple[int, int]) -> int:
            rows, width = strip[1] - strip[0], int(self.layer.shape[1])
            for column, factors in enumerate(self._mix_factors(*strip)):
                start = column * self.cell[1]
                at = (slice(*strip), slice(start, min(start + self.cell[1], width)))
                bench = bench_for(rows, at[1].stop - start)
                bench.pixels[...] = self.layer[at]  # which may be read-only or strided; torch takes neither
                weight = self._read_weight(at, bench.pixels)
                if weight is None or weight.any():
                    self._change_pixels(bench, weight, factors)
                self.result[at] = bench.pixels
            return rows * width

        return work

    def _mix_factors(self, first: int, end: int) -> Tensor:
        """Return the basis' factors for a strip's rows in each cell that the layer reaches, (cells, rows, 6, 28).

        The six are the three outputs at the cell's left side and their difference to its right side. Interpolating the
        nodes' factors vertically once per row halves the work per pixel.
        """
        row, cells = first // self.cell[0], -(-self.layer.shape[1] // self.cell[1])
        y = (torch.arange(first, end) + (0.5 - row * self.cell[0])) / self.cell[0]
        upper, lower = self.nodes[row, : cells + 1, None], self.nodes[row + 1, : cells + 1, None]
        nodes = upper + y[:, None, None] * (lower - upper)  # (cells + 1, rows, 3, 28)
        return torch.cat((nodes[:-1], nodes[1:] - nodes[:-1]), 2)

    def _read_weight(self, at: tuple[slice, slice], pixels: Pixels) -> Tensor | None:
        """Return the share of the change that each pixel takes, (rows, columns); None if all pixels take all of it."""
        weight = None
        if self.mask is not None:
            part = np.array(self.mask[at], dtype=np.float32)
            weight = torch.from_numpy(part).div_(LARGEST[self.mask.dtype])
            if self.mask.dtype.kind == "f":
                weight.nan_to_num_(0).clamp_(0, 1)
        if pixels.shape[2] == 4 and not _is_solid(pixels) and not (solid := pixels[..., 3] > 0).all():
            clear = torch.from_numpy(solid.astype(np.float32))
            weight = clear if weight is None else weight.mul_(clear)
        return weight

    def _change_pixels(self, bench: _Bench, weight: Tensor | None, factors: Tensor) -> None:
        if self.direct:
            self._change_levels(bench, weight, factors)
        else:
            self._change_light(bench, weight, factors)

    def _change_levels(self, bench: _Bench, weight: Tensor | None, factors: Tensor) -> None:
        """Change encoded integers."""
        levels = self._load(bench, bench.colors)
        changed = self._evaluate_curves(bench, factors)
        if weight is not None:
            before = torch.add(levels, 0.5, out=bench.spare)
            changed.sub_(before).mul_(weight[:, None]).add_(before)
        self._store_levels(bench, changed)

    def _change_light(self, bench: _Bench, weight: Tensor | None, factors: Tensor) -> None:
        """Change values that may be linear, above 1, NaN or infinite."""
        if not self.linear and self._lies_within_one(bench.pixels):
            value = self._load(bench, bench.colors)
            change = self._apply_weight(self._evaluate_curves(bench, factors), weight)
            bench.color.copy_(change.add_(value))  # bit for bit the result of the general path below
            return
        value = self._load(bench, bench.spare)
        encoded = linear_to_srgb(value / self.top) if self.linear else value
        # The curves end at 1: a color above it is scaled down to 1, mapped, and scaled up again.
        peak = encoded.amax(1, keepdim=True).clamp(min=1)
        torch.div(encoded, peak, out=bench.colors).clamp_(0, 1)
        change = self._evaluate_curves(bench, factors) * peak
        if self.linear:
            change = (srgb_to_linear(encoded + change) - srgb_to_linear(encoded)) * self.top
        # NaN comes from a NaN or an infinity in the pixel, which is then copied.
        change = self._apply_weight(change.nan_to_num_(0, 0, 0), weight)
        if bench.color.is_floating_point():
            bench.color.copy_(_add_to_floats(value, change, torch.finfo(bench.color.dtype).max))
        else:
            self._store_levels(bench, change.add_(value).add_(0.5))

    def _apply_weight(self, change: Tensor, weight: Tensor | None) -> Tensor:
        if weight is not None:
            change.mul_(weight[:, None])
        return change if self.strength == 1 else change.mul_(self.strength)

    @staticmethod
    def _lies_within_one(pixels: Pixels) -> bool:
        """Whether floats are all in 0..1, and none is -0.0. Such floats sort like their bits."""
        bits = pixels.view(np.dtype(f"i{pixels.itemsize}"))
        return bool(bits.min() >= 0 and bits.max() <= pixels.dtype.type(1).view(bits.dtype))

    def _evaluate_curves(self, bench: _Bench, factors: Tensor) -> Tensor:
        """Return the products of the factors with the basis of the loaded colors, (rows, 3, columns)."""
        torch.mul(bench.red, LUMA[0], out=bench.luma).add_(bench.green, alpha=LUMA[1]).add_(bench.blue, alpha=LUMA[2])
        bench.one.fill_(1)
        torch.maximum(bench.inputs, self.knots, out=bench.inner)
        torch.bmm(factors, bench.basis, out=bench.sides)
        return bench.left.addcmul_(bench.growth, self.place[: bench.growth.shape[2]])

    def _load(self, bench: _Bench, value: Tensor) -> Tensor:
        if not self.packed:
            return value.copy_(bench.color)
        # Gathering every fourth byte is slow; shifting and masking whole pixels is not.
        torch.bitwise_right_shift(bench.whole, _SHIFTS, out=bench.bytes)
        return value.copy_(bench.bytes.bitwise_and_(255))

    def _store_levels(self, bench: _Bench, levels: Tensor) -> None:
        """Store integers, given values that are larger by a half."""
        levels.clamp_(0, self.top)
        if not self.packed:
            bench.color.copy_(levels)
            return
        bench.bytes.copy_(levels)
        red, green, blue = bench.three_bytes
        alpha = bench.whole.bitwise_and_(-1 << 24)
        alpha.bitwise_or_(red).add_(green, alpha=1 << 8).add_(blue, alpha=1 << 16)


_SHIFTS = torch.tensor([[0], [8], [16]], dtype=torch.int32)
_NUMBERS = 1 + _FEATURES + 6 + 3  # floats of a bench, for each pixel


class _Bench:
    """One thread's memory, laid out for tiles of one size, with every view created in advance, because slicing takes
    time.

    Tensors are (rows, channels, columns).   pixels: (rows, columns, 3 or 4), of the layer's dtype; `color` is the same
    memory without alpha, `whole` one int32 per pixel if it is 8-bit RGBA.   basis: multiplied by the factors, 28
    channels; `inputs` are luma, red, green and blue.   sides: 6 channels.   spare: 3 channels; `bytes` is the same
    memory.
    """

    def __init__(self, pixels: Pixels, numbers: Tensor, rows: int, columns: int) -> None:
        n, channels = rows * columns, len(pixels) * _NUMBERS // len(numbers)
        self.pixels = pixels[: n * channels].reshape(rows, columns, channels)
        whole = self.pixels.view(np.int32) if self.pixels[0, 0].nbytes == 4 else self.pixels
        self.whole = torch.from_numpy(whole).permute(0, 2, 1)
        self.color = torch.from_numpy(self.pixels).permute(0, 2, 1)[:, :3]
        parts = numbers[: n * _NUMBERS].split_with_sizes([n * (1 + _FEATURES), n * 6, n * 3])
        values, self.sides, self.spare = (part.view(rows, -1, columns) for part in parts)
        self.luma, self.red, self.green, self.blue, self.one = values[:, :5].unbind(1)
        self.inputs, self.inner = values[:, :_CURVES, None], values[:, 5:].view(rows, _CURVES, KNOTS - 2, columns)
        self.colors, self.basis = values[:, 1:4], values[:, 1:]
        self.left, self.growth = self.sides.split_with_sizes((3, 3), 1)
        self.bytes = self.spare.view(torch.int32)
        self.three_bytes = self.bytes.split_with_sizes((1, 1, 1), 1)


def _is_solid(pixels: Pixels) -> bool:
    """Whether no pixel of RGBA integers is fully transparent; False if unknown.

    Compares whole pixels, which takes a tenth of the time. It does not know for floats, and where alpha is not the
    highest of a pixel's bytes.
    """
    if pixels.dtype.kind != "u" or sys.byteorder != "little":
        return False
    whole = pixels.view(np.dtype(f"u{4 * pixels.itemsize}"))
    return bool(whole.min() >= 1 << 24 * pixels.itemsize)


def _add_to_floats(value: Tensor, change: Tensor, largest: float) -> Tensor:
    """Return value + change; bit for bit the value where there is no change (-0.0 too); finite stays finite."""
    total = (value + change).clamp_(-largest, largest)
    return torch.where((change == 0) | value.isinf(), value, total)
