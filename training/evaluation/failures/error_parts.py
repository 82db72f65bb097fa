"""Split a colour error into the parts that increasingly rich colour maps could remove.

The foreground's error is explained in steps. Each is a least-squares fit that includes the previous one: a constant
shift of all colours; an affine map of RGB (3 x 4); a cubic curve per channel; the affine map varying quadratically
across the object. A step's part is the error that it removes beyond the previous step. The parts add up to the whole
squared error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Parts(NamedTuple):
    """Parts of a mean squared error, in squared levels; their sum is the error itself.

    mean: removed by a shift of all colours.
    affine: removed by a 3 x 4 matrix beyond that: contrast, saturation, channel mixing.
    curve: removed by a cubic per channel.
    place: removed by a matrix that varies across the object.
    rest: the remainder: detail, noise, clipping, more complex curves.
    """

    mean: float
    affine: float
    curve: float
    place: float
    rest: float


STEPS = (1, 4, 10, 30)
"""Number of features up to the end of each step: 1; r, g, b; their squares and cubes; 1, r, g, b times x, y, x², xy,
y².
"""


def split_error(colours: np.ndarray, wanted: np.ndarray, mask: np.ndarray) -> Parts:
    """Split the error between colours and the wanted ones inside the mask.

    colours, wanted: (H, W, 3) uint8.
    mask: (H, W) bool, not empty.

    If the pixels are too few or too similar to distinguish the maps, the earlier step gets the shared part.
    """
    error = wanted[mask].astype(np.float64) - colours[mask]  # (n, 3)
    # Columns of Q are orthonormal and span the features before them, so no step needs another fit.
    basis, _ = np.linalg.qr(_features(colours[mask] / 255, *_places(mask)))  # (n, min(n, 30))
    taken = np.square(basis.T @ error).sum(axis=1) / error.size
    mean, affine, curve, place = (float(part.sum()) for part in np.split(taken, STEPS[:-1]))
    whole = float(np.square(error).mean())
    return Parts(mean, affine, curve, place, max(0.0, whole - mean - affine - curve - place))


def _places(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the mask's pixels relative to their mean, in standard deviations: (n,), (n,)."""
    y, x = (axis - axis.mean() for axis in np.nonzero(mask))
    return x / max(float(x.std()), 1), y / max(float(y.std()), 1)


def _features(rgb: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the features (n, 30) of colours (n, 3) in [0, 1] and positions (n,)."""
    affine = np.column_stack([np.ones(len(rgb)), rgb])
    varying = [affine * place[:, None] for place in (x, y, x * x, x * y, y * y)]
    return np.column_stack([affine, rgb**2, rgb**3, *varying])
