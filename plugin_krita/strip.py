"""The strip of versions: a thumbnail of each, of which one is chosen."""

from __future__ import annotations

from typing import Any

from .qt import QtCore, QtGui, QtWidgets, combine_flags
from .thin.choices import VERSIONS_HELP, make_version_name
from .thin.protocol import MAX_VARIANTS

_Qt = QtCore.Qt
_THUMBNAIL = (100, 84)
"""Minimum width and height of a thumbnail in pixels."""
_SPACING = 8
_BORDER, _CHOSEN_BORDER = 1, 4


class VersionStrip(QtWidgets.QWidget):
    """Up to five thumbnails. The arrow keys choose among them when one has the focus.

    It takes up its space even before there are pictures.
    chosen: emitted with the number, from 1, that the user chose.
    """

    chosen = QtCore.pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self._group = QtWidgets.QButtonGroup(self)  # which moves and checks with the arrow keys
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(_SPACING)
        for number in range(1, MAX_VARIANTS + 1):
            button = _Thumbnail(number)
            self._group.addButton(button, number)
            row.addWidget(button, 1)
            button.clicked.connect(lambda _=False, number=number: self.chosen.emit(number))
        self.setFixedHeight(_THUMBNAIL[1] + 2 * _CHOSEN_BORDER)
        self.setFocusProxy(self._group.button(1))

    def show_versions(self, probabilities: list[float], pictures: list[Any], number: int) -> None:
        """Show a QImage, or None, for each probability, and mark a version as chosen, from 1.

        A single version is hidden.
        """
        for button in self._group.buttons():
            index = button.number - 1
            is_there = len(probabilities) > 1 and index < len(probabilities)
            button.setVisible(is_there)
            if is_there:
                button.show_picture(pictures[index], probabilities[index])
        self._group.button(number).setChecked(True)
        self.setFocusProxy(self._group.button(number))


class _Thumbnail(QtWidgets.QAbstractButton):
    """A button with the picture and number of one version."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self._picture: Any = None
        self.setCheckable(True)
        self.setMinimumSize(*_THUMBNAIL)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(_Qt.FocusPolicy.StrongFocus)
        self.hide()

    def show_picture(self, picture: Any, probability: float) -> None:
        """Show a QImage, or None for none yet."""
        name = make_version_name(self.number, probability)
        self.setAccessibleName(name)
        self.setToolTip(f"{name}\n{VERSIONS_HELP}")
        if picture is not self._picture:
            self._picture = picture
            self.update()

    def sizeHint(self) -> Any:  # noqa: N802  Qt's names
        return QtCore.QSize(*_THUMBNAIL)

    def paintEvent(self, _: Any) -> None:  # noqa: N802
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        area = self.rect().adjusted(_CHOSEN_BORDER, _CHOSEN_BORDER, -_CHOSEN_BORDER, -_CHOSEN_BORDER)
        painter.fillRect(self.rect(), self.palette().base())
        if self._picture is not None:
            size = self._picture.size().scaled(area.size(), _Qt.AspectRatioMode.KeepAspectRatio)
            place = QtCore.QRect(QtCore.QPoint(0, 0), size)
            place.moveCenter(area.center())
            ratio = self.devicePixelRatioF()
            small = self._picture.scaled(
                size * ratio, _Qt.AspectRatioMode.IgnoreAspectRatio, _Qt.TransformationMode.SmoothTransformation
            )
            painter.drawImage(place, small)
        self._paint_number(painter, area)
        self._paint_border(painter)

    def _paint_number(self, painter: Any, area: Any) -> None:
        font = self.font()
        font.setBold(self.isChecked())
        painter.setFont(font)
        text = f"{self.number} ✓" if self.isChecked() else str(self.number)
        flags = combine_flags(_Qt.AlignmentFlag.AlignLeft, _Qt.AlignmentFlag.AlignTop)
        room = area.adjusted(6, 3, 0, 0)
        box = painter.boundingRect(room, flags, text)
        painter.fillRect(box.adjusted(-6, -3, 6, 2), QtGui.QColor(0, 0, 0, 170))
        painter.setPen(QtGui.QColor(255, 255, 255))
        painter.drawText(room, flags, text)

    def _paint_border(self, painter: Any) -> None:
        width = _CHOSEN_BORDER if self.isChecked() else _BORDER
        brush = self.palette().highlight() if self.isChecked() else self.palette().mid()
        pen = QtGui.QPen(brush, width)
        pen.setJoinStyle(_Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        inset = width // 2
        painter.drawRect(self.rect().adjusted(inset, inset, -max(1, inset), -max(1, inset)))
        if self.hasFocus():
            painter.setPen(QtGui.QPen(QtGui.QColor(255, 255, 255), 1, _Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(2, 2, -3, -3))
