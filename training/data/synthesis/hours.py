"""Change the light on an object to another hour's: sun and sky of other colours from other sides, or partial shade.

Each is a `training.data.synthesis.recoloring.Recolor`; see there.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gknet.color.srgb import linear_to_srgb, srgb_to_linear
from training.data.synthesis.draws import draw_uniform
from training.data.synthesis.scenes import compute_light_color, compute_luma, multiply_light


def inflate_normals(mask: Tensor) -> Tensor:
    """Return unit normals (B, 3, H, W) of a shape inflated from its outline: x right, y down, z to the viewer.

    mask: (B, 1, H, W).
    Source: after Johnston, Lumo: Illumination for Cel Animation, NPAR 2002.
    """
    height = mask.shape[2]
    thick = torch.zeros_like(mask)
    for reach in (height // 64, height // 32, height // 16, height // 8):
        side = 2 * max(1, reach) + 1
        blurred = mask
        for _ in range(2):
            blurred = F.avg_pool2d(F.avg_pool2d(blurred, (side, 1), 1, (side // 2, 0)), (1, side), 1, (0, side // 2))
        thick = thick + (2 * blurred - 1).clamp_min(0) * side
    down = F.pad(thick[:, :, 2:] - thick[:, :, :-2], (0, 0, 1, 1))
    right = F.pad(thick[:, :, :, 2:] - thick[:, :, :, :-2], (1, 1, 0, 0))
    return F.normalize(torch.cat([-right, -down, torch.full_like(right, 1.5)], dim=1), dim=1)


def relight(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Replace even light by a coloured directional light and a differently coloured ambient light.

    Uses Lambert's law on `inflate_normals`. Colours are those of black bodies: 2,000 to 6,000 K for the directional
    light, 6,000 to 15,000 K for the ambient light.
    """
    del reference, reference_mask
    angle = draw_uniform(real, 0, 2 * math.pi, draws)
    height = draw_uniform(real, 0.1, 1.0, draws)
    towards = torch.cat([angle.cos(), -angle.sin().abs(), height], dim=1)
    shading = (inflate_normals(mask) * F.normalize(towards, dim=1)).sum(dim=1, keepdim=True).clamp_min(0)
    sun = compute_light_color(draw_uniform(real, 2000, 6000, draws))
    sky = compute_light_color(draw_uniform(real, 6000, 15000, draws))
    direct = draw_uniform(real, 0, 1, draws)
    gain = direct * shading * sun / compute_luma(sun) + (1 - direct) * sky / compute_luma(sky)
    stops = draw_uniform(real, -1.8, 1.5, draws)
    return linear_to_srgb(multiply_light(srgb_to_linear(real), gain.clamp_min(0.02) * 1.3 * 2**stops))


def shade_half(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, draws: Generator) -> Tensor:
    """Cast a shadow over one side of a random line across the object: one to three stops darker, and bluish."""
    del reference, reference_mask
    _, _, height, width = real.shape
    rows = torch.linspace(-1, 1, height, device=real.device)[None, None, :, None]
    columns = torch.linspace(-1, 1, width, device=real.device)[None, None, None, :]
    angle = draw_uniform(real, 0, 2 * math.pi, draws)
    along = rows * angle.sin() + columns * angle.cos()
    area = mask.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    middle = (along * mask).sum(dim=(2, 3), keepdim=True) / area
    spread = (((along - middle) ** 2 * mask).sum(dim=(2, 3), keepdim=True) / area).sqrt().clamp_min(0.02)
    edge = (along - middle) / spread + draw_uniform(real, -0.8, 0.8, draws)
    shade = torch.sigmoid(edge * draw_uniform(real, 2, 20, draws))
    sky = compute_light_color(draw_uniform(real, 6500, 12000, draws)) ** draw_uniform(real, 0.2, 1.0, draws)
    dark = sky / compute_luma(sky) * 2 ** draw_uniform(real, -3.0, -1.0, draws)
    sunny = 2 ** draw_uniform(real, -0.5, 1.0, draws)
    gain = torch.lerp(sunny.expand_as(dark), dark, shade)
    return linear_to_srgb(multiply_light(srgb_to_linear(real), gain))


HOURS = {"other hour": relight, "half in shade": shade_half}
