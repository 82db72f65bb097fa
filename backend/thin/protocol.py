"""Constants of the protocol (docs/python.md). Standard library only, Python 3.9."""

from __future__ import annotations

PROTOCOL = (1, 2)
"""Major and minor version. The backend rejects clients of a newer major version. 1.1 added the trims, 1.2 variants."""

USER = b"gknet"
"""PLAIN's user name; the password is the connection file's key."""

MAX_HEADER = 64 * 1024
"""Maximum bytes of a message's map without profiles."""
MAX_PROFILE = 4 * 1024 * 1024
MAX_PIXELS = 250_000_000
"""Maximum pixels of one layer."""
MAX_SIDE = 300_000
MAX_FRAME = 2**31 - 1
"""Maximum bytes of one frame."""
MAX_REFERENCE_SIDE = 1024
MAX_QUEUE = 16
"""Maximum waiting requests of all clients."""
MAX_REQUESTS = 4
"""Maximum waiting and running requests of one client."""
MAX_ID = 2**53 - 1
KEPT_FITS = 16

TRIMS = ("brightness", "warmth", "saturation")
"""Options that are added to the harmonized colours, each from -MAX_TRIM to MAX_TRIM."""
MAX_TRIM = 100
MAX_VARIANTS = 5
"""Maximum answers to choose from for one layer."""

DEPTHS = {"u8": 1, "u16": 2, "f16": 2, "f32": 4}
"""Bytes of one channel of one pixel."""
SPACES = ("srgb", "linear")

BAD_REQUEST = "bad_request"
UNKNOWN_FIT = "unknown_fit"
UNAUTHORIZED = "unauthorized"
TOO_LARGE = "too_large"
BUSY = "busy"
NO_FOREGROUND = "no_foreground"
NO_BACKGROUND = "no_background"
UNSUPPORTED = "unsupported"
OUT_OF_MEMORY = "out_of_memory"
CANCELLED = "cancelled"
INTERNAL = "internal"
BACKEND_LOST = "backend_lost"
BACKEND_UNAVAILABLE = "backend_unavailable"

CODES = (
    *(BAD_REQUEST, UNKNOWN_FIT, UNAUTHORIZED, TOO_LARGE, BUSY, NO_FOREGROUND, NO_BACKGROUND, UNSUPPORTED),
    *(OUT_OF_MEMORY, CANCELLED, INTERNAL, BACKEND_LOST, BACKEND_UNAVAILABLE),
)


class ThinError(Exception):
    """Every error in plug-ins. Scripts get the classes of `gknet.errors` and `backend.errors` instead.

    code: one of CODES.   message: what went wrong.   hint: what to do, or "".
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return (self.message + " " + self.hint).rstrip()


class NoAnswerError(ThinError):
    """No backend answers, or none that can prove its identity, so one may be started."""
