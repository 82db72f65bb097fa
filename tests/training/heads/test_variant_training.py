"""The variant head learns from the network's answers to composites."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from gknet import GKNet
from gknet.network import weights
from gknet.network.extensions.variants import VariantHead, make_cues
from gknet.network.inference import InferenceNetwork
from tests.training.calling import call_command
from training.engine.batch import Batch
from training.heads import answers as answer_folder
from training.heads import variants
from training.heads.answers import make_answers, read_answers
from training.heads.variants import compute_errors, split_batch, train_head

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def answers(net: GKNet, pictures: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    composite, real, mask = pictures
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer_folder, "NETWORK_SIZE", composite.shape[2])
        return make_answers(InferenceNetwork(net), Batch(composite, real, mask), Generator().manual_seed(0))


def test_answers_are_pixels_of_the_foreground_alone(
    net: GKNet, pictures: tuple[Tensor, Tensor, Tensor], answers: Tensor
) -> None:
    composite, real, mask = pictures
    assert answers.shape == (4, 3, answer_folder.PIXELS, 3)
    assert answers.dtype == torch.uint8
    inside = mask[0, 0] > 0.5
    with torch.no_grad():
        shown = torch.stack([composite, InferenceNetwork(net)(composite, mask).clamp(0, 1), real], dim=1)
    pixels = (255 * shown[:, :, :, inside]).round()  # (4, 3, 3, n)
    for index in range(4):
        everything = {tuple(pixel.tolist()) for pixel in pixels[index].flatten(0, 1).T.to(torch.uint8)}
        kept = {tuple(pixel.tolist()) for pixel in answers[index].transpose(1, 2).flatten(0, 1).T}
        assert kept <= everything
        assert len(kept) > 50


def test_the_error_of_a_variant_is_that_of_its_colors(answers: Tensor) -> None:
    _, after, real = split_batch(answers, torch.arange(4))
    shifts, contrasts, _ = VariantHead(5)(torch.zeros(4, 9))
    errors = compute_errors(after, real, shifts, contrasts)
    assert errors.shape == (4, 5)
    torch.testing.assert_close(errors[:, 0], (after - real).square().mean(dim=(1, 2)))
    brighter = (after.logit() + 0.8).sigmoid()
    torch.testing.assert_close(errors[:, 4], (brighter - real).square().mean(dim=(1, 2)))


def test_a_trained_head_offers_better_answers_than_fixed_shifts(answers: Tensor) -> None:
    many = answers.repeat(8, 1, 1, 1)
    before, after, real = split_batch(many, torch.arange(len(many)))

    @torch.no_grad()
    def compute_best(head: VariantHead) -> float:
        shifts, contrasts, _ = head(make_cues(before, after))
        return compute_errors(after, real, shifts, contrasts).amin(dim=1).mean().item()

    assert compute_best(train_head(many, 150)) < 0.8 * compute_best(VariantHead(5))


def test_the_commands_keep_answers_and_the_networks_own_answer(
    tmp_path: Path,
    pool: Path,
    net: GKNet,
    pictures: tuple[Tensor, Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_folder, "NETWORK_SIZE", 64)
    monkeypatch.setattr(answer_folder, "PIECE_LENGTH", 5)
    folder = tmp_path / "answers"
    for number in (1, 2):  # the second adds to the first
        outcome = call_command(answer_folder.main, "--data", pool, "--out", folder, "--minutes", "0.0001")
        assert (outcome.code, outcome.err) == (0, "")
        assert sorted(path.name for path in folder.iterdir()) == [f"{index:06}.pt" for index in range(number)]
    kept = read_answers(folder)
    assert len(kept) >= 10
    assert not torch.equal(kept[:5], kept[-5:])
    arguments = ("--answers", folder, "--out", tmp_path / "new.safetensors", "--steps", "3")
    outcome = call_command(variants.main, *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert "fixed shifts: first" in outcome.out
    new = weights.load(tmp_path / "new.safetensors")
    composite, _, mask = pictures
    with torch.no_grad():
        assert torch.equal(InferenceNetwork(new)(composite, mask), InferenceNetwork(net)(composite, mask))


def test_a_folder_without_answers_is_named(tmp_path: Path) -> None:
    outcome = call_command(variants.main, "--answers", tmp_path, "--out", tmp_path / "new.safetensors")
    assert outcome.code == 2
    assert "contains no answers" in outcome.err
