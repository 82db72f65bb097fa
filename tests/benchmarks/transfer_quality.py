"""How well a small answer is carried to every pixel, where the truth is known at full resolution.

    python -m tests.benchmarks.transfer_quality [--megapixels 20]

Photographs that may be published are enlarged, grain is added, and a real matte (tests/mattes) makes each a layer of
8-bit RGBA over another photograph. A known change gives the truth at full resolution; the same truth, reduced to the
network's size, stands in the place of the network's answer. From there all goes the way that users' pictures go.
PSNR is of the straight colours, weighted by alpha. Beside ours: the layer as it was, and the small answer's
residual, enlarged (bicubic; or, where that is better, divided by alpha, bilinear). Edge: pixels within 5 of where
alpha passes one half; inside: the rest of the object. RMSE in levels of 255.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from gknet.color.encoding import Encoding
from gknet.color.luma import LUMA
from gknet.color.srgb import linear_to_srgb, srgb_to_linear
from gknet.pixels.box import Box
from gknet.pixels.reduction import Sight, reduce_layer
from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.sample import Sample
from tests.benchmarks.edges import fitted, mattes, photographs

Array = npt.NDArray[Any]
NETWORK = 256
SCENES = (("mountains", "astronaut"), ("dogs", "lower-dog"), ("coffee", "cat"), ("astronaut", "upper-dog"))
"""Photograph of the layer, and its matte."""
EDGE = 5
"""Pixels."""


def affine(colour: Array, random: np.random.Generator) -> Array:
    """One matrix and one offset for all colours and places."""
    matrix = np.diag(random.uniform(0.65, 0.95, 3)) + random.uniform(0, 0.08, (3, 3))
    return colour @ matrix.astype(np.float32).T + random.uniform(-0.02, 0.03, 3).astype(np.float32)


def curves(colour: Array, random: np.random.Generator) -> Array:
    """A gamma and an S for each channel."""
    gamma, bend = random.uniform(0.75, 1.4, 3).astype(np.float32), random.uniform(0.2, 0.6, 3).astype(np.float32)
    bent = colour**gamma
    return bent * (1 - bend) + bend * bent * bent * (3 - 2 * bent)


def light(colour: Array, random: np.random.Generator) -> Array:
    """Light from a side and a coloured lamp, in linear light."""
    height, width = colour.shape[:2]
    y, x = (np.linspace(0, 1, n, dtype=np.float32) for n in (height, width))
    angle = random.uniform(0, 2 * math.pi)
    along = math.cos(angle) * (x[None] - 0.5) + math.sin(angle) * (y[:, None] - 0.5)
    lamp = np.exp(-((x[None] - random.uniform(0.2, 0.8)) ** 2 + (y[:, None] - random.uniform(0.2, 0.8)) ** 2) / 0.12)
    gain = (0.7 + 0.5 * along)[..., None] + lamp[..., None] * random.uniform(-0.05, 0.25, 3).astype(np.float32)
    return in_linear_light(colour, gain.astype(np.float32))


def in_linear_light(colour: Array, gain: Array) -> Array:
    """Encoded colours of which the light is multiplied."""
    lit = srgb_to_linear(torch.from_numpy(colour)).mul_(torch.from_numpy(gain))
    result: Array = linear_to_srgb(lit).numpy()
    return result


def split_toning(colour: Array, random: np.random.Generator) -> Array:
    """One tint for shadows, another for highlights, by luma; black stays black, and white white."""
    luma = (colour @ np.array(LUMA, np.float32))[..., None]
    shadows, lights = random.uniform(-0.12, 0.12, (2, 3)).astype(np.float32)
    return colour + 4 * luma * (1 - luma) * ((1 - luma) * shadows + luma * lights)


KINDS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "affine": affine,
    "curves": curves,
    "varying light": light,
    "split toning": split_toning,
}


class Found(NamedTuple):
    """PSNR in dB of the layer as it was, of the enlarged residual, and of the transfer, and its RMSE in two parts."""

    untouched: float
    residual: float
    transfer: float
    edge: float
    inside: float


def scene(photograph: str, matte: str, megapixels: float) -> tuple[Array, Array]:
    """A layer (h, w, 4) uint8, 3 : 2, and another photograph (h, w, 3) to lie below it."""
    height = round(math.sqrt(megapixels * 1e6 * 2 / 3))
    size = (height, height * 3 // 2)
    shown, random = photographs(), np.random.default_rng(0)
    colour = fitted(shown[photograph], size).astype(np.float32)
    colour += random.normal(0, 3, (*size, 1)).astype(np.float32) + random.normal(0, 1.5, (*size, 3)).astype(np.float32)
    alpha = np.asarray(Image.fromarray(mattes()[matte]).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return np.dstack([np.rint(colour.clip(0, 255)).astype(np.uint8), alpha]), fitted(shown["rocket"], size)


def measure(layer: Array, below: Array, kind: str, seed: int) -> Found:
    """What becomes of one known change of a layer (h, w, 4) uint8 over a picture (h, w, 3)."""
    colour = layer[..., :3].astype(np.float32) / 255
    truth = KINDS[kind](colour, np.random.default_rng(seed)).clip(0, 1).astype(np.float32)
    alpha = layer[..., 3].astype(np.float32) / 255
    seen, answer = (sight(pixels, below) for pixels in (layer, np.dstack([truth, alpha])))
    box = Box(0, 0, layer.shape[1], layer.shape[0])
    transfer = ColorTransfer.fit(
        composite=seen.composite,
        harmonized=answer.composite,
        mask=seen.mask,
        foreground=seen.foreground,
        layer_box=seen.locate(box),
        layer_size=layer.shape[:2],
    ).roll_off(Sample.take(layer))
    ours = transfer.apply(layer)[..., :3].astype(np.float32) / 255

    def psnr(result: Array) -> float:
        return -10 * math.log10(float((((result - truth) ** 2).mean(-1) * alpha).sum() / alpha.sum()))

    squares, near = ((ours - truth) ** 2).mean(-1), edge_of(alpha)
    at_edge, inside = (alpha * part for part in (near, ~near))
    errors = (255 * math.sqrt(float((squares * part).sum() / part.sum())) for part in (at_edge, inside))
    enlarged = max(psnr(np.rint((colour + one).clip(0, 1) * 255) / 255) for one in residuals(seen, answer, alpha))
    return Found(psnr(colour), enlarged, psnr(ours), *errors)


def sight(layer: Array, below: Array) -> Sight:
    """What the network would see of a layer over a picture of its size."""
    height, width = below.shape[:2]
    box = Box(0, 0, width, height)
    scale = NETWORK / max(height, width)
    size = (round(height * scale), round(width * scale))
    return reduce_layer(layer, below, box, box, box, box, size, encoding=Encoding(), below_encoding=Encoding())


def residuals(seen: Sight, answer: Sight, alpha: Array) -> list[Array]:
    """The small answer's change, enlarged in two ways: (h, w, 3) each."""
    small = torch.from_numpy(answer.composite - seen.composite).permute(2, 0, 1)[None]
    size = alpha.shape
    plain = F.interpolate(small, size=size, mode="bicubic")
    mask = F.interpolate(torch.from_numpy(seen.mask)[None, None], size=size, mode="bilinear")
    divided = F.interpolate(small, size=size, mode="bilinear") / mask.clamp(min=0.05)
    return [one[0].permute(1, 2, 0).numpy() for one in (plain, divided)]


def edge_of(alpha: Array) -> Array:
    """(h, w): within EDGE pixels of where alpha passes one half."""
    solid = torch.from_numpy((alpha > 0.5).astype(np.float32))[None, None]
    wide, narrow = solid, -solid
    for side in ((2 * EDGE + 1, 1), (1, 2 * EDGE + 1)):
        reach = (side[0] // 2, side[1] // 2)
        wide, narrow = (F.max_pool2d(one, side, stride=1, padding=reach) for one in (wide, narrow))
    near: Array = (wide > -narrow)[0, 0].numpy()
    return near


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.transfer_quality", description=__doc__)
    parser.add_argument("--megapixels", type=float, default=20)
    megapixels = parser.parse_args().megapixels
    found: dict[str, list[Found]] = {kind: [] for kind in KINDS}
    for photograph, matte in SCENES:
        layer, below = scene(photograph, matte, megapixels)
        for seed, (kind, rows) in enumerate(found.items()):
            rows.append(measure(layer, below, kind, seed))
    print(f"{layer.size / 4e6:.1f} MP, {len(SCENES)} photographs a kind: {', '.join(name for name, _ in SCENES)}\n")
    print("| change | layer as it was | residual enlarged | transfer | gain, least | edge RMSE | inside RMSE |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, rows in found.items():
        mean = Found(*np.mean(rows, 0))
        least = min(row.transfer - row.residual for row in rows)
        dB = " | ".join(f"{value:.1f} dB" for value in mean[:3])  # noqa: N806
        print(f"| {kind} | {dB} | {mean.transfer - mean.residual:+.1f} dB, {least:+.1f} | ", end="")
        print(f"{mean.edge:.2f} | {mean.inside:.2f} |")


if __name__ == "__main__":
    main()
