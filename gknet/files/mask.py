"""Which channel of a picture is the mask, and which of its values mean the object."""

from __future__ import annotations

import numpy as np

from gknet.color.encoding import full_value
from gknet.color.luma import LUMA
from gknet.errors import InputError
from gknet.pixels.pixels import check_finite_mask

_STRIP = 256
_STEPS = 65535
_FEW = 0.001  # of all pixels: probably stray ones
_MAX_LABELS = 64
_WHITE_OBJECT = "Make the object white and everything else black."


def choose_mask(pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the mask in a picture, and notes for the user if the choice is not obvious.

    pixels: (H, W, C) as in Picture. The mask is (H, W) of the same type, large = foreground: the alpha channel, unless
    it is nearly uniform; otherwise the gray values, or the luma of RGB. Two values other than black and
    white become black and white.
    Raises InputError for NaN or infinite values, and for a label map with several labels.
    """
    notes: list[str] = []
    mask = _choose_channel(pixels, notes)
    check_finite_mask(mask)
    return _stretch_labels(mask, notes), notes


def _choose_channel(pixels: np.ndarray, notes: list[str]) -> np.ndarray:
    colors, alpha = compute_luma(pixels), _get_alpha(pixels)
    if alpha is None or alpha.min() == alpha.max():
        if pixels.shape[2] >= 3 and _count_colored(pixels) > _FEW * colors.size:
            notes.append("the mask has colors, so its brightness was used as the mask")
        return colors
    if _is_same_nearly_everywhere(alpha) and not _is_same_nearly_everywhere(colors) and _is_black_and_white(colors):
        notes.append("the mask's transparency is the same nearly everywhere, so its brightness was used")
        return colors
    if _is_black_and_white(colors) and not _is_same_nearly_everywhere(colors):
        full = full_value(pixels.dtype)
        differs = (alpha >= full / 2) != ((colors >= full / 2) & (alpha >= full / 2))
        if np.count_nonzero(differs) > _FEW * alpha.size:
            notes.append("the mask's transparency was used, not its black and white")
    return np.ascontiguousarray(alpha)


def compute_luma(pixels: np.ndarray) -> np.ndarray:
    """Return the gray values or the luma, rounded, of a picture (H, W, C): (H, W) of the same type."""
    if pixels.shape[2] < 3:
        return np.ascontiguousarray(pixels[..., 0])
    mask = np.empty(pixels.shape[:2], pixels.dtype)
    for top in range(0, len(mask), _STRIP):  # in strips, because floats take four times the memory
        luma = pixels[top : top + _STRIP, :, :3] @ np.array(LUMA, np.float32)
        mask[top : top + _STRIP] = luma if mask.dtype == np.float32 else np.rint(luma)
    return mask


def _get_alpha(pixels: np.ndarray) -> np.ndarray | None:
    return pixels[..., -1] if pixels.shape[2] in (2, 4) else None


def _stretch_labels(mask: np.ndarray, notes: list[str]) -> np.ndarray:
    """Return a mask of two values as black and white, any other unchanged."""
    full = full_value(mask.dtype)
    counts = _count_levels(mask)
    levels = np.flatnonzero(counts)
    if len(levels) < 2:
        return mask  # has no foreground or no background: rejected later, with a better message
    low, high = levels[0], levels[-1]
    scale = full / (len(counts) - 1)  # value of a level
    if len(levels) == 2:
        selected = counts[high]
        if low > 0.02 * len(counts) or high < 0.95 * (len(counts) - 1):
            notes.append(f"the mask has only two values, so {high * scale:.3g} was used as the object")
        if low > 0 or high < len(counts) - 1:
            mask = np.where(_to_levels(mask) == high, mask.dtype.type(full), mask.dtype.type(0))
    else:
        half = len(counts) // 2
        selected = counts[half:].sum()
        dim = counts[max(low, 1) : half].sum()
        if len(levels) <= _MAX_LABELS and dim > selected and (dim > 0.5 * mask.size or _are_labels(levels, counts)):
            shown = ", ".join(f"{level * scale:.3g}" for level in levels[:6])
            more = ", …" if len(levels) > 6 else ""
            raise InputError(f"The mask has the values {shown}{more}, like a label map.", _WHITE_OBJECT)
        if low > 0:
            notes.append("no part of the mask is black, so the whole picture changes")
        if high < 0.9 * (len(counts) - 1):
            notes.append(f"the mask has no white, so at most {100 * high / (len(counts) - 1):.0f} % is changed")
            selected = counts[max(high // 2, 1) :].sum()
    strays = min(1000, 2 * _FEW * mask.size)
    if selected < strays:
        notes.append(f"the mask selects only {selected} of {mask.size} pixels")
    elif mask.size - selected < 10 * _FEW * mask.size:
        notes.append(f"the mask leaves only {mask.size - selected} of {mask.size} pixels as the scene")
    return mask


def _are_labels(levels: np.ndarray, counts: np.ndarray) -> bool:
    """Whether most pixels that are not black have one of a few levels, unlike those of smooth edges."""
    marked = counts[levels[levels > 0]]
    return bool(np.sort(marked)[-4:].sum() > 0.8 * marked.sum())


def _to_levels(mask: np.ndarray) -> np.ndarray:
    """Return integers as they are, floats as steps of their range."""
    if mask.dtype.kind == "u":
        return mask
    levels: np.ndarray = np.rint(mask.clip(0, 1) * _STEPS).astype(np.uint16)
    return levels


def _count_levels(mask: np.ndarray) -> np.ndarray:
    """Return the number of pixels at each level."""
    size = int(full_value(mask.dtype)) + 1 if mask.dtype.kind == "u" else _STEPS + 1
    strips = (mask[top : top + _STRIP] for top in range(0, len(mask), _STRIP))
    counts = np.zeros(size, np.int64)
    for strip in strips:
        counts += np.bincount(_to_levels(strip).ravel(), minlength=size)
    return counts


def _is_same_nearly_everywhere(values: np.ndarray) -> bool:
    """Whether all but a few pixels are on one side of the middle."""
    above = np.count_nonzero(values >= full_value(values.dtype) / 2)
    return bool(min(above, values.size - above) < _FEW * values.size)


def _is_black_and_white(values: np.ndarray) -> bool:
    """Whether nine in ten pixels are nearly black or nearly white."""
    full = full_value(values.dtype)
    return bool(np.count_nonzero((values <= 0.05 * full) | (values >= 0.95 * full)) >= 0.9 * values.size)


def _count_colored(pixels: np.ndarray) -> int:
    strips = (pixels[top : top + _STRIP, :, :3] for top in range(0, len(pixels), _STRIP))
    limit = 0.04 * full_value(pixels.dtype)
    return sum(int(np.count_nonzero(np.ptp(strip.astype(np.float32), axis=2) > limit)) for strip in strips)
