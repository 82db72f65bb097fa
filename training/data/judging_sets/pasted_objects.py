"""Objects cut from one photograph and pasted into another, as users do. There is no ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from training.data.shards import Photographs

SEED = 7
"""Seed for choosing objects and scenes."""
LONG_SIDE = (0.4, 0.7)
"""Long side of the pasted object, as a share of the picture's side."""
LARGEST_GROWTH = 1.25
"""Largest enlargement of an object; beyond it, objects look soft."""
LEAST_SHARE = 0.03
"""Smallest share of its own picture that an object covers. Smaller ones are mostly distant cars and people."""
MIDDLE = (0.35, 0.65)
"""Horizontal centre of the pasted object, as a share of the width."""
BOTTOM = (0.8, 0.97)
"""Lower edge of the pasted object, as a share of the height: objects stand in the lower part of a picture."""


class PastedObject(NamedTuple):
    """A pasted object.

    key: the object's and the scene's keys.
    composite: (S, S, 3) uint8.
    mask: (S, S) bool.
    """

    key: str
    composite: np.ndarray
    mask: np.ndarray


def paste_objects(photographs: Photographs, count: int, wanted: Callable[[str], bool]) -> Iterator[PastedObject]:
    """Paste at most `count` objects, each photograph's first mask, and use no object or scene twice. Always the same
    result.

    wanted: returns whether the photograph of a key may be an object or a scene.

    Uses objects that are entirely inside their photograph or touch only its lower edge. The latter also stand on the
    scene's lower edge, where the cut doesn't show.
    """
    first = [int(masks[0]) for masks in photographs.masks_of]
    masks = [photographs.masks[index] >= 128 for index in first]
    generator = np.random.default_rng(SEED)
    allowed = [index for index, key in enumerate(photographs.keys) if wanted(key)]
    whole = [index for index in map(int, generator.permutation(allowed)) if _is_whole(masks[index])]
    scenes = list(map(int, generator.permutation(allowed)))
    for index in whole[:count]:
        scene = next((other for other in scenes if other != index), None)
        if scene is None:
            return
        scenes.remove(scene)
        picture, backdrop = (photographs.pictures[number].transpose(1, 2, 0) for number in (index, scene))
        composite, mask = _paste(picture, backdrop, masks[index], generator)
        yield PastedObject(f"{photographs.keys[index]} in {photographs.keys[scene]}", composite, mask)


def _is_whole(mask: np.ndarray) -> bool:
    """Return whether an object is large enough and doesn't touch the upper, left or right edge."""
    return bool(mask.mean() >= LEAST_SHARE) and not (mask[0].any() or mask[:, 0].any() or mask[:, -1].any())


def _paste(
    picture: np.ndarray, scene: np.ndarray, mask: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paste the masked part of picture (S, S, 3) into scene (S, S, 3); return the composite and its mask (S, S)."""
    size = len(scene)
    rows, columns = np.nonzero(mask)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    growth = min(LARGEST_GROWTH, generator.uniform(*LONG_SIDE) * size / max(width, height))
    width, height = max(1, round(growth * width)), max(1, round(growth * height))
    cutout = Image.fromarray(np.dstack([picture, np.where(mask, 255, 0).astype(np.uint8)])).crop(box)
    # Pillow premultiplies alpha here, so the old background doesn't leak into the edge.
    cutout = cutout.resize((width, height), Image.Resampling.BILINEAR)
    middle, bottom = generator.uniform(*MIDDLE), generator.uniform(*BOTTOM)
    if mask[-1].any():
        bottom = 1.0
    left = min(max(0, round(middle * size - width / 2)), size - width)
    composite = Image.fromarray(scene).convert("RGBA")
    alpha = Image.new("L", composite.size)
    place = (left, max(0, round(bottom * size) - height))
    composite.alpha_composite(cutout, place)
    alpha.paste(cutout.getchannel("A"), place)
    return np.asarray(composite.convert("RGB")), np.asarray(alpha) >= 128
