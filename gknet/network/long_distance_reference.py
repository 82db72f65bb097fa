"""Long-distance Reference Extractor, LRE (the paper, section 3.2)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


class TransformerLayer(nn.Module):
    """Pre-norm multi-head self-attention and a two-layer perceptron: (B, T, C) -> (B, T, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(channels)
        # No bias: softmax is invariant to a key's bias, so it could not be learned.
        self.query_key_value = nn.Linear(channels, 3 * channels, bias=False)
        self.project = nn.Linear(channels, channels)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            nn.Linear(2 * channels, channels),
        )

    def compute_attention(self, tokens: Tensor, token: int) -> Tensor:
        """Return the attention (B, heads, T) of one token to all tokens, as in `forward`; each head's sums to 1."""
        query, key, _ = self._project_tokens(tokens)
        likeness = (key @ query[:, :, token, :, None])[..., 0]  # (B, heads, T)
        return (likeness / math.sqrt(query.shape[3])).softmax(dim=2)

    def _project_tokens(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value, each (B, heads, T, C/heads)."""
        batch, count, channels = tokens.shape
        mixed = self.query_key_value(self.attention_norm(tokens))  # (B, T, 3*C)
        mixed = mixed.view(batch, count, 3, self.heads, channels // self.heads)  # (B, T, 3, heads, C/heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        return query, key, value

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, channels = tokens.shape
        query, key, value = self._project_tokens(tokens)
        attended = F.scaled_dot_product_attention(query, key, value)  # (B, heads, T, C/heads)
        attended = attended.transpose(1, 2).reshape(batch, count, channels)  # (B, T, C)
        tokens = tokens + self.project(attended)
        layer: Tensor = tokens + self.perceptron(tokens)
        return layer


class LongDistanceReference(nn.Module):
    """F_LR: every pixel of the deepest encoder feature is a token that attends to all others.

    (B, C, H, W) -> (B, C, H, W), any H and W. Positions are encoded by a depthwise 3x3 convolution instead of a table,
    so that one network serves every size. The paper does not specify an encoding.
    """

    def __init__(self, channels: int, layers: int, heads: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.layers = nn.ModuleList(TransformerLayer(channels, heads) for _ in range(layers))
        self.post = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, deepest: Tensor) -> Tensor:
        batch, channels, height, width = deepest.shape
        placed = deepest + self.position(deepest)
        tokens = placed.flatten(2).transpose(1, 2)  # (B, H*W, C)
        for layer in self.layers:
            tokens = layer(tokens)
        attended = tokens.transpose(1, 2).reshape(batch, channels, height, width)  # (B, C, H, W)
        reference: Tensor = self.post(attended)
        return reference
