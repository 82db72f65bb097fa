"""All errors that the package raises deliberately; besides these, TypeError for an argument of the wrong type.

HarmonizeError
├── InputError (also a ValueError)   a value is out of range, or the pictures do not match
│   ├── NoForegroundError            the mask selects nothing to harmonize
│   ├── NoBackgroundError            the mask selects everything, so there is no scene to match
│   ├── UnsupportedError             this installation does not support this kind of picture or pixel
│   │   └── MissingPackageError      a required optional package is not installed
│   └── PictureError                 a file cannot be read or written
├── WeightsError                     the weights are missing, damaged or of another version
└── CancelledError                   the caller canceled the operation; nothing was changed
"""

from __future__ import annotations

from typing import ClassVar


class HarmonizeError(Exception):
    """Base class of all errors raised deliberately.

    message: what went wrong, one sentence.   hint: what to do about it, one sentence or empty.
    `code` names the kind of failure in the protocol; `exit_code` is the command's exit status.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class InputError(HarmonizeError, ValueError):
    """A value is out of range, or the pictures do not match."""

    code = "bad_request"


class NoForegroundError(InputError):
    """The mask selects nothing to harmonize."""

    code = "no_foreground"


class NoBackgroundError(InputError):
    """The mask selects everything, so there is no scene to match."""

    code = "no_background"


class UnsupportedError(InputError):
    """This installation does not support this kind of picture or pixel."""

    code = "unsupported"


class PictureError(InputError):
    """A file cannot be read or written."""


class WeightsError(HarmonizeError):
    """The weights are missing, damaged or of another version."""


class MissingPackageError(UnsupportedError):
    """A required optional package is not installed.

    extra: name of the extra that installs the package, as in pip install "gknet-harmonize[exr]".
    """

    def __init__(self, message: str, extra: str) -> None:
        super().__init__(message, f'Install with: pip install "gknet-harmonize[{extra}]"')


class CancelledError(HarmonizeError):
    """The caller canceled the operation; nothing was changed."""

    code = "cancelled"
    exit_code = 130
