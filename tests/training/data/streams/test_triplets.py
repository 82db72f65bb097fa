"""Training on an iHarmony4-shaped tree: order, epochs, resume, bad files, and the whole way to the tables."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from gknet import PictureError
from tests.training.calling import call_command
from training import evaluate, train
from training.data import iharmony4
from training.data.bad_files import BadFiles
from training.data.streams.triplets import Epochs, TripletStream
from training.engine.parallel import Parallel
from training.engine.run import TrainingRun
from training.engine.training import Training

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]
RUN = TrainingRun(preset="gknet-s", size=256, batch=2)


def indices(count: int, batches: int, first: int = 0, parallel: Parallel = Parallel()) -> list[list[int]]:  # noqa: B008
    return list(itertools.islice(Epochs(count, RUN, first, parallel), batches))


def test_every_epoch_holds_every_composite_once_in_another_order() -> None:
    order = list(itertools.chain(*indices(10, 10)))
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


def test_a_resumed_run_goes_on_in_the_same_order() -> None:
    assert indices(10, 2, first=7) == indices(10, 9)[7:]


def test_processes_share_each_step_without_overlap() -> None:
    parts = [indices(8, 2, parallel=Parallel(rank, 2)) for rank in range(2)]
    assert sorted(itertools.chain(*parts[0], *parts[1])) == list(range(8))


def test_batches_hold_the_files_of_their_composites(iharmony4_tree: Path) -> None:
    training = Training(RUN)
    chosen = iharmony4.list_triplets(iharmony4_tree, "train")
    batch = TripletStream(chosen, training, BadFiles(skip=False)).draw_batch()
    for place, index in enumerate(indices(len(chosen), 1)[0]):
        sample = next(iharmony4.read_samples([chosen[index]]))
        assert torch.equal(
            (batch.composite[place] * 255).round().byte(), torch.tensor(sample.composite).permute(2, 0, 1)
        )
        assert torch.equal(batch.mask[place, 0] > 0.5, torch.tensor(sample.mask))


def test_a_bad_file_ends_the_training_or_is_left_out(iharmony4_tree: Path) -> None:
    chosen = iharmony4.list_triplets(iharmony4_tree, "train")
    broken = chosen[0]
    content = broken.real.read_bytes()
    broken.real.write_bytes(content[:100])
    try:
        stream = TripletStream(chosen, Training(RUN), BadFiles(skip=False))
        with pytest.raises(PictureError, match=broken.real.name):
            list(itertools.islice(iter(stream.draw_batch, None), len(chosen)))
        bad = BadFiles(skip=True)
        stream = TripletStream(chosen, Training(RUN), bad)
        sizes = [len(stream.draw_batch().composite) for _ in range(len(chosen))]
        assert min(sizes) == 1
        assert bad.count >= 1
    finally:
        broken.real.write_bytes(content)


@pytest.mark.usefixtures("quick_preset")
@pytest.mark.slow
def test_two_epochs_and_the_tables(iharmony4_tree: Path, tmp_path: Path) -> None:
    composites = len(iharmony4.list_triplets(iharmony4_tree, "train"))
    config = tmp_path / "run.toml"
    config.write_text(f'preset = "gknet-s"\nbatch = 2\nsamples = {2 * composites}\n', encoding="utf-8")
    run = tmp_path / "run"
    given = ["--config", config, "--iharmony4", iharmony4_tree, "--out", run]
    done = call_command(train.main, *given)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{composites} composites")
    assert torch.load(run / "state.pt", weights_only=True)["samples"] == 2 * composites
    given = ["--iharmony4", iharmony4_tree, "--weights", run / "weights.safetensors", "--device", "cpu"]
    done = call_command(evaluate.main, *given)
    assert done.code == 0, done.err
    for expected in ("Table 1", "Table 2", *iharmony4.SUBSETS, "GKNet", "DoveNet", "15–100"):
        assert expected in done.out, expected
