"""The fixed validation set: every kind of composite of photographs that are never trained on.

This set, like the others beside it, has two halves: one to choose by, and one that is looked at once, at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, Tensor

from training.data.bad_files import BadFiles
from training.data.sample import MASK_SHARE, SIZE, TRIES, Sample, to_pixels
from training.data.shards import Photographs, find_shards, read_photographs
from training.data.synthesis.edge_leakage import dilate, fill_ring
from training.data.synthesis.recoloring import KINDS, recolor

Half = Literal["choosing", "final"]


def find_half(key: str) -> Half:
    """The half that a photograph belongs to: always the same for the same key, whichever set shows it."""
    # Another byte than those that decide on the validation split.
    return "final" if hashlib.sha256(key.encode()).digest()[8] & 1 else "choosing"


def is_selected(key: str, kind: str, every: int) -> bool:
    """Whether a composite is one of every so many, whatever the number of kinds: always the same answer."""
    return int.from_bytes(hashlib.sha256(f"{key}:{kind}".encode()).digest()[:4], "big") % every == 0


def make_validation_samples(
    photographs: Photographs, around: int = 0, beyond: int = 0, half: Half | None = None
) -> Iterator[Sample]:
    """Every kind of every photograph, always the same: draws depend on the photograph's key and the kind alone.

    around: so many pixels around the foreground are recoloured with it, and are so in `Sample.real`, too: as if the
    object had been cut out with them. Its true colours show nowhere then.
    beyond: so many pixels around it are made of what lies beyond, as around an object from another photograph.
    half: those of one half of the photographs alone.

    The foreground is the photograph's first mask; the reference another photograph of the set. A kind that gives
    no usable composite in a number of tries is left out for that photograph.
    """
    first = [int(masks[0]) for masks in photographs.masks_of]
    for index, key in enumerate(photographs.keys):
        if half and find_half(key) != half:
            continue
        real, mask = _tensors(photographs, index, first[index])
        for number, kind in enumerate(KINDS):
            seed = hashlib.sha256(f"{key}:{kind}".encode()).digest()[:6]
            generator = torch.Generator().manual_seed(int.from_bytes(seed, "big"))
            composite = _make_composite(photographs, real, dilate(mask, around), number, first, generator)
            if composite is not None:
                if beyond:
                    composite = fill_ring(composite, mask, dilate(mask, beyond), beyond)
                truth = torch.where(mask > 0, real, composite)
                yield Sample(key, kind, to_pixels(composite), to_pixels(truth), mask[0, 0].numpy() > 0.5)


def read_validation(folder: Path, size: int = SIZE, *, bad: BadFiles | None = None) -> Photographs:
    """The photographs of the validation split of a folder of shards, size x size, with masks that are judged on."""
    return read_photographs(find_shards([folder]), size, validation=True, mask_share=MASK_SHARE, bad=bad)


def open_pool(
    folder: Path, size: int = SIZE, *, beyond: int = 0, bad: BadFiles | None = None
) -> tuple[int, Iterator[Sample]]:
    """At most how many, and the composites of the validation split of a folder of shards, size x size.

    beyond: as `make_validation_samples` takes it.
    """
    photographs = read_validation(folder, size, bad=bad)
    return len(photographs.keys) * len(KINDS), make_validation_samples(photographs, beyond=beyond)


def _make_composite(
    photographs: Photographs, real: Tensor, mask: Tensor, kind: int, first: list[int], generator: Generator
) -> Tensor | None:
    """A usable composite (1, 3, S, S) of the kind, or None after too many tries."""
    for _ in range(TRIES):
        other = int(torch.randint(len(photographs.keys), (), generator=generator))
        reference, reference_mask = _tensors(photographs, other, first[other])
        made = recolor(real, mask, reference, reference_mask, torch.tensor([kind]), generator)
        if made.usable:
            return made.composite
    return None


def _tensors(photographs: Photographs, index: int, mask: int) -> tuple[Tensor, Tensor]:
    """(1, 3, S, S) and (1, 1, S, S) float32 in [0, 1]."""
    picture = torch.from_numpy(photographs.pictures[index])[None].float() / 255
    return picture, torch.from_numpy(photographs.masks[mask] >= 128)[None, None].float()
