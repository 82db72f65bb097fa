"""Composites in real light: an object as a fixed camera saw it at one hour, in what that camera saw at another.

The truth is the object of that other hour. `FOLDER/light-*.tar` holds frames `<camera>_<date>_<time>.webp` and
objects `<camera>.<object>.mask.png`. These places are for judging alone: trained on, so few of them teach the places.
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
"""Cameras to choose by, and the one for the end."""
HOURS = 3
"""Other hours that an object is taken from, for every frame."""
_LEAST = 50.0
"""Least fMSE of a composite: hours that are hardly different tell nothing."""


def make_real_light_samples(folder: Path, half: Half) -> Iterator[Sample]:
    """For every frame of a half's cameras, each of their objects from HOURS other frames, always the same.

    `Sample.key` is the frame, `Sample.kind` camera and object. Raises PictureError where a camera is missing.
    """
    frames, objects = _read(folder)
    for camera in CAMERAS[half]:
        own = {name: picture for name, picture in frames.items() if name.startswith(f"{camera}_")}
        masks = {name: mask for name, mask in objects.items() if name.startswith(f"{camera}.")}
        if len(own) <= HOURS or not masks:
            raise PictureError(f"{folder} holds too little of the camera {camera}.", "Fetch its shards again.")
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
    """Frames (SIZE, SIZE, 3) uint8 and objects (SIZE, SIZE) bool, by name."""
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
