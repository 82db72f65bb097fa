"""`gknet.transfer.slicing` as one Triton kernel: each pixel is read once and written once.

A curve is a sum of hinges, whose factors are the same for a whole row of a cell, so that no pixel needs a table lookup.
Needs `triton`; runs on CUDA, and on the CPU in Triton's interpreter (TRITON_INTERPRET=1), which the tests use.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from gknet.color.luma import LUMA
from gknet.transfer.slicing import KNOTS, LARGEST, Pixels, cell_size

_STRIP = 1 << 20
"""Approximate number of pixels copied to the GPU at once: enough to hide launch costs, few enough to overlap."""
_BLOCK = 512
"""Pixels per program."""

_launching = threading.Lock()  # neither Triton's compiler nor its interpreter is thread-safe


class FusedSlicer:
    """`gknet.transfer.slicing.Slicer` on a GPU, with the same strips, worker and result.

    Each worker has a stream of its own, so that one strip is copied while another is computed. The GPU needs memory for
    only a few strips, whatever the layer's size.
    curves, layer, mask, strength, linear: as in Slicer.   device: to compute on.
    """

    def __init__(
        self,
        curves: Tensor,
        layer: Pixels,
        mask: Pixels | None,
        strength: float,
        linear: bool,
        device: torch.device,
    ) -> None:
        self.layer, self.mask, self.strength, self.linear = layer, mask, strength, linear
        self.result = np.empty(layer.shape, layer.dtype)
        self.nodes = to_hinges(curves).to(torch.float32).to(device)  # (8, 8, 3, 29)

    def split_rows(self) -> list[tuple[int, int]]:
        """Return the rows (first, end) of all strips, top to bottom."""
        height, width = self.layer.shape[:2]
        step = max(1, _STRIP // width)
        return [(first, min(first + step, height)) for first in range(0, height, step)]

    def make_worker(self) -> Callable[[tuple[int, int]], int]:
        """Return a function that processes one strip and returns its number of pixels; each thread makes its own."""
        device, (first, end) = self.nodes.device, self.split_rows()[0]
        cuda = device.type == "cuda"
        # Page-locked memory, which the GPU reads directly while the CPU copies another strip.
        dtype = torch.from_numpy(np.empty(0, self.layer.dtype)).dtype
        travelling = torch.empty((end - first, *self.layer.shape[1:]), dtype=dtype, pin_memory=cuda)
        stream = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]

        def work(strip: tuple[int, int]) -> int:
            rows = slice(*strip)
            part = travelling[: strip[1] - strip[0]]
            part.numpy()[...] = self.layer[rows]
            with torch.cuda.stream(stream) if stream is not None else contextlib.nullcontext():
                mask = None if self.mask is None else torch.from_numpy(np.array(self.mask[rows])).to(device)
                there = part.to(device, non_blocking=True)
                changed = slice_rows(self.nodes, there, mask, self.strength, self.linear, strip[0], self.layer.shape[0])
                part.copy_(changed, non_blocking=True)
            if stream is not None:
                stream.synchronize()
            self.result[rows] = part.numpy()
            return part.shape[0] * part.shape[1]

        return work


def to_hinges(curves: Tensor) -> Tensor:
    """Convert knot values of r, g, b, luma (..., 4, 8, 3) to factors of 1, z, max(z, inner knot): (..., 3, 29)."""
    slope = curves.diff(dim=-2) * (KNOTS - 1)  # (..., 4, 7, 3)
    turn = slope.diff(dim=-2)  # (..., 4, 6, 3)
    knots = torch.arange(1, KNOTS - 1, dtype=curves.dtype) / (KNOTS - 1)
    constant = (curves[..., 0, :] - (turn * knots[:, None]).sum(-2)).sum(-2, keepdim=True)  # (..., 1, 3)
    return torch.cat((constant, slope[..., 0, :], turn.flatten(-3, -2)), -2).transpose(-1, -2)


def slice_rows(
    nodes: Tensor, rows: Tensor, mask: Tensor | None, strength: float, linear: bool, first: int, height: int
) -> Tensor:
    """Return some rows of a layer in their new colors: a new tensor of the same shape and type on the same device.

    nodes: (8, 8, 3, 29) float32, the grid's curves from `to_hinges`.   rows: (h, W, 3 or 4) uint8,
    uint16, float16 or float32, contiguous, from a layer of the given height, starting at row first.
    mask: (h, W) of such a type or None.   strength: 0..1.   linear: whether they hold linear light.
    """
    count, width, channels = rows.shape
    cell = cell_size(width)
    packed = rows.dtype == torch.uint8 and channels == 4 and sys.byteorder == "little"
    out = torch.empty_like(rows)
    factors = _mix_factors(nodes, first, count, height, width)
    device = torch.cuda.device(rows.device) if rows.is_cuda else contextlib.nullcontext()
    with device, _launching:
        _slice[(count, factors.shape[1] * triton.cdiv(cell, _BLOCK))](
            rows.view(torch.int32) if packed else rows,
            mask,
            factors,
            out.view(torch.int32) if packed else out,
            width,
            cell,
            strength,
            channels=channels,
            packed=packed,
            integer=not rows.is_floating_point(),
            linear=linear,
            largest=_find_largest(rows.dtype),
            unit=_find_unit(rows.dtype),
            mask_unit=1.0 if mask is None else _find_unit(mask.dtype),
            block=_BLOCK,
        )
    return out


def _find_unit(dtype: torch.dtype) -> float:
    """Return the value that stands for 1."""
    return LARGEST[np.dtype(str(dtype).removeprefix("torch."))]


def _find_largest(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).max if dtype.is_floating_point else _find_unit(dtype)


def _mix_factors(nodes: Tensor, first: int, count: int, height: int, width: int) -> Tensor:
    """Return the hinges' factors for each row of each cell that the layer reaches, (rows, cells, 6, 29).

    The six are the three outputs at the cell's left side and their difference to its right side.
    """
    cell = cell_size(height)
    row = torch.arange(first, first + count, device=nodes.device)
    above, y = row // cell, ((row % cell + 0.5) / cell)[:, None, None, None]
    columns = -(-width // cell_size(width)) + 1
    upper, lower = nodes[above, :columns], nodes[above + 1, :columns]
    mixed = upper + y * (lower - upper)  # (rows, cells + 1, 3, 29)
    return torch.cat((mixed[:, :-1], mixed[:, 1:] - mixed[:, :-1]), 2)


_RED, _GREEN, _BLUE = (tl.constexpr(part) for part in LUMA)
_INNER = tl.constexpr(KNOTS - 2)
_PIECES = tl.constexpr(KNOTS - 1)
_HINGES = tl.constexpr(1 + 4 * (KNOTS - 1))


@triton.jit
def _slice(
    layer: tl.tensor,
    mask: tl.tensor,
    factors: tl.tensor,
    out: tl.tensor,
    width: tl.tensor,
    cell: tl.tensor,
    strength: tl.tensor,
    channels: tl.constexpr,
    packed: tl.constexpr,
    integer: tl.constexpr,
    linear: tl.constexpr,
    largest: tl.constexpr,
    unit: tl.constexpr,
    mask_unit: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Process a run of pixels within one row of one cell."""
    row, runs = tl.program_id(0).to(tl.int64), tl.cdiv(cell, block)
    column = tl.program_id(1) // runs
    place = tl.program_id(1) % runs * block + tl.arange(0, block)
    inside = (place < cell) & (column * cell + place < width)
    at = row * width + column * cell + place
    factors += (row * tl.cdiv(width, cell) + column) * 6 * _HINGES
    if packed:
        whole = tl.load(layer + at, mask=inside, other=0)
        red, green, blue = whole & 255, (whole >> 8) & 255, (whole >> 16) & 255
        alpha = (whole >> 24) & 255
    else:
        red = tl.load(layer + at * channels, mask=inside, other=0)
        green = tl.load(layer + at * channels + 1, mask=inside, other=0)
        blue = tl.load(layer + at * channels + 2, mask=inside, other=0)
    weight = tl.full((block,), 1.0, tl.float32) * strength
    if mask is not None:
        part = tl.load(mask + at, mask=inside, other=0).to(tl.float32) / mask_unit
        weight *= tl.where(part > 0, tl.minimum(part, 1.0), 0.0)  # NaN is 0, too
    if channels == 4:
        if not packed:
            alpha = tl.load(layer + at * channels + 3, mask=inside, other=0)
            tl.store(out + at * channels + 3, alpha, mask=inside)
        weight = tl.where(alpha > 0, weight, 0.0)
    r, g, b = _compute_change(red, green, blue, factors, (place.to(tl.float32) + 0.5) / cell, integer, linear, unit)
    red = _add(red, r * weight, integer, largest)
    green = _add(green, g * weight, integer, largest)
    blue = _add(blue, b * weight, integer, largest)
    if packed:
        tl.store(out + at, (whole & -16777216) | red | (green << 8) | (blue << 16), mask=inside)
    else:
        tl.store(out + at * channels, red, mask=inside)
        tl.store(out + at * channels + 1, green, mask=inside)
        tl.store(out + at * channels + 2, blue, mask=inside)


@triton.jit
def _compute_change(
    red: tl.tensor,
    green: tl.tensor,
    blue: tl.tensor,
    factors: tl.tensor,
    place: tl.tensor,
    integer: tl.constexpr,
    linear: tl.constexpr,
    unit: tl.constexpr,
) -> tl.tensor:
    """Return the change of each color, in the layer's own values."""
    red, green, blue = red.to(tl.float32) / unit, green.to(tl.float32) / unit, blue.to(tl.float32) / unit
    if linear:
        red, green, blue = _encode_srgb(red), _encode_srgb(green), _encode_srgb(blue)
    if integer:
        r, g, b = _evaluate_curves(red, green, blue, factors, place)
    else:
        # The curves end at 1: a color above it is scaled down to 1, mapped, and scaled up again. A NaN or an infinity
        # propagates to the peak.
        peak = tl.maximum(red, green, propagate_nan=tl.PropagateNan.ALL)
        peak = tl.maximum(peak, blue, propagate_nan=tl.PropagateNan.ALL)
        peak = tl.maximum(peak, 1.0, propagate_nan=tl.PropagateNan.ALL)
        r, g, b = _evaluate_curves(_clamp(red / peak), _clamp(green / peak), _clamp(blue / peak), factors, place)
        r, g, b = r * peak, g * peak, b * peak
    if linear:
        r, g, b = (
            _decode_srgb(red + r) - _decode_srgb(red),
            _decode_srgb(green + g) - _decode_srgb(green),
            _decode_srgb(blue + b) - _decode_srgb(blue),
        )
    return r * unit, g * unit, b * unit


@triton.jit
def _evaluate_curves(
    red: tl.tensor, green: tl.tensor, blue: tl.tensor, factors: tl.tensor, place: tl.tensor
) -> tl.tensor:
    """Return the sums of the four curves, for each of the three outputs."""
    # Hinge by hinge rather than output by output, so that only six sums are needed.
    sums = _add_hinge((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), factors, 1.0)
    sums = _add_curve(sums, factors + 1, factors + 5, red)
    sums = _add_curve(sums, factors + 2, factors + 5 + _INNER, green)
    sums = _add_curve(sums, factors + 3, factors + 5 + 2 * _INNER, blue)
    luma = red * _RED + green * _GREEN + blue * _BLUE
    sums = _add_curve(sums, factors + 4, factors + 5 + 3 * _INNER, luma)
    return sums[0] + place * sums[3], sums[1] + place * sums[4], sums[2] + place * sums[5]


@triton.jit
def _add_curve(sums: tl.tuple, slope: tl.tensor, turns: tl.tensor, z: tl.tensor) -> tl.tuple:
    """Add one curve without its constant: z and max(z, knot), each times its factor."""
    sums = _add_hinge(sums, slope, z)
    for knot in tl.static_range(_INNER):
        sums = _add_hinge(sums, turns + knot, tl.maximum(z, (knot + 1) / _PIECES))
    return sums


@triton.jit
def _add_hinge(sums: tl.tuple, factors: tl.tensor, hinge: tl.tensor) -> tl.tuple:
    """Add one hinge to the sums of three outputs at the cell's left side and of their differences."""
    return (
        sums[0] + hinge * tl.load(factors),
        sums[1] + hinge * tl.load(factors + _HINGES),
        sums[2] + hinge * tl.load(factors + 2 * _HINGES),
        sums[3] + hinge * tl.load(factors + 3 * _HINGES),
        sums[4] + hinge * tl.load(factors + 4 * _HINGES),
        sums[5] + hinge * tl.load(factors + 5 * _HINGES),
    )


@triton.jit
def _add(value: tl.tensor, change: tl.tensor, integer: tl.constexpr, largest: tl.constexpr) -> tl.tensor:
    """Return value + change in value's type; bit for bit the value without a change, and finite if the value is."""
    if integer:
        return tl.clamp(value.to(tl.float32) + change + 0.5, 0.0, largest).to(value.dtype)
    total = tl.clamp(value.to(tl.float32) + change, -largest, largest).to(value.dtype)
    # A NaN change comes from a pixel with NaN; infinities are kept.
    changes = (tl.abs(change) > 0) & (tl.abs(change) < float("inf")) & (tl.abs(value) < float("inf"))
    return tl.where(changes, total, value)


@triton.jit
def _clamp(value: tl.tensor) -> tl.tensor:
    return tl.clamp(value, 0.0, 1.0)


@triton.jit
def _encode_srgb(light: tl.tensor) -> tl.tensor:
    """`gknet.color.srgb.linear_to_srgb`."""
    size = tl.abs(light)
    curve = 1.055 * tl.exp2(tl.log2(tl.maximum(size, 0.0031308)) / 2.4) - 0.055
    return tl.where(size > 0.0031308, tl.where(light < 0, -curve, curve), light * 12.92)


@triton.jit
def _decode_srgb(srgb: tl.tensor) -> tl.tensor:
    """`gknet.color.srgb.srgb_to_linear`."""
    size = tl.abs(srgb)
    curve = tl.exp2(2.4 * tl.log2((tl.maximum(size, 0.04045) + 0.055) / 1.055))
    return tl.where(size > 0.04045, tl.where(srgb < 0, -curve, curve), srgb / 12.92)
