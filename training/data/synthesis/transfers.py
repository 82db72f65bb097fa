"""Colour transfers between photographs in several colour spaces, as third-party libraries and editors implement them.

Each is a `recoloring.Recolor`: `(real, mask, reference, reference_mask, generator) -> recoloured`. Pictures are (B, 3,
H, W) sRGB in [0, 1], masks (B, 1, H, W) in [0, 1]. The result isn't clamped and needs to be correct only inside the
mask.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from gknet.color.srgb import lab_to_srgb, srgb_to_lab
from training.data.synthesis.draws import draw_uniform
from training.data.synthesis.scenes import apply_random_curve, mix_channels

_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""YCbCr from RGB (JFIF)."""
_LMS = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
"""Cone responses from RGB (Reinhard et al., 2001)."""
_LOG_SPACE = (
    (1 / math.sqrt(3), 1 / math.sqrt(3), 1 / math.sqrt(3)),
    (1 / math.sqrt(6), 1 / math.sqrt(6), -2 / math.sqrt(6)),
    (1 / math.sqrt(2), -1 / math.sqrt(2), 0.0),
)
"""l, alpha, beta from logarithms of cone responses (Ruderman et al., 1998)."""


def _multiply(matrix: Tensor, picture: Tensor) -> Tensor:
    """Multiply the channels of (B, 3, H, W) by a matrix (3, 3) or (B, 3, 3)."""
    return torch.einsum("...ij,bjhw->bihw" if matrix.dim() == 2 else "bij,bjhw->bihw", matrix, picture)


def match_histograms(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, bins: int) -> Tensor:
    """Match each channel's histogram under the masks; all pictures (B, 3, H, W), of any range.

    With few bins, values within a bin move together, as in editors; between two bins they are interpolated.
    """
    channels = real.flatten(2)
    others = reference.flatten(2)
    low = torch.minimum(channels.amin(dim=2, keepdim=True), others.amin(dim=2, keepdim=True))
    span = torch.maximum(channels.amax(dim=2, keepdim=True), others.amax(dim=2, keepdim=True)) - low
    span = span.clamp_min(1e-6)
    place = (channels - low) / span * (bins - 1)
    source = _cumulative_histogram(place, mask, bins)  # (B, 3, bins)
    target = _cumulative_histogram((others - low) / span * (bins - 1), reference_mask, bins)
    upper = torch.searchsorted(target, source).clamp(1, bins - 1)
    below, above = target.gather(2, upper - 1), target.gather(2, upper)
    level = upper - 1 + ((source - below) / (above - below).clamp_min(1e-6)).clamp(0, 1)
    level = level / (bins - 1) * span + low
    lower = place.floor().long().clamp(0, bins - 2)
    return torch.lerp(level.gather(2, lower), level.gather(2, lower + 1), place - lower).view_as(real)


def _cumulative_histogram(place: Tensor, mask: Tensor, bins: int) -> Tensor:
    """Return (B, 3, bins): the share of masked pixels at or below each bin.

    place: (B, 3, H*W) in 0..bins - 1.
    """
    weights = mask.flatten(2).expand(-1, 3, -1)
    index = place.round().long().clamp(0, bins - 1)
    counts = place.new_zeros(*place.shape[:2], bins).scatter_add_(2, index, weights)
    counts = counts + 1e-6 * counts.sum(dim=2, keepdim=True).clamp_min(1)
    return (counts / counts.sum(dim=2, keepdim=True)).cumsum(dim=2).contiguous()


def _draw_bins(generator: Generator) -> int:
    """Draw the number of bins for a whole batch."""
    return (8, 16, 32, 256, 256)[int(torch.randint(5, (), generator=generator, device=generator.device))]


def match_rgb(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Match the histograms of R, G and B (Gonzalez & Woods, Digital Image Processing, section 3.3)."""
    return match_histograms(real, mask, reference, reference_mask, _draw_bins(draws))


def match_ycbcr(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Match the histograms of luma and both chromas, or of luma alone (Fecker et al., 2008, match YCbCr)."""
    to = real.new_tensor(_YCBCR)
    planes, others = _multiply(to, real), _multiply(to, reference)
    matched = match_histograms(planes, mask, others, reference_mask, _draw_bins(draws))
    alone = draw_uniform(real, 0, 1, draws) < 0.2
    matched = torch.cat([matched[:, :1], torch.where(alone, planes[:, 1:], matched[:, 1:])], dim=1)
    return _multiply(to.inverse(), matched)


def match_lab(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Match the histograms of L, a and b (Neumann & Neumann, 2005, match in a similar space)."""
    lab = match_histograms(srgb_to_lab(real), mask, srgb_to_lab(reference), reference_mask, _draw_bins(draws))
    return lab_to_srgb(lab)


def match_hsv(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Match the histograms of saturation and value; rotate hue by at most a fifteenth of a circle (Smith, 1978)."""
    hsv, other = rgb_to_hsv(real), rgb_to_hsv(reference)
    matched = match_histograms(hsv, mask, other, reference_mask, _draw_bins(draws))
    hue = hsv[:, :1] + draw_uniform(real, -1 / 15, 1 / 15, draws) * (draw_uniform(real, 0, 1, draws) < 0.5)
    return hsv_to_rgb(torch.cat([hue % 1, matched[:, 1:].clamp(0, 1)], dim=1))


def rgb_to_hsv(picture: Tensor) -> Tensor:
    """Return hue, saturation and value, all in [0, 1] (Smith, Color Gamut Transform Pairs, 1978)."""
    value, _ = picture.max(dim=1)
    least, _ = picture.min(dim=1)
    chroma = value - least
    red, green, blue = picture.unbind(1)
    safe = chroma.clamp_min(1e-6)
    hue = torch.where(
        value == red,
        (green - blue) / safe % 6,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return torch.stack([hue / 6, chroma / value.clamp_min(1e-6), value], dim=1)


def hsv_to_rgb(hsv: Tensor) -> Tensor:
    """Invert `rgb_to_hsv`."""
    hue, saturation, value = hsv.unbind(1)
    channels = []
    for shift in (5, 3, 1):
        k = (shift + 6 * hue) % 6
        channels.append(value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def match_distribution(
    real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator
) -> Tensor:
    """Match the colour distribution by histograms along random axes, four times (Pitié, Kokaram & Dahyot, 2005)."""
    found = real
    for _ in range(4):
        axes, _ = torch.linalg.qr(torch.randn(len(real), 3, 3, generator=draws, device=real.device))
        turned = match_histograms(_multiply(axes, found), mask, _multiply(axes, reference), reference_mask, bins=64)
        found = _multiply(axes.transpose(1, 2), turned)
    return found


def transfer_reinhard_log(
    real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, _: Generator
) -> Tensor:
    """Transfer mean and deviation in the logarithmic l-alpha-beta space (Reinhard et al., 2001, as published)."""
    lms, turn = real.new_tensor(_LMS), real.new_tensor(_LOG_SPACE)
    planes, others = (
        _multiply(turn, _multiply(lms, picture.clamp_min(1 / 255)).log10()) for picture in (real, reference)
    )
    mean, deviation = _mean_and_deviation(planes, mask)
    target_mean, target_deviation = _mean_and_deviation(others, reference_mask)
    ratio = (target_deviation / deviation.clamp_min(1e-3)).clamp(0.2, 5)
    moved = (planes - mean) * ratio + target_mean
    return _multiply(lms.inverse(), 10 ** _multiply(turn.T, moved))


def shift_mean(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Transfer the mean of R, G and B and, for half of the pictures, the deviation (the simplest transfer)."""
    mean, deviation = _mean_and_deviation(real, mask)
    target_mean, target_deviation = _mean_and_deviation(reference, reference_mask)
    ratio = (target_deviation / deviation.clamp_min(1e-2)).clamp(0.4, 2.5)
    ratio = torch.where(draw_uniform(real, 0, 1, draws) < 0.5, ratio, torch.ones_like(ratio))
    return (real - mean) * ratio + target_mean


def _mean_and_deviation(picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation under the mask, (B, 3, 1, 1) each."""
    area = mask.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    mean = (picture * mask).sum(dim=(2, 3), keepdim=True) / area
    return mean, (((picture - mean) ** 2 * mask).sum(dim=(2, 3), keepdim=True) / area).sqrt()


def shift_to_scene(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Move the Lab mean to that of a random place in the scene, like Poisson blending (Pérez et al., 2003)."""
    del reference, reference_mask
    batch, _, height, width = real.shape
    rows = torch.linspace(0, 1, height, device=real.device)[None, None, :, None]
    columns = torch.linspace(0, 1, width, device=real.device)[None, None, None, :]
    apart = (rows - draw_uniform(real, 0, 1, draws)) ** 2 + (columns - draw_uniform(real, 0, 1, draws)) ** 2
    place = torch.exp(-apart / 0.02) * (1 - mask) + 1e-5
    lab = srgb_to_lab(real)
    mean, _ = _mean_and_deviation(lab, mask)
    there, _ = _mean_and_deviation(lab, place.expand(batch, 1, height, width) / place.amax(dim=(2, 3), keepdim=True))
    return lab_to_srgb(lab + there - mean)


def edit_curves(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Apply a channel mixer and a random curve per channel, like an editor's "channel mixer" and "curves" tools."""
    del mask, reference, reference_mask
    mixed = mix_channels(real, draw_uniform(real, 0, 0.3, draws), draws)
    return apply_random_curve(mixed, draw_uniform(real, 0.05, 0.2, draws), draws)


TRANSFERS = {
    "histogram rgb": match_rgb,
    "histogram ycbcr": match_ycbcr,
    "histogram lab": match_lab,
    "histogram hsv": match_hsv,
    "iterated distribution": match_distribution,
    "reinhard log": transfer_reinhard_log,
    "mean shift": shift_mean,
    "scene colour": shift_to_scene,
    "curves": edit_curves,
}
