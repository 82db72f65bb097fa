"""The fixed validation set: every kind of composite of photographs that are never trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from training.fringe import filled, widened
from training.halves import Half, half_of
from training.shards import Photographs
from training.synthesis import KINDS, recolour

SIZE = 256
"""Height and width, as in the paper's protocol."""
MASK_SHARE = (0.003, 0.85)
"""Foregrounds the validation judges on, share of the picture."""
TRIES = 20


class Sample(NamedTuple):
    """One composite: (SIZE, SIZE, 3) uint8 pictures, (SIZE, SIZE) bool mask."""

    key: str
    kind: str
    composite: np.ndarray
    real: np.ndarray
    mask: np.ndarray


def validation_samples(
    photographs: Photographs, around: int = 0, beyond: int = 0, half: Half | None = None
) -> Iterator[Sample]:
    """Every kind of every photograph, always the same: draws depend on the photograph's key and the kind alone.

    around: so many pixels around the foreground are recoloured with it, and are so in `Sample.real`, too: as if the
    object had been cut out with them. Its true colours show nowhere then.
    beyond: so many pixels around it are made of what lies beyond, as around an object from another photograph.
    half: those of one half of the photographs alone (`training.halves`).

    The foreground is the photograph's first mask; the reference another photograph of the set. A kind that gives
    no usable composite in a number of tries is left out for that photograph.
    """
    first = [int(masks[0]) for masks in photographs.masks_of]
    for index, key in enumerate(photographs.keys):
        if half and half_of(key) != half:
            continue
        real, mask = _tensors(photographs, index, first[index])
        for number, kind in enumerate(KINDS):
            seed = hashlib.sha256(f"{key}:{kind}".encode()).digest()[:6]
            generator = torch.Generator().manual_seed(int.from_bytes(seed, "big"))
            composite = _composite(photographs, real, widened(mask, around), number, first, generator)
            if composite is not None:
                if beyond:
                    composite = filled(composite, mask, widened(mask, beyond), beyond)
                truth = torch.where(mask > 0, real, composite)
                yield Sample(key, kind, _bytes(composite), _bytes(truth), mask[0, 0].numpy() > 0.5)


def _composite(
    photographs: Photographs, real: Tensor, mask: Tensor, kind: int, first: list[int], generator: Generator
) -> Tensor | None:
    """A usable composite (1, 3, S, S) of the kind, or None after too many tries."""
    for _ in range(TRIES):
        other = int(torch.randint(len(photographs.keys), (), generator=generator))
        reference, reference_mask = _tensors(photographs, other, first[other])
        made = recolour(real, mask, reference, reference_mask, torch.tensor([kind]), generator)
        if made.usable:
            return made.composite
    return None


def _tensors(photographs: Photographs, index: int, mask: int) -> tuple[Tensor, Tensor]:
    """(1, 3, S, S) and (1, 1, S, S) float32 in [0, 1]."""
    picture = torch.from_numpy(photographs.pictures[index])[None].float() / 255
    return picture, torch.from_numpy(photographs.masks[mask] >= 128)[None, None].float()


def _bytes(picture: Tensor) -> np.ndarray:
    """(S, S, 3) uint8 of (1, 3, S, S)."""
    return (picture[0] * 255).round().byte().permute(1, 2, 0).numpy()
