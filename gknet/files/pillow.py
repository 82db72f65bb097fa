"""Conversion between PIL images and arrays."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gknet.color.profile import is_compatible
from gknet.errors import PictureError, UnsupportedError

_MODES = {
    "L": np.uint8,
    "LA": np.uint8,
    "RGB": np.uint8,
    "RGBA": np.uint8,
    "I;16": np.uint16,
    "F": np.float32,
}


def from_pillow(image: Image.Image) -> np.ndarray:
    """Return the image's pixels, (H, W) or (H, W, C). Raises UnsupportedError for a mode without an exact way back."""
    if image.mode not in _MODES:
        raise UnsupportedError(
            f"Unsupported image mode {image.mode}.",
            "Convert the image first: image.convert('RGB').",
        )
    try:
        return np.asarray(image)
    except (OSError, ValueError) as error:  # a damaged file is only noticed now; a closed one has no pixels
        raise PictureError(f"The image cannot be read: {error}.", "Open it again, or use another copy.") from error


def to_pillow(pixels: np.ndarray, like: Image.Image) -> Image.Image:
    """Return an image with the mode, profile and metadata of `like`."""
    image = Image.fromarray(pixels)
    assert image.mode == like.mode, f"{image.mode} is not {like.mode}"
    image.info.update(like.info)
    return image


def get_profile(image: Image.Image) -> bytes | None:
    """Return the image's ICC profile if it matches its colors, otherwise None."""
    embedded: bytes | None = image.info.get("icc_profile")
    return embedded if is_compatible(embedded, gray=image.mode in ("L", "LA", "I;16", "F")) else None
