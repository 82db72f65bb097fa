"""What a picture is, and what every format has to check before it reads or writes one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gknet import atomic
from gknet.color.encoding import Encoding, Space
from gknet.errors import PictureError

# 20 000 × 20 000: above any camera and most stitched panoramas, and as RGB float just under 5 GB. A file of a
# few kilobytes can claim far more, so the claim is judged before memory is asked for.
MAX_PIXELS = 400_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A picture as it is looked at, and what its file said besides.

    pixels: (H, W, C) uint8, uint16 or float32, upright; C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha,
    which is straight.   profile: the pixels' ICC profile, None for sRGB.   space: "linear" for linear light, of
    sRGB's primaries and without profile.   format: the file's.
    orientation: how the file stores them, 1 to 8 as in EXIF.   quality: a JPEG's own, 1 to 100, else 0.
    lossless: whether WebP may lose nothing.   metadata: EXIF, XMP, IPTC, resolution and texts; OpenEXR's other parts.
    """

    pixels: np.ndarray
    profile: bytes | None = None
    space: Space = "srgb"
    format: str = ""
    orientation: int = 1
    quality: int = 0
    lossless: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def encoding(self) -> Encoding:
        """What the pixels stand for. Raises UnsupportedError for a damaged profile."""
        return Encoding(self.space, self.profile)


class WriteError(Exception):
    """A format's library could not write; why is not known."""


def check_destination(path: Path) -> None:
    """Nothing, if some file can be written there. Raises PictureError."""
    try:
        if path.is_dir():
            raise PictureError(f"{path} is a folder.", "Give the picture a name of its own.")
        if path.exists() and not path.is_file():
            raise PictureError(f"{path} is not an ordinary file.", "Give the picture a name of its own.")
        if not path.parent.is_dir():
            raise PictureError(f"There is no folder {path.parent}.", "Create it first, or write elsewhere.")
    except OSError as error:
        raise file_error(path, "written", error) from error


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """`gknet.atomic.replace_file` for pictures. Raises PictureError if the disk or a format's library refuses."""
    try:
        with atomic.replace_file(path) as unfinished:
            yield unfinished
    except OSError as error:
        raise file_error(path, "written", error) from error
    except WriteError as error:
        raise PictureError(f"{path} could not be written.", "Check the free space there.") from error


def file_error(path: Path, what: str, error: OSError) -> PictureError:
    """What to say when the system will not have a file opened or written."""
    reason = error.strerror or type(error).__name__
    return PictureError(f"{path} cannot be {what}: {reason}.", "Check its name, folder and permissions.")


def check_size(path: Path, width: int, height: int) -> None:
    """Nothing, if so many pixels may be asked memory for. Raises PictureError."""
    if width * height > MAX_PIXELS:
        size, limit = f"{width} × {height} pixels", f"{MAX_PIXELS // 10**6} megapixels"
        raise PictureError(f"{path} is too large: {size}.", f"Scale it below {limit}.")
