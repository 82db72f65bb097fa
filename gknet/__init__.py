"""GKNet Harmonize: give a pasted object the colors and light of its scene, at full resolution.

The names in this module are the public API; see README.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gknet.color.encoding import Encoding
    from gknet.errors import (
        CancelledError,
        HarmonizeError,
        InputError,
        MissingPackageError,
        NoBackgroundError,
        NoForegroundError,
        PictureError,
        UnsupportedError,
        WeightsError,
    )
    from gknet.fits import CompositeFit, LayerFit
    from gknet.harmonizer import Harmonizer
    from gknet.network.config import GKNetConfig, preset
    from gknet.network.model import GKNet
    from gknet.transfer.trims import Trims

_HOMES = {
    "CancelledError": "gknet.errors",
    "CompositeFit": "gknet.fits",
    "Encoding": "gknet.color.encoding",
    "GKNet": "gknet.network.model",
    "GKNetConfig": "gknet.network.config",
    "HarmonizeError": "gknet.errors",
    "Harmonizer": "gknet.harmonizer",
    "InputError": "gknet.errors",
    "LayerFit": "gknet.fits",
    "MissingPackageError": "gknet.errors",
    "NoBackgroundError": "gknet.errors",
    "NoForegroundError": "gknet.errors",
    "PictureError": "gknet.errors",
    "Trims": "gknet.transfer.trims",
    "UnsupportedError": "gknet.errors",
    "WeightsError": "gknet.errors",
    "preset": "gknet.network.config",
}

__all__ = [
    "CancelledError",
    "CompositeFit",
    "Encoding",
    "GKNet",
    "GKNetConfig",
    "HarmonizeError",
    "Harmonizer",
    "InputError",
    "LayerFit",
    "MissingPackageError",
    "NoBackgroundError",
    "NoForegroundError",
    "PictureError",
    "Trims",
    "UnsupportedError",
    "WeightsError",
    "__version__",
    "preset",
]


def __getattr__(name: str) -> Any:
    # Load torch only with the first name that needs it, so that `gknet --help` responds at once.
    if name not in _HOMES:
        raise AttributeError(f"module 'gknet' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
