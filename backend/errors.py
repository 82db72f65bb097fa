"""The backend's errors, and the class for every error code of the protocol.

HarmonizeError
├── BackendError
│   ├── BackendUnavailableError              no backend can be reached or started
│   ├── BackendLostError                     the connection was lost during a request
│   ├── UnauthorizedError                    the backend rejected the connection file's key
│   ├── BusyError                            too many requests are waiting
│   ├── UnknownFitError                      the backend no longer stores this fit
│   ├── OutOfMemoryError (also MemoryError)  not enough memory for the image
│   └── InternalError                        a bug in the backend; see its log
└── InputError (also ValueError)
    └── TooLargeError                        more pixels, or a longer profile, than the backend accepts

All other errors from a backend are those of `gknet.errors`, as if the work had been done in this process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    """Base class of the errors that only a backend can cause."""


class BackendUnavailableError(BackendError):
    """No backend can be reached or started."""

    code = protocol.BACKEND_UNAVAILABLE


class BackendLostError(BackendError):
    """The connection to the backend was lost during a request."""

    code = protocol.BACKEND_LOST


class UnauthorizedError(BackendError):
    """The backend rejected the connection file's key."""

    code = protocol.UNAUTHORIZED


class BusyError(BackendError):
    """Too many requests are waiting."""

    code = protocol.BUSY


class UnknownFitError(BackendError):
    """The backend no longer stores the fit of an earlier answer."""

    code = protocol.UNKNOWN_FIT


class OutOfMemoryError(BackendError, MemoryError):
    """There is not enough memory for the image, here or in the backend."""

    code = protocol.OUT_OF_MEMORY


class InternalError(BackendError):
    """A bug in the backend; see its log."""

    code = protocol.INTERNAL


class TooLargeError(InputError):
    """The image has more pixels, or a longer profile, than the backend accepts."""

    code = protocol.TOO_LARGE


CLASSES: dict[str, type[HarmonizeError]] = {
    one.code: one
    for one in (
        *(BackendUnavailableError, BackendLostError, UnauthorizedError, BusyError, UnknownFitError),
        *(OutOfMemoryError, InternalError, TooLargeError),
        *(InputError, NoForegroundError, NoBackgroundError, UnsupportedError, CancelledError),
    )
}
"""Error class for each of the protocol's codes."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Convert each ThinError in the block into the class for its code."""
    try:
        yield
    except protocol.ThinError as error:
        raise CLASSES.get(error.code, BackendError)(error.message, error.hint) from error
