"""Training for real, on a tiny pool: it learns, it stops, it goes on as if it had never stopped."""

from __future__ import annotations

import itertools
import runpy
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gknet import GKNet, InputError
from gknet.network import weights
from tests.training.calling import call_command
from tests.training.same_batch import SameBatch
from training import train as command
from training.data.shards import find_shards, read_photographs
from training.data.streams.composites import CompositeStream, choose_photograph_size
from training.engine import loop
from training.engine.batch import Stream
from training.engine.loop import train
from training.engine.run import TrainingRun
from training.engine.training import NotFiniteError, Training

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]
TINY = TrainingRun(preset="gknet-s", size=32, batch=4, samples=400, learning_rate=1e-3, loss="foreground_rmse")


def stream(training: Training, pool: Path) -> CompositeStream:
    size = choose_photograph_size(training.run)
    photographs = read_photographs(find_shards([pool]), size, validation=False)
    return CompositeStream(photographs, training.run, training.generator)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="plain"),
        pytest.param({"bfloat16": True}, id="bfloat16", marks=pytest.mark.slow),
        pytest.param({"crops": 0.7, "worn": 0.5, "fringeless": 0.7}, id="varied", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_continues_bit_for_bit(pool: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    run = replace(TINY, **settings)
    whole, half = Training(run), Training(run)
    draws = stream(whole, pool)
    losses = [whole.train_step(draws) for _ in range(2)]
    draws = stream(half, pool)
    assert half.train_step(draws) == losses[0]
    half.save(tmp_path / "state.pt")
    later = Training(run)
    later.resume(tmp_path / "state.pt")
    draws = stream(later, pool)
    assert later.train_step(draws) == losses[1]
    for name, tensor in whole.result.state_dict().items():
        assert torch.equal(tensor, later.result.state_dict()[name]), name


@pytest.mark.slow
def test_the_statistics_path_learns_alone(pool: Path) -> None:
    training = Training(replace(TINY, only="global_head", batch=32, samples=10_000))
    before = {name: tensor.clone() for name, tensor in training.net.state_dict().items()}
    assert training.net.recognition is not None
    batch = stream(training, pool).draw_batch()
    draws = SameBatch(batch._replace(recognized=training.net.recognition(batch.composite, batch.mask)))
    losses = [training.train_step(draws) for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0]
    moved = {n for n, tensor in training.net.state_dict().items() if not torch.equal(tensor, before[n])}
    assert moved
    assert all(name.startswith("global_head.") and "regions" not in name for name in moved)


@pytest.mark.slow
def test_a_crash_in_the_middle_of_a_save_loses_nothing(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(TINY)
    draws = stream(training, pool)
    training.train_step(draws)
    training.save(tmp_path / "state.pt")
    training.train_step(draws)

    def crash(_: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", crash)
        with pytest.raises(OSError, match="no space"):
            training.save(tmp_path / "state.pt")
    kept = Training(TINY)
    kept.resume(tmp_path / "state.pt")
    assert kept.step == 1
    training.save(tmp_path / "state.pt")
    kept.resume(tmp_path / "state.pt")
    assert kept.step == 2


def test_a_loss_that_is_not_finite_stops_the_run(pool: Path) -> None:
    training = Training(TINY)
    with torch.no_grad():
        next(training.net.parameters()).fill_(torch.nan)
    before = [tensor.clone() for tensor in training.net.state_dict().values()]
    with pytest.raises(NotFiniteError, match="loss is not finite at step 0") as caught:
        training.train_step(stream(training, pool))
    assert caught.value.batch.composite.isfinite().all()
    after = training.net.parameters()
    assert all(torch.equal(old, new) for old, new in zip(before[-3:], list(after)[-3:], strict=True))


def test_a_run_of_another_network_is_not_taken_over(pool: Path, tmp_path: Path) -> None:
    del pool
    training = Training(TINY)
    training.save(tmp_path / "state.pt")
    weights.save(training.net, tmp_path / "net.safetensors")
    for change in ({"preset": "gknet"}, {"preset": "gknet-residual"}):
        other = Training(replace(TINY, **change))
        with pytest.raises(ValueError, match="different network"):
            other.resume(tmp_path / "state.pt")
        with pytest.raises(ValueError, match="different network"):
            other.load_weights(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="different network or part of it"):
        Training(replace(TINY, only="global_head")).resume(tmp_path / "state.pt")
    (tmp_path / "state.pt").write_bytes(b"junk")
    with pytest.raises(ValueError, match="not a saved run"):
        training.resume(tmp_path / "state.pt")


def test_some_photographs_stay_as_they_are_and_references_can_be_alike(pool: Path) -> None:
    training = Training(replace(TINY, untouched=1.0, alike=1.0, hard_masks=1.0))
    batch = stream(training, pool).draw_batch()
    assert torch.equal(batch.composite, batch.real)
    assert set(batch.mask.unique().tolist()) == {0.0, 1.0}
    soft = stream(Training(replace(TINY, hard_masks=0.0, batch=16)), pool).draw_batch()
    assert ((soft.mask > 0) & (soft.mask < 1)).any()


def test_references_draw_same_source_come_from_it(pool: Path) -> None:
    photographs = read_photographs(find_shards([pool]), 36, validation=False)
    keys = [f"{'cats' if index % 3 else 'dogs'}_{index}" for index in range(len(photographs.keys))]
    draws = CompositeStream(replace(photographs, keys=keys), TINY, torch.Generator().manual_seed(0))
    drawn = torch.arange(len(photographs.masks)).repeat(20)
    others = draws._draw_same_source(drawn)
    source = torch.tensor([key.startswith("cats") for key in keys])[draws.owner]
    assert torch.equal(source[others], source[drawn])
    assert len(others.unique()) == len(photographs.masks)


def test_the_smallest_batch_is_never_empty(pool: Path) -> None:
    training = Training(replace(TINY, batch=1))
    draws = stream(training, pool)
    assert all(len(draws.draw_batch().composite) == 1 for _ in range(40))


def test_photographs_that_give_no_composite_end_the_search(pool: Path) -> None:
    training = Training(replace(TINY, batch=1))
    draws = stream(training, pool)
    draws.masks.zero_()
    with pytest.raises(InputError, match="no usable composite"):
        draws.draw_batch()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text('preset = "gknet-s"\nsize = 32\nbatch = 4\nsamples = 100_000\n', encoding="utf-8")
    return path


def test_the_command_trains_stops_on_sigterm_and_goes_on(
    pool: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_step = Training.train_step

    def take_three_steps(training: Training, batches: Stream) -> float:
        loss = take_step(training, batches)
        if training.step == 3:
            signal.raise_signal(signal.SIGTERM)
        return loss

    out = tmp_path / "run"
    given = ["--config", config, "--data", pool, "--out", out]
    with monkeypatch.context() as patched:
        patched.setattr(Training, "train_step", take_three_steps)
        done = call_command(command.main, *given)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("12 photographs")
    first = torch.load(out / "state.pt", weights_only=True)
    assert first["step"] == 3
    assert first["samples"] > 0
    assert weights.load(out / "weights.safetensors").config == TINY.network()
    assert call_command(command.main, *given, "--minutes", "0").code == 0
    second = torch.load(out / "state.pt", weights_only=True)
    assert second["step"] == 4
    assert second["samples"] > first["samples"]


def test_the_command_keeps_the_batch_that_made_the_loss_no_number(pool: Path, config: Path, tmp_path: Path) -> None:
    net = GKNet(TINY.network())
    with torch.no_grad():
        next(net.parameters()).fill_(torch.finfo(torch.float32).max)  # sums of those are infinite
    weights.save(net, tmp_path / "broken.safetensors")
    given = ["--config", config, "--data", pool, "--out", tmp_path / "run"]
    done = call_command(command.main, *given, "--weights", tmp_path / "broken.safetensors")
    assert done.code == 1
    assert done.err.startswith("training: the loss is not finite at step 0; its composites are in ")
    kept = torch.load(tmp_path / "run" / "not-finite-0.pt", weights_only=True)
    assert kept["composite"].shape == (4, 3, 32, 32)
    assert kept["mask"].shape == (4, 1, 32, 32)


def test_pictures_and_curves_can_be_watched(pool: Path, tmp_path: Path) -> None:
    training = Training(TINY)
    assert train(training, stream(training, pool), tmp_path, 0)
    seen = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0})
    seen.Reload()
    (image,) = seen.Images("composite, harmonized, real, mask")
    assert image.height == 4 * 32
    assert image.width in (32, 64, 96, 128)  # a batch may be short of a composite or two
    assert image.step == training.samples


@pytest.mark.slow
def test_the_schedule_can_end_with_the_minutes(pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(seconds)))  # a step takes one
    training = Training(replace(TINY, samples=1_000_000, final_rate=0.1))
    assert train(training, stream(training, pool), tmp_path, 3 / 60, anneal=True)
    assert training.step == 4
    assert training.compute_learning_rate() == pytest.approx(0.1 * TINY.learning_rate, rel=0.01)


@pytest.mark.parametrize("minutes", [0.0, -1.0])
@pytest.mark.slow
def test_when_reading_took_all_the_minutes_one_step_is_taken_at_the_final_rate(
    pool: Path, tmp_path: Path, minutes: float
) -> None:
    training = Training(replace(TINY, samples=1_000_000, final_rate=0.1))
    assert train(training, stream(training, pool), tmp_path, minutes, anneal=True)
    assert training.step == 1
    assert training.compute_learning_rate() == pytest.approx(0.1 * TINY.learning_rate)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_a_folder_without_shards_is_one_clear_line(tmp_path: Path) -> None:
    given = ["--config", ROOT / "training/configs/gknet_s.toml", "--data", tmp_path, "--out", tmp_path / "run"]
    as_main = partial(runpy.run_module, "training.train", run_name="__main__")
    done = call_command(as_main, *given)
    assert done.code == 2
    assert done.err == f"training: {tmp_path} contains no .tar shards. Choose a folder of WebDataset shards.\n"
