"""Trained weights: safetensors files that include their network's settings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from gknet.atomic import replace_file
from gknet.errors import WeightsError
from gknet.network.config import GKNetConfig
from gknet.network.model import GKNet

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FILE = "model.safetensors"
"""Name of a weight file in a folder of its own."""
FOLDER = Path(__file__).parents[1] / "weights"
"""Folder of the shipped weights, `<preset>.safetensors` each."""


def list_shipped() -> list[str]:
    """Return the names of the weights that ship with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.safetensors"))


def find_shipped(name: str) -> Path:
    """Return the path of shipped weights. Raises WeightsError, listing the valid names, for an unknown name."""
    if name not in (names := list_shipped()):
        raise WeightsError(f"Unknown weights {name!r}.", f"Choose one of: {', '.join(names)}.")
    return FOLDER / f"{name}.safetensors"


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the path of a weight file.

    name_or_path: a shipped name, a weight file, or a folder that contains `FILE`. Shipped names take precedence: for a
    folder of that name, write ./name or pass a Path.
    Raises WeightsError, listing the choices, if there is none.
    """
    name = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and name in list_shipped():
        return find_shipped(name)
    for path in (Path(name), Path(name, FILE)):
        with suppress(OSError):  # not a name that a file could have
            if path.is_file():
                return path
    raise WeightsError(
        f"Unknown weights {name[:200]!r}.",
        f"Choose one of: {', '.join(list_shipped())}; or name a .safetensors file or a folder that contains {FILE}.",
    )


def compute_digest(path: Path) -> str:
    """Return the first 8 hexadecimal digits of a file's SHA-256. Raises WeightsError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    except OSError as error:
        raise _make_read_error(path, error) from error


def save(net: GKNet, path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write the network and its settings to a file, completely or not at all.

    dtype: of the stored numbers. A tensor whose values exceed its range keeps its own type.
    Raises OSError if the file cannot be written, WeightsError if the network contains NaN or infinite values.
    """
    tensors = {name: _cast(dtype, tensor.detach().cpu()).contiguous() for name, tensor in net.state_dict().items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise WeightsError(f"The network contains NaN or infinite values in {name}.", "Save an earlier state.")
    with replace_file(path) as unfinished:
        unfinished.write_bytes(to_bytes(tensors, metadata={"gknet_config": json.dumps(net.config.to_dict())}))


def _cast(dtype: torch.dtype, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point() or tensor.abs().max() > torch.finfo(dtype).max:
        return tensor
    return tensor.to(dtype)


def ship(net: GKNet, path: Path) -> None:
    """Save the network as shipped weights, with its SHA-256 beside it in the format of `sha256sum --check`."""
    save(net, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{checksum}  {path.name}\n", encoding="ascii")


def build(config: GKNetConfig) -> GKNet:
    """Return a new, untrained network. Its recognition, if any, has its pretrained weights.

    Raises WeightsError if the recognition's weight file is missing or damaged.
    """
    return _load_recognition(GKNet(config))


def _load_recognition(net: GKNet) -> GKNet:
    if net.recognition is not None:
        net.recognition.load()
    return net


def load(path: Path) -> GKNet:
    """Return the trained network of a file, in eval mode, float32, on the CPU.

    Raises WeightsError if the file is missing or damaged, if its tensors do not match this version's network exactly,
    or if they contain NaN or infinite values; also as `build`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError) as error:
        raise _make_read_error(path, error) from error
    if "gknet_config" not in metadata:
        raise _make_mismatch_error(path, "its metadata has no gknet_config")
    try:
        config = GKNetConfig.from_dict(json.loads(metadata["gknet_config"]))
    except (ValueError, TypeError, RecursionError) as error:
        raise _make_mismatch_error(path, str(error).rstrip(".")) from error
    _check_tensors(path, config, tensors)
    net = GKNet(config)
    net.load_state_dict(tensors)
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise WeightsError(
                f"The weights {path} contain NaN or infinite values in {name}.",
                "Use another copy, or resume training from an earlier state.",
            )
    return _load_recognition(net).eval()


def _check_tensors(path: Path, config: GKNetConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise WeightsError unless the tensors are those of the network. Allocates no memory for it."""
    with torch.device("meta"):
        expected = GKNet(config).state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise _make_mismatch_error(path, f"{name} is missing")
        if name not in expected:
            raise _make_mismatch_error(path, f"{name} is unexpected")
        ours, theirs = expected[name], tensors[name]
        if ours.shape != theirs.shape:
            raise _make_mismatch_error(path, f"{name} has shape {tuple(theirs.shape)}, not {tuple(ours.shape)}")
        types = _FLOATS if ours.is_floating_point() else (ours.dtype,)
        if theirs.dtype not in types:
            raise _make_mismatch_error(path, f"{name} has the type {theirs.dtype}")


def _make_read_error(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"The weights {path} cannot be read: {error}.", "Check the file, or reinstall GKNet Harmonize.")


def _make_mismatch_error(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"The weights {path} do not match this version of GKNet Harmonize: {reason}.",
        "Use weights shipped with or saved by this version.",
    )
