"""The network: what the paper fixes, and what must hold whatever its weights are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gknet import GKNet, Harmonizer, preset
from gknet.network.config import PRESETS, GKNetConfig, ablations
from gknet.network.selective_correlation import ChannelDescriptor

SMALL = replace(preset("gknet"), width=8, correlation_groups=4, reference_heads=4)


def scene(config: GKNetConfig, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Random pictures and masks with hard and soft parts, none of them zero everywhere."""
    generator = torch.Generator().manual_seed(1)
    height, width = 6 * config.multiple, 4 * config.multiple
    composite = torch.rand(batch, 3, height, width, generator=generator)
    mask = torch.zeros(batch, 1, height, width)
    mask[:, :, height // 4 : height // 2, width // 4 :] = 1
    mask[:, :, height // 2 : height // 2 + 3] = 0.5
    return composite, mask


def perturbed(config: GKNetConfig, spread: float = 0.05) -> GKNet:
    """A network whose every weight was moved a little, so that nothing is zero any more."""
    torch.manual_seed(0)
    net = GKNet(config)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize("config", [*PRESETS.values(), *ablations(SMALL).values()])
def test_untrained_network_returns_its_input(config: GKNetConfig) -> None:
    composite, mask = scene(config)
    with torch.no_grad():
        assert torch.equal(GKNet(config).eval()(composite, mask), composite)


def test_a_change_is_made_the_more_the_larger_it_is() -> None:
    """Half of one that is as large as the restraint by the root of the object's light, each picture's by itself; the
    whole of it in training."""
    net = perturbed(replace(SMALL, global_head=True, global_head_widths=(16, 8))).eval()
    composite, mask = scene(net.config)
    with torch.no_grad():
        change = net(composite, mask) - composite
        covered = 3 * mask.square().sum(dim=(1, 2, 3))
        sizes = (change.square().sum(dim=(1, 2, 3)) / covered).sqrt()  # root mean square over the foreground, (B,)
        light = (composite * mask).sum(dim=(1, 2, 3)) / (3 * mask.sum(dim=(1, 2, 3)))  # mean value there, (B,)
        sizes /= light.sqrt()
        assert sizes[0] != sizes[1]
        for restraint in (float(sizes[0]), float(sizes[1]) / 2):
            restrained = GKNet(replace(net.config, restraint=restraint)).eval()
            restrained.load_state_dict(net.state_dict())
            shares = 1 / (1 + (restraint / sizes) ** 6)
            torch.testing.assert_close(restrained(composite, mask), composite + change * shares[:, None, None, None])
            torch.testing.assert_close(restrained(composite[:1], mask[:1])[0], restrained(composite, mask)[0])
        learning = []
        for network in (restrained, net):
            torch.manual_seed(0)  # what it forgets
            learning.append(network.train()(composite, mask))
        assert torch.equal(*learning)


@pytest.mark.parametrize("head", ["affine", "rgb"])
def test_background_is_equal_to_the_bit(head: str) -> None:
    config = replace(SMALL, head=head, global_head=True, global_head_widths=(16, 8))
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
        replace(SMALL, head="rgb", residual_modulation=False),
        replace(SMALL, stem=2, global_head=True, global_head_widths=(16, 8)),
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


def test_each_ablation_adds_only_the_named_part() -> None:
    parts = [set(GKNet(config).state_dict()) for config in ablations(SMALL).values()]
    baseline, kpb, lre, scf = parts
    assert all(name.startswith("kernels.blocks.") for name in kpb - baseline)
    assert baseline < kpb
    assert all(name.startswith("kernels.reference.") for name in lre - kpb)
    assert kpb < lre
    assert all(".fuse." in name for name in lre ^ scf)
    assert lre - scf  # concatenation made way
    assert scf - lre


def test_preset_of_the_paper_has_none_of_our_additions_but_the_stated_ones() -> None:
    paper = preset("gknet")
    assert (paper.width, paper.stem, paper.kernel_size, paper.global_head) == (32, 1, 3, False)
    assert list(ablations(paper).values())[-1] == paper


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
    with pytest.raises(ValueError, match="do not fit"):
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
    ],
)
def test_settings_that_cannot_be_built_are_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(preset("gknet"), **change)
    with pytest.raises(ValueError, match="no preset"):
        preset("gknet-xl")


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, head="rgb", residual_modulation=False),
        replace(SMALL, stem=2, global_head=True, global_head_widths=(16, 8)),
        *ablations(SMALL).values(),
    ],
)
@pytest.mark.parametrize("place", [(0, 0, 9, 7), (33, 17, 34, 18), (38, 2, 48, 23), (0, 0, 48, 32)])
def test_work_around_the_foreground_alone_gives_what_all_work_gives(
    config: GKNetConfig, place: tuple[int, int, int, int]
) -> None:
    net = perturbed(config).eval()
    composite, mask = scene(config, batch=1)
    top, left, bottom, right = (config.stem * edge for edge in place)
    mask.zero_()[:, :, top:bottom, left:right] = 0.5 + torch.rand(bottom - top, right - left) / 2
    with torch.no_grad():
        around = net(composite, mask)
        everything = net(composite, mask, whole=True)
    torch.testing.assert_close(around, everything, rtol=0, atol=1e-5)
    assert (everything - composite).abs().max() > 1e-4


def test_a_picture_without_foreground_comes_back_to_the_bit() -> None:
    composite, mask = scene(SMALL)
    with torch.no_grad():
        assert torch.equal(perturbed(SMALL).eval()(composite, torch.zeros_like(mask)), composite)


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


@pytest.mark.parametrize("name", PRESETS)
def test_the_network_in_use_is_the_trained_one(name: str) -> None:
    # A network made by lot changes less than restraint lets through.
    net = perturbed(replace(preset(name), restraint=0.0), 0.02).train()
    composite, mask = scene(net.config)
    with torch.no_grad():
        for _ in range(3):  # gives batch norm something to fold
            net(composite, mask)
        trained = net.eval()(composite, mask)
        used = Harmonizer(net).net(composite, mask)
    torch.testing.assert_close(used, trained, rtol=0, atol=1e-4)
    assert not torch.allclose(trained, composite, atol=1e-3)
    assert any("running_mean" in key for key in net.state_dict()), "the network itself can still be trained"
