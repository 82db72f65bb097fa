"""Precompute what a colour matrix is scored by, once per composite, so that training only the heads is cheap.

Everything before the global and the recognition head is frozen, and everything after them is linear in the matrix that
they predict. An example therefore consists of the heads' inputs and the sums that give the squared error of the
harmonized picture for any matrix. A head can train on thousands of examples per second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.network.blocks import upsample_like
from gknet.network.extensions.color_statistics import LENGTH, REGION_LENGTH
from gknet.network.extensions.recognition import RecognizedFeatures
from gknet.network.extensions.surroundings import REGIONS
from gknet.network.model import GKNet
from training.engine.loss import SMALLEST_AREA

COLOURS = LENGTH + REGIONS * REGION_LENGTH + 1
"""Number of colour statistics that the recognition head receives."""


_STRIDE = 2
"""Sums use every second row and column, because the pictures were enlarged anyway."""


class Examples(NamedTuple):
    """A batch of composites as inputs of the heads and their loss.

    colours: (B, COLOURS).
    reference: (B, C, 1, 2), F_LR's mean over foreground and background.
    things: (B, DEEP_CHANNELS, 1, 2), the same of `RecognizedFeatures.deep`.

    At each pixel, the harmonized picture differs from the composite by u M + w, with M (3, 4) the matrix. The composite
    differs from the ground truth by e. These are sums over the picture, one row per channel where there are three:

    quadratic: (B, 3, 4, 4), u u.
    to_change, to_error: (B, 3, 4), u w and u e.
    scalars: (B, 9), in this order:
    - over all channels: w w; w e; e e over the foreground; e e over everything;
    - the sums of the mask and of its square; the number of foreground pixels;
    - the sum of the composite under the mask; the number of pixels.
    """

    colours: Tensor
    reference: Tensor
    things: Tensor
    quadratic: Tensor
    to_change: Tensor
    to_error: Tensor
    scalars: Tensor

    def select(self, index: Tensor) -> Examples:
        """Return the examples with these indices, in float32."""
        return Examples(*(part[index].float() for part in self))

    @property
    def pixels(self) -> Tensor:
        """(B,), the number of pixels that the sums cover."""
        return self.scalars[:, 8]

    @property
    def area(self) -> Tensor:
        """(B,), the sum of the mask, in pixels."""
        return self.scalars[:, 4]


def join_examples(parts: Sequence[Examples]) -> Examples:
    """Join the examples of several batches."""
    return Examples(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


class Errors(NamedTuple):
    """Squared errors of harmonized pictures, values in [0, 1], summed over channels and pixels: (B,) each."""

    foreground: Tensor
    picture: Tensor


@torch.no_grad()
def make_examples(
    net: GKNet, composite: Tensor, real: Tensor, mask: Tensor, size: int, recognized: RecognizedFeatures | None = None
) -> Examples:
    """Make the examples of composites (B, 3, H, W) with a frozen network that has both heads.

    real: (B, 3, H, W).
    mask: (B, 1, H, W).
    size: side in pixels at which the network sees them.
    recognized: the recognition feature maps, if known.
    """
    composite, real = (
        F.interpolate(picture, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        for picture in (composite, real)
    )
    mask = F.interpolate(mask, (size, size), mode="bilinear", antialias=True)
    assert net.global_head is not None
    assert net.recognition_head is not None
    captured: dict[str, tuple[Tensor, ...]] = {}

    def get_module(name: str) -> nn.Module:
        module = getattr(net, name)
        assert isinstance(module, nn.Module)
        return module

    hooks = [
        get_module("global_head").register_forward_pre_hook(lambda _, given: captured.update(global_head=given)),
        get_module("recognition_head").register_forward_pre_hook(
            lambda _, given: captured.update(recognition_head=given)
        ),
        get_module("head").register_forward_hook(lambda _, __, answer: captured.update(head=(answer,))),
    ]
    try:
        net(composite, mask, recognized=recognized)
    finally:
        for hook in hooks:
            hook.remove()
    _, _, reference = captured["global_head"]
    colours, _, things = captured["recognition_head"]
    answer = upsample_like(net.config.head_scale * captured["head"][0].float(), composite)
    gain, bias = answer.chunk(2, dim=1)
    return Examples(
        colours,
        _mean_by_region(reference.float(), mask),
        _mean_by_region(things, mask),
        *_sum_products(*(part[:, :, ::_STRIDE, ::_STRIDE] for part in (composite, real, mask, gain.exp(), bias))),
    )


def _mean_by_region(feature: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over foreground and background, (B, C, 1, 2), as the heads compute it."""
    small = F.adaptive_avg_pool2d(mask, (feature.shape[2], feature.shape[3]))
    weights = torch.cat([small, 1 - small], dim=1).flatten(2)  # (B, 2, h*w)
    sums = feature.flatten(2) @ weights.transpose(1, 2)  # (B, C, 2)
    return (sums / weights.sum(dim=2).clamp_min(1e-4)[:, None])[:, :, None]


def _sum_products(composite: Tensor, real: Tensor, mask: Tensor, gain: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    batch = len(composite)
    known = torch.cat([composite, torch.ones_like(mask)], dim=1).flatten(2)  # (B, 4, P)
    lever = (mask * gain).flatten(2)[:, :, None] * known[:, None]  # u: (B, 3, 4, P)
    change = (mask * (composite * gain + bias - composite)).flatten(2)  # w: (B, 3, P)
    error = (composite - real).flatten(2)  # e
    inside = (mask >= 0.5).flatten(2)
    scalars = torch.stack(
        [
            change.square().sum(dim=(1, 2)),
            (change * error).sum(dim=(1, 2)),
            (error.square() * inside).sum(dim=(1, 2)),
            error.square().sum(dim=(1, 2)),
            mask.sum(dim=(1, 2, 3)),
            mask.square().sum(dim=(1, 2, 3)),
            inside.sum(dim=(1, 2)),
            (composite * mask).sum(dim=(1, 2, 3)),
            torch.full((batch,), float(mask[0].numel()), device=mask.device),
        ],
        dim=1,
    )
    rows = lever.view(batch * 3, 4, -1)
    quadratic = (rows @ rows.transpose(1, 2)).view(batch, 3, 4, 4)
    return (
        quadratic,
        (lever * change[:, :, None]).sum(dim=3),
        (lever * error[:, :, None]).sum(dim=3),
        scalars,
    )


def predict_matrix(net: GKNet, examples: Examples) -> Tensor:
    """Return the colour matrix (B, 3, 4) that both heads of a network predict."""
    assert net.global_head is not None
    assert net.recognition_head is not None
    # With two positions, one foreground and one background, the heads' means are the positions themselves.
    mask = examples.colours.new_tensor([1.0, 0.0]).expand(len(examples.colours), 1, 1, 2)
    matrix: Tensor = net.global_head(examples.colours[:, :LENGTH], mask, examples.reference)
    correction: Tensor = net.recognition_head(examples.colours, mask, examples.things)
    return matrix + correction


def compute_squared_errors(examples: Examples, matrix: Tensor, restraint: float = 0.0) -> Errors:
    """Return the squared errors of the pictures that matrices (B, 3, 4) make, with `GKNetConfig.restraint` if given.

    Exact except at the edges of soft masks, where the foreground's error covers every pixel that the mask touches.
    """
    pushed = (examples.quadratic @ matrix[..., None])[..., 0]  # (B, 3, 4)
    change_change, change_error, error_inside, error_all = examples.scalars[:, :4].unbind(1)
    changes = (matrix * (pushed + 2 * examples.to_change)).sum(dim=(1, 2)) + change_change
    crossed = (matrix * examples.to_error).sum(dim=(1, 2)) + change_error
    share = torch.ones_like(changes)
    if restraint:
        square = changes / (3 * examples.scalars[:, 5]).clamp_min(1e-12)
        light = examples.scalars[:, 7] / (3 * examples.area).clamp_min(1e-12)
        share = square**3 / (square**3 + (restraint**2 * light.clamp_min(0)) ** 3).clamp_min(1e-30)
    moved = share**2 * changes + 2 * share * crossed
    return Errors((moved + error_inside).clamp_min(0), (moved + error_all).clamp_min(0))


def compute_rms_loss(examples: Examples, matrix: Tensor) -> Tensor:
    """Return `training.engine.loss.foreground_rmse` of the pictures that matrices (B, 3, 4) make."""
    squared = compute_squared_errors(examples, matrix).picture / examples.area.clamp_min(SMALLEST_AREA)
    return (squared / 3 + 1e-6).sqrt().mean()
