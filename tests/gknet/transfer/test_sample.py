"""A sample consists of visible pixels, however little of a layer they fill."""

from __future__ import annotations

import numpy as np
import pytest

from gknet.pixels.box import Box
from gknet.transfer.sample import Sample
from gknet.transfer.slicing import cell_size


def layer(height: int, width: int) -> np.ndarray:
    """Return a transparent layer (h, w, 4) uint8 whose red tells the column and whose green the row."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


@pytest.mark.parametrize("side", [1, 3, 20, 60])
def test_two_small_objects_in_opposite_corners_are_seen_whole(side: int) -> None:
    pixels = layer(1500, 2000)
    pixels[:side, :side, 3] = pixels[-side:, -side:, 3] = 255
    sample = Sample.take(pixels)
    assert len(sample.color) == 2 * side * side if side <= 20 else len(sample.color) > 400
    for place, length, channel in ((sample.x, 2000, 0), (sample.y, 1500, 1)):
        expected = (place.numpy() * cell_size(length) - 0.5) / (length - 1)
        assert np.abs(sample.color[:, channel].numpy() - expected).max() < 1 / 255 + 1e-6


@pytest.mark.parametrize("size", [(1, 40_000), (2, 30_000), (30_000, 1), (1, 1)])
def test_narrow_layers_are_seen(size: tuple[int, int]) -> None:
    pixels = layer(*size)
    pixels[..., 3] = 255
    assert len(Sample.take(pixels).color) >= min(size[0] * size[1], 500)


def test_only_a_part_is_looked_at_and_nothing_invisible_counts() -> None:
    pixels = layer(600, 800)
    pixels[..., 3] = 255
    part = Sample.take(pixels, part=Box(400, 300, 100, 50))
    columns = part.x.numpy() * cell_size(800) - 0.5
    assert columns.min() >= 400
    assert columns.max() < 500
    assert 1000 < len(part.color) <= 5000
    floats = (pixels / 255).astype(np.float32)
    floats[:, 400:, 0] = np.nan
    assert (Sample.take(floats).x.numpy() * cell_size(800) < 400).all()
    assert len(Sample.take(layer(600, 800)).color) == 0
