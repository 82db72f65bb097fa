"""HEIC pictures, as phones take them. Read-only; needs the package pillow-heif, the extra `heic`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gknet.errors import MissingPackageError, PictureError, UnsupportedError
from gknet.files.conversion import expand_limited, expand_range
from gknet.files.metadata.file import clean_metadata
from gknet.files.metadata.resolution import parse_pillow_tags
from gknet.files.picture import ONLY_THE_FIRST, Picture, check_size
from gknet.files.statements import heif
from gknet.files.statements.colors import find_profile, read_statement
from gknet.files.statements.exif import parse_tags

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def read(path: Path, format: str, *, as_mask: bool) -> Picture:
    """Return the picture in a file, upright; more than 8 bits become uint16. As a mask, it has no profile.

    Raises PictureError if the file is damaged or too large, UnsupportedError for colors as
    `gknet.files.statements.colors.find_profile`, MissingPackageError without the package.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingPackageError(f"Reading HEIC ({path}) needs the package pillow-heif.", "heic") from error
    try:
        image = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
        check_size(path, *image.size)
        values = np.asarray(image)
    except PictureError:
        raise
    except (ValueError, OSError, RuntimeError, SyntaxError, EOFError, LookupError) as error:
        raise heif.find_error(path) from error
    if image.mode.split(";")[0] not in _CHANNELS:
        raise UnsupportedError(f"{path} has the unsupported mode {image.mode}.", "Save it as RGB.")
    pixels = np.array(values).reshape(image.size[1], image.size[0], _CHANNELS[image.mode.split(";")[0]])
    bits = image.info.get("bit_depth", 8)
    exif = image.info.get("exif") or b""
    tags = parse_tags(exif)
    with path.open("rb") as file:
        statement = read_statement(file, format)
        notes = [ONLY_THE_FIRST] if len(image) > 1 or heif.is_sequence(file) else []
        notes += heif.find_notes(file, image.info.get("xmp") or b"")
    if pixels.dtype == np.uint16:
        pixels = expand_range(pixels, bits)
    if isinstance(statement, heif.Colors) and statement.is_limited_gray:
        pixels = expand_limited(pixels, bits)
    embedded, gray = image.info.get("icc_profile"), pixels.shape[2] < 3
    profile = None if as_mask else find_profile(path, embedded, statement, tags, gray=gray)
    return Picture(
        pixels=pixels,
        profile=profile,
        format=format,
        metadata={
            **clean_metadata({"exif-data": exif, "xmp-data": image.info.get("xmp")}),
            **parse_pillow_tags(tags),
        },
        notes=notes,
    )
