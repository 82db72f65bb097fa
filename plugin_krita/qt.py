"""The Qt that Krita itself uses: PyQt5 in Krita 5, PyQt6 in Krita 6. Importing the other one can crash Krita.

Write enumerations with their class, such as `Qt.WindowModality.WindowModal`, which works in both.
"""

from __future__ import annotations

from krita import Krita

# Don't check sys.modules: another plug-in may have imported the other one.
if "PyQt6.QtCore" in (base.__module__ for base in Krita.__mro__):
    from PyQt6 import QtCore, QtGui, QtWidgets
else:
    from PyQt5 import QtCore, QtGui, QtWidgets

__all__ = ["QtCore", "QtGui", "QtWidgets", "combine_flags"]


def combine_flags(*flags: object) -> int:
    """Return flags combined into a number, because PyQt6 can't combine flags of different types."""
    together = 0
    for flag in flags:
        together |= int(getattr(flag, "value", flag))
    return together
