"""What an inspection shows is what the network does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import skimage.color
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet import GKNet, Harmonizer, preset
from gknet.color.encoding import Encoding
from gknet.errors import InputError
from gknet.inspect.color_change import ColorChange
from gknet.inspect.kernel_clusters import cluster_kernels
from gknet.inspect.record import KernelField, Record, capture_inputs, record
from gknet.inspect.spot import Spot
from gknet.network.blocks import upsample_like
from gknet.network.long_distance_reference import TransformerLayer
from gknet.network.selective_correlation import SelectiveCorrelationFusion
from gknet.pixels.box import Box, bounding_box

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["gknet", "gknet-s"])
def harmonizer(request: pytest.FixtureRequest, shipped: Harmonizer) -> Harmonizer:
    """The shipped network, and the paper's, half as wide, with every weight moved so that nothing is zero any more."""
    if request.param == "gknet-s":
        return shipped
    torch.manual_seed(0)
    net = GKNet(replace(preset("gknet"), width=16))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return Harmonizer(net)


@pytest.fixture(scope="module")
def seen(harmonizer: Harmonizer, given: tuple[Tensor, Tensor]) -> Record:
    return record(harmonizer.net, *given)


def outputs_of(harmonizer: Harmonizer, given: tuple[Tensor, Tensor], kind: type[nn.Module], part: str) -> list[Tensor]:
    """What every module of a kind makes in a pass of its own, or what goes into one of its parts."""
    found: list[Tensor] = []
    handles = []
    for module in harmonizer.net.modules():
        if isinstance(module, kind):
            if part:
                inner = module.get_submodule(part)
                handles.append(inner.register_forward_pre_hook(lambda _inner, given: found.append(given[0])))
            else:
                handles.append(module.register_forward_hook(lambda _module, _given, result: found.append(result)))
    with torch.no_grad():
        harmonizer.net(*given, whole=True)
    for handle in handles:
        handle.remove()
    return found


# ---- what is shown is what the network does


def test_the_recorded_pass_gives_what_the_harmonizer_gets(
    harmonizer: Harmonizer, given: tuple[Tensor, Tensor], seen: Record
) -> None:
    with torch.no_grad():
        ordinary = harmonizer.net(*given)[0].permute(1, 2, 0).numpy()
    assert np.abs(ordinary - seen.harmonized).max() < 1e-5
    assert np.abs(ordinary - seen.composite).max() > 1e-3
    outside = seen.mask == 0
    assert np.array_equal(seen.harmonized[outside], seen.composite[outside])


def test_recorded_kernels_make_the_modulated_feature(seen: Record) -> None:
    assert len(seen.kernels) == 4
    for level in seen.kernels:
        channels, height, width = level.before.shape
        kernels = torch.from_numpy(level.compute_kernels(np.arange(height * width)))  # (H*W, C, N, N)
        around = F.unfold(torch.from_numpy(level.before)[None], 3, padding=1).view(channels, 9, height * width)
        modulated = torch.einsum("pcn,cnp->cp", kernels.flatten(2), around).view(channels, height, width)
        expected = torch.from_numpy(level.after) - level.residual * torch.from_numpy(level.before)
        torch.testing.assert_close(modulated, expected, rtol=1e-3, atol=1e-4)
        assert expected.abs().max() > 1e-2


def test_kernels_lie_as_the_picture_does() -> None:
    """The kernel that takes the right neighbor has its weight at the right."""
    prediction = nn.Conv2d(1, 9, 1)
    with torch.no_grad():
        prediction.weight.zero_()
        assert prediction.bias is not None
        prediction.bias.copy_(torch.eye(9)[3])  # K[(0, -1)]: Eq. 6 takes F[p + (0, 1)]
    nothing = np.zeros((1, 1, 1), np.float32)
    kernel = KernelField(nothing, nothing, False, torch.zeros(1, 1, 1), prediction).compute_kernels(np.array([0]))
    assert np.array_equal(kernel[0, 0], [[0, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_attention_is_shared_out_whole_and_makes_the_layers_output(
    harmonizer: Harmonizer, given: tuple[Tensor, Tensor], seen: Record
) -> None:
    expected = outputs_of(harmonizer, given, TransformerLayer, "project")  # each (1, T, C)
    assert len(seen.attention) == len(expected) == 2
    for heard, attended in zip(seen.attention, expected, strict=True):
        count, channels = heard.tokens.shape
        assert count == seen.grid[0] * seen.grid[1]
        shares = torch.from_numpy(np.stack([heard.compute_shares(token) for token in range(count)]))  # (T, heads, T)
        torch.testing.assert_close(shares.sum(dim=2), torch.ones(count, 8), rtol=0, atol=1e-5)
        with torch.no_grad():
            mixed = heard.layer.query_key_value(heard.layer.attention_norm(heard.tokens))
        value = mixed[:, 2 * channels :].view(count, 8, channels // 8)
        again = torch.einsum("qht,thd->qhd", shares, value).reshape(1, count, channels)
        torch.testing.assert_close(again, attended, rtol=1e-3, atol=1e-4)
        assert shares.std() > 0


def test_channel_weights_make_the_fused_feature(
    harmonizer: Harmonizer, given: tuple[Tensor, Tensor], seen: Record
) -> None:
    expected = outputs_of(harmonizer, given, SelectiveCorrelationFusion, "")
    assert len(seen.fusions) == len(expected) == 4
    for heard, fused in zip(seen.fusions, expected, strict=True):
        for shares in (heard.encoded_weights, heard.deeper_weights):
            assert 0 <= shares.min() < shares.max() <= 1
        encoded = torch.from_numpy(heard.encoded_weights[:, None, None] * heard.encoded)[None]
        deeper = torch.from_numpy(heard.deeper_weights[:, None, None] * heard.deeper)[None]
        torch.testing.assert_close(encoded + upsample_like(deeper, encoded), fused, rtol=1e-4, atol=1e-5)


def test_recording_leaves_no_trace(harmonizer: Harmonizer, given: tuple[Tensor, Tensor]) -> None:
    with capture_inputs(harmonizer.net):
        record(harmonizer.net, *given)
    for module in harmonizer.net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_what_is_overheard_is_the_sight(shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray) -> None:
    with capture_inputs(shipped.net) as heard:
        shipped(photograph, object_mask)
    assert len(heard) == 1
    sight = shipped.make_sight(photograph, object_mask, bounding_box(object_mask), Encoding())
    assert np.array_equal(heard[0][0][0].permute(1, 2, 0).numpy(), sight.composite.clip(0, 1))
    assert np.array_equal(heard[0][1][0, 0].numpy(), sight.mask)


def test_clusters_hold_every_pixel_and_their_means_are_means(seen: Record) -> None:
    level = seen.kernels[1]
    height, width = level.before.shape[1:]
    mask = seen.measure_object(height, width)
    clusters = cluster_kernels(level, mask)
    kernels = level.compute_kernels(np.arange(height * width))
    assert clusters.share.sum() == pytest.approx(1)
    assert (np.diff(clusters.on_object) <= 0).all()
    assert (clusters.share * clusters.on_object).sum() == pytest.approx(mask.mean(), abs=1e-5)
    assert len(clusters.share) == 5
    for cluster, (mean, share) in enumerate(zip(clusters.kernels, clusters.share, strict=True)):
        inside = clusters.labels.ravel() == cluster
        assert inside.mean() == pytest.approx(share)
        np.testing.assert_allclose(mean, kernels[inside].mean(axis=0), atol=1e-4)
    # A cluster's pixels are more like its own mean than like any other.
    distance = ((kernels[:, None] - clusters.kernels[None]) ** 2).sum(axis=(2, 3, 4))  # (H*W, k)
    assert (distance.argmin(axis=1) == clusters.labels.ravel()).mean() > 0.97


def test_kernels_that_are_all_alike_are_one_cluster() -> None:
    prediction = nn.Conv2d(2, 18, 1)
    feature = np.ones((2, 4, 4), np.float32)
    clusters = cluster_kernels(KernelField(feature, feature, True, torch.ones(2, 4, 4), prediction), np.ones((4, 4)))
    assert clusters.share.tolist() == [1]


# ---- the color change


def test_the_change_of_color_is_told_in_cielab(photograph: np.ndarray, object_mask: np.ndarray) -> None:
    after = photograph.copy()
    inside = object_mask == 255
    after[inside] = (after[inside] * [0.9, 0.7, 0.4]).astype(np.uint8)
    change = ColorChange.measure(photograph, after, object_mask, bounding_box(object_mask), Encoding())
    assert np.array_equal(change.before[0, 0] * 255, photograph[0, 0])
    lab = [skimage.color.rgb2lab(picture / 255)[object_mask >= 0.9 * 255] for picture in (photograph, after)]
    expected = (lab[1] - lab[0]).mean(axis=0)
    words = change.describe()
    for name, mean in zip(("ΔL*", "Δa*", "Δb*"), expected, strict=True):
        told = float(words.split(f"{name} ")[1].split(")")[0].replace("−", "-"))
        assert told == pytest.approx(mean, abs=0.2)
    assert "darker" in words
    assert "warmer" in words


def test_no_change_is_called_none(photograph: np.ndarray, object_mask: np.ndarray) -> None:
    change = ColorChange.measure(photograph, photograph, object_mask, bounding_box(object_mask), Encoding())
    assert "did not change" in change.describe()


# ---- the point


def test_the_middle_of_a_ring_is_on_the_ring(shipped: Harmonizer, photograph: np.ndarray) -> None:
    rows, columns = np.mgrid[:512, :512]
    ring = (np.abs(np.hypot(rows - 256, columns - 200) - 100) < 20).astype(np.uint8) * np.uint8(255)
    spot = Spot.at_foreground(shipped.make_sight(photograph, ring, bounding_box(ring), Encoding(), 256))
    assert ring[spot.y, spot.x]


def test_a_point_finds_its_token_in_pictures_of_any_shape(shipped: Harmonizer) -> None:
    picture, mask = np.zeros((300, 1000, 3), np.uint8), np.zeros((300, 1000), np.uint8)
    mask[100:200, 300:700] = 255
    sight = shipped.make_sight(picture, mask, bounding_box(mask), Encoding(), 256)
    grid = (sight.mask.shape[0] // 16, sight.mask.shape[1] // 16)
    assert grid == (5, 16)
    for (x, y), token in {(0, 0): 0, (999, 0): 15, (0, 299): 64, (999, 299): 79, (500, 150): 40}.items():
        assert Spot.at_pixel(x, y, sight).find_token(sight, grid) == token


def test_a_point_beside_what_the_network_saw_is_refused(shipped: Harmonizer) -> None:
    picture, mask = np.zeros((1500, 2000, 3), np.uint8), np.zeros((1500, 2000), np.uint8)
    mask[700:720, 900:920] = 255
    sight = shipped.make_sight(picture, mask, bounding_box(mask), Encoding(), 256)
    assert sight.window != Box(0, 0, 2000, 1500)
    assert Box(Spot.at_foreground(sight).x, Spot.at_foreground(sight).y, 1, 1).intersect(Box(900, 700, 20, 20))
    with pytest.raises(InputError, match="surroundings of a tiny object"):
        Spot.at_pixel(5, 5, sight)
