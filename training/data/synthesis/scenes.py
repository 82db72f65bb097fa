"""Renderings of a whole photograph: the same scene with another camera, photographer, weather or hour.

If only the object is changed, a network learns what typical photographs look like. If the whole photograph is
re-rendered first, it must read the scene's light. Each rendering is a function `(picture, generator) -> picture`.
Pictures are (B, 3, H, W) sRGB in [0, 1]; the result isn't clamped.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from gknet.color.luma import LUMA
from gknet.color.srgb import linear_to_srgb, srgb_to_linear
from training.data.synthesis.draws import draw_uniform

Rendering = Callable[[Tensor, Generator], Tensor]

DAYLIGHT_KELVIN = 6500.0
"""Colour temperature of sRGB's white."""
KELVIN = (2500.0, 12000.0)
"""Lowest and highest colour temperature for `change_white_balance`."""


def compute_luma(picture: Tensor) -> Tensor:
    """Return the weighted sum of the channels, (B, 1, H, W)."""
    return (picture * picture.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def multiply_light(linear: Tensor, gain: Tensor) -> Tensor:
    """Multiply linear light by a gain. Gains above 1 compress highlights towards white like film, by 1 - exp(-x)."""
    film = (1 - torch.exp(-gain * linear)) / (1 - torch.exp(-gain))
    return torch.where(gain > 1, film, gain * linear)


def change_exposure(picture: Tensor, generator: Generator) -> Tensor:
    """Change the exposure by up to two stops, with highlight compression (Mann & Picard, 1995)."""
    stops = draw_uniform(picture, -2, 2, generator)
    return linear_to_srgb(multiply_light(srgb_to_linear(picture), 2**stops))


def compute_light_color(kelvin: Tensor) -> Tensor:
    """Return a black body's colour relative to sRGB white, linear, of luminance 1: (B, 1, 1, 1) -> (B, 3, 1, 1).

    Source: cubic approximation of the Planckian locus, Kim et al., US patent 7024034, 2002, valid from 1667 K.
    """
    return _black_body(kelvin) / _black_body(torch.full_like(kelvin, DAYLIGHT_KELVIN))


def _black_body(kelvin: Tensor) -> Tensor:
    t = 1000 / kelvin
    low = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    high = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    x = torch.where(kelvin < 4000, low, high)
    lowest = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    low = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    high = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    y = torch.where(kelvin < 2222, lowest, torch.where(kelvin < 4000, low, high))
    big_x, big_z = x / y, (1 - x - y) / y  # luminance Y = 1
    red = 3.2406 * big_x - 1.5372 - 0.4986 * big_z
    green = -0.9689 * big_x + 1.8758 + 0.0415 * big_z
    blue = 0.0557 * big_x - 0.2040 + 1.0570 * big_z
    return torch.cat([red, green, blue], dim=1).clamp_min(0.02)


def change_white_balance(picture: Tensor, generator: Generator) -> Tensor:
    """Simulate imperfectly balanced light of 2,500 to 12,000 K, with a slight green or magenta tint.

    Drawn uniformly in reciprocal temperature, where steps look alike (Judd, 1933).
    """
    mired = draw_uniform(picture, 1e6 / KELVIN[1], 1e6 / KELVIN[0], generator)
    tint = torch.cat(
        [torch.zeros_like(mired), draw_uniform(picture, -0.2, 0.2, generator), torch.zeros_like(mired)], dim=1
    )
    # Cameras compensate part of it.
    share = draw_uniform(picture, 0.3, 1.0, generator)
    gain = compute_light_color(1e6 / mired) ** share * 2**tint
    return linear_to_srgb(_balance_light(srgb_to_linear(picture), gain))


def _balance_light(linear: Tensor, gain: Tensor) -> Tensor:
    """Multiply by a gain (B, 3, 1, 1) and keep the luminance of greys."""
    return linear * gain / compute_luma(gain)


def change_contrast(picture: Tensor, generator: Generator) -> Tensor:
    """Change contrast and saturation around a random grey, and gamma."""
    pivot = draw_uniform(picture, 0.25, 0.65, generator)
    picture = pivot + (picture - pivot) * 2 ** draw_uniform(picture, -0.8, 0.6, generator)
    return picture.clamp(0, 1) ** (2 ** draw_uniform(picture, -0.6, 0.6, generator))


def change_saturation(picture: Tensor, generator: Generator) -> Tensor:
    """Change the saturation, from nearly grey to vivid."""
    grey = compute_luma(picture)
    return grey + (picture - grey) * 2 ** draw_uniform(picture, -2.0, 0.7, generator)


def flatten_tones(picture: Tensor, generator: Generator) -> Tensor:
    """Apply a logarithmic curve with lifted blacks and pale colours, like ungraded raw or "log" footage."""
    linear = srgb_to_linear(picture)
    slope = 2 ** draw_uniform(picture, 3.0, 7.0, generator)
    curve = torch.log1p(slope * linear) / torch.log1p(slope)
    curve = curve ** (2 ** draw_uniform(picture, -0.2, 1.2, generator))
    grey = compute_luma(curve)
    curve = grey + (curve - grey) * draw_uniform(picture, 0.4, 0.9, generator)
    return draw_uniform(picture, 0, 0.15, generator) + curve * draw_uniform(picture, 0.65, 0.85, generator)


def render_night(picture: Tensor, generator: Generator) -> Tensor:
    """Render day for night: much darker, pale and bluish (Thompson, Shirley & Ferwerda, 2002), or lit by lamps."""
    linear = srgb_to_linear(picture) * 2 ** draw_uniform(picture, -4.0, -1.5, generator)
    grey = compute_luma(linear)
    linear = grey + (linear - grey) * draw_uniform(picture, 0.2, 0.8, generator)
    lamps = draw_uniform(picture, 0, 1, generator) < 0.35
    kelvin = torch.where(
        lamps, draw_uniform(picture, 1900, 2800, generator), draw_uniform(picture, 8000, 15000, generator)
    )
    dark = linear_to_srgb(
        _balance_light(linear, compute_light_color(kelvin) ** draw_uniform(picture, 0.3, 0.9, generator))
    )
    return draw_uniform(picture, 0, 0.04, generator) + dark


def render_dusk(picture: Tensor, generator: Generator) -> Tensor:
    """Render a low sun: darker, warm near the ground or on one side, bluish elsewhere."""
    _, _, height, width = picture.shape
    rows = torch.linspace(0, 1, height, device=picture.device)[None, None, :, None]
    columns = torch.linspace(0, 1, width, device=picture.device)[None, None, None, :]
    angle = draw_uniform(picture, -math.pi / 3, math.pi / 3, generator)
    along = (rows - 0.5) * angle.cos() + (columns - 0.5) * angle.sin() + 0.5
    blend = torch.sigmoid(
        (along - draw_uniform(picture, 0.2, 0.8, generator)) * draw_uniform(picture, 2, 10, generator)
    )
    warm = compute_light_color(draw_uniform(picture, 2200, 4000, generator))
    cold = compute_light_color(draw_uniform(picture, 7000, 14000, generator))
    share = draw_uniform(picture, 0.3, 1.0, generator)
    gain = torch.lerp(cold / compute_luma(cold), warm / compute_luma(warm), blend) ** share
    return linear_to_srgb(srgb_to_linear(picture) * gain * 2 ** draw_uniform(picture, -2.0, 0.3, generator))


def add_haze(picture: Tensor, generator: Generator) -> Tensor:
    """Add airlight that grows with height in the picture (Koschmieder, 1924; Narasimhan & Nayar, 2002)."""
    height = picture.shape[2]
    far = 1 - torch.linspace(0, 1, height, device=picture.device)[None, None, :, None]
    depth = far ** draw_uniform(picture, 0.5, 2.0, generator)
    passed = torch.exp(-draw_uniform(picture, 0.2, 1.5, generator) * depth)
    airlight = draw_uniform(picture, 0.35, 0.9, generator) + draw_uniform(picture, -0.08, 0.08, generator, 3)
    linear = srgb_to_linear(picture)
    return linear_to_srgb(torch.lerp(srgb_to_linear(airlight.clamp(0, 1)), linear, passed))


def apply_film_look(picture: Tensor, generator: Generator) -> Tensor:
    """Apply a film look like a lookup table: a slight channel mix, then a random smooth curve per channel."""
    mixed = mix_channels(picture, draw_uniform(picture, 0, 0.07, generator), generator)
    return apply_random_curve(mixed, draw_uniform(picture, 0.02, 0.08, generator), generator)


def mix_channels(picture: Tensor, amount: Tensor, generator: Generator) -> Tensor:
    """Multiply by a random matrix near the identity whose rows sum to 1, so that greys stay grey."""
    batch = picture.shape[0]
    noise = torch.randn(batch, 3, 3, generator=generator, device=picture.device)
    noise = noise - noise.mean(dim=2, keepdim=True)
    matrix = torch.eye(3, device=picture.device) + amount[:, 0] * noise
    return torch.einsum("bij,bjhw->bihw", matrix, picture)


def apply_random_curve(picture: Tensor, amount: Tensor, generator: Generator) -> Tensor:
    """Apply a random monotonic curve through six points to each channel, mostly shared by all three."""
    count = 6
    batch = picture.shape[0]
    steps = torch.linspace(0, 1, count, device=picture.device)
    shared = torch.randn(batch, 1, count, generator=generator, device=picture.device)
    own = torch.randn(batch, 3, count, generator=generator, device=picture.device)
    points = steps + amount[:, 0] * (shared + 0.5 * own)
    points = torch.cummax(points, dim=2).values.clamp(0, 1)  # (B, 3, count)
    place = (picture.clamp(0, 1) * (count - 1)).flatten(2)
    lower = place.floor().long().clamp_max(count - 2)
    # A cubic step between the points avoids kinks.
    part = place - lower
    part = part * part * (3 - 2 * part) * 0.5 + part * 0.5
    return torch.lerp(points.gather(2, lower), points.gather(2, lower + 1), part).view_as(picture)


RENDERINGS: dict[str, Rendering] = {
    "exposure": change_exposure,
    "white balance": change_white_balance,
    "contrast": change_contrast,
    "saturation": change_saturation,
    "flat": flatten_tones,
    "night": render_night,
    "dusk": render_dusk,
    "haze": add_haze,
    "film": apply_film_look,
}


def render_scenes(pictures: Tensor, share: float, generator: Generator) -> Tensor:
    """Render a `share` of pictures (B, 3, H, W) in [0, 1] with one of `RENDERINGS`, and four in ten of these with
    another.

    Returns 8-bit values in [0, 1].
    """
    found = pictures.clone()
    chosen = torch.rand(len(pictures), generator=generator, device=pictures.device) < share
    for again in (False, True):
        number = torch.randint(len(RENDERINGS), (len(pictures),), generator=generator, device=pictures.device)
        if again:
            chosen = chosen & (torch.rand(len(pictures), generator=generator, device=pictures.device) < 0.4)
        for index, render in enumerate(RENDERINGS.values()):
            here = (chosen & (number == index)).nonzero().squeeze(1)
            if len(here):
                found[here] = render(found[here], generator).clamp(0, 1)
    return (found * 255).round() / 255


def rerender(real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor, generator: Generator) -> Tensor:
    """Return another rendering of the same photograph; a `Recolor`."""
    del mask, reference, reference_mask
    return render_scenes(real, 1.0, generator)
