"""The network in use: the trained one with less work, and with small changes held back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from gknet import preset
from gknet.network.config import PRESETS, GKNetConfig, ablations
from gknet.network.inference import InferenceNetwork
from gknet.network.window import Window
from tests.gknet.network.scenes import SMALL, SMALL_PAPER, perturbed, scene

GLOBAL = replace(SMALL, stem=2, global_head=True, global_head_widths=(16, 8))


@pytest.mark.parametrize("name", PRESETS)
def test_the_network_in_use_is_the_trained_one(name: str) -> None:
    # A network made by lot changes less than restraint lets through.
    net = perturbed(replace(preset(name), restraint=0.0), 0.02).train()
    composite, mask = scene(net.config)
    with torch.no_grad():
        for _ in range(3):  # gives batch norm something to fold
            net(composite, mask)
        trained = net.eval()(composite, mask)
    torch.testing.assert_close(InferenceNetwork(net)(composite, mask), trained, rtol=0, atol=1e-4)
    assert not torch.allclose(trained, composite, atol=1e-3)
    assert any("running_mean" in key for key in net.state_dict()), "the network itself can still be trained"


@pytest.mark.parametrize("config", [SMALL, SMALL_PAPER, GLOBAL, *ablations(SMALL).values()])
@pytest.mark.parametrize("place", [(0, 0, 9, 7), (33, 17, 34, 18), (38, 2, 48, 23), (0, 0, 48, 32)])
def test_work_around_the_foreground_alone_gives_what_all_work_gives(
    config: GKNetConfig, place: tuple[int, int, int, int]
) -> None:
    net = perturbed(config).eval()
    composite, mask = scene(config, batch=1)
    top, left, bottom, right = (config.stem * edge for edge in place)
    mask.zero_()[:, :, top:bottom, left:right] = 0.5 + torch.rand(bottom - top, right - left) / 2
    in_use = InferenceNetwork(net)
    around, everywhere = in_use(composite, mask), in_use(composite, mask, whole=True)
    with torch.no_grad():
        trained = net(composite, mask)
    torch.testing.assert_close(around, everywhere, rtol=0, atol=1e-5)
    torch.testing.assert_close(everywhere, trained, rtol=0, atol=1e-5)
    assert (trained - composite).abs().max() > 1e-4


@pytest.mark.parametrize("config", [SMALL_PAPER, GLOBAL], ids=["paper", "stem 2"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 11])
def test_the_window_leaves_room_for_kernels_of_every_size(kernel_size: int, config: GKNetConfig) -> None:
    """One pixel amid a picture several times as large as the window: nothing but its margin is around it."""
    # Strong kernels show a margin that is too narrow; too strong ones would overflow.
    spread = min(0.1, 0.4 / kernel_size)
    in_use = InferenceNetwork(perturbed(replace(config, kernel_size=kernel_size), spread).eval())
    side = 64 * config.stem
    composite = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(kernel_size))
    for row, column in ((30, 33), (31, 30)):  # odd and even, as the window's own edges are even
        mask = torch.zeros(1, 1, side, side)
        mask[:, :, row * config.stem, column * config.stem] = 1
        around, everywhere = in_use(composite, mask), in_use(composite, mask, whole=True)
        assert Window.around(F.avg_pool2d(mask, config.stem), kernel_size).bottom < 64
        change = float((everywhere - composite).abs().max())
        assert change > 1e-2
        assert (around - everywhere).abs().max() <= 1e-5 * max(1.0, change)


def test_a_change_is_made_the_more_the_larger_it_is() -> None:
    """Half of one that is as large as the restraint by the root of the object's light, each picture's by itself."""
    net = perturbed(replace(SMALL, global_head=True, global_head_widths=(16, 8))).eval()
    composite, mask = scene(net.config)
    change = InferenceNetwork(net)(composite, mask) - composite
    covered = 3 * mask.square().sum(dim=(1, 2, 3))
    sizes = (change.square().sum(dim=(1, 2, 3)) / covered).sqrt()  # root mean square over the foreground, (B,)
    light = (composite * mask).sum(dim=(1, 2, 3)) / (3 * mask.sum(dim=(1, 2, 3)))  # mean value there, (B,)
    sizes /= light.sqrt()
    assert sizes[0] != sizes[1]
    for restraint in (float(sizes[0]), float(sizes[1]) / 2):
        held_back = perturbed(replace(net.config, restraint=restraint)).eval()
        shares = 1 / (1 + (restraint / sizes) ** 6)
        made = InferenceNetwork(held_back)(composite, mask)
        torch.testing.assert_close(made, composite + change * shares[:, None, None, None])
        torch.testing.assert_close(InferenceNetwork(held_back)(composite[:1], mask[:1])[0], made[0])
        with torch.no_grad():  # the network itself, and so its training, knows no restraint
            assert torch.equal(held_back(composite, mask), net(composite, mask))


def test_a_picture_without_foreground_comes_back_to_the_bit() -> None:
    for config in (SMALL, SMALL_PAPER):
        composite, mask = scene(config)
        assert torch.equal(InferenceNetwork(perturbed(config))(composite, torch.zeros_like(mask)), composite)


def test_sizes_that_do_not_fit_are_refused() -> None:
    in_use = InferenceNetwork(perturbed(SMALL))
    with pytest.raises(ValueError, match="multiples of 8"):
        in_use(torch.rand(1, 3, 20, 16), torch.rand(1, 1, 20, 16))
