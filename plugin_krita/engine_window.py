"""The window that installs, updates, repairs and removes the engine. Krita stays usable meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from .qt import QtCore, QtGui, QtWidgets
from .thin.choices import format_error
from .thin.engine import offer as words
from .thin.engine.environment import Sources
from .thin.engine.installer import Wishes
from .thin.engine.job import EngineJob, start_installation, start_removal
from .thin.engine.offer import Offer
from .thin.engine.switch import CPU, CUDA
from .thin.protocol import CANCELLED, ThinError

_SIZE = (540, 330)
"""Width and height in pixels that hold every page, so that the window keeps its size."""
_LOG_HEIGHT = 110
"""Least height of the log in pixels."""
_STEPS = 1000
_LOOK_MS = 200
"""Interval between two looks at the job and its log."""


class EngineWindow(QtWidgets.QDialog):
    """A window with three pages: what is offered, the progress, and the end.

    The close button hides it while something runs. It comes back by itself when that has ended.

    parent: the main window.   job: what runs already, if the window is to show it.
    started: emitted with a job that the user has started, which goes on if the window is deleted.
    finished: emitted when the user has closed the window, with `Accepted` if they want to go on to the dialog.
    """

    started = QtCore.pyqtSignal(object)

    def __init__(self, parent: Any, offer: Offer, job: EngineJob | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(words.TITLE)
        self.setWindowFlag(QtCore.Qt.WindowType.WindowContextHelpButtonHint, False)
        # When it comes back by itself, the keyboard stays with what the user is doing.
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self._offer = offer
        self._job: EngineJob | None = None
        self._heading, self._size, self._paint_on = (_create_label() for _ in range(3))
        self._text = _create_text()
        font = self._heading.font()
        font.setBold(True)
        self._heading.setFont(font)
        self._paint_on.setText(words.PAINT_ON)
        self._cuda = QtWidgets.QCheckBox(words.CUDA_LABEL)
        self._cuda.toggled.connect(self._show_size)
        self._bar = QtWidgets.QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName(words.TITLE)
        self._details = _create_details()
        self._details.toggled.connect(self._show_log)
        self._log = _create_log()
        self._buttons: list[Any] = []
        self._action = self._add_button("", self._install)
        self._remove = self._add_button(words.REMOVE, self._ask_removal)
        self._again = self._add_button(words.TRY_AGAIN, self._try_again)
        self._continue = self._add_button(words.CONTINUE, self.accept)
        self._cancel = self._add_button(words.CANCEL, self._cancel_job)
        self._close = self._add_button(words.CLOSE, self.reject)
        self._lay_out()
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        if job is None:
            self._show_offer()
        else:
            self._follow(job)

    @property
    def is_busy(self) -> bool:
        """Whether it shows the progress of a job."""
        return self._timer.isActive()

    def bring_to_front(self) -> None:
        """Show the window in front of Krita's other windows."""
        self.show()
        self.setWindowState(self.windowState() & ~QtCore.Qt.WindowState.WindowMinimized)
        self.raise_()
        self.activateWindow()

    def discard(self) -> None:
        """Hide and delete the window, without emitting `finished`."""
        self._timer.stop()
        self.hide()
        self.deleteLater()

    def reject(self) -> None:
        """Close the window, unless something runs: Escape must not throw away a long download."""
        if not self.is_busy:
            super().reject()

    def closeEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Hide the window while something runs."""
        if self.is_busy:
            event.accept()  # not `ignore`, which would keep Krita from closing
        else:
            super().closeEvent(event)

    def _add_button(self, text: str, on_click: Callable[[], object]) -> Any:
        button = QtWidgets.QPushButton(text)
        button.setAutoDefault(False)
        button.clicked.connect(lambda: on_click())
        self._buttons.append(button)
        return button

    def _lay_out(self) -> None:
        column = QtWidgets.QVBoxLayout(self)
        column.setSpacing(10)
        for widget in (self._heading, self._bar, self._text, self._size, self._cuda, self._paint_on, self._details):
            column.addWidget(widget)
        column.addWidget(self._log, 1)
        column.addStretch()
        row = QtWidgets.QHBoxLayout()  # Qt 6's button box changes the order when buttons are hidden and shown
        row.addStretch()
        for button in self._buttons:
            row.addWidget(button)
        column.addLayout(row)
        self.setMinimumWidth(_SIZE[0])
        self.resize(*_SIZE)

    def _show_page(self, *shown: Any, default: Any = None) -> None:
        """Show these parts, and no others.   default: the button that the Enter key presses, None for none.

        The details are left out if there is no log.
        """
        parts = (self._heading, self._bar, self._text, self._size, self._cuda, self._paint_on, self._details, self._log)
        has_log = self._job is not None and not self._job.is_removal
        for part in (*parts, *self._buttons):
            part.setVisible(part in shown and (has_log or part is not self._details))
        for button in self._buttons:
            button.setDefault(button is default)
        self._show_log()
        (default or self._details).setFocus()

    def _show_offer(self) -> None:
        offer = self._offer
        self._heading.setText(offer.heading)
        self._text.setPlainText(offer.text)
        self._cuda.setChecked(offer.uses_cuda)
        self._action.setText(offer.action)
        shown = [self._heading, self._text, self._close]
        if offer.wheel is not None:
            shown += [self._action, self._size, *([self._cuda] if offer.has_cuda else [])]
        if offer.can_remove:
            shown.append(self._remove)
        self._show_size()
        is_needed = offer.wheel is not None and (offer.is_update or not offer.is_ready)
        self._show_page(*shown, default=self._action if is_needed else self._close)

    def _show_size(self) -> None:
        self._size.setText(words.describe_size(self._build))

    @property
    def _build(self) -> str:
        return CUDA if self._offer.has_cuda and self._cuda.isChecked() else CPU

    def _install(self) -> None:
        if self._offer.wheel is not None:
            self._begin(start_installation(Wishes(self._offer.wheel, Sources(build=self._build))))

    def _ask_removal(self) -> None:
        box = QtWidgets.QMessageBox(self)
        box.setIcon(QtWidgets.QMessageBox.Icon.Question)
        box.setWindowTitle(words.TITLE)
        box.setText(words.REMOVE_QUESTION)
        remove = box.addButton(words.REMOVE, QtWidgets.QMessageBox.ButtonRole.AcceptRole)
        cancel = box.addButton(words.CANCEL, QtWidgets.QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(cancel)
        box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        remove.clicked.connect(lambda: self._begin(start_removal()))
        box.open()

    def _try_again(self) -> None:
        if self._job is not None:
            self._begin(self._job.restart())

    def _begin(self, job: EngineJob) -> None:
        self.started.emit(job)
        self._follow(job)

    def _follow(self, job: EngineJob) -> None:
        """Show the progress of a job until it ends."""
        self._job = job
        self._bar.setRange(0, 0 if job.is_removal else _STEPS)
        self._bar.setValue(0)
        self._cancel.setEnabled(True)
        self._log.clear()
        # Neither Enter nor Escape cancels.
        self._show_page(self._bar, self._text, self._paint_on, self._details, self._cancel)
        self._timer.start()
        self._look()

    def _cancel_job(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._cancel.setEnabled(False)

    def _look(self) -> None:
        job = self._job
        if job is None:
            return
        is_done, progress = job.is_done, job.progress
        text = words.format_progress(progress)
        if text != self._text.toPlainText():  # keeps what the user has selected
            self._text.setPlainText(text)
        self._bar.setValue(max(self._bar.value(), round(_STEPS * progress.fraction)))
        if not job.can_cancel:
            self._cancel.setEnabled(False)
        if is_done:
            self._timer.stop()
            self._show_end(job)
            self.show()
        else:
            self._show_log()

    def _show_end(self, job: EngineJob) -> None:
        try:
            engine = job.get_engine()
        except ThinError as error:
            if error.code == CANCELLED:
                self._offer = words.make_offer()
                self._show_offer()
            else:
                self._text.setPlainText(format_error(error))
                self._show_page(self._text, self._details, self._again, self._close, default=self._again)
            return
        self._heading.setText(words.format_end(engine))
        default = self._close if engine is None else self._continue
        self._show_page(self._heading, self._close, default, default=default)

    def _show_log(self) -> None:
        """Show or hide the log, and update it if it is open. It follows the end unless the user has scrolled up."""
        is_open = self._details.isChecked() and not self._details.isHidden()
        self._details.setArrowType(QtCore.Qt.ArrowType.DownArrow if is_open else QtCore.Qt.ArrowType.RightArrow)
        self._log.setVisible(is_open)
        if not is_open or self._job is None:
            return
        text, old = words.read_log(self._job.log), self._log.toPlainText()
        bar = self._log.verticalScrollBar()
        is_at_end = bar.value() == bar.maximum()
        if text.startswith(old):  # keeps what the user has selected
            cursor = QtGui.QTextCursor(self._log.document())
            cursor.movePosition(QtGui.QTextCursor.MoveOperation.End)
            cursor.insertText(text[len(old) :])
        else:
            self._log.setPlainText(text)
        if is_at_end:
            bar.setValue(bar.maximum())


def _create_label() -> Any:
    label = QtWidgets.QLabel()
    label.setWordWrap(True)
    label.setTextFormat(QtCore.Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(QtCore.Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _create_text() -> Any:
    """Return a text that is as high as it needs to be. Unlike a label's, its long words are broken, such as paths."""
    text = QtWidgets.QTextEdit()
    text.setReadOnly(True)
    text.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)
    text.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
    text.viewport().setAutoFillBackground(False)
    text.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    text.document().setDocumentMargin(0)
    text.document().documentLayout().documentSizeChanged.connect(lambda size: text.setFixedHeight(ceil(size.height())))
    return text


def _create_details() -> Any:
    button = QtWidgets.QToolButton()
    button.setText(words.DETAILS)
    button.setCheckable(True)
    button.setAutoRaise(True)
    button.setArrowType(QtCore.Qt.ArrowType.RightArrow)
    button.setToolButtonStyle(QtCore.Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    return button


def _create_log() -> Any:
    log = QtWidgets.QPlainTextEdit()
    log.setReadOnly(True)
    log.setUndoRedoEnabled(False)
    log.setLineWrapMode(QtWidgets.QPlainTextEdit.LineWrapMode.NoWrap)
    log.setFont(QtGui.QFontDatabase.systemFont(QtGui.QFontDatabase.SystemFont.FixedFont))
    log.setAccessibleName(words.DETAILS.replace("&", ""))
    log.setMinimumHeight(_LOG_HEIGHT)
    return log
