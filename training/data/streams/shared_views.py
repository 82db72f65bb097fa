"""Composites that share views of photographs, so that the recognition trunk runs only once per view."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gknet.errors import InputError
from gknet.network.extensions.recognition import Recognition, RecognizedFeatures
from training.data.shards import Photographs
from training.data.streams.composites import CompositeStream
from training.engine.batch import Batch
from training.engine.run import TrainingRun

VIEW_SIZE = 256
"""Height and width of the views, in pixels."""


class SharedViewStream(CompositeStream):
    """A stream of batches with up to `run.batch` composites, `each` of every view.

    The recognition trunk sees a view at VIEW_SIZE x VIEW_SIZE; the view is then reduced to the run's size.
    Raises InputError if the run's batch is smaller than `each` or the run doesn't set `crops`.
    """

    def __init__(self, photographs: Photographs, run: TrainingRun, each: int, generator: Generator) -> None:
        if not 1 <= each <= run.batch:
            raise InputError(f"A batch of {run.batch} cannot hold {each} composites of a view.", "Raise batch.")
        if not run.crops:
            raise InputError("crops is 0, but shared views are crops.", "Set crops above 0.")
        super().__init__(photographs, run, generator)
        self.trunk = Recognition().to(generator.device).eval()
        self.trunk.load()
        self.each = each

    def _draw(self) -> Batch:
        views, size = self.run.batch // self.each, (self.run.size, self.run.size)
        drawn = torch.multinomial(self.weights, 2 * views, replacement=True, generator=self.generator)
        pictures, masks = self._crop(drawn, VIEW_SIZE)
        view, mask = pictures[:views], self._vary_masks(*masks.chunk(2))
        recognized = self.trunk(view, mask)
        number = torch.arange(views, device=view.device).repeat_interleave(self.each)
        real, mask = (F.interpolate(part, size, mode="area")[number] for part in (view, mask))
        reference, reference_mask = self._crop(self._draw_references(drawn[number]))
        made = self._recolor(real, mask, reference, reference_mask)
        untouched = self._chance(len(number), self.run.untouched)
        chosen = made.usable.nonzero().squeeze(1)
        composite = torch.where(untouched, made.real, made.composite)[chosen]
        real, mask, number = made.real[chosen], made.mask[chosen], number[chosen]
        if len(chosen):
            composite, real = self._degrade(composite, real, mask)
        return Batch(composite, real, mask, RecognizedFeatures(recognized.middle[number], recognized.deep[number]))

    def _draw_references(self, drawn: Tensor) -> Tensor:
        """Draw another mask for each of the mask numbers (B,)."""
        others = torch.multinomial(self.weights, len(drawn), replacement=True, generator=self.generator)
        alike = self._chance(len(drawn), self.run.alike).flatten()
        return torch.where(alike, self._draw_same_source(drawn), others)
