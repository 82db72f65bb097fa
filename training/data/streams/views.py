"""Views of photographs with their recognition feature maps, for training the recognition head.

The recognition trunk is frozen and sees no colours, so its output for a photograph is nearly the same as for every
composite of it. Running it once on a few crops of a photograph is four times as fast as running it on every composite.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gknet.atomic import replace_file
from gknet.network.extensions.recognition import DEEP_CHANNELS, MIDDLE_CHANNELS, SIZE, Recognition, RecognizedFeatures
from training.data.shards import Photographs
from training.data.streams.composites import CompositeStream
from training.data.synthesis.crops import KEPT, MASK_SHARE, SMALLEST, STRETCH
from training.engine.parallel import Parallel
from training.engine.run import TrainingRun

PHOTOGRAPH_SIZE = SIZE * 9 // 7
"""Height and width in pixels of the photographs from which views are cropped."""
_TRIES = 12
_REPORT_SECONDS = 30
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Views of photographs and their feature maps.

    pictures: (V, 3, S, S) uint8.
    masks: (V, S, S) uint8.
    keys: V photograph keys.
    places: (V, MIDDLE_CHANNELS, SIZE/16, SIZE/16) and things: (V, DEEP_CHANNELS, SIZE/32, SIZE/32), float16, the
    `RecognizedFeatures.middle` and `deep` of each view.
    """

    pictures: np.ndarray
    masks: np.ndarray
    keys: list[str]
    places: np.ndarray
    things: np.ndarray


class ViewStream(CompositeStream):
    """A stream of composites of views, with their recognition feature maps."""

    def __init__(self, views: Views, run: TrainingRun, generator: Generator) -> None:
        whole = Photographs(
            pictures=views.pictures, masks=views.masks, owner=np.arange(len(views.keys)), keys=views.keys
        )
        super().__init__(whole, run, generator)
        self.views = views

    def _crop(self, drawn: Tensor, size: int | None = None) -> tuple[Tensor, Tensor]:
        del size
        # A view is already cropped and possibly mirrored.
        return self.pictures[drawn].float() / 255, self.masks[drawn][:, None].float() / 255

    def _get_recognized(self, drawn: Tensor) -> RecognizedFeatures:
        # These are for the photograph's own mask, even if the composite uses another.
        numbers = drawn.cpu().numpy()
        places, things = (
            torch.from_numpy(field[numbers]).float().to(drawn.device)
            for field in (self.views.places, self.views.things)
        )
        return RecognizedFeatures(places, things)


def load_views(photographs: Photographs, run: TrainingRun, folder: Path, parallel: Parallel) -> Views:
    """Load `run.views` views of each photograph (PHOTOGRAPH_SIZE pixels) from the folder; make them if they are
    missing.

    The result depends on the seed alone, not on the number of processes. Every process must call this.
    """
    about = {"size": run.size, "views": run.views, "seed": run.seed, "keys": photographs.keys}
    done = folder / "views.json"
    missing = not done.is_file() or json.loads(done.read_text(encoding="utf-8")) != about
    parallel.wait()  # until all have checked, so that all take the same branch
    if missing:
        _make_views(photographs, run, folder, parallel)
        if parallel.rank == 0:
            with replace_file(done) as unfinished:
                unfinished.write_text(json.dumps(about), encoding="utf-8")
    parallel.wait()
    pictures, masks = (np.load(folder / f"{name}.npy") for name in ("pictures", "masks"))
    places, things = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("places", "things"))
    return Views(pictures=pictures, masks=masks, keys=photographs.keys * run.views, places=places, things=things)


def _make_views(photographs: Photographs, run: TrainingRun, folder: Path, parallel: Parallel) -> None:
    """Make this process's share of the views and write it to the common files."""
    total = run.views * len(photographs.keys)
    shapes = {
        "pictures": (np.uint8, (total, 3, run.size, run.size)),
        "masks": (np.uint8, (total, run.size, run.size)),
        "places": (np.float16, (total, MIDDLE_CHANNELS, SIZE // 16, SIZE // 16)),
        "things": (np.float16, (total, DEEP_CHANNELS, SIZE // 32, SIZE // 32)),
    }
    if parallel.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "views.json").unlink(missing_ok=True)
        for name, (kind, shape) in shapes.items():
            np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape)
    parallel.wait()
    files = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in shapes}
    trunk = Recognition().eval()
    trunk.load()
    numbers = list(range(total))[parallel.rank :: parallel.count]
    masks_of = photographs.masks_of
    reported = time.monotonic()
    for first in range(0, len(numbers), _AT_ONCE):
        if parallel.rank == 0 and time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            print(f"{first * parallel.count} of {total} views done", flush=True)
        chosen = numbers[first : first + _AT_ONCE]
        views = torch.cat(list(_cut_out(photographs, masks_of, run.seed, chosen)))  # (B, 4, SIZE, SIZE)
        small = F.interpolate(views, (run.size, run.size), mode="bilinear", antialias=True).clamp(0, 1)
        pixels = (small * 255).round().byte().numpy()
        recognized = trunk(views[:, :3], views[:, 3:])
        values = (pixels[:, :3], pixels[:, 3], recognized.middle.half().numpy(), recognized.deep.half().numpy())
        for file, value in zip(files.values(), values, strict=True):
            file[chosen] = value
    for file in files.values():
        file.flush()
    parallel.wait()


def _cut_out(photographs: Photographs, masks_of: list[np.ndarray], seed: int, numbers: list[int]) -> Iterator[Tensor]:
    """Yield picture and mask, (1, 4, SIZE, SIZE) in [0, 1], for each view number."""
    for number in numbers:
        draws = np.random.default_rng([seed, number])
        index = number % len(photographs.keys)
        mask = photographs.masks[draws.choice(masks_of[index])]
        rows, columns = _draw_part(mask, draws)
        both = np.concatenate([photographs.pictures[index], mask[None]])[:, rows, columns]
        if draws.random() < 0.5:
            both = both[:, :, ::-1]
        view = torch.from_numpy(both.copy())[None].float() / 255
        yield F.interpolate(view, (SIZE, SIZE), mode="bilinear", antialias=True).clamp(0, 1)


def _draw_part(mask: np.ndarray, draws: np.random.Generator) -> tuple[slice, slice]:
    """Return rows and columns of a crop that contains most of the foreground, or of the whole if none is found."""
    side, whole = len(mask), mask.sum(dtype=np.int64)
    for _ in range(_TRIES):
        share, stretch = draws.uniform(SMALLEST, 1), draws.uniform(1 / STRETCH, STRETCH)
        height, width = (min(side, round(side * share * by)) for by in (stretch, 1 / stretch))
        top, left = (int(draws.integers(side - length + 1)) for length in (height, width))
        rows, columns = slice(top, top + height), slice(left, left + width)
        part = mask[rows, columns]
        if part.sum(dtype=np.int64) >= KEPT * whole and MASK_SHARE[0] <= part.mean() / 255 <= MASK_SHARE[1]:
            return rows, columns
    return slice(None), slice(None)
