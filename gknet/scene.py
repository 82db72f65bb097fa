"""What the command harmonizes, read from files: a composite and its mask, or a cut-out and its background."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from gknet.composite import matching, paste, scaled
from gknet.harmonizer import Harmonizer, Progress
from gknet.picture import Picture, read, read_mask


class Scene(Protocol):
    """file: the picture whose format, profile and metadata the result keeps.   before: its pixels, untouched."""

    file: Picture

    @property
    def before(self) -> np.ndarray: ...

    def harmonized(self, harmonizer: Harmonizer, strength: float, network_size: int) -> np.ndarray:
        """The whole picture with its foreground harmonized: shape and type of `before`."""
        ...


class CompositeScene:
    """A composite and its mask. Raises PictureError or Unsupported for what cannot be read."""

    def __init__(self, composite: Path, mask: Path, on_progress: Progress) -> None:
        on_progress("read", 0, 2)
        self.file = read(composite)
        on_progress("read", 1, 2)
        self.mask = read_mask(mask)
        self.on_progress = on_progress

    @property
    def before(self) -> np.ndarray:
        """The composite."""
        return self.file.pixels

    def harmonized(self, harmonizer: Harmonizer, strength: float, network_size: int) -> np.ndarray:
        """The composite with its foreground harmonized."""
        return harmonizer(
            self.file.pixels,
            self.mask,
            strength=strength,
            network_size=network_size,
            space=self.file.space,
            profile=self.file.profile,
            on_progress=self.on_progress,
        )


class LayerScene:
    """A cut-out, scaled and placed, and its background. Raises PictureError, Unsupported or BadRequest."""

    def __init__(
        self, foreground: Path, background: Path, at: tuple[int, int], scale: float, on_progress: Progress
    ) -> None:
        on_progress("read", 0, 2)
        self.file = read(background)
        on_progress("read", 1, 2)
        self.layer = scaled(matching(read(foreground), self.file), scale)
        self.at = at
        self.on_progress = on_progress

    @property
    def before(self) -> np.ndarray:
        """The background with the cut-out as it was."""
        return paste(self.layer, self.file.pixels, self.at)

    def harmonized(self, harmonizer: Harmonizer, strength: float, network_size: int) -> np.ndarray:
        """The background with the cut-out harmonized."""
        layer = harmonizer.layer(
            self.layer,
            self.file.pixels,
            self.at,
            strength=strength,
            network_size=network_size,
            space=self.file.space,
            profile=self.file.profile,
            on_progress=self.on_progress,
        )
        return paste(layer, self.file.pixels, self.at)
