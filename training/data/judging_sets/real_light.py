"""Composites in real light: an object photographed by a fixed camera at one hour, pasted into its view at another hour.

The ground truth is the object at that other hour. `FOLDER/light-*.tar` holds frames `<camera>_<date>_<time>.webp` and
objects `<camera>.<object>.mask.png`. Use these places for evaluation only: there are so few that a network trained on
them would overfit.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from gknet.errors import PictureError
from training.data.judging_sets.validation import Half
from training.data.sample import SIZE, Sample
from training.data.shards import find_shards

CAMERAS: dict[Half, tuple[str, ...]] = {"choosing": ("chamonix", "mexico"), "final": ("courbevoie",)}
"""The cameras for choosing weights, and the held-out one for the final evaluation."""
HOURS = 3
"""Number of other hours that each object is taken from, per frame."""
_LEAST = 50.0
"""Smallest fMSE of a composite: hours that barely differ tell nothing."""


def make_real_light_samples(folder: Path, half: Half) -> Iterator[Sample]:
    """Yield each object of a half's cameras, taken from HOURS other frames, for every frame. Always the same samples.

    `Sample.key` is the frame, `Sample.kind` the camera and object. Raises PictureError if a camera is missing.
    """
    frames, objects = _read(folder)
    for camera in CAMERAS[half]:
        own = {name: picture for name, picture in frames.items() if name.startswith(f"{camera}_")}
        masks = {name: mask for name, mask in objects.items() if name.startswith(f"{camera}.")}
        if len(own) <= HOURS or not masks:
            raise PictureError(
                f"{folder} has too few frames or objects of the camera {camera}.", "Download its shards again."
            )
        for name, real in sorted(own.items()):
            others = sorted(set(own) - {name})
            for object_, mask in sorted(masks.items()):
                seed = hashlib.sha256(f"{name}:{object_}".encode()).digest()[:8]
                draws = np.random.default_rng(int.from_bytes(seed, "big"))
                for number in draws.permutation(len(others))[:HOURS]:
                    composite = np.where(mask[..., None], own[others[number]], real)
                    if np.square(composite[mask].astype(float) - real[mask]).mean() > _LEAST:
                        yield Sample(name, object_, composite, real, mask)


def _read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return frames (SIZE, SIZE, 3) uint8 and objects (SIZE, SIZE) bool, by name."""
    frames: dict[str, np.ndarray] = {}
    objects: dict[str, np.ndarray] = {}
    for shard in find_shards([folder]):
        with tarfile.open(shard) as archive:
            for member in archive:
                handle = archive.extractfile(member)
                if handle is None or not member.name.endswith((".webp", ".mask.png")):
                    continue
                is_mask = member.name.endswith(".mask.png")
                with Image.open(io.BytesIO(handle.read())) as picture:
                    small = picture.convert("L" if is_mask else "RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
                if is_mask:
                    objects[member.name.removesuffix(".mask.png")] = np.asarray(small) >= 128
                else:
                    frames[member.name.removesuffix(".webp")] = np.array(small)
    return frames, objects
