"""Classical colour transfer from the background to the foreground, as a baseline.

Nothing is trained, and only the composite and its mask are used. The transfers come from
`training.data.synthesis.recoloring`, at full strength and without its bounds.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from training.data.synthesis.recoloring import Recolor, transfer_histograms, transfer_mkl, transfer_reinhard


class ClassicalMethod(NamedTuple):
    """A colour transfer. source: its publication."""

    name: str
    source: str
    transfer: Recolor

    def __call__(self, composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the composite with the background's colours transferred to the foreground.

        composite: (H, W, 3) uint8.
        mask: (H, W) bool, neither empty nor full.
        Returns (H, W, 3) uint8.
        """
        picture = torch.from_numpy(composite).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
        inside = torch.from_numpy(mask)[None, None].float()  # (1, 1, H, W)
        changed = self.transfer(picture, inside, picture, 1 - inside, torch.Generator())
        pixels = (changed[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        harmonized: np.ndarray = np.where(mask[:, :, None], pixels, composite)
        return harmonized


CLASSICAL = (
    ClassicalMethod(
        "Reinhard from the background",
        "mean and deviation of each Lab channel; Reinhard et al., Color transfer between images, IEEE CG&A 21(5), 2001",
        partial(transfer_reinhard, largest=math.inf),
    ),
    ClassicalMethod(
        "MKL from the background",
        "RGB mean and covariance by the smallest move; Pitié and Kokaram, The linear Monge-Kantorovitch linear colour "
        "mapping for example-based colour transfer, CVMP 2007",
        partial(transfer_mkl, least=1e-12),
    ),
    ClassicalMethod(
        "histograms of the background",
        "each RGB channel's histogram; after Fecker et al., Histogram-based prefiltering for luminance and chrominance "
        "compensation of multiview video, IEEE TCSVT 18(9), 2008, there in YUV",
        transfer_histograms,
    ),
)
