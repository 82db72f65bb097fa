"""GKNet: a U-Net whose decoder is modulated by kernels predicted from the whole scene (ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.network.attention import SpatialSeparatedAttention
from gknet.network.blocks import ConvBlock, upsample_like
from gknet.network.config import GKNetConfig
from gknet.network.extensions.color_statistics import LENGTH, color_statistics
from gknet.network.extensions.global_head import GlobalHead, RecognitionHead, colour_change
from gknet.network.extensions.recognition import Recognition, Recognized
from gknet.network.extensions.surroundings import surroundings
from gknet.network.kernel_prediction import KernelPrediction, fusion
from gknet.network.long_distance_reference import LongDistanceReference
from gknet.network.modulation import Modulation
from gknet.network.window import Window


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


def restrained(change: Tensor, composite: Tensor, mask: Tensor, restraint: float) -> Tensor:
    """Of a change of the foreground (B, 3, H, W), as much as `GKNetConfig.restraint` allows: s^6 / (s^6 + r^6).

    composite: (B, 3, H, W) in [0, 1].   mask: (B, 1, H, W), which the change has in it.
    s: root mean square of the change over a picture's foreground.   r: restraint times the root of the foreground's
    mean value, for the darker an object is, the better a change is seen in it.
    """
    if restraint == 0:
        return change
    weight = mask.float()
    # A black foreground's r is 0, an empty one's s: neither may divide by nothing.
    square = change.float().square().sum(dim=(1, 2, 3)) / (3 * weight.square().sum(dim=(1, 2, 3))).clamp_min(1e-12)
    light = (composite.float() * weight).sum(dim=(1, 2, 3)) / (3 * weight.sum(dim=(1, 2, 3))).clamp_min(1e-12)  # (B,)
    share = square**3 / (square**3 + (restraint**2 * light.clamp_min(0)) ** 3).clamp_min(1e-30)
    return change * share.to(change.dtype)[:, None, None, None]


class GKNet(nn.Module):
    """The whole network.

    net(composite, mask): (B, 3, H, W) sRGB in [0, 1], (B, 1, H, W) in [0, 1] with 1 = foreground
    -> (B, 3, H, W), equal to the composite bit for bit wherever the mask is 0; elsewhere in about [0, 1],
    not clamped. H and W are multiples of `config.multiple`; ValueError otherwise.
    whole: works the last level out all over the picture rather than around the foreground alone, for those who look
    at what happens on the way; the result is the same but for rounding.
    recognized: what `Recognition` saw in the same pictures, for those who know it already; else it looks at them.
    Source: Shen et al., "Learning Global-aware Kernel for Image Harmonization", ICCV 2023; the affine head,
    the residual path of the modulation, the global head, recognition and the restraint are ours (`GKNetConfig`).
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
        self.recognition = Recognition() if config.recognition else None
        self.recognition_head = (
            RecognitionHead(
                config.recognition_head_bottlenecks, config.recognition_head_widths, config.global_head_scale
            )
            if config.recognition
            else None
        )

    def forward(
        self, composite: Tensor, mask: Tensor, *, whole: bool = False, recognized: Recognized | None = None
    ) -> Tensor:
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
        matrix = self.colour_matrix(composite, mask, reference, recognized)
        if window is None:
            return self._blended(composite, mask, decoded, matrix)
        result = composite.clone()
        part = window.cut(result)
        part.copy_(self._blended(window.cut(composite), window.cut(mask), decoded, matrix))
        return result

    def colour_matrix(
        self, composite: Tensor, mask: Tensor, reference: Tensor, recognized: Recognized | None = None
    ) -> Tensor | None:
        """The whole foreground's colour matrix (B, 3, 4), for `colour_change`; None for a network without global head.

        composite, mask, recognized: as `forward`.   reference: F_LR (B, 8c, h, w).
        """
        if self.global_head is None:
            return None
        if self.recognition is None or self.recognition_head is None:
            known: Tensor = self.global_head(color_statistics(composite, mask), mask, reference)
            return known
        recognized = recognized or self.recognition(composite, mask)
        near_and_alike, cosine = surroundings(mask, recognized.places)
        statistics = color_statistics(composite, mask, near_and_alike)
        known = self.global_head(statistics[:, :LENGTH], mask, reference)
        told: Tensor = self.recognition_head(torch.cat([statistics, cosine], dim=1), mask, recognized.things)
        return known + told

    def _blended(self, composite: Tensor, mask: Tensor, decoded: Tensor, matrix: Tensor | None) -> Tensor:
        """I M + (1 - M) I_c, written so that M = 0 and an unchanged picture give I_c to the bit."""
        return self.changed(composite, mask, mask * (self._picture(composite, decoded, matrix) - composite))

    def changed(self, composite: Tensor, mask: Tensor, change: Tensor) -> Tensor:
        """The composite with a change that has the mask in it: in use what the restraint allows, in training all of it.

        Arguments as `restrained`.
        """
        if self.training:
            return composite + change
        return composite + restrained(change, composite, mask, self.config.restraint)

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
