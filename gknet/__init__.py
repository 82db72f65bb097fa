"""GKNet Harmonize: a pasted object takes on the colours and light of its scene, at full resolution.

What is public is what this module names; see README.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gknet.errors import (
        CancelledError,
        HarmonizeError,
        InputError,
        NoBackgroundError,
        NoForegroundError,
        PictureError,
        UnsupportedError,
        WeightsError,
    )
    from gknet.harmonizer import Harmonizer
    from gknet.network.config import GKNetConfig, preset
    from gknet.network.model import GKNet

_HOMES = {
    "GKNet": "gknet.network.model",
    "GKNetConfig": "gknet.network.config",
    "Harmonizer": "gknet.harmonizer",
    "preset": "gknet.network.config",
    "InputError": "gknet.errors",
    "CancelledError": "gknet.errors",
    "HarmonizeError": "gknet.errors",
    "NoBackgroundError": "gknet.errors",
    "NoForegroundError": "gknet.errors",
    "PictureError": "gknet.errors",
    "UnsupportedError": "gknet.errors",
    "WeightsError": "gknet.errors",
}

__all__ = [
    "CancelledError",
    "GKNet",
    "GKNetConfig",
    "HarmonizeError",
    "Harmonizer",
    "InputError",
    "NoBackgroundError",
    "NoForegroundError",
    "PictureError",
    "UnsupportedError",
    "WeightsError",
    "preset",
]


def __getattr__(name: str) -> Any:
    # torch is loaded with the first name that needs it, so that `gknet --help` answers at once.
    if name not in _HOMES:
        raise AttributeError(f"module 'gknet' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
