"""What a picture shows, told by a network that was trained to name things: EfficientNet-Lite0 without its last layers.

Statistics of colours tell that a foreground is greener than its scene, not whether it is a leaf or a face. Networks
that know things are known to help harmonization (Sofiiuk et al., Foreground-aware Semantic Representations for Image
Harmonization, WACV 2021). Here the colours in question are taken out of the picture first, so that what is recognized
does not depend on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gknet.color.srgb import LUMA
from gknet.errors import WeightsError

WEIGHTS = Path(__file__).parents[2] / "weights" / "recognition" / "efficientnet-lite0.safetensors"
"""The trunk's weights, batch norm folded into the convolutions; the folder's README tells where they come from."""

SIZE = 224
"""Long side of what is looked at, pixels: what the trunk was trained on."""
_LARGER = 2
"""A small picture is enlarged by this at most: it holds no more to see."""

PLACES = 112
"""Channels of `Recognized.places`."""
THINGS = 320
"""Channels of `Recognized.things`."""

# Each block's kernel size, stride, channels that come in and go out, and how many times as many it works on
# (Tan and Le, EfficientNet, ICML 2019, Table 1, B0; "Lite" has neither squeeze-and-excitation nor swish).
_BLOCKS = (
    *((3, 1, 32, 16, 1), (3, 2, 16, 24, 6), (3, 1, 24, 24, 6), (5, 2, 24, 40, 6)),
    *((5, 1, 40, 40, 6), (3, 2, 40, 80, 6), (3, 1, 80, 80, 6), (3, 1, 80, 80, 6)),
    *((5, 1, 80, 112, 6), (5, 1, 112, 112, 6), (5, 1, 112, 112, 6), (5, 2, 112, 192, 6)),
    *((5, 1, 192, 192, 6), (5, 1, 192, 192, 6), (5, 1, 192, 192, 6), (3, 1, 192, 320, 6)),
)
_PLACES_AFTER = 10
"""The last block at a sixteenth of the size."""


class Recognized(NamedTuple):
    """places: (B, PLACES, h/16, w/16), parts and textures.   things: (B, THINGS, h/32, w/32), what those belong to."""

    places: Tensor
    things: Tensor


class _Convolution(nn.Module):
    """A convolution whose kernel lies centred as TensorFlow lays it, which trained it.

    Its buffers are not kept with the network's own weights: they are never trained and have a file of their own.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels_in: int, channels: int, size: int, stride: int = 1, *, depthwise: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.groups = channels_in if depthwise else 1
        weight = torch.zeros(channels, channels_in // self.groups, size, size)
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", torch.zeros(channels), persistent=False)

    def forward(self, feature: Tensor) -> Tensor:
        size = self.weight.shape[3]
        if size > 1:
            # What is missing at the far edge, and one less, or as much, at the near one.
            lacking = [max((-(-n // self.stride) - 1) * self.stride + size - n, 0) for n in feature.shape[2:]]
            (top, bottom), (left, right) = ((n // 2, n - n // 2) for n in lacking)
            feature = F.pad(feature, (left, right, top, bottom))
        return F.conv2d(feature, self.weight, self.bias, self.stride, groups=self.groups)


class _Block(nn.Module):
    """Widen, convolve every channel by itself, narrow; added to what came in where the shapes agree."""

    def __init__(self, size: int, stride: int, channels_in: int, channels: int, factor: int) -> None:
        super().__init__()
        wide = factor * channels_in
        self.expand = _Convolution(channels_in, wide, 1) if factor > 1 else None
        self.depthwise = _Convolution(wide, wide, size, stride, depthwise=True)
        self.project = _Convolution(wide, channels, 1)
        self.adds = stride == 1 and channels_in == channels

    def forward(self, feature: Tensor) -> Tensor:
        wide = feature if self.expand is None else F.relu6(self.expand(feature))
        narrow: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return feature + narrow if self.adds else narrow


class Recognition(nn.Module):
    """The frozen trunk. (composite (B, 3, H, W) sRGB in [0, 1], mask (B, 1, H, W) in [0, 1]) -> `Recognized`, of the
    composite brought to a long side of about SIZE. Not differentiable.

    It has no weights until `load` was called, and raises RuntimeError if it is used before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, 2)
        self.blocks = nn.ModuleList(_Block(*block) for block in _BLOCKS)
        self.loaded = False

    def load(self) -> None:
        """Takes the weights from `WEIGHTS`. Raises WeightsError if the file is missing or damaged."""
        try:
            tensors = load_file(WEIGHTS)
            for name, buffer in self.named_buffers():
                buffer.copy_(tensors[name])
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise WeightsError(
                f"The weights {WEIGHTS} cannot be read: {error}.", "Install the package again."
            ) from error
        self.loaded = True

    def forward(self, composite: Tensor, mask: Tensor) -> Recognized:
        if not self.loaded:
            raise RuntimeError("The recognition has no weights. Make the network with gknet.network.weights.build.")
        with torch.no_grad():
            gray = _sized(without_light(composite.float().clamp(0, 1), mask.float()))
            feature = ((gray * 255 - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            feature = F.relu6(self.stem(feature))
            places = feature
            for number, block in enumerate(self.blocks):
                feature = block(feature)
                if number == _PLACES_AFTER:
                    places = feature
            return Recognized(places.float(), feature.float())


def without_light(composite: Tensor, mask: Tensor) -> Tensor:
    """The luminance of each region brought to the same mean and deviation: shapes, but no colours and no exposure.

    composite: (B, 3, H, W) in [0, 1].   mask: (B, 1, H, W) in [0, 1].   Returns (B, 1, H, W) in [0, 1].
    """
    luma = sum(weight * composite[:, i : i + 1] for i, weight in enumerate(LUMA))
    assert isinstance(luma, Tensor)
    flat = torch.zeros_like(luma)
    for region in (mask, 1 - mask):
        area = region.sum(dim=(2, 3), keepdim=True).clamp_min(1e-3)
        mean = (luma * region).sum(dim=(2, 3), keepdim=True) / area
        # Of a plain wall no more is shown than there is: its noise, made as strong as a picture, would look like one.
        deviation = ((luma - mean).square() * region).sum(dim=(2, 3), keepdim=True).div(area).sqrt().clamp_min(0.06)
        flat = flat + region * (0.2 * (luma - mean) / deviation + 0.45)
    return flat.clamp(0, 1)


def _sized(picture: Tensor) -> Tensor:
    """The picture at a long side of SIZE, or of less for a small one."""
    height, width = picture.shape[2:]
    scale = min(_LARGER, SIZE / max(height, width))
    if scale == 1:
        return picture
    size = [max(1, round(scale * n)) for n in (height, width)]
    return F.interpolate(picture, size, mode="bilinear", antialias=True)
