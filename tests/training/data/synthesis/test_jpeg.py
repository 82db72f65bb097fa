"""What JPEG takes from pictures, beside files that Pillow writes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor

from training.data.synthesis.jpeg import compress_pictures

CROPS = ((100, 100, 128, 128), (37, 250, 96, 64), (11, 13, 50, 43))
"""Top, left, height, width; the last fills no whole blocks."""


def photograph(crop: tuple[int, int, int, int]) -> np.ndarray:
    top, left, height, width = crop
    return skimage.data.astronaut()[top : top + height, left : left + width]


def filed(picture: np.ndarray, quality: int) -> Tensor:
    """(1, 3, H, W), as read from a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=quality, subsampling="4:2:0")
    return tensor(np.asarray(Image.open(file)))


def tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def apart(first: Tensor, second: Tensor) -> float:
    """Root of the mean square, levels."""
    return 255 * float((first - second).square().mean().sqrt())


@pytest.mark.parametrize("quality", [30, 60, 85, 95])
@pytest.mark.parametrize("crop", CROPS)
def test_pictures_lose_what_a_file_takes_from_them(crop: tuple[int, int, int, int], quality: int) -> None:
    picture = photograph(crop)
    file, ours = filed(picture, quality), compress_pictures(tensor(picture), torch.tensor([float(quality)]))
    assert ours.shape == file.shape
    lost = apart(file, tensor(picture))
    assert apart(ours, file) < 0.5 * lost
    assert apart(ours, tensor(picture)) == pytest.approx(lost, rel=0.15)


def test_every_picture_has_its_own_quality() -> None:
    picture = tensor(photograph(CROPS[0]))
    good, bad = compress_pictures(picture.repeat(2, 1, 1, 1), torch.tensor([95.0, 30.0])).split(1)
    assert torch.equal(good, compress_pictures(picture, torch.tensor([95.0])))
    assert torch.equal(bad, compress_pictures(picture, torch.tensor([30.0])))
    assert apart(good, picture) < 0.5 * apart(bad, picture)
