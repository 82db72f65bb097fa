"""Multi-level harmony kernel modulation (the paper, section 3.3, Eq. 5 and 6)."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gknet.network.kernel_prediction import KernelPrediction
from gknet.network.selective_correlation import ChannelWeights


def _find_kernel_size(feature: Tensor, kernels: Tensor) -> int:
    """Return N, from the number of kernel channels. Raises ValueError for mismatched shapes."""
    batch, channels, height, width = feature.shape
    taps = kernels.shape[1] // channels
    size = math.isqrt(taps)
    if kernels.shape != (batch, channels * size * size, height, width) or size % 2 == 0:
        raise ValueError(f"Kernels {tuple(kernels.shape)} do not match the feature {tuple(feature.shape)}.")
    return size


def modulate_reference(feature: Tensor, kernels: Tensor) -> Tensor:
    """Compute Eq. 6 literally: F_mod[p] = sum over q of K_p[p - q] F[q], zero outside the picture.

    feature: (B, C, H, W).   kernels: (B, C*N*N, H, W), N odd; channel c*N*N + (dy + r)*N + (dx + r) holds
    K_p[(dy, dx)] for channel c, with r = N // 2.   Returns (B, C, H, W).
    Memory: the unfolded feature is N*N copies of it; `modulate` computes the same without them.
    """
    size = _find_kernel_size(feature, kernels)
    batch, channels, height, width = feature.shape
    # unfold's tap j is the offset q - p; Eq. 6 indexes the kernel by p - q, hence the flip.
    windows = F.unfold(feature, size, padding=size // 2)  # (B, C*N*N, H*W)
    windows = windows.view(batch, channels, size * size, height, width).flip(2)  # (B, C, N*N, H, W)
    per_tap = kernels.view(batch, channels, size * size, height, width)  # (B, C, N*N, H, W)
    return (windows * per_tap).sum(dim=2)  # (B, C, H, W)


def modulate(feature: Tensor, kernels: Tensor) -> Tensor:
    """Compute `modulate_reference` as N*N shifted multiply-adds, without the unfolded copy.

    Same arguments, result and gradients (of the first order).
    """
    _find_kernel_size(feature, kernels)
    modulated: Tensor = _Modulation.apply(feature, kernels)  # type: ignore[no-untyped-call]
    return modulated


class Modulation(nn.Module):
    """Eq. 5 with the kernels of Eq. 1: F_D^l modulated by K^l, plus F_D^l itself if residual. Has no parameters.

    feature: (B, C, H, W), F_D^l.   block, encoded, deeper, weights: the block that predicts K^l, and its arguments.
    Returns the modulated feature (B, C, H, W) and F_KPB^l (B, C, H, W), for the next block.

    K^l holds N*N numbers for every number of the feature. `forward` avoids storing it where a fused form exists: on
    CUDA with Triton, and on the CPU without gradients. `predict_then_modulate` gives the same result except for
    rounding; torch.export and torch.compile use it.
    """

    def __init__(self, residual: bool) -> None:
        super().__init__()
        self.residual = residual

    def forward(
        self,
        feature: Tensor,
        block: KernelPrediction,
        encoded: Tensor,
        deeper: Tensor,
        weights: ChannelWeights | None = None,
    ) -> tuple[Tensor, Tensor]:
        fused = _choose_fused_form(feature)
        if fused is None:
            return self.predict_then_modulate(feature, block, encoded, deeper, weights)
        predictor = block.compute_feature(encoded, deeper, weights)
        assert block.kernels.bias is not None
        return fused(feature, predictor, block.kernels.weight, block.kernels.bias, residual=self.residual), predictor

    def predict_then_modulate(
        self,
        feature: Tensor,
        block: KernelPrediction,
        encoded: Tensor,
        deeper: Tensor,
        weights: ChannelWeights | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute `forward` one equation after the other."""
        kernels, predictor = block(encoded, deeper, weights)  # Eq. 1
        modulated = modulate(feature, kernels)  # Eq. 5 and 6
        return feature + modulated if self.residual else modulated, predictor


def _choose_fused_form(feature: Tensor) -> Callable[..., Tensor] | None:
    """Return the form of modulation that stores no kernels, or None if the feature's device and mode have none.

    form(feature, predictor, weight, bias, residual=...) as `gknet.network.fused_modulation.predict_and_modulate`.
    """
    if torch.compiler.is_compiling():
        return None
    if feature.is_cuda:
        return _load_triton_form()
    if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return None
    return modulate_in_strips


@functools.cache
def _load_triton_form() -> Callable[..., Tensor] | None:
    """Return the Triton form, or None without Triton; imported late, because only CUDA needs it."""
    if importlib.util.find_spec("triton") is None:
        return None
    from gknet.network.fused_modulation import predict_and_modulate

    return predict_and_modulate


_STRIP = 1 << 20
"""Numbers of K^l computed at a time: a part of the cache."""


def modulate_in_strips(
    feature: Tensor, predictor: Tensor, weight: Tensor, bias: Tensor, *, residual: bool = False
) -> Tensor:
    """Return `modulate(feature, conv(predictor))`, plus the feature itself if residual, for the CPU without gradients.

    feature: (B, C, H, W), F of Eq. 6.   predictor: (B, C, H, W), F_KPB.   weight: (C*N*N, C, 1, 1), bias: (C*N*N,), of
    the 1x1 convolution that predicts the kernels. All of one floating-point type.   Returns (B, C, H, W).

    Works in strips of rows, because K^l, N*N times the feature, would no longer be in the cache when it is used. All
    strips reuse the same memory: allocating it costs as much as the arithmetic.
    """
    batch, channels, height, width = feature.shape
    rows_of_kernels = weight.shape[0]  # C*N*N
    matrix = weight.flatten(1).expand(batch, -1, -1)  # (B, C*N*N, C)
    line = batch * rows_of_kernels * width
    rows = min(height, max(1, _STRIP // line))
    memory = feature.new_empty(rows * line)
    radius = math.isqrt(rows_of_kernels // channels) // 2
    padded = F.pad(feature, (radius, radius, radius, radius))
    # The bias contributes the same kernel everywhere: an ordinary convolution of each channel.
    everywhere = bias.view(channels, 1, 2 * radius + 1, -1).flip(2, 3)
    modulated = F.conv2d(padded, everywhere, groups=channels)
    if residual:
        modulated += feature
    for top in range(0, height, rows):
        part = modulated[:, :, top : top + rows]
        count = part.shape[2]
        kernels = memory[: count * line].view(batch, -1, count * width)
        torch.bmm(matrix, predictor[:, :, top : top + rows].flatten(2), out=kernels)
        kernels = kernels.view(batch, -1, count, width)
        for tap, shifted in _iterate_taps(padded[:, :, top : top + count + 2 * radius], part, kernels):
            part.addcmul_(tap, shifted)
    return modulated


class _Modulation(torch.autograd.Function):
    """Written by hand, because autograd would allocate a zeroed gradient of all kernels for every tap."""

    @staticmethod
    def forward(ctx: Any, feature: Tensor, kernels: Tensor) -> Tensor:
        ctx.save_for_backward(feature, kernels)
        modulated = torch.zeros_like(feature)
        for tap, shifted in _iterate_taps(_pad(feature, kernels), feature, kernels):
            modulated.addcmul_(tap, shifted)
        return modulated

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        feature, kernels = ctx.saved_tensors
        kernels_gradient = torch.empty_like(kernels)
        padded = _pad(feature, kernels)
        for tap, shifted in _iterate_taps(padded, feature, kernels_gradient):
            torch.mul(gradient, shifted, out=tap)
        padded_gradient = torch.zeros_like(padded)
        for tap, shifted in _iterate_taps(padded_gradient, feature, kernels):
            shifted.addcmul_(gradient, tap)
        radius = (padded.shape[2] - feature.shape[2]) // 2
        height, width = feature.shape[2:]
        return padded_gradient[:, :, radius : radius + height, radius : radius + width], kernels_gradient


def _pad(feature: Tensor, kernels: Tensor) -> Tensor:
    """Return the feature with zeros around it, (B, C, H+2r, W+2r)."""
    radius = _find_kernel_size(feature, kernels) // 2
    return F.pad(feature, (radius, radius, radius, radius))


def _iterate_taps(padded: Tensor, feature: Tensor, kernels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for each of the N*N taps, the views (B, C, H, W) of its kernels K_p[(dy, dx)] and of F[p - (dy, dx)]."""
    size = _find_kernel_size(feature, kernels)
    batch, channels, height, width = feature.shape
    per_tap = kernels.view(batch, channels, size * size, height, width)  # (B, C, N*N, H, W)
    for tap in range(size * size):
        top, left = size - 1 - tap // size, size - 1 - tap % size
        yield per_tap[:, :, tap], padded[:, :, top : top + height, left : left + width]
