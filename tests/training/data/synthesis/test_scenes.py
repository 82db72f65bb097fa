"""Whole photographs rendered anew: other than they were, but still photographs."""

from __future__ import annotations

import pytest
import skimage.data
import torch
from torch import Generator, Tensor

from training.data.synthesis.scenes import (
    RENDERINGS,
    add_haze,
    change_exposure,
    change_white_balance,
    compute_light_color,
    compute_luma,
    render_scenes,
)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """Eight times the astronaut, 48 x 48."""
    small = torch.from_numpy(skimage.data.astronaut()[::8, ::8][:48, :48].copy()).permute(2, 0, 1) / 255
    return small.expand(8, 3, 48, 48).contiguous()


@pytest.mark.parametrize("name", RENDERINGS)
def test_every_rendering_changes_the_picture_and_stays_a_picture(name: str, pictures: Tensor) -> None:
    rendered = RENDERINGS[name](pictures, Generator().manual_seed(0))
    assert rendered.shape == pictures.shape
    assert torch.isfinite(rendered).all()
    shown = rendered.clamp(0, 1)
    changes = (shown - pictures).abs().mean(dim=(1, 2, 3))
    assert changes.median() > 0.01
    assert (shown.std(dim=(2, 3)).amax(dim=1) > 0.01).all()  # still something to see


@pytest.mark.parametrize("name", RENDERINGS)
def test_the_same_draws_give_the_same_rendering(name: str, pictures: Tensor) -> None:
    again = [RENDERINGS[name](pictures, Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])


def test_light_of_a_black_body_is_warm_when_it_is_cool_and_neutral_at_srgbs_white() -> None:
    colours = compute_light_color(torch.tensor([2500.0, 3500.0, 6500.0, 12000.0]).view(4, 1, 1, 1)).flatten(1)
    red_over_blue = colours[:, 0] / colours[:, 2]
    assert (red_over_blue.diff() < 0).all()
    assert red_over_blue[0] > 4
    assert red_over_blue[3] < 0.75
    torch.testing.assert_close(colours[2], torch.ones(3))


def test_light_of_2856_kelvin_is_cies_illuminant_a() -> None:
    # x 0.4476, y 0.4074 in linear sRGB, relative to D65's (1, 1, 1).
    red, green, blue = compute_light_color(torch.full((1, 1, 1, 1), 2856.0)).flatten().tolist()
    assert red / green == pytest.approx(2.16, abs=0.12)
    assert blue / green == pytest.approx(0.24, abs=0.05)


def test_exposure_makes_no_new_whites(pictures: Tensor) -> None:
    inner = 0.1 + 0.8 * pictures
    rendered = change_exposure(inner, Generator().manual_seed(1))
    assert rendered.max() < 1
    assert rendered.mean(dim=(1, 2, 3)).std() > 0.05


def test_white_balance_keeps_a_greys_luminance_about(pictures: Tensor) -> None:
    grey = torch.full_like(pictures, 0.4)
    rendered = change_white_balance(grey, Generator().manual_seed(2))
    assert (compute_luma(rendered) - 0.4).abs().max() < 0.08
    assert (rendered[:, 0] - rendered[:, 2]).abs().amax() > 0.1


def test_haze_takes_contrast_from_the_top_rather_than_from_the_bottom(pictures: Tensor) -> None:
    noise = torch.rand(pictures.shape, generator=Generator().manual_seed(0))
    rendered = add_haze(noise, Generator().manual_seed(0))
    assert (rendered[:, :, :8].std(dim=(2, 3)) < rendered[:, :, -8:].std(dim=(2, 3))).all()


def test_a_share_of_scenes_is_rendered(pictures: Tensor) -> None:
    levels = (pictures * 255).round() / 255
    assert torch.equal(render_scenes(pictures, 0.0, Generator().manual_seed(0)), levels)
    many = levels.repeat(25, 1, 1, 1)
    changed = (render_scenes(many, 0.7, Generator().manual_seed(0)) != many).flatten(1).any(dim=1)
    assert 0.6 < changed.float().mean() < 0.8
