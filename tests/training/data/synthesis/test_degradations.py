"""Softer and noisier composites, which stay the same outside the mask."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.data.synthesis.degradations import add_noise, degrade, degrade_objects, sharpen, soften

SIZE = 32


def made() -> tuple[Tensor, Tensor, Tensor]:
    """Composite, real and mask of four plain pictures, (4, C, SIZE, SIZE)."""
    real = torch.linspace(0.3, 0.6, 4)[:, None, None, None].expand(4, 3, SIZE, SIZE)
    mask = torch.zeros(4, 1, SIZE, SIZE)
    mask[:, :, 8:-8, 8:-8] = 1
    return torch.lerp(real, real + 0.2, mask), real, mask


def apart(pictures: Tensor) -> Tensor:
    """(B, 3): how far their pixels are from one another."""
    return pictures.flatten(2).std(dim=2)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_worn_composites_have_eight_bits_and_differ_in_the_mask_alone(share: float) -> None:
    composite, real, mask = made()
    for seed in range(8):
        worn_composite, worn_real = degrade(composite, real, mask, share, torch.Generator().manual_seed(seed))
        outside = (mask == 0).expand_as(real)
        assert torch.equal(worn_composite[outside], worn_real[outside])
        for picture in (worn_composite, worn_real):
            assert torch.allclose(picture * 255, (picture * 255).round(), atol=1e-4)


def test_noise_is_the_same_in_composite_and_photograph() -> None:
    generator = torch.Generator().manual_seed(1)
    composite, real, _ = made()
    found = 0
    for _ in range(20):
        noisy_composite, noisy_real = add_noise(torch.cat([composite, real], dim=1), 1.0, generator).chunk(2, dim=1)
        assert torch.allclose(noisy_composite - noisy_real, composite - real, atol=1e-6)
        found += int((apart(noisy_real) > 1 / 255).sum())
    assert found > 120  # of 240 channels


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_pictures_is_softened(share: float) -> None:
    generator = torch.Generator().manual_seed(2)
    rough = torch.rand(4, 3, SIZE, SIZE, generator=generator)
    for _ in range(8):
        ratios = apart(soften(rough, share, generator)) / apart(rough)
        assert (ratios < 0.9).all() if share else torch.equal(ratios, torch.ones_like(ratios))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_composites_is_compressed(share: float) -> None:
    generator = torch.Generator().manual_seed(3)
    composite, real, mask = made()
    changed = 0
    for _ in range(8):
        # Noise and softness leave the middle of a plain picture one grey; so does JPEG, but another.
        found, _ = degrade(composite, real, mask, share, generator)
        changed += int(((found - composite).abs() > 2 / 255).flatten(1).any(dim=1).sum())
    assert changed > 24 if share else changed == 0


def test_worn_objects_leave_their_scene_as_it_is() -> None:
    composite, real, mask = made()
    noise = 0.1 * torch.rand(real.shape, generator=torch.Generator().manual_seed(0))
    composite, real = composite + noise, real + noise
    found, truth = degrade_objects(composite, real, mask, 1.0, torch.Generator().manual_seed(0))
    outside = (mask == 0).expand_as(real)
    assert torch.equal(found[outside], composite[outside])
    assert torch.equal(truth[outside], real[outside])
    inside = (mask > 0).expand_as(real)
    assert (truth[inside] != real[inside]).float().mean() > 0.5
    # Both are worn alike: what was to be undone is still to be undone.
    torch.testing.assert_close((found - truth)[inside].mean(), (composite - real)[inside].mean(), atol=0.02, rtol=0)


def test_sharpened_pictures_have_more_contrast_from_pixel_to_pixel() -> None:
    pictures = 0.3 + 0.4 * torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = sharpen(pictures, 1.0, torch.Generator().manual_seed(0))
    assert (apart(found) > apart(pictures)).all()
    assert torch.equal(sharpen(pictures, 0.0, torch.Generator().manual_seed(0)), pictures)
