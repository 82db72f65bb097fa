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
_RANKS = {"dev": -4, "a": -3, "b": -2, "rc": -1, "post": 1}
"""The order of what may follow a version's numbers. Their end is 0."""


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
    """Return the newest wheel in a folder, None if there is none. Raise ThinError if one can't be read.

    Files with other names, such as a browser's second copy, are an error only if there is nothing else.
    """
    paths = list(folder.glob(PATTERN))
    named = [path for path in paths if _NAME.fullmatch(path.name)]
    wheels = [open_wheel(path) for path in named or paths]
    return max(wheels, key=lambda wheel: parse_version(wheel.version), default=None)


def has_wheel(folder: Path = FOLDER) -> bool:
    """Return whether a folder has a wheel, as in a plug-in from an archive."""
    try:
        return any(folder.glob(PATTERN))
    except OSError:  # it can't be read
        return False


def open_wheel(path: Path) -> Wheel:
    """Return a wheel. Raise ThinError (`backend_unavailable`) if it isn't this project's, or can't be read."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        hint = "Choose a file with a name such as gknet_harmonize-0.1.0-py3-none-any.whl."
        raise make_error(f"{path} is not a wheel of GKNet Harmonize.", hint)
    try:
        return Wheel(path, found[1], hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError as error:
        raise make_error(f"{path} can't be read: {error.strerror or error}.", _AGAIN) from error


def parse_version(version: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Return a version in a form for comparing: 0.6.dev1 < 0.6a1 < 0.6rc1.dev1 < 0.6rc1 < 0.6 = 0.6.0 < 0.6.post1.

    What follows a + has no effect.
    """
    public = version.partition("+")[0]
    release = re.match(r"[0-9.]*", public)
    numbers = [int(number) for number in re.findall("[0-9]+", release[0] if release else "")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    suffixes = re.findall(r"(dev|a|b|rc|post)([0-9]*)", public)
    return numbers, [*((_RANKS[word], int(number or 0)) for word, number in suffixes), (0, 0)]
