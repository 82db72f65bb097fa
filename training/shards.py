"""Photographs and their foreground masks, read from WebDataset shards straight into memory.

A shard is a tar file of `<key>.webp` (the real photograph), `<key>.maskN.png` (1-bit foregrounds, N = 0, ...)
and `<key>.json`. Masks may also lie in a tar file of their own. Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gknet.errors import PictureError

VALIDATION_SHARE = 0.04743
"""Photographs whose key hashes below this are never trained on: exactly 300 of the pool's 6,261."""


def is_validation(key: str) -> bool:
    """Whether a photograph belongs to the validation split: always the same answer for the same key."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < VALIDATION_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographs:
    """Photographs of one size, with at least one mask each.

    pictures: (P, 3, S, S) uint8.   masks: (M, S, S) uint8, 0 or 255.   owner: (M,) int64, the photograph of
    each mask; every photograph owns at least one.   keys: P names.
    """

    pictures: np.ndarray
    masks: np.ndarray
    owner: np.ndarray
    keys: list[str]

    @property
    def masks_of(self) -> list[np.ndarray]:
        """For each photograph the indices of its masks."""
        order = np.argsort(self.owner, kind="stable")
        return np.split(order, np.searchsorted(self.owner[order], np.arange(1, len(self.keys))))


def read_photographs(
    shards: Sequence[Path], size: int, *, validation: bool, mask_share: tuple[float, float] = (0.01, 0.75)
) -> Photographs:
    """All photographs of one split, squeezed to size x size as the paper's data are.

    Masks that cover less or more of the picture than mask_share are left out, and photographs that then have
    none. Raises PictureError, naming the shard or the member, for what cannot be read.
    """
    pictures: dict[str, np.ndarray] = {}
    masks: dict[str, list[np.ndarray]] = {}
    for shard in shards:
        for name, data in _members(shard):
            key, _, kind = name.partition(".")
            if is_validation(key) != validation or kind == "json":
                continue
            if kind == "webp":
                pictures[key] = _decode(data, size, shard, name).transpose(2, 0, 1)  # (3, S, S)
            elif kind.startswith("mask"):
                mask = _decode(data, size, shard, name)[:, :, 0]
                if mask_share[0] <= mask.mean() / 255 <= mask_share[1]:
                    masks.setdefault(key, []).append(np.where(mask >= 128, 255, 0).astype(np.uint8))
    keys = sorted(key for key in pictures if key in masks)
    if not keys:
        raise PictureError(
            f"No photograph with a usable mask in {len(shards)} shards.",
            "Name the folder that holds the tar files.",
        )
    return Photographs(
        pictures=np.stack([pictures[key] for key in keys]),
        masks=np.stack([mask for key in keys for mask in masks[key]]),
        owner=np.array([index for index, key in enumerate(keys) for _ in masks[key]]),
        keys=keys,
    )


def find_shards(folders: Iterable[Path]) -> list[Path]:
    """The tar files of the folders, sorted. Raises PictureError for a folder without any."""
    found: list[Path] = []
    for folder in folders:
        here = sorted(folder.glob("*.tar"))
        if not here:
            raise PictureError(f"{folder} holds no .tar shard.", "Name a folder of WebDataset shards.")
        found += here
    return found


def _members(shard: Path) -> Iterable[tuple[str, bytes]]:
    try:
        with tarfile.open(shard) as archive:
            for member in archive:
                handle = archive.extractfile(member)
                if handle is not None and member.name.endswith((".webp", ".png", ".json")):
                    yield member.name, handle.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PictureError(f"{shard} is damaged: {error}.", "Fetch the shard again.") from error


def _decode(data: bytes, size: int, shard: Path, name: str) -> np.ndarray:
    """(S, S, 3) uint8, area-averaged (bilinear where it must grow)."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.draft("RGB", (size, size))
            small = picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError) as error:
        raise PictureError(f"{name} in {shard} cannot be read: {error}.", "Leave it out of the shard.") from error
    return np.asarray(small)
