"""What variants cost: `python -m tests.benchmarks.variants`.

Predicting them, beside the network's own run on the demo's picture at 384 pixels; and applying one to a layer of 1024
pixels, beside applying the first. Each pair takes turns in every round; the times are medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gknet import Harmonizer, Trims

DEMO = Path(__file__).parents[2] / "gknet" / "demo"
ROUNDS = 40


def measure(*runs: Callable[[], object]) -> list[float]:
    """Return the median milliseconds of each run."""
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for run, times in zip(runs, taken, strict=True):
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(times) for times in taken]


def main() -> None:
    harmonizer = Harmonizer.from_pretrained(device="cpu")
    composite, mask = (Image.open(DEMO / name) for name in ("composite.jpg", "mask.png"))
    small, small_mask = (np.asarray(picture.resize((288, 384)), np.float32) / 255 for picture in (composite, mask))
    picture, inside = torch.from_numpy(small).permute(2, 0, 1), torch.from_numpy(small_mask)
    answer = harmonizer.net(picture[None], inside[None, None])[0]
    network, variants = measure(
        lambda: harmonizer.net(picture[None], inside[None, None]),
        lambda: harmonizer.net.predict_variants(picture, answer, inside),
    )
    print(f"network {network:.1f} ms, variants {variants:.2f} ms: {100 * variants / network:.1f} %")
    pixels = np.asarray(composite.resize((768, 1024)))
    layer = np.dstack([pixels, np.asarray(mask.resize((768, 1024)))])
    fit = harmonizer.fit_layer(layer, pixels, at=(0, 0), canvas=(768, 1024))
    first, other, trimmed = measure(
        lambda: fit.apply(layer),
        lambda: fit.apply(layer, variant=2),
        lambda: fit.apply(layer, variant=2, trims=Trims(warmth=20)),
    )
    print(f"applying at 1024 pixels: first {first:.1f} ms, another {other:.1f} ms, with a trim {trimmed:.1f} ms")


if __name__ == "__main__":
    main()
