"""Photographs and their foreground masks, read from WebDataset shards straight into memory.

A shard is a tar file of `<key>.webp` (the real photograph), `<key>.maskN.png` (1-bit foregrounds, N = 0, ...) and
`<key>.json`. Masks may also be in a separate tar file. Nothing is unpacked to disk.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gknet.errors import PictureError
from training.data.bad_files import UNREADABLE, BadFiles

VALIDATION_SHARE = 0.04743
"""Photographs whose key hashes below this are held out from training: exactly 300 of the pool's 6,261."""


def is_validation(key: str) -> bool:
    """Return whether a photograph belongs to the validation split. Depends on its key alone."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < VALIDATION_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographs:
    """Photographs of one size, each with at least one mask.

    pictures: (P, 3, S, S) uint8.
    masks: (M, S, S) uint8, the foreground share of each pixel, 255 = all.
    owner: (M,) int64, the index of each mask's photograph.
    keys: P names.
    """

    pictures: np.ndarray
    masks: np.ndarray
    owner: np.ndarray
    keys: list[str]

    @property
    def masks_of(self) -> list[np.ndarray]:
        """The indices of each photograph's masks."""
        order = np.argsort(self.owner, kind="stable")
        return np.split(order, np.searchsorted(self.owner[order], np.arange(1, len(self.keys))))


class _Member(NamedTuple):
    """A photograph or a mask of a shard.

    size: (width, height) as stored.
    pixels: (S, S, 3) or (S, S) uint8.
    """

    key: str
    place: str
    size: tuple[int, int]
    pixels: np.ndarray


def read_photographs(
    shards: Sequence[Path],
    size: int,
    *,
    validation: bool,
    mask_share: tuple[float, float] = (0.01, 0.75),
    bad: BadFiles | None = None,
) -> Photographs:
    """Read all photographs of one split, resized to size x size without keeping the aspect ratio, as the paper does.

    Leaves out masks whose share of the picture is outside mask_share, and photographs without a remaining mask. Raises
    PictureError, naming the shard or member, for unreadable data and for a mask whose size differs from its
    photograph's. If `bad` skips bad files, that member, or the rest of that shard, is left out instead. Always raises
    it if no photograph is left.
    """
    bad = bad or BadFiles(skip=False)
    photographs: dict[str, _Member] = {}
    masks: dict[str, list[_Member]] = {}
    for member, is_mask in _decode_members(shards, size, validation, bad):
        if not is_mask:
            photographs[member.key] = member
        elif mask_share[0] <= member.pixels.mean() / 255 <= mask_share[1]:
            masks.setdefault(member.key, []).append(member)
    fitting = {key: _select_fitting(photographs[key], masks[key], bad) for key in sorted(photographs) if key in masks}
    keys = [key for key, found in fitting.items() if found]
    if not keys:
        raise PictureError(
            f"No photograph with a usable mask in {len(shards)} shards.",
            "Choose the folder that contains the tar files.",
        )
    return Photographs(
        pictures=np.stack([photographs[key].pixels.transpose(2, 0, 1) for key in keys]),  # (P, 3, S, S)
        masks=np.stack([mask.pixels for key in keys for mask in fitting[key]]),
        owner=np.array([index for index, key in enumerate(keys) for _ in fitting[key]]),
        keys=keys,
    )


def find_shards(folders: Iterable[Path]) -> list[Path]:
    """Return the tar files of the folders, sorted. Raises PictureError for a folder without any."""
    found: list[Path] = []
    for folder in folders:
        here = sorted(folder.glob("*.tar"))
        if not here:
            raise PictureError(f"{folder} contains no .tar shards.", "Choose a folder of WebDataset shards.")
        found += here
    return found


def _decode_members(
    shards: Iterable[Path], size: int, validation: bool, bad: BadFiles
) -> Iterator[tuple[_Member, bool]]:
    """Yield the photographs and masks of one split, and whether each is a mask."""
    for shard in shards:
        for name, data in _read_members(shard, bad):
            key, _, kind = name.partition(".")
            is_mask = kind.startswith("mask")
            if is_validation(key) != validation or not (is_mask or kind == "webp"):
                continue
            try:
                yield _decode(data, size, key, f"{name} in {shard}", "L" if is_mask else "RGB"), is_mask
            except PictureError as error:
                bad.raise_or_count(error)


def _read_members(shard: Path, bad: BadFiles) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(shard) as archive:
            for member in archive:
                handle = archive.extractfile(member)
                if handle is not None and member.name.endswith((".webp", ".png")):
                    yield member.name, handle.read()
            # tarfile doesn't notice a file that was cut between two members or has a broken header.
            assert archive.fileobj is not None
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise EOFError("unexpected end of data")
    except (tarfile.TarError, EOFError, OSError) as error:
        bad.raise_or_count(PictureError(f"{shard} is damaged: {error}.", "Download the shard again."))


def _decode(data: bytes, size: int, key: str, place: str, mode: str) -> _Member:
    """Return the picture at size x size, area-averaged when reduced and bilinear when enlarged."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            stored = picture.size
            picture.draft("RGB", (size, size))
            small = picture.convert(mode).resize((size, size), Image.Resampling.BILINEAR)
    except UNREADABLE as error:
        raise PictureError(f"{place} cannot be read: {error}.", "Remove it from the shard.") from error
    return _Member(key, place, stored, np.asarray(small))


def _select_fitting(photograph: _Member, masks: Iterable[_Member], bad: BadFiles) -> list[_Member]:
    """Return the masks with the same size as the photograph."""
    found = []
    for mask in masks:
        if mask.size == photograph.size:
            found.append(mask)
        else:
            own, other = ("x".join(map(str, member.size)) for member in (mask, photograph))
            bad.raise_or_count(
                PictureError(
                    f"{mask.place} is {own} pixels, its photograph {other}.", "Recreate the mask at that size."
                )
            )
    return found
