"""The network: what must hold whatever its weights are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gknet import GKNet, preset
from gknet.errors import InputError
from gknet.network import weights
from gknet.network.config import PRESETS, GKNetConfig, ablations
from gknet.network.selective_correlation import ChannelDescriptor
from tests.gknet.network.scenes import SMALL, SMALL_PAPER, perturbed, scene

GLOBAL = replace(SMALL, global_head=True, global_head_widths=(16, 8))


@pytest.mark.parametrize("config", [preset("gknet-residual"), preset("gknet-s"), *ablations(SMALL).values()])
def test_an_untrained_network_with_the_affine_head_returns_its_input(config: GKNetConfig) -> None:
    composite, mask = scene(config)
    with torch.no_grad():
        assert torch.equal(weights.build(config).eval()(composite, mask), composite)


@pytest.mark.parametrize("config", [SMALL_PAPER, GLOBAL], ids=["paper", "ours"])
def test_background_is_equal_to_the_bit(config: GKNetConfig) -> None:
    composite, mask = scene(config)
    with torch.no_grad():
        harmonized = perturbed(config).eval()(composite, mask)
    outside = (mask == 0).expand_as(composite)
    assert torch.equal(harmonized[outside], composite[outside])
    assert not torch.allclose(harmonized[~outside], composite[~outside])


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SMALL_PAPER,
        replace(GLOBAL, stem=2),
        *ablations(SMALL).values(),
    ],
)
def test_every_parameter_has_a_gradient_after_a_small_perturbation(config: GKNetConfig) -> None:
    net = perturbed(config).train()
    composite, mask = scene(config)
    net(composite, mask).square().mean().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not without


@pytest.mark.parametrize("name", PRESETS)
def test_a_batch_of_two_equals_two_of_one(name: str) -> None:
    net = perturbed(preset(name), 0.01).eval()
    composite, mask = scene(net.config)
    with torch.no_grad():
        together = net(composite, mask)
        apart = torch.cat([net(composite[i : i + 1], mask[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


def test_long_distance_reference_reaches_across_the_whole_picture() -> None:
    """A change in one corner moves F_LR in the other, which no convolution of that depth could do."""
    net = perturbed(SMALL).eval()
    assert net.kernels is not None
    deepest = torch.rand(1, 64, 16, 16)
    changed = deepest.clone()
    changed[:, :, 0, 0] += 1
    with torch.no_grad():
        difference = net.kernels.reference(deepest) - net.kernels.reference(changed)
    assert difference[:, :, -1, -1].abs().max() > 0


def test_sizes_that_do_not_fit_are_refused() -> None:
    net = GKNet(SMALL)
    with pytest.raises(ValueError, match="multiples of 8"):
        net(torch.rand(1, 3, 20, 16), torch.rand(1, 1, 20, 16))
    with pytest.raises(ValueError, match="do not match"):
        net(torch.rand(1, 3, 16, 16), torch.rand(1, 1, 16, 24))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kernel_size": 4}, "kernel_size"),
        ({"width": 12}, "correlation_groups"),
        ({"reference_heads": 7}, "reference_heads"),
        ({"head": "lut"}, "head"),
        ({"kernel_prediction": False}, "kernel_prediction"),
        ({"stem": 0}, "stem"),
        ({"global_head": True}, "affine head"),
        ({"network_size": 32}, "network_size"),
    ],
)
def test_settings_that_cannot_be_built_are_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(preset("gknet"), **change)
    with pytest.raises(InputError, match="Unknown preset"):
        preset("gknet-xl")


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (9, 8)])
def test_a_descriptor_is_the_mean_of_its_convolution(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    descriptor = ChannelDescriptor(6, 4)
    feature = torch.randn(2, 6, *size, requires_grad=True)
    expected = descriptor.perceptron(descriptor.conv(feature).mean(dim=(2, 3)))
    torch.testing.assert_close(descriptor(feature), expected, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(descriptor(feature).square().sum(), feature)
    (expected_gradient,) = torch.autograd.grad(expected.square().sum(), feature)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-6)
