"""Trained weights: safetensors files that carry their own network's settings."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from gknet.atomic import replacing
from gknet.errors import WeightsError
from gknet.network.config import GKNetConfig
from gknet.network.model import GKNet

FILE = "model.safetensors"
"""A weight file's name in a folder of its own."""
FOLDER = Path(__file__).parents[1] / "weights"
"""Where the shipped weights lie, `<preset>.safetensors` each."""


def shipped_names() -> list[str]:
    """Return the names of the weights that the package ships."""
    return sorted(file.stem for file in FOLDER.glob("*.safetensors"))


def shipped(name: str) -> Path:
    """Return the shipped file of a name. Raises WeightsError, with the names to choose from, if it is not shipped."""
    if name not in (names := shipped_names()):
        raise WeightsError(f"There are no weights {name!r}.", f"Choose one of: {', '.join(names)}.")
    return FOLDER / f"{name}.safetensors"


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the file of the weights that are meant.

    name_or_path: a shipped name, a weight file, or a folder that holds `FILE`. A shipped name comes first: for a folder
    of that name, say ./name.
    Raises WeightsError, naming what can be chosen, if there is none.
    """
    name = os.fspath(name_or_path)
    if name in shipped_names():
        return shipped(name)
    for path in (Path(name), Path(name, FILE)):
        with suppress(OSError):  # not a name that a file could have
            if path.is_file():
                return path
    raise WeightsError(
        f"There are no weights {name!r}.",
        f"Choose one of: {', '.join(shipped_names())}; or give a .safetensors file, or a folder with {FILE} in it.",
    )


def digest(path: Path) -> str:
    """Which weights a file holds: the first 8 hexadecimal digits of its SHA-256. Raises OSError if it is missing."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def save(net: GKNet, path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write the network and its settings to a file, which appears whole or not at all.

    dtype: of the numbers. A tensor with larger numbers than it can hold stays as it is.
    Raises OSError if the disk refuses.
    """
    tensors = {name: _of(dtype, tensor.detach().cpu()).contiguous() for name, tensor in net.state_dict().items()}
    with replacing(path) as unfinished:
        unfinished.write_bytes(to_bytes(tensors, metadata={"gknet_config": json.dumps(net.config.to_dict())}))


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
        raise WeightsError(
            f"The weights {path} cannot be read: {error}.", "Check the file, or install GKNet Harmonize again."
        ) from error
    try:
        net = GKNet(GKNetConfig.from_dict(json.loads(metadata["gknet_config"])))
        net.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"The weights {path} don't fit this version of GKNet Harmonize: {str(error).splitlines()[0]}",
            "Use weights that this version ships or has written.",
        ) from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise WeightsError(
                f"The weights {path} contain NaN or infinite values in {name}.",
                "Use another copy, or train from an earlier state.",
            )
    return _with_recognition(net).eval()
