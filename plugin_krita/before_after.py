"""The preview's picture: before and after, separated by a line that the user moves."""

from __future__ import annotations

from typing import Any

from .qt import QtCore, QtGui, QtWidgets, combine_flags

_Qt = QtCore.Qt
_KEY_STEP = 0.05
"""How far an arrow key moves the line, as a fraction of the picture's width."""


class BeforeAfter(QtWidgets.QWidget):
    """Two pictures separated by a line that the user moves with the mouse or the arrow keys.   size: the smallest."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.setMinimumSize(*size)
        self.setCursor(_Qt.CursorShape.SplitHCursor)
        self.setToolTip("Before on the left, after on the right. Drag to move the line, or use the arrow keys.")
        self.setFocusPolicy(_Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Preview")
        self._before: Any = None
        self._after: Any = None
        self._text = ""
        self._line = 0.5

    def show_pictures(self, before: Any, after: Any, text: str) -> None:
        """Show QImages, or None, and a text over them. Screen readers read the text."""
        if text != self._text:
            self.setAccessibleDescription(text)
        self._before, self._after, self._text = before, after, text
        self.update()

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802  Qt's names
        self._move_line_to(event)

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802
        self._move_line_to(event)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        steps = {_Qt.Key.Key_Left: -_KEY_STEP, _Qt.Key.Key_Right: _KEY_STEP}
        if event.key() in steps:
            self._set_line(self._line + steps[event.key()])
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _: Any) -> None:  # noqa: N802
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), self.palette().base())
        area = self._find_area()
        if self._before is not None:
            self._paint_pictures(painter, area)
        if self._text:
            self._paint_text(painter)
        if self.hasFocus():
            painter.setPen(QtGui.QPen(self.palette().highlight(), 2))
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))

    def _find_area(self) -> Any:
        """Return the area of the pictures: as large as possible, at most four times their size."""
        if self._before is None:
            return self.rect()
        size = self._before.size().scaled(self.size(), _Qt.AspectRatioMode.KeepAspectRatio)
        size = size.boundedTo(self._before.size() * 4)
        area = QtCore.QRect(QtCore.QPoint(0, 0), size)
        area.moveCenter(self.rect().center())
        return area

    def _move_line_to(self, event: Any) -> None:
        area = self._find_area()
        self._set_line((event.pos().x() - area.x()) / max(1, area.width()))

    def _set_line(self, line: float) -> None:
        self._line = min(max(line, 0.0), 1.0)
        self.update()

    def _paint_pictures(self, painter: Any, area: Any) -> None:
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(area, QtGui.QBrush(QtGui.QColor(128, 128, 128)))
        painter.fillRect(area, QtGui.QBrush(QtGui.QColor(160, 160, 160), _Qt.BrushStyle.Dense4Pattern))
        painter.drawImage(area, self._before)
        if self._after is None:
            return
        line = area.x() + round(self._line * area.width())
        painter.save()
        painter.setClipRect(QtCore.QRect(line, area.y(), area.right() - line + 1, area.height()))
        painter.drawImage(area, self._after)
        painter.restore()
        painter.setPen(QtGui.QPen(QtGui.QColor(0, 0, 0, 120), 3))
        painter.drawLine(line, area.top(), line, area.bottom())
        painter.setPen(QtGui.QPen(QtGui.QColor(255, 255, 255), 1))
        painter.drawLine(line, area.top(), line, area.bottom())
        _draw_label(painter, area, "Before", _Qt.AlignmentFlag.AlignLeft)
        _draw_label(painter, area, "After", _Qt.AlignmentFlag.AlignRight)

    def _paint_text(self, painter: Any) -> None:
        flags = combine_flags(_Qt.AlignmentFlag.AlignCenter, _Qt.TextFlag.TextWordWrap)
        room = self.rect().adjusted(24, 24, -24, -24)
        box = painter.boundingRect(room, flags, self._text)
        painter.fillRect(box.adjusted(-12, -8, 12, 8), QtGui.QColor(0, 0, 0, 170))
        painter.setPen(QtGui.QColor(255, 255, 255))
        painter.drawText(room, flags, self._text)


def _draw_label(painter: Any, area: Any, text: str, side: Any) -> None:
    """Draw a label in the lower corner of a side."""
    flags = combine_flags(side, _Qt.AlignmentFlag.AlignBottom)
    room = area.adjusted(12, 8, -12, -8)
    box = painter.boundingRect(room, flags, text)
    painter.fillRect(box.adjusted(-6, -3, 6, 3), QtGui.QColor(0, 0, 0, 140))
    painter.setPen(QtGui.QColor(255, 255, 255))
    painter.drawText(room, flags, text)
