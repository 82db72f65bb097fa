"""What an error of colours is made of: what ever richer maps of the colours could take away.

The error of a foreground is explained in steps, each a least-squares fit that holds the one before: one shift of all
colours; an affine map of RGB (3 x 4); a curve for each channel, a cubic; the affine map changing across the object like
a parabola. What a step takes away beyond the one before is its part, so the parts add up to the whole squared error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Parts(NamedTuple):
    """Parts of a mean squared error, in levels squared; their sum is the error itself.

    mean: what a shift of all colours alike takes away.   affine: what a 3 x 4 matrix takes away beyond that: contrast,
    saturation, mixing of channels.   curve: a cubic for each channel.   place: the matrix varying across the object.
    rest: what is left: detail, noise, clipping, curves with more bends.
    """

    mean: float
    affine: float
    curve: float
    place: float
    rest: float


STEPS = (1, 4, 10, 30)
"""Features up to the end of each step: 1; r, g, b; their squares and cubes; 1, r, g, b times x, y, x², xy, y²."""


def split_error(colours: np.ndarray, wanted: np.ndarray, mask: np.ndarray) -> Parts:
    """Parts of the error of colours against those wanted, inside the mask.

    colours, wanted: (H, W, 3) uint8.   mask: (H, W) bool, not empty.
    Where pixels are too few or too alike to tell the maps apart, the earlier step has what they share.
    """
    error = wanted[mask].astype(np.float64) - colours[mask]  # (n, 3)
    # Columns of Q are orthonormal and span the features before them: no step has to be fitted again.
    basis, _ = np.linalg.qr(_features(colours[mask] / 255, *_places(mask)))  # (n, min(n, 30))
    taken = np.square(basis.T @ error).sum(axis=1) / error.size
    mean, affine, curve, place = (float(part.sum()) for part in np.split(taken, STEPS[:-1]))
    whole = float(np.square(error).mean())
    return Parts(mean, affine, curve, place, max(0.0, whole - mean - affine - curve - place))


def _places(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,), (n,): x and y of the mask's pixels from their middle, in deviations."""
    y, x = (axis - axis.mean() for axis in np.nonzero(mask))
    return x / max(float(x.std()), 1), y / max(float(y.std()), 1)


def _features(rgb: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, 30) of the colours (n, 3) in [0, 1] and their places (n,)."""
    affine = np.column_stack([np.ones(len(rgb)), rgb])
    varying = [affine * place[:, None] for place in (x, y, x * x, x * y, y * y)]
    return np.column_stack([affine, rgb**2, rgb**3, *varying])
