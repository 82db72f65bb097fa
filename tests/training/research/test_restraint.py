"""Trying restraints: the same as a network that has them, and the figures that are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch

from gknet import GKNet, preset
from training.data.sample import Sample
from training.evaluation.bare_network import BareNetwork
from training.research.restraint import LEVELS, UnrestrainedNetwork, apply_restraint, build_table, measure_restraints

CONFIG = replace(
    preset("gknet-residual"), width=8, correlation_groups=4, reference_heads=4, restraint=0.03, network_size=64
)


@pytest.fixture
def net() -> GKNet:
    """Changes every picture by some tens of levels."""
    torch.manual_seed(0)
    net = GKNet(CONFIG).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net


@pytest.fixture
def sample() -> Sample:
    real = np.ascontiguousarray(skimage.data.astronaut()[::8, ::8])
    mask = np.zeros(real.shape[:2], bool)
    mask[16:40, 20:50] = True
    composite = np.where(mask[..., None], real // 2 + 40, real).astype(np.uint8)
    return Sample("astronaut", "curve", composite, real, mask)


@pytest.mark.parametrize("levels", [4, 12, 40])
def test_a_restraint_that_is_tried_is_the_one_a_network_has(net: GKNet, sample: Sample, levels: int) -> None:
    has = GKNet(replace(CONFIG, restraint=levels / 255))
    has.load_state_dict(net.state_dict())
    tried = apply_restraint(*UnrestrainedNetwork(net).compute_change(sample.composite, sample.mask), levels)
    np.testing.assert_array_equal(tried, BareNetwork(has)(sample.composite, sample.mask))


def test_a_photograph_is_judged_once_and_changes_the_less_the_larger_the_restraint(net: GKNet, sample: Sample) -> None:
    found = measure_restraints(UnrestrainedNetwork(net), [sample, sample._replace(kind="other")])
    assert [len(tried.composites) for tried in found.values()] == [2] * len(LEVELS)
    changes = [tried.photographs[0].levels for tried in found.values()]
    assert [len(tried.photographs) for tried in found.values()] == [1] * len(LEVELS)
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > changes[-1]
    rows = build_table(found, "some").sections[0]
    assert [row[0] for row in rows] == [str(levels) for levels in LEVELS]
    first = found[0].composites
    assert rows[0][1] == f"{np.mean([record.after.fmse for record in first]):.1f}"
    assert rows[0][6] == f"{changes[0]:.2f}"
