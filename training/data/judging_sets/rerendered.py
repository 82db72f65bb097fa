"""Composites in scenes that were rendered anew: the whole photograph is retouched, then its object once more.

A network that has learnt what normal photographs look like, rather than to read the light of this one, shows here.
Photographs are those of the validation split.
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
"""How strongly whole photographs are retouched, 1 being as strongly as an object."""
_CLIPPED = 0.2
"""Most of a photograph that its rendering may newly clip."""


def make_rerendered_samples(photographs: Photographs, half: Half) -> Iterator[Sample]:
    """Every strength of every photograph of a half, always the same: draws depend on its key and the strength alone.

    The foreground is the photograph's first mask. `Sample.real` is the photograph as it was rendered anew.
    A strength that gives no usable composite in a number of tries is left out for that photograph.
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
    """The rendered photograph and a usable composite in it, (1, 3, S, S) each, or None after too many tries."""
    kind = torch.tensor([list(KINDS).index("retouch")])
    for _ in range(TRIES):
        rendered = retouch(picture, mask, picture, mask, generator, amount=strength).clamp(0, 1)
        rendered = (rendered * 255).round() / 255
        made = recolor(rendered, mask, rendered, mask, kind, generator)
        if made.usable and _measure_clipping(rendered, picture) < _CLIPPED:
            return rendered, made.composite
    return None


def _measure_clipping(rendered: Tensor, picture: Tensor) -> float:
    """Share of values that reached black or white."""
    at_ends = ((rendered <= 0) | (rendered >= 1)) & (picture > 0) & (picture < 1)
    return float(at_ends.float().mean())
