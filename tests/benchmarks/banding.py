"""Whether a smooth gradient stays smooth under strong curves: rounding beside dithering, and what leaves the range.

    python -m tests.benchmarks.banding

First: a gradient of 4096 pixels from black to white, and a flat gray under light that varies across it, each in 8 bits,
with and without a camera's grain (0.7 levels); the colour map's float result goes to 8 bits by rounding, or with
a threshold that depends on the place (ordered: Bayer's 8 x 8; noise: a hash). Levels: how many differ. Step: the
largest between neighbours. Run: the longest of one level, pixels. Error: root mean square from the same curve on the
gradient before it was 8-bit, and the same after a blur of 3 pixels, about what an eye blends.

Then: curves that lead the gradient beyond white, cut off there or rolled off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.sample import Sample

Array = npt.NDArray[Any]
SIZE = (64, 4096)
KNOTS = np.linspace(0, 1, 8)
CURVES: dict[str, Callable[[Array], Array]] = {
    "gamma 0.45": lambda x: x**0.45,
    "gamma 2.2": lambda x: x**2.2,
    "contrast": lambda x: 0.5 + 0.5 * np.tanh(4 * (x - 0.5)) / np.tanh(2),
    "a third of it": lambda x: x / 3,
}


def own_curve(curve: Callable[[Array], Array], size: tuple[int, int] = SIZE) -> ColorTransfer:
    """The map that takes each channel through a curve, everywhere."""
    curves = np.zeros((8, 8, 4, 8, 3))
    for channel in range(3):
        curves[..., channel, :, channel] = curve(KNOTS) - KNOTS
    return ColorTransfer(curves, size)


def side_light(size: tuple[int, int] = SIZE) -> ColorTransfer:
    """A map that darkens by nothing at the left, by 24 levels at the right."""
    curves = np.zeros((8, 8, 4, 8, 3))
    curves[:, :, 3] = np.linspace(0, -24 / 255, 8)[:, None, None]
    return ColorTransfer(curves, size)


def gradient() -> Array:
    """(h, w, 3) float32, left to right."""
    return np.broadcast_to(np.linspace(0, 1, SIZE[1], dtype=np.float32)[None, :, None], (*SIZE, 3)).copy()


def bayer() -> Array:
    """(h, w, 1): Bayer's thresholds, in (0, 1)."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    return np.tile((pattern + 0.5) / 64, (SIZE[0] // 8, SIZE[1] // 8))[..., None]


def blurred(picture: Array, sigma: float = 3.0) -> Array:
    """The middle rows of (h, w, c), as an eye blends them."""
    taps = np.exp(-0.5 * (np.arange(-9, 10) / sigma) ** 2)
    taps /= taps.sum()
    rows = np.apply_along_axis(np.convolve, 0, picture[..., 0], taps, "valid")
    result: Array = np.apply_along_axis(np.convolve, 1, rows, taps, "valid")
    return result


def run(levels: Array) -> int:
    """The longest run of one level along a row."""
    ends = np.flatnonzero(np.diff(levels))
    return int(np.diff(np.concatenate(([-1], ends, [len(levels) - 1]))).max())


def rounding() -> None:
    random = np.random.default_rng(0)
    ways = {"rounded": np.full((*SIZE, 1), 0.5), "ordered": bayer(), "noise": random.random((*SIZE, 1))}
    print("| gradient | curve | to 8 bits | levels | step | run | error | blurred |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    flat = np.full((*SIZE, 3), 0.5, np.float32)
    tried = [("gradient", gradient(), name, own_curve(curve)) for name, curve in CURVES.items()]
    for name, smooth, curve, transfer in [*tried, ("flat", flat, "side light", side_light())]:
        truth = transfer.apply(smooth) * 255
        for grain in (0.0, 0.7):
            noisy = smooth * 255 + random.normal(0, grain, (*SIZE, 1)) if grain else smooth * 255
            source = (np.rint(noisy).clip(0, 255) / 255).astype(np.float32)
            exact = transfer.apply(source).astype(np.float64) * 255
            for way, threshold in ways.items():
                result = np.floor(exact + threshold).clip(0, 255)
                row = result[SIZE[0] // 2, :, 0]
                error = np.sqrt(((result - truth) ** 2).mean())
                seen = np.sqrt(((blurred(result) - blurred(truth)) ** 2).mean())
                facts = f"{len(np.unique(row))} | {np.abs(np.diff(row)).max():.0f} | {run(row)}"
                print(f"| {name}{', grain' if grain else ''} | {curve} | {way} | {facts} | {error:.2f} | {seen:.2f} |")


def beyond_white() -> None:
    print("\n| curve | depth | beyond white | levels kept | at the top | lowest slope |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for gain in (1.05, 1.3, 1.8):
        cut = own_curve(lambda x, gain=gain: x * gain)
        for depth in (np.uint8, np.uint16):
            layer = np.rint(gradient() * np.iinfo(depth).max).astype(depth)
            for name, transfer in (("cut off", cut), ("rolled off", cut.roll_off(Sample.take(layer)))):
                row = transfer.apply(layer)[0, :, 0].astype(int)
                kept = len(np.unique(row)) / len(np.unique(layer))
                top = (row == np.iinfo(depth).max).mean()
                slope = np.diff(row[::64]).min() / np.iinfo(depth).max * (SIZE[1] / 64)
                print(f"| times {gain} | {np.dtype(depth).name} | {name} | {kept:.0%} | {top:.1%} | {slope:.2f} |")


if __name__ == "__main__":
    rounding()
    beyond_white()
