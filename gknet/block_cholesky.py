"""Symmetric positive definite equations whose rows of unknowns are coupled with their neighbours alone."""

from __future__ import annotations

from concurrent.futures import Executor

import torch
from torch import Tensor


class BlockCholesky:
    """A block-tridiagonal matrix, factored from both ends to the middle, at the same time if there are two threads.

    diagonal: (r, n, n), r at least 3.   below: (r - 1, n, n), of each next row of blocks with this one.   pool: for
    the two ends, here and in `solve`, not the caller's own.
    Raises torch.linalg.LinAlgError for a matrix that is not positive definite.
    """

    def __init__(self, diagonal: Tensor, below: Tensor, pool: Executor) -> None:
        self.middle = middle = len(diagonal) // 2
        downwards = (diagonal[:middle], below[:middle])
        upwards = (diagonal[middle + 1 :].flip(0), below[middle:].mT.flip(0))
        self.upper, self.lower = pool.map(_Elimination, *zip(downwards, upwards, strict=True))
        self.factor = torch.linalg.cholesky(diagonal[middle] - self.upper.taken - self.lower.taken)

    def solve(self, wanted: Tensor, pool: Executor) -> Tensor:
        """The unknowns for right sides (r, n, k); likewise."""
        ends = (self.upper, self.lower)
        parts = (wanted[: self.middle], wanted[self.middle + 1 :].flip(0))
        (above, behind_above), (beneath, behind_beneath) = pool.map(_Elimination.forth, ends, parts)
        between = torch.cholesky_solve(wanted[self.middle] - behind_above - behind_beneath, self.factor)
        first, last = pool.map(_Elimination.back, ends, (above, beneath), (between, between))
        return torch.cat((first, between[None], last.flip(0)))


class _Elimination:
    """Rows of blocks taken out of the equations one after the other; each is coupled with the next.

    diagonal: (k, n, n).   onward: (k, n, n), of each next row with this one.
    """

    def __init__(self, diagonal: Tensor, onward: Tensor) -> None:
        self.rows: list[tuple[Tensor, Tensor]] = []  # a factor, and the link to the next row
        self.taken = torch.zeros_like(diagonal[0])
        """What has to be taken from the next row's own block."""
        for own, coupling in zip(diagonal, onward, strict=True):
            factor = torch.linalg.cholesky(own - self.taken)
            link = torch.linalg.solve_triangular(factor, coupling.T, upper=False)
            self.rows.append((factor, link))
            self.taken = link.T @ link

    def forth(self, wanted: Tensor) -> tuple[list[Tensor], Tensor]:
        """Of right sides (k, n, c): what `back` wants, and what has to be taken from the next row's right side."""
        halves, taken = [], torch.zeros_like(wanted[0])
        for (factor, link), row in zip(self.rows, wanted, strict=True):
            halves.append(torch.linalg.solve_triangular(factor, row - taken, upper=False))
            taken = link.T @ halves[-1]
        return halves, taken

    def back(self, halves: list[Tensor], behind: Tensor) -> Tensor:
        """The rows' unknowns (k, n, c), given those of the row behind the last."""
        found = []
        for (factor, link), half in zip(reversed(self.rows), reversed(halves), strict=True):
            behind = torch.linalg.solve_triangular(factor.T, half - link @ behind, upper=True)
            found.append(behind)
        return torch.stack(found[::-1])
