"""The variants that a network offers beside its own answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gknet import InputError
from gknet.network.config import PRESETS
from gknet.network.extensions.variants import APART, CUES, ToneCurve, VariantHead, predict_variants
from gknet.network.inference import InferenceNetwork
from gknet.network.model import GKNet

SMALL = replace(PRESETS["gknet-s"], width=8, recognition=False, global_head_widths=(8, 8))


def make_pictures(level: float = 0.5, spread: float = 0.1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a composite, a slightly brighter answer, and a mask of its left half."""
    drawn = torch.rand((3, 40, 40), generator=torch.Generator().manual_seed(1))
    composite = (level + spread * (2 * drawn - 1)).clamp(0, 1)
    mask = torch.zeros(40, 40)
    mask[:, :20] = 1
    return composite, (composite + 0.02).clamp(0, 1), mask


def test_an_untrained_head_offers_fixed_shifts_as_likely_as_the_answer() -> None:
    variants = predict_variants(VariantHead(5), *make_pictures())
    assert variants[0].curve is None
    assert [variant.probability for variant in variants] == pytest.approx(5 * [0.2])
    gray = torch.full((3,), 0.5)
    moved = [255 * (variant.curve.apply(gray) - gray).mean() for variant in variants if variant.curve is not None]
    assert moved == pytest.approx([-48, -22, 22, 48], abs=1)


def test_a_tone_curve_is_a_line_in_logits_and_keeps_black_white_and_the_order() -> None:
    values = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None].expand(101, 3)
    curve = ToneCurve((0.8, -0.5, 0.0), 0.7)
    new = curve.apply(values)
    torch.testing.assert_close(new[[0, -1]], values[[0, -1]])
    assert (new[1:] > new[:-1]).all()
    expected = 0.7 * values[1:-1].logit() + torch.tensor([0.8, -0.5, 0.0], dtype=torch.float64)
    torch.testing.assert_close(new[1:-1].logit(), expected, atol=1e-6, rtol=1e-6)
    beyond = torch.tensor([[-0.2, 1.5, 3.0]])
    torch.testing.assert_close(curve.apply(beyond), beyond)
    torch.testing.assert_close(ToneCurve((0.0, 0.0, 0.0), 1.0).apply(values), values)


def test_the_likeliest_come_first_after_the_answer() -> None:
    head = VariantHead(5)
    with torch.no_grad():
        head.logits.bias.copy_(torch.tensor([-1.0, 0.0, 3.0, 1.0, 2.0]))
    shares = [variant.probability for variant in predict_variants(head, *make_pictures())]
    assert shares[1:] == sorted(shares[1:], reverse=True)
    assert shares[0] < min(shares[1:])
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.95])
def test_no_variant_clips_or_looks_like_another(level: float) -> None:
    composite, answer, mask = make_pictures(level, spread=0.5)
    colors = answer[:, :, :20].flatten(1).T
    shown = [colors]
    for variant in predict_variants(VariantHead(5), composite, answer, mask)[1:]:
        assert variant.curve is not None
        new = variant.curve.apply(colors)
        for end in (0, 1):
            assert torch.equal(new == end, colors == end)
        assert all((new - other).square().mean().sqrt() > 0.99 * APART for other in shown)
        shown.append(new)


def test_variants_that_look_alike_are_one() -> None:
    black = torch.zeros(3, 40, 40)
    variants = predict_variants(VariantHead(5), black, black, make_pictures()[2])
    assert [variant.probability for variant in variants] == [1]  # black is black in all of them


def test_an_empty_mask_has_only_the_answer() -> None:
    composite, answer, mask = make_pictures()
    assert len(predict_variants(VariantHead(5), composite, answer, 0 * mask)) == 1


def test_the_answer_does_not_depend_on_the_variants() -> None:
    torch.manual_seed(0)
    plain = GKNet(replace(SMALL, variants=1)).eval()
    offering = GKNet(SMALL).eval()
    offering.load_state_dict(plain.state_dict(), strict=False)
    composite, _, mask = make_pictures()
    pictures = composite[None, :, :32, :32], mask[None, None, :32, :32]
    assert torch.equal(InferenceNetwork(plain)(*pictures), InferenceNetwork(offering)(*pictures))
    assert len(InferenceNetwork(plain).predict_variants(composite, composite, mask)) == 1


def test_a_head_has_a_few_thousand_parameters_and_no_other_part_trains_it() -> None:
    assert sum(parameter.numel() for parameter in VariantHead(5).parameters()) < 10_000
    assert VariantHead(5)(torch.zeros(2, CUES))[0].shape == (2, 4, 3)
    head = GKNet(SMALL).variant_head
    assert head is not None
    assert not any(parameter.requires_grad for parameter in head.parameters())


def test_more_variants_than_a_dialog_can_show_are_refused() -> None:
    with pytest.raises(InputError, match="variants"):
        replace(PRESETS["gknet-s"], variants=6)
