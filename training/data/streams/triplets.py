"""Batches of iHarmony4's training composites, prefetched by worker processes."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from gknet.errors import PictureError
from training.data import iharmony4
from training.data.bad_files import BadFiles
from training.data.triplets import Triplet
from training.engine.batch import Batch
from training.engine.parallel import Parallel
from training.engine.run import TrainingRun
from training.engine.training import Training

_TRIES = 100

WORKERS = 8
"""Largest number of processes that read pictures."""


class Pictures(Dataset[Tensor | PictureError]):
    """Each composite's channels (composite, real, mask) as (S, S, 7) uint8, or the error that prevents reading it."""

    def __init__(self, chosen: Sequence[Triplet]) -> None:
        self.triplets = chosen

    def __getitem__(self, index: int) -> Tensor | PictureError:
        try:
            sample = next(iharmony4.read_samples([self.triplets[index]]))
        except PictureError as error:
            return error
        mask = np.where(sample.mask, np.uint8(255), np.uint8(0))[:, :, None]
        return torch.from_numpy(np.concatenate([sample.composite, sample.real, mask], axis=2))


def _ignore_interrupts(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Epochs(Sampler[list[int]]):
    """The indices of each batch in shuffled epochs, determined by the seed and the step alone.

    A resumed run therefore gets the same batches as an uninterrupted one. Each process takes its own part of a step. An
    incomplete last step of an epoch is dropped.
    """

    def __init__(self, count: int, run: TrainingRun, first: int, parallel: Parallel) -> None:
        self.count = count
        self.run = run
        self.first = first
        self.parallel = parallel

    def __iter__(self) -> Iterator[list[int]]:
        batch = self.run.batch
        whole = batch * self.parallel.count
        steps = max(1, self.count // whole)
        for step in itertools.count(self.first):
            epoch, place = divmod(step, steps)
            generator = torch.Generator().manual_seed(self.run.seed + 1_000_003 * epoch)
            order = torch.randperm(self.count, generator=generator)
            if self.count < whole:
                order = order.repeat(-(-whole // self.count))
            begin = place * whole + self.parallel.rank * batch
            yield order[begin : begin + batch].tolist()


class TripletStream:
    """iHarmony4's training composites at 256 x 256, as in the paper, without augmentation.

    An unreadable file raises a PictureError that names it, or is left out and counted, depending on `bad`.
    """

    def __init__(self, chosen: Sequence[Triplet], training: Training, bad: BadFiles) -> None:
        if training.run.size != iharmony4.SIZE:
            raise ValueError(f"size must be {iharmony4.SIZE} for iHarmony4, got {training.run.size}")
        self.device = training.device
        self.bad = bad
        workers = min(WORKERS, os.cpu_count() or 1)
        self.loader = iter(
            DataLoader(
                Pictures(chosen),
                batch_sampler=Epochs(len(chosen), training.run, training.step, training.parallel),
                collate_fn=list,
                num_workers=workers,
                worker_init_fn=_ignore_interrupts,
                pin_memory=self.device.type == "cuda",
            )
        )

    def draw_batch(self) -> Batch:
        """Return the next batch: `run.batch` composites, or fewer if files were left out, but at least one.

        Raises PictureError if every file in many batches in a row is unreadable.
        """
        for _ in range(_TRIES):
            pictures = []
            for item in next(self.loader):
                if isinstance(item, PictureError):
                    self.bad.raise_or_count(item)
                else:
                    pictures.append(item)
            if pictures:
                break
        else:
            raise PictureError("None of the training pictures can be read.", "Extract iHarmony4 again.")
        channels = torch.stack(pictures).to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        composite, real, mask = torch.split(channels, [3, 3, 1], dim=1)
        return Batch(composite, real, mask)
