"""Objects of one photograph pasted into another, as people paste them: nobody knows the right colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from training.data.shards import Photographs

SEED = 7
"""Of which object goes where."""
LONG_SIDE = (0.4, 0.7)
"""The pasted object's long side, share of the picture's."""
LARGEST_GROWTH = 1.25
"""An object is enlarged by no more: it would look soft."""
LEAST_SHARE = 0.03
"""Of its own picture an object must fill; smaller ones are mostly distant cars and people of a dozen pixels."""
MIDDLE = (0.35, 0.65)
"""Where the middle of the pasted object lies from left to right."""
BOTTOM = (0.8, 0.97)
"""Where its lower edge lies: things stand in the lower part of a picture."""


class PastedObject(NamedTuple):
    """key: object and scene.   composite: (S, S, 3) uint8.   mask: (S, S) bool."""

    key: str
    composite: np.ndarray
    mask: np.ndarray


def paste_objects(photographs: Photographs, count: int, wanted: Callable[[str], bool]) -> Iterator[PastedObject]:
    """At most `count` objects, each photograph's first mask, no object and no scene twice; always the same.

    wanted: whether a photograph of this key may be an object or a scene.
    Only objects that lie whole inside their photograph, or touch its lower edge alone: those stand on the lower edge
    of the scene, too, where their cut does not show.
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
    """Whether an object is not cut by its photograph's upper, left or right edge, and large enough."""
    return bool(mask.mean() >= LEAST_SHARE) and not (mask[0].any() or mask[:, 0].any() or mask[:, -1].any())


def _paste(
    picture: np.ndarray, scene: np.ndarray, mask: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The masked part of picture (S, S, 3) over scene (S, S, 3), and the mask there (S, S)."""
    size = len(scene)
    rows, columns = np.nonzero(mask)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    growth = min(LARGEST_GROWTH, generator.uniform(*LONG_SIDE) * size / max(width, height))
    width, height = max(1, round(growth * width)), max(1, round(growth * height))
    cutout = Image.fromarray(np.dstack([picture, np.where(mask, 255, 0).astype(np.uint8)])).crop(box)
    # Pillow weighs colours by alpha here, so that no old background gets into the edge.
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
