"""Network configuration: one frozen record and the named presets.

A weight file stores this record in its metadata, so that the network can be rebuilt from the file alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from gknet.errors import InputError

MAX_VARIANTS = 5
"""What a dialog can show."""
_COUNTS = {
    "width": (1, 512),
    "stem": (1, 8),
    "kernel_size": (1, 31),
    "reference_layers": (1, 64),
    "reference_heads": (1, 512),
    "correlation_groups": (1, 512),
    "network_size": (64, 1024),
    "variants": (1, MAX_VARIANTS),
}
"""Integers, smallest and largest: a file's settings must not make a program ask for endless memory."""
_PAIRS = ("global_head_widths", "recognition_head_bottlenecks", "recognition_head_widths")
_LARGEST_WIDTH = 8192
"""Of a head's hidden layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GKNetConfig:
    """Sizes and switches of GKNet. The defaults are the paper's network (Shen et al., ICCV 2023).

    tests/gknet/network/test_paper_preset.py compares every field with the paper.
    Raises InputError, naming the field, for an invalid combination.
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
    """Adds the feature itself to Eq. 6's sum, so that zero kernels change nothing. Not in the paper."""
    head: Literal["affine", "rgb"] = "rgb"
    """"rgb": the decoder predicts the picture itself (section 3.3). "affine", not in the paper: a gain and a bias per
    pixel, the identity when untrained.
    """
    head_scale: float = 0.05
    """Factor on the affine head's output; without it Adam moves a zero-initialized last layer too fast."""
    global_head: bool = False
    """Adds a 3x4 color matrix per picture, from the deepest feature and color statistics of both regions. Needs the
    affine head. Not in the paper.
    """
    global_head_scale: float = 0.3
    """Factor on the color matrix, for the same reason as head_scale."""
    global_head_widths: tuple[int, int] = (448, 256)
    """Hidden widths of the global head."""
    recognition: bool = False
    """Adds a second color matrix, from features of a frozen EfficientNet-Lite0. Needs the global head."""
    recognition_head_bottlenecks: tuple[int, int] = (256, 64)
    """Widths of the two bottlenecks before that matrix: of the colors, and of the recognized features."""
    recognition_head_widths: tuple[int, int] = (1024, 512)
    """Hidden widths of the recognition head."""
    restraint: float = 0.0
    """Shrinkage of small changes at inference, not in training: `gknet.network.extensions.restraint.restrain_change`.
    The root mean square change of a white foreground, in [0, 1], that is halved. 0: no shrinkage.
    """
    variants: int = 1
    """Answers to choose from, the network's own among them (`gknet.network.extensions.variants`). Not in the paper."""
    network_size: int = 256
    """Default long side of the network's input, pixels."""

    def __post_init__(self) -> None:
        self._check_types()
        if self.kernel_size % 2 == 0:
            raise InputError(f"Invalid kernel_size {self.kernel_size}.", "It must be odd.")
        if self.width % self.correlation_groups:
            raise InputError(
                f"Invalid correlation_groups {self.correlation_groups}.", f"It must divide the width, {self.width}."
            )
        if 8 * self.width % self.reference_heads:
            raise InputError(
                f"Invalid reference_heads {self.reference_heads}.", f"It must divide 8 x width, {8 * self.width}."
            )
        if not 0 <= self.restraint < 1:
            raise InputError(f"Invalid restraint {self.restraint}.", "It must be at least 0 and below 1.")
        if not isinstance(self.head, str) or self.head not in ("affine", "rgb"):
            raise InputError(f"Invalid head {self.head!r}.", "It must be 'affine' or 'rgb'.")
        if self.global_head and self.head != "affine":
            raise InputError("global_head needs the affine head.", "Set head to 'affine'.")
        if self.recognition and not self.global_head:
            raise InputError("recognition needs global_head.", "Set both, or neither.")
        if not self.kernel_prediction and (self.long_distance_reference or self.selective_correlation):
            raise InputError(
                "long_distance_reference and selective_correlation need kernel_prediction.",
                "Set kernel_prediction too.",
            )

    def _check_types(self) -> None:
        """Raise InputError for a value of the wrong type or out of its range."""
        for name, (lowest, highest) in _COUNTS.items():
            value = getattr(self, name)
            if type(value) is not int or not lowest <= value <= highest:
                raise InputError(f"Invalid {name} {value!r}.", f"It must be an integer from {lowest} to {highest}.")
        for name in _PAIRS:
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else ()
            if len(numbers) != 2 or any(type(one) is not int or not 1 <= one <= _LARGEST_WIDTH for one in numbers):
                raise InputError(f"Invalid {name} {value!r}.", f"It must be two integers from 1 to {_LARGEST_WIDTH}.")
        for name in ("head_scale", "global_head_scale", "restraint"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value):
                raise InputError(f"Invalid {name} {value!r}.", "It must be a finite number.")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool" and type(value) is not bool:
                raise InputError(f"Invalid {field.name} {value!r}.", "It must be true or false.")

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the four levels, shallowest first."""
        return (self.width, 2 * self.width, 4 * self.width, 8 * self.width)

    @property
    def multiple(self) -> int:
        """The network's input height and width must be multiples of this."""
        return 8 * self.stem

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GKNetConfig:
        """Create the record from the result of `to_dict`. Raises InputError for a field that this version does not
        have.
        """
        if not isinstance(values, dict):
            raise TypeError(f"values must be a dictionary, not {type(values).__qualname__}.")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(str(name) for name in set(values) - known):
            raise InputError(f"Unknown network settings: {', '.join(unknown)}.", "Update GKNet Harmonize.")
        # Files written before this field existed: every network's input was 384.
        plain = {"network_size": 384, **values}
        for name in _PAIRS:
            if isinstance(plain.get(name), list):  # JSON has no tuples
                plain[name] = tuple(plain[name])
        return cls(**plain)


_RESIDUAL = GKNetConfig(residual_modulation=True, head="affine", network_size=384)

PRESETS: dict[str, GKNetConfig] = {
    # The paper's network.
    "gknet": GKNetConfig(),
    # The paper's size; starts as the identity and predicts a change of the composite's colors, not the colors.
    "gknet-residual": _RESIDUAL,
    # The same blocks and recognition at a twelfth of the arithmetic, for a CPU. Small changes are mostly error. It is
    # trained at 256 and does better on larger inputs: docs/research-log.md has the figures.
    "gknet-s": replace(_RESIDUAL, width=16, stem=2, global_head=True, recognition=True, restraint=18 / 255, variants=5),
}


def preset(name: str) -> GKNetConfig:
    """Return the settings of a named network, one of `PRESETS`. Raises InputError for any other name."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__qualname__}.")
    try:
        return PRESETS[name]
    except KeyError:
        raise InputError(f"Unknown preset {name!r}.", f"Choose one of: {', '.join(PRESETS)}.") from None


def ablations(full: GKNetConfig) -> dict[str, GKNetConfig]:
    """Return the four rows of the paper's Table 4 for a network; each adds one part to the row before."""
    baseline = replace(full, kernel_prediction=False, long_distance_reference=False, selective_correlation=False)
    kpb = replace(baseline, kernel_prediction=True)
    lre = replace(kpb, long_distance_reference=True)
    return {"baseline": baseline, "+KPB": kpb, "+LRE": lre, "+SCF": replace(lre, selective_correlation=True)}
