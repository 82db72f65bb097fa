"""Composites that lie in files: a composite, its mask and the real photograph, read at the paper's size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gknet.errors import PictureError
from training.data.bad_files import UNREADABLE, BadFiles
from training.data.sample import SIZE, Sample

HINT = "Replace it, or leave out what is bad with --skip-bad."


class Triplet(NamedTuple):
    """The files of one composite. subset: the sub-set or folder it belongs to."""

    subset: str
    composite: Path
    mask: Path
    real: Path


def read_samples(chosen: Iterable[Triplet], *, bad: BadFiles | None = None) -> Iterator[Sample]:
    """The pictures of each composite at 256 x 256, as the paper's protocol wants; `kind` is the sub-set.

    Raises PictureError, naming the file, for one that cannot be read, a mask of another size than its composite's,
    and a mask without foreground or without background; with `bad` such a composite may be left out instead.
    """
    bad = bad or BadFiles(skip=False)
    for triplet in chosen:
        try:
            sample = _read_sample(triplet)
        except PictureError as error:
            bad.raise_or_count(error)
        else:
            yield sample


def _read_sample(triplet: Triplet) -> Sample:
    composite, size = _read(triplet.composite, "RGB")
    real, _ = _read(triplet.real, "RGB")
    shares, mask_size = _read(triplet.mask, "L")
    if mask_size != size:
        sizes = f"{mask_size[0]}x{mask_size[1]} pixels, {triplet.composite.name} {size[0]}x{size[1]}"
        raise PictureError(f"{triplet.mask} is {sizes}.", HINT)
    mask = shares >= 128
    if not mask.any():
        raise PictureError(f"{triplet.mask} holds no foreground.", HINT)
    if mask.all():
        raise PictureError(f"{triplet.mask} holds no background.", HINT)
    return Sample(triplet.composite.name, triplet.subset, composite, real, mask)


def _read(path: Path, mode: str) -> tuple[np.ndarray, tuple[int, int]]:
    """The picture at SIZE x SIZE, bilinear as the field's evaluations do it, and its own (width, height)."""
    try:
        with Image.open(path) as picture:
            size = picture.size
            return np.asarray(picture.convert(mode).resize((SIZE, SIZE), Image.Resampling.BILINEAR)), size
    except UNREADABLE as error:
        raise PictureError(f"{path} cannot be read: {error}.", HINT) from error
