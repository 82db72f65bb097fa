"""Where a training step's time goes, and how fast gknet-s learns beside the straightforward recipe.

    python -m tests.benchmarks.training [--steps 8]

The straightforward recipe is the paper's preset scaled to 16 channels, full-resolution stem and all, at 128 x 128 in
float32 with Eq. 7. Ours is training/configs/gknet_s_128.toml. Both on one thread, on composites made on the fly of
random photographs held in memory: what a step costs does not depend on what they show. The two take turns, as other
programs may be busy; times are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from gknet.network.config import GKNetConfig, preset
from training.data.shards import Photographs
from training.data.streams.composites import CompositeStream, choose_photograph_size
from training.engine.run import TrainingRun, read_run
from training.engine.training import Training

RECIPE = Path(__file__).parents[2] / "training" / "configs" / "gknet_s_128.toml"


class Straightforward(TrainingRun):
    """The paper's network with 16 channels."""

    def network(self) -> GKNetConfig:
        return replace(preset("gknet"), width=16)


class Clock:
    """Seconds spent in the functions it wraps, since it was last read."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def wrap(self, owner: Any, name: str, label: str) -> None:
        original = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            result = original(*arguments, **named)
            self.seconds[label] += time.perf_counter() - start
            return result

        setattr(owner, name, timed)

    def read(self) -> dict[str, float]:
        seconds, self.seconds = self.seconds, Counter()
        return dict(seconds)


def photographs(size: int, count: int = 64) -> Photographs:
    """Smooth random colours with a disc for a foreground."""
    generator = np.random.default_rng(0)
    small = torch.from_numpy(generator.random((count, 3, 12, 12), np.float32))
    pictures = torch.nn.functional.interpolate(small, size=(size, size), mode="bilinear")
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    disc = np.where(rows**2 + columns**2 < 0.09, 255, 0).astype(np.uint8)
    return Photographs(
        pictures=(255 * pictures).byte().numpy(),
        masks=np.repeat(disc[None], count, axis=0),
        owner=np.arange(count),
        keys=[f"random_{index}" for index in range(count)],
    )


def begin(run: TrainingRun) -> tuple[Training, CompositeStream]:
    training = Training(run)
    training.net.train()
    return training, CompositeStream(photographs(choose_photograph_size(run)), run, training.generator)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training")
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours = begin(read_run(RECIPE))
    plain = begin(Straightforward(preset="gknet", size=128, batch=16, loss="foreground_mse", ema=0.0))
    clock = Clock()
    clock.wrap(torch.autograd, "backward", "network, backward")
    clock.wrap(ours[0], "forward", "network, forward")
    clock.wrap(ours[1], "batch", "composites")
    clock.wrap(ours[0].optimizer, "step", "optimizer")
    clock.wrap(ours[0].average, "update_parameters", "moving average")
    steps, rates = [], []
    for number in range(options.steps + 1):
        clock.read()
        start = time.perf_counter()
        ours[0].train_step(ours[1])
        whole = time.perf_counter() - start
        parts = clock.read()
        start = time.perf_counter()
        plain[0].train_step(plain[1])
        plain_whole = time.perf_counter() - start
        if number:  # the first step warms up
            steps.append({**parts, "loss, clipping and the rest": whole - sum(parts.values())})
            rates.append((ours[0].run.batch / whole, plain[0].run.batch / plain_whole))
    medians = {part: statistics.median(step[part] for step in steps) for part in steps[0]}
    whole = sum(medians.values())
    for part, seconds in sorted(medians.items(), key=lambda item: -item[1]):
        print(f"{part:28} {1000 * seconds:7.1f} ms {100 * seconds / whole:6.1f} %")
    network = sum(seconds for part, seconds in medians.items() if part.startswith("network"))
    print(f"network, forward and backward together: {100 * network / whole:.1f} %")
    recipe, straightforward = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(a / b for a, b in rates)
    print(f"this recipe {recipe:.1f} samples/s, the straightforward one {straightforward:.1f}: {ratio:.1f} times")
    with profile(activities=[ProfilerActivity.CPU]) as operators:
        ours[0].train_step(ours[1])
    print(operators.key_averages().table(sort_by="self_cpu_time_total", row_limit=14, max_name_column_width=44))


if __name__ == "__main__":
    main()
