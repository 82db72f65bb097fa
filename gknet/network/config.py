"""What a network is made of: one frozen record and the named presets.

The record is stored in a weight file's metadata, so that a file rebuilds its own network.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from gknet.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class GKNetConfig:
    """Sizes and switches of GKNet. The defaults are the paper's network (Shen et al., ICCV 2023).

    tests/gknet/network/test_paper_preset.py says for every field what the paper states about it.
    Raises InputError, naming the field, for a combination that cannot be built.
    """

    width: int = 32
    """Channels c of the shallowest level; the four levels have c, 2c, 4c and 8c."""
    stem: int = 1
    """Pixel-unshuffle factor before the first convolution; 1 works at full resolution, as the paper does."""
    kernel_prediction: bool = True
    """KPB, section 3.2: predict kernels and modulate decoder features with them. Off: the U-Net baseline."""
    long_distance_reference: bool = True
    """LRE, section 3.2. Off: F_LR is the deepest encoder feature itself."""
    selective_correlation: bool = True
    """SCF, Eq. 2-4. Off: features are fused by concatenation and a convolution."""
    kernel_size: int = 3
    """N of Eq. 5-6, odd."""
    reference_layers: int = 2
    """Transformer layers in LRE."""
    reference_heads: int = 8
    """Attention heads in LRE."""
    correlation_groups: int = 8
    """n of Eq. 2: the channel weights are split into n groups before they are correlated."""
    residual_modulation: bool = False
    """Adds the feature itself to Eq. 6's sum, so that zero kernels change nothing. Ours."""
    head: Literal["affine", "rgb"] = "rgb"
    """"rgb": the decoder's own picture (section 3.3). "affine", ours: a gain and a bias a pixel, the identity when
    untrained."""
    head_scale: float = 0.05
    """Factor on the affine head's output; Adam moves a zero-initialised last layer too fast without it."""
    global_head: bool = False
    """Adds one 3x4 colour matrix a picture, from the deepest feature and colour statistics of both regions. Ours; needs
    the affine head."""
    global_head_scale: float = 0.3
    """Factor on the colour matrix, for the same reason as head_scale."""
    global_head_widths: tuple[int, int] = (448, 256)
    """Hidden widths of the global head."""
    recognition: bool = False
    """Adds to the global head's matrix another, from what a frozen EfficientNet-Lite0 recognizes in the picture."""
    recognition_head_bottlenecks: tuple[int, int] = (256, 64)
    """How many numbers are made of the colours, and of what is recognized, before that matrix is made of them."""
    recognition_head_widths: tuple[int, int] = (1024, 512)
    """Hidden widths of the recognition head."""
    restraint: float = 0.0
    """Shrinkage of small changes at inference, not in training: `gknet.network.inference.restrained`. The root mean
    square change of a white foreground, values in [0, 1], of which half is made. 0: every change is made whole."""
    network_size: int = 256
    """Long side of what the network is shown of a picture unless somebody asks for another, pixels."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.stem < 1:
            raise InputError(f"width is {self.width} and stem is {self.stem}.", "Both must be at least 1.")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise InputError(f"kernel_size is {self.kernel_size}.", "It must be odd and at least 1.")
        if self.width % self.correlation_groups:
            raise InputError(
                f"correlation_groups is {self.correlation_groups}.", f"It must divide the width, {self.width}."
            )
        if 8 * self.width % self.reference_heads:
            raise InputError(
                f"reference_heads is {self.reference_heads}.", f"It must divide 8 x width, {8 * self.width}."
            )
        if not 0 <= self.restraint < 1:
            raise InputError(f"restraint is {self.restraint}.", "It must be at least 0 and below 1.")
        if self.head not in ("affine", "rgb"):
            raise InputError(f"head is {self.head!r}.", "It must be 'affine' or 'rgb'.")
        if self.global_head and self.head != "affine":
            raise InputError("global_head needs the affine head.", "Set head to 'affine'.")
        if not 64 <= self.network_size <= 1024:
            raise InputError(f"network_size is {self.network_size}.", "It must be from 64 to 1024.")
        if self.recognition and not self.global_head:
            raise InputError("recognition needs global_head.", "Set both, or neither.")
        if not self.kernel_prediction and (self.long_distance_reference or self.selective_correlation):
            raise InputError(
                "long_distance_reference and selective_correlation need kernel_prediction.",
                "Set kernel_prediction too.",
            )

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the four levels, shallowest first."""
        return (self.width, 2 * self.width, 4 * self.width, 8 * self.width)

    @property
    def multiple(self) -> int:
        """Height and width of the network's input must be multiples of this."""
        return 8 * self.stem

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GKNetConfig:
        """The record that `to_dict` described. Raises InputError for a field this version does not know."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(f"Unknown network settings: {', '.join(unknown)}.", "Update GKNet Harmonize.")
        # Files from before this field: all networks were shown 384.
        plain = {"network_size": 384, **values}
        for name in ("global_head_widths", "recognition_head_bottlenecks", "recognition_head_widths"):
            if name in plain:
                first, second = plain[name]
                plain[name] = (int(first), int(second))
        return cls(**plain)


_RESIDUAL = GKNetConfig(residual_modulation=True, head="affine", network_size=384)

PRESETS: dict[str, GKNetConfig] = {
    # The paper's network.
    "gknet": GKNetConfig(),
    # The paper's size; starts as the identity and says what to do with the composite's colours, not what they become.
    "gknet-residual": _RESIDUAL,
    # The same blocks and recognition at a twelfth of the arithmetic, for a CPU; small changes are mostly error. It
    # learns at 256 and does better when shown more: docs/research-log.md has the figures.
    "gknet-s": replace(_RESIDUAL, width=16, stem=2, global_head=True, recognition=True, restraint=18 / 255),
}


def preset(name: str) -> GKNetConfig:
    """The named network's settings, one of `PRESETS`. Raises InputError for another name."""
    try:
        return PRESETS[name]
    except KeyError:
        raise InputError(f"There is no preset {name!r}.", f"Choose one of: {', '.join(PRESETS)}.") from None


def ablations(full: GKNetConfig) -> dict[str, GKNetConfig]:
    """The four rows of the paper's Table 4 for a network, each adding one part to the row before."""
    baseline = replace(full, kernel_prediction=False, long_distance_reference=False, selective_correlation=False)
    kpb = replace(baseline, kernel_prediction=True)
    lre = replace(kpb, long_distance_reference=True)
    return {"baseline": baseline, "+KPB": kpb, "+LRE": lre, "+SCF": replace(lre, selective_correlation=True)}
