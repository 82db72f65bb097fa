"""The settings of a training run, read from a TOML file in `training/configs` and saved with the run."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_args

from gknet.network.config import GKNetConfig, ablations, preset

Parts = Literal["baseline", "+KPB", "+LRE", "+SCF"]
"""The network's modules as in the paper's Table 4. Each row adds one; "+SCF" is the whole network."""


_SHARES = ("crops", "worn", "wide", "fringeless", "foreign_masks", "hard_masks", "untouched", "alike", "jitter")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """The settings of one run. Raises ValueError, naming the field, for a value out of range."""

    preset: str
    """Name of the network preset."""
    parts: Parts = "+SCF"
    """A row of the ablation, or the whole network."""
    only: Literal["all", "global_head", "recognition_head"] = "all"
    """The part to train. "global_head" trains the statistics path alone, about ten times faster. "recognition_head"
    trains that head on `training.data.streams.views` with all else frozen, about four times faster.
    """
    views: int = 4
    """Views of each photograph, for "recognition_head"."""
    heads: int = 1
    """Train one of this many narrow recognition heads. `training.research.mean_of_heads` joins them into a head of the
    preset's size.
    """
    heads_apart: int = 1
    """Train the recognition head as this many independent heads side by side (`training.engine.heads_apart`)."""
    size: int = 256
    """Height and width of the network's input, in pixels."""
    crops: float = 0.0
    """Share of photographs cropped individually (`training.data.synthesis.crops`). With 0, a batch shares one crop."""
    worn: float = 0.0
    """Share of composites with each kind of degradation: softening, noise and compression
    (`training.data.synthesis.degradations`).
    """
    wide: float = 0.0
    """Share of batches from `training.data.synthesis.wide`, with re-rendered scenes and more kinds of change. Above 0,
    the share `worn` of composites also gets degradations on the object alone.
    """
    fringeless: float = 0.0
    """Share of composites without label leakage around the foreground (`training.data.synthesis.edge_leakage`)."""
    batch: int = 16
    """Composites per step."""
    samples: int = 1_000_000
    """Composites until the end of the cosine schedule."""
    learning_rate: float = 1e-4
    """Adam's peak learning rate."""
    final_rate: float = 1.0
    """Factor on the learning rate at the end of the schedule; 1 keeps it constant."""
    global_head_rate: float = 1.0
    """Factor on the global head's learning rate."""
    warmup: int = 0
    """Steps over which the learning rate grows from zero."""
    loss: Literal["foreground_mse", "foreground_rmse"] = "foreground_mse"
    """A function of `training.engine.loss`."""
    clip: float = 0.0
    """Largest gradient norm; 0 turns clipping off."""
    ema: float = 0.999
    """Decay of the moving average that is evaluated and shipped; 0 ships the last weights."""
    foreign_masks: float = 0.2
    """Share of masks taken from another photograph. A fifth regularizes; with most of them the network learns the wrong
    thing.
    """
    hard_masks: float = 0.5
    """Share of binary masks, without partly covered pixels along the edge."""
    untouched: float = 0.05
    """Share of photographs left unchanged, so that the network learns to leave correct colours alone."""
    alike: float = 0.5
    """Share of composites whose reference comes from the same collection and so has similar content."""
    jitter: float = 0.5
    """Share of photographs whose colours are edited as a whole before the composite is made."""
    bfloat16: bool = False
    """Run the network's convolutions and matrix products in bfloat16 (autocast); weights stay float32."""
    seed: int = 0
    """Seed of the weights and of every draw."""

    def __post_init__(self) -> None:
        for name in ("size", "batch", "samples", "learning_rate", "views", "heads", "heads_apart"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name, known in (
            ("parts", get_args(Parts)),
            ("only", ("all", "global_head", "recognition_head")),
            ("loss", ("foreground_mse", "foreground_rmse")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.warmup < 0 or self.clip < 0:
            raise ValueError(f"warmup and clip must not be negative, got {self.warmup} and {self.clip}")
        for name in (*_SHARES, "ema", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.size % self.network().multiple:
            raise ValueError(f"size must be a multiple of {self.network().multiple} for {self.preset}, got {self.size}")
        if self.only == "global_head" and not self.network().global_head:
            raise ValueError(f"only: the preset {self.preset!r} has no global head")
        if self.only == "recognition_head" and not self.network().recognition:
            raise ValueError(f"only: the preset {self.preset!r} has no recognition head")
        if self.only == "recognition_head" and self.crops:
            raise ValueError("crops must be 0 with only = 'recognition_head': its views are crops already")
        if self.heads > 1 and self.only != "recognition_head":
            raise ValueError("heads above 1 needs only = 'recognition_head'")
        if self.heads_apart > 1 and (self.only != "all" or not self.network().recognition):
            raise ValueError("heads_apart above 1 needs only = 'all' and a preset with a recognition head")

    def network(self) -> GKNetConfig:
        """Return the configuration of the network that this run trains."""
        return ablations(narrow_recognition_head(self.heads, preset(self.preset)))[self.parts]


def narrow_recognition_head(heads: int, whole: GKNetConfig) -> GKNetConfig:
    """Return the configuration with a recognition head `heads` times narrower."""
    colours, things = whole.recognition_head_bottlenecks
    first, second = whole.recognition_head_widths
    return replace(
        whole,
        recognition_head_bottlenecks=(colours // heads, things // heads),
        recognition_head_widths=(first // heads, second // heads),
    )


def read_run(path: Path) -> TrainingRun:
    """Read a run from a TOML file. Raises ValueError for invalid contents, OSError if the file can't be read."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a valid TOML file: {error}") from error
    known = {field.name for field in fields(TrainingRun)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{path}: unknown settings: {', '.join(unknown)}")
    try:
        return TrainingRun(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
