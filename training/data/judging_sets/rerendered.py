"""Composites in re-rendered scenes: the whole photograph is retouched, then its object is retouched again.

This set exposes a network that has learned what typical photographs look like instead of reading the scene's light.
Photographs come from the validation split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from training.data.judging_sets.validation import Half, find_half
from training.data.sample import TRIES, Sample, to_pixels
from training.data.shards import Photographs
from training.data.synthesis.recoloring import KINDS, recolor, retouch

STRENGTHS = (0.4, 0.8, 1.2)
"""Strengths for retouching whole photographs; 1 is the strength used on objects."""
_CLIPPED = 0.2
"""Largest share of values that re-rendering may newly clip."""


def make_rerendered_samples(photographs: Photographs, half: Half) -> Iterator[Sample]:
    """Yield each photograph of a half at every strength. Always the same samples: draws depend on key and strength
    alone.

    The foreground is the photograph's first mask. `Sample.real` is the re-rendered photograph. A strength without a
    usable composite after TRIES attempts is left out.
    """
    first = [int(masks[0]) for masks in photographs.masks_of]
    for index, key in enumerate(photographs.keys):
        if find_half(key) != half:
            continue
        picture = torch.from_numpy(photographs.pictures[index])[None].float() / 255
        mask = torch.from_numpy(photographs.masks[first[index]] >= 128)[None, None].float()
        for strength in STRENGTHS:
            seed = hashlib.sha256(f"{key}:{strength}:rerendered".encode()).digest()[:6]
            generator = Generator().manual_seed(int.from_bytes(seed, "big"))
            found = _make_composite(picture, mask, strength, generator)
            if found is not None:
                real, composite = found
                yield Sample(key, f"{strength}", to_pixels(composite), to_pixels(real), mask[0, 0].numpy() > 0.5)


def _make_composite(
    picture: Tensor, mask: Tensor, strength: float, generator: Generator
) -> tuple[Tensor, Tensor] | None:
    """Return the re-rendered photograph and a usable composite in it, (1, 3, S, S) each, or None."""
    kind = torch.tensor([list(KINDS).index("retouch")])
    for _ in range(TRIES):
        rendered = retouch(picture, mask, picture, mask, generator, amount=strength).clamp(0, 1)
        rendered = (rendered * 255).round() / 255
        made = recolor(rendered, mask, rendered, mask, kind, generator)
        if made.usable and _measure_clipping(rendered, picture) < _CLIPPED:
            return rendered, made.composite
    return None


def _measure_clipping(rendered: Tensor, picture: Tensor) -> float:
    """Return the share of values that became black or white."""
    at_ends = ((rendered <= 0) | (rendered >= 1)) & (picture > 0) & (picture < 1)
    return float(at_ends.float().mean())
