"""What a colour profile costs: processor seconds of the same call, beside sRGB's. `python -m tests.benchmarks.colour`

24 megapixels, a disc of 15 % of them harmonized, one thread of torch; the least of three runs, taken in turn.
"""

from __future__ import annotations

import time

import numpy as np
import skimage.data
import torch

from gknet import Encoding, Harmonizer
from tests.gknet import icc

HEIGHT, WIDTH = 4000, 6000
WAYS = {
    "sRGB": None,
    "sRGB, with its profile": icc.rgb(icc.SRGB, icc.srgb_curve()),
    "Display P3": icc.rgb(icc.DISPLAY_P3, icc.srgb_curve()),
    "Adobe RGB": icc.rgb(icc.ADOBE_RGB, icc.gamma(2.2)),
}


def main() -> None:
    """Prints a table."""
    torch.set_num_threads(1)  # several wait for each other by spinning, which looks like work
    harmonizer = Harmonizer.from_pretrained(device="cpu")
    pixels = np.tile(skimage.data.astronaut(), (8, 12, 1))[:HEIGHT, :WIDTH]
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius = (0.15 * HEIGHT * WIDTH / np.pi) ** 0.5
    mask = np.where(np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2) < radius, 255, 0).astype(np.uint8)
    print("| values | depth | seconds | of sRGB |\n| --- | --- | ---: | ---: |")
    for depth in (np.uint8, np.uint16):
        picture = pixels.astype(depth) * depth(np.iinfo(depth).max // 255)
        least = dict.fromkeys(WAYS, float("inf"))
        for _ in range(3):
            for name, profile in WAYS.items():
                begun = time.process_time()
                harmonizer(picture, mask, encoding=Encoding(profile=profile))
                least[name] = min(least[name], time.process_time() - begun)
        for name, seconds in least.items():
            print(f"| {name} | {depth.__name__} | {seconds:.2f} | {seconds / least['sRGB']:.1f} |")


if __name__ == "__main__":
    main()
