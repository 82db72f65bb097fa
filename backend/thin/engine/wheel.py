"""The project's wheel: where a release puts it, its version, and the constraints inside it."""

from __future__ import annotations

import errno
import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .failures import make_error

FOLDER = Path(__file__).parents[2] / "wheel"
"""Folder of the wheel in a plug-in from a release's archive."""
PATTERN = "gknet_harmonize-*.whl"
CONSTRAINTS = "extra_metadata/constraints.txt"
"""The file in the wheel's metadata with the tested versions of all dependencies."""
_AGAIN = "Download the archive of the plug-in again."
_NAME = re.compile(r"gknet_harmonize-([0-9]+(?:\.[0-9]+)*[^-]*)-py3-none-any\.whl")


@dataclass(frozen=True)
class Wheel:
    """A wheel of this project.   version: such as "0.1.0".   sha256: of the file, 64 hexadecimal digits."""

    path: Path
    version: str
    sha256: str

    def is_newer_than(self, version: str) -> bool:
        """Return whether it is newer than a version."""
        return parse_version(self.version) > parse_version(version)

    def read_constraints(self) -> str:
        """Return the text of its constraints. Raise ThinError (`backend_unavailable`) if the wheel is damaged."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                damaged = archive.testzip()
                name = next((one for one in archive.namelist() if one.endswith(f".dist-info/{CONSTRAINTS}")), None)
                if damaged is None and name is not None:
                    return archive.read(name).decode("utf-8")
        except Exception as error:  # zipfile passes on whatever the decompressors raise
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise make_error(f"{self.path} can't be read: {error.strerror}.", _AGAIN) from error
            raise make_error(f"{self.path} is damaged: {type(error).__name__}: {error}.", _AGAIN) from error
        raise make_error(f"{self.path} is damaged: {damaged or CONSTRAINTS + ' is missing'}.", _AGAIN)


def find_wheel(folder: Path = FOLDER) -> Wheel | None:
    """Return the newest wheel in a folder, None if there is none. Raise ThinError if it can't be read."""
    wheels = [open_wheel(path) for path in folder.glob(PATTERN)]
    return max(wheels, key=lambda wheel: parse_version(wheel.version), default=None)


def has_wheel(folder: Path = FOLDER) -> bool:
    """Return whether a folder has a wheel, as in a plug-in from an archive."""
    return any(folder.glob(PATTERN))


def open_wheel(path: Path) -> Wheel:
    """Return a wheel. Raise ThinError (`backend_unavailable`) if it isn't this project's, or can't be read."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise make_error(f"{path} is not a wheel of GKNet Harmonize.", "Choose a file gknet_harmonize-….whl.")
    try:
        return Wheel(path, found[1], hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError as error:
        raise make_error(f"{path} can't be read: {error.strerror or error}.", _AGAIN) from error


def parse_version(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparing."""
    return tuple(int(number) for number in re.findall(r"\d+", version))
