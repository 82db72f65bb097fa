"""The pictures of a study: composites, and every method's results for them under the same names."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from gknet.errors import InputError, PictureError
from training.data.bad_files import UNREADABLE

CONTENT_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
"""Formats that every browser shows."""


class Trial(NamedTuple):
    """One question to a voter: which of two methods' results is better?"""

    picture: str
    left: str
    right: str


class Study:
    """Folders of results and one of composites, which may also be one of the methods.

    methods: folder names, extended by parent folders until they are unique; sorted.
    pictures: names without extension, sorted.
    composites: picture -> file.
    results: method -> picture -> file.
    id: identifies the study by all names and file sizes.

    Raises InputError for fewer than two folders or a duplicate one. Raises PictureError if a folder is missing or
    empty, or if its pictures differ from the composites'.
    """

    def __init__(self, folders: Sequence[Path], composites: Path) -> None:
        if len(folders) < 2:
            hint = "Provide two or more; the composites' folder may be one of them."
            raise InputError("Only one folder of results was given.", hint)
        names = _names(folders)
        self.composites = _pictures(composites)
        self.results = {name: _pictures(folder) for name, folder in sorted(zip(names, folders, strict=True))}
        for folder in folders:
            _check_same(folder, _pictures(folder), composites, self.composites)
        self.methods = tuple(self.results)
        self.pictures = tuple(self.composites)
        self.id = self._fingerprint()

    def draw_trials(self, voter: str) -> list[Trial]:
        """Return every pair of methods on every picture. Order and sides are random per voter, but the same at every
        call.
        """
        drawn = random.Random(f"{self.id} {voter}")
        trials = [
            Trial(picture, *drawn.sample(pair, 2))
            for picture in self.pictures
            for pair in itertools.combinations(self.methods, 2)
        ]
        drawn.shuffle(trials)
        return trials

    def check_pictures(self) -> Iterator[str]:
        """Read every file completely, and yield each picture once its files are valid.

        Raises PictureError for the first file that is damaged or differs in size from its composite.
        """
        with ThreadPoolExecutor() as pool:
            yield from pool.map(self._check_picture, self.pictures)

    def _check_picture(self, picture: str) -> str:
        composite = self.composites[picture]
        size = _size(composite)
        for results in self.results.values():
            own = _size(results[picture])
            if own != size:
                message = f"{results[picture]} is {own[0]}x{own[1]} pixels, {composite} {size[0]}x{size[1]}."
                raise PictureError(message, "Scale one of them: only pictures of one size can be compared fairly.")
        return picture

    def _fingerprint(self) -> str:
        parts = [
            (method, picture, path.stat().st_size)
            for method, pictures in {"": self.composites, **self.results}.items()
            for picture, path in pictures.items()
        ]
        return hashlib.sha256(ascii(parts).encode()).hexdigest()[:16]


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest unique ends of the folders' paths."""
    paths = [folder.resolve() for folder in folders]
    for path, folder in zip(paths, folders, strict=True):
        if paths.count(path) > 1:
            raise InputError(f"{folder} was given twice.", "Provide each folder of results once.")
    depths = itertools.count(1)
    return next(
        names for depth in depths if len(set(names := ["/".join(p.parts[-depth:]) for p in paths])) == len(paths)
    )


def _pictures(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder, sorted, by name without extension."""
    if not folder.is_dir():
        raise PictureError(f"Folder {folder} does not exist.", "Check its name.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in CONTENT_TYPES:
            continue
        if path.stem in found:
            raise PictureError(f"{path} has the same name as {found[path.stem].name}.", "Rename one of the two.")
        found[path.stem] = path
    if not found:
        raise PictureError(f"{folder} contains no pictures.", f"Supported formats: {', '.join(CONTENT_TYPES)}.")
    return found


def _check_same(folder: Path, pictures: dict[str, Path], composites_folder: Path, composites: dict[str, Path]) -> None:
    for lacking, lacked, holding, held in (
        (folder, pictures, composites_folder, composites),
        (composites_folder, composites, folder, pictures),
    ):
        missing = [path.name for name, path in held.items() if name not in lacked]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            message = f"{lacking} is missing {', '.join(missing[:3])}{more} from {holding}."
            raise PictureError(message, "Add them: all folders must contain the same pictures; extensions may differ.")


def _size(path: Path) -> tuple[int, int]:
    """Return the upright (width, height) of a picture, after reading it completely."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture).size
    except UNREADABLE as error:
        raise PictureError(f"{path} cannot be read: {error}.", "Replace it.") from error
