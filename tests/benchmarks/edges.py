"""What cleaning does to the colours of soft edges whose truth is known.

    python -m tests.benchmarks.edges [--large]

A layer is made as a cut-out tool leaves it: a photograph F behind a real matte (tests/mattes), and where the matte is
partial, the colours alpha F + (1 - alpha) B of the photograph with another one, B, behind it. What lies under clear
pixels is B ("kept") or black ("cleared"). "Clean already" is a layer that holds F everywhere. The error is the mean
distance from F, over pixels with 0 < alpha < 1 and channels, in levels of 255; in brackets weighted by alpha, as it
is seen over another background.
--large: time and memory for one of them at 24 megapixels.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image

from gknet import edges
from tests.benchmarks.transfer import peak_over_start

Pixels = npt.NDArray[Any]
TESTS = Path(__file__).parents[1]
DEMO = TESTS.parent / "gknet" / "demo"
MATTES = {"astronaut": "astronaut", "cat": "chelsea", "upper-dog": "dogs", "lower-dog": "dogs", "drum": ""}
"""Name, and which of the photographs below it was found in."""
BENEATH = ("kept", "cleared", "clean already")


class Case(NamedTuple):
    """A layer (h, w, 4) uint8 and the colours (h, w, 3) uint8 that its object truly has."""

    matte: str
    beneath: str
    layer: Pixels
    truth: Pixels


def mattes() -> dict[str, Pixels]:
    """Return the real mattes of `tests/mattes`, (h, w) uint8."""
    return {name: np.asarray(Image.open(TESTS / "mattes" / f"{name}.png")) for name in MATTES}


def photographs() -> dict[str, Image.Image]:
    """Photographs that may be published."""
    scenes = {name: Image.open(DEMO / f"{file}.jpg") for name, file in (("mountains", "background"), ("dogs", "real"))}
    names = ("astronaut", "coffee", "chelsea", "rocket")
    samples = {name: Image.fromarray(getattr(skimage.data, name)()) for name in names}
    return {name: picture.convert("RGB") for name, picture in {**scenes, **samples}.items()}


def fitted(photograph: Image.Image, size: tuple[int, int]) -> Pixels:
    """A photograph as (h, w, 3) uint8 of a size (h, w), cut to its shape."""
    height, width = size
    scale = max(width / photograph.width, height / photograph.height)
    across, down = min(photograph.width, width / scale), min(photograph.height, height / scale)
    left, top = (photograph.width - across) / 2, (photograph.height - down) / 2
    box = (left, top, left + across, top + down)
    return np.asarray(photograph.resize((width, height), Image.Resampling.LANCZOS, box=box))


def pasted(truth: Pixels, behind: Pixels, alpha: Pixels, beneath: str) -> Pixels:
    """The layer that a cut-out tool leaves."""
    a = alpha[..., None] / np.float32(255)
    mixed = np.rint(a * truth + (1 - a) * behind).astype(np.uint8)
    if beneath == "clean already":
        mixed = truth
    if beneath != "kept":
        mixed = np.where(alpha[..., None] > 0, mixed, np.uint8(0))
    return np.dstack([mixed, alpha])


def cases(beneath: tuple[str, ...] = BENEATH, most: int = 7, scale: float = 1.0) -> Iterator[Case]:
    """Every matte, with at most so many pairs of photographs, and what lies beneath in turn."""
    shown = photographs()
    for number, (name, alpha) in enumerate(mattes().items()):
        if scale != 1:
            size = (round(alpha.shape[1] * scale), round(alpha.shape[0] * scale))
            alpha = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC))
        # Never behind its own photograph's matte: that has its own edge, and the old background, just there.
        pairs = [pair for pair in itertools.permutations(shown, 2) if pair[0] != MATTES[name]][number::4][:most]
        for front, back in pairs:
            truth, behind = (fitted(shown[one], alpha.shape) for one in (front, back))
            for kind in beneath:
                yield Case(name, kind, pasted(truth, behind, alpha, kind), truth)


def error(layer: Pixels, truth: Pixels) -> tuple[float, float]:
    """Mean distance in the band, plain and weighted by alpha."""
    band = (layer[..., 3] > 0) & (layer[..., 3] < 255)
    distance = np.abs(layer[..., :3].astype(np.float32) - truth)[band].mean(-1)
    alpha = layer[..., 3][band] / np.float32(255)
    return float(distance.mean()), float((distance * alpha).mean() / alpha.mean())


def silent(*_: object) -> None:
    """Progress that nobody asked for."""


def table(found: list[tuple[Case, tuple[float, float], tuple[float, float]]]) -> None:
    """Means by matte and by what lies beneath, and the worst picture of each."""
    print(f"| {'matte':9} | {'beneath':13} | pictures | as it was | cleaned | of it | worst picture |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    groups = [(name, beneath) for beneath in BENEATH for name in (*MATTES, "all")]
    for name, beneath in groups:
        rows = [(b, a) for case, b, a in found if case.beneath == beneath and name in (case.matte, "all")]
        before, after = (np.array([row[side] for row in rows]).mean(0) for side in (0, 1))
        worst = max((a[0] + 1e-9) / (b[0] + 1e-9) for b, a in rows) if beneath != "clean already" else float("nan")
        was, now = (f"{plain:.2f} ({weighted:.2f})" for plain, weighted in (before, after))
        share = f"{after[0] / before[0]:.0%}" if beneath != "clean already" else ""
        last = f"{worst:.0%}" if share else ""
        print(f"| {name:9} | {beneath:13} | {len(rows)} | {was} | {now} | {share} | {last} |")


def large() -> None:
    """Time and memory at 24 megapixels."""
    case = next(cases(BENEATH[1:2], most=1, scale=9.5))
    layer, seconds = case.layer, 0.0

    def once() -> None:
        nonlocal seconds
        start = time.process_time()
        edges.clean_edges(layer, silent)
        seconds = time.process_time() - start

    memory = peak_over_start(once) - layer.nbytes / 2**20  # of the first one: later ones find memory to use again
    band = ((layer[..., 3] > 0) & (layer[..., 3] < 255)).mean()
    print(f"{layer.size / 4e6:.1f} MP, {band:.1%} of it edge: {seconds:.1f} s of a processor, ", end="")
    print(f"{memory:.0f} MiB beyond the result")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.edges", description=__doc__)
    parser.add_argument("--large", action="store_true")
    start = time.perf_counter()
    edges.clean_edges(next(cases()).layer, silent)
    print(f"first use: {time.perf_counter() - start:.1f} s")
    if parser.parse_args().large:
        large()
        return
    found = []
    for case in cases():
        result = edges.clean_edges(case.layer, silent)
        assert np.array_equal(result[..., 3], case.layer[..., 3])
        found.append((case, error(case.layer, case.truth), error(result, case.truth)))
    table(found)


if __name__ == "__main__":
    main()
