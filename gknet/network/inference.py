"""A trained network prepared for inference: the same function at a lower cost, with small changes shrunk."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gknet.network.blocks import ConvBlock
from gknet.network.config import GKNetConfig
from gknet.network.extensions.restraint import restrain_change
from gknet.network.extensions.variants import Variant, predict_variants
from gknet.network.kernel_prediction import KernelPrediction
from gknet.network.model import GKNet
from gknet.network.selective_correlation import SelectiveCorrelationFusion
from gknet.network.window import Window


class InferenceNetwork(nn.Module):
    """A copy of a network for inference. It cannot be trained; the original still can.

    net(composite, mask): as `GKNet`, without gradients. Three things differ:

    - batch norm is folded into the convolutions before it;
    - the shallowest level is computed only in a `Window` around the foreground, because the result equals the composite
      elsewhere (not on CUDA, where finding the window would make the processor wait for the GPU);
    - `GKNetConfig.restraint` shrinks small changes.

    whole: compute the shallowest level everywhere, for inspection; the result is the same except for rounding.
    """

    def __init__(self, net: GKNet) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()
        for block in self.net.modules():
            if isinstance(block, ConvBlock):
                _fold_batch_norm(block)

    @property
    def config(self) -> GKNetConfig:
        """The network's configuration."""
        return self.net.config

    @torch.no_grad()
    def forward(self, composite: Tensor, mask: Tensor, *, whole: bool = False) -> Tensor:
        net = self.net
        features, small_mask = net.encode(composite, mask)
        reference = net.reference(features[0])
        if whole or mask.is_cuda:
            window = Window.everything(small_mask)
        else:
            window = Window.around(small_mask, self.config.kernel_size)
        decoded = self._decode(features, small_mask, reference, window)
        matrix = net.predict_color_matrix(composite, mask, reference)
        result = composite.clone()
        part, part_mask = window.crop(result), window.crop(mask)
        change = net.compute_change(part, part_mask, decoded, matrix)
        part.add_(restrain_change(change, part, part_mask, self.config.restraint))
        return result

    def predict_variants(self, composite: Tensor, answer: Tensor, mask: Tensor) -> list[Variant]:
        """Return the object's variants, the network's own answer first; only that if the network predicts no others.

        composite, answer: (3, H, W), sRGB in [0, 1], the network's input and result.   mask: (H, W) in [0, 1].
        """
        if self.net.variant_head is None:
            return [Variant(1.0)]
        return predict_variants(self.net.variant_head, composite, answer, mask)

    def _decode(self, features: list[Tensor], mask: Tensor, reference: Tensor, window: Window) -> Tensor:
        """Return the window's part of the decoder's last feature F_D. Means are still taken over the whole picture."""
        decoder, kernels = self.net.decoder, self.net.kernels
        below, deeper = decoder(features[:-1], mask, kernels, reference)
        encoded = features[-1]
        merged = decoder.join_levels(encoded, below, level=len(features) - 1)
        attention = decoder.attention[-1]
        decoded: Tensor = attention(window.crop(merged), window.crop(mask), merged.mean(dim=(2, 3)))
        if kernels is not None:
            block = kernels.blocks[-1]
            assert isinstance(block, KernelPrediction)
            weights = None
            if isinstance(block.fuse, SelectiveCorrelationFusion):
                weights = block.fuse.compute_channel_weights(encoded, deeper)
            decoded, _ = decoder.modulation(decoded, block, window.crop(encoded), window.crop(deeper), weights)
        return decoded


def _fold_batch_norm(block: ConvBlock) -> None:
    """Fold the block's batch norm into its convolution."""
    convolution, norm = block[0], block[1]
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    block[0], block[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
