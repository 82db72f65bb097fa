"""Harmonize the bundled photographs for `gknet demo`. `demo/CREDITS.md` names their authors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gknet.composite import paste
from gknet.files.formats import read_mask, read_picture
from gknet.fits import Progress
from gknet.harmonizer import Harmonizer

FOLDER = Path(__file__).parents[1] / "demo"
ASTRONAUT_AT = (560, 300)
"""Top left corner of `cutout.png` on `background.jpg`, pixels."""

Row = dict[str, np.ndarray]
"""Captions and pictures, each (H, W, 3) uint8."""


def harmonize_astronaut(harmonizer: Harmonizer, on_progress: Progress) -> Row:
    """Harmonize a portrait in dim, warm light with the sunlit mountains it is pasted into."""
    background = read_picture(FOLDER / "background.jpg").pixels
    cutout = read_picture(FOLDER / "cutout.png").pixels
    layer = harmonizer.layer(cutout, background, ASTRONAUT_AT, on_progress=on_progress)
    return {
        "pasted": paste(cutout, background, ASTRONAUT_AT),
        "harmonized": paste(layer, background, ASTRONAUT_AT),
    }


def harmonize_dog(harmonizer: Harmonizer, on_progress: Progress) -> Row:
    """Harmonize a photograph in which one dog was recolored, and show the real photograph beside it."""
    composite = read_picture(FOLDER / "composite.jpg").pixels
    mask = read_mask(FOLDER / "mask.png")
    return {
        "composite": composite,
        "harmonized": harmonizer(composite, mask, on_progress=on_progress),
        "real": read_picture(FOLDER / "real.jpg").pixels,
    }
