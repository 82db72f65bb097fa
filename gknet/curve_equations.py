"""The equations behind a colour transfer: curves at 8 x 8 nodes that best explain a change of colour (least squares).

What is observed at one pixel concerns the four nodes around it alone, so the matrix is sparse, and is built and solved
by rows of nodes. Sums are float64. What can be divided is divided in two, whether or not there are two threads for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import Executor

import torch
from torch import Tensor

from gknet.slicing import KNOTS, NODES

# Strengths of the priors, which pull towards "no change". A factor of 3 on any moves the result by < 0.3 dB.
_SAME_AS_NEIGHBOUR = 2e-3
_SAME_EVERYWHERE = 1e-4
_STRAIGHT_CURVE = 1e-6
_NO_CHANGE = 1e-7


def solve(features: Tensor, change: Tensor, weight: Tensor, y: Tensor, x: Tensor, pool: Executor) -> Tensor:
    """Regularised least squares for all nodes at once, (64, 32, 3).

    features: (n, 32).   change: (n, 3).   weight: (n,), sum 1.   y, x: (n,) in cells of the grid.   pool: where the
    two halves are worked on, not the caller's own.
    First curves that vary across the grid like a parabola, as light from a side or a lamp does, with next to no price
    on that; then what is left over, at every node by itself, at a price for every difference of neighbours.
    Neighbouring rows of nodes are all that is coupled, so the matrix is block-tridiagonal: 8 blocks of 256.
    """
    diagonal, below, right_side = _normal_equations(features, change, weight, y, x, pool)
    shapes = _parabolas(y, x)
    itself, across = pool.map(_in_shapes, (diagonal, below), (shapes, shapes[1:]), (shapes, shapes[:-1]))
    left = itself + across + across.T
    smooth = _solve_in_shapes(left, torch.einsum("rai,raxk->ixk", shapes, right_side), shapes)
    right_side = right_side - _times(diagonal, below, smooth)
    _add_priors(diagonal, below)
    diagonal, below = (t.flatten(3).flatten(1, 2) for t in (diagonal, below))  # (8 or 7, 256, 256)
    return (smooth + _solve_block_tridiagonal(diagonal, below, right_side, pool)).flatten(0, 1)


def solve_smooth(features: Tensor, change: Tensor, weight: Tensor, y: Tensor, x: Tensor, pool: Executor) -> Tensor:
    """As `solve`, but of curves that vary like a parabola alone: (8, 8, 32, 3)."""
    shapes = _parabolas(y, x)
    here = features.new_zeros(len(features), shapes.shape[2])
    for nearness, row, column in _corners(y, x):
        here += nearness[:, None] * shapes[row, column]

    def add(half: slice) -> tuple[Tensor, Tensor]:
        known = (here[half, :, None] * features[half, None]).flatten(1)  # (n / 2, 6 * 32)
        weighted = (known * weight[half, None]).T
        return weighted @ known, weighted @ change[half]

    (left, right), (more_left, more_right) = pool.map(add, (slice(0, None, 2), slice(1, None, 2)))
    return _solve_in_shapes(left + more_left, (right + more_right).view(shapes.shape[2], -1, 3), shapes)


def looked_up(curves: Tensor, features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """What the curves (8, 8, 32, 3) change of pixels, (n, 3).   features, y, x: as in `solve`."""
    at_nodes = torch.einsum("nf,rcfk->nrck", features, curves)  # every node's, which is quicker than to choose first
    pixel = torch.arange(len(features))
    change = torch.zeros_like(at_nodes[:, 0, 0])
    for nearness, row, column in _corners(y, x):
        change += nearness[:, None] * at_nodes[pixel, row, column]
    return change


def _corners(y: Tensor, x: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The four nodes around each pixel: how near it is, which adds up to 1, and the node's row and column, (n,)."""
    top, left = _cells(y, x)
    down, across = (y - top).clamp(0, 1), (x - left).clamp(0, 1)
    for i, j in itertools.product(range(2), repeat=2):
        yield (down if i else 1 - down) * (across if j else 1 - across), top + i, left + j


def _normal_equations(
    features: Tensor, change: Tensor, weight: Tensor, y: Tensor, x: Tensor, pool: Executor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the observations say: of each row of nodes with itself (8, 8, 32, 8, 32), with the row above it
    (7, 8, 32, 8, 32), and of the change (8, 8, 32, 3)."""
    cells, size = NODES - 1, features.shape[1]
    products = _products_by_cell(features, torch.cat((features, change), 1), weight, y, x, pool)
    diagonal = features.new_zeros(NODES, NODES, size, NODES, size)
    below = features.new_zeros(cells, NODES, size, NODES, size)
    right_side = features.new_zeros(NODES, NODES, size, 3)
    for i, j in itertools.product(range(2), repeat=2):  # of a pair of nodes: the one before a cell, the one behind it
        # One node's share of a pixel is what it has in pairs with itself and with the other one.
        wanted = products[:, :, i : i + 2, j : j + 2, :, size:].sum((2, 3))
        right_side[i : i + cells, j : j + cells] += wanted
        for rows, pair in ((diagonal[:-1], 0), (below, 1), (diagonal[1:], 2)):
            of_pairs = rows.diagonal(j - i, 1, 3)[..., min(i, j) : min(i, j) + cells]  # a view, (7 or 8, 32, 32, 7)
            of_pairs += products[:, :, pair, i + j, :, :size].permute(0, 3, 2, 1)  # symmetric in the two numbers
    return diagonal, below, right_side


def _products_by_cell(known: Tensor, others: Tensor, weight: Tensor, y: Tensor, x: Tensor, pool: Executor) -> Tensor:
    """Weighted products of each pixel's numbers, summed over every cell between four nodes: (7, 7, 3, 3, a, b).

    known: (n, a).   others: (n, b).   weight, y, x: as in `solve`. A pixel counts for pairs of nodes, with the product
    of its nearness to the two. Down and across alike, 3 pairs are there: the node before with itself, the two with
    each other, the one behind with itself.
    """
    row, column = _cells(y, x)
    pairs = []
    for at, cell in ((y, row), (x, column)):
        behind = (at - cell).clamp(0, 1)
        pairs.append(torch.stack(((1 - behind) ** 2, (1 - behind) * behind, behind**2), 1))
    share = (pairs[0][:, :, None] * pairs[1][:, None]).flatten(1) * weight[:, None]  # (n, 9)
    cell = row * (NODES - 1) + column
    order, counts = cell.argsort(stable=True), cell.bincount(minlength=(NODES - 1) ** 2).tolist()
    sums = known.new_empty(NODES - 1, NODES - 1, others.shape[1], 3, 3, known.shape[1])
    parts = [torch.split(t[order], counts) for t in (known, others, share)]
    cells = list(zip(sums.flatten(0, 1).flatten(2), *parts, strict=True))

    def add(half: slice) -> None:
        for out, one, other, of_pairs in cells[half]:
            torch.mm(other.T, (of_pairs[:, :, None] * one[:, None]).flatten(1), out=out)

    list(pool.map(add, (slice(0, None, 2), slice(1, None, 2))))
    return sums.permute(0, 1, 3, 4, 5, 2)


def _cells(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column, (n,) int64 each, of the cell that each pixel lies in."""
    row, column = (at.floor().clamp(0, NODES - 2).long() for at in (y, x))
    return row, column


def _times(diagonal: Tensor, below: Tensor, curves: Tensor) -> Tensor:
    """The normal equations' left side for curves (8, 8, 32, any)."""
    product = torch.einsum("raxby,rbyk->raxk", diagonal, curves)
    product[1:] += torch.einsum("raxby,rbyk->raxk", below, curves[:-1])
    product[:-1] += torch.einsum("rbyax,rbyk->raxk", below, curves[1:])
    return product


def _parabolas(y: Tensor, x: Tensor) -> Tensor:
    """The six terms of a quadratic polynomial of the place at all nodes, (8, 8, 6)."""
    # Beyond the nodes around what is known a parabola would rise for ever.
    nodes = torch.arange(NODES, dtype=torch.float64)
    known = [nodes.clamp(at.min().floor().clamp(0, NODES - 1), at.max().ceil().clamp(0, NODES - 1)) for at in (y, x)]
    y, x = torch.meshgrid(*(2 * place / (NODES - 1) - 1 for place in known), indexing="ij")
    return torch.stack((torch.ones_like(y), y, x, y * y, x * y, x * x), -1)


def _solve_in_shapes(left: Tensor, right: Tensor, shapes: Tensor) -> Tensor:
    """Equations (6 * 32, 6 * 32) and (6, 32, 3) for shapes of curves (8, 8, 6): the curves at all nodes (8, 8, 32, 3)."""
    count, size = right.shape[:2]
    unit = torch.eye(size, dtype=left.dtype)
    price = torch.full((count,), _SAME_EVERYWHERE, dtype=unit.dtype)
    price[0] = 0
    priors = torch.kron(torch.eye(count, dtype=unit.dtype), NODES**2 * _own_prior()) + torch.kron(price.diag(), unit)
    found = torch.cholesky_solve(right.flatten(0, 1), torch.linalg.cholesky(left + priors)).view(right.shape)
    return torch.einsum("rai,ixk->raxk", shapes, found)


def _in_shapes(blocks: Tensor, shapes: Tensor, others: Tensor) -> Tensor:
    """Blocks of the equations, (r, 8, 32, 8, 32), for shapes of curves: of their rows (r, 8, 6) and columns (r, 8, 6).

    Returns (6 * 32, 6 * 32), summed over r.
    """
    rows, nodes, size = blocks.shape[:3]
    half = torch.bmm(shapes.transpose(1, 2), blocks.reshape(rows, nodes, -1)).view(rows, -1, nodes, size)
    whole = torch.einsum("rpby,rbj->pjy", half, others)
    return whole.reshape(len(whole), -1)


def _own_prior() -> Tensor:
    """Curves straight, everything near zero: (32, 32), of one node."""
    unit = torch.eye(4 * KNOTS, dtype=torch.float64)
    bend = torch.eye(KNOTS, dtype=unit.dtype).diff(n=2, dim=0)  # second differences, (6, 8)
    bends = torch.kron(torch.eye(4, dtype=unit.dtype), bend.T @ bend)  # of all four curves
    return (_STRAIGHT_CURVE * (KNOTS - 1) ** 3 * bends + _NO_CHANGE / KNOTS * unit) / NODES**2


def _add_priors(diagonal: Tensor, below: Tensor) -> None:
    """Nodes like their neighbours, curves straight, everything near zero."""
    unit, own = torch.eye(4 * KNOTS, dtype=diagonal.dtype), _own_prior()
    inner = (torch.arange(NODES) % (NODES - 1) > 0).double() + 1  # neighbours in a row or a column of nodes
    neighbours = inner[:, None] + inner  # (8, 8)
    itself = diagonal.diagonal(0, 1, 3)  # (8, 32, 32, 8), views all
    itself += own[:, :, None] + _SAME_AS_NEIGHBOUR * unit[:, :, None] * neighbours[:, None, None]
    for beside in (diagonal.diagonal(1, 1, 3), diagonal.diagonal(-1, 1, 3), below.diagonal(0, 1, 3)):
        beside -= _SAME_AS_NEIGHBOUR * unit[:, :, None]


def _solve_block_tridiagonal(diagonal: Tensor, below: Tensor, right_side: Tensor, pool: Executor) -> Tensor:
    """Block Cholesky from both ends to the middle and back. diagonal: (8, 256, 256).   below: (7, 256, 256).

    right_side: (8, 8, 32, 3), as the result.
    """
    middle, wanted = NODES // 2, right_side.flatten(1, 2)
    upper = _Elimination(diagonal[:middle], below[:middle], wanted[:middle])
    lower = _Elimination(
        *(blocks.flip(0) for blocks in (diagonal[middle + 1 :], below[middle:].mT, wanted[middle + 1 :]))
    )
    (matrix_above, vector_above), (matrix_below, vector_below) = pool.map(_Elimination.forth, (upper, lower))
    factor = torch.linalg.cholesky(diagonal[middle] - matrix_above - matrix_below)
    between = torch.cholesky_solve(wanted[middle] - vector_above - vector_below, factor)
    above, beneath = pool.map(_Elimination.back, (upper, lower), (between, between))
    return torch.cat((above, between[None], beneath.flip(0))).view(right_side.shape)


class _Elimination:
    """Rows of nodes taken out of the equations one after the other, each of which is coupled with the next.

    diagonal: (k, n, n).   onward: (k, n, n), of each next row with this one.   wanted: (k, n, 3).
    """

    def __init__(self, diagonal: Tensor, onward: Tensor, wanted: Tensor) -> None:
        self.rows = list(zip(diagonal, onward, wanted, strict=True))
        self.done: list[tuple[Tensor, Tensor, Tensor]] = []

    def forth(self) -> tuple[Tensor, Tensor]:
        """What has to be taken from the matrix (n, n) and the right side (n, 3) of the row behind the last."""
        matrix, vector = (torch.zeros_like(t) for t in self.rows[0][1:])
        for diagonal, onward, wanted in self.rows:
            factor = torch.linalg.cholesky(diagonal - matrix)
            link = torch.linalg.solve_triangular(factor, onward.T, upper=False)
            half = torch.linalg.solve_triangular(factor, wanted - vector, upper=False)
            self.done.append((factor, link, half))
            matrix, vector = link.T @ link, link.T @ half
        return matrix, vector

    def back(self, behind: Tensor) -> Tensor:
        """The rows' solutions (k, n, 3), given that of the row behind the last (n, 3)."""
        found = []
        for factor, link, half in reversed(self.done):
            behind = torch.linalg.solve_triangular(factor.T, half - link @ behind, upper=True)
            found.append(behind)
        return torch.stack(found[::-1])
