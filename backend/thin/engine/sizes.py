"""How much the engine downloads and how much disk space it needs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .switch import CPU, CUDA


@dataclass(frozen=True)
class Size:
    """Bytes, rounded up.   torch: download of PyTorch.   libraries: download of the rest.   disk: once installed.

    During the installation, `peak` bytes of disk space are needed.
    """

    torch: int
    libraries: int
    disk: int

    @property
    def download(self) -> int:
        """Bytes to download in all."""
        return self.torch + self.libraries

    @property
    def peak(self) -> int:
        """Bytes of disk space needed while it is installed: the downloads are deleted afterwards."""
        return self.disk + 2 * self.download  # pip keeps one copy to install from and one for another attempt


# Measured for Linux with the CPU build. The others are estimated from the sizes of the wheels.
_SIZES = {
    ("linux", CPU): Size(200_000_000, 150_000_000, 1_500_000_000),
    ("linux", CUDA): Size(2_900_000_000, 150_000_000, 6_900_000_000),
    ("darwin", CPU): Size(90_000_000, 140_000_000, 1_100_000_000),
    ("win32", CPU): Size(130_000_000, 150_000_000, 1_400_000_000),
    ("win32", CUDA): Size(2_000_000_000, 150_000_000, 5_800_000_000),
}


def estimate_size(build: str) -> Size:
    """Return the size of an engine with a build of PyTorch on this system."""
    return _SIZES[sys.platform if sys.platform in ("win32", "darwin") else "linux", build]


def format_bytes(count: int) -> str:
    """Return a number of bytes in MB, or in GB with one decimal."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def measure_folder(folder: Path | str) -> int:
    """Return the bytes of all files in a folder, as far as they can be read."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    total += measure_folder(entry.path) if is_folder else entry.stat(follow_symlinks=False).st_size
                except OSError:
                    continue  # just deleted
    except OSError:
        return total
    return total
