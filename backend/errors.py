"""What can go wrong with a backend, and the class of every code of the protocol.

HarmonizeError
├── BackendError
│   ├── BackendUnavailableError              no backend can be reached or started
│   ├── BackendLostError                     the backend went away during a request
│   ├── UnauthorizedError                    the backend refused the connection file's key
│   ├── BusyError                            too many requests are waiting
│   ├── UnknownFitError                      the backend no longer keeps the fit of an earlier answer
│   ├── OutOfMemoryError (also MemoryError)  the picture doesn't fit into memory
│   └── InternalError                        a fault of the backend; its log says more
└── InputError (also ValueError)
    └── TooLargeError                        more pixels, or a longer profile, than a backend takes

Everything else that a backend answers is one of `gknet.errors`, as if the work had been done in this process.
"""

from __future__ import annotations

from backend.thin import protocol
from gknet.errors import (
    CancelledError,
    HarmonizeError,
    InputError,
    NoBackgroundError,
    NoForegroundError,
    UnsupportedError,
)


class BackendError(HarmonizeError):
    """Root of the failures that only a backend has."""


class BackendUnavailableError(BackendError):
    """No backend can be reached or started."""

    code = protocol.BACKEND_UNAVAILABLE


class BackendLostError(BackendError):
    """The backend went away during a request."""

    code = protocol.BACKEND_LOST


class UnauthorizedError(BackendError):
    """The backend refused the connection file's key."""

    code = protocol.UNAUTHORIZED


class BusyError(BackendError):
    """Too many requests are waiting."""

    code = protocol.BUSY


class UnknownFitError(BackendError):
    """The backend no longer keeps the fit of an earlier answer."""

    code = protocol.UNKNOWN_FIT


class OutOfMemoryError(BackendError, MemoryError):
    """The picture doesn't fit into memory, here or where the backend runs."""

    code = protocol.OUT_OF_MEMORY


class InternalError(BackendError):
    """A fault of the backend; its log says more."""

    code = protocol.INTERNAL


class TooLargeError(InputError):
    """More pixels, or a longer profile, than a backend takes."""

    code = protocol.TOO_LARGE


CLASSES: dict[str, type[HarmonizeError]] = {
    one.code: one
    for one in (
        *(BackendUnavailableError, BackendLostError, UnauthorizedError, BusyError, UnknownFitError),
        *(OutOfMemoryError, InternalError, TooLargeError),
        *(InputError, NoForegroundError, NoBackgroundError, UnsupportedError, CancelledError),
    )
}
"""The class for each of the protocol's codes."""
