"""Recording of the network's intermediate results on one picture, by hooks in an ordinary pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gknet.network.inference import InferenceNetwork
from gknet.network.long_distance_reference import TransformerLayer
from gknet.network.modulation import Modulation
from gknet.network.selective_correlation import SelectiveCorrelationFusion


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """One transformer layer of LRE and its input tokens (T, C)."""

    layer: TransformerLayer
    tokens: Tensor

    @torch.inference_mode()
    def compute_shares(self, token: int) -> np.ndarray:
        """Return (heads, T) float32: the attention of one token to all tokens; each head's sums to 1."""
        return _to_array(self.layer.compute_attention(self.tokens[None], token))


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """One SCF: both inputs' features, Conv(F_E) and Conv(F_KPB) of Eq. 4, and their channel weights S of Eq. 3.

    encoded: (C, H, W), deeper: (C, H', W') float32.   encoded_weights, deeper_weights: (C,) float32 in [0, 1].
    """

    encoded: np.ndarray
    deeper: np.ndarray
    encoded_weights: np.ndarray
    deeper_weights: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class KernelField:
    """One level's kernels (Eq. 1) and the effect of the modulation (Eq. 6) on the decoder's feature.

    before, after: (C, H, W) float32, the feature.   residual: whether `after` contains `before` as well as the kernels'
    sum. `predictor` (C, H, W) and `prediction`, the convolution that turns it into kernels, represent the kernels,
    which have N*N times as many numbers.
    """

    before: np.ndarray
    after: np.ndarray
    residual: bool
    predictor: Tensor
    prediction: nn.Conv2d

    @torch.inference_mode()
    def compute_kernels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the kernels of n pixels, given by their indices in H*W, per channel: (n, C, N, N) float32.

        They are oriented like the picture: [..., N // 2 + dy, N // 2 + dx] is the weight of the neighbor at (dy, dx).
        """
        chosen = self.predictor.flatten(1)[:, torch.from_numpy(pixels).to(self.predictor.device)]  # (C, n)
        kernels = self.prediction(chosen[None, :, :, None])[0, :, :, 0]  # (C*N*N, n)
        size = round((len(kernels) / len(self.before)) ** 0.5)
        # Eq. 6 indexes a neighbor by the offset from it to the pixel.
        return _to_array(kernels.T.reshape(1, len(pixels), -1, size, size).flip(3, 4))


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """The recording of one pass. Attention layers in order, levels deepest first; parts that a network lacks are empty.

    composite, harmonized: (H, W, 3) float32 sRGB; mask: (H, W) float32 in [0, 1]: the network's input and output.
    grid: rows and columns of the tokens, each of which represents a square of the composite.
    """

    composite: np.ndarray
    mask: np.ndarray
    harmonized: np.ndarray
    grid: tuple[int, int]
    attention: list[Attention]
    fusions: list[Fusion]
    kernels: list[KernelField]

    def measure_object(self, rows: int, columns: int) -> np.ndarray:
        """Return (rows, columns): the share of the object in each cell of a grid over the picture, 0 to 1."""
        height, width = self.mask.shape
        cells = self.mask.reshape(rows, height // rows, columns, width // columns)
        return np.asarray(cells.mean(axis=(1, 3)))


@contextmanager
def capture_inputs(net: InferenceNetwork) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Yield a list that collects composite (1, 3, H, W) and mask (1, 1, H, W) of every pass within the block."""
    heard: list[tuple[Tensor, Tensor]] = []
    handle = net.register_forward_pre_hook(lambda _net, given: heard.append((given[0], given[1])))
    try:
        yield heard
    finally:
        handle.remove()


@torch.inference_mode()
def record(net: InferenceNetwork, composite: Tensor, mask: Tensor) -> Record:
    """Run net(composite, mask) on a composite (1, 3, H, W) and its mask (1, 1, H, W), and return the recording.

    The last level is computed over the whole picture, which changes the result only by rounding.
    """
    attention: list[Attention] = []
    fusions: list[Fusion] = []
    kernels: list[KernelField] = []
    handles = list(_register_hooks(net, attention, fusions, kernels))
    try:
        harmonized = net(composite, mask, whole=True)
    finally:
        for handle in handles:
            handle.remove()
    return Record(
        composite=np.ascontiguousarray(_to_array(composite).transpose(1, 2, 0)),
        mask=_to_array(mask)[0],
        harmonized=np.ascontiguousarray(_to_array(harmonized).transpose(1, 2, 0)),
        grid=(composite.shape[2] // net.config.multiple, composite.shape[3] // net.config.multiple),
        attention=attention,
        fusions=fusions,
        kernels=kernels,
    )


def _register_hooks(
    net: InferenceNetwork, attention: list[Attention], fusions: list[Fusion], kernels: list[KernelField]
) -> Iterator[RemovableHandle]:
    for module in net.modules():
        if isinstance(module, TransformerLayer):
            yield module.register_forward_hook(partial(_record_attention, attention))
        elif isinstance(module, SelectiveCorrelationFusion):
            yield module.register_forward_hook(partial(_record_fusion, fusions))
        elif isinstance(module, Modulation):
            yield module.register_forward_hook(partial(_record_modulation, kernels))


def _record_attention(heard: list[Attention], layer: TransformerLayer, given: Any, _result: Tensor) -> None:
    heard.append(Attention(layer, given[0][0]))


def _record_fusion(heard: list[Fusion], fusion: SelectiveCorrelationFusion, given: Any, _result: Tensor) -> None:
    encoded, deeper = given[:2]
    encoded_weights, deeper_weights = fusion.compute_channel_weights(encoded, deeper)
    encoded, deeper = fusion.convert_encoded(encoded), fusion.convert_deeper(deeper)
    heard.append(Fusion(*map(_to_array, (encoded, deeper, encoded_weights, deeper_weights))))


def _record_modulation(
    heard: list[KernelField], modulation: Modulation, given: Any, result: tuple[Tensor, Tensor]
) -> None:
    feature, block = given[:2]
    modulated, predictor = result
    heard.append(
        KernelField(_to_array(feature), _to_array(modulated), modulation.residual, predictor[0], block.kernels)
    )


def _to_array(batch: Tensor) -> np.ndarray:
    """Return the only member of a batch."""
    return batch[0].float().cpu().numpy()
