"""Folders of composites for tests of batches: crops and flips of free photographs, each with a mask beside it.

What is in the mask has lost half of its light: so there is something to harmonize.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from gknet.cli import demo as example


def photographs() -> list[np.ndarray]:
    """RGB: the demo's mountains, scikit-learn's temple and flower, scikit-image's astronaut, coffee and cat."""
    from sklearn.datasets import load_sample_images  # takes a second: only where it is needed

    with Image.open(example.FOLDER / "background.jpg") as mountains:
        found = [np.asarray(mountains.convert("RGB"))]
    found += load_sample_images().images
    return [*found, skimage.data.astronaut(), skimage.data.coffee(), skimage.data.cat()]


def write(folder: Path, count: int, *, suffix: str = ".jpg", side: int = 1152) -> list[str]:
    """So many pictures of at most side × 3/4 side pixels, no two alike, and their masks; the pictures' names."""
    random = np.random.default_rng(0)
    sources = photographs()
    names = []
    for index in range(count):
        source = sources[index % len(sources)]
        height, width = (min(whole, most) for whole, most in zip(source.shape, (side * 3 // 4, side), strict=False))
        height, width = (round(length * random.uniform(0.8, 1)) for length in (height, width))
        top, left = (
            random.integers(whole - part + 1) for whole, part in ((source.shape[0], height), (source.shape[1], width))
        )
        picture = source[top : top + height, left : left + width][:, :: random.choice([-1, 1])]
        rows, columns = np.mgrid[:height, :width]
        middle = random.uniform(0.35, 0.65, 2)
        distance = np.hypot((rows / height - middle[0]) / 0.25, (columns / width - middle[1]) / 0.2)
        mask = (255 * np.clip((1.05 - distance) / 0.1, 0, 1)).astype(np.uint8)
        names.append(f"{index:03}{suffix}")
        composite = (picture * (1 - mask[..., None] / 510)).astype(np.uint8)
        Image.fromarray(composite).save(folder / names[-1], quality=92)
        Image.fromarray(mask).save(folder / f"{index:03}_mask.png", compress_level=1)
    return names
