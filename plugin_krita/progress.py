"""The window that shows the progress and lets the user cancel."""

from __future__ import annotations

from typing import Any

from .qt import QtCore, QtWidgets
from .thin.choices import TITLE

_STEPS = 1000


class Progress(QtWidgets.QDialog):
    """A modal progress window. Cancel, Escape and the close button emit `rejected`."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self.setWindowTitle(TITLE)
        self.setWindowModality(QtCore.Qt.WindowModality.WindowModal)
        self.setWindowFlag(QtCore.Qt.WindowType.WindowContextHelpButtonHint, False)
        self.setMinimumWidth(420)
        self._text = QtWidgets.QLabel()
        self._text.setWordWrap(True)
        self._bar = QtWidgets.QProgressBar()
        self._bar.setRange(0, _STEPS)
        self._bar.setTextVisible(False)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.StandardButton.Cancel)
        buttons.rejected.connect(self.reject)
        column = QtWidgets.QVBoxLayout(self)
        column.setSpacing(12)
        for widget in (self._text, self._bar, buttons):
            column.addWidget(widget)

    def report(self, text: str, fraction: float | None) -> None:
        """Show a text and the progress 0..1; None shows a busy bar."""
        if self._text.text() != text:
            self._text.setText(text)
        self._bar.setRange(0, 0 if fraction is None else _STEPS)
        if fraction is not None:
            self._bar.setValue(round(_STEPS * fraction))
