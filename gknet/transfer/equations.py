"""The equations behind a color transfer: least-squares curves at 8 x 8 nodes that best explain a change of color.

A pixel contributes only to the four nodes around it, so the matrix is sparse, and is built and solved by rows of nodes.
It depends on the pixels' colors and positions, not on their change, so the slow part can run before the change is
known. Sums are float64. Divisible work is always split into two parts, even with a single thread, for equal results.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import Executor

import torch
from torch import Tensor

from gknet.transfer.slicing import KNOTS, NODES

# Strengths of the priors, which pull towards "no change". A factor of 3 on any of them changes the result by < 0.3 dB.
_SAME_AS_NEIGHBOR = 2e-3
_SAME_EVERYWHERE = 1e-4
_STRAIGHT_CURVE = 1e-6
_NO_CHANGE = 1e-7

_CELLS = NODES - 1
_HALVES = (slice(0, None, 2), slice(1, None, 2))


class CurveEquations:
    """Regularized least squares for all nodes at once, prepared for any change of the pixels' colors.

    features: (n, 32).   weight: (n,), sum 1.   y, x: (n,) in cells of the grid.   pool: runs the two halves of the
    work; must not be the caller's own.
    The first step fits curves that vary across the grid like a parabola, as light from a side or a lamp does, almost
    without a penalty. The second fits the residual at each node, with a penalty for differences between neighbors.
    Only adjacent rows of nodes are coupled, so the matrix is block-tridiagonal: 8 blocks of 256.
    """

    def __init__(self, features: Tensor, weight: Tensor, y: Tensor, x: Tensor, pool: Executor) -> None:
        row, column = _find_cells(y, x)
        cell = row * _CELLS + column
        self.order = cell.argsort(stable=True)
        self.counts: list[int] = cell.bincount(minlength=_CELLS**2).tolist()
        self.features, weight, y, x = (values[self.order] for values in (features, weight, y, x))
        corners = list(_iterate_corners(y, x))
        self.nearness = torch.stack([near for near, _, _ in corners], 1) * weight[:, None]  # (n, 4)
        self.shapes = _make_parabolas(y, x)
        self.here = _interpolate_shapes(self.shapes, y, x)
        diagonal, below = self._build_normal_equations(weight, y, x, pool)
        shapes = (self.shapes, self.shapes[1:]), (self.shapes, self.shapes[:-1])
        itself, across = pool.map(_project_on_shapes, (diagonal, below), *shapes)
        self.smooth = _factor_in_shapes(itself + across + across.T)
        _add_priors(diagonal, below)
        self.nodes = BlockCholesky(diagonal.flatten(3).flatten(1, 2), below.flatten(3).flatten(1, 2), pool)

    def solve(self, change: Tensor, pool: Executor) -> Tensor:
        """Return the curves (8, 8, 32, 3) that best explain a change (n, 3)."""
        change = change[self.order]
        wanted = torch.einsum("rci,rcfk->ifk", self.shapes, self._build_right_side(change))
        smooth = torch.cholesky_solve(wanted.flatten(0, 1), self.smooth).view(wanted.shape)  # (6, 32, 3)
        of_shapes = self.features @ smooth.transpose(0, 1).flatten(1)  # (n, 6 * 3)
        left_over = change - (of_shapes.view(len(change), -1, 3) * self.here[:, :, None]).sum(1)
        found = self.nodes.solve(self._build_right_side(left_over).flatten(1, 2), pool).view(NODES, NODES, -1, 3)
        return found + torch.einsum("rci,ifk->rcfk", self.shapes, smooth)

    def _build_right_side(self, change: Tensor) -> Tensor:
        """Return weighted products of features and change, summed over each node's surroundings: (8, 8, 32, 3)."""
        size = self.features.shape[1]
        sums = change.new_empty(_CELLS, _CELLS, 4, 3, size)
        for out, nearness, one, other in zip(
            sums.view(_CELLS**2, -1, size), *self._split_by_cell(self.nearness, change, self.features), strict=True
        ):
            torch.mm((nearness[:, :, None] * one[:, None]).flatten(1).T, other, out=out)
        result = change.new_zeros(NODES, NODES, size, 3)
        for corner, (i, j) in enumerate(itertools.product(range(2), repeat=2)):
            result[i : i + _CELLS, j : j + _CELLS] += sums[:, :, corner].mT
        return result

    def _split_by_cell(self, *values: Tensor) -> list[tuple[Tensor, ...]]:
        """Split pixel values (n, any), sorted by cell, into one tensor per cell."""
        return [torch.split(one, self.counts) for one in values]

    def _build_normal_equations(self, weight: Tensor, y: Tensor, x: Tensor, pool: Executor) -> tuple[Tensor, Tensor]:
        """Return each row of nodes' products with itself (8, 8, 32, 8, 32) and with the row above (7, 8, 32, 8, 32)."""
        size = self.features.shape[1]
        products = self._sum_products(weight, y, x, pool)
        diagonal = weight.new_zeros(NODES, NODES, size, NODES, size)
        below = weight.new_zeros(_CELLS, NODES, size, NODES, size)
        for i, j in itertools.product(range(2), repeat=2):  # a pair of nodes: the one before a cell, the one behind it
            for rows, pair in ((diagonal[:-1], 0), (below, 1), (diagonal[1:], 2)):
                first = min(i, j)
                of_pairs = rows.diagonal(j - i, 1, 3)[..., first : first + _CELLS]  # a view, (7, 32, 32, 7)
                of_pairs += products[:, :, :, pair, i + j].permute(0, 2, 3, 1)
        return diagonal, below

    def _sum_products(self, weight: Tensor, y: Tensor, x: Tensor, pool: Executor) -> Tensor:
        """Return weighted products of each pixel's features, summed over each cell between four nodes: (7, 7, 32, 3, 3,
        32).

        A pixel counts for a pair of nodes with the product of its proximities to the two. In each direction there are 3
        pairs: the node before with itself, the two with each other, the node behind with itself.
        """
        pairs = []
        for at, cell in zip((y, x), _find_cells(y, x), strict=True):
            behind = (at - cell).clamp(0, 1)
            pairs.append(torch.stack(((1 - behind) ** 2, (1 - behind) * behind, behind**2), 1))
        share = (pairs[0][:, :, None] * pairs[1][:, None]).flatten(1) * weight[:, None]  # (n, 9)
        size = self.features.shape[1]
        sums = weight.new_empty(_CELLS, _CELLS, size, 3, 3, size)
        cells = list(zip(sums.view(_CELLS**2, size, -1), *self._split_by_cell(self.features, share), strict=True))

        def add(half: slice) -> None:
            for out, numbers, of_pairs in cells[half]:
                torch.mm(numbers.T, (of_pairs[:, :, None] * numbers[:, None]).flatten(1), out=out)

        list(pool.map(add, _HALVES))
        return sums


def solve_smooth(features: Tensor, change: Tensor, weight: Tensor, y: Tensor, x: Tensor, pool: Executor) -> Tensor:
    """Solve as `CurveEquations`, but only for curves that vary like a parabola, for one change (n, 3): (8, 8, 32,
    3).
    """
    shapes = _make_parabolas(y, x)
    here = _interpolate_shapes(shapes, y, x)

    def add(half: slice) -> tuple[Tensor, Tensor]:
        observed = (here[half, :, None] * features[half, None]).flatten(1)  # (n / 2, 6 * 32)
        weighted = (observed * weight[half, None]).T
        return weighted @ observed, weighted @ change[half]

    (left, right), (more_left, more_right) = pool.map(add, _HALVES)
    found = torch.cholesky_solve(right + more_right, _factor_in_shapes(left + more_left))
    return torch.einsum("rci,ifk->rcfk", shapes, found.view(shapes.shape[2], -1, 3))


def evaluate_curves(curves: Tensor, features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return the change (n, 3) that curves (8, 8, 32, 3) make to pixels.   features, y, x: as in `CurveEquations`."""
    at_nodes = torch.einsum("nf,rcfk->nrck", features, curves)  # all nodes, which is faster than selecting first
    pixel = torch.arange(len(features))
    change = torch.zeros_like(at_nodes[:, 0, 0])
    for nearness, row, column in _iterate_corners(y, x):
        change += nearness[:, None] * at_nodes[pixel, row, column]
    return change


def _find_cells(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column, (n,) int64 each, of the cell that contains each pixel."""
    row, column = (at.floor().clamp(0, _CELLS - 1).long() for at in (y, x))
    return row, column


def _iterate_corners(y: Tensor, x: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield, for the four nodes around each pixel, its proximities, which add up to 1, and the node's row and column,
    (n,).
    """
    top, left = _find_cells(y, x)
    down, across = (y - top).clamp(0, 1), (x - left).clamp(0, 1)
    for i, j in itertools.product(range(2), repeat=2):
        yield (down if i else 1 - down) * (across if j else 1 - across), top + i, left + j


def _make_parabolas(y: Tensor, x: Tensor) -> Tensor:
    """Return the six terms of a quadratic polynomial of the position at all nodes, (8, 8, 6)."""
    # Constant beyond the nodes around the observed pixels, or a parabola would grow without bound.
    nodes = torch.arange(NODES, dtype=torch.float64)
    inner = [nodes.clamp(at.min().floor().clamp(0, NODES - 1), at.max().ceil().clamp(0, NODES - 1)) for at in (y, x)]
    y, x = torch.meshgrid(*(2 * place / (NODES - 1) - 1 for place in inner), indexing="ij")
    return torch.stack((torch.ones_like(y), y, x, y * y, x * y, x * x), -1)


def _interpolate_shapes(shapes: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Interpolate shapes (8, 8, 6) at pixels between the nodes, (n, 6)."""
    return torch.stack([near[:, None] * shapes[row, column] for near, row, column in _iterate_corners(y, x)]).sum(0)


def _project_on_shapes(blocks: Tensor, shapes: Tensor, others: Tensor) -> Tensor:
    """Project blocks of the equations (r, 8, 32, 8, 32) on shapes of their rows (r, 8, 6) and columns (r, 8, 6).

    Returns (6 * 32, 6 * 32), summed over r.
    """
    rows, nodes, size = blocks.shape[:3]
    half = torch.bmm(shapes.transpose(1, 2), blocks.reshape(rows, nodes, -1)).view(rows, -1, nodes, size)
    whole = torch.einsum("rpby,rbj->pjy", half, others)
    return whole.reshape(len(whole), -1)


def _factor_in_shapes(observed: Tensor) -> Tensor:
    """Return the Cholesky factor of the equations for shapes, (6 * 32, 6 * 32), including their priors."""
    size = 4 * KNOTS
    count = len(observed) // size
    unit = torch.eye(size, dtype=observed.dtype)
    price = torch.full((count,), _SAME_EVERYWHERE, dtype=unit.dtype)
    price[0] = 0
    priors = torch.kron(torch.eye(count, dtype=unit.dtype), NODES**2 * _make_node_prior()) + torch.kron(
        price.diag(), unit
    )
    factor: Tensor = torch.linalg.cholesky(observed + priors)
    return factor


def _make_node_prior() -> Tensor:
    """Return one node's prior (32, 32): straight curves, everything near zero."""
    unit = torch.eye(4 * KNOTS, dtype=torch.float64)
    bend = torch.eye(KNOTS, dtype=unit.dtype).diff(n=2, dim=0)  # second differences, (6, 8)
    bends = torch.kron(torch.eye(4, dtype=unit.dtype), bend.T @ bend)  # of all four curves
    return (_STRAIGHT_CURVE * (KNOTS - 1) ** 3 * bends + _NO_CHANGE / KNOTS * unit) / NODES**2


def _add_priors(diagonal: Tensor, below: Tensor) -> None:
    """Add the priors: nodes similar to their neighbors, curves straight, everything near zero."""
    unit, own = torch.eye(4 * KNOTS, dtype=diagonal.dtype), _make_node_prior()
    inner = (torch.arange(NODES) % (NODES - 1) > 0).double() + 1  # neighbors in a row or a column of nodes
    neighbors = inner[:, None] + inner  # (8, 8)
    itself = diagonal.diagonal(0, 1, 3)  # (8, 32, 32, 8), views all
    itself += own[:, :, None] + _SAME_AS_NEIGHBOR * unit[:, :, None] * neighbors[:, None, None]
    for beside in (diagonal.diagonal(1, 1, 3), diagonal.diagonal(-1, 1, 3), below.diagonal(0, 1, 3)):
        beside -= _SAME_AS_NEIGHBOR * unit[:, :, None]


class BlockCholesky:
    """A block-tridiagonal matrix, factored from both ends to the middle, in parallel if there are two threads.

    diagonal: (r, n, n), r at least 3.   below: (r - 1, n, n), coupling each row of blocks to the next.   pool: for
    the two ends, here and in `solve`; must not be the caller's own.
    Raises torch.linalg.LinAlgError for a matrix that is not positive definite.
    """

    def __init__(self, diagonal: Tensor, below: Tensor, pool: Executor) -> None:
        self.middle = middle = len(diagonal) // 2
        downwards = (diagonal[:middle], below[:middle])
        upwards = (diagonal[middle + 1 :].flip(0), below[middle:].mT.flip(0))
        self.upper, self.lower = pool.map(_Elimination, *zip(downwards, upwards, strict=True))
        self.factor = torch.linalg.cholesky(diagonal[middle] - self.upper.correction - self.lower.correction)

    def solve(self, wanted: Tensor, pool: Executor) -> Tensor:
        """Return the unknowns (r, n, k) for right-hand sides (r, n, k)."""
        ends = (self.upper, self.lower)
        parts = (wanted[: self.middle], wanted[self.middle + 1 :].flip(0))
        (above, behind_above), (beneath, behind_beneath) = pool.map(_Elimination.eliminate, ends, parts)
        between = torch.cholesky_solve(wanted[self.middle] - behind_above - behind_beneath, self.factor)
        first, last = pool.map(_Elimination.substitute_back, ends, (above, beneath), (between, between))
        return torch.cat((first, between[None], last.flip(0)))


class _Elimination:
    """Rows of blocks eliminated one after the other; each is coupled to the next.

    diagonal: (k, n, n).   onward: (k, n, n), coupling each row to the next.
    """

    def __init__(self, diagonal: Tensor, onward: Tensor) -> None:
        self.rows: list[tuple[Tensor, Tensor]] = []  # a factor, and the link to the next row
        self.correction = torch.zeros_like(diagonal[0])
        """Amount to subtract from the next row's own block."""
        for own, coupling in zip(diagonal, onward, strict=True):
            factor = torch.linalg.cholesky(own - self.correction)
            link = torch.linalg.solve_triangular(factor, coupling.T, upper=False)
            self.rows.append((factor, link))
            self.correction = link.T @ link

    def eliminate(self, wanted: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the input of `substitute_back`, and the amount to subtract from the next row's right-hand side.

        wanted: right-hand sides (k, n, c).
        """
        halves, taken = [], torch.zeros_like(wanted[0])
        for (factor, link), row in zip(self.rows, wanted, strict=True):
            halves.append(torch.linalg.solve_triangular(factor, row - taken, upper=False))
            taken = link.T @ halves[-1]
        return halves, taken

    def substitute_back(self, halves: list[Tensor], behind: Tensor) -> Tensor:
        """Return the rows' unknowns (k, n, c), given those of the row after the last."""
        found = []
        for (factor, link), half in zip(reversed(self.rows), reversed(halves), strict=True):
            behind = torch.linalg.solve_triangular(factor.T, half - link @ behind, upper=True)
            found.append(behind)
        return torch.stack(found[::-1])
