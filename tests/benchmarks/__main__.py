"""Where the time and the memory of harmonizing go, stage by stage: `python -m tests.benchmarks`.

A composite whose object is a disc of 15 % of its pixels, harmonized from array to array by the shipped `gknet-s`, of
1, 6, 24 and 100 megapixels, uint8, uint16 and float32, on one thread and on all. Beside each stage stands what bounds
it, measured in the same run: the network's arithmetic at the rate of a 2048 x 2048 float32 matrix product; a copy of
the bytes that are reduced; `a*x+b` over the pixels that the transfer colours, and over all of them for the whole. The
stages are timed inside the whole run, by its own progress; on several threads the fit is prepared beside the network,
whose stage includes it then, and on one thread after it. Then the networks and the modulation by themselves, and the
transfer of a whole RGBA layer. Times are the best of all rounds. Linux, for the memory.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from gknet import Harmonizer, preset
from gknet.network import weights
from gknet.network.inference import InferenceNetwork
from gknet.network.modulation import modulate, modulate_reference
from gknet.transfer.color_transfer import ColorTransfer
from tests.benchmarks.transfer import Pixels, peak_over_start, plain_in_tiles

SIDE = 2048
MEGAPIXELS = (1, 6, 24, 100)
DEPTHS: tuple[type[np.generic], ...] = (np.uint8, np.uint16, np.float32)


def best(run: Callable[[], object], rounds: int = 5) -> float:
    """Seconds."""
    run()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


def matrix_product() -> float:
    """Seconds of a float32 product of two 2048 x 2048 matrices."""
    one, other = torch.rand(2, SIDE, SIDE)
    return best(lambda: one @ other)


def disc(height: int, width: int) -> Pixels:
    """A mask, uint8, of 15 % of the pixels, with a soft edge."""
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2).astype(np.float32)
    radius = (0.15 * height * width / np.pi) ** 0.5
    mask: Pixels = ((radius - distance).clip(-3, 3) / 6 * 255 + 127.5).astype(np.uint8)
    return mask


def composite(height: int, width: int, depth: type[np.generic]) -> Pixels:
    """(H, W, 3): smooth colours with noise."""
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.rand(1, 3, 9, 13, generator=generator), size=(height, width), mode="bicubic")[0]
    unit = (
        smooth.add_(torch.rand(1, height, width, generator=generator), alpha=0.1).clamp_(0, 1).permute(1, 2, 0).numpy()
    )
    if depth == np.float32:
        return np.ascontiguousarray(unit)
    pixels: Pixels = np.ascontiguousarray((unit * np.iinfo(depth).max).astype(depth))
    return pixels


def stages(harmonizer: Harmonizer, picture: Pixels, mask: Pixels, rounds: int) -> dict[str, float]:
    """Seconds of each stage, and of the whole, the best of each; and MB of memory at the peak, above the start."""
    seen: list[dict[str, float]] = []

    def once() -> None:
        marks: list[tuple[str, float]] = [("check", time.perf_counter())]

        def note(stage: str, done: int, _total: int) -> None:
            name = "fit" if (stage, done) == ("network", 1) else stage
            if name != marks[-1][0] and not (name == "network" and marks[-1][0] == "fit"):
                marks.append((name, time.perf_counter()))

        harmonizer(picture, mask, on_progress=note)
        marks.append(("", time.perf_counter()))
        taken = {name: after - before for (name, before), (_, after) in itertools.pairwise(marks)}
        seen.append({**taken, "whole": marks[-1][1] - marks[0][1]})

    once()
    seen.clear()
    for _ in range(rounds):
        once()
    found = {name: min(one[name] for one in seen) for name in seen[0]}
    return {**found, "MB": peak_over_start(once) * 2**20 / 1e6}


def copy_in_tiles(pixels: Pixels) -> None:
    """All cores copy their share, once."""
    source = torch.from_numpy(pixels.reshape(-1).view(np.uint8))
    target = torch.empty_like(source)
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        list(
            pool.map(
                lambda pair: pair[0].copy_(pair[1]), zip(target.chunk(threads), source.chunk(threads), strict=True)
            )
        )


def whole_way(harmonizer: Harmonizer, threads: int, rounds: int) -> None:
    """The table of the stages."""
    product = matrix_product()
    heads = ("reduce", "/copy", "network", "/matmul", "fit", "transfer", "/a*x+b", "whole", "/a*x+b", "/product", "MB")
    print(f"\nthreads: {threads}; matrix product {1e3 * product:.0f} ms ({2 * SIDE**3 / product / 1e9:.0f} GFLOPS)")
    print(f"{'ms':>14} " + " ".join(f"{head:>8}" for head in heads))
    for megapixels in MEGAPIXELS:
        height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
        width = height * 3 // 2
        mask = disc(height, width)
        flops = arithmetic(harmonizer.net, torch.from_numpy(mask))
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        for depth in DEPTHS:
            picture = composite(height, width, depth)
            found = stages(harmonizer, picture, mask, rounds)
            inside = np.ascontiguousarray(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
            copied = best(lambda picture=picture: copy_in_tiles(picture), rounds)
            some, all_of_it = (best(lambda part=part: plain_in_tiles(part), rounds) for part in (inside, picture))
            numbers = (
                *(1e3 * found["reduce"], found["reduce"] / copied),
                *(1e3 * found["network"], found["network"] / (flops / (2 * SIDE**3) * product)),
                1e3 * found["fit"],
                *(1e3 * found["apply"], found["apply"] / some),
                *(1e3 * found["whole"], found["whole"] / all_of_it, found["whole"] / product, found["MB"]),
            )
            print(f"{megapixels:4} MP {np.dtype(depth).name:>7} " + " ".join(f"{number:8.1f}" for number in numbers))


def arithmetic(net: InferenceNetwork, mask: torch.Tensor) -> int:
    """Floating-point operations that the network does for a picture of 3 x 2 with such a mask."""
    side = net.config.network_size
    shown = (side * 2 // 3, side)
    flat = F.interpolate(mask[None, None].float() / 255, size=shown)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(torch.zeros(1, 3, *shown), flat)
    return int(counter.get_total_flops())


def networks(threads: int, rounds: int) -> None:
    """Both presets at 256 x 256 beside the matrix product, and the modulation beside the unfold form."""
    product = matrix_product()
    print(f"\nthreads: {threads}; networks at 256 x 256, of the matrix product's rate")
    whole = torch.ones(1, 1, 256, 256)
    masks = {"foreground everywhere": whole, "a disc of 15 %": torch.from_numpy(disc(256, 256))[None, None] / 255}
    picture = torch.rand(1, 3, 256, 256)
    taken: dict[str, float] = {}
    for name in ("gknet", "gknet-s"):
        net = InferenceNetwork(weights.build(preset(name)))
        for label, mask in masks.items():
            with FlopCounterMode(display=False) as counter, torch.inference_mode():
                net(picture, mask)
            with torch.inference_mode():
                seconds = taken[f"{name}, {label}"] = best(lambda net=net, mask=mask: net(picture, mask), rounds)
            rate = counter.get_total_flops() / seconds / (2 * SIDE**3 / product)
            print(
                f"{name:8} {label:22} {1e3 * seconds:7.1f} ms {counter.get_total_flops() / 1e9:6.2f} GFLOP {rate:6.0%}"
            )
    for label in masks:
        print(f"gknet / gknet-s, {label}: {taken[f'gknet, {label}'] / taken[f'gknet-s, {label}']:.1f}")
    for channels, side in ((32, 256), (16, 128)):
        feature, kernels = torch.rand(1, channels, side, side), torch.rand(1, 9 * channels, side, side)
        with torch.inference_mode():
            ours = best(lambda f=feature, k=kernels: modulate(f, k), rounds)
            unfolded = best(lambda f=feature, k=kernels: modulate_reference(f, k), rounds)
        print(
            f"modulation of {channels} x {side} x {side}: {1e3 * ours:.2f} ms, unfold form {unfolded / ours:.1f} times"
        )


def whole_layer(threads: int, rounds: int) -> None:
    """The transfer of a 24-megapixel RGBA layer, every pixel of it, beside `a*x+b` over the same numbers."""
    print(f"\nthreads: {threads}; transfer of every pixel of a 24 MP RGBA layer")
    random = np.random.default_rng(0)
    size = (4000, 6000)
    transfer = ColorTransfer(random.normal(0, 0.02, (8, 8, 4, 8, 3)), size)
    for depth in DEPTHS:
        layer = np.dstack([composite(*size, depth), np.ones(size, depth)])
        ours = best(lambda layer=layer: transfer.apply(layer), rounds)
        plain = best(lambda layer=layer: plain_in_tiles(layer), rounds)
        beyond = peak_over_start(lambda layer=layer: transfer.apply(layer)) - layer.nbytes / 2**20
        ratio = f"{ours / plain:5.1f} times a*x+b"
        print(f"{np.dtype(depth).name:>7} {1e3 * ours:7.0f} ms {ratio}, {beyond:.0f} MiB beyond the result")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    harmonizer: Any = Harmonizer.from_pretrained(device="cpu")
    every = torch.get_num_threads()
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        networks(threads, rounds)
        whole_layer(threads, rounds)
        whole_way(harmonizer, threads, rounds)


if __name__ == "__main__":
    main()
