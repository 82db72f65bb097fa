"""The iHarmony4 data set in its official layout (Cong et al., CVPR 2020), with its train and test lists.

Each of the four sub-sets is a folder with `composite_images/`, `masks/`, `real_images/` and the lists
`<name>_train.txt` and `<name>_test.txt`. A list holds one composite per line, as a bare name or a path. The composite
`a_b_c.jpg` has the mask `a_b.png` and the real photograph `a.jpg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gknet.errors import PictureError
from training.data.bad_files import BadFiles
from training.data.sample import SIZE
from training.data.triplets import HINT, Triplet, read_samples

__all__ = ["SIZE", "SUBSETS", "Triplet", "list_triplets", "read_samples"]

SUBSETS = ("HCOCO", "HAdobe5k", "HFlickr", "Hday2night")


def list_triplets(
    root: Path,
    split: Literal["train", "test"],
    subsets: Sequence[str] = SUBSETS,
    *,
    bad: BadFiles | None = None,
) -> list[Triplet]:
    """List all composites of a split, in the order of its lists.

    Raises PictureError, naming the line or file, for an invalid composite name or a missing picture; if `bad` skips bad
    files, that composite is left out instead. Always raises it if a list is missing or empty, or if no composite is
    left.
    """
    bad = bad or BadFiles(skip=False)
    found = []
    for subset in subsets:
        for name in _names(root / subset / f"{subset}_{split}.txt"):
            try:
                found.append(_triplet(root, subset, split, name))
            except PictureError as error:
                bad.raise_or_count(error)
    if not found:
        raise PictureError(f"{root} contains no usable composite.", "Extract iHarmony4 again.")
    return found


def _triplet(root: Path, subset: str, split: str, name: str) -> Triplet:
    """Return the files of a composite. Raises PictureError, naming the first missing file."""
    folder = root / subset
    parts = Path(name).stem.rsplit("_", 2)
    if len(parts) != 3:
        raise PictureError(
            f"{name} in {subset}_{split}.txt is not a composite's name.", "Expected a name like a_b_c.jpg."
        )
    triplet = Triplet(
        subset,
        folder / "composite_images" / name,
        folder / "masks" / f"{parts[0]}_{parts[1]}.png",
        folder / "real_images" / f"{parts[0]}{Path(name).suffix}",
    )
    for path in (triplet.composite, triplet.mask, triplet.real):
        if not path.is_file():
            raise PictureError(f"{path} is missing.", HINT)
    return triplet


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a text file"
        raise PictureError(f"{path} cannot be read: {why}.", "Choose iHarmony4's own folder.") from error
    names = [Path(line.strip()).name for line in lines if line.strip()]
    if not names:
        raise PictureError(f"{path} is empty.", "Extract iHarmony4 again.")
    return names
