"""The variant head is trained on sums that tell what its pictures would be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gknet import GKNet
from gknet.network import weights
from gknet.network.extensions.variants import VariantHead
from gknet.network.inference import InferenceNetwork
from tests.training.calling import call_command
from training.heads import variants
from training.heads.bank import Bank
from training.heads.examples import Examples, join_examples
from training.heads.variants import compute_errors, find_answers, train_head

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]


def test_sums_give_the_error_of_a_variants_picture(
    net: GKNet, pictures: tuple[Tensor, Tensor, Tensor], examples: Examples
) -> None:
    composite, real, mask = pictures
    answers = find_answers(net, examples)
    shifts = torch.tensor([[0.1, -0.05, 0.0], [-0.1, -0.1, -0.1]]).expand(4, 2, 3)
    contrasts = torch.tensor([0.8, 1.1]).expand(4, 2)
    found = compute_errors(answers, shifts, contrasts)
    with torch.no_grad():
        answer = InferenceNetwork(net)(composite, mask)
    inside = mask[0, 0] >= 0.5
    mean = answer[:, :, inside].mean(dim=2)[:, :, None, None]
    for number in range(2):
        shift, contrast = shifts[0, number, :, None, None], contrasts[0, number]
        varied = torch.lerp(answer, mean + shift + contrast * (answer - mean), mask)
        error = (varied - real)[:, :, inside].square().sum(dim=1).mean(dim=1)
        torch.testing.assert_close(found[:, 1 + number], error, rtol=0.1, atol=1e-3)
    error = (answer - real)[:, :, inside].square().sum(dim=1).mean(dim=1)
    torch.testing.assert_close(found[:, 0], error, rtol=0.05, atol=1e-4)  # of every second pixel


def test_a_trained_head_offers_better_answers_than_fixed_shifts(net: GKNet, examples: Examples) -> None:
    answers = find_answers(net, join_examples([examples] * 4))

    @torch.no_grad()
    def compute_best(head: VariantHead) -> float:
        shifts, contrasts, _ = head(answers.cues)
        return compute_errors(answers, shifts, contrasts).amin(dim=1).mean().item()

    assert compute_best(train_head(answers, 200)) < 0.8 * compute_best(VariantHead(variants.VARIANTS))


def test_the_command_keeps_the_networks_own_answer(
    tmp_path: Path,
    pool: Path,
    examples: Examples,
    net: GKNet,
    pictures: tuple[Tensor, Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Bank(tmp_path / "bank", weights.find_shipped("gknet-s")).add(examples)
    judged = [(name, "key", "kind") for name in ("own", "other code") for _ in range(2)]
    monkeypatch.setattr(variants, "load_judging_examples", lambda *_: (judged, examples))
    arguments = ("--bank", tmp_path / "bank", "--pool", pool, "--light", pool, "--out", tmp_path / "new.safetensors")
    outcome = call_command(variants.main, *arguments, "--steps", "3")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.count("own: first") == 2
    assert "fixed shifts" in outcome.out
    new = weights.load(tmp_path / "new.safetensors")
    composite, _, mask = pictures
    with torch.no_grad():
        assert torch.equal(InferenceNetwork(new)(composite, mask), InferenceNetwork(net)(composite, mask))
