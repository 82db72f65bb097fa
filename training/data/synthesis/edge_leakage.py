"""Composites without label leakage at the mask edge.

An object's colours bleed into a fringe of pixels around its mask, and masks also miss parts of the object. If only the
foreground is recoloured, this fringe still shows its true colours, and a network learns to read them there. Trained
that way on a GPU for eight minutes, it removed 67 % of the validation fMSE. It removed only 22 % when two pixels around
the foreground were recoloured with it. A pasted object has no such fringe.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.data.synthesis.recoloring import KINDS, Composites, Recolor, recolor

_REACHES = (1, 2, 3, 4, 6, 9)
"""Possible widths in pixels of the region without the foreground's colours, for pictures 128 pixels high."""
_FADED = 0.5
"""Share of fringes that fade into the scene; a hard outer edge would itself leak information."""
_OF_OBJECT = 0.35
"""Largest width as a multiple of the square root of the foreground's area, so that small objects keep their scene."""


def dilate(mask: Tensor, reach: int) -> Tensor:
    """Dilate the mask (B, 1, H, W) by `reach` pixels with a square."""
    side = 2 * reach + 1
    return F.max_pool2d(F.max_pool2d(mask, (side, 1), 1, (reach, 0)), (1, side), 1, (0, reach))


def recolor_without_leakage(
    real: Tensor,
    mask: Tensor,
    reference: Tensor,
    reference_mask: Tensor,
    kind: Tensor,
    generator: Generator,
    share: float,
    kinds: Mapping[str, Recolor] = KINDS,
) -> Composites:
    """Make composites like `recolor`, and remove label leakage from about a `share` of them.

    In half of those the fringe is recoloured with the foreground, as if cut out with it. In the others it is filled
    from the background. Some fringes end sharply, others fade. `Composites.real` contains the same fringe and equals
    the composite outside the mask.
    """
    chance = torch.rand(len(mask), generator=generator, device=mask.device)
    with_it, beyond = chance < share / 2, (chance >= share / 2) & (chance < share)
    reaches = _reaches(mask, generator)
    fades = torch.rand(len(mask), generator=generator, device=mask.device) < _FADED
    around = mask.clone()
    for reach in sorted(set(reaches.tolist())):
        sharp, soft = (reaches == reach) & ~fades, (reaches == reach) & fades
        around[sharp] = dilate(mask[sharp], reach)
        around[soft] = dilate_softly(mask[soft], reach)
    recoloured = torch.where(with_it[:, None, None, None], around, mask)
    made = recolor(real, recoloured, reference, reference_mask, kind, generator, kinds)
    composite = made.composite
    for reach in sorted(set(reaches[beyond].tolist())):
        here = beyond & (reaches == reach)
        without = fill_ring(composite[here], mask[here], dilate(mask[here], reach), reach)
        composite[here] = torch.lerp(composite[here], without, around[here])
    return made._replace(composite=composite, mask=mask, real=torch.lerp(composite, real, mask))


def _reaches(mask: Tensor, generator: Generator) -> Tensor:
    """A reach for each of the masks (B, 1, H, W), pixels, (B,)."""
    known = mask.new_tensor(_REACHES)
    pixel = mask.shape[2] / 128
    fitting = (known[1:] * pixel <= _OF_OBJECT * mask.sum(dim=(1, 2, 3)).sqrt()[:, None]).sum(dim=1)
    drawn = torch.randint(len(_REACHES), (len(mask),), generator=generator, device=mask.device)
    return (known[torch.minimum(drawn, fitting)] * pixel).round().clamp_min(1).int()


def dilate_softly(mask: Tensor, reach: int) -> Tensor:
    """As `dilate`, but from a third of the reach on it falls to nothing."""
    slope = (reach + 1) // 3
    return torch.maximum(mask, _blur(dilate(mask, reach - slope), slope))


def fill_ring(composite: Tensor, mask: Tensor, wide: Tensor, reach: int) -> Tensor:
    """Fill the ring that dilation added to the mask with the background's colours, where there are any.

    composite: (B, 3, H, W).
    mask, and wide, the mask dilated by `reach`: (B, 1, H, W) in [0, 1].
    """
    weight = 1 - wide
    colours = composite * weight
    for _ in range(3):  # so that distant pixels count less
        weight, colours = (_blur(part, reach) for part in (weight, colours))
    ring = (wide - mask) * (weight > 1e-3)
    return torch.lerp(composite, colours / weight.clamp_min(1e-3), ring)


def _blur(planes: Tensor, reach: int) -> Tensor:
    side = 2 * reach + 1
    return F.avg_pool2d(F.avg_pool2d(planes, (side, 1), 1, (reach, 0)), (1, side), 1, (0, reach))
