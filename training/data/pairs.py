"""Any folder of composites with their real photographs.

The sub-folders `composite/`, `mask/` and `real/` hold pictures of equal names, for example `composite/dog.jpg`,
`mask/dog.png` and `real/dog.jpg`. Extensions may differ. A mask has its composite's size and is white in the
foreground. Every composite needs a mask and a real photograph.
"""

from __future__ import annotations

from pathlib import Path

from gknet.errors import PictureError
from training.data.bad_files import BadFiles
from training.data.triplets import HINT, Triplet

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}


def list_triplets(root: Path, *, bad: BadFiles | None = None) -> list[Triplet]:
    """List all composites of the folder, by name.

    Raises PictureError, naming the file, for a composite without a mask or real photograph and for a duplicate name; if
    `bad` skips bad files, that composite is left out instead. Always raises it if a sub-folder is missing or empty, or
    if no composite is left.
    """
    bad = bad or BadFiles(skip=False)
    composites, masks, reals = (_pictures(root / part, bad) for part in ("composite", "mask", "real"))
    found = []
    for name, composite in composites.items():
        missing = [part for part, pictures in (("mask", masks), ("real", reals)) if name not in pictures]
        if missing:
            bad.raise_or_count(PictureError(f"{composite} has no {missing[0]}/{name}.*.", HINT))
        else:
            found.append(Triplet("pairs", composite, masks[name], reals[name]))
    if not found:
        raise PictureError(f"{root} contains no usable composite.", "Give the pictures of a composite the same name.")
    return found


def _pictures(folder: Path, bad: BadFiles) -> dict[str, Path]:
    """Return the pictures of a folder, sorted, by name without extension."""
    if not folder.is_dir():
        raise PictureError(f"{folder} is missing.", "Choose a folder with composite/, mask/ and real/.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in ENDINGS:
            continue
        if path.stem in found:
            bad.raise_or_count(
                PictureError(f"{path} has the same name as {found[path.stem].name}.", "Rename one of the two.")
            )
        else:
            found[path.stem] = path
    if not found:
        raise PictureError(f"{folder} contains no pictures.", f"Supported formats: {', '.join(sorted(ENDINGS))}.")
    return found
