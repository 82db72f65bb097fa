"""Composites whose surroundings do not give away what was changed.

A photograph's object bleeds into what is around it: outside a mask lie pixels with some of the object's colours, and
whatever of the object the mask leaves out. Where the foreground alone was recoloured, that fringe still shows what the
colours were. A network learns to read it there: trained so on a GPU for eight minutes, it took 67 % of the fMSE of
validation composites, but 22 % where two pixels around the foreground had been recoloured with it. An object that was
cut out of another photograph has no such fringe.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.data.synthesis.recoloring import KINDS, Composites, Recolor, recolor

_REACHES = (1, 2, 3, 4, 6, 9)
"""Pixels around a foreground, of pictures 128 high, that hold nothing of its own colours: one of these."""
_FADED = 0.5
"""Share of such surroundings that fade into the scene: where they end at once, that edge tells of them."""
_OF_OBJECT = 0.35
"""Most that a reach may be, in roots of the foreground's area: around a small object the scene begins soon."""


def dilate(mask: Tensor, reach: int) -> Tensor:
    """The mask (B, 1, H, W) and all that is up to `reach` pixels from it in both directions."""
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
    """As `recolor`, but of about a `share` of the composites the fringe tells nothing.

    It is recoloured with the foreground in half of those, as if the object had been cut out with it, and made of what
    lies beyond in the others. Some of it ends at once, some fades. So it is in `Composites.real`, too, which equals the
    composite outside the mask.
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
    """The composite with what `wide` adds to the mask made of the colours beyond, where there are any.

    composite: (B, 3, H, W).   mask, and wide, which is it widened by `reach`: (B, 1, H, W) in [0, 1].
    """
    weight = 1 - wide
    colours = composite * weight
    for _ in range(3):  # so that the further ones count less
        weight, colours = (_blur(part, reach) for part in (weight, colours))
    ring = (wide - mask) * (weight > 1e-3)
    return torch.lerp(composite, colours / weight.clamp_min(1e-3), ring)


def _blur(planes: Tensor, reach: int) -> Tensor:
    side = 2 * reach + 1
    return F.avg_pool2d(F.avg_pool2d(planes, (side, 1), 1, (reach, 0)), (1, side), 1, (0, reach))
