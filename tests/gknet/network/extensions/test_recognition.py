"""What a picture shows, and which of its surroundings tell of the foreground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from gknet import GKNet, Harmonizer, WeightsError, preset
from gknet.network import weights
from gknet.network.extensions import recognition
from gknet.network.extensions.recognition import DEEP_CHANNELS, MIDDLE_CHANNELS, SIZE, Recognition, normalize_luminance
from gknet.network.extensions.surroundings import REACHES, REGIONS, weigh_surroundings


@pytest.fixture(scope="module")
def trunk() -> Recognition:
    trunk = Recognition()
    trunk.load()
    return trunk


def tensors(photograph: np.ndarray, mask: np.ndarray) -> tuple[Tensor, Tensor]:
    """(1, 3, H, W) and (1, 1, H, W) in [0, 1]."""
    picture = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float() / 255
    return picture, torch.from_numpy(mask.astype(np.float32) / 255)[None, None]


def recolored(picture: Tensor, mask: Tensor) -> Tensor:
    """The foreground darker, flatter and of another tint."""
    change = torch.tensor([0.55, 0.4, 0.65])[:, None, None] * picture + torch.tensor([0.1, 0.02, 0.2])[:, None, None]
    return torch.lerp(picture, change, mask)


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().mean() / one.abs().mean())


def test_what_is_seen_does_not_depend_on_the_foregrounds_colors(
    trunk: Recognition, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    picture, mask = tensors(photograph, object_mask)
    seen, again = trunk(picture, mask), trunk(recolored(picture, mask), mask)
    mirrored = trunk(picture.flip(3), mask.flip(3))
    for one, other, elsewhere in zip(seen, again, mirrored, strict=True):
        assert apart(one, other) < 0.3 * apart(one, elsewhere)


def test_light_that_is_alike_everywhere_is_taken_out_exactly(photograph: np.ndarray, object_mask: np.ndarray) -> None:
    picture, mask = tensors(photograph, object_mask)
    hard = (mask > 0.5).float()
    brighter = torch.lerp(0.5 * picture, 0.5 * picture + 0.2, hard)
    torch.testing.assert_close(
        normalize_luminance(brighter, hard), normalize_luminance(picture, hard), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize(("size", "seen"), [((448, 224), (14, 7)), ((64, 64), (8, 8)), ((256, 176), (14, 10))])
def test_large_pictures_are_reduced_and_small_ones_enlarged_once(
    trunk: Recognition, size: tuple[int, int], seen: tuple[int, int]
) -> None:
    found = trunk(torch.rand(2, 3, *size), torch.rand(2, 1, *size))
    assert found.middle.shape == (2, MIDDLE_CHANNELS, *seen)
    assert found.deep.shape == (2, DEEP_CHANNELS, *(-(-side // 2) for side in seen))
    assert seen[0] * 16 <= SIZE


def test_the_trunk_is_neither_trained_nor_kept_with_the_networks_own_weights() -> None:
    net = weights.build(preset("gknet-s"))
    assert net.recognition is not None
    assert not list(net.recognition.parameters())
    assert not [name for name in net.state_dict() if name.startswith("recognition.")]
    before = [buffer.clone() for buffer in net.recognition.buffers()]
    net.train()(torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)).sum().backward()
    assert all(torch.equal(one, other) for one, other in zip(before, net.recognition.buffers(), strict=True))


def test_what_looks_like_the_object_counts_most(trunk: Recognition, photograph: np.ndarray) -> None:
    """The same patch twice on a plain ground: one is the foreground, the other must be found."""
    patch = torch.from_numpy(photograph[:48, :48].copy()).permute(2, 0, 1)[None].float() / 255
    picture, mask = torch.full((1, 3, SIZE, SIZE), 0.5), torch.zeros(1, 1, SIZE, SIZE)
    picture[:, :, 32:80, 32:80] = patch
    picture[:, :, 144:192, 144:192] = patch
    mask[:, :, 32:80, 32:80] = 1
    weights, _ = weigh_surroundings(mask, trunk(picture, mask).middle)
    assert weights.shape == (1, REGIONS, SIZE, SIZE)
    for alike in weights[0, len(REACHES) :]:
        there = alike[144:192, 144:192]
        assert float(there.mean()) > 3 * float(alike.sum() - there.sum()) / (SIZE**2 - 2 * 48**2)


def test_what_is_near_is_counted_up_to_its_reach_and_never_the_object_itself(trunk: Recognition) -> None:
    picture, mask = torch.rand(1, 3, 200, 100), torch.zeros(1, 1, 200, 100)
    mask[:, :, 90:110, 40:60] = 1
    weights, _ = weigh_surroundings(mask, trunk(picture, mask).middle)
    assert float((weights * mask).abs().max()) == 0
    for near, reach in zip(weights[0], REACHES, strict=False):
        rows = (near > 0.5).any(dim=1).nonzero()
        assert (int(rows.min()), int(rows.max())) == (90 - round(200 * reach), 109 + round(200 * reach))


def test_a_foreground_without_background_and_none_at_all_stay_finite(trunk: Recognition) -> None:
    picture = torch.rand(1, 3, 64, 64)
    for level in (0.0, 1.0):
        mask = torch.full((1, 1, 64, 64), level)
        weights, cosine = weigh_surroundings(mask, trunk(picture, mask).middle)
        assert torch.isfinite(weights).all()
        assert torch.isfinite(cosine).all()


def test_a_trunk_without_weights_is_not_used() -> None:
    net = GKNet(preset("gknet-s"))
    with pytest.raises(RuntimeError, match=r"gknet\.network\.weights\.build"):
        net(torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64))


@pytest.mark.parametrize("content", [None, b"no weights", to_bytes({"stem.weight": torch.zeros(1)})])
def test_a_trunk_that_is_missing_or_damaged_is_named(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trunk.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(recognition, "WEIGHTS", path)
    with pytest.raises(WeightsError, match=r"trunk\.safetensors cannot be read"):
        Harmonizer.from_pretrained(device="cpu")


@pytest.mark.parametrize("size", [(64, 48), (256, 96), (48, 256)])
def test_the_shipped_network_takes_pictures_of_any_shape(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    composite = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[16:32, 8:32] = 255
    result = Harmonizer.from_pretrained(device="cpu")(composite, mask)
    assert np.array_equal(result[mask == 0], composite[mask == 0])
