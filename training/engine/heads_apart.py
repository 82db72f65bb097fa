"""A recognition head trained as several side by side that know nothing of each other.

Heads that were trained apart err apart, so that their mean errs less (`training.research.mean_of_heads` has made one
head of them). Trained on as one they would lean on each other, and learn photographs by heart as one wide head does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gknet.network.extensions.global_head import RecognitionHead


def separate_heads(head: RecognitionHead, heads: int) -> None:
    """From now on each composite teaches one of the head's parts, drawn at random, and nothing passes between them.

    A part has its own share of the bottlenecks and of both hidden layers. What one knows of another already stays as it
    is. Raises ValueError if the head can't be shared out so.
    """
    for layer in (_last_layer(head.colours), _last_layer(head.things), head.hidden):
        layer.weight.register_hook(_BlockMask(layer.weight, heads))  # type: ignore[no-untyped-call]
    if head.matrix.in_features % heads:
        raise ValueError(f"{head.matrix.in_features} hidden units are not {heads} heads'")
    head.matrix.register_forward_pre_hook(_HeadDropout(heads))


def _last_layer(layers: nn.Sequential) -> nn.Linear:
    layer = layers[-1]
    assert isinstance(layer, nn.Linear)
    return layer


class _BlockMask:
    """Of the gradient of a weight (out, in) what lies within the heads' own blocks."""

    def __init__(self, weight: Tensor, heads: int) -> None:
        rows, columns = weight.shape
        if rows % heads or columns % heads:
            raise ValueError(f"a layer of {rows} x {columns} is not {heads} heads'")
        block = weight.new_ones(rows // heads, columns // heads)
        self.blocks: Tensor = torch.block_diag(*[block] * heads)  # type: ignore[no-untyped-call]

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient * self.blocks


class _HeadDropout:
    """In training, of the last hidden layer (B, units) one head's units a composite, as strong as all would be."""

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
