"""How much of a batch is reading, writing and waiting: `python -m tests.benchmarks.batch [--pictures 60]`.

JPEGs of at most a megapixel, made of free photographs, from folder to folder by the code of `gknet batch`. Beside its
wall time stands that of network and transfer alone, for the same pictures in memory: as the batch does them, a picture
on each core, and one after the other on all cores. The best of the rounds of each, taken in turn.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gknet.batch import workbench
from gknet.batch.run import collect_jobs, run_on_threads
from gknet.harmonizer import Harmonizer
from gknet.transfer.cores import limit_threads
from gknet.transfer.trims import NO_TRIMS
from tests.gknet import many

Pairs = list[tuple[np.ndarray, np.ndarray]]


def pairs_in(folder: Path) -> Pairs:
    """Composites (H, W, 3) and masks (H, W), uint8."""
    found = []
    for mask in sorted(folder.glob("*_mask.png")):
        with Image.open(mask) as alpha, Image.open(folder / mask.name.replace("_mask.png", ".jpg")) as picture:
            found.append((np.asarray(picture), np.asarray(alpha)))
    return found


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def one_a_core(harmonizer: Harmonizer, pairs: Pairs) -> None:
    with ThreadPoolExecutor(torch.get_num_threads(), initializer=limit_threads) as pool:
        list(pool.map(lambda pair: harmonizer(*pair), pairs))


def one_on_all(harmonizer: Harmonizer, pairs: Pairs) -> None:
    for pair in pairs:
        harmonizer(*pair)


def batch(settings: Any, source: Path, out: Path) -> None:
    out.mkdir()
    outcomes = list(run_on_threads(collect_jobs(source, out), settings, "cpu", out, threading.Event()))
    if any(outcome.state != "written" for outcome in outcomes):
        raise RuntimeError("The batch did not do all of its pictures.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.batch", description=__doc__)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    harmonizer: Any = Harmonizer.from_pretrained(device="cpu")
    settings = workbench.make_settings(
        model="gknet-s",
        strength=1.0,
        variant=1,
        trims=NO_TRIMS,
        network_size=None,
        clean_edges=False,
        layer=None,
        device="cpu",
    )
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "in")
        source.mkdir()
        many.write(source, options.pictures)
        pairs = pairs_in(source)
        one_on_all(harmonizer, pairs[:4])
        taken: dict[str, list[float]] = {}
        for index in range(options.rounds):
            for title, work in (
                ("network and transfer alone, a picture a core", lambda: one_a_core(harmonizer, pairs)),
                ("network and transfer alone, one after the other", lambda: one_on_all(harmonizer, pairs)),
                ("batch, JPEG to JPEG", lambda out=Path(name, f"out{index}"): batch(settings, source, out)),
            ):
                taken.setdefault(title, []).append(seconds(work))
    alone = min(taken["network and transfer alone, a picture a core"])
    for title, times in taken.items():
        each = ", ".join(f"{1e3 * time / len(pairs):.0f}" for time in times)
        print(f"{title:50} {each} ms a picture, {min(times) / alone:.2f}")


if __name__ == "__main__":
    main()
