"""Checks of Python, the libraries, the device and the weights."""

from __future__ import annotations

import hashlib
import importlib
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .finding import ERROR, FINE, WARNING, Finding

_PACKAGE = "gknet-harmonize"
# Import names and the packages to install for them; torch has its own check.
_LIBRARIES = {
    **{name: name for name in ("numpy", "safetensors", "cyclopts", "rich", "msgpack", "platformdirs", "filelock")},
    "psutil": "psutil",
    "PIL": "pillow",
    "pyvips": "pyvips[binary]",
    "zmq": "pyzmq",
}
_TORCH_PAGE = "https://pytorch.org/get-started/locally/"


def check_python(oldest: tuple[int, int]) -> Finding:
    """Return a finding on whether this Python is new enough."""
    has = platform.python_version()
    if tuple(sys.version_info) < oldest:
        wanted = ".".join(map(str, oldest))
        remedy = f"Create a new environment with Python {wanted} or newer, and install GKNet Harmonize in it."
        return Finding("Python", ERROR, f"{has} ({sys.executable}) is too old: {wanted} is needed.", remedy)
    return Finding("Python", FINE, f"{has} on {platform.system()} {platform.machine()}, {sys.executable}.")


def check_libraries(device: str) -> Iterator[Finding]:
    """Yield findings on this package, its libraries and the device."""
    try:
        yield Finding("GKNet Harmonize", FINE, f"{version(_PACKAGE)}, {Path(__file__).parents[3]}.")
    except PackageNotFoundError:
        remedy = f"Install it with pip into this Python: {sys.executable} -m pip install …"
        yield Finding("GKNet Harmonize", ERROR, f"It is not installed for {sys.executable}.", remedy)
    missing = {name: reason for name in _LIBRARIES if (reason := _explain_import_failure(name))}
    if missing:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        needed = " ".join(f'"{_LIBRARIES[name]}"' for name in missing)
        yield Finding("libraries", ERROR, reasons, f"{sys.executable} -m pip install {needed}")
    else:
        yield Finding("libraries", FINE, f"All {len(_LIBRARIES)} required libraries can be loaded.")
    if reason := _explain_import_failure("torch"):
        remedy = f"Install PyTorch for this Python ({sys.executable}): {_TORCH_PAGE}"
        yield Finding("torch", ERROR, f"PyTorch cannot be loaded: {reason}.", remedy)
    else:
        yield from _check_device(device)


def check_weights() -> Iterator[Finding]:
    """Yield findings on whether the shipped weights match their recorded checksums."""
    import gknet

    folder = Path(gknet.__file__).parent / "weights"
    files = sorted(folder.glob("*.safetensors"))
    again = "Install GKNet Harmonize again."
    if not files:
        yield Finding("weights", ERROR, f"No weights found in {folder}.", again)
    for file in files:
        record = file.with_name(f"{file.name}.sha256")
        try:
            recorded = record.read_text(encoding="ascii").split()[0]
            found = hashlib.sha256(file.read_bytes()).hexdigest()
        except (OSError, ValueError, IndexError) as error:
            yield Finding("weights", ERROR, f"{file.name} or its checksum cannot be read: {error}.", again)
            continue
        if found != recorded:
            wrong = f"{file.name} is damaged: its SHA-256 starts with {found[:8]} instead of {recorded[:8]}."
            yield Finding("weights", ERROR, wrong, again)
        else:
            yield Finding("weights", FINE, f"{file.name}, SHA-256 {found[:8]}…, matches its checksum.")


def _check_device(asked: str) -> Iterator[Finding]:
    import torch

    from gknet.errors import InputError
    from gknet.network.device import choose_device

    try:
        chosen = choose_device(asked)
    except InputError as error:
        remedy = f"{error.hint} For a GPU, PyTorch's build must match the driver: {_TORCH_PAGE}"
        yield Finding("device", ERROR, f"{error.message} This is PyTorch {torch.__version__}.", remedy)
        return
    text = f"PyTorch {torch.__version__} on {chosen}."
    if asked == "auto" and chosen.type == "cpu" and _has_nvidia_card():
        yield Finding(
            "device",
            WARNING,
            f"{text} This PyTorch cannot use the NVIDIA GPU of this machine.",
            f"If the CPU is too slow, install PyTorch's CUDA build: {_TORCH_PAGE}",
        )
    else:
        yield Finding("device", FINE, text)


def _has_nvidia_card() -> bool:
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def _explain_import_failure(name: str) -> str:
    """Return why a library cannot be loaded, or ""."""
    try:
        importlib.import_module(name)
    except Exception as error:  # a broken library may raise anything
        return f"{type(error).__name__}: {error}".rstrip(".")
    return ""
