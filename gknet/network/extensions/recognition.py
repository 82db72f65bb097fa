"""Semantic features of a picture from a frozen classifier, EfficientNet-Lite0 without its last layers.

Color statistics say that a foreground is greener than its scene, but not whether it is a leaf or a face. Semantic
features help harmonization (Sofiiuk et al., "Foreground-aware Semantic Representations for Image Harmonization",
WACV 2021). Color and exposure are removed from the picture first, so that the features do not depend on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gknet.color.luma import LUMA
from gknet.errors import WeightsError

WEIGHTS = Path(__file__).parents[2] / "weights" / "recognition" / "efficientnet-lite0.safetensors"
"""The trunk's weights, with batch norm folded into the convolutions. The folder's README names their source."""

SIZE = 224
"""Long side of the trunk's input, pixels: the size it was trained on."""
_LARGER = 2
"""Largest factor by which a small picture is enlarged; more would add no detail."""

MIDDLE_CHANNELS = 112
"""Channels of `RecognizedFeatures.middle`."""
DEEP_CHANNELS = 320
"""Channels of `RecognizedFeatures.deep`."""

# Kernel size, stride, input channels, output channels and expansion factor of each block
# (Tan and Le, EfficientNet, ICML 2019, Table 1, B0; "Lite" has neither squeeze-and-excitation nor swish).
_BLOCKS = (
    *((3, 1, 32, 16, 1), (3, 2, 16, 24, 6), (3, 1, 24, 24, 6), (5, 2, 24, 40, 6)),
    *((5, 1, 40, 40, 6), (3, 2, 40, 80, 6), (3, 1, 80, 80, 6), (3, 1, 80, 80, 6)),
    *((5, 1, 80, 112, 6), (5, 1, 112, 112, 6), (5, 1, 112, 112, 6), (5, 2, 112, 192, 6)),
    *((5, 1, 192, 192, 6), (5, 1, 192, 192, 6), (5, 1, 192, 192, 6), (3, 1, 192, 320, 6)),
)
_MIDDLE_BLOCK = 10
"""Index of the last block at a sixteenth of the input size."""


class RecognizedFeatures(NamedTuple):
    """Feature maps of the trunk.

    middle: (B, MIDDLE_CHANNELS, h/16, w/16), parts and textures.
    deep: (B, DEEP_CHANNELS, h/32, w/32), the objects that these belong to.
    """

    middle: Tensor
    deep: Tensor


class _Convolution(nn.Module):
    """A convolution with TensorFlow's "same" padding, which the weights were trained with.

    Its buffers are not saved with the network: they are never trained and have a file of their own.
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
            # TensorFlow puts the odd pixel of padding at the far edge.
            padding = [max((-(-n // self.stride) - 1) * self.stride + size - n, 0) for n in feature.shape[2:]]
            (top, bottom), (left, right) = ((n // 2, n - n // 2) for n in padding)
            feature = F.pad(feature, (left, right, top, bottom))
        return F.conv2d(feature, self.weight, self.bias, self.stride, groups=self.groups)


class _Block(nn.Module):
    """Inverted residual block: expand, convolve depthwise, project. The input is added if the shapes agree."""

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
    """The frozen trunk.

    recognition(composite, mask): (B, 3, H, W) sRGB in [0, 1], (B, 1, H, W) in [0, 1] -> `RecognizedFeatures` of the
    composite, resized to a long side of about SIZE. Not differentiable.
    Raises RuntimeError if it is used before `load`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, 2)
        self.blocks = nn.ModuleList(_Block(*block) for block in _BLOCKS)
        self.loaded = False

    def load(self) -> None:
        """Load the weights from `WEIGHTS`. Raises WeightsError if the file is missing or damaged."""
        try:
            tensors = load_file(WEIGHTS)
            for name, buffer in self.named_buffers():
                buffer.copy_(tensors[name])
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise WeightsError(
                f"The weights {WEIGHTS} cannot be read: {error}.", "Reinstall GKNet Harmonize."
            ) from error
        self.loaded = True

    def forward(self, composite: Tensor, mask: Tensor) -> RecognizedFeatures:
        if not self.loaded:
            raise RuntimeError("Recognition has no weights. Create the network with gknet.network.weights.build.")
        with torch.no_grad():
            gray = _resize(normalize_luminance(composite.float().clamp(0, 1), mask.float()))
            feature = ((gray * 255 - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            feature = F.relu6(self.stem(feature))
            middle = feature
            for number, block in enumerate(self.blocks):
                feature = block(feature)
                if number == _MIDDLE_BLOCK:
                    middle = feature
            return RecognizedFeatures(middle.float(), feature.float())


def normalize_luminance(composite: Tensor, mask: Tensor) -> Tensor:
    """Return the luma with the mean and deviation of each region normalized: shapes, without color or exposure.

    composite: (B, 3, H, W) in [0, 1].   mask: (B, 1, H, W) in [0, 1].   Returns (B, 1, H, W) in [0, 1].
    """
    luma = sum(weight * composite[:, i : i + 1] for i, weight in enumerate(LUMA))
    assert isinstance(luma, Tensor)
    flat = torch.zeros_like(luma)
    for region in (mask, 1 - mask):
        area = region.sum(dim=(2, 3), keepdim=True).clamp_min(1e-3)
        mean = (luma * region).sum(dim=(2, 3), keepdim=True) / area
        # The lower bound keeps the noise of a plain wall from being amplified into structure.
        deviation = ((luma - mean).square() * region).sum(dim=(2, 3), keepdim=True).div(area).sqrt().clamp_min(0.06)
        flat = flat + region * (0.2 * (luma - mean) / deviation + 0.45)
    return flat.clamp(0, 1)


def _resize(picture: Tensor) -> Tensor:
    """Resize a picture to a long side of SIZE, or of less if it is small."""
    height, width = picture.shape[2:]
    scale = min(_LARGER, SIZE / max(height, width))
    if scale == 1:
        return picture
    size = [max(1, round(scale * n)) for n in (height, width)]
    return F.interpolate(picture, size, mode="bilinear", antialias=True)
