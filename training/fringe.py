"""Composites whose surroundings do not give away what was changed.

A photograph's object bleeds into what is around it: outside a mask lie pixels with some of the object's colours, and
whatever of the object the mask leaves out. Where the foreground alone was recoloured, that fringe still shows what the
colours were. A network learns to read it there: trained so on a GPU for eight minutes, it took 67 % of the fMSE of
validation composites, but 22 % where two pixels around the foreground had been recoloured with it. An object that was
cut out of another photograph has no such fringe.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.synthesis import Composites, recolour

_FURTHEST = 6
"""Most pixels around a foreground that hold nothing of its own colours."""


def widened(mask: Tensor, reach: int) -> Tensor:
    """The mask (B, 1, H, W) and all that is up to `reach` pixels from it."""
    return F.max_pool2d(mask, 2 * reach + 1, 1, reach)


def recolour_around(
    real: Tensor,
    mask: Tensor,
    reference: Tensor,
    reference_mask: Tensor,
    kind: Tensor,
    generator: Generator,
    share: float,
) -> Composites:
    """As `recolour`, but of about a `share` of the composites the fringe tells nothing.

    It is recoloured with the foreground in half of those, as if the object had been cut out with it, and made of what
    lies beyond in the others. So it is in `Composites.real`, too, which equals the composite outside the mask.
    """
    reach = int(torch.randint(1, _FURTHEST + 1, (), generator=generator, device=mask.device))
    wide = widened(mask, reach)
    chance = torch.rand(len(mask), 1, 1, 1, generator=generator, device=mask.device)
    with_it, beyond = chance < share / 2, (chance >= share / 2) & (chance < share)
    made = recolour(real, torch.where(with_it, wide, mask), reference, reference_mask, kind, generator)
    composite = torch.where(beyond, _filled(made.composite, mask, wide, reach), made.composite)
    return made._replace(composite=composite, mask=mask, real=torch.lerp(composite, real, mask))


def _filled(composite: Tensor, mask: Tensor, wide: Tensor, reach: int) -> Tensor:
    """The composite with what `wide` adds to the mask made of the colours beyond, where there are any."""
    weight = 1 - wide
    colours = composite * weight
    for _ in range(3):  # so that the further ones count less
        weight, colours = (F.avg_pool2d(part, 2 * reach + 1, 1, reach) for part in (weight, colours))
    ring = (wide - mask) * (weight > 1e-3)
    return torch.lerp(composite, colours / weight.clamp_min(1e-3), ring)
