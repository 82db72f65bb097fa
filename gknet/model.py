"""GKNet: a U-Net whose decoder is modulated by kernels predicted from the whole scene (ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.attention import ConvBlock, SpatialSeparatedAttention
from gknet.color_statistics import LENGTH, color_statistics
from gknet.config import GKNetConfig
from gknet.kernel_prediction import KernelPrediction, fusion
from gknet.long_distance_reference import LongDistanceReference
from gknet.modulation import Modulation
from gknet.selective_correlation import upsample_like
from gknet.window import Window


class Encoder(nn.Module):
    """Four levels of two 3x3 convolutions, each level at half the size of the one before.

    (B, C_in, H, W) -> [F_E of level 4 (B, c, H, W), ..., F_E of level 1 (B, 8c, H/8, W/8)].
    """

    def __init__(self, channels_in: int, widths: Sequence[int]) -> None:
        super().__init__()
        before = [channels_in, *widths]
        self.levels = nn.ModuleList(
            nn.Sequential(ConvBlock(before[level], width, stride=1 if level == 0 else 2), ConvBlock(width, width))
            for level, width in enumerate(widths)
        )

    def forward(self, picture: Tensor) -> list[Tensor]:
        features = []
        for level in self.levels:
            picture = level(picture)
            features.append(picture)
        return features


class HarmonyKernels(nn.Module):
    """The harmony kernel prediction branch (section 3.2): LRE, then a KPB a level, deepest first.

    features: F_E, deepest first.   window: of the last level, what is asked for.   Returns F_LR and what the kernels of
    every level are made of, deepest first: F_KPB and the 1x1 convolution that makes K of it.
    """

    def __init__(self, config: GKNetConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.reference: nn.Module = nn.Identity()
        if config.long_distance_reference:
            self.reference = LongDistanceReference(widths[0], config.reference_layers, config.reference_heads)
        deeper_widths = [widths[0], *widths[:-1]]
        self.blocks = nn.ModuleList(
            KernelPrediction(
                fusion(
                    width,
                    deeper,
                    selective=config.selective_correlation,
                    groups=config.correlation_groups,
                ),
                width,
                config.kernel_size,
                config.residual_modulation,
            )
            for width, deeper in zip(widths, deeper_widths, strict=True)
        )

    def forward(self, features: list[Tensor], window: Window | None) -> tuple[Tensor, list[tuple[Tensor, nn.Conv2d]]]:
        reference: Tensor = self.reference(features[0])
        deeper, kernels = reference, []
        for block, feature in zip(self.blocks, features, strict=True):
            assert isinstance(block, KernelPrediction)
            deeper = block(feature, deeper, window if feature is features[-1] else None)
            kernels.append((deeper, block.kernels))
        return reference, kernels


class Decoder(nn.Module):
    """The U-Net's way up with the harmony kernel modulation branch (section 3.3).

    features: F_E, deepest first.   mask: (B, 1, H, W) at the shallowest level's size.   kernels: as
    HarmonyKernels returns them, or none at all (the baseline).   window: of the last level, what is asked for.
    Returns (B, c, H, W), or the window's part of it.
    """

    def __init__(self, widths: Sequence[int], residual: bool) -> None:
        super().__init__()
        self.modulation = Modulation(residual)
        deepest_first = widths[::-1]
        before = [0, *deepest_first[:-1]]
        self.merge = nn.ModuleList(
            ConvBlock(width + deeper, width) for width, deeper in zip(deepest_first, before, strict=True)
        )
        self.attention = nn.ModuleList(SpatialSeparatedAttention(width) for width in deepest_first)

    def forward(
        self, features: list[Tensor], mask: Tensor, kernels: list[tuple[Tensor, nn.Conv2d]], window: Window | None
    ) -> Tensor:
        decoded: Tensor | None = None
        for level, skip in enumerate(features):
            joined = skip if decoded is None else torch.cat([skip, upsample_like(decoded, skip)], dim=1)
            # In the feature's own precision: a float32 mask would make autocast's bfloat16 features float32 again.
            level_mask = F.adaptive_avg_pool2d(mask, (skip.shape[2], skip.shape[3])).to(skip.dtype)
            here = window if skip is features[-1] else None
            decoded = self.attention[level](self.merge[level](joined), level_mask, here)
            if kernels:
                decoded = self.modulation(decoded, *kernels[level])
        assert decoded is not None
        return decoded


class GlobalHead(nn.Module):
    """One 3x4 colour matrix a picture, from the deepest feature and `color_statistics` of both regions.

    composite: (B, 3, H, W).   mask: (B, 1, H, W).   reference: F_LR (B, C, h, w).   Returns (B, 3, 4), for
    `colour_change`. Zero when untrained.
    """

    def __init__(self, channels: int, widths: tuple[int, int], scale: float) -> None:
        super().__init__()
        self.scale = scale
        first, second = widths
        self.statistics = nn.Linear(LENGTH, first)
        self.regions = nn.Linear(2 * channels, first, bias=False)
        self.hidden = nn.Linear(first, second)
        self.matrix = nn.Linear(second, 12)
        for layer in (self.regions, self.matrix):
            # The regions at zero let training start from a head that knows the statistics alone.
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, composite: Tensor, mask: Tensor, reference: Tensor) -> Tensor:
        statistics = color_statistics(composite, mask).to(reference.dtype)  # (B, LENGTH)
        small_mask = F.adaptive_avg_pool2d(mask, (reference.shape[2], reference.shape[3]))
        inside = _region_mean(reference, small_mask)  # (B, C)
        outside = _region_mean(reference, 1 - small_mask)  # (B, C)
        hidden = self.statistics(statistics) + self.regions(torch.cat([inside, outside], dim=1))
        hidden = self.hidden(F.elu(hidden))
        matrix: Tensor = self.scale * self.matrix(F.elu(hidden)).view(-1, 3, 4)
        return matrix


def colour_change(matrix: Tensor, composite: Tensor) -> Tensor:
    """What a `GlobalHead`'s matrix (B, 3, 4) adds to a composite (B, 3, H, W): (B, 3, H, W)."""
    # A sum rather than a matrix product, which autocast would round to bfloat16.
    change = (matrix[:, :, :3, None, None] * composite[:, None]).sum(dim=2)
    return change + matrix[:, :, 3, None, None]


def restrained(change: Tensor, mask: Tensor, restraint: float) -> Tensor:
    """Of a change (B, 3, H, W) of the foreground, as much as `GKNetConfig.restraint` allows: s^4 / (s^4 + restraint^4).

    mask: (B, 1, H, W), which the change has in it.   s: root mean square of the change over a picture's foreground.
    """
    if restraint == 0:
        return change
    covered = 3 * mask.float().square().sum(dim=(1, 2, 3))
    square = change.float().square().sum(dim=(1, 2, 3)) / covered.clamp_min(1e-12)  # (B,)
    share = square**2 / (square**2 + restraint**4)
    return change * share.to(change.dtype)[:, None, None, None]


def _region_mean(feature: Tensor, weights: Tensor) -> Tensor:
    """(B, C): the feature's mean where the weights (B, 1, h, w) are."""
    return (feature * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3)).clamp_min(1e-4)


class GKNet(nn.Module):
    """The whole network.

    net(composite, mask): (B, 3, H, W) sRGB in [0, 1], (B, 1, H, W) in [0, 1] with 1 = foreground
    -> (B, 3, H, W), equal to the composite bit for bit wherever the mask is 0; elsewhere in about [0, 1],
    not clamped. H and W are multiples of `config.multiple`; ValueError otherwise.
    whole: works the last level out all over the picture rather than around the foreground alone, for those who look
    at what happens on the way; the result is the same but for rounding.
    Source: Shen et al., "Learning Global-aware Kernel for Image Harmonization", ICCV 2023; the affine head,
    the residual path of the modulation, the global head and the restraint are ours (`GKNetConfig`).
    """

    def __init__(self, config: GKNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(4 * config.stem**2, config.widths)
        self.kernels = HarmonyKernels(config) if config.kernel_prediction else None
        self.decoder = Decoder(config.widths, config.residual_modulation)
        self.head = nn.Conv2d(config.width, 6 if config.head == "affine" else 3, 1)
        if config.head == "affine":
            nn.init.zeros_(self.head.weight)
            assert self.head.bias is not None
            nn.init.zeros_(self.head.bias)
        self.global_head = (
            GlobalHead(8 * config.width, config.global_head_widths, config.global_head_scale)
            if config.global_head
            else None
        )

    def forward(self, composite: Tensor, mask: Tensor, *, whole: bool = False) -> Tensor:
        self._check(composite, mask)
        entry = torch.cat([composite, mask], dim=1)  # (B, 4, H, W)
        if self.config.stem > 1:
            entry = F.pixel_unshuffle(entry, self.config.stem)  # (B, 4*s*s, H/s, W/s)
        features = self.encoder(entry)[::-1]  # deepest first
        small_mask = F.avg_pool2d(mask, self.config.stem)  # (B, 1, H/s, W/s)
        # Training's batch norm wants all pixels; a GPU would have to be waited for.
        window = None if whole or self.training or mask.is_cuda else Window.around(small_mask)
        reference: Tensor = features[0]
        kernels: list[tuple[Tensor, nn.Conv2d]] = []
        if self.kernels is not None:
            reference, kernels = self.kernels(features, window)
        decoded = self.decoder(features, small_mask, kernels, window)  # (B, c, H/s, W/s), or the window of it
        matrix = None if self.global_head is None else self.global_head(composite, mask, reference)
        if window is None:
            return self._blended(composite, mask, decoded, matrix)
        result = composite.clone()
        part = window.cut(result)
        part.copy_(self._blended(window.cut(composite), window.cut(mask), decoded, matrix))
        return result

    def _blended(self, composite: Tensor, mask: Tensor, decoded: Tensor, matrix: Tensor | None) -> Tensor:
        """I M + (1 - M) I_c, written so that M = 0 and an unchanged picture give I_c to the bit."""
        change = mask * (self._picture(composite, decoded, matrix) - composite)
        return composite + (change if self.training else restrained(change, mask, self.config.restraint))

    def _picture(self, composite: Tensor, decoded: Tensor, matrix: Tensor | None) -> Tensor:
        """phi_D of the paper's output: the harmonized colours before they are blended in (B, 3, H, W)."""
        answer: Tensor = self.head(decoded)  # (B, 6 or 3, H/s, W/s)
        if self.config.head == "rgb":
            return upsample_like(answer, composite)
        gain, bias = upsample_like(self.config.head_scale * answer, composite).chunk(2, dim=1)
        if matrix is not None:
            composite = composite + colour_change(matrix, composite)
        return composite * gain.exp() + bias

    def _check(self, composite: Tensor, mask: Tensor) -> None:
        batch, channels, height, width = composite.shape
        if channels != 3 or mask.shape != (batch, 1, height, width):
            raise ValueError(f"composite {tuple(composite.shape)} and mask {tuple(mask.shape)} do not fit")
        if height % self.config.multiple or width % self.config.multiple:
            raise ValueError(f"height and width must be multiples of {self.config.multiple}, not {height}x{width}")
