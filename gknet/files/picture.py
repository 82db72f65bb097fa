"""The type of a picture, and checks that every format needs before it reads or writes one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gknet import atomic
from gknet.color.encoding import Encoding, Space
from gknet.errors import PictureError

# 20 000 × 20 000: above any camera and most stitched panoramas, and as RGB float just under 5 GB. A file of a
# few kilobytes can declare far more, so the size is checked before memory is allocated.
MAX_PIXELS = 400_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A picture as displayed, with the other contents of its file.

    pixels: (H, W, C) uint8, uint16 or float32, upright; C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha;
    straight alpha.   profile: the pixels' ICC profile, None for sRGB.   space: "linear" for linear light with
    sRGB's primaries and without profile.   format: the file's.
    position: (x, y) of the top left corner on the page that a PNG or TIFF is part of, otherwise (0, 0).
    orientation: of the pixels in the file, 1 to 8 as in EXIF.   quality: a JPEG's, 1 to 100, else 0.
    metadata: EXIF, XMP, IPTC, resolution and texts (`gknet.files.metadata`); OpenEXR's other parts.
    notes: parts of the file that are not read and will be missing from the result, in user-facing words.
    """

    pixels: np.ndarray
    profile: bytes | None = None
    space: Space = "srgb"
    format: str = ""
    position: tuple[int, int] = (0, 0)
    orientation: int = 1
    quality: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def encoding(self) -> Encoding:
        """Encoding of the pixels. Raises UnsupportedError for a damaged profile."""
        return Encoding(self.space, self.profile)


ONLY_THE_FIRST = "only the first page or frame of the file is kept"
"""Note on a file with several pages or frames."""
GAIN_MAP = "the file's HDR gain map is left out"
"""Note on a file with one."""
VIDEO = "the file's video is left out"
"""Note on a motion photo."""


class WriteError(Exception):
    """A format's library failed to write, for an unknown reason."""


def check_destination(path: Path) -> None:
    """Raise PictureError if no file can be written there."""
    try:
        if path.is_dir():
            raise PictureError(f"{path} is a folder.", "Choose another file name.")
        if path.exists() and not path.is_file():
            raise PictureError(f"{path} is not a regular file.", "Choose another file name.")
        if not path.parent.is_dir():
            raise PictureError(f"Folder {path.parent} does not exist.", "Create it first, or write elsewhere.")
    except OSError as error:
        raise file_error(path, "written", error) from error


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Replace a picture file as `gknet.atomic.replace_file`. Raises PictureError if writing fails."""
    try:
        with atomic.replace_file(path) as unfinished:
            yield unfinished
    except OSError as error:
        raise file_error(path, "written", error) from error
    except WriteError as error:
        raise PictureError(f"{path} could not be written.", "Check the free disk space.") from error


def file_error(path: Path, what: str, error: OSError) -> PictureError:
    """Return the PictureError for a file that the system cannot open, read or write.

    what: the failed action, such as "opened".
    """
    reason = error.strerror or type(error).__name__
    return PictureError(f"{path} cannot be {what}: {reason}.", "Check its name, folder and permissions.")


def damage_error(path: Path) -> PictureError:
    """Return the PictureError for a file whose content cannot be decoded."""
    return PictureError(f"{path} is damaged or incomplete.", "Copy or export it again.")


def check_size(path: Path, width: int, height: int) -> None:
    """Raise PictureError if a picture has too many pixels."""
    if width * height > MAX_PIXELS:
        size, limit = f"{width} × {height} pixels", f"{MAX_PIXELS // 10**6} megapixels"
        raise PictureError(f"{path} is too large: {size}.", f"Scale it below {limit}.")
