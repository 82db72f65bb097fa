"""Heads trained from examples: the records say exactly what the network's own pictures say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from gknet import GKNet
from gknet.errors import InputError, WeightsError
from gknet.network import weights
from gknet.network.inference import InferenceNetwork
from tests.training.calling import call_command
from training.data.sample import Sample
from training.data.shards import find_shards, read_photographs
from training.data.streams.composites import CompositeStream
from training.data.streams.shared_views import SharedViewStream
from training.engine.loss import foreground_rmse
from training.engine.run import read_run
from training.evaluation.bare_network import BareNetwork
from training.evaluation.four_sets import Summary, summarize
from training.heads import bank as head_bank
from training.heads import train as train_heads
from training.heads.bank import Bank, extend_bank, read_pieces
from training.heads.examples import (
    COLOURS,
    Examples,
    compute_rms_loss,
    compute_squared_errors,
    predict_matrix,
)
from training.heads.judging import format_comparison, judge_heads, load_judging_examples
from training.heads.train import SETS, HeadTraining, compute_mean_loss, compute_relative_error

SIZE = 64
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]


def test_examples_tell_the_heads_what_the_network_does(
    net: GKNet, pictures: tuple[Tensor, Tensor, Tensor], examples: Examples
) -> None:
    assert examples.colours.shape == (4, COLOURS)
    heard = []
    hook = net.recognition_head.register_forward_hook(lambda _, __, matrix: heard.append(matrix))  # type: ignore[union-attr]
    other = net.global_head.register_forward_hook(lambda _, __, matrix: heard.append(matrix))  # type: ignore[union-attr]
    with torch.no_grad():
        net(pictures[0], pictures[2])
        hook.remove()
        other.remove()
        torch.testing.assert_close(predict_matrix(net, examples), heard[0] + heard[1], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("restraint", [0.0, 18 / 255])
def test_sums_give_the_error_of_the_picture_itself(
    net: GKNet, pictures: tuple[Tensor, Tensor, Tensor], examples: Examples, restraint: float
) -> None:
    composite, real, mask = pictures
    same = weights.build(replace(net.config, restraint=restraint))
    same.load_state_dict(net.state_dict())
    used = InferenceNetwork(same)
    with torch.no_grad():
        error = (used(composite, mask) - real)[:, :, ::2, ::2].square().sum(dim=(1, 2, 3))
        found = compute_squared_errors(examples, predict_matrix(net, examples), restraint)
    torch.testing.assert_close(found.picture, error, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.foreground, error, rtol=1e-3, atol=1e-3)


def test_the_loss_is_that_of_whole_pictures(
    net: GKNet, pictures: tuple[Tensor, Tensor, Tensor], examples: Examples
) -> None:
    composite, real, mask = pictures
    with torch.no_grad():
        whole = foreground_rmse(net(composite, mask), real, mask)
        loss = compute_rms_loss(examples, predict_matrix(net, examples))
    torch.testing.assert_close(loss, whole, rtol=0.02, atol=0)  # every second pixel of it


def test_a_bank_keeps_what_was_added_and_belongs_to_its_weights(tmp_path: Path, examples: Examples, net: GKNet) -> None:
    bank = Bank(tmp_path / "bank", weights.find_shipped("gknet-s"))
    bank.add(examples)
    bank.add(examples)
    again = Bank(tmp_path / "bank", weights.find_shipped("gknet-s"))
    found = read_pieces(again.pieces)
    assert len(found.colours) == 8
    assert torch.equal(found.scalars[4:], examples.scalars)
    torch.testing.assert_close(found.colours[:4].float(), examples.colours, atol=1e-3, rtol=1e-3)
    weights.save(weights.build(replace(net.config, restraint=0.1)), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="different weights"):
        Bank(tmp_path / "bank", tmp_path / "other.safetensors")


def test_shared_views_give_batches_that_the_bank_takes(tmp_path: Path, pool: Path, net: GKNet) -> None:
    photographs = read_photographs(find_shards([pool]), 96, validation=False)
    run = replace(read_run(head_bank.CONFIG), size=48, batch=6)
    stream = SharedViewStream(photographs, run, 3, Generator().manual_seed(0))
    batch = stream.draw_batch()
    assert 1 <= len(batch.composite) <= 6
    assert batch.composite.shape[1:] == (3, 48, 48)
    outside = (batch.mask == 0).expand_as(batch.real)
    assert torch.equal(batch.composite[outside], batch.real[outside])
    assert batch.recognized is not None
    assert len(batch.recognized.deep) == len(batch.composite)
    for wrong, each in ((replace(run, crops=0.0), 3), (run, 7), (run, 0)):
        with pytest.raises(InputError):
            SharedViewStream(photographs, wrong, each, Generator())
    same = SharedViewStream(photographs, run, 3, Generator().manual_seed(0)).draw_batch()
    assert torch.equal(same.composite, batch.composite)

    bank = Bank(tmp_path / "bank", weights.find_shipped("gknet-s"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(head_bank, "PIECE_LENGTH", 5)
        patched.setattr(head_bank, "NETWORK_SIZE", 64)
        assert extend_bank(bank, stream, net, iter([True, True, False]).__next__) >= 10
    assert len(bank.pieces) == 2


def test_a_run_of_the_whole_network_may_ask_for_the_wide_synthesis(pool: Path) -> None:
    photographs = read_photographs(find_shards([pool]), 72, validation=False)
    run = replace(read_run(head_bank.CONFIG), size=48, batch=8, wide=1.0)
    batch = CompositeStream(photographs, run, Generator().manual_seed(0)).draw_batch()
    plain = CompositeStream(photographs, replace(run, wide=0.0), Generator().manual_seed(0)).draw_batch()
    assert batch.composite.shape[1:] == plain.composite.shape[1:]
    assert not torch.equal(batch.real[0], plain.real[0])


def repeated(examples: Examples, times: int) -> Examples:
    return Examples(*(part.repeat(times, *[1] * (part.dim() - 1)) for part in examples))


@pytest.mark.slow
def test_heads_learn_and_nothing_else_does(examples: Examples) -> None:
    training = HeadTraining(weights.load(weights.find_shipped("gknet-s")), rate=5e-4)
    before = {name: value.clone() for name, value in training.net.state_dict().items()}
    first = compute_mean_loss(training.average, examples)
    torch.manual_seed(0)
    training.train_steps(repeated(examples, 8), 12)
    assert compute_mean_loss(training.average, examples) < 0.9 * first
    changed = {name for name, value in training.net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("global_head.", "recognition_head.")) for name in changed)
    for name, value in training.average.state_dict().items():
        if name not in changed:
            assert torch.equal(value, before[name])


@pytest.mark.slow
def test_a_run_goes_on_from_its_state(tmp_path: Path, examples: Examples) -> None:
    def train(training: HeadTraining, steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        training.train_steps(repeated(examples, 4), steps)

    whole = HeadTraining(weights.load(weights.find_shipped("gknet-s")), rate=2e-4)
    train(whole, 2, 0)
    whole.save(tmp_path / "state.pt")
    train(whole, 2, 1)
    again = HeadTraining(weights.load(weights.find_shipped("gknet-s")), rate=2e-4)
    again.resume(tmp_path / "state.pt")
    train(again, 2, 1)
    assert again.steps == whole.steps == 4
    slower = HeadTraining(weights.load(weights.find_shipped("gknet-s")), rate=1e-5)
    slower.resume(tmp_path / "state.pt")
    assert slower.optimizer.param_groups[0]["lr"] == 1e-5
    for name, value in whole.average.state_dict().items():
        assert torch.equal(again.average.state_dict()[name], value)


def test_judging_by_examples_agrees_with_judging_pictures(
    tmp_path: Path, net: GKNet, pictures: tuple[Tensor, Tensor, Tensor]
) -> None:
    as_bytes = [(part * 255).round().byte().permute(0, 2, 3, 1).numpy() for part in pictures[:2]]
    mask = pictures[2][:, 0].numpy() > 0.5
    samples = [
        Sample(f"{number}", "gain", as_bytes[0][number], as_bytes[1][number], mask[number]) for number in range(4)
    ]
    bank = Bank(tmp_path / "bank", weights.find_shipped("gknet-s"))
    labels, examples = load_judging_examples(bank, net, {"own": lambda: iter(samples)}, every=1)
    judged = judge_heads(net, labels, examples)
    network = BareNetwork(net)
    shown = summarize([network.judge_sample(sample) for sample in samples])
    assert judged["own"].share == pytest.approx(shown.share, rel=0.05)
    assert judged["own"].gain == pytest.approx(shown.gain, abs=0.2)
    assert set(judged) == {"own", "own: gain"}
    assert format_comparison(judged, judged).count("\n") == 1
    kept, _ = load_judging_examples(bank, net, {}, every=1)
    assert kept == labels


def test_the_error_relative_to_before_weighs_all_four_sets_alike() -> None:
    def summaries(shares: list[float]) -> dict[str, Summary]:
        return {name: Summary(1, share, 0, 0, 0, 0, 0, 0) for name, share in zip(SETS, shares, strict=True)}

    assert compute_relative_error(summaries([0.2, 0.5, 0.6, 0.9]), summaries([0.4, 0.5, 0.6, 0.9])) == pytest.approx(
        0.875
    )


@pytest.mark.slow
def test_the_command_trains_judges_and_goes_on(
    pool: Path, light: Path, quick_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_bank, "PIECE_LENGTH", 5)
    monkeypatch.setattr(head_bank, "NETWORK_SIZE", 64)
    out = tmp_path / "run"
    given = ["--pool", pool, "--light", light, "--data", pool, "--weights", quick_weights, "--out", out]
    given += ["--every", "4", "--steps", "1", "--minutes", "0"]
    before = quick_weights.read_bytes()
    done = call_command(train_heads.main, *given)
    assert done.code == 0, done.err
    assert "1 steps" in done.out
    assert weights.load(out / "latest.safetensors").config == weights.load(quick_weights).config
    done = call_command(train_heads.main, *given)
    assert done.code == 0, done.err
    assert "2 steps" in done.out
    assert quick_weights.read_bytes() == before
