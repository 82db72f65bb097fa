"""The window that installs, updates, repairs and removes the engine. Krita stays usable meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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
_LOOK_MS, _LOG_MS = 100, 500
"""Intervals between two looks at the job and at its log."""
_END_S = 5.0
"""Time for a cancelled installation to delete what it has made."""


class EngineWindow(QtWidgets.QDialog):
    """A window with three pages: what is offered, the progress, and the end.

    The close button hides it while something runs. It comes back by itself when that has ended. `finished` is emitted
    when the user has closed it, with `Accepted` if they want to go on to the Harmonize dialog.

    parent: the main window, or the dialog.   has_next: whether to offer the Harmonize dialog at the end.
    """

    def __init__(self, parent: Any, offer: Offer, *, has_next: bool) -> None:
        super().__init__(parent)
        self.setWindowTitle(words.TITLE)
        self.setWindowFlag(QtCore.Qt.WindowType.WindowContextHelpButtonHint, False)
        # When it comes back by itself, the keyboard stays with what the user is doing.
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self._offer = offer
        self._has_next = has_next
        self._start: Callable[[], EngineJob] = start_removal
        self._job: EngineJob | None = None
        self._log_path: Path | None = None
        self._heading, self._text, self._size, self._paint_on = (_create_label() for _ in range(4))
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
        self._again = self._add_button(words.TRY_AGAIN, self._run)
        self._continue = self._add_button(words.CONTINUE, self.accept)
        self._cancel = self._add_button(words.CANCEL, self._cancel_job)
        self._close = self._add_button(words.CLOSE, self.reject)
        self._lay_out()
        self._job_timer, self._log_timer = QtCore.QTimer(self), QtCore.QTimer(self)
        self._job_timer.setInterval(_LOOK_MS)
        self._job_timer.timeout.connect(self._look)
        self._log_timer.setInterval(_LOG_MS)
        self._log_timer.timeout.connect(self._show_log)
        self._show_offer()

    @property
    def is_busy(self) -> bool:
        """Whether something is being installed or removed."""
        return self._job is not None

    def bring_to_front(self) -> None:
        """Show the window in front of Krita's other windows."""
        self.show()
        self.setWindowState(self.windowState() & ~QtCore.Qt.WindowState.WindowMinimized)
        self.raise_()
        self.activateWindow()

    def move_to(self, parent: Any) -> None:
        """Give it another parent, from which the Harmonize dialog can be opened at the end."""
        is_visible = self.isVisible()
        self.setParent(parent, self.windowFlags())
        self._has_next = True
        if self.is_busy:
            self._paint_on.setVisible(True)
        self.setVisible(is_visible)

    def take_over(self, other: EngineWindow) -> None:
        """Go on with what another window has started, which has been deleted with its parent."""
        self._offer, self._start, self._job = other._offer, other._start, other._job
        if self._job is not None:
            self._follow(self._job)

    def stop(self) -> None:
        """Cancel what runs, because Krita is closing, and wait a few seconds until nothing half-done is left."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            job.wait(_END_S)

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
        """Show these parts, and no others.   default: the button that the Enter key presses, None for none."""
        parts = (self._heading, self._bar, self._text, self._size, self._cuda, self._paint_on, self._details, self._log)
        for part in (*parts, *self._buttons):
            part.setVisible(part in shown)
            if isinstance(part, QtWidgets.QPushButton):
                part.setDefault(part is default)
        if self._details in shown:
            self._log.setVisible(self._details.isChecked())
        (default or self._details).setFocus()

    def _show_offer(self) -> None:
        offer = self._offer
        self._heading.setText(offer.heading)
        self._text.setText(offer.text)
        self._cuda.setChecked(offer.uses_cuda)
        self._action.setText(offer.action)
        shown = [self._heading, self._text, self._close]
        if offer.wheel is not None:
            shown += [self._action, self._size, *([self._cuda] if offer.has_cuda else [])]
        if offer.can_remove:
            shown.append(self._remove)
        self._show_size()
        self._show_page(*shown, default=self._close if offer.wheel is None else self._action)

    def _show_size(self) -> None:
        self._size.setText(words.describe_size(self._build))

    @property
    def _build(self) -> str:
        return CUDA if self._offer.has_cuda and self._cuda.isChecked() else CPU

    def _install(self) -> None:
        wheel, build = self._offer.wheel, self._build
        if wheel is not None:
            wishes = Wishes(wheel, Sources(build=build))
            self._start = lambda: start_installation(wishes)
            self._run()

    def _ask_removal(self) -> None:
        box = QtWidgets.QMessageBox(self)
        box.setIcon(QtWidgets.QMessageBox.Icon.Question)
        box.setWindowTitle(words.TITLE)
        box.setText(words.REMOVE_QUESTION)
        remove = box.addButton(words.REMOVE, QtWidgets.QMessageBox.ButtonRole.AcceptRole)
        cancel = box.addButton(words.CANCEL, QtWidgets.QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(cancel)
        box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        remove.clicked.connect(self._remove_engine)
        box.open()

    def _remove_engine(self) -> None:
        self._start = start_removal
        self._run()

    def _run(self) -> None:
        self._job = self._start()
        self._follow(self._job)

    def _follow(self, job: EngineJob) -> None:
        """Show the progress of a job until it ends."""
        self._log_path = job.log
        is_removal = self._start is start_removal
        self._bar.setRange(0, 0 if is_removal else _STEPS)  # a removal has one step
        self._bar.setValue(0)
        self._cancel.setEnabled(True)
        self._log.clear()
        shown = [self._bar, self._text, self._details, self._cancel, *([self._paint_on] if self._has_next else [])]
        self._show_page(*shown)  # neither Enter nor Escape cancels
        self._look()
        self._job_timer.start()
        self._log_timer.start()

    def _cancel_job(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._cancel.setEnabled(False)

    def _look(self) -> None:
        job = self._job
        if job is None:
            return
        is_done, progress = job.is_done, job.progress
        self._text.setText(words.format_progress(progress))
        self._bar.setValue(max(self._bar.value(), round(_STEPS * progress.fraction)))
        if is_done:
            self._job_timer.stop()
            self._log_timer.stop()
            self._show_log()
            self._job = None
            self._show_end(job)
            self.show()

    def _show_end(self, job: EngineJob) -> None:
        try:
            engine = job.get_engine()
        except ThinError as error:
            if error.code == CANCELLED:
                self._offer = words.make_offer()
                self._show_offer()
            else:
                self._text.setText(format_error(error))
                self._show_page(self._text, self._details, self._again, self._close, default=self._again)
            return
        self._heading.setText(words.format_end(engine))
        if engine is not None and self._has_next:
            self._show_page(self._heading, self._continue, self._close, default=self._continue)
        else:
            self._show_page(self._heading, self._close, default=self._close)

    def _show_log(self) -> None:
        """Show or hide the log, and update it if it is open. It follows the end unless the user has scrolled up."""
        is_open = self._details.isChecked() and not self._details.isHidden()
        self._details.setArrowType(QtCore.Qt.ArrowType.DownArrow if is_open else QtCore.Qt.ArrowType.RightArrow)
        self._log.setVisible(is_open)
        if not is_open or self._log_path is None:
            return
        text, old = words.read_log(self._log_path), self._log.toPlainText()
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
