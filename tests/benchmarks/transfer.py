"""How much the colour transfer costs beside the plainest arithmetic over the same pixels.

    python -m tests.benchmarks.transfer [--megapixels 20] [--rounds 5]

The denominator is `a*x+b in tiles`: every byte of the RGBA array, alpha too, to float32, times a, plus b,
clamped, and back to a byte of a new array; with torch, in tiles that stay in the cache, in memory used again,
on as many threads as ours. It is the fastest such pass that numpy or torch gave us. The same on the whole
array at once, as one would write it first, stands beside it. All are run in turn in each round, as other
programs may be busy: times are the best of all rounds, the ratio in brackets is the median of the rounds' own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.cores import limit_threads

Pixels = npt.NDArray[Any]
A, B = 0.9, 12.0


def plain_in_tiles(layer: Pixels, tile: int = 1 << 17) -> Pixels:
    """Of integers as said above; floats are neither converted nor clamped."""
    result = np.empty_like(layer)
    source, target = torch.from_numpy(layer.reshape(-1)), torch.from_numpy(result.reshape(-1))
    threads = torch.get_num_threads()
    share = -(-len(source) // threads)

    def run(start: int) -> None:
        end = min(start + share, len(source))
        buffer = torch.empty(tile)
        for i in range(start, end, tile):
            here = slice(i, min(i + tile, end))
            if layer.dtype.kind == "f":
                torch.mul(source[here], A, out=target[here]).add_(B)
                continue
            part = buffer[: here.stop - i].copy_(source[here])
            target[here].copy_(part.mul_(A).add_(B + 0.5).clamp_(0, np.iinfo(layer.dtype).max))

    with ThreadPoolExecutor(threads, initializer=limit_threads) as pool:
        list(pool.map(run, range(0, len(source), share)))
    return result


def plain_torch(layer: Pixels) -> Pixels:
    result: Pixels = (torch.from_numpy(layer).float() * A + (B + 0.5)).clamp(0, 255).byte().numpy()
    return result


def plain_numpy(layer: Pixels) -> Pixels:
    scaled = layer.astype(np.float32) * np.float32(A) + np.float32(B + 0.5)
    result: Pixels = np.clip(scaled, 0, 255).astype(np.uint8)
    return result


def peak_over_start(function: Callable[[], object]) -> float:
    """MiB of memory that a call adds at its peak; NaN where the system (not Linux) doesn't tell."""

    def status(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(field)))

    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        start = status("VmRSS")
        function()
        return (status("VmHWM") - start) / 1024
    except OSError:
        return float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of the colour transfer beside a plain a*x+b pass.")
    parser.add_argument("--megapixels", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    height = round((options.megapixels * 1e6 * 4 / 5) ** 0.5)
    size = (height, height * 5 // 4)
    random = np.random.default_rng(0)
    layer = np.frombuffer(random.bytes(size[0] * size[1] * 4), np.uint8).reshape(*size, 4).copy()
    layer[..., 3] |= 1  # a clear pixel would be less work for us
    transfer = ColorTransfer(random.normal(0, 0.02, (8, 8, 4, 8, 3)), size)
    ours, floor = "colour transfer", "a*x+b in tiles, torch"
    runs: dict[str, Callable[[], object]] = {
        floor: lambda: plain_in_tiles(layer),
        ours: lambda: transfer.apply(layer),
        "a*x+b at once, torch": lambda: plain_torch(layer),
        "a*x+b at once, numpy": lambda: plain_numpy(layer),
    }
    megapixels = size[0] * size[1] / 1e6
    print(f"{megapixels:.1f} MP RGBA uint8, {layer.nbytes / 2**20:.0f} MiB; torch {torch.__version__}")
    every = torch.get_num_threads()
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        memory = {name: peak_over_start(run) for name, run in runs.items()}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
        print(f"\n{f'threads: {threads}':22} seconds  ms/MP  ratio (median)  MiB over start")
        for name, taken in times.items():
            best, ratio = min(taken), min(taken) / min(times[floor])
            middle = statistics.median(t / f for t, f in zip(taken, times[floor], strict=True))
            cost = best * 1e3 / megapixels
            print(f"{name:22} {best:7.3f} {cost:6.2f} {ratio:6.2f} ({middle:5.2f}) {memory[name]:15.0f}")
    torch.set_num_threads(every)


if __name__ == "__main__":
    main()
