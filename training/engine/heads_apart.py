"""Train one recognition head as several independent heads side by side.

Independently trained heads make different errors, so their mean has a smaller error. `training.research.mean_of_heads`
joins such heads into one. Trained as a single head, the parts would co-adapt and overfit to the training photographs
like any wide head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gknet.network.extensions.global_head import RecognitionHead


def separate_heads(head: RecognitionHead, heads: int) -> None:
    """Train `heads` parts of the head independently from now on.

    Each composite trains one part, drawn at random, and no gradient passes between parts. A part owns an equal share of
    the bottlenecks and of both hidden layers. Existing weights between parts stay unchanged. Raises ValueError if the
    layers can't be divided evenly.
    """
    for layer in (_last_layer(head.colours), _last_layer(head.things), head.hidden):
        layer.weight.register_hook(_BlockMask(layer.weight, heads))  # type: ignore[no-untyped-call]
    if head.matrix.in_features % heads:
        raise ValueError(f"{head.matrix.in_features} hidden units can't be divided among {heads} heads")
    head.matrix.register_forward_pre_hook(_HeadDropout(heads))


def _last_layer(layers: nn.Sequential) -> nn.Linear:
    layer = layers[-1]
    assert isinstance(layer, nn.Linear)
    return layer


class _BlockMask:
    """A gradient hook that keeps only the blocks of a weight (out, in) that lie within one head."""

    def __init__(self, weight: Tensor, heads: int) -> None:
        rows, columns = weight.shape
        if rows % heads or columns % heads:
            raise ValueError(f"a layer of {rows} x {columns} can't be divided among {heads} heads")
        block = weight.new_ones(rows // heads, columns // heads)
        self.blocks: Tensor = torch.block_diag(*[block] * heads)  # type: ignore[no-untyped-call]

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient * self.blocks


class _HeadDropout:
    """A dropout over whole heads in training: it keeps one head's hidden units (B, units) per composite.

    The kept units are scaled up so that the expected value stays the same.
    """

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        if not layer.training:
            return None
        (hidden,) = inputs
        drawn = torch.randint(self.heads, (len(hidden), 1), device=hidden.device)
        chosen = drawn == torch.arange(self.heads, device=hidden.device)  # (B, heads)
        shared = hidden.view(len(hidden), self.heads, -1) * (self.heads * chosen)[:, :, None]
        return (shared.flatten(1),)
