"""Batches of iHarmony4's training composites, read ahead by worker processes."""

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
"""At most as many processes read pictures."""


class Pictures(Dataset[Tensor | PictureError]):
    """Each composite's seven channels (composite, real, mask) as (S, S, 7) uint8, or why it cannot be read."""

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
    """The indices of each batch, one shuffled epoch after the other, told by the seed and the step alone.

    A run that goes on at some step gets what it would have got had it never stopped. Each process takes its own
    part of a step; what does not fill the last step of an epoch is left out of it.
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
    """iHarmony4's training composites at 256 x 256, as the paper trains on them, without augmentation.

    A file that cannot be read ends the training with a PictureError that names it, or is left out of its batch
    and counted, as `bad` says.
    """

    def __init__(self, chosen: Sequence[Triplet], training: Training, bad: BadFiles) -> None:
        if training.run.size != iharmony4.SIZE:
            raise ValueError(f"size must be {iharmony4.SIZE} for iHarmony4, not {training.run.size}")
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
        """The next composites, as many as the run's batch; fewer where files were left out, but never none.

        Raises PictureError if that is all of them in many batches.
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
            raise PictureError("None of the training's pictures can be read.", "Unpack iHarmony4 again.")
        channels = torch.stack(pictures).to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        composite, real, mask = torch.split(channels, [3, 3, 1], dim=1)
        return Batch(composite, real, mask)
