"""The fixed validation set: every kind of composite from held-out photographs.

Like the other evaluation sets, it has two halves: one for choosing weights, and one for the final evaluation.
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
    """Return the half that a photograph belongs to. Depends on its key alone, in every set."""
    # A different byte from those that decide the validation split.
    return "final" if hashlib.sha256(key.encode()).digest()[8] & 1 else "choosing"


def is_selected(key: str, kind: str, every: int) -> bool:
    """Return whether a composite belongs to a fixed subset of one in `every`."""
    return int.from_bytes(hashlib.sha256(f"{key}:{kind}".encode()).digest()[:4], "big") % every == 0


def make_validation_samples(
    photographs: Photographs, around: int = 0, beyond: int = 0, half: Half | None = None, every: int = 1
) -> Iterator[Sample]:
    """Yield every kind of composite for each photograph. Always the same samples: draws depend on key and kind alone.

    around: recolour this many pixels around the foreground with it, also in `Sample.real`, as if the object had been
    cut out generously. Its true colours then appear nowhere.
    beyond: fill this many pixels around the foreground from the background, as around an object from another
    photograph.
    half: use only one half of the photographs.
    every: use only every N-th photograph.

    The foreground is the photograph's first mask; the reference is another photograph of the set. A kind without a
    usable composite after TRIES attempts is left out.
    """
    first = [int(masks[0]) for masks in photographs.masks_of]
    for index, key in enumerate(photographs.keys):
        if index % every or (half and find_half(key) != half):
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
    """Read the validation split of a folder of shards, size x size, with the masks used for evaluation."""
    return read_photographs(find_shards([folder]), size, validation=True, mask_share=MASK_SHARE, bad=bad)


def open_pool(
    folder: Path, size: int = SIZE, *, beyond: int = 0, bad: BadFiles | None = None
) -> tuple[int, Iterator[Sample]]:
    """Return the largest possible number of composites and an iterator over a folder's validation split, size x size.

    beyond: as in `make_validation_samples`.
    """
    photographs = read_validation(folder, size, bad=bad)
    return len(photographs.keys) * len(KINDS), make_validation_samples(photographs, beyond=beyond)


def _make_composite(
    photographs: Photographs, real: Tensor, mask: Tensor, kind: int, first: list[int], generator: Generator
) -> Tensor | None:
    """Return a usable composite (1, 3, S, S) of the kind, or None after TRIES attempts."""
    for _ in range(TRIES):
        other = int(torch.randint(len(photographs.keys), (), generator=generator))
        reference, reference_mask = _tensors(photographs, other, first[other])
        made = recolor(real, mask, reference, reference_mask, torch.tensor([kind]), generator)
        if made.usable:
            return made.composite
    return None


def _tensors(photographs: Photographs, index: int, mask: int) -> tuple[Tensor, Tensor]:
    """Return picture (1, 3, S, S) and mask (1, 1, S, S), float32 in [0, 1]."""
    picture = torch.from_numpy(photographs.pictures[index])[None].float() / 255
    return picture, torch.from_numpy(photographs.masks[mask] >= 128)[None, None].float()
