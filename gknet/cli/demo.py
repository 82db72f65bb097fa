"""The bundled photographs that `gknet demo` harmonizes; who took them stands in `demo/CREDITS.md`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gknet.composite import paste
from gknet.files.formats import read, read_mask
from gknet.harmonizer import Harmonizer, Progress

FOLDER = Path(__file__).parents[1] / "demo"
DRUM_AT = (1200, 950)

Row = dict[str, np.ndarray]
"""Caption -> (H, W, 3) uint8."""


def drum_in_the_mountains(harmonizer: Harmonizer, on_progress: Progress) -> Row:
    """A drum from a lamplit room, pasted into a mountain landscape; there is no right answer to compare with."""
    background = read(FOLDER / "background.jpg").pixels
    cutout = read(FOLDER / "cutout.png").pixels
    layer = harmonizer.layer(cutout, background, DRUM_AT, on_progress=on_progress)
    return {
        "pasted": paste(cutout, background, DRUM_AT),
        "harmonized": paste(layer, background, DRUM_AT),
    }


def dog_in_the_wrong_light(harmonizer: Harmonizer, on_progress: Progress) -> Row:
    """A photograph with one dog recoloured, so that the real one is known."""
    composite = read(FOLDER / "composite.jpg").pixels
    mask = read_mask(FOLDER / "mask.png")
    return {
        "composite": composite,
        "harmonized": harmonizer(composite, mask, on_progress=on_progress),
        "real": read(FOLDER / "real.jpg").pixels,
    }
