"""Trims: brightness, warmth and saturation that a user adds to a harmonized object.

All three are linear in encoded sRGB, so a color map carries them exactly (`ColorTransfer.followed_by`): every pixel of
every depth gets them from its own values, and they need no new run of the network.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from reprlib import repr as shorten

import numpy as np
import numpy.typing as npt

from gknet.color.luma import LUMA
from gknet.errors import InputError

_BRIGHTER = 1.5
"""Factor of all values at brightness 100; its inverse at -100."""
_WARMER = 1.2
"""Factor of red at warmth 100, and the inverse factor of blue, before the luma of gray is restored."""
_FULL = 100


@dataclass(frozen=True, slots=True)
class Trims:
    """What a user adds to the harmonized colors, each from -100 to 100; 0 changes nothing.

    brightness: multiplies all values, by up to 1.5, or divides them.   warmth: more red and less blue, or the reverse;
    gray keeps its luma.   saturation: the distance of a color from the gray of the same luma: 0 at -100, twice as far
    at 100.
    Raises TypeError for what is not a number, InputError for a number out of range.
    """

    brightness: float = 0.0
    warmth: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
                raise TypeError(f"{field.name} must be a number, not {type(value).__qualname__}.")
            if not -_FULL <= value <= _FULL:
                raise InputError(f"Invalid {field.name} {shorten(value)}.", f"It must be between -{_FULL} and {_FULL}.")

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """(3, 3), which turns harmonized colors, encoded sRGB, into trimmed ones."""
        luma = np.array(LUMA)
        warmer = _WARMER ** (self.warmth / _FULL)
        gains = np.array([warmer, 1.0, 1 / warmer])
        gains *= _BRIGHTER ** (self.brightness / _FULL) / float(luma @ gains)
        gray = np.tile(luma, (3, 1))
        saturated = gray + (1 + self.saturation / _FULL) * (np.eye(3) - gray)
        matrix: npt.NDArray[np.float64] = saturated * gains
        return matrix


NO_TRIMS = Trims()
"""Leaves the harmonized colors as they are."""
