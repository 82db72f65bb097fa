"""Whether PyTorch's CUDA build would find an NVIDIA driver."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ..environment import clean_environment

_ROOT = Path("/")


def has_nvidia_driver() -> bool:
    """Return whether an NVIDIA driver is installed. macOS has none."""
    if sys.platform == "win32":
        system = os.environ.get("SYSTEMROOT")
        return system is not None and (Path(system) / "System32" / "nvcuda.dll").exists()
    if sys.platform == "darwin":
        return False
    if (_ROOT / "proc" / "driver" / "nvidia" / "version").exists():
        return True
    return shutil.which("nvidia-smi", path=clean_environment().get("PATH")) is not None
