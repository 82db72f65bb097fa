"""Checks and conversions of pictures and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from gknet.color.encoding import full_value
from gknet.color.luma import LUMA
from gknet.errors import InputError, NoBackgroundError, NoForegroundError

_STRIP = 256
_SAMPLES = 256
"""Rows and columns of a picture that are looked at to find the scale of its values."""
_HIGHLIGHTS = 0.75
"""Largest share of a picture that can be highlights; of more, white is not 1 but, for example, 255."""


def validate_mask(mask: np.ndarray | Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask as (H, W) uint8, uint16 or float32.

    mask: (H, W) or (H, W, 1), bool, integer or float in [0, 1], or a PIL image.   shape: (height, width) of the
    picture.
    Raises InputError for an invalid mask, NoForegroundError or NoBackgroundError if it is the same everywhere.
    """
    if isinstance(mask, Image.Image) and mask.mode not in ("1", "L", "I;16", "F"):
        raise InputError(f"Unsupported mask mode {mask.mode}.", "Use an image of mode L, white = foreground.")
    flat = np.asarray(mask)
    if flat.ndim == 3 and flat.shape[2] == 1:
        flat = flat[:, :, 0]
    if flat.ndim != 2:
        raise InputError(f"Expected a mask of shape (H, W), got {flat.shape}.", "Pass a single channel.")
    if flat.shape != tuple(shape):
        want, have = "x".join(map(str, shape[1::-1])), "x".join(map(str, flat.shape[1::-1]))
        raise InputError(f"The mask is {have} pixels, the picture {want}.", "Use a mask of the picture's size.")
    if flat.dtype == np.bool_:
        flat = flat.astype(np.uint8) * np.uint8(255)
    elif flat.dtype not in (np.uint8, np.uint16):
        if flat.dtype.kind not in "iuf":
            raise InputError(f"Unsupported mask type {flat.dtype}.", "Use bool, uint8, uint16 or float.")
        check_finite_mask(flat)
        low, high = flat.min(initial=np.inf), flat.max(initial=-np.inf)
        if low < 0 or high > 1:
            raise InputError(
                f"Mask values must be between 0 and 1, but they range from {low:g} to {high:g}.",
                "Scale the mask so that 1 is the foreground.",
            )
        flat = flat.astype(np.float32)
    if flat.dtype.kind == "u" and 0 < flat.max() <= np.iinfo(flat.dtype).max // 8:
        raise InputError(
            f"The mask's largest value is {flat.max()} of {np.iinfo(flat.dtype).max}.",
            "Pass a bool mask, or scale it to the full range.",
        )
    if not flat.any():
        raise NoForegroundError("The mask is completely black.", "Paint the object white in the mask.")
    if flat.min() == flat.max():
        raise NoBackgroundError("The mask has the same value everywhere.", "Paint everything but the object black.")
    return flat


def check_finite_mask(mask: np.ndarray) -> None:
    """Raise InputError, with their numbers, if a mask of any shape and type contains NaN or infinite values."""
    if mask.dtype.kind != "f" or np.isfinite(mask).all():
        return
    counts = {"NaN": np.count_nonzero(np.isnan(mask)), "infinite": np.count_nonzero(np.isinf(mask))}
    found = " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    raise InputError(
        f"The mask contains NaN or infinite values: {found} of {mask.size}.",
        "Replace them with numbers from 0 to 1; 1 is the foreground.",
    )


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Return a picture (H, W) or (H, W, 1–4) as (H, W, 3) or, with alpha, (H, W, 4). Raises InputError for other
    shapes.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise InputError(
            f"Expected an array of shape (H, W) or (H, W, 1–4), got {pixels.shape}.",
            "Pass a picture with 1 to 4 channels.",
        )
    if pixels.shape[2] >= 3:
        return pixels
    return pixels[:, :, [0, 0, 0, *range(1, pixels.shape[2])]]


def check_scale_of_floats(pixels: np.ndarray) -> None:
    """Raise InputError if the floats of a picture (H, W, 3 or 4) are not on the scale on which white is 1."""
    if pixels.dtype.kind != "f":
        return
    down, across = (max(1, length // _SAMPLES) for length in pixels.shape[:2])
    some = pixels[::down, ::across]
    beyond = np.all(some[..., :3] > 1, axis=2)
    if some.shape[2] == 4:
        beyond = beyond[some[..., 3] > 0]
    if beyond.size and beyond.mean() > _HIGHLIGHTS:
        raise InputError(
            f"{beyond.mean():.0%} of the picture is brighter than white, which is 1.",
            "Divide its values by that of white, for example by 255.",
        )


def max_alpha(alpha: np.ndarray, part: np.ndarray | None = None) -> float:
    """Return the largest alpha of (H, W), in [0, 1]; only where `part` (H, W) is above 0, if given."""
    full = full_value(alpha.dtype)

    def largest(every: int) -> float:
        some = alpha[::every, ::every]
        if part is not None:
            some = some[part[::every, ::every] > 0]
        return min(float(np.fmax.reduce(some, axis=None, initial=0)) / full, 1.0)  # fmax, as there may be NaN

    few = largest(8)
    return few if few == 1 else largest(1)


def fill_gaps(pixels: np.ndarray) -> np.ndarray:
    """Return a scene (H, W, 3 or 4) as (H, W, 3), with transparent areas filled with its mean color.

    Thus transparent areas affect neither the scene's light nor its colors.
    Raises NoBackgroundError if the scene is fully transparent.
    """
    if pixels.shape[2] == 3:
        return pixels
    full = full_value(pixels.dtype)
    # In strips, because floats take up to four times the memory, and many are opaque or empty.
    strips = [pixels[top : top + _STRIP] for top in range(0, len(pixels), _STRIP)]
    total, covered = np.zeros(3), 0.0
    for strip in strips:
        if strip[..., 3].any():
            colors, share = _weigh_colors(strip, full)
            total += (colors * share).sum(axis=(0, 1), dtype=np.float64)
            covered += float(share.sum(dtype=np.float64))
    if covered == 0:
        raise NoBackgroundError(
            "Nothing is visible below the foreground.", "Place it over a picture, or unhide the layers below."
        )
    mean = (total / covered).astype(np.float32)
    result = np.empty((*pixels.shape[:2], 3), pixels.dtype)
    for top, strip in zip(range(0, len(pixels), _STRIP), strips, strict=True):
        filled = result[top : top + _STRIP]
        if (strip[..., 3] == full).all():
            filled[...] = strip[..., :3]
        elif not strip[..., 3].any():
            filled[...] = _as_level(mean, pixels.dtype)
        else:
            colors, share = _weigh_colors(strip, full)
            mixed = colors * share + mean * (1 - share)
            filled[...] = np.where(share == 1, strip[..., :3], _as_level(mixed, pixels.dtype))
    return result


def _weigh_colors(pixels: np.ndarray, full: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the colors (h, w, 3) of pixels with alpha, and their alpha (h, w, 1) in [0, 1], as float32."""
    share = pixels[:, :, 3:].astype(np.float32) / np.float32(full)
    # Fully transparent pixels may hold any value, even NaN.
    return np.where(share > 0, pixels[:, :, :3], 0).astype(np.float32), share


def _as_level(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Convert float32 values to a type, rounded if that is an integer."""
    return (values if dtype.kind == "f" else np.rint(values)).astype(dtype)


def restore_channels(changed: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Convert changed RGB(A) back to the channels of `pixels`: gray is the luma, unchanged exactly where nothing
    changed.
    """
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return changed
    gray = pixels if pixels.ndim == 2 else pixels[:, :, 0]
    luma = changed[:, :, :3].astype(np.float32) @ np.array(LUMA, np.float32)
    if not np.issubdtype(pixels.dtype, np.floating):
        luma = np.rint(luma)
    luma = np.where((changed[:, :, :3] == gray[:, :, None]).all(axis=2), gray, luma).astype(pixels.dtype)
    result = pixels.copy()
    if pixels.ndim == 2:
        return luma
    result[:, :, 0] = luma
    return result
