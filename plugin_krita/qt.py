"""The Qt that Krita itself runs on: PyQt5 in Krita 5, PyQt6 in Krita 6. Importing the other one can end Krita.

Enumerations are written with their class, `Qt.WindowModality.WindowModal`: both understand that.
"""

from __future__ import annotations

import sys

import krita  # noqa: F401  brings the right PyQt with it

if "PyQt6.QtCore" in sys.modules:
    from PyQt6 import QtCore, QtGui, QtWidgets
else:
    from PyQt5 import QtCore, QtGui, QtWidgets

__all__ = ["QtCore", "QtGui", "QtWidgets", "number"]


def number(*flags: object) -> int:
    """Flags together as the number that they stand for; PyQt6 keeps flags of different kinds apart."""
    together = 0
    for flag in flags:
        together |= int(getattr(flag, "value", flag))
    return together
