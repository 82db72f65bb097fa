"""What the preset "gknet" takes from the paper (Shen et al., ICCV 2023), and what the paper leaves to us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from gknet import GKNet, preset
from gknet.network.config import GKNetConfig, ablations
from gknet.network.kernel_prediction import KernelPrediction
from gknet.network.long_distance_reference import LongDistanceReference
from gknet.network.selective_correlation import SelectiveCorrelationFusion

OPEN = "open: our choice, because "
UNUSED = "unused: the paper has no such part; our value for networks that have it"


class Choice(NamedTuple):
    """source: where the paper states the value; or OPEN and our reason, or UNUSED."""

    value: Any
    source: str


FIELDS = {
    "width": Choice(32, f"{OPEN}no width is stated; 32 gives 9 million parameters"),
    "stem": Choice(1, "section 3.1: I_c and M, of H x W, are the U-Net's input"),
    "kernel_prediction": Choice(True, "section 3.2; Table 4, last row"),
    "long_distance_reference": Choice(True, "section 3.2; Table 4, last row"),
    "selective_correlation": Choice(True, "section 3.2; Table 4, last row"),
    "kernel_size": Choice(3, f"{OPEN}N is not stated, and 3 is the least that looks at neighbors"),
    "reference_layers": Choice(2, f"{OPEN}section 3.2 says l layers and no number; 2 is the least that is several"),
    "reference_heads": Choice(8, f"{OPEN}section 3.2 says multi-head and no number; Fig. 10 shows four"),
    "correlation_groups": Choice(8, f"{OPEN}n of Eq. 2 is not stated; 8 divides the width of every level"),
    "residual_modulation": Choice(False, "Eq. 5 and 6: the modulated feature is the sum alone"),
    "head": Choice("rgb", "section 3.3: phi_D gives the picture that is blended in"),
    "head_scale": Choice(0.05, UNUSED),
    "global_head": Choice(False, "section 3: no such part"),
    "global_head_scale": Choice(0.3, UNUSED),
    "global_head_widths": Choice((448, 256), UNUSED),
    "recognition": Choice(False, "section 3: no such part"),
    "recognition_head_bottlenecks": Choice((256, 64), UNUSED),
    "recognition_head_widths": Choice((1024, 512), UNUSED),
    "restraint": Choice(0.0, "section 3.3: the picture is blended in as it is"),
    "variants": Choice(1, "section 3: one picture"),
    "network_size": Choice(256, "section 4.1: experiments are at 256 x 256"),
}


@pytest.fixture(scope="module")
def net() -> GKNet:
    return GKNet(preset("gknet"))


@pytest.mark.parametrize("field", [field.name for field in fields(GKNetConfig)])
def test_every_field_is_the_papers_or_named_as_ours(field: str) -> None:
    assert field in FIELDS, f"say in FIELDS what the paper states about {field}"
    assert getattr(preset("gknet"), field) == FIELDS[field].value


def test_the_table_lists_no_field_that_is_gone() -> None:
    assert set(FIELDS) == {field.name for field in fields(GKNetConfig)}
    for name, (_value, source) in FIELDS.items():
        assert source.startswith((OPEN, "section", "Eq.", "Table")) or source == UNUSED, name


def test_the_defaults_of_the_config_are_the_papers() -> None:
    assert GKNetConfig() == preset("gknet")


def block(net: GKNet, level: int = 0) -> KernelPrediction:
    assert net.kernels is not None
    found = net.kernels.blocks[level]
    assert isinstance(found, KernelPrediction)
    return found


def scf(net: GKNet) -> SelectiveCorrelationFusion:
    fuse = block(net).fuse
    assert isinstance(fuse, SelectiveCorrelationFusion)
    return fuse


def lre(net: GKNet) -> LongDistanceReference:
    assert net.kernels is not None
    reference = net.kernels.reference
    assert isinstance(reference, LongDistanceReference)
    return reference


def kinds(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module.modules() if not list(part.children())]


# What the network is beyond its config: the value, where from, and how it is found in the network.
STRUCTURE: dict[str, tuple[Choice, Callable[[GKNet], Any]]] = {
    "channels of the input": (
        Choice(4, "section 3.1: RGB and the mask, concatenated"),
        lambda net: net.encoder.levels[0][0][0].in_channels,  # type: ignore[index]
    ),
    "channels of the output": (Choice(3, "section 3: the harmonized image"), lambda net: net.head.out_channels),
    "levels": (
        Choice(4, f"{OPEN}sections 3.2 and 3.3 say multi-level and no number"),
        lambda net: len(net.encoder.levels),
    ),
    "levels with kernels": (
        Choice(4, f"{OPEN}sections 3.2 and 3.3 say multiple decoder levels; all of them is the plainest reading"),
        lambda net: len(net.kernels.blocks),  # type: ignore[union-attr]
    ),
    "a level of the encoder": (
        Choice(["Conv2d", "BatchNorm2d", "ELU"] * 2, f"{OPEN}a simple U-Net [37]; norm and activation are not stated"),
        lambda net: kinds(net.encoder.levels[0]),
    ),
    "attention of a decoder level": (
        Choice("SpatialSeparatedAttention", "section 3.1: attention blocks of S2AM [8]"),
        lambda net: type(net.decoder.attention[0]).__name__,
    ),
    "numbers of a pixel's kernels": (
        Choice([256 * 9, 128 * 9, 64 * 9, 32 * 9], "section 3.3: K is C x N^2 x H x W"),
        lambda net: [block(net, level).kernels.out_channels for level in range(4)],
    ),
    "convolution that gives the kernels": (
        Choice((1, 1), f"{OPEN}section 3.2 says Conv; F_KPB has seen its neighbors already"),
        lambda net: block(net).kernels.kernel_size,
    ),
    "convolution of a block": (
        Choice(
            ["Conv2d", "BatchNorm2d", "ELU"],
            f"{OPEN}section 3.2 does not say what follows the fusion",
        ),
        lambda net: kinds(block(net).block),
    ),
    "kernels at the start": (
        Choice([0, 0, 0, 0, 1, 0, 0, 0, 0], f"{OPEN}near the identity, so that training starts from the plain U-Net"),
        lambda net: block(net).kernels.bias[:9].tolist(),  # type: ignore[index]
    ),
    "convolution of an attention vector": (
        Choice((3, 3), "section 3.2, before Eq. 2: 3x3 convolutions"),
        lambda net: scf(net).describe_encoded.conv.kernel_size,
    ),
    "MLP of an attention vector": (
        Choice(["ELU", "Linear", "ELU", "Linear"], f"{OPEN}an MLP of no stated size, after the mean over the picture"),
        lambda net: kinds(scf(net).describe_encoded.perceptron),
    ),
    "N x N convolutions with splitting": (
        Choice((8 * 8, 2 * 256), f"{OPEN}a kernel as large as A gives 2 C_l numbers, split in two"),
        lambda net: (scf(net).correlate.in_features, scf(net).correlate.out_features),
    ),
    "b is learned": (Choice(True, "Eq. 3"), lambda net: scf(net).balance.requires_grad),
    "b at the start": (
        Choice(pytest.approx(0.1), f"{OPEN}small, so that the vectors themselves decide first"),
        lambda net: scf(net).balance.item(),
    ),
    "convolutions of Eq. 4": (
        Choice((1, 1), f"{OPEN}they only have to bring both features to C_l channels"),
        lambda net: scf(net).convert_encoded.kernel_size,
    ),
    "position encoding of LRE": (
        Choice(256, f"{OPEN}a depthwise 3x3 convolution serves every picture size; none is stated"),
        lambda net: lre(net).position.groups,
    ),
    "a layer of LRE": (
        Choice(
            ["LayerNorm", "Linear", "Linear", "LayerNorm", "Linear", "GELU", "Linear"],
            "section 3.2: transformer layers, multi-head attention; that the norms come first is our choice",
        ),
        lambda net: kinds(lre(net).layers[0]),
    ),
    "MLP of LRE": (
        Choice(2, f"{OPEN}not stated; twice the channels rather than the usual four times saves arithmetic"),
        lambda net: lre(net).layers[0].perceptron[1].out_features // 256,  # type: ignore[index,union-attr]
    ),
    "post-convolution of LRE": (
        Choice((3, 3), f"{OPEN}section 3.2 says post-convolution and no size"),
        lambda net: lre(net).post.kernel_size,
    ),
}


@pytest.mark.parametrize("part", STRUCTURE)
def test_every_part_is_the_papers_or_named_as_ours(part: str, net: GKNet) -> None:
    (value, source), find = STRUCTURE[part]
    assert find(net) == value
    assert source.startswith((OPEN, "section", "Eq."))


# ---- Table 4

ADDED = {"+KPB": "kernel_prediction", "+LRE": "long_distance_reference", "+SCF": "selective_correlation"}


@pytest.mark.parametrize("name", ["gknet", "gknet-residual", "gknet-s"])
def test_a_row_of_table_4_differs_from_the_one_before_in_the_named_part_alone(name: str) -> None:
    rows = ablations(preset(name))
    assert list(rows) == ["baseline", *ADDED]
    assert not any(getattr(rows["baseline"], part) for part in ADDED.values())
    for (_, before), (row, config) in zip(list(rows.items())[:-1], list(rows.items())[1:], strict=True):
        changed = {key for key, value in config.to_dict().items() if value != before.to_dict()[key]}
        assert changed == {ADDED[row]}
    assert rows["+SCF"] == preset(name)


def test_rows_of_table_4_share_all_tensors_but_those_of_the_named_part() -> None:
    shapes: list[dict[str, torch.Size]] = [
        {name: tensor.shape for name, tensor in GKNet(config).state_dict().items()}
        for config in ablations(preset("gknet")).values()
    ]
    baseline, kpb, lre, scf = shapes
    assert all(name.startswith("kernels.blocks.") for name in kpb.keys() - baseline.keys())
    assert baseline.items() < kpb.items()
    assert all(name.startswith("kernels.reference.") for name in lre.keys() - kpb.keys())
    assert kpb.items() < lre.items()
    assert all(".fuse." in name for name, _ in lre.items() ^ scf.items())
    assert lre.items() - scf.items()  # concatenation made way
    assert scf.items() - lre.items()
