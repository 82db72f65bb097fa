"""Evaluate the network alone on the validation split: `python -m training.evaluation.bare_network --pool FOLDER`.

Enlarges pictures to the size used in practice and reduces the network's change to their own size. The results are close
to the whole pipeline's, whose smooth curves do slightly better. Needs only torch, numpy and Pillow, so weights can be
evaluated where they are trained. Published figures come from `training.evaluate`.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gknet.errors import HarmonizeError
from gknet.network import weights
from gknet.network.device import choose_device
from gknet.network.inference import InferenceNetwork
from gknet.network.model import GKNet
from training.data.judging_sets.validation import make_validation_samples, read_validation
from training.data.sample import Sample
from training.evaluation.metrics import Record, make_record


class NetworkInput(NamedTuple):
    """A small picture, prepared for a network.

    composite: (H, W, 3) uint8, the picture itself.
    foreground: (H, W) bool.
    picture, mask: (1, 3, h, w) and (1, 1, h, w) float32 in [0, 1], both enlarged to h = w = `size`.
    """

    composite: np.ndarray
    foreground: np.ndarray
    picture: Tensor
    mask: Tensor

    @classmethod
    def from_composite(
        cls, composite: np.ndarray, foreground: np.ndarray, size: int, device: torch.device | str = "cpu"
    ) -> Self:
        """Enlarge a composite for a network.

        composite: (H, W, 3) uint8, square.
        foreground: (H, W) bool.
        size: `GKNetConfig.network_size`.
        """
        picture = torch.from_numpy(composite).to(device).permute(2, 0, 1)[None].float() / 255
        inside = torch.from_numpy(foreground).to(device)[None, None].float()
        larger = F.interpolate(picture, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return cls(composite, foreground, larger, F.interpolate(inside, (size, size), mode="bilinear", antialias=True))

    def apply_change(self, change: Tensor) -> np.ndarray:
        """Return the picture (H, W, 3) uint8 with a change (1, 3, h, w) of the enlarged one, the mask already applied
        to it.
        """
        both = torch.cat([change, self.mask], dim=1)
        small = F.interpolate(both, self.foreground.shape, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        values = small.cpu().numpy()
        # Enlarging blurred the mask's edge, so the change there must be divided by the mask.
        whole = values[..., :3] / values[..., 3:].clip(1e-3) * self.foreground[..., None]
        changed: np.ndarray = (self.composite + 255 * whole).clip(0, 255).round().astype(np.uint8)
        return changed


class BareNetwork:
    """Harmonizes small pictures with the network alone, without the rest of the pipeline."""

    def __init__(self, net: GKNet, device: torch.device | str = "cpu") -> None:
        self.net = InferenceNetwork(net).to(device)
        self.device = device

    @torch.inference_mode()
    def __call__(self, composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Harmonize a composite (H, W, 3) uint8 with its mask (H, W) bool. Returns (H, W, 3) uint8."""
        shown = NetworkInput.from_composite(composite, mask, self.net.config.network_size, self.device)
        return shown.apply_change(self.net(shown.picture, shown.mask) - shown.picture)

    def judge_sample(self, sample: Sample) -> Record:
        """Harmonize a sample and return its record."""
        return make_record(sample, self(sample.composite, sample.mask))


def judge_samples(network: BareNetwork, samples: Iterable[Sample]) -> list[Record]:
    """Return the record of each sample, in their order."""
    return [network.judge_sample(sample) for sample in samples]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.bare_network", description=__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is evaluated")
    parser.add_argument("--weights", type=Path, required=True, help="weight file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    fringe = parser.add_mutually_exclusive_group()
    fringe.add_argument("--around", type=int, default=0, help="recolour this many pixels around the foreground with it")
    fringe.add_argument("--beyond", type=int, default=0, help="fill this many pixels around it from the background")
    options = parser.parse_args()
    if min(options.around, options.beyond) < 0:
        parser.error("--around and --beyond must be at least 0")
    try:
        network = BareNetwork(weights.load(options.weights), choose_device(options.device))
        photographs = read_validation(options.pool)
    except (HarmonizeError, OSError) as error:
        print(f"bare_network: {error}", file=sys.stderr)
        return 2
    records = judge_samples(network, make_validation_samples(photographs, options.around, options.beyond))
    by_kind: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_kind[record.kind].append(record)
    for kind, group in [*by_kind.items(), ("all", records)]:
        before = np.mean([record.before for record in group], axis=0)  # (3,): MSE, PSNR, fMSE
        after = np.mean([record.after for record in group], axis=0)
        print(
            f"{kind:12} {len(group):5} composites  fMSE {before[2]:7.1f} -> {after[2]:7.1f}"
            f" ({100 * (after[2] / before[2] - 1):+.1f} %)  PSNR {before[1]:.2f} -> {after[1]:.2f} dB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
