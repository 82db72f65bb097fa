"""Open the stream of composites for a training run."""

from __future__ import annotations

from pathlib import Path

from training.data import iharmony4
from training.data.bad_files import BadFiles
from training.data.shards import find_shards, read_photographs
from training.data.streams.composites import CompositeStream, choose_photograph_size
from training.data.streams.triplets import TripletStream
from training.data.streams.views import PHOTOGRAPH_SIZE, ViewStream, load_views
from training.engine.training import Training


def open_photographs(training: Training, folders: list[Path], out: Path, bad: BadFiles) -> CompositeStream:
    """Open a stream of composites made on the fly from shards; photographs of the validation split are excluded.

    out: the run's folder, which caches the views if the run trains on them.
    """
    of_views = training.run.only == "recognition_head"
    size = PHOTOGRAPH_SIZE if of_views else choose_photograph_size(training.run)
    photographs = read_photographs(find_shards(folders), size, validation=False, bad=bad)
    if training.parallel.rank == 0:
        print(f"{len(photographs.keys)} photographs, {len(photographs.masks)} masks", flush=True)
    if of_views:
        views = load_views(photographs, training.run, out / "views", training.parallel)
        return ViewStream(views, training.run, training.generator)
    return CompositeStream(photographs, training.run, training.generator)


def open_iharmony4(training: Training, root: Path, bad: BadFiles) -> TripletStream:
    """Open a stream of iHarmony4's training composites, all four sub-sets."""
    chosen = iharmony4.list_triplets(root, "train", bad=bad)
    if training.parallel.rank == 0:
        print(f"{len(chosen)} composites", flush=True)
    return TripletStream(chosen, training, bad)
