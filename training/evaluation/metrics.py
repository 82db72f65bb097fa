"""The paper's metrics, on the 8-bit result (section 4.2)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.data.sample import Sample

TOLERANCE = 0.3
"""Loss of PSNR in dB up to which a picture doesn't count as worse."""


class Scores(NamedTuple):
    """Metrics of one picture: errors in squared 8-bit levels; PSNR in dB, capped at 100 for equal pictures."""

    mse: float
    psnr: float
    fmse: float


class Record(NamedTuple):
    """The scores of one composite before and after harmonization.

    key, kind: the sample's.
    share: share of the picture that is foreground, in [0, 1].
    before: scores of the untouched composite.
    after: scores of the harmonized one.
    """

    key: str
    kind: str
    share: float
    before: Scores
    after: Scores

    @property
    def is_not_worse(self) -> bool:
        """Whether PSNR fell by less than TOLERANCE."""
        return self.after.psnr - self.before.psnr > -TOLERANCE


def score_picture(harmonized: np.ndarray, real: np.ndarray, mask: np.ndarray) -> Scores:
    """Return MSE and PSNR over the picture and fMSE over the pixels whose mask is at least one half.

    harmonized, real: (H, W, 3) uint8.
    mask: (H, W) bool, or float in [0, 1].
    Raises ValueError for other types, different shapes and an empty foreground.
    """
    if harmonized.dtype != np.uint8 or real.dtype != np.uint8:
        raise ValueError(f"expected 8-bit pictures, got {harmonized.dtype} and {real.dtype}")
    if harmonized.shape != real.shape or mask.shape != real.shape[:2]:
        raise ValueError(f"shapes differ: {harmonized.shape}, {real.shape}, {mask.shape}")
    inside = mask >= 0.5
    if not inside.any():
        raise ValueError("the mask is empty: no value is at least 0.5")
    squared = np.square(harmonized.astype(np.float64) - real.astype(np.float64))
    mse = float(squared.mean())
    psnr = 100.0 if mse == 0 else min(100.0, float(10 * np.log10(255**2 / mse)))
    return Scores(mse, psnr, float(squared[inside].mean()))


def make_record(sample: Sample, harmonized: np.ndarray) -> Record:
    """Return the record of a sample and its harmonized picture (H, W, 3) uint8."""
    before, after = (score_picture(picture, sample.real, sample.mask) for picture in (sample.composite, harmonized))
    return Record(sample.key, sample.kind, float(sample.mask.mean()), before, after)
