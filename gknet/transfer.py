"""The network's small answer, carried to every pixel of a layer of any size and depth.

The answer is not enlarged: a smooth colour map is fitted to it and applied to the layer's own pixels, so
detail, noise and alpha survive. The map is a coarse grid of additive colour curves: at each of 8 x 8 nodes
over the layer, the change of colour is the sum of four piecewise-linear curves, of r, g, b and luma, each
with 8 knots and three outputs; between nodes it is bilinear. The change depends on a pixel's own colour and
place and on nothing else: no halo, no seam, and the soft edge of an object gets the map of its inside.

Sources: a coarse grid of colour transforms, sliced per pixel, is the idea of the bilateral grid (Chen et al.,
SIGGRAPH 2007) and of HDRnet (Gharbi et al., SIGGRAPH 2017). Curves in place of affine matrices, and the
constants below, were chosen by measurement on real photographs under known changes of colour and light.
"""

from __future__ import annotations

import functools
import itertools
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from gknet.color import linear_to_srgb, srgb_to_linear
from gknet.errors import BadRequest, Unsupported

_NODES = 8  # of the grid, on each axis
_KNOTS = 8  # of each curve
_LUMA = (0.299, 0.587, 0.114)
_FEATURES = 1 + 4 + 4 * (_KNOTS - 2)  # of the slicing basis: 1, z, max(z, inner knot); z = r, g, b, luma

# Strengths of the priors, which pull towards "no change". A factor of 3 on any moves the result by < 0.2 dB.
_SAME_AS_NEIGHBOUR = 3e-4
_STRAIGHT_CURVE = 1e-6
_NO_CHANGE = 1e-7

_TOP = {np.dtype(t): top for t, top in (("u1", 255.0), ("u2", 65535.0), ("f2", 1.0), ("f4", 1.0))}

Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class ColourTransfer:
    """A colour map over one layer.

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
    ) -> ColourTransfer:
        """The colour map that best explains what the network did to the small picture.

        composite: (h, w, 3) encoded sRGB in [0, 1], what the network saw.   harmonized: (h, w, 3), its answer.
        mask: (h, w) in [0, 1], area mean of alpha.
        foreground: (h, w, 3), area mean of straight colour, weighted by alpha; anything goes where mask is 0.
        layer_box: (left, top, width, height) of the layer in the small picture's pixels; may reach outside it.
        layer_size: (height, width) of the layer itself.

        Nothing changed gives exactly no change; places and colours that the picture says nothing of follow the
        nearest that it does. Pixels with NaN or infinity are left out; the result is always finite.
        Raises BadRequest if shapes disagree.
        """
        height, width = mask.shape
        if not composite.shape == harmonized.shape == foreground.shape == (height, width, 3):
            raise BadRequest("The small pictures for the colour transfer differ in size.")
        if min(*layer_size, *layer_box[2:]) <= 0:
            raise BadRequest("The layer is empty.")
        small = [torch.from_numpy(np.array(a, np.float64)) for a in (composite, harmonized, mask, foreground)]
        # One thread: the matrices are too small to be worth dividing, above all beside other busy programs.
        with ThreadPoolExecutor(1, "colour-transfer", _work_alone) as pool:
            curves = pool.submit(_fit, small, layer_box, layer_size).result()
        return cls(curves.numpy(), layer_size)

    def apply(
        self,
        layer: Pixels,
        *,
        mask: Pixels | None = None,
        strength: float = 1.0,
        space: Literal["srgb", "linear"] = "srgb",
        tile_pixels: int = 32768,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Pixels:
        """The layer in its new colours: a new array of the same shape and dtype.

        layer: (H, W, 3) or (H, W, 4), straight alpha last; uint8, uint16, float16 or float32.
        mask: (H, W) uint8, uint16 or float32 in [0, 1], how much of the change each pixel takes.
        strength: in [0, 1], of the whole change; the result is linear in it, in the layer's own values.
        space: of the layer's values, encoded sRGB or linear light.
        tile_pixels: about how many a thread works on at once; does not alter the result.
        on_progress: called with (pixels done, pixels in all) on the calling thread. What it raises stops the
        work and passes through; nothing is left running.

        Alpha is copied, and so are whole pixels where alpha or mask is 0, bit for bit. Integers are rounded to
        the nearest and clamped. Floats are not: a colour above 1 is scaled down to 1, mapped, and scaled up. A
        pixel with NaN or +infinity in its colour is copied; its neighbours do not notice. Runs on torch's number
        of threads; needs the result and a few MiB per thread of memory.
        Raises BadRequest if sizes or values do not fit, Unsupported for other dtypes and channels.
        """
        _check(layer, mask, strength, space, tile_pixels, self.layer_size)
        curves = torch.from_numpy(self.curves)
        slicer = _Slicer(curves, layer, mask, strength, space == "linear", tile_pixels)
        _on_all_cores(slicer, on_progress)
        return slicer.result


# --- fitting ------------------------------------------------------------------------------------------------


def _fit(small: list[Tensor], box: tuple[float, float, float, float], size: tuple[int, int]) -> Tensor:
    """The nodes' curves, (8, 8, 4, 8, 3)."""
    colour, change, weight = _observations(*small)
    at = weight.nonzero(as_tuple=True)
    if len(at[0]) == 0:
        return weight.new_zeros(_NODES, _NODES, 4, _KNOTS, 3)
    features, change = _blur(_hats(colour), change, weight)
    # From the centres of small pixels to the layer's pixels to cells of the grid, (n,) each.
    left, top, width, height = box
    y = (at[0] + 0.5 - top) * (size[0] / height) / _cell(size[0])
    x = (at[1] + 0.5 - left) * (size[1] / width) / _cell(size[1])
    solution = _solve(features[at], change[at], weight[at] / weight.sum(), y, x)
    # Only an answer that contradicts itself needs more; this keeps its echo in unseen colours small.
    return solution.clamp_(-1, 1).view(_NODES, _NODES, 4, _KNOTS, 3)


def _observations(composite: Tensor, harmonized: Tensor, mask: Tensor, foreground: Tensor) -> tuple[Tensor, ...]:
    """Straight colour (h, w, 3), its change (h, w, 3) and how much each pixel is worth (h, w)."""
    # Dividing by alpha undoes the blending with the background; this is what keeps halos out.
    change = ((harmonized - composite) / mask.clamp(min=0.01)[..., None]).clamp(-1, 1)
    inner = -F.max_pool2d(-mask[None, None], 3, stride=1, padding=1)[0, 0]
    weight = torch.where(mask > 0.05, (mask * inner) ** 2, 0.0)
    known = torch.isfinite(change).all(-1) & torch.isfinite(foreground).all(-1)
    if not (weight[known] > 0).any():  # thinner than three pixels: its edge is all we have
        weight = mask**2
    weight = torch.where(known & (weight > 0), weight, 0.0)  # NaN in the mask is 0, too
    used = weight[..., None] > 0
    return torch.where(used, foreground, 0.0).clamp(0, 1), torch.where(used, change, 0.0), weight


def _hats(colour: Tensor) -> Tensor:
    """(h, w, 3) -> (h, w, 32): where each of r, g, b, luma stands between its two knots."""
    z = torch.cat((colour, (colour * colour.new_tensor(_LUMA)).sum(-1, keepdim=True)), -1)
    knots = torch.arange(_KNOTS, dtype=z.dtype)
    return (1 - (z[..., None] * (_KNOTS - 1) - knots).abs()).clamp(min=0).flatten(-2)


def _blur(features: Tensor, change: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides of the equations, blurred alike (Gaussian, sigma 1 pixel).

    A network's answer is softer than its input. Fitting a soft change to sharp colours gives slopes that are
    too flat; blurring both gives the right ones (+1.1 dB, measured on real photographs).
    """
    tap = torch.exp(-0.5 * torch.arange(-3, 4, dtype=weight.dtype) ** 2)
    both = torch.cat((features, change, torch.ones_like(change[..., :1])), -1) * weight[..., None]
    for axis in (0, 1):
        size = both.shape[axis]
        padded = F.pad(both, (0, 0, 3, 3) if axis else (0, 0, 0, 0, 3, 3))
        both = tap[0] * padded.narrow(axis, 0, size)
        for k in range(1, 7):
            both.add_(padded.narrow(axis, k, size), alpha=float(tap[k]))
    both = both[..., :-1] / both[..., -1:].clamp(min=torch.finfo(both.dtype).tiny)
    return both[..., : features.shape[-1]], both[..., features.shape[-1] :]


def _solve(features: Tensor, change: Tensor, weight: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Regularised least squares for all nodes at once, (64, 32, 3).

    features: (n, 32).   change: (n, 3).   weight: (n,), sum 1.   y, x: (n,) in cells of the grid.
    Neighbouring rows of nodes are all that is coupled, so the matrix is block-tridiagonal: 8 blocks of 256.
    """
    size = features.shape[1]
    row, column = (t.floor().clamp(0, _NODES - 2).long() for t in (y, x))
    fy, fx = (y - row).clamp(0, 1), (x - column).clamp(0, 1)
    corner = torch.stack(((1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx), 1)
    diagonal = features.new_zeros(_NODES, _NODES, size, _NODES, size)
    below = features.new_zeros(_NODES - 1, _NODES, size, _NODES, size)  # couples a row with the row above it
    right_side = features.new_zeros(_NODES, _NODES, size, 3)
    for r, c in itertools.product(range(_NODES - 1), repeat=2):
        here = ((row == r) & (column == c)).nonzero()[:, 0]
        if len(here) == 0:
            continue
        known = (corner[here, :, None] * features[here, None]).flatten(1)  # (n, 4 * 32)
        weighted = (known * weight[here, None]).T
        gram = (weighted @ known).view(2, 2, size, 2, 2, size)
        side = slice(c, c + 2)
        diagonal[r, side, :, side] += gram[0, :, :, 0]
        diagonal[r + 1, side, :, side] += gram[1, :, :, 1]
        below[r, side, :, side] += gram[1, :, :, 0]
        right_side[r : r + 2, side] += (weighted @ change[here]).view(2, 2, size, 3)
    _add_priors(diagonal, below)
    diagonal, below = (t.flatten(3).flatten(1, 2) for t in (diagonal, below))  # (8 or 7, 256, 256)
    return _solve_block_tridiagonal(diagonal, below, right_side)


def _add_priors(diagonal: Tensor, below: Tensor) -> None:
    """Nodes like their neighbours, curves straight, everything near zero."""
    unit = torch.eye(4 * _KNOTS, dtype=diagonal.dtype)
    bend = torch.eye(_KNOTS, dtype=unit.dtype).diff(n=2, dim=0)  # second differences, (6, 8)
    bends = torch.kron(torch.eye(4, dtype=unit.dtype), bend.T @ bend)  # of all four curves, (32, 32)
    own = (_STRAIGHT_CURVE * (_KNOTS - 1) ** 3 * bends + _NO_CHANGE / _KNOTS * unit) / _NODES**2
    for r, c in itertools.product(range(_NODES), repeat=2):
        neighbours = (r > 0) + (r < _NODES - 1) + (c > 0) + (c < _NODES - 1)
        diagonal[r, c, :, c] += own + _SAME_AS_NEIGHBOUR * neighbours * unit
        if c:
            diagonal[r, c, :, c - 1] -= _SAME_AS_NEIGHBOUR * unit
            diagonal[r, c - 1, :, c] -= _SAME_AS_NEIGHBOUR * unit
        if r:
            below[r - 1, c, :, c] -= _SAME_AS_NEIGHBOUR * unit


def _solve_block_tridiagonal(diagonal: Tensor, below: Tensor, right_side: Tensor) -> Tensor:
    """Block Cholesky. diagonal: (8, 256, 256).   below: (7, 256, 256).   right_side: (8, 8, 32, 3)."""
    rhs = list(right_side.flatten(1, 2))
    factors, links = [torch.linalg.cholesky(diagonal[0])], []
    rhs[0] = torch.linalg.solve_triangular(factors[0], rhs[0], upper=False)
    for i, coupling in enumerate(below):
        link = torch.linalg.solve_triangular(factors[i], coupling.T, upper=False).T
        links.append(link)
        factors.append(torch.linalg.cholesky(diagonal[i + 1] - link @ link.T))
        rhs[i + 1] = torch.linalg.solve_triangular(factors[-1], rhs[i + 1] - link @ rhs[i], upper=False)
    for i in reversed(range(len(rhs))):
        known = links[i].T @ rhs[i + 1] if i < len(links) else 0
        rhs[i] = torch.linalg.solve_triangular(factors[i].T, rhs[i] - known, upper=True)
    return torch.stack(rhs).view(right_side.shape)


# --- slicing ------------------------------------------------------------------------------------------------


def _cell(length: int) -> int:
    """Pixels between two nodes: whole, so that every tile lies in one cell; the last cell may hang over."""
    return -(-length // (_NODES - 1))


def _slicing_basis(curves: Tensor) -> Tensor:
    """(..., 4, 8, 3) knot values -> (..., 3, 29) factors of 1, z and max(z, inner knot), the same functions."""
    slope = curves.diff(dim=-2) * (_KNOTS - 1)  # (..., 4, 7, 3)
    turn = slope.diff(dim=-2)  # (..., 4, 6, 3)
    knots = torch.arange(1, _KNOTS - 1, dtype=curves.dtype) / (_KNOTS - 1)
    constant = (curves[..., 0, :] - (turn * knots[:, None]).sum(-2)).sum(-2, keepdim=True)  # (..., 1, 3)
    return torch.cat((constant, slope[..., 0, :], turn.flatten(-3, -2)), -2).transpose(-1, -2)


class _Slicer:
    """Evaluates the map on strips of rows of one layer. Strips are independent of each other."""

    def __init__(
        self, curves: Tensor, layer: Pixels, mask: Pixels | None, strength: float, linear: bool, tile: int
    ) -> None:
        self.layer, self.mask, self.strength, self.linear = layer, mask, strength, linear
        self.result = np.empty(layer.shape, layer.dtype)
        self.top = _TOP[layer.dtype]
        self.direct = layer.dtype.kind == "u" and not linear  # nothing to encode, nothing above 1
        rgba8 = layer.dtype == np.uint8 and layer.shape[2] == 4
        self.packed = rgba8 and self.direct and sys.byteorder == "little"
        # Integers are worked on in their own levels, which saves passes.
        unit = self.top if self.direct else 1.0
        basis = _slicing_basis(curves)
        basis[..., 0] *= unit
        self.nodes = basis.to(torch.float32)  # (8, 8, 3, 29)
        self.knots = (torch.arange(1, _KNOTS - 1) / (_KNOTS - 1) * unit)[:, None]
        self.cell = (_cell(layer.shape[0]), _cell(layer.shape[1]))
        self.place = (torch.arange(self.cell[1]) + 0.5) / self.cell[1]  # of a column between two nodes
        # A tile is as wide as its cell: the arithmetic goes by rows, so the number of rows cannot alter it.
        self.tile_height = min(self.cell[0], max(1, tile // self.cell[1]))

    def strips(self) -> list[tuple[int, int]]:
        """Rows (first, end) of all strips, top to bottom; none crosses a row of nodes."""
        height, (cell, _), step = self.layer.shape[0], self.cell, self.tile_height
        cells = [(top, min(top + cell, height)) for top in range(0, height, cell)]
        return [(y, min(y + step, end)) for top, end in cells for y in range(top, end, step)]

    def worker(self) -> Callable[[tuple[int, int]], int]:
        """A function that does one strip and returns its number of pixels; each thread makes its own.

        It works in the same memory for every tile: fresh memory would cost as much as the arithmetic.
        """
        most = self.tile_height * self.cell[1]
        pixels, numbers = np.empty(most * self.layer.shape[2], self.layer.dtype), torch.empty(most * _NUMBERS)
        bench_for = functools.cache(functools.partial(_Bench.of, pixels, numbers))

        def work(strip: tuple[int, int]) -> int:
            rows, width = strip[1] - strip[0], int(self.layer.shape[1])
            for column, factors in enumerate(self._factors(*strip)):
                start = column * self.cell[1]
                at = (slice(*strip), slice(start, min(start + self.cell[1], width)))
                bench = bench_for(rows, at[1].stop - start)
                bench.pixels[...] = self.layer[at]  # which may be read-only or strided; torch takes neither
                weight = self._weight(at, bench.pixels)
                if weight is None or weight.any():
                    self._change_pixels(bench, weight, factors)
                self.result[at] = bench.pixels
            return rows * width

        return work

    def _factors(self, first: int, end: int) -> Tensor:
        """The basis' factors for a strip's rows in each cell that the layer reaches, (cells, rows, 6, 29).

        The six are the three outputs at the cell's left side and their growth to its right side: mixing the
        nodes' factors from top to bottom once per row halves the work per pixel.
        """
        row, cells = first // self.cell[0], -(-self.layer.shape[1] // self.cell[1])
        y = (torch.arange(first, end) + (0.5 - row * self.cell[0])) / self.cell[0]
        upper, lower = self.nodes[row, : cells + 1, None], self.nodes[row + 1, : cells + 1, None]
        nodes = upper + y[:, None, None] * (lower - upper)  # (cells + 1, rows, 3, 29)
        return torch.cat((nodes[:-1], nodes[1:] - nodes[:-1]), 2)

    def _weight(self, at: tuple[slice, slice], pixels: Pixels) -> Tensor | None:
        """How much of the change each pixel takes, (rows, columns); None if all take all of it."""
        weight = None
        if self.mask is not None:
            part = np.array(self.mask[at], dtype=np.float32)
            weight = torch.from_numpy(part).div_(_TOP[self.mask.dtype]).nan_to_num_(0).clamp_(0, 1)
        if pixels.shape[2] == 4 and not (solid := pixels[..., 3] > 0).all():
            clear = torch.from_numpy(solid.astype(np.float32))
            weight = clear if weight is None else weight.mul_(clear)
        return weight

    def _change_pixels(self, bench: _Bench, weight: Tensor | None, factors: Tensor) -> None:
        if self.direct:
            value = self._load(bench, bench.basis[:, 1:4])
            change = self._curves(bench, factors)
        else:
            value = self._load(bench, bench.spare)
            change = self._change_of_light(bench, value, factors)
        if weight is not None:
            change.mul_(weight[:, None])
        if self.strength != 1:
            change.mul_(self.strength)
        self._store(bench, value, change)

    def _change_of_light(self, bench: _Bench, value: Tensor, factors: Tensor) -> Tensor:
        """The change where values may be linear, above 1, or no numbers at all."""
        encoded = linear_to_srgb(value / self.top) if self.linear else value
        # Above 1 the curves know nothing: such a colour is scaled down to 1, mapped, and scaled up again.
        peak = encoded.amax(1, keepdim=True).clamp(min=1)
        torch.div(encoded, peak, out=bench.basis[:, 1:4]).clamp_(0, 1)
        change = self._curves(bench, factors) * peak
        if self.linear:
            change = (srgb_to_linear(encoded + change) - srgb_to_linear(encoded)) * self.top
        # NaN is what a NaN or an infinity in the pixel has made; such a pixel stays as it is.
        return change.nan_to_num_(0, 0, 0)

    def _curves(self, bench: _Bench, factors: Tensor) -> Tensor:
        """The sum of the four curves at the r, g, b that are in the basis."""
        basis = bench.basis
        one, red, green, blue, luma = basis[:, :5].unbind(1)
        one.fill_(1)
        torch.mul(red, _LUMA[0], out=luma).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
        torch.maximum(basis[:, 1:5, None], self.knots, out=basis[:, 5:].view(len(basis), 4, _KNOTS - 2, -1))
        torch.bmm(factors, basis, out=bench.sides)
        left, growth = bench.sides.split_with_sizes((3, 3), 1)
        return left.addcmul_(growth, self.place[: growth.shape[2]])

    def _load(self, bench: _Bench, value: Tensor) -> Tensor:
        if not self.packed:
            return value.copy_(bench.colour)
        # Bytes four apart are slow to gather; whole pixels, shifted and masked, are not.
        levels = torch.bitwise_right_shift(bench.whole, _SHIFTS, out=bench.spare.view(torch.int32))
        return value.copy_(levels.bitwise_and_(255))

    def _store(self, bench: _Bench, value: Tensor, change: Tensor) -> None:
        if bench.colour.is_floating_point():
            bench.colour.copy_(_add_to_floats(value, change, torch.finfo(bench.colour.dtype).max))
            return
        change.add_(value).add_(0.5).clamp_(0, self.top)
        if not self.packed:
            bench.colour.copy_(change)
            return
        red, green, blue = bench.spare.view(torch.int32).copy_(change).split_with_sizes((1, 1, 1), 1)
        alpha = bench.whole.bitwise_and_(-1 << 24)
        alpha.bitwise_or_(red).add_(green, alpha=1 << 8).add_(blue, alpha=1 << 16)


_SHIFTS = torch.tensor([[0], [8], [16]], dtype=torch.int32)
_NUMBERS = _FEATURES + 6 + 3  # floats of a bench, for each pixel


class _Bench(NamedTuple):
    """One thread's memory, laid out for tiles of one size. Tensors are (rows, channels, columns)."""

    pixels: Pixels  # (rows, columns, 3 or 4), of the layer's dtype
    colour: Tensor  # the same memory without alpha
    whole: Tensor  # the same memory, one int32 a pixel, if it is 8-bit RGBA
    basis: Tensor  # 29 channels: 1; r, g, b, luma; the larger of each of these and each inner knot
    sides: Tensor  # 6 channels
    spare: Tensor  # 3 channels

    @classmethod
    def of(cls, pixels: Pixels, numbers: Tensor, rows: int, columns: int) -> _Bench:
        n, channels = rows * columns, len(pixels) * _NUMBERS // len(numbers)
        pixels = pixels[: n * channels].reshape(rows, columns, channels)
        whole = torch.from_numpy(pixels.view(np.int32) if pixels[0, 0].nbytes == 4 else pixels).permute(0, 2, 1)
        colour = torch.from_numpy(pixels).permute(0, 2, 1)[:, :3]
        parts = numbers[: n * _NUMBERS].split_with_sizes([n * _FEATURES, n * 6, n * 3])
        return cls(pixels, colour, whole, *(part.view(rows, -1, columns) for part in parts))


def _add_to_floats(value: Tensor, change: Tensor, largest: float) -> Tensor:
    """value + change; where there is no change, value to the bit (-0.0 too); finite stays finite."""
    total = (value + change).clamp_(-largest, largest)
    return torch.where((change == 0) | value.isinf(), value, total)


# --- running ------------------------------------------------------------------------------------------------

_starting = threading.Lock()


def _work_alone() -> None:
    """Makes torch use this thread only, for what this thread does: the work is divided already.

    torch keeps this number per thread, but hands the last one set to threads to come. So it is set back, in a
    passing thread, as here that would change ours. The lock keeps two of us from reading each other's 1.
    """
    with _starting:
        process = torch.get_num_threads()
        torch.set_num_threads(1)
        passing = threading.Thread(target=torch.set_num_threads, args=(process,))
        passing.start()
        passing.join()


def _on_all_cores(slicer: _Slicer, on_progress: Callable[[int, int], None] | None) -> None:
    """Does all strips on as many threads as torch has and reports on this one. Any exception stops them."""
    strips = slicer.strips()
    total = slicer.layer.shape[0] * slicer.layer.shape[1]
    todo = iter(strips)  # shared by all: taking the next of a list is atomic
    news: queue.SimpleQueue[int | Future[None]] = queue.SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        work = slicer.worker()
        for strip in todo:
            if stop.is_set():
                return
            news.put(work(strip))

    done, running = 0, max(1, min(torch.get_num_threads(), len(strips)))
    with ThreadPoolExecutor(running, "colour-transfer", _work_alone) as pool:
        try:
            for _ in range(running):
                pool.submit(run).add_done_callback(news.put)
            while running:
                item = news.get()
                if isinstance(item, Future):
                    item.result()  # raises what the worker raised
                    running -= 1
                    continue
                done += item
                if on_progress is not None:
                    on_progress(done, total)
        finally:
            stop.set()


def _check(
    layer: Pixels, mask: Pixels | None, strength: float, space: str, tile_pixels: int, size: tuple[int, int]
) -> None:
    if layer.ndim != 3 or layer.shape[2] not in (3, 4):
        raise Unsupported("The colour transfer works on RGB and RGBA pixels.")
    if layer.dtype not in _TOP or (mask is not None and mask.dtype not in _TOP):
        raise Unsupported("The colour transfer works on 8- and 16-bit integers and 16- and 32-bit floats.")
    if layer.shape[:2] != size or (mask is not None and mask.shape != size):
        raise BadRequest(f"The colour transfer was made for a layer of {size[1]} x {size[0]} pixels.")
    if not 0 <= strength <= 1:
        raise BadRequest(f"The strength must be from 0 to 1, not {strength}.")
    if space not in ("srgb", "linear"):
        raise BadRequest(f"The colour space must be srgb or linear, not {space}.")
    if tile_pixels < 1:
        raise BadRequest("A tile must have at least one pixel.")
