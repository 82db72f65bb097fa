"""iHarmony4 in its official layout (Cong et al., CVPR 2020), train and test lists included.

Each of the four sub-sets is a folder with `composite_images/`, `masks/`, `real_images/` and the lists
`<name>_train.txt` and `<name>_test.txt`, a composite a line, as a bare name or a path. The composite `a_b_c.jpg` has
the mask `a_b.png` and the real photograph `a.jpg`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from gknet.errors import PictureError
from training.validation import SIZE, Sample

SUBSETS = ("HCOCO", "HAdobe5k", "HFlickr", "Hday2night")


class Triplet(NamedTuple):
    """The files of one composite."""

    subset: str
    composite: Path
    mask: Path
    real: Path


def triplets(root: Path, split: Literal["train", "test"], subsets: Sequence[str] = SUBSETS) -> list[Triplet]:
    """All composites of a split, in the order of its lists.

    Raises PictureError, naming it, for the first sub-set, list or picture that is missing, and for an empty list.
    """
    found = []
    for subset in subsets:
        folder = root / subset
        names = _names(folder / f"{subset}_{split}.txt")
        for name in names:
            stem = Path(name).stem
            parts = stem.rsplit("_", 2)
            if len(parts) != 3:
                raise PictureError(f"{name} in {subset}_{split}.txt is no composite's name.", "It must be a_b_c.jpg.")
            triplet = Triplet(
                subset,
                folder / "composite_images" / name,
                folder / "masks" / f"{parts[0]}_{parts[1]}.png",
                folder / "real_images" / f"{parts[0]}{Path(name).suffix}",
            )
            for path in triplet[1:]:
                if not path.is_file():
                    raise PictureError(f"{path} is missing.", "Unpack iHarmony4 again.")
            found.append(triplet)
    return found


def samples(chosen: Sequence[Triplet]) -> Iterator[Sample]:
    """The pictures of each composite at 256 x 256, as the paper's protocol wants; `kind` is the sub-set.

    Raises PictureError, naming the file, for one that cannot be read, and for a mask without foreground.
    """
    for triplet in chosen:
        composite, real = _read(triplet.composite, "RGB"), _read(triplet.real, "RGB")
        mask = _read(triplet.mask, "L") >= 128
        if not mask.any():
            raise PictureError(f"{triplet.mask} holds no foreground.", "Unpack iHarmony4 again.")
        yield Sample(triplet.composite.name, triplet.subset, composite, real, mask)


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror}.", "Name iHarmony4's own folder.") from error
    names = [Path(line.strip()).name for line in lines if line.strip()]
    if not names:
        raise PictureError(f"{path} is empty.", "Unpack iHarmony4 again.")
    return names


def _read(path: Path, mode: str) -> np.ndarray:
    """The picture at SIZE x SIZE, bilinear as the field's evaluations do it."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert(mode).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    except (OSError, SyntaxError) as error:
        raise PictureError(f"{path} cannot be read: {error}.", "Unpack iHarmony4 again.") from error
