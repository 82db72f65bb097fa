"""Four composites and their examples."""

from __future__ import annotations

import pytest
import skimage.data
import torch
from torch import Tensor

from gknet import GKNet
from gknet.network import weights
from training.heads.examples import Examples, make_examples

VIEW = 64
"""Height and width in pixels."""


@pytest.fixture(scope="module")
def net() -> GKNet:
    return weights.load(weights.find_shipped("gknet-s")).eval()


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor, Tensor]:
    """Four composites, their truths and masks, smooth enough that every second pixel tells of all."""
    small = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None] / 255
    real = torch.nn.functional.interpolate(small, (VIEW, VIEW), mode="bilinear", antialias=True).repeat(4, 1, 1, 1)
    mask = torch.zeros(4, 1, VIEW, VIEW)
    mask[:, :, 16:48, 12:52] = 1
    gains = torch.tensor([[0.5, 0.6, 0.7], [1.2, 1.0, 0.8], [0.8, 0.8, 0.4], [1.0, 1.1, 1.2]]).view(4, 3, 1, 1)
    return torch.lerp(real, (real * gains).clamp(0, 1), mask), real, mask


@pytest.fixture(scope="module")
def examples(net: GKNet, pictures: tuple[Tensor, Tensor, Tensor]) -> Examples:
    return make_examples(net, *pictures, VIEW)
