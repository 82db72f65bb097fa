"""The dialog: strength, what to compare with, where the result goes, and a live preview of before and after."""

from __future__ import annotations

from typing import Any

from .preview import VIEW, Preview
from .qt import QtCore, QtGui, QtWidgets, combine_flags
from .source import Source, list_layers
from .thin import choices, diagnostics
from .thin.job import Backend
from .values import OUTPUTS, Values

_Qt = QtCore.Qt
_EXPANDING = QtWidgets.QSizePolicy.Policy.Expanding
_EDGE_HELP = (
    "Undo removes the new layer but does not show a hidden original again. Make it visible yourself.\n"
    "If the original stays visible, the new layer's soft edge overlaps it and is up to a quarter more opaque."
)


class HarmonizeDialog(QtWidgets.QDialog):
    """The dialog for one layer. Call `read_values` when it is accepted, and `stop` when it is closed.

    values: the initial values.
    """

    def __init__(self, parent: Any, source: Source, values: Values, backend: Backend) -> None:
        super().__init__(parent)
        self.source = source
        self._host = backend.host
        self.setWindowTitle(choices.TITLE)
        self.setWindowModality(_Qt.WindowModality.WindowModal)
        self.setWindowFlag(_Qt.WindowType.WindowContextHelpButtonHint, False)
        self._strength = _Strength(values.strength)
        self._compare = _create_choice(choices.COMPARE_WITH, tuple(choices.COMPARE_WITH), values.compare)
        self._layer = _create_layer_choice(source, values)
        self._layer.setToolTip(choices.COMPARE_HELP)
        self._clean = QtWidgets.QCheckBox(choices.CLEAN_EDGES)
        self._clean.setChecked(values.clean_edges)
        self._output = _create_choice(choices.OUTPUT, OUTPUTS, values.output)
        self._view = _BeforeAfter()
        self._preview = Preview(source, backend, self._show_preview)
        self._lay_out()
        self._strength.changed.connect(self._refresh)
        self._compare.currentIndexChanged.connect(self._refresh)
        self._layer.currentIndexChanged.connect(self._refresh)
        self._clean.toggled.connect(self._refresh)
        self._refresh()

    def read_values(self) -> Values:
        """Return the values that the user has chosen."""
        compare = self._compare.currentData()
        chosen = compare == choices.CHOSEN_LAYER
        return Values(
            strength=self._strength.read_value(),
            compare=compare,
            layer=self._layer.currentData() or "" if chosen else "",
            layer_name=self._layer.currentText().strip() if chosen else "",
            clean_edges=self._clean.isChecked(),
            output=self._output.currentData(),
        )

    def stop(self) -> None:
        """Stop the preview."""
        self._preview.stop()

    def _lay_out(self) -> None:
        blurb = QtWidgets.QLabel(choices.BLURB)
        form = QtWidgets.QFormLayout()
        form.setFieldGrowthPolicy(QtWidgets.QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for label, widget, text in (
            ("&Strength:", self._strength, choices.STRENGTH_HELP),
            ("&Compare with:", self._compare, choices.COMPARE_HELP),
            ("", self._clean, choices.CLEAN_EDGES_HELP),
            ("&Result:", self._output, f"{choices.OUTPUT_HELP}\n{_EDGE_HELP}"),
        ):
            widget.setToolTip(text)
            if widget is self._compare:
                row = QtWidgets.QHBoxLayout()
                row.addWidget(self._compare, 1)
                row.addWidget(self._layer, 1)
                name = QtWidgets.QLabel(label)
                name.setBuddy(self._compare)  # Qt can't assign the shortcut in a row of two widgets
                form.addRow(name, row)
            else:
                form.addRow(label, widget)
        standard = QtWidgets.QDialogButtonBox.StandardButton
        buttons = QtWidgets.QDialogButtonBox(standard.Ok | standard.Cancel)
        buttons.button(standard.Ok).setText(f"&{choices.TITLE}")
        buttons.addButton(_CopyDiagnostics(self._host), QtWidgets.QDialogButtonBox.ButtonRole.ResetRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QtWidgets.QVBoxLayout(self)
        column.setSpacing(10)
        column.addWidget(blurb)
        column.addWidget(self._view, 1)
        column.addLayout(form)
        column.addWidget(buttons)

    def _refresh(self) -> None:
        chosen = self._compare.currentData() == choices.CHOSEN_LAYER
        self._layer.setVisible(chosen)
        self._preview.show(self.read_values())

    def _show_preview(self) -> None:
        self._view.show_pictures(self._preview.before, self._preview.after, self._preview.text)


class _CopyDiagnostics(QtWidgets.QPushButton):
    """A button that copies the diagnostics to the clipboard without blocking the dialog."""

    def __init__(self, host: tuple[str, str]) -> None:
        super().__init__(diagnostics.COPY)
        self.setToolTip(diagnostics.COPY_HELP)
        self.setAutoDefault(False)
        self._host = host
        self._diagnosis: Any = None
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(50)
        self._timer.timeout.connect(self._poll)
        self.clicked.connect(self._ask)

    def _ask(self) -> None:
        self.setEnabled(False)
        self.setText(diagnostics.COPYING)
        self._diagnosis = diagnostics.Diagnosis(self._host)
        self._timer.start()

    def _poll(self) -> None:
        if self._diagnosis.is_done:
            self._timer.stop()
            QtWidgets.QApplication.clipboard().setText(self._diagnosis.text)
            self.setText(diagnostics.COPIED)
            self.setEnabled(True)


class _Strength(QtWidgets.QWidget):
    """A slider with a number, 0 to 1."""

    changed = QtCore.pyqtSignal()

    def __init__(self, value: float) -> None:
        super().__init__()
        self._slider = QtWidgets.QSlider(_Qt.Orientation.Horizontal)
        self._slider.setRange(0, 100)
        self._number = QtWidgets.QDoubleSpinBox()
        self._number.setRange(0, 1)
        self._number.setSingleStep(0.05)
        self._number.setDecimals(2)
        self._slider.setValue(round(100 * value))
        self._number.setValue(value)
        self._slider.valueChanged.connect(lambda hundredths: self._number.setValue(hundredths / 100))
        self._number.valueChanged.connect(self._follow)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._number)
        self.setFocusProxy(self._slider)

    def read_value(self) -> float:
        """Return the strength, 0..1."""
        return round(self._number.value(), 2)

    def _follow(self, value: float) -> None:
        self._slider.setValue(round(100 * value))
        self.changed.emit()


class _BeforeAfter(QtWidgets.QWidget):
    """Two pictures separated by a line that the user moves with the mouse."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(*VIEW)
        self.setCursor(_Qt.CursorShape.SplitHCursor)
        self.setToolTip("Before on the left, after on the right. Drag to move the line.")
        self._before: Any = None
        self._after: Any = None
        self._text = ""
        self._line = 0.5

    def show_pictures(self, before: Any, after: Any, text: str) -> None:
        self._before, self._after, self._text = before, after, text
        self.update()

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802  Qt's names
        self._move_line(event)

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802
        self._move_line(event)

    def paintEvent(self, _: Any) -> None:  # noqa: N802
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), self.palette().base())
        area = self._find_area()
        if self._before is not None:
            self._paint_pictures(painter, area)
        if self._text:
            self._paint_text(painter)

    def _find_area(self) -> Any:
        """Return the area of the pictures: as large as possible, at most four times their size."""
        if self._before is None:
            return self.rect()
        size = self._before.size().scaled(self.size(), _Qt.AspectRatioMode.KeepAspectRatio)
        size = size.boundedTo(self._before.size() * 4)
        area = QtCore.QRect(QtCore.QPoint(0, 0), size)
        area.moveCenter(self.rect().center())
        return area

    def _move_line(self, event: Any) -> None:
        area = self._find_area()
        self._line = min(max((event.pos().x() - area.x()) / max(1, area.width()), 0.0), 1.0)
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


def _create_choice(words: Any, names: tuple[str, ...], chosen: str) -> Any:
    box = QtWidgets.QComboBox()
    for name in names:
        box.addItem(words[name], name)
    box.setCurrentIndex(names.index(chosen))
    box.setSizePolicy(_EXPANDING, QtWidgets.QSizePolicy.Policy.Fixed)
    return box


def _create_layer_choice(source: Source, values: Values) -> Any:
    """Return a combo box of all layers except the harmonized one and its contents, in the order of Krita's list."""
    box = QtWidgets.QComboBox()

    def add(group: Any, depth: int) -> None:
        for node in reversed(list_layers(group)):
            if node.uniqueId() != source.node.uniqueId():
                box.addItem("    " * depth + node.name(), node.uniqueId().toString())
                add(node, depth + 1)

    add(source.document.rootNode(), 0)
    box.setCurrentIndex(max(0, box.findData(values.layer)))
    return box
