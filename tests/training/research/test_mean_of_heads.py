"""Several recognition heads become one that tells the mean of what they tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data
import torch

from gknet import GKNet
from gknet.network import weights
from tests.training.calling import call_command
from training.engine.run import TrainingRun
from training.engine.training import Training
from training.research import mean_of_heads
from training.research.mean_of_heads import average_heads

pytestmark = pytest.mark.integration
RUN = TrainingRun(preset="gknet-s", only="recognition_head", heads=2)


def with_a_head(shipped: GKNet, seed: int) -> GKNet:
    """The shipped network with one of two heads, which knows something."""
    net = weights.build(RUN.network())
    values = {n: v for n, v in shipped.state_dict().items() if not n.startswith("recognition_head.")}
    net.load_state_dict({**net.state_dict(), **values})
    torch.manual_seed(seed)
    assert net.recognition_head is not None
    with torch.no_grad():
        net.recognition_head.matrix.weight.normal_(0, 0.05)
        net.recognition_head.matrix.bias.normal_(0, 0.05)
    return net.eval()


@pytest.fixture(scope="module")
def shipped() -> GKNet:
    return weights.load(weights.find_shipped("gknet-s"))


@pytest.fixture(scope="module")
def heads(shipped: GKNet) -> list[GKNet]:
    return [with_a_head(shipped, seed) for seed in (1, 2)]


def test_the_result_tells_the_mean(heads: list[GKNet]) -> None:
    picture = torch.from_numpy(skimage.data.chelsea()[:192, :256].copy()).permute(2, 0, 1)[None].float() / 255
    mask = torch.zeros(1, 1, 192, 256)
    mask[:, :, 60:150, 90:200] = 1
    reference = torch.zeros(1, heads[0].config.widths[-1], 12, 16)
    one, other = (net.predict_color_matrix(picture, mask, reference) for net in heads)
    mean = average_heads(heads).predict_color_matrix(picture, mask, reference)
    assert one is not None
    assert other is not None
    assert mean is not None
    assert (one - other).abs().max() > 0.01
    torch.testing.assert_close(mean, (one + other) / 2, atol=1e-5, rtol=0)


def test_the_result_is_a_network_of_the_preset(shipped: GKNet, heads: list[GKNet]) -> None:
    result = average_heads(heads)
    assert result.config == shipped.config
    for name, value in result.state_dict().items():
        if not name.startswith("recognition_head."):
            assert torch.equal(value, shipped.state_dict()[name]), name


def test_one_of_several_begins_from_nothing_beside_the_shipped_network(shipped: GKNet) -> None:
    training = Training(RUN)
    begun = {name: tensor.clone() for name, tensor in training.net.state_dict().items()}
    training.load_weights(weights.find_shipped("gknet-s"))
    for name, tensor in training.net.state_dict().items():
        wanted = begun if name.startswith("recognition_head.") else shipped.state_dict()
        assert torch.equal(tensor, wanted[name]), name


def test_networks_that_differ_elsewhere_are_refused(heads: list[GKNet]) -> None:
    with pytest.raises(ValueError, match="recognition heads of one configuration"):
        average_heads([heads[0], GKNet(replace(RUN, heads=1).network())])
    with pytest.raises(ValueError, match="differ outside their recognition heads"):
        average_heads([heads[0], GKNet(RUN.network())])


def test_the_command_writes_the_mean_or_says_why_not(heads: list[GKNet], tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for net, path in zip(heads, paths, strict=True):
        weights.save(net, path)
    done = call_command(mean_of_heads.main, *paths, "-o", tmp_path / "mean.safetensors")
    assert done.code == 0
    assert weights.load(tmp_path / "mean.safetensors").config == replace(RUN, heads=1).network()
    refused = call_command(mean_of_heads.main, weights.find_shipped("gknet-s"), paths[1], "-o", tmp_path / "no")
    assert refused.code == 2
    assert refused.err.startswith("mean_of_heads: ")
