"""Make composites from real photographs by changing the foreground's colours, in batches on any device.

iHarmony4 was made in a similar way (Cong et al., CVPR 2020): colour transfer from another photograph's foreground,
expert retouching, another time of day. Each kind is a function `(real, mask, reference, reference_mask, generator) ->
recoloured`. Pictures are (B, 3, H, W) sRGB in [0, 1], masks (B, 1, H, W) in [0, 1]. The result isn't clamped and needs
to be correct only inside the mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from gknet.color.luma import LUMA
from gknet.color.srgb import lab_to_srgb, linear_to_srgb, srgb_to_lab, srgb_to_linear
from training.data.synthesis.draws import draw_uniform

Recolor = Callable[[Tensor, Tensor, Tensor, Tensor, Generator], Tensor]


def _compute_moments(picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (B, 3) and covariance (B, 3, 3) of the masked pixels."""
    pixels, weights = picture.flatten(2), mask.flatten(2)  # (B, 3, H*W), (B, 1, H*W)
    weights = weights / weights.sum(dim=2, keepdim=True).clamp_min(1.0)
    mean = (pixels * weights).sum(dim=2)  # (B, 3)
    centred = pixels - mean[:, :, None]
    covariance = (centred * weights) @ centred.transpose(1, 2)  # (B, 3, 3)
    return mean, covariance + 1e-4 * torch.eye(3, device=picture.device)


def _apply_affine(picture: Tensor, matrix: Tensor, source_mean: Tensor, target_mean: Tensor) -> Tensor:
    """Apply matrix (B, 3, 3) about the means (B, 3)."""
    centred = picture - source_mean[:, :, None, None]
    return torch.einsum("bij,bjhw->bihw", matrix, centred) + target_mean[:, :, None, None]


def transfer_reinhard(
    real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, _: Generator, largest: float = 2.5
) -> Tensor:
    """Transfer mean and standard deviation of each Lab channel from the reference (Reinhard et al., 2001).

    largest: largest factor by which a deviation may grow or shrink.
    """
    lab, reference_lab = srgb_to_lab(real), srgb_to_lab(reference)
    mean, covariance = _compute_moments(lab, mask)
    target_mean, target_covariance = _compute_moments(reference_lab, reference_mask)
    ratio = (target_covariance.diagonal(dim1=1, dim2=2) / covariance.diagonal(dim1=1, dim2=2)).sqrt()
    return lab_to_srgb(_apply_affine(lab, torch.diag_embed(ratio.clamp(1 / largest, largest)), mean, target_mean))


def _matrix_power(matrix: Tensor, power: float, least: float = 1e-6) -> Tensor:
    """Raise a symmetric positive matrix (B, 3, 3) to a power, with eigenvalues clamped to at least `least`."""
    values: Tensor
    vectors: Tensor
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag_embed(values.clamp_min(least) ** power) @ vectors.transpose(1, 2)


def transfer_covariance(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, _: Generator) -> Tensor:
    """Transfer RGB mean and covariance from the reference, axis by axis (Xiao & Ma, 2006)."""
    mean, source = _compute_moments(real, mask)
    target_mean, target = _compute_moments(reference, reference_mask)
    source_values, source_axes = torch.linalg.eigh(source)
    target_values, target_axes = torch.linalg.eigh(target)
    # The sign of an axis is arbitrary: align it with the reference's so that colours aren't inverted.
    same = (source_axes * target_axes).sum(dim=1, keepdim=True)
    target_axes = torch.where(same < 0, -target_axes, target_axes)
    scale = (target_values.clamp_min(1e-6) / source_values.clamp_min(1e-6)).sqrt().clamp(0.4, 2.5)
    matrix = target_axes @ torch.diag_embed(scale) @ source_axes.transpose(1, 2)
    return _apply_affine(real, matrix, mean, target_mean)


def transfer_mkl(
    real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, _: Generator, least: float = 1e-6
) -> Tensor:
    """Apply the linear Monge-Kantorovich map: match the reference's covariance with the smallest move (Pitié, 2007).

    least: lower bound for the product of both variances along an axis; axes below it are stretched more than by the
    map.
    """
    mean, source = _compute_moments(real, mask)
    target_mean, target = _compute_moments(reference, reference_mask)
    root, inverse = _matrix_power(source, 0.5), _matrix_power(source, -0.5)
    matrix = inverse @ _matrix_power(root @ target @ root, 0.5, least) @ inverse
    return _apply_affine(real, matrix, mean, target_mean)


def transfer_histograms(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, _: Generator) -> Tensor:
    """Transfer each RGB channel's histogram from the reference (after Fecker et al., 2008)."""
    bins = 64
    distribution = _distribution(real, mask, bins)  # (B, 3, bins)
    target = _distribution(reference, reference_mask, bins)
    # The reference's level below which the same share of pixels lies.
    level = torch.searchsorted(target, distribution.contiguous()).clamp_max(bins - 1)
    level = level.float() / (bins - 1)  # (B, 3, bins)
    place = (real.clamp(0, 1) * (bins - 1)).flatten(2)  # (B, 3, H*W)
    lower = place.floor().long().clamp_max(bins - 2)
    below, above = level.gather(2, lower), level.gather(2, lower + 1)
    return torch.lerp(below, above, place - lower).view_as(real)


def _distribution(picture: Tensor, mask: Tensor, bins: int) -> Tensor:
    """Return (B, 3, bins): the share of masked pixels at or below each level, slightly smoothed."""
    index = (picture.clamp(0, 1) * (bins - 1)).round().long().flatten(2)  # (B, 3, H*W)
    weights = mask.flatten(2).expand(-1, 3, -1)
    counts = torch.zeros(*index.shape[:2], bins, device=picture.device).scatter_add_(2, index, weights)
    counts = torch.nn.functional.avg_pool1d(counts, 5, 1, 2, count_include_pad=False) + 1e-3
    return (counts / counts.sum(dim=2, keepdim=True)).cumsum(dim=2)


def retouch(real: Tensor, mask: Tensor, _: Tensor, __: Tensor, generator: Generator, amount: float = 1.0) -> Tensor:
    """Apply a photographer's edits: exposure and white balance in linear light, contrast, tone curve, saturation."""
    del mask
    stops = draw_uniform(real, -1.4, 1.4, generator) + draw_uniform(real, -0.6, 0.6, generator, 3)
    picture = linear_to_srgb(srgb_to_linear(real) * 2 ** (amount * stops))
    pivot = draw_uniform(real, 0.3, 0.6, generator)
    picture = pivot + (picture - pivot) * 2 ** (amount * draw_uniform(real, -0.6, 0.6, generator))
    # A curve that lifts or lowers shadows and highlights independently.
    x = picture.clamp(0, 1)
    shadows = draw_uniform(real, -0.5, 0.5, generator) * x * (1 - x) ** 2
    highlights = draw_uniform(real, -0.5, 0.5, generator) * x**2 * (1 - x)
    picture = picture + amount * (shadows + highlights)
    luma = sum(weight * picture[:, i : i + 1] for i, weight in enumerate(LUMA))
    return luma + (picture - luma) * 2 ** (amount * draw_uniform(real, -1.2, 0.8, generator))


def add_light(real: Tensor, mask: Tensor, _: Tensor, __: Tensor, generator: Generator, amount: float = 1.0) -> Tensor:
    """Add coloured light that varies across the object: a gain in linear light along a random direction."""
    across = _across(mask, generator)  # (B, 1, H, W), 0..1 over the object
    brightness = draw_uniform(real, -1.8, 1.8, generator, 2)  # stops at both ends
    tint = draw_uniform(real, -0.6, 0.6, generator, 6)
    start, end = brightness[:, :1] + tint[:, :3], brightness[:, 1:] + tint[:, 3:]
    return linear_to_srgb(srgb_to_linear(real) * 2 ** (amount * torch.lerp(start, end, across)))


def _across(mask: Tensor, generator: Generator) -> Tensor:
    """Return (B, 1, H, W): a ramp from 0 to 1 across the object along a random direction."""
    batch, _, height, width = mask.shape
    rows = torch.linspace(-1, 1, height, device=mask.device)[None, None, :, None]
    columns = torch.linspace(-1, 1, width, device=mask.device)[None, None, None, :]
    angle = draw_uniform(mask, 0, 2 * math.pi, generator)
    along = rows * angle.sin() + columns * angle.cos()  # (B, 1, H, W)
    area = mask.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    mean = (along * mask).sum(dim=(2, 3), keepdim=True) / area
    deviation = (((along - mean) ** 2 * mask).sum(dim=(2, 3), keepdim=True) / area).sqrt().clamp_min(0.02)
    return ((along - mean) / (4 * deviation) + 0.5).clamp(0, 1).expand(batch, 1, height, width)


KINDS: dict[str, Recolor] = {
    "reinhard": transfer_reinhard,
    "covariance": transfer_covariance,
    "mkl": transfer_mkl,
    "histogram": transfer_histograms,
    "retouch": retouch,
    "light": add_light,
}


class Composites(NamedTuple):
    """A batch of composites.

    composite, real: (B, 3, H, W) in [0, 1], equal outside the mask.
    mask: (B, 1, H, W).
    kind: (B,), index into the kinds used.
    usable: (B,) bool, False if the foreground changes too little or too much, or clips.
    """

    composite: Tensor
    real: Tensor
    mask: Tensor
    kind: Tensor
    usable: Tensor


def recolor(
    real: Tensor,
    mask: Tensor,
    reference: Tensor,
    reference_mask: Tensor,
    kind: Tensor,
    generator: Generator,
    kinds: Mapping[str, Recolor] = KINDS,
) -> Composites:
    """Make one composite per photograph, of the given kind (B,), an index into `kinds`, with random strength.

    Pictures are (B, 3, H, W) in [0, 1], masks (B, 1, H, W) in [0, 1]. Two in ten also get varying light.
    """
    changed = real.clone()
    for number, make in enumerate(kinds.values()):
        chosen = (kind == number).nonzero().squeeze(1)
        if len(chosen):
            arguments = (real[chosen], mask[chosen], reference[chosen], reference_mask[chosen])
            changed[chosen] = make(*arguments, generator).clamp(-1, 2)
    strength = draw_uniform(real, 0.4, 1.0, generator)
    changed = torch.lerp(real, changed, strength).clamp(0, 1)
    lit = add_light(changed, mask, reference, reference_mask, generator, amount=0.4).clamp(0, 1)
    changed = torch.where(draw_uniform(real, 0, 1, generator) < 0.2, lit, changed)
    # Quantize to 8 bits, as in files.
    changed = (changed * 255).round() / 255
    composite = torch.lerp(real, changed, mask)
    return Composites(composite, real, mask, kind, _is_usable(composite, real, mask))


def _is_usable(composite: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Return (B,) bool: whether the foreground is large enough, changes moderately and isn't heavily clipped."""
    area = mask.sum(dim=(1, 2, 3))
    squared = (composite - real).square().mean(dim=1, keepdim=True)
    fmse = 255**2 * (squared * mask).sum(dim=(1, 2, 3)) / area.clamp_min(1)
    clipped = ((composite <= 0.004) | (composite >= 0.996)) & (real > 0.004) & (real < 0.996)
    newly = (clipped.float().mean(dim=1, keepdim=True) * mask).sum(dim=(1, 2, 3)) / area.clamp_min(1)
    share = area / mask[0].numel()
    return (fmse > 50) & (fmse < 8000) & (newly < 0.08) & (share > 0.005) & (share < 0.8)
