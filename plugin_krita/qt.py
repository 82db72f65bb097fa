"""The Qt that Krita itself runs on: PyQt5 in Krita 5, PyQt6 in Krita 6. Importing the other one can end Krita.

Enumerations are written with their class, `Qt.WindowModality.WindowModal`: both understand that.
"""

from __future__ import annotations

from krita import Krita

# Not what is in sys.modules: another plug-in may have put the other one there.
if "PyQt6.QtCore" in (base.__module__ for base in Krita.__mro__):
    from PyQt6 import QtCore, QtGui, QtWidgets
else:
    from PyQt5 import QtCore, QtGui, QtWidgets

__all__ = ["QtCore", "QtGui", "QtWidgets", "combine_flags"]


def combine_flags(*flags: object) -> int:
    """Flags together as the number that they stand for; PyQt6 keeps flags of different kinds apart."""
    together = 0
    for flag in flags:
        together |= int(getattr(flag, "value", flag))
    return together
