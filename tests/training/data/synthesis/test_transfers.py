"""Transfers in other colour spaces bring what they promise; light of another hour comes from a side."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from gknet.color.srgb import srgb_to_lab
from training.data.synthesis import transfers
from training.data.synthesis.hours import inflate_normals, relight, shade_half
from training.data.synthesis.transfers import TRANSFERS, hsv_to_rgb, match_histograms, rgb_to_hsv
from training.data.synthesis.wide import WIDE_KINDS, recolor_widely

Scene = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Six smooth random pictures of 40 x 40, a disc in each, and six other ones."""
    draws = Generator().manual_seed(0)
    small = torch.rand(12, 3, 5, 5, generator=draws)
    pictures = torch.nn.functional.interpolate(small, (40, 40), mode="bicubic").clamp(0.02, 0.98)
    rows = torch.arange(40.0) - 19.5
    disc = (rows[:, None] ** 2 + rows**2 < 12**2).float().expand(6, 1, 40, 40)
    return pictures[:6], disc, 0.2 + 0.5 * pictures[6:], disc


def mean_of(picture: Tensor, mask: Tensor) -> Tensor:
    return (picture * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3))


@pytest.mark.parametrize("name", [name for name in TRANSFERS if name not in ("curves", "scene colour")])
def test_transfers_bring_the_mean_near_the_references(name: str, scene: Scene) -> None:
    real, mask, reference, reference_mask = scene
    changed = TRANSFERS[name](*scene, Generator().manual_seed(0)).clamp(0, 1)
    # HSV keeps the hue, so that brightness alone comes near; histograms of few bins are coarse.
    values = (lambda picture: picture.amax(dim=1, keepdim=True)) if name == "histogram hsv" else (lambda same: same)
    target = mean_of(values(reference), reference_mask)
    before = (mean_of(values(real), mask) - target).abs().mean()
    assert (mean_of(values(changed), mask) - target).abs().mean() < 0.5 * before


@pytest.mark.parametrize("bins", [16, 256])
def test_matched_histograms_have_the_references_quantiles(bins: int, scene: Scene) -> None:
    _, mask, reference, _ = scene
    changed = match_histograms(*scene, bins)
    inside = mask[0, 0] > 0
    shares = torch.linspace(0.1, 0.9, 9)
    wanted = reference[:, :, inside].flatten(0, 1).quantile(shares, dim=1)
    got = changed[:, :, inside].flatten(0, 1).quantile(shares, dim=1)
    assert (got - wanted).abs().mean() < 1 / bins + 0.01


def test_iterated_transfer_brings_the_covariance(scene: Scene) -> None:
    _, mask, reference, _ = scene
    changed = transfers.match_distribution(*scene, Generator().manual_seed(0))
    inside = mask[0, 0] > 0

    def apart(picture: Tensor) -> Tensor:
        return torch.stack(
            [
                (a.cov() - b.cov()).abs().max()
                for a, b in zip(picture[:, :, inside], reference[:, :, inside], strict=True)
            ]
        )

    assert apart(changed).mean() < 0.3 * apart(scene[0]).mean()


def test_hue_saturation_and_value_come_back(scene: Scene) -> None:
    torch.testing.assert_close(hsv_to_rgb(rgb_to_hsv(scene[0])), scene[0], atol=1e-4, rtol=0)
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert rgb_to_hsv(red).flatten().tolist() == [0, 1, 1]


def test_scene_colour_comes_from_the_scene(scene: Scene) -> None:
    real, mask, *_ = scene
    blue = torch.where(mask > 0, real, torch.tensor([0.1, 0.2, 0.7]).view(1, 3, 1, 1))
    changed = transfers.shift_to_scene(blue, *scene[1:], Generator().manual_seed(0))
    background = srgb_to_lab(blue)[:, :, 0, 0]
    torch.testing.assert_close(mean_of(srgb_to_lab(changed), mask), background, atol=1.5, rtol=0)


def test_normals_of_a_disc_point_outwards(scene: Scene) -> None:
    normals = inflate_normals(scene[1][:1])[0]
    assert normals[0, 20, 29] > 0.1 > -0.1 > normals[0, 20, 10]
    assert normals[1, 29, 20] > 0.1 > -0.1 > normals[1, 10, 20]
    torch.testing.assert_close(normals.norm(dim=0), torch.ones(40, 40))


@pytest.mark.parametrize("light", [relight, shade_half])
def test_light_of_another_hour_differs_across_an_even_object(light: Callable[..., Tensor], scene: Scene) -> None:
    even = torch.full_like(scene[0], 0.5)
    changed = light(even, *scene[1:], Generator().manual_seed(1)).clamp(0, 1)
    inside = scene[1][0, 0] > 0
    assert changed[:, :, inside].std(dim=2).amax(dim=1).mean() > 0.02
    assert (changed - even).abs().amax() > 0.1


def test_wide_composites_equal_the_rendered_scene_outside_the_mask(scene: Scene) -> None:
    many = tuple(part.repeat(20, 1, 1, 1) for part in scene)
    made = recolor_widely(many[0], many[1], many[2], many[3], Generator().manual_seed(0), 0.0)
    outside = (made.mask == 0).expand_as(made.real)
    assert torch.equal(made.composite[outside], made.real[outside])
    assert made.usable.float().mean() > 0.4
    assert len(made.kind.unique()) == len(WIDE_KINDS)
    rendered = (made.real - many[0]).abs().flatten(1).mean(dim=1) > 0.01
    assert 0.5 < rendered.float().mean() < 0.85
    assert 0 <= made.composite.min() <= made.composite.max() <= 1
