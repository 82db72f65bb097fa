"""Composites made by third-party code: the transfers of color-matcher and scikit-image, saved as JPEG.

This set exposes a training recipe that is overfitted to its own synthesis. Photographs come from the validation split.
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
"""Smallest and largest fMSE of a composite, as in `training.data.synthesis.recoloring`."""
_WHOLE = 0.5
"""Share of references that are whole photographs instead of foregrounds."""


def make_transfer(method: str) -> Transfer:
    """Return a color-matcher transfer by name, for example "hm" or "hm-mkl-hm"."""

    def transfer(colours: np.ndarray, reference: np.ndarray) -> np.ndarray:
        # Pictures one pixel wide; copies, because the library modifies its arguments.
        changed = ColorMatcher(src=colours[:, None].copy(), ref=reference[:, None].copy(), method=method).main()
        return np.asarray(changed, np.float64)[:, 0]

    return transfer


def pair_by_brightness(transfer: Transfer) -> Transfer:
    """Wrap a transfer to pair the pixels of both regions by brightness: color-matcher's analytical solver needs equal
    counts.
    """

    def paired_transfer(colours: np.ndarray, reference: np.ndarray) -> np.ndarray:
        ranks = np.argsort(np.argsort(colours.sum(axis=1), kind="stable"), kind="stable")
        by_brightness = reference[np.argsort(reference.sum(axis=1), kind="stable")]
        places = ranks * (len(reference) - 1) // max(1, len(colours) - 1)
        return transfer(colours, by_brightness[places])

    return paired_transfer


def match_with_scikit_image(colours: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Match each channel's histogram with scikit-image's `match_histograms`."""
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
"""All except the last come from color-matcher."""


def make_other_code_samples(photographs: Photographs, half: Half) -> Iterator[Sample]:
    """Yield each photograph of a half with every transfer. Always the same samples: draws depend on key and transfer
    alone.

    The foreground is the photograph's first mask. The reference is another photograph or its foreground. The composite
    is JPEG-compressed, the ground truth is not. A transfer without a usable composite after TRIES attempts is left out.
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
    """Return a composite (H, W, 3) uint8, or None if the foreground changes too little, too much, or to NaN."""
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
    """Return a picture (H, W, 3) uint8 after JPEG compression."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as saved:
        return np.array(saved.convert("RGB"))
