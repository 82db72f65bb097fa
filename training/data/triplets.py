"""Composites stored as files: a composite, its mask and the real photograph, read at the paper's size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gknet.errors import PictureError
from training.data.bad_files import UNREADABLE, BadFiles
from training.data.sample import SIZE, Sample

HINT = "Replace it, or skip bad files with --skip-bad."


class Triplet(NamedTuple):
    """The files of one composite. subset: its sub-set or folder."""

    subset: str
    composite: Path
    mask: Path
    real: Path


def read_samples(chosen: Iterable[Triplet], *, bad: BadFiles | None = None) -> Iterator[Sample]:
    """Read each composite at 256 x 256, following the paper's protocol; `kind` is the sub-set.

    Raises PictureError, naming the file, if it can't be read, if the mask's size differs from the composite's, or if
    the mask has no foreground or no background. If `bad` skips bad files, such a composite is left out instead.
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
        raise PictureError(f"{triplet.mask} has no foreground.", HINT)
    if mask.all():
        raise PictureError(f"{triplet.mask} has no background.", HINT)
    return Sample(triplet.composite.name, triplet.subset, composite, real, mask)


def _read(path: Path, mode: str) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the picture at SIZE x SIZE and its original (width, height). Bilinear, like other evaluations on this
    data.
    """
    try:
        with Image.open(path) as picture:
            size = picture.size
            return np.asarray(picture.convert(mode).resize((SIZE, SIZE), Image.Resampling.BILINEAR)), size
    except UNREADABLE as error:
        raise PictureError(f"{path} cannot be read: {error}.", HINT) from error
