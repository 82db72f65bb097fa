"""Trained weights: safetensors files that carry their own network's settings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from gknet.errors import WeightsError
from gknet.network.config import GKNetConfig
from gknet.network.model import GKNet

FOLDER = Path(__file__).parents[1] / "weights"
"""Where the shipped weights lie, `<preset>.safetensors` each."""


def shipped(model: str) -> Path:
    """The shipped file of a preset. Raises WeightsError, naming those there are, when it has none."""
    path = FOLDER / f"{model}.safetensors"
    there = sorted(file.stem for file in FOLDER.glob("*.safetensors"))
    if model not in there:
        raise WeightsError(
            f"There are no weights for the model {model!r}.",
            f"Choose one of: {', '.join(there)}." if there else f"Train {model!r} first.",
        )
    return path


def digest(path: Path) -> str:
    """Which weights a file holds: the first 8 hexadecimal digits of its SHA-256. Raises OSError if it is missing."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def save(net: GKNet, path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Writes the network and its settings under a temporary name, then renames.

    dtype: of the numbers. A tensor that holds larger ones than it can hold stays as it is.
    """
    tensors = {name: _of(dtype, tensor.detach().cpu()).contiguous() for name, tensor in net.state_dict().items()}
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(to_bytes(tensors, metadata={"gknet_config": json.dumps(net.config.to_dict())}))
    temporary.replace(path)


def _of(dtype: torch.dtype, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point() or tensor.abs().max() > torch.finfo(dtype).max:
        return tensor
    return tensor.to(dtype)


def ship(net: GKNet, path: Path) -> None:
    """Saves the network where the package ships it, and its SHA-256 beside it, as `sha256sum --check` reads it."""
    save(net, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{checksum}  {path.name}\n", encoding="ascii")


def build(config: GKNetConfig) -> GKNet:
    """A new, untrained network, with the weights of its recognition, which are never trained, if it has one.

    Raises WeightsError if the recognition's file is missing or damaged.
    """
    return _with_recognition(GKNet(config))


def _with_recognition(net: GKNet) -> GKNet:
    if net.recognition is not None:
        net.recognition.load()
    return net


def load(path: Path) -> GKNet:
    """The trained network of a file, in eval mode, float32, on the CPU.

    Raises WeightsError when the file is missing, damaged, or not this version's: every tensor must be there,
    and no other, and hold nothing but numbers; and as `build`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The weights {path} cannot be read: {error}.", "Install the package again.") from error
    try:
        net = GKNet(GKNetConfig.from_dict(json.loads(metadata["gknet_config"])))
        net.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"The weights {path} are not of this version of GKNet: {str(error).splitlines()[0]}",
            "Use the weights that came with this version.",
        ) from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise WeightsError(
                f"The weights {path} are damaged: {name} holds what is no number.",
                "Install the package again, or train from an earlier state.",
            )
    return _with_recognition(net).eval()
