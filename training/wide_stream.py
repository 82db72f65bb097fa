"""Composites of the wide synthesis, a few of each view of a photograph, which is looked at once."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gknet.recognition import Recognition, Recognized
from training.batch import Batch
from training.crops import cut_out, parts_of, sums_of
from training.shards import Photographs
from training.synthesis.wide import recolour_widely
from training.wear import worn, worn_objects

SEEN = 256
"""Height and width, pixels, of the views that are looked at."""
CROPPED = 0.7
"""Share of photographs that are seen in part."""
FOREIGN_MASKS = 0.1
"""Share of masks that are another photograph's."""
HARD_MASKS = 0.6
"""Share of masks without mixed pixels along their edge."""
UNTOUCHED = 0.05
"""Share of photographs left as they are."""
ALIKE = 0.4
"""Share of references that come from the same collection."""
WORN = 0.15
"""Share of composites that are soft, of all that are noisy, and of all that are compressed; and of objects alone."""


class WideStream:
    """Draws batches of `views` x `each` composites, size x size; unusable ones are left out.

    A view is looked at SEEN x SEEN and then reduced, for what is in it matters more than how sharp a composite is.
    Photographs, draws and recolouring are on the generator's device.
    """

    def __init__(self, photographs: Photographs, size: int, views: int, each: int, generator: Generator) -> None:
        device = generator.device
        self.pictures = torch.from_numpy(photographs.pictures).to(device)  # (P, 3, S, S) uint8
        self.masks = torch.from_numpy(photographs.masks).to(device)  # (M, S, S) uint8
        self.owner = torch.from_numpy(photographs.owner).to(device)  # (M,)
        counts = np.bincount(photographs.owner)
        self.weights = torch.from_numpy((1.0 / counts[photographs.owner]).astype(np.float32)).to(device)
        names = [key.partition("_")[0] for key in photographs.keys]
        _, source = np.unique(names, return_inverse=True)
        self.source = torch.from_numpy(source[photographs.owner]).to(device)  # (M,)
        self.sums = sums_of(self.masks)
        self.trunk = Recognition().to(device).eval()
        self.size, self.views, self.each = size, views, each
        self.generator = generator

    def batch(self) -> Batch:
        """The next composites: at least one."""
        while True:
            found = self._make()
            if len(found.composite):
                return found

    def _make(self) -> Batch:
        real, mask, drawn = self._views()
        recognized = self.trunk(real, mask)
        real, mask = (F.interpolate(part, (self.size, self.size), mode="area") for part in (real, mask))
        count = len(real) * self.each
        real, mask, drawn = (part.repeat_interleave(self.each, dim=0) for part in (real, mask, drawn))
        reference, reference_mask = self._cut(self._references(drawn), self.size)
        made = recolour_widely(real, mask, reference, reference_mask, self.generator)
        untouched = self._chance(count, UNTOUCHED)
        composite = torch.where(untouched, made.real, made.composite)
        # What is right already is no failed composite.
        usable = (made.usable | untouched.flatten()).nonzero().squeeze(1)
        composite, real, mask = composite[usable], made.real[usable], made.mask[usable]
        composite, real = worn(composite, real, mask, WORN, self.generator)
        composite, real = worn_objects(composite, real, mask, WORN, self.generator)
        view = usable // self.each
        return Batch(composite, real, mask, Recognized(recognized.places[view], recognized.things[view]))

    def _views(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (V, 3, SEEN, SEEN), masks (V, 1, SEEN, SEEN) and the numbers (V,) of these."""
        drawn = torch.multinomial(self.weights, 2 * self.views, replacement=True, generator=self.generator)
        pictures, masks = self._cut(drawn, SEEN)
        mask, other = masks.chunk(2)
        mask = torch.where(self._chance(self.views, FOREIGN_MASKS), other, mask)
        mask = torch.where(self._chance(self.views, HARD_MASKS), (mask >= 0.5).float(), mask)
        return pictures[: self.views], mask, drawn[: self.views]

    def _references(self, drawn: Tensor) -> Tensor:
        """The number of another mask for each (B,), some of them from the same collection."""
        found = torch.multinomial(self.weights, len(drawn), replacement=True, generator=self.generator)
        for place in self._chance(len(drawn), ALIKE).flatten().nonzero().flatten().tolist():
            weights = self.weights * (self.source == self.source[drawn[place]])
            found[place] = torch.multinomial(weights, 1, generator=self.generator)
        return found

    def _cut(self, drawn: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, size, size) in [0, 1] and masks (B, 1, size, size) of the drawn mask numbers (B,)."""
        part = parts_of(self.sums[drawn], self.generator)
        cropped = self._chance(len(drawn), CROPPED).flatten(1)
        part = torch.where(cropped, part, part.new_tensor([0.0, 0.0, 1.0, 1.0]))
        both = torch.cat([self.pictures[self.owner[drawn]], self.masks[drawn][:, None]], dim=1).float() / 255
        cut = cut_out(both, part, self._chance(len(drawn), 0.5).flatten(), size)
        return cut[:, :3], cut[:, 3:]

    def _chance(self, count: int, share: float) -> Tensor:
        """(B, 1, 1, 1) bool, true for about that share."""
        return torch.rand(count, 1, 1, 1, generator=self.generator, device=self.generator.device) < share
