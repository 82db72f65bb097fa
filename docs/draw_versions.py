"""Draw the pictures of docs/versions.md from the demo's photographs: `python docs/draw_versions.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gknet import CompositeFit, Harmonizer, Trims
from gknet.pixels.side_by_side import join_side_by_side, split_into_rows

DOCS = Path(__file__).parent
DEMO = DOCS.parent / "gknet" / "demo"
OBJECT = (260, 120, 860, 770)
"""Left, top, right and bottom of the dog in its photograph, pixels."""
WIDTH = 1200
NAMES = ("brightness", "warmth", "saturation")
LEVELS = (-100, -50, 50, 100)

Rows = list[dict[str, np.ndarray]]


def crop(picture: np.ndarray) -> np.ndarray:
    """Return the dog and its surroundings."""
    left, top, right, bottom = OBJECT
    return picture[top:bottom, left:right]


def make_versions(fit: CompositeFit, composite: np.ndarray) -> Rows:
    """Return the picture before and in all versions, three in a row."""
    shown = {"before": crop(composite)}
    for number, variant in enumerate(fit.variants, start=1):
        caption = f"version {number}, {variant.probability:.0%} likely"
        shown[caption] = crop(fit.apply(composite, variant=number))
    return split_into_rows(shown, 3)


def make_trims(fit: CompositeFit, composite: np.ndarray) -> Rows:
    """Return a row of pictures for each trim."""
    return [
        {f"{name} {level:+}": crop(fit.apply(composite, trims=Trims(**{name: level}))) for level in LEVELS}
        for name in NAMES
    ]


def save(rows: Rows, name: str) -> None:
    """Write rows of pictures to a file of this folder."""
    sheet = Image.fromarray(join_side_by_side(rows))
    sheet.resize((WIDTH, round(sheet.height * WIDTH / sheet.width)), Image.Resampling.LANCZOS).save(
        DOCS / name, quality=82, optimize=True
    )


if __name__ == "__main__":
    pixels = np.asarray(Image.open(DEMO / "composite.jpg"))
    dog = Harmonizer.from_pretrained(device="cpu").fit(pixels, Image.open(DEMO / "mask.png").convert("L"))
    save(make_versions(dog, pixels), "versions.jpg")
    save(make_trims(dog, pixels), "trims.jpg")
