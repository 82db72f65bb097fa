"""Measure how stable results are: `python -m training.research.steadiness --pool FOLDER`.

Uses photographs of the validation split and the same pipeline as users' pictures, at 256 x 256, 8 bit. First measures
how much a real photograph with its own mask changes. Then compares results before and after a small modification: the
object moves by a pixel, or the picture is cropped, enlarged, slightly noisy or JPEG-compressed.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from gknet.errors import HarmonizeError
from gknet.harmonizer import Harmonizer
from gknet.network import weights
from training.data.judging_sets.validation import open_pool
from training.data.sample import Sample
from training.evaluation.score_tables import ScoreTable

Harmonize = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Harmonizes a composite (H, W, 3) uint8 with its mask (H, W) bool into (H, W, 3) uint8."""


class Agreement(NamedTuple):
    """Agreement of two results for the same foreground.

    levels: mean absolute difference in 8-bit levels.
    psnr: dB over the foreground, capped at 100.
    """

    levels: float
    psnr: float


def measure_agreement(one: np.ndarray, other: np.ndarray, mask: np.ndarray) -> Agreement:
    """Compare two results.

    one, other: (H, W, 3) uint8.
    mask: (H, W) bool, not empty.
    """
    difference = one[mask].astype(np.float64) - other[mask].astype(np.float64)
    squared = np.square(difference).mean()
    psnr = 100.0 if squared == 0 else min(100.0, float(10 * np.log10(255**2 / squared)))
    return Agreement(float(np.abs(difference).mean()), psnr)


def shift_object(harmonize: Harmonize, sample: Sample) -> Agreement:
    """Compare with the object moved one pixel to the right, over the original picture."""
    composite, inside = sample.composite, sample.mask[:, :-1]  # the part that stays inside the picture
    there = np.zeros_like(sample.mask)
    there[:, 1:] = inside
    pasted = composite.copy()
    pasted[:, 1:][inside] = composite[:, :-1][inside]
    return measure_agreement(harmonize(composite, sample.mask)[:, :-1], harmonize(pasted, there)[:, 1:], inside)


def crop_picture(harmonize: Harmonize, sample: Sample) -> Agreement | None:
    """Compare with the picture cropped by 5 % of its height and width; None if no foreground is left."""
    height, width = sample.mask.shape
    top, left = round(0.025 * height), round(0.025 * width)
    part = (slice(top, height - top), slice(left, width - left))
    mask = sample.mask[part]
    if not mask.any() or mask.all():
        return None
    return measure_agreement(
        harmonize(sample.composite, sample.mask)[part], harmonize(sample.composite[part], mask), mask
    )


def enlarge_picture(harmonize: Harmonize, sample: Sample) -> Agreement:
    """Compare with every pixel repeated two by two; compares the first of each four."""
    twice = [np.repeat(np.repeat(one, 2, 0), 2, 1) for one in (sample.composite, sample.mask)]
    return measure_agreement(
        harmonize(sample.composite, sample.mask), harmonize(twice[0], twice[1])[::2, ::2], sample.mask
    )


def add_noise(harmonize: Harmonize, sample: Sample) -> Agreement:
    """Compare with noise of two levels' deviation, which is subtracted again before comparing."""
    noise = np.random.default_rng(0).normal(0, 2, sample.composite.shape).round()
    return _apply_same_change(harmonize, sample, np.clip(sample.composite + noise, 0, 255).astype(np.uint8))


def compress_picture(harmonize: Harmonize, sample: Sample) -> Agreement:
    """Compare with JPEG compression at quality 85, including JPEG's own loss."""
    return measure_agreement(
        harmonize(sample.composite, sample.mask), harmonize(_save_as_jpeg(sample.composite), sample.mask), sample.mask
    )


def compress_without_loss(harmonize: Harmonize, sample: Sample) -> Agreement:
    """Compare with JPEG compression at quality 85, with JPEG's own loss subtracted."""
    return _apply_same_change(harmonize, sample, _save_as_jpeg(sample.composite))


def _save_as_jpeg(composite: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(composite).save(file, "JPEG", quality=85)
    return np.asarray(Image.open(file))


def _apply_same_change(harmonize: Harmonize, sample: Sample, other: np.ndarray) -> Agreement:
    """Apply the change of a modified composite (H, W, 3) uint8 to the original, and compare."""
    change = harmonize(other, sample.mask).astype(np.int16) - other
    changed = np.clip(sample.composite.astype(np.int16) + change, 0, 255).astype(np.uint8)
    return measure_agreement(harmonize(sample.composite, sample.mask), changed, sample.mask)


Change = Callable[[Harmonize, Sample], Agreement | None]

CHANGES: dict[str, Change] = {
    "object moved by a pixel": shift_object,
    "cropped by 5 %": crop_picture,
    "enlarged twice": enlarge_picture,
    "noise of two levels": add_noise,
    "JPEG, quality 85": compress_picture,
    "JPEG, its own loss aside": compress_without_loss,
}


def harmonize_photograph(harmonize: Harmonize, sample: Sample) -> Agreement:
    """Compare the real photograph with its harmonized form; its object is already correct."""
    return measure_agreement(sample.real, harmonize(sample.real, sample.mask), sample.mask)


def measure_steadiness(harmonize: Harmonize, samples: Iterator[Sample]) -> dict[str, list[Agreement]]:
    """Return all agreements by change; unmodified photographs are under "none: a real photograph"."""
    found: dict[str, list[Agreement]] = {"none: a real photograph": [], **{name: [] for name in CHANGES}}
    asked: set[str] = set()
    for sample in samples:
        if sample.key not in asked:
            asked.add(sample.key)
            found["none: a real photograph"].append(harmonize_photograph(harmonize, sample))
        for name, change in CHANGES.items():
            if (one := change(harmonize, sample)) is not None:
                found[name].append(one)
    return found


def build_table(found: dict[str, list[Agreement]]) -> ScoreTable:
    """Return a row per change."""
    rows = []
    for name, agreements in found.items():
        levels, psnr = (np.array(values) for values in zip(*agreements, strict=True))
        least = [f"{100 * (psnr >= bound).mean():.1f} %" for bound in (32, 35)]
        rows.append([name, str(len(psnr)), f"{levels.mean():.2f}", f"{psnr.mean():.2f}", *least])
    return ScoreTable(
        title="Two results for the same foreground, 256 x 256, 8-bit levels",
        headings=["what was changed", "pictures", "levels apart", "PSNR dB", "above 32 dB", "above 35 dB"],
        sections=[rows[:1], rows[1:]],
        notes=["First row: the photograph itself against its harmonized form; others: two harmonized pictures."],
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.research.steadiness", description=__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is evaluated")
    parser.add_argument("--weights", type=Path, help="weight file; default: the shipped gknet-s")
    parser.add_argument("--every", type=int, default=1, help="only every N-th composite")
    options = parser.parse_args()
    try:
        harmonizer = Harmonizer(weights.load(options.weights or weights.find_shipped("gknet-s")), "cpu")
        count, samples = open_pool(options.pool)
    except (HarmonizeError, OSError) as error:
        print(f"steadiness: {error}", file=sys.stderr)
        return 2

    def harmonize(composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
        harmonized: np.ndarray = harmonizer(composite, mask)
        return harmonized

    shown = track(samples, "Asking twice", count)
    chosen = (sample for number, sample in enumerate(shown) if number % options.every == 0)
    build_table(measure_steadiness(harmonize, chosen)).show(Console(width=max(110, Console().width)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
