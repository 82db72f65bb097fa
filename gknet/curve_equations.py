"""The equations behind a colour transfer: curves at 8 x 8 nodes that best explain a change of colour (least squares).

What is observed at one pixel concerns the four nodes around it alone, so the matrix is sparse, and is built and solved
by rows of nodes. Sums are float64, on the calling thread.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from gknet.slicing import KNOTS, NODES

# Strengths of the priors, which pull towards "no change". A factor of 3 on any moves the result by < 0.3 dB.
_SAME_AS_NEIGHBOUR = 2e-3
_SAME_EVERYWHERE = 1e-4
_STRAIGHT_CURVE = 1e-6
_NO_CHANGE = 1e-7


def solve(features: Tensor, change: Tensor, weight: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Regularised least squares for all nodes at once, (64, 32, 3).

    features: (n, 32).   change: (n, 3).   weight: (n,), sum 1.   y, x: (n,) in cells of the grid.
    First curves that vary across the grid like a parabola, as light from a side or a lamp does, with next to no price
    on that; then what is left over, at every node by itself, at a price for every difference of neighbours.
    Neighbouring rows of nodes are all that is coupled, so the matrix is block-tridiagonal: 8 blocks of 256.
    """
    equations = _normal_equations(features, change, weight, y, x)
    smooth = _solve_parabolas(*equations, y, x)
    diagonal, below, right_side = equations
    right_side = right_side - _times(diagonal, below, smooth)
    _add_priors(diagonal, below)
    diagonal, below = (t.flatten(3).flatten(1, 2) for t in (diagonal, below))  # (8 or 7, 256, 256)
    return (smooth + _solve_block_tridiagonal(diagonal, below, right_side)).flatten(0, 1)


def solve_smooth(features: Tensor, change: Tensor, weight: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """As `solve`, but of curves that vary like a parabola alone: (8, 8, 32, 3)."""
    return _solve_parabolas(*_normal_equations(features, change, weight, y, x), y, x)


def _normal_equations(
    features: Tensor, change: Tensor, weight: Tensor, y: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the observations say: of each row of nodes with itself (8, 8, 32, 8, 32), with the row above it
    (7, 8, 32, 8, 32), and of the change (8, 8, 32, 3)."""
    cells, size = NODES - 1, features.shape[1]
    products = _products_by_cell(features, torch.cat((features, change), 1), weight, y, x)
    diagonal = features.new_zeros(NODES, NODES, size, NODES, size)
    below = features.new_zeros(cells, NODES, size, NODES, size)
    right_side = features.new_zeros(NODES, NODES, size, 3)
    for i, j in itertools.product(range(2), repeat=2):  # of a pair of nodes: the one before a cell, the one behind it
        # One node's share of a pixel is what it has in pairs with itself and with the other one.
        wanted = products[:, :, i : i + 2, j : j + 2, :, size:].sum((2, 3))
        right_side[i : i + cells, j : j + cells] += wanted
        left, right = torch.arange(cells) + i, torch.arange(cells) + j
        for rows, pair in ((diagonal[:-1], 0), (below, 1), (diagonal[1:], 2)):
            rows[:, left, :, right] += products[:, :, pair, i + j, :, :size].transpose(0, 1)
    return diagonal, below, right_side


def _products_by_cell(known: Tensor, others: Tensor, weight: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Weighted products of each pixel's numbers, summed over every cell between four nodes: (7, 7, 3, 3, a, b).

    known: (n, a).   others: (n, b).   weight, y, x: as in `solve`. A pixel counts for pairs of nodes, with the product
    of its nearness to the two. Down and across alike, 3 pairs are there: the node before with itself, the two with
    each other, the one behind with itself.
    """
    row, column = (t.floor().clamp(0, NODES - 2).long() for t in (y, x))
    pairs = []
    for at, cell in ((y, row), (x, column)):
        behind = (at - cell).clamp(0, 1)
        pairs.append(torch.stack(((1 - behind) ** 2, (1 - behind) * behind, behind**2), 1))
    share = (pairs[0][:, :, None] * pairs[1][:, None]).flatten(1) * weight[:, None]  # (n, 9)
    cell = row * (NODES - 1) + column
    order, counts = cell.argsort(stable=True), cell.bincount(minlength=(NODES - 1) ** 2).tolist()
    sums = known.new_empty(NODES - 1, NODES - 1, others.shape[1], 3, 3, known.shape[1])
    parts = zip(*(torch.split(t[order], counts) for t in (known, others, share)), strict=True)
    for out, (one, other, of_pairs) in zip(sums.flatten(0, 1).flatten(2), parts, strict=True):
        torch.mm(other.T, (of_pairs[:, :, None] * one[:, None]).flatten(1), out=out)
    return sums.permute(0, 1, 3, 4, 5, 2)


def _times(diagonal: Tensor, below: Tensor, curves: Tensor) -> Tensor:
    """The normal equations' left side for curves (8, 8, 32, any)."""
    product = torch.einsum("raxby,rbyk->raxk", diagonal, curves)
    product[1:] += torch.einsum("raxby,rbyk->raxk", below, curves[:-1])
    product[:-1] += torch.einsum("rbyax,rbyk->raxk", below, curves[1:])
    return product


def _solve_parabolas(diagonal: Tensor, below: Tensor, right_side: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The same equations for curves that are a quadratic polynomial of the place, at all nodes (8, 8, 32, 3)."""
    size = right_side.shape[2]
    # Beyond the nodes around what is known a parabola would rise for ever.
    nodes = torch.arange(NODES, dtype=diagonal.dtype)
    known = [nodes.clamp(at.min().floor().clamp(0, NODES - 1), at.max().ceil().clamp(0, NODES - 1)) for at in (y, x)]
    y, x = torch.meshgrid(*(2 * place / (NODES - 1) - 1 for place in known), indexing="ij")
    shapes = torch.stack((torch.ones_like(y), y, x, y * y, x * y, x * x), -1)  # (8, 8, 6)
    count = shapes.shape[-1]
    unit = torch.eye(size, dtype=diagonal.dtype)
    across = _in_shapes(below, shapes[1:], shapes[:-1])
    left = _in_shapes(diagonal, shapes, shapes) + across + across.T
    price = torch.full((count,), _SAME_EVERYWHERE, dtype=unit.dtype)
    price[0] = 0
    left += torch.kron(torch.eye(count, dtype=unit.dtype), NODES**2 * _own_prior()) + torch.kron(price.diag(), unit)
    right = torch.einsum("rai,raxk->ixk", shapes, right_side).flatten(0, 1)
    found = torch.cholesky_solve(right, torch.linalg.cholesky(left)).view(count, size, 3)
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
    for r, c in itertools.product(range(NODES), repeat=2):
        neighbours = (r > 0) + (r < NODES - 1) + (c > 0) + (c < NODES - 1)
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
