"""The wide synthesis, in which the scene varies as much as the object.

First the whole photograph is re-rendered (`scenes`). Then its object is changed by a kind from `recoloring`,
`transfers` or `hours`, or taken from another rendering of the photograph. References are re-rendered too, and some of
them are whole photographs.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from training.data.synthesis.edge_leakage import recolor_without_leakage
from training.data.synthesis.hours import HOURS
from training.data.synthesis.recoloring import KINDS, Composites, Recolor
from training.data.synthesis.scenes import render_scenes, rerender
from training.data.synthesis.transfers import TRANSFERS

WIDE_KINDS: dict[str, Recolor] = {**KINDS, **TRANSFERS, **HOURS, "rerender": rerender}

RENDERED_SCENES = 0.7
"""Share of photographs, and of references, that are re-rendered as a whole."""
WHOLE_REFERENCES = 0.25
"""Share of references that provide the colours of the whole photograph."""
_WEIGHTS = {"rerender": 4.0, "retouch": 2.0, "other hour": 2.0}
"""Relative frequency of kinds whose weight isn't 1."""


def recolor_widely(
    pictures: Tensor,
    mask: Tensor,
    references: Tensor,
    reference_mask: Tensor,
    generator: Generator,
    fringeless: float,
) -> Composites:
    """Make one composite per photograph: pictures (B, 3, H, W) in [0, 1], masks (B, 1, H, W) in [0, 1].

    fringeless: share of composites without label leakage (`training.data.synthesis.edge_leakage`).

    `Composites.real` is the re-rendered photograph; `kind` is an index into WIDE_KINDS.
    """
    both = render_scenes(torch.cat([pictures, references]), RENDERED_SCENES, generator)
    real, reference = both.chunk(2)
    whole = torch.rand(len(mask), 1, 1, 1, generator=generator, device=mask.device) < WHOLE_REFERENCES
    reference_mask = torch.where(whole, 1.0, reference_mask)
    weights = torch.tensor([_WEIGHTS.get(name, 1.0) for name in WIDE_KINDS], device=mask.device)
    kind = torch.multinomial(weights, len(mask), replacement=True, generator=generator)
    return recolor_without_leakage(real, mask, reference, reference_mask, kind, generator, fringeless, WIDE_KINDS)
