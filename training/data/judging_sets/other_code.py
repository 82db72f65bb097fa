"""Composites by other people's code: the transfers of the libraries color-matcher and scikit-image, saved as JPEG.

A recipe that was tuned to its own synthesis shows here. Photographs are those of the validation split.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator

import numpy as np
from color_matcher import ColorMatcher  # type: ignore[import-untyped]
from PIL import Image
from skimage.exposure import match_histograms

from training.data.judging_sets.validation import Half, find_half
from training.data.sample import TRIES, Sample
from training.data.shards import Photographs

Transfer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Colours (N, 3) and reference colours (M, 3), float64 in [0, 1] -> (N, 3), not clamped."""

_STRENGTH = (0.4, 1.0)
_QUALITY = (85, 95)
_FMSE = (50.0, 8000.0)
"""Least and most fMSE of a composite, as in `training.data.synthesis.recoloring`."""
_WHOLE = 0.5
"""Share of references that are the whole photograph rather than its foreground."""


def make_transfer(method: str) -> Transfer:
    """Return a transfer of color-matcher by its name, "hm" or "hm-mkl-hm" say."""

    def transfer(colours: np.ndarray, reference: np.ndarray) -> np.ndarray:
        # Pictures one pixel wide; copies, for the library writes into what it is given.
        changed = ColorMatcher(src=colours[:, None].copy(), ref=reference[:, None].copy(), method=method).main()
        return np.asarray(changed, np.float64)[:, 0]

    return transfer


def pair_by_brightness(transfer: Transfer) -> Transfer:
    """Pair both regions' pixels by brightness first: color-matcher's analytical solver takes them one to one."""

    def paired_transfer(colours: np.ndarray, reference: np.ndarray) -> np.ndarray:
        ranks = np.argsort(np.argsort(colours.sum(axis=1), kind="stable"), kind="stable")
        by_brightness = reference[np.argsort(reference.sum(axis=1), kind="stable")]
        places = ranks * (len(reference) - 1) // max(1, len(colours) - 1)
        return transfer(colours, by_brightness[places])

    return paired_transfer


def match_with_scikit_image(colours: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Match each channel's histogram by scikit-image's `match_histograms`."""
    return np.asarray(match_histograms(colours[:, None], reference[:, None], channel_axis=-1))[:, 0]


TRANSFERS: dict[str, Transfer] = {
    "hm": make_transfer("hm"),
    "reinhard": make_transfer("reinhard"),
    "mkl": make_transfer("mkl"),
    "mvgd": pair_by_brightness(make_transfer("mvgd")),
    "hm-mkl-hm": make_transfer("hm-mkl-hm"),
    "hm-mvgd-hm": pair_by_brightness(make_transfer("hm-mvgd-hm")),
    "scikit-image": match_with_scikit_image,
}
"""All but the last are color-matcher's."""


def make_other_code_samples(photographs: Photographs, half: Half) -> Iterator[Sample]:
    """Every transfer of every photograph of a half, always the same: draws depend on its key and the transfer alone.

    The foreground is the photograph's first mask; the reference another photograph's foreground or the whole of it.
    The composite went through a JPEG file, the truth did not. A transfer that gives no usable composite in a number of
    tries is left out for that photograph.
    """
    first = [int(masks[0]) for masks in photographs.masks_of]
    pixels = photographs.pictures.transpose(0, 2, 3, 1)
    for index, key in enumerate(photographs.keys):
        if find_half(key) != half:
            continue
        mask = photographs.masks[first[index]] >= 128
        for name, transfer in TRANSFERS.items():
            seed = hashlib.sha256(f"{key}:{name}:other code".encode()).digest()[:8]
            draws = np.random.default_rng(int.from_bytes(seed, "big"))
            for _ in range(TRIES):
                other = int(draws.integers(len(pixels)))
                reference = pixels[other]
                if draws.random() >= _WHOLE:
                    reference = reference[photographs.masks[first[other]] >= 128]
                composite = _make_composite(pixels[index], mask, reference.reshape(-1, 3), transfer, draws)
                if composite is not None and other != index:
                    yield Sample(key, name, composite, np.ascontiguousarray(pixels[index]), mask)
                    break


def _make_composite(
    real: np.ndarray, mask: np.ndarray, reference: np.ndarray, transfer: Transfer, draws: np.random.Generator
) -> np.ndarray | None:
    """(H, W, 3) uint8; None where the foreground hardly changes, changes beyond sense, or is no number."""
    colours = real[mask] / 255.0
    with np.errstate(all="ignore"):
        changed = transfer(colours, reference / 255.0)
    strength, quality = draws.uniform(*_STRENGTH), int(draws.integers(_QUALITY[0], _QUALITY[1] + 1))
    if np.iscomplexobj(changed) or not np.isfinite(changed).all():
        return None
    composite = real.copy()
    composite[mask] = (255 * (colours + strength * (changed - colours))).clip(0, 255).round()
    least, most = _FMSE
    if not least < np.square(composite[mask].astype(float) - real[mask]).mean() < most:
        return None
    return compress_as_jpeg(composite, quality)


def compress_as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 as it comes back from a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as saved:
        return np.array(saved.convert("RGB"))
