"""The whole command on a 20-megapixel photograph: `python -m tests.benchmarks.command`.

Prints wall time and peak memory of the process, and how long `gknet --help` takes to answer. Linux and macOS.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WIDTH, HEIGHT = 5472, 3648
_KIBIBYTES = 1024 if sys.platform == "linux" else 1


def photograph(folder: Path) -> None:
    """`composite.jpg` and `mask.png` (19 % of it), from the demo's background enlarged to 20 megapixels."""
    import numpy as np
    from PIL import Image

    from gknet.cli import demo as example

    with Image.open(example.FOLDER / "background.jpg") as source:
        large = source.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).integers(-6, 7, (HEIGHT, WIDTH, 3), dtype=np.int16)
    pixels = (np.asarray(large) + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "composite.jpg", quality=95)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot((rows - 2100) / 1200, (columns - 3000) / 1000)
    mask = (255 * np.clip((1 - distance) / 0.02, 0, 1)).astype(np.uint8)
    Image.fromarray(mask).save(folder / "mask.png", compress_level=1)


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and peak resident megabytes of one run of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss * _KIBIBYTES / 1e6


def main() -> None:
    gknet = [sys.executable, "-m", "gknet.cli.app"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: Linux counts what a process held before it started another as the other's peak.
        maker = multiprocessing.get_context("spawn").Process(target=photograph, args=(folder,))
        maker.start()
        maker.join()
        print(f"{'':34}{'seconds':>9}{'peak MB':>9}")
        for title, arguments in (
            ("gknet --help", ["--help"]),
            ("gknet info --model gknet-s", ["info", "--model", "gknet-s"]),
            ("20 MP JPEG to JPEG", ["harmonize", "composite.jpg", "mask.png", "-o", "out.jpg"]),
            ("20 MP JPEG to PNG", ["harmonize", "composite.jpg", "mask.png", "-o", "out.png"]),
            ("20 MP JPEG to TIFF", ["harmonize", "composite.jpg", "mask.png", "-o", "out.tif"]),
        ):
            runs = [measured([*gknet, *arguments], folder) for _ in range(3)]
            seconds, peak = sorted(runs)[1][0], max(run[1] for run in runs)
            print(f"{title:34}{seconds:9.2f}{peak:9.0f}")


if __name__ == "__main__":
    main()
