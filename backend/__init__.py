"""The process that keeps the network warm and answers hosts and scripts (docs/protocol.md).

>>> from backend import Client
>>> with Client.connect() as client:  # starts the backend if need be
...     harmonized = client.harmonize(layer, photograph, at=(420, 310))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.client.client import Client
    from backend.thin.protocol import BackendError

_HOMES = {"Client": "backend.client.client", "BackendError": "backend.thin.protocol"}

__all__ = ["BackendError", "Client"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: `import backend.thin` must bring nothing but the standard library.
    if name not in _HOMES:
        raise AttributeError(f"module 'backend' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
