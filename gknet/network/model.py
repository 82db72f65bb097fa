"""GKNet: a U-Net whose decoder is modulated by kernels predicted from the whole scene (ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.network.attention import SpatialSeparatedAttention
from gknet.network.blocks import ConvBlock, upsample_like
from gknet.network.config import GKNetConfig
from gknet.network.extensions.color_statistics import LENGTH, compute_color_statistics
from gknet.network.extensions.global_head import GlobalHead, RecognitionHead, apply_color_matrix
from gknet.network.extensions.recognition import Recognition, RecognizedFeatures
from gknet.network.extensions.surroundings import weigh_surroundings
from gknet.network.extensions.variants import VariantHead
from gknet.network.kernel_prediction import KernelPrediction, make_fusion
from gknet.network.long_distance_reference import LongDistanceReference
from gknet.network.modulation import Modulation


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
    """The harmony kernel prediction branch (section 3.2): LRE, and one KPB per level, deepest first.

    The decoder calls the blocks one by one, so that a level's kernels are freed before the next ones are predicted.
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
                make_fusion(
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


class Decoder(nn.Module):
    """The U-Net's decoder with the harmony kernel modulation branch (section 3.3).

    features: F_E, deepest first; of all levels, or of the deeper ones only.   mask: (B, 1, H, W) at the shallowest
    level's size.   kernels: None for the baseline.   reference: F_LR.
    Returns, for the last of these levels, the modulated feature F_D (B, C, H_l, W_l) and F_KPB (B, C, H_l, W_l).
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
        self, features: list[Tensor], mask: Tensor, kernels: HarmonyKernels | None, reference: Tensor
    ) -> tuple[Tensor, Tensor]:
        decoded: Tensor | None = None
        deeper = reference
        for level, encoded in enumerate(features):
            merged = self.join_levels(encoded, decoded, level)
            # In the feature's own precision: a float32 mask would convert autocast's bfloat16 features to float32.
            level_mask = F.adaptive_avg_pool2d(mask, (encoded.shape[2], encoded.shape[3])).to(encoded.dtype)
            decoded = self.attention[level](merged, level_mask)
            if kernels is not None:
                decoded, deeper = self.modulation(decoded, kernels.blocks[level], encoded, deeper)
        assert decoded is not None
        return decoded, deeper

    def join_levels(self, encoded: Tensor, deeper: Tensor | None, level: int) -> Tensor:
        """Return (B, C, H, W): a level's encoder feature joined with the decoder feature of the level below, if any."""
        joined = encoded if deeper is None else torch.cat([encoded, upsample_like(deeper, encoded)], dim=1)
        merged: Tensor = self.merge[level](joined)
        return merged


class GKNet(nn.Module):
    """The whole network.

    net(composite, mask): (B, 3, H, W) sRGB in [0, 1], (B, 1, H, W) in [0, 1] with 1 = foreground
    -> (B, 3, H, W), equal to the composite bit for bit wherever the mask is 0; elsewhere in about [0, 1],
    not clamped. H and W must be multiples of `config.multiple`; ValueError otherwise.
    recognized: features of the same pictures from `Recognition`, if already computed; otherwise the network computes
    them.

    `gknet.network.weights.build` returns an untrained network, `gknet.network.weights.load` a trained one, and
    `gknet.network.inference.InferenceNetwork` a faster copy.
    Source: Shen et al., "Learning Global-aware Kernel for Image Harmonization", ICCV 2023. The affine head, the
    residual path of the modulation, the global head, recognition and variants are not in the paper (`GKNetConfig`).
    """

    def __init__(self, config: GKNetConfig) -> None:
        if not isinstance(config, GKNetConfig):
            raise TypeError(f"config must be a GKNetConfig, not {type(config).__qualname__}. Choose one: gknet.preset.")
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
        # Trained apart from the network, whose answer does not depend on it (`training.heads.variants`).
        self.variant_head = VariantHead(config.variants).requires_grad_(False) if config.variants > 1 else None

    def forward(self, composite: Tensor, mask: Tensor, *, recognized: RecognizedFeatures | None = None) -> Tensor:
        features, small_mask = self.encode(composite, mask)
        reference = self.reference(features[0])
        decoded, _ = self.decoder(features, small_mask, self.kernels, reference)  # (B, c, H/s, W/s)
        matrix = self.predict_color_matrix(composite, mask, reference, recognized)
        return composite + self.compute_change(composite, mask, decoded, matrix)

    def encode(self, composite: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return F_E of every level, deepest first, and the mask at the shallowest level's size (B, 1, H/s, W/s).

        Raises ValueError for mismatched sizes.
        """
        self._check(composite, mask)
        entry = torch.cat([composite, mask], dim=1)  # (B, 4, H, W)
        if self.config.stem > 1:
            entry = F.pixel_unshuffle(entry, self.config.stem)  # (B, 4*s*s, H/s, W/s)
        return self.encoder(entry)[::-1], F.avg_pool2d(mask, self.config.stem)

    def reference(self, deepest: Tensor) -> Tensor:
        """Return F_LR (B, 8c, h, w) from the deepest F_E; without LRE, the deepest F_E itself."""
        if self.kernels is None:
            return deepest
        reference: Tensor = self.kernels.reference(deepest)
        return reference

    def predict_color_matrix(
        self, composite: Tensor, mask: Tensor, reference: Tensor, recognized: RecognizedFeatures | None = None
    ) -> Tensor | None:
        """Return the foreground's color matrix (B, 3, 4), for `apply_color_matrix`; None without a global head.

        composite, mask, recognized: as in `forward`.   reference: F_LR (B, 8c, h, w).
        """
        if self.global_head is None:
            return None
        if self.recognition is None or self.recognition_head is None:
            matrix: Tensor = self.global_head(compute_color_statistics(composite, mask), mask, reference)
            return matrix
        recognized = recognized or self.recognition(composite, mask)
        surroundings, cosine = weigh_surroundings(mask, recognized.middle)
        statistics = compute_color_statistics(composite, mask, surroundings)
        matrix = self.global_head(statistics[:, :LENGTH], mask, reference)
        addition: Tensor = self.recognition_head(torch.cat([statistics, cosine], dim=1), mask, recognized.deep)
        return matrix + addition

    def compute_change(self, composite: Tensor, mask: Tensor, decoded: Tensor, matrix: Tensor | None) -> Tensor:
        """Return the change (B, 3, H, W) to be added to the composite. The arguments may be a part of the picture.

        Composite + change is the paper's I M + (1 - M) I_c, written so that a zero mask or an unchanged picture gives
        I_c bit for bit.   decoded: the decoder's feature (B, c, H/s, W/s).   matrix: from `predict_color_matrix`.
        """
        return mask * (self._predict_picture(composite, decoded, matrix) - composite)

    def _predict_picture(self, composite: Tensor, decoded: Tensor, matrix: Tensor | None) -> Tensor:
        """Return phi_D of the paper's output: the harmonized colors before blending (B, 3, H, W)."""
        answer: Tensor = self.head(decoded)  # (B, 6 or 3, H/s, W/s)
        if self.config.head == "rgb":
            return upsample_like(answer, composite)
        gain, bias = upsample_like(self.config.head_scale * answer, composite).chunk(2, dim=1)
        if matrix is not None:
            composite = composite + apply_color_matrix(matrix, composite)
        return composite * gain.exp() + bias

    def _check(self, composite: Tensor, mask: Tensor) -> None:
        batch, channels, height, width = composite.shape
        if channels != 3 or mask.shape != (batch, 1, height, width):
            raise ValueError(f"Composite {tuple(composite.shape)} and mask {tuple(mask.shape)} do not match.")
        if height % self.config.multiple or width % self.config.multiple:
            raise ValueError(f"Height and width must be multiples of {self.config.multiple}, got {height}x{width}.")
