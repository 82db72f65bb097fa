"""What has to outlive a power cut: bytes and names that the system keeps in memory until it is told otherwise."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

_CANNOT = (errno.EINVAL, errno.ENOTSUP)
"""What file systems answer that have no such thing as a folder on a disk, some of those in a network."""


def sync_file(path: Path) -> None:
    """Returns once a file's bytes are on the disk. Raises OSError if the disk refuses."""
    descriptor = os.open(path, os.O_RDWR)  # Windows takes no other
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Returns once the names in a folder are on the disk. Raises OSError if the disk refuses.

    Windows opens no folder, and some network file systems sync none: there, when a name is kept is up to the system.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)
