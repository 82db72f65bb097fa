"""A recognition head that is trained as several: each composite teaches one, and they stay apart."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from torch import Tensor, nn

from gknet.network import weights
from gknet.network.extensions.color_statistics import LENGTH, REGION_LENGTH
from gknet.network.extensions.global_head import RecognitionHead
from gknet.network.extensions.recognition import DEEP_CHANNELS
from gknet.network.extensions.surroundings import REGIONS
from training.engine.batch import Batch
from training.engine.heads_apart import separate_heads
from training.engine.run import TrainingRun
from training.engine.training import Training

COLOURS = LENGTH + REGIONS * REGION_LENGTH + 1
UNITS = (8, 6)
"""Hidden units of two heads side by side."""


def shared(head: RecognitionHead) -> list[nn.Linear]:
    """The layers that two heads have blocks of."""
    layers = [head.colours[1], head.things[1], head.hidden]
    assert all(isinstance(layer, nn.Linear) for layer in layers)
    return layers


def between(weight: Tensor) -> Tensor:
    """What of a weight leads from one of two heads to the other."""
    rows, columns = weight.shape[0] // 2, weight.shape[1] // 2
    return torch.stack([weight[:rows, columns:], weight[rows:, :columns]])


@pytest.fixture
def head() -> RecognitionHead:
    torch.manual_seed(0)
    made = RecognitionHead((4, 2), UNITS, 1.0)
    torch.nn.init.normal_(made.matrix.weight)
    for layer in shared(made):
        block = torch.ones(layer.weight.shape[0] // 2, layer.weight.shape[1] // 2)
        layer.weight.data *= torch.block_diag(block, block)
    separate_heads(made, 2)
    return made


class Noise:
    """Composites of nothing, darker than they should be."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(2)

    def draw_batch(self) -> Batch:
        real = torch.rand(4, 3, 32, 32, generator=self.generator)
        mask = torch.zeros(4, 1, 32, 32)
        mask[:, :, 8:24, 8:24] = 1
        return Batch(real * (1 - 0.3 * mask), real, mask)


def told(count: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    colours = torch.rand(count, COLOURS, generator=generator)
    mask = torch.zeros(count, 1, 64, 64)
    mask[:, :, 16:48, 16:48] = 1
    return colours, mask, torch.rand(count, DEEP_CHANNELS, 4, 4, generator=generator)


def test_in_use_both_heads_are_asked(head: RecognitionHead) -> None:
    alone = RecognitionHead((4, 2), UNITS, 1.0)
    alone.load_state_dict(head.state_dict())
    assert torch.equal(head.eval()(*told(3)), alone.eval()(*told(3)))


def test_each_composite_teaches_one_head(head: RecognitionHead) -> None:
    taught = []
    for _ in range(20):
        head.zero_grad()
        head(*told(1)).square().sum().backward()
        gradient = head.matrix.weight.grad
        assert gradient is not None
        halves = gradient.abs().sum(dim=0).view(2, -1).sum(dim=1) > 0
        assert halves.sum() == 1
        taught.append(int(halves.nonzero()))
    assert set(taught) == {0, 1}


def test_nothing_passes_from_one_head_to_the_other(head: RecognitionHead) -> None:
    before = [layer.weight.detach().clone() for layer in shared(head)]
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        head(*told(16)).square().sum().backward()
        optimizer.step()
    for layer, old in zip(shared(head), before, strict=True):
        assert not between(layer.weight).any()
        assert (layer.weight != old).float().mean() == 0.5


@pytest.mark.integration
def test_a_run_that_asks_for_it_keeps_the_shipped_networks_heads_apart() -> None:
    training = Training(TrainingRun(preset="gknet-s", size=32, batch=4, heads_apart=2, learning_rate=1e-3))
    training.load_weights(weights.find_shipped("gknet-s"))
    head = training.net.recognition_head
    assert head is not None
    before = [layer.weight.detach().clone() for layer in shared(head)]
    noise = Noise()
    for _ in range(3):
        training.train_step(noise)
    averaged = training.result.recognition_head
    assert averaged is not None
    for layer, old in zip(chain(shared(head), shared(averaged)), [*before, *before], strict=True):
        assert torch.equal(between(layer.weight), between(old))
        assert (layer.weight != old).any()


def test_what_one_head_tells_is_as_strong_as_what_both_do_in_the_mean(head: RecognitionHead) -> None:
    whole = head.eval()(*told(1))
    head.train()
    for part in (head.color_dropout, head.feature_dropout):
        part.eval()
    colours, mask, things = (part.expand(4000, *part.shape[1:]) for part in told(1))
    assert torch.allclose(head(colours, mask, things).mean(dim=0), whole[0], atol=0.1)


def test_a_head_that_cannot_be_shared_out_is_refused(head: RecognitionHead) -> None:
    with pytest.raises(ValueError, match="3 heads"):
        separate_heads(head, 3)
