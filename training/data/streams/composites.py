"""An endless stream of composites, made on the fly from photographs in memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor

from gknet.errors import InputError
from gknet.network.extensions.recognition import RecognizedFeatures
from training.data.shards import Photographs
from training.data.synthesis.crops import cut_out_parts, draw_parts, sum_masks
from training.data.synthesis.degradations import degrade, degrade_objects
from training.data.synthesis.edge_leakage import recolor_without_leakage
from training.data.synthesis.recoloring import KINDS, Composites, recolor, retouch
from training.data.synthesis.wide import recolor_widely
from training.engine.batch import Batch
from training.engine.run import TrainingRun

_TRIES = 100

MARGIN = 9 / 8
"""Size of photographs in memory relative to the network's input; random crops use the margin."""
PARTS_MARGIN = 3 / 2
"""The same for individual crops, which would otherwise look soft."""


def choose_photograph_size(run: TrainingRun) -> int:
    """Return the height and width in pixels of the photographs that a run needs."""
    return round(run.size * (PARTS_MARGIN if run.crops else MARGIN))


class CompositeStream:
    """A stream of batches: random photographs, one mask and one random kind of change for each.

    A batch shares one crop; with `run.crops`, each photograph gets its own. The run's degradations come last.

    Photographs, draws and recolouring stay on the generator's device. The draws depend on the generator alone, so a run
    with a restored state continues exactly.
    """

    def __init__(self, photographs: Photographs, run: TrainingRun, generator: Generator) -> None:
        device = generator.device
        self.pictures = torch.from_numpy(photographs.pictures).to(device)  # (P, 3, S, S) uint8
        self.masks = torch.from_numpy(photographs.masks).to(device)  # (M, S, S) uint8
        self.owner = torch.from_numpy(photographs.owner).to(device)  # (M,)
        counts = np.bincount(photographs.owner)
        # All photographs are equally likely, however many masks they have.
        self.weights = torch.from_numpy((1.0 / counts[photographs.owner]).astype(np.float32)).to(device)
        sources = [key.partition("_")[0] for key in photographs.keys]
        _, source = np.unique(sources, return_inverse=True)
        source = source[photographs.owner]  # (M,)
        self.by_source = torch.from_numpy(np.argsort(source, kind="stable")).to(device)  # (M,) masks, sources in a row
        self.source_first = torch.from_numpy(np.searchsorted(np.sort(source), source)).to(device)  # (M,) into by_source
        self.source_count = torch.from_numpy(np.bincount(source)[source]).to(device)  # (M,)
        self.sums = sum_masks(self.masks) if run.crops else None
        self.run = run
        self.generator = generator

    def draw_batch(self) -> Batch:
        """Return usable composites: `run.batch` of them or slightly fewer, but at least one.

        Raises InputError if many attempts yield none.
        """
        for _ in range(_TRIES):
            found = self._draw()
            if len(found.composite):
                return found
        raise InputError("The photographs yield no usable composite.", "Use other photographs or larger batches.")

    def _draw(self) -> Batch:
        """Return the usable ones of some composites, perhaps none."""
        # One in five is unusable; drawing more at once costs less than replacing them one by one.
        made, drawn = self._make_composites(self.run.batch * 5 // 4)
        chosen = made.usable.nonzero().squeeze(1)[: self.run.batch]
        composite, real, mask = made.composite[chosen], made.real[chosen], made.mask[chosen]
        if len(chosen):
            composite, real = self._degrade(composite, real, mask)
        return Batch(composite, real, mask, self._get_recognized(drawn[chosen]))

    def _degrade(self, composite: Tensor, real: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the run's degradations to composites and photographs (B, 3, s, s)."""
        if self.run.worn:
            composite, real = degrade(composite, real, mask, self.run.worn, self.generator)
            if self.run.wide:
                composite, real = degrade_objects(composite, real, mask, self.run.worn, self.generator)
        return composite, real

    def _get_recognized(self, drawn: Tensor) -> RecognizedFeatures | None:
        """Return the feature maps for the drawn mask numbers (B,), if they are known."""
        del drawn
        return None

    def _make_composites(self, count: int) -> tuple[Composites, Tensor]:
        """Make `count` composites; also return the number (B,) of each one's mask."""
        drawn = torch.multinomial(self.weights, 2 * count, replacement=True, generator=self.generator)
        alike = self._chance(count, self.run.alike).flatten()
        drawn[count:] = torch.where(alike, self._draw_same_source(drawn[:count]), drawn[count:])
        pictures, masks = self._crop(drawn)
        real, reference = pictures[:count], pictures[count:]
        mask, reference_mask = masks[:count], masks[count:]
        mask = self._vary_masks(mask, reference_mask)
        made = self._recolor(real, mask, reference, reference_mask)
        untouched = self._chance(count, self.run.untouched)
        return made._replace(composite=torch.where(untouched, made.real, made.composite)), drawn[:count]

    def _vary_masks(self, mask: Tensor, other: Tensor) -> Tensor:
        """Replace some of the masks (B, 1, s, s) by another photograph's, and make some binary."""
        mask = torch.where(self._chance(len(mask), self.run.foreign_masks), other.flip(3), mask)
        return torch.where(self._chance(len(mask), self.run.hard_masks), (mask >= 0.5).float(), mask)

    def _recolor(self, real: Tensor, mask: Tensor, reference: Tensor, reference_mask: Tensor) -> Composites:
        """Make one composite per photograph."""
        count, share = len(real), self.run.fringeless
        if self.run.wide and self._chance(1, self.run.wide):
            return recolor_widely(real, mask, reference, reference_mask, self.generator, share)
        jittered = self._chance(count, self.run.jitter).flatten()
        plain = (real[jittered], mask[jittered], real[jittered], mask[jittered])
        real[jittered] = retouch(*plain, self.generator, amount=0.4).clamp(0, 1)
        kind = torch.randint(len(KINDS), (count,), generator=self.generator, device=real.device)
        pictures_of = (real, mask, reference, reference_mask, kind, self.generator)
        return recolor_without_leakage(*pictures_of, share) if share else recolor(*pictures_of)

    def _draw_same_source(self, drawn: Tensor) -> Tensor:
        """Draw, for each mask number (B,), another from the same collection, with similar content."""
        chance = torch.rand(len(drawn), generator=self.generator, device=self.generator.device)
        place = (chance * self.source_count[drawn]).long()
        return self.by_source[self.source_first[drawn] + place]

    def _crop(self, drawn: Tensor, size: int | None = None) -> tuple[Tensor, Tensor]:
        """Return pictures (B, 3, s, s) and masks (B, 1, s, s) in [0, 1] for the drawn mask numbers (B,).

        size: s; the run's size by default.
        """
        size, whole = size or self.run.size, self.pictures.shape[-1]
        if self.sums is not None:
            part = draw_parts(self.sums[drawn], self.generator)
            cropped = self._chance(len(drawn), self.run.crops).flatten(1)
            part = torch.where(cropped, part, part.new_tensor([0.0, 0.0, 1.0, 1.0]))
            both = torch.cat([self.pictures[self.owner[drawn]], self.masks[drawn][:, None]], dim=1).float() / 255
            cut = cut_out_parts(both, part, self._chance(len(drawn), 0.5).flatten(), size)
            return cut[:, :3], cut[:, 3:]
        chosen = torch.randint(whole - size + 1, (2,), generator=self.generator, device=self.generator.device)
        offsets = chosen.tolist()
        rows, columns = (slice(offset, offset + size) for offset in offsets)
        pictures = self.pictures[self.owner[drawn], :, rows, columns].float() / 255
        masks = self.masks[drawn][:, None, rows, columns].float() / 255
        mirrored = self._chance(len(drawn), 0.5)
        return torch.where(mirrored, pictures.flip(3), pictures), torch.where(mirrored, masks.flip(3), masks)

    def _chance(self, count: int, share: float) -> Tensor:
        """Draw (B, 1, 1, 1) bool, each True with probability `share`."""
        return torch.rand(count, 1, 1, 1, generator=self.generator, device=self.generator.device) < share
