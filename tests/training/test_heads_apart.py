"""A recognition head that is trained as several: each composite teaches one, and they stay apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gknet.color_statistics import LENGTH, REGION_LENGTH
from gknet.global_head import RecognitionHead
from gknet.recognition import THINGS
from gknet.surroundings import REGIONS
from training.heads_apart import keep_apart

COLOURS = LENGTH + REGIONS * REGION_LENGTH + 1
UNITS = (8, 6)
"""Hidden units of two heads side by side."""


@pytest.fixture
def head() -> RecognitionHead:
    torch.manual_seed(0)
    made = RecognitionHead((4, 2), UNITS, 1.0)
    torch.nn.init.normal_(made.matrix.weight)
    for layer in (made.colours[1], made.things[1], made.hidden):
        rows, columns = layer.weight.shape[0] // 2, layer.weight.shape[1] // 2
        block = torch.ones(rows, columns)
        layer.weight.data *= torch.block_diag(block, block)
    keep_apart(made, 2)
    return made


def told(count: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    colours = torch.rand(count, COLOURS, generator=generator)
    mask = torch.zeros(count, 1, 64, 64)
    mask[:, :, 16:48, 16:48] = 1
    return colours, mask, torch.rand(count, THINGS, 4, 4, generator=generator)


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
    layers = (head.colours[1], head.things[1], head.hidden)
    before = [layer.weight.detach().clone() for layer in layers]
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        head(*told(16)).square().sum().backward()
        optimizer.step()
    for layer, old in zip(layers, before, strict=True):
        rows, columns = old.shape[0] // 2, old.shape[1] // 2
        own = torch.block_diag(torch.ones(rows, columns), torch.ones(rows, columns)) > 0
        assert not layer.weight[~own].any()
        assert (layer.weight[own] != old[own]).all()


def test_what_one_head_tells_is_as_strong_as_what_both_do_in_the_mean(head: RecognitionHead) -> None:
    whole = head.eval()(*told(1))
    head.train()
    for part in (head.forgotten_colours, head.forgotten_things):
        part.eval()
    colours, mask, things = (part.expand(4000, *part.shape[1:]) for part in told(1))
    assert torch.allclose(head(colours, mask, things).mean(dim=0), whole[0], atol=0.1)


def test_a_head_that_cannot_be_shared_out_is_refused(head: RecognitionHead) -> None:
    with pytest.raises(ValueError, match="3 heads"):
        keep_apart(head, 3)
