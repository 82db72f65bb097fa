"""Fused kernel prediction and modulation in one pass (Triton).

K^l holds N*N numbers for every number of the feature. Writing and reading it dominates the memory traffic of the two
steps. Here a kernel stays in registers between the matrix product that makes it and the multiply-add that uses it.
The backward pass recomputes it rather than storing it.

Every tensor is addressed as rows of pixels, (B*H*W, C), whatever its memory format; a program works on a block of both.
Needs `triton`; runs on CUDA, and on the CPU in Triton's interpreter (TRITON_INTERPRET=1), which the tests use.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

_PIXELS = 64
"""Pixels per block: what one warp group multiplies at once."""
_PARTS = 1024
"""Approximate number of programs that share the sums over all pixels, a few for each processor of a large GPU."""


def predict_and_modulate(
    feature: Tensor, predictor: Tensor, weight: Tensor, bias: Tensor, *, residual: bool = False
) -> Tensor:
    """Return `modulate(feature, conv(predictor))`, plus the feature itself if residual, without storing the kernels.

    feature: (B, C, H, W), F of Eq. 6.   predictor: (B, C, H, W), F_KPB.   weight: (C*N*N, C, 1, 1), bias: (C*N*N,),
    of the 1x1 convolution that predicts the kernels, channels as in `modulation`. All floating point,
    in any mix of types up to float32; products use the predictor's type, sums float32.
    Returns (B, C, H, W) in the feature's type and memory format. Differentiable once, in all four.
    Raises ValueError for mismatched shapes.
    """
    size = math.isqrt(weight.shape[0] // feature.shape[1])
    channels = feature.shape[1]
    whole = (channels * size * size, channels, 1, 1)
    if predictor.shape != feature.shape or weight.shape != whole or bias.shape != whole[:1] or size % 2 == 0:
        shapes = ", ".join(str(tuple(part.shape)) for part in (feature, predictor, weight, bias))
        raise ValueError(f"Shapes of feature, predictor, weight and bias do not match: {shapes}")
    modulated: Tensor = _PredictAndModulate.apply(feature, predictor, weight, bias, residual)  # type: ignore[no-untyped-call]
    return modulated


class _PredictAndModulate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feature: Tensor, predictor: Tensor, weight: Tensor, bias: Tensor, residual: bool) -> Tensor:
        ctx.residual, ctx.weight_dtype = residual, weight.dtype
        layout = torch.channels_last
        if not (feature.is_contiguous(memory_format=layout) and predictor.is_contiguous(memory_format=layout)):
            layout = torch.contiguous_format
        feature, predictor = (part.contiguous(memory_format=layout) for part in (feature, predictor))
        weight, bias = weight.to(predictor.dtype).contiguous(), bias.contiguous()
        ctx.save_for_backward(feature, predictor, weight, bias)
        modulated = torch.empty_like(feature)
        _launch_modulation(feature, predictor, weight, bias, modulated, residual, adjoint=False)
        return modulated

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        feature, predictor, weight, bias = ctx.saved_tensors
        layout = torch.contiguous_format if feature.is_contiguous() else torch.channels_last
        gradient = gradient.contiguous(memory_format=layout)
        of_feature = of_predictor = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_feature = torch.empty_like(feature)
            _launch_modulation(gradient, predictor, weight, bias, of_feature, ctx.residual, adjoint=True)
        if ctx.needs_input_grad[1]:
            of_predictor = _predictor_gradient(feature, gradient, weight)
        if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
            of_weight, of_bias = _weight_gradient(feature, gradient, predictor, weight)
            of_weight, of_bias = of_weight.to(ctx.weight_dtype), of_bias.to(bias.dtype)
        return of_feature, of_predictor, of_weight, of_bias, None


def _launch_modulation(
    feature: Tensor, predictor: Tensor, weight: Tensor, bias: Tensor, out: Tensor, residual: bool, *, adjoint: bool
) -> None:
    shape = _Shape(feature, weight)
    with shape.device:
        _modulate[(shape.pixel_blocks, triton.cdiv(shape.channels, shape.block))](
            feature, predictor, weight, bias, out, *shape.sizes, residual=residual, adjoint=adjoint, **shape.constants
        )


def _predictor_gradient(feature: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    shape = _Shape(feature, weight)
    out = torch.empty_like(feature, dtype=weight.dtype)
    with shape.device:
        _differentiate_predictor[(shape.pixel_blocks, triton.cdiv(shape.channels, shape.wide_block))](
            feature, gradient, weight, out, *shape.sizes, **shape.constants
        )
    return out


def _weight_gradient(feature: Tensor, gradient: Tensor, predictor: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return both gradients in float32. Each program sums a part of the pixels; the parts are added in a fixed
    order.
    """
    shape = _Shape(feature, weight)
    taps = weight.shape[0] // shape.channels
    squares = taps * triton.cdiv(shape.channels, shape.block), triton.cdiv(shape.channels, shape.wide_block)
    parts = min(shape.pixel_blocks, triton.cdiv(_PARTS, squares[0] * squares[1]))
    of_weight = weight.new_empty(parts, *weight.shape, dtype=torch.float32)
    of_bias = weight.new_empty(parts, len(weight), dtype=torch.float32)
    with shape.device:
        _differentiate_weight[(*squares, parts)](
            feature, gradient, predictor, of_weight, of_bias, *shape.sizes, **shape.constants
        )
    return of_weight.sum(0), of_bias.sum(0)


class _Shape:
    """Launch parameters for a feature (B, C, H, W) and a weight (C*N*N, C, 1, 1)."""

    def __init__(self, feature: Tensor, weight: Tensor) -> None:
        batch, channels, height, width = feature.shape
        self.channels = channels
        self.sizes = (batch * height * width, channels, height, width)
        self.pixel_blocks = triton.cdiv(batch * height * width, _PIXELS)
        # Blocks of the kernels' channels, and of the channels they are predicted from. A matrix product needs at least
        # 16; more than 128 bytes of a pixel at once would not fit every GPU's registers and shared memory.
        most = 32, 128 // weight.element_size()
        self.block, self.wide_block = (min(max(triton.next_power_of_2(channels), 16), each) for each in most)
        self.constants = {
            "size": math.isqrt(weight.shape[0] // channels),
            "channels_last": not feature.is_contiguous(),
            "run": _PIXELS,
            "block": self.block,
            "wide_block": self.wide_block,
        }
        self.device = torch.cuda.device(feature.device) if feature.is_cuda else contextlib.nullcontext()


@triton.jit
def _modulate(
    feature: tl.tensor,
    predictor: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    pixels: tl.tensor,
    channels: tl.constexpr,
    height: tl.tensor,
    width: tl.tensor,
    size: tl.constexpr,
    channels_last: tl.constexpr,
    run: tl.constexpr,
    block: tl.constexpr,
    wide_block: tl.constexpr,
    residual: tl.constexpr,
    adjoint: tl.constexpr,
) -> None:
    """F_mod[p] = sum of K_p[d] F[p - d] over d. If adjoint, the sum of K_(p + d)[d] F[p + d], the gradient of F."""
    pixel = tl.program_id(0) * run + tl.arange(0, run)
    channel = tl.program_id(1) * block + tl.arange(0, block)
    blocks: tl.constexpr = (channels + wide_block - 1) // wide_block
    total = tl.zeros((run, block), tl.float32)
    # A sum over the predictor's channels can be multiplied by F piece by piece: one loop, small blocks.
    for step in range(size * size * blocks):
        tap = step // blocks
        source = step % blocks * wide_block + tl.arange(0, wide_block)
        dy, dx = tap // size - size // 2, tap % size - size // 2
        if adjoint:
            seen = _load(predictor, pixel, source, dy, dx, pixels, channels, height, width, channels_last)
            neighbor = _load(feature, pixel, channel, dy, dx, pixels, channels, height, width, channels_last)
        else:
            seen = _load(predictor, pixel, source, 0, 0, pixels, channels, height, width, channels_last)
            neighbor = _load(feature, pixel, channel, -dy, -dx, pixels, channels, height, width, channels_last)
        rows = channel * size * size + tap
        inside = channel < channels
        factors = tl.load(
            weight + rows[None, :] * channels + source[:, None],
            mask=inside[None, :] & (source < channels)[:, None],
            other=0.0,
        )  # (wide_block, block)
        constant = tl.load(bias + rows, mask=inside, other=0.0).to(tl.float32)
        if residual:
            constant += tl.where(tap == size * size // 2, 1.0, 0.0)
        kernel = tl.dot(seen, factors, input_precision="tf32x3")
        kernel += tl.where(step % blocks == 0, constant, 0.0)[None, :]
        total += kernel * neighbor.to(tl.float32)
    _store(out, total, pixel, channel, pixels, channels, height, width, channels_last)


@triton.jit
def _differentiate_predictor(
    feature: tl.tensor,
    gradient: tl.tensor,
    weight: tl.tensor,
    out: tl.tensor,
    pixels: tl.tensor,
    channels: tl.constexpr,
    height: tl.tensor,
    width: tl.tensor,
    size: tl.constexpr,
    channels_last: tl.constexpr,
    run: tl.constexpr,
    block: tl.constexpr,
    wide_block: tl.constexpr,
) -> None:
    """Apply the transposed convolution to the gradient of K, which is G[p] F[p - d]."""
    pixel = tl.program_id(0) * run + tl.arange(0, run)
    source = tl.program_id(1) * wide_block + tl.arange(0, wide_block)
    total = tl.zeros((run, wide_block), tl.float32)
    for first in range(0, channels, block):
        channel = first + tl.arange(0, block)
        given = _load(gradient, pixel, channel, 0, 0, pixels, channels, height, width, channels_last).to(tl.float32)
        for tap in range(size * size):
            dy, dx = tap // size - size // 2, tap % size - size // 2
            neighbor = _load(feature, pixel, channel, -dy, -dx, pixels, channels, height, width, channels_last)
            factors = tl.load(
                weight + (channel * size * size + tap)[:, None] * channels + source[None, :],
                mask=(channel < channels)[:, None] & (source < channels)[None, :],
                other=0.0,
            )  # (block, wide_block)
            kernel = (given * neighbor.to(tl.float32)).to(weight.dtype.element_ty)
            total = tl.dot(kernel, factors, total, input_precision="tf32x3")
    _store(out, total, pixel, source, pixels, channels, height, width, channels_last)


@triton.jit
def _differentiate_weight(
    feature: tl.tensor,
    gradient: tl.tensor,
    predictor: tl.tensor,
    of_weight: tl.tensor,
    of_bias: tl.tensor,
    pixels: tl.tensor,
    channels: tl.constexpr,
    height: tl.tensor,
    width: tl.tensor,
    size: tl.constexpr,
    channels_last: tl.constexpr,
    run: tl.constexpr,
    block: tl.constexpr,
    wide_block: tl.constexpr,
) -> None:
    """Sum the gradient of K, multiplied by the predictor and alone, over every n-th block of pixels."""
    tap = tl.program_id(0) % (size * size)
    dy, dx = tap // size - size // 2, tap % size - size // 2
    channel = tl.program_id(0) // (size * size) * block + tl.arange(0, block)
    source = tl.program_id(1) * wide_block + tl.arange(0, wide_block)
    part = tl.program_id(2)
    total = tl.zeros((block, wide_block), tl.float32)
    sums = tl.zeros((block,), tl.float32)
    for first in range(part * run, pixels, tl.num_programs(2) * run):
        pixel = first + tl.arange(0, run)
        given = _load(gradient, pixel, channel, 0, 0, pixels, channels, height, width, channels_last)
        neighbor = _load(feature, pixel, channel, -dy, -dx, pixels, channels, height, width, channels_last)
        seen = _load(predictor, pixel, source, 0, 0, pixels, channels, height, width, channels_last)
        kernel = given.to(tl.float32) * neighbor.to(tl.float32)  # (run, block)
        sums += tl.sum(kernel, 0)
        total = tl.dot(tl.trans(kernel).to(seen.dtype), seen, total, input_precision="tf32x3")
    rows = (part * channels + channel) * size * size + tap
    inside = channel < channels
    tl.store(
        of_weight + rows.to(tl.int64)[:, None] * channels + source[None, :],
        total,
        mask=inside[:, None] & (source < channels)[None, :],
    )
    if tl.program_id(1) == 0:
        tl.store(of_bias + rows, sums, mask=inside)


@triton.jit
def _load(
    picture: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    dy: tl.tensor,
    dx: tl.tensor,
    pixels: tl.tensor,
    channels: tl.constexpr,
    height: tl.tensor,
    width: tl.tensor,
    channels_last: tl.constexpr,
) -> tl.tensor:
    """Load (pixel, channel): the picture at every pixel + (dy, dx), zero outside."""
    place = pixel % (height * width)
    y, x = place // width + dy, place % width + dx
    inside = (pixel < pixels) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    at = _offsets(pixel, place + dy * width + dx, channel, channels, height * width, channels_last)
    return tl.load(picture + at, mask=inside[:, None] & (channel < channels)[None, :], other=0.0)


@triton.jit
def _store(
    picture: tl.tensor,
    values: tl.tensor,
    pixel: tl.tensor,
    channel: tl.tensor,
    pixels: tl.tensor,
    channels: tl.constexpr,
    height: tl.tensor,
    width: tl.tensor,
    channels_last: tl.constexpr,
) -> None:
    at = _offsets(pixel, pixel % (height * width), channel, channels, height * width, channels_last)
    inside = (pixel < pixels)[:, None] & (channel < channels)[None, :]
    tl.store(picture + at, values.to(picture.dtype.element_ty), mask=inside)


@triton.jit
def _offsets(
    pixel: tl.tensor,
    place: tl.tensor,
    channel: tl.tensor,
    channels: tl.constexpr,
    plane: tl.tensor,
    channels_last: tl.constexpr,
) -> tl.tensor:
    """Return the memory offsets of the channels of each pixel, given its index in its picture's plane."""
    start = (pixel // plane).to(tl.int64) * plane * channels
    if channels_last:
        return (start + place * channels)[:, None] + channel[None, :]
    return (start + place)[:, None] + (channel * plane)[None, :]
