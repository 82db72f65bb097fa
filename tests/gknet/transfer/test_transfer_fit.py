"""What the color transfer's fit recovers of a known change, and what it makes of awkward objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from gknet.color.srgb import linear_to_srgb, srgb_to_linear
from gknet.transfer.color_transfer import ColorTransfer

Array = npt.NDArray[Any]


def small(picture: Array, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Area mean, (h, w, c)."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture, dtype=np.float32)).permute(2, 0, 1)[None]
    reduced: npt.NDArray[np.float32] = F.interpolate(tensor, size=size, mode="area")[0].permute(1, 2, 0).numpy()
    return reduced


def disc(height: int, width: int, feather: float = 4.0) -> npt.NDArray[np.float32]:
    """Alpha of a disc with a soft edge, feather pixels wide."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    inside = 0.42 * min(height, width) - np.hypot(y - height / 2, x - width / 2)
    alpha: npt.NDArray[np.float32] = np.clip(inside / feather + 0.5, 0, 1).astype(np.float32)
    return alpha


def fit_to(truth: Array, picture: Array, alpha: Array, n: int = 128, background: float = 0.4) -> ColorTransfer:
    """The fit that a perfect network would lead to: it answers with the small picture of the truth."""
    height, width = alpha.shape
    size = (n * height // max(height, width), n * width // max(height, width))
    a = alpha[..., None]
    mask = small(a, size)
    return ColorTransfer.fit(
        composite=small(picture * a + background * (1 - a), size),
        harmonized=small(truth * a + background * (1 - a), size),
        mask=mask[..., 0],
        foreground=(small(picture * a, size) / np.maximum(mask, 1e-6)).astype(np.float32),
        layer_box=(0, 0, size[1], size[0]),
        layer_size=(height, width),
    )


def psnr(a: Array, b: Array, weight: Array) -> float:
    error = (((a - b) ** 2).mean(-1) * weight).sum() / weight.sum()
    return float(-10 * np.log10(error))


def to_u8(picture: Array, alpha: Array) -> npt.NDArray[np.uint8]:
    return np.round(np.dstack((picture, alpha)) * 255).astype(np.uint8)


CHANGES = {
    "exposure": lambda x: linear_to_srgb(srgb_to_linear(torch.from_numpy(x)) * 0.6).numpy(),
    "gamma": lambda x: x**1.4,
    "white balance": lambda x: x * np.array([0.92, 0.85, 0.7], np.float32),
    "side light": lambda x: x * np.linspace(0.55, 1, x.shape[1], dtype=np.float32)[None, :, None],
}


@pytest.mark.parametrize("photograph", ["astronaut", "coffee", "chelsea"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_known_change_is_recovered_on_a_photograph(change: str, photograph: str) -> None:
    picture = getattr(skimage.data, photograph)().astype(np.float32) / 255
    alpha = disc(*picture.shape[:2])
    truth = CHANGES[change](picture)
    result = fit_to(truth, picture, alpha).apply(to_u8(picture, alpha)) / 255
    untouched = psnr(picture, truth, alpha)
    assert psnr(result[..., :3], truth, alpha) > max(42, untouched + 20)  # measured: 45 to 59 dB; untouched 17 to 23


def test_a_soft_edge_gets_the_map_of_the_inside() -> None:
    picture = skimage.data.astronaut().astype(np.float32) / 255
    alpha = disc(512, 512, feather=60)
    truth = CHANGES["exposure"](picture)
    # A white background would show at once if the change were taken from blended colors.
    result = fit_to(truth, picture, alpha, background=1.0).apply(to_u8(picture, alpha)) / 255
    edge = ((alpha > 0.02) & (alpha < 0.5)).astype(np.float32)
    assert psnr(result[..., :3], truth, edge) > max(42, psnr(picture, truth, edge) + 20)


def test_a_layer_that_reaches_outside_the_small_picture_is_changed_where_it_lies() -> None:
    # Twice as wide as the small picture, which shows its right half: left of it nothing is known.
    random = np.random.default_rng(0)
    color = random.uniform(0.2, 0.8, (64, 64, 3)).astype(np.float32)
    gain = np.linspace(0.7, 1, 65, dtype=np.float32)
    answer = (color * ((gain[:-1] + gain[1:]) / 2)[None, :, None]).astype(np.float32)
    transfer = ColorTransfer.fit(
        composite=color,
        harmonized=answer,
        mask=np.ones((64, 64), np.float32),
        foreground=color,
        layer_box=(-64, 0, 128, 64),
        layer_size=(256, 512),
    )
    layer = np.full((256, 512, 3), 0.5, np.float32)
    result = transfer.apply(layer)
    expected = 0.5 * (0.7 + 0.3 * (np.arange(256) + 0.5) / 256)
    np.testing.assert_allclose(result[:, 256:], np.broadcast_to(expected[:, None], (256, 256, 3)), atol=0.012)
    assert np.abs(result[:, :256] - layer[:, :256]).max() < 0.25


def test_nothing_changed_gives_exactly_no_change() -> None:
    picture = skimage.data.chelsea().astype(np.float32) / 255
    assert not fit_to(picture, picture, disc(*picture.shape[:2])).curves.any()


def test_what_the_picture_says_nothing_of_stays() -> None:
    # A dark gray object made lighter: no color near red or white was seen, and none should jump.
    alpha = disc(200, 200)
    picture = np.random.default_rng(0).uniform(0.1, 0.3, (200, 200, 1)).astype(np.float32).repeat(3, 2)
    transfer = fit_to(picture + 0.05, picture, alpha)
    unseen = np.full((200, 200, 3), (1.0, 1.0, 1.0), np.float32)
    assert np.abs(transfer.apply(unseen) - unseen).max() < 0.5
    seen = np.full((200, 200, 3), 0.2, np.float32)
    assert np.abs(transfer.apply(seen)[40:160, 40:160] - 0.25).max() < 0.01


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_fit_is_finite_and_modest_whatever_the_object(data: st.DataObject) -> None:
    h, w = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    mask = np.zeros((h, w), np.float32)
    for _ in range(data.draw(st.integers(0, 4))):  # a few lone pixels, lines, faint ones
        y, x = random.integers(h), random.integers(w)
        mask[y, x : x + random.integers(1, w + 1)] = random.choice([1e-4, 0.03, 0.3, 1.0])
    composite, answer, color = random.random((3, h, w, 3), np.float32)
    color[mask == 0] = np.nan
    box = (
        random.uniform(-w, w),
        random.uniform(-h, h),
        random.uniform(0.1, 3 * w),
        random.uniform(0.1, 3 * h),
    )
    size = (int(random.integers(1, 40)), int(random.integers(1, 40)))
    pictures: dict[str, Any] = {"composite": composite, "mask": mask, "foreground": color}
    transfer = ColorTransfer.fit(harmonized=answer, layer_box=box, layer_size=size, **pictures)
    assert np.isfinite(transfer.curves).all()
    layer = random.random((*size, 3), np.float32)
    assert np.abs(transfer.apply(layer) - layer).max() < 4.01  # four curves of at most 1
    same = ColorTransfer.fit(harmonized=composite, layer_box=box, layer_size=size, **pictures)
    assert not same.curves.any()


def test_a_thin_object_is_fitted_too() -> None:
    mask = np.zeros((32, 32), np.float32)
    mask[16, 4:28] = 0.6
    gray = np.full((32, 32, 3), 0.5, np.float32)
    transfer = ColorTransfer.fit(
        composite=gray,
        harmonized=gray + 0.06 * (mask > 0)[..., None].astype(np.float32),
        mask=mask,
        foreground=gray,
        layer_box=(4, 15, 24, 3),
        layer_size=(30, 240),
    )
    layer = np.full((30, 240, 3), 0.5, np.float32)
    np.testing.assert_allclose(transfer.apply(layer), 0.6, atol=0.01)


def test_numbers_that_are_none_are_left_out_of_the_fit() -> None:
    picture = np.random.default_rng(0).random((32, 32, 3), np.float32)
    answer = picture.copy()
    answer[5:9] = np.nan
    transfer = ColorTransfer.fit(
        composite=picture,
        harmonized=answer,
        mask=np.ones((32, 32), np.float32),
        foreground=picture,
        layer_box=(0, 0, 32, 32),
        layer_size=(64, 64),
    )
    assert not transfer.curves.any()
