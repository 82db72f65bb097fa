"""Join networks that differ only in their recognition heads: `python -m training.research.mean_of_heads A B`.

Independently trained heads make different errors, so the mean of their matrices has a smaller error than each. Each was
trained as one of several narrow heads (`TrainingRun.heads`). Side by side they form a head of the preset's size that
outputs the mean of their matrices.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gknet.errors import HarmonizeError
from gknet.network import weights
from gknet.network.extensions.global_head import RecognitionHead
from gknet.network.model import GKNet

HEAD = "recognition_head."


def average_heads(nets: Sequence[GKNet]) -> GKNet:
    """Return the network whose recognition head outputs the mean of the given heads.

    Raises ValueError if the networks differ in anything else.
    """
    narrow = nets[0].config
    count = len(nets)
    first, second = narrow.recognition_head_widths
    colours, things = narrow.recognition_head_bottlenecks
    whole = replace(
        narrow,
        recognition_head_bottlenecks=(colours * count, things * count),
        recognition_head_widths=(first * count, second * count),
    )
    if not narrow.recognition or any(net.config != narrow for net in nets):
        raise ValueError("expected networks with recognition heads of one configuration")
    values = nets[0].state_dict()
    for net in nets[1:]:
        for name, value in net.state_dict().items():
            if not name.startswith(HEAD) and not torch.equal(value, values[name]):
                raise ValueError(
                    f"these networks differ outside their recognition heads ({name}); train them from one file"
                )
    result = weights.build(whole)
    head = _join_heads([net.recognition_head for net in nets if net.recognition_head is not None])
    values = {name: value for name, value in values.items() if not name.startswith(HEAD)}
    result.load_state_dict(values | {HEAD + name: value for name, value in head.items()})
    return result.eval()


def _join_heads(heads: list[RecognitionHead]) -> dict[str, Tensor]:
    """Return the values of one head that contains the hidden units of all."""
    values = [head.state_dict() for head in heads]

    def beside(name: str) -> Tensor:
        return torch.cat([value[name] for value in values])

    def apart(name: str) -> Tensor:
        blocks: Tensor = torch.block_diag(*(value[name] for value in values))  # type: ignore[no-untyped-call]
        return blocks

    return {
        **{name: beside(name) for name in ("colours.0.weight", "colours.1.bias", "things.0.weight", "hidden.bias")},
        **{name: apart(name) for name in ("colours.1.weight", "things.1.weight", "hidden.weight")},
        "matrix.weight": torch.cat([value["matrix.weight"] for value in values], dim=1) / len(values),
        "matrix.bias": torch.stack([value["matrix.bias"] for value in values]).mean(dim=0),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.research.mean_of_heads", description=__doc__)
    parser.add_argument("weights", type=Path, nargs="+", help="weight files of networks with narrow heads")
    parser.add_argument("-o", "--out", type=Path, required=True, help="weight file to write")
    options = parser.parse_args()
    try:
        weights.save(average_heads([weights.load(path) for path in options.weights]), options.out)
    except (HarmonizeError, ValueError, OSError) as error:
        print(f"mean_of_heads: {error}", file=sys.stderr)
        return 2
    print(f"the mean of {len(options.weights)} heads is in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
