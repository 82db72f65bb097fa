"""Sliders with a number beside them."""

from __future__ import annotations

from typing import Any

from .qt import QtCore, QtWidgets

_Qt = QtCore.Qt


class NumberSlider(QtWidgets.QWidget):
    """A slider with an entry for its number.   changed: emitted when the user has changed the number.

    name: for screen readers.   most: the largest number.   least: the smallest.   value: the first one.
    decimals: of the number; the slider moves in steps of the last one.   step: of the entry's arrows.
    reset: the number that a double click sets, None if it does nothing.
    """

    changed = QtCore.pyqtSignal()

    def __init__(
        self, name: str, least: int, most: int, value: float, *, decimals: int, step: float, reset: float | None
    ) -> None:
        super().__init__()
        self._decimals = decimals
        self._scale = 10**decimals
        self._slider = _ResettableSlider(None if reset is None else round(self._scale * reset))
        self._slider.setRange(least * self._scale, most * self._scale)
        self._slider.setPageStep(10)
        self._number = QtWidgets.QDoubleSpinBox()
        self._number.setDecimals(decimals)
        self._number.setRange(least, most)
        self._number.setSingleStep(step)
        self._slider.setValue(round(self._scale * value))
        self._number.setValue(value)
        for part in (self._slider, self._number):
            part.setAccessibleName(name)
        self._slider.valueChanged.connect(lambda steps: self._number.setValue(steps / self._scale))
        self._number.valueChanged.connect(self._follow)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._number)
        self.setFocusProxy(self._slider)

    def read_value(self) -> float:
        """Return the number, from `least` to `most`."""
        return round(self._number.value(), self._decimals)

    def setToolTip(self, text: str) -> None:  # noqa: N802  Qt's name
        """Show the text on both parts, which screen readers also read as their description."""
        super().setToolTip(text)
        for part in (self._slider, self._number):
            part.setToolTip(text)
            part.setAccessibleDescription(text)

    def _follow(self, value: float) -> None:
        self._slider.setValue(round(self._scale * value))
        self.changed.emit()


class _ResettableSlider(QtWidgets.QSlider):
    """A horizontal slider.   reset: the value that a double click sets, None if it does nothing."""

    def __init__(self, reset: int | None) -> None:
        super().__init__(_Qt.Orientation.Horizontal)
        self._reset = reset

    def mouseDoubleClickEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Reset the value."""
        if self._reset is None:
            super().mouseDoubleClickEvent(event)
        else:
            self.setValue(self._reset)
