"""The networks are plain PyTorch: torch.export takes them whole."""

from __future__ import annotations

import pytest
import torch

from gknet import preset
from gknet.network import weights

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", ["gknet", "gknet-s"])
def test_an_exported_network_gives_what_the_network_gives(name: str) -> None:
    net = weights.build(preset(name)).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    composite, mask = torch.rand(2, 3, 64, 96), torch.zeros(2, 1, 64, 96)
    mask[:, :, 10:40, 20:50] = 1
    mask[0, :, 40:44, 20:50] = 0.5
    program = torch.export.export(net, (composite, mask))
    other, other_mask = torch.rand(2, 3, 64, 96), mask.flip(3)
    with torch.no_grad():
        for given in ((composite, mask), (other, other_mask)):  # nothing of the first pass is frozen in
            expected = net(*given)
            torch.testing.assert_close(program.module()(*given), expected, rtol=0, atol=1e-5)
            assert (expected - given[0]).abs().max() > 0.05
