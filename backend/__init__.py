"""The backend: a process that keeps the network loaded and serves plug-ins and scripts (docs/python.md).

>>> from backend import Client
>>> with Client.connect() as client:  # starts the backend if need be
...     harmonized = client.harmonize(layer, photograph, at=(420, 310)).pixels
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.client import Client, HarmonizeResult
    from backend.errors import (
        BackendError,
        BackendLostError,
        BackendUnavailableError,
        BusyError,
        InternalError,
        OutOfMemoryError,
        TooLargeError,
        UnauthorizedError,
        UnknownFitError,
    )

__all__ = [
    "BackendError",
    "BackendLostError",
    "BackendUnavailableError",
    "BusyError",
    "Client",
    "HarmonizeResult",
    "InternalError",
    "OutOfMemoryError",
    "TooLargeError",
    "UnauthorizedError",
    "UnknownFitError",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import backend.thin` must load nothing but the standard library.
    if name not in __all__:
        raise AttributeError(f"module 'backend' has no attribute {name!r}")
    from importlib import import_module

    module = "backend.errors" if name.endswith("Error") else "backend.client"
    return getattr(import_module(module), name)
