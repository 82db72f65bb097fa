"""Every failure that a caller may want to tell apart.

HarmonizeError
├── InputError (also a ValueError)   the pictures do not fit together, or a value is out of range
│   ├── NoForegroundError            the mask selects nothing that could be harmonized
│   ├── NoBackgroundError            the mask selects everything, so there is no scene to compare with
│   ├── UnsupportedError             a kind of picture or pixel that this installation cannot work on
│   │   └── MissingPackageError      an optional package that this needs is not installed
│   └── PictureError                 a file cannot be read or written
├── WeightsError                     the weights are missing, damaged or of another version
└── CancelledError                   the caller asked to stop; nothing was changed
"""

from __future__ import annotations

from typing import ClassVar


class HarmonizeError(Exception):
    """Root of all errors raised on purpose.

    message: what went wrong, one sentence.   hint: what to do about it, one sentence or empty.
    `code` names the kind of failure in the protocol; `exit_code` is the command's.
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
    """The pictures do not fit together, or a value is out of range."""

    code = "bad_request"


class NoForegroundError(InputError):
    """The mask selects nothing that could be harmonized."""

    code = "no_foreground"


class NoBackgroundError(InputError):
    """The mask selects everything, so there is no scene to compare with."""

    code = "no_background"


class UnsupportedError(InputError):
    """A kind of picture or pixel that this installation cannot work on."""

    code = "unsupported"


class PictureError(InputError):
    """A file cannot be read or written."""


class WeightsError(HarmonizeError):
    """The weights are missing, damaged or of another version."""


class MissingPackageError(UnsupportedError):
    """An optional package that this needs is not installed.

    extra: the project's own name for what brings the package, as in pip install "gknet-harmonize[exr]".
    """

    def __init__(self, message: str, extra: str) -> None:
        super().__init__(message, f'Install with: pip install "gknet-harmonize[{extra}]"')


class CancelledError(HarmonizeError):
    """The caller asked to stop; nothing was changed."""

    code = "cancelled"
    exit_code = 130
