"""The two entries of Krita's Filter menu and their actions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from krita import Extension, Krita

from .dialog import HarmonizeDialog
from .engine_manager import EngineManager
from .harmonizing import Outcome, harmonize
from .progress import Progress
from .qt import QtCore, QtGui, QtWidgets
from .source import Sources, check_source_between_steps, read_sources
from .steps import Steps
from .thin.choices import TITLE, format_error
from .thin.engine.offer import make_offer
from .thin.job import Backend
from .thin.protocol import CANCELLED, INTERNAL, OUT_OF_MEMORY, ThinError
from .values import Values, read_last_values, replace_values, save_values

ACTION, ACTION_AGAIN = "gknet_harmonize", "gknet_harmonize_again"

_NOTICE_MS = 6000
"""How long a notice stays on the canvas."""


class Harmonize(Extension):
    """The extension. Krita creates it once, and its actions once per main window. It does one run at a time."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self._backend = Backend(("Krita", Krita.instance().version()))
        self._dialog: HarmonizeDialog | None = None
        self._progress: Progress | None = None
        self._steps: Steps | None = None
        self._engine = EngineManager(_find_window, self._on_engine_window_close)
        self._kept_values: Values | None = None  # for the dialog that follows the engine window
        self._left_document: Any = None  # the one whose dialog made way: there it follows also without the button

    def setup(self) -> None:  # Krita calls it
        notifier = Krita.instance().notifier()
        notifier.setActive(True)
        notifier.applicationClosing.connect(self._close)

    def createActions(self, window: Any) -> None:  # noqa: N802  Krita's name
        window.createAction(ACTION, f"{TITLE}…", "filter").triggered.connect(self.open_dialog)
        again = window.createAction(ACTION_AGAIN, f"{TITLE} with Last Values", "filter")
        again.triggered.connect(self.run_again)

    def open_dialog(self) -> None:
        """Open the dialog with the last values, or those of a script, then harmonize the selected layers.

        Without an engine, offer to install it first.
        """
        values = _read_values(ACTION, self._kept_values)
        if values is None or self._is_harmonizing:
            return
        if self._engine.is_busy:
            self._engine.bring_to_front()
            return
        self._engine.close_window()
        offer = make_offer()
        if not offer.is_ready:
            self._kept_values, self._left_document = values, None
            self._engine.open_window(offer)
            return
        sources = self._find_sources()
        if sources is None:
            return
        self._kept_values = None
        dialog = HarmonizeDialog(_find_window(), sources, values, self._backend, is_update=offer.is_update)
        dialog.engine_wanted.connect(self._manage_engine)
        dialog.accepted.connect(self._take_dialog)
        dialog.rejected.connect(self._forget_dialog)
        self._dialog = dialog
        dialog.open()

    def run_again(self) -> None:
        """Harmonize the selected layers with the last values, or with the defaults. A script's values are not kept."""
        values, sources = _read_values(ACTION_AGAIN, None), self._find_sources()
        if values is not None and sources is not None:
            self._run(sources, values)

    @property
    def _is_harmonizing(self) -> bool:
        return self._dialog is not None or self._steps is not None

    def _find_sources(self) -> Sources | None:
        """Return the selected layers. Return None if others are being harmonized, or after showing an error."""
        if self._is_harmonizing:
            return None
        try:
            return read_sources(Krita.instance().activeDocument(), _list_selected_nodes())
        except ThinError as error:
            _show_error(error)
            return None

    def _take_dialog(self) -> None:
        dialog = self._dialog
        if dialog is None:
            return
        values, sources = dialog.read_values(), dialog.sources
        self._forget_dialog()
        save_values(values)
        try:
            sources.check()
        except ThinError as error:
            _show_error(error)
        else:
            self._run(sources, values)

    def _forget_dialog(self) -> None:
        dialog, self._dialog = self._dialog, None
        if dialog is not None:
            dialog.stop()
            with suppress(RuntimeError):
                dialog.deleteLater()

    def _manage_engine(self) -> None:
        """Open the engine window in place of the dialog, which blocks its main window."""
        if self._dialog is not None:
            self._kept_values = self._dialog.read_values()
            self._left_document = self._dialog.sources.topmost.document
            self._dialog.reject()
            self._engine.open_window(make_offer())

    def _on_engine_window_close(self, is_continued: bool) -> None:
        # On a document that the user has turned to meanwhile, nobody would expect the dialog.
        is_still_there = self._left_document is not None and Krita.instance().activeDocument() == self._left_document
        if is_continued or (is_still_there and make_offer().is_ready):
            self.open_dialog()
        else:
            self._kept_values = None

    def _run(self, sources: Sources, values: Values) -> None:
        progress = Progress(_find_window())
        progress.rejected.connect(self._end)
        self._progress = progress
        progress.open()
        work = harmonize(sources, values, self._backend, progress.report)
        self._steps = Steps(check_source_between_steps(sources, work), self._on_end, self._on_error)

    def _on_end(self, outcome: Outcome) -> None:
        self._end()
        window = Krita.instance().activeWindow()
        if window is None:
            return
        if outcome.notices:
            window.activeView().showFloatingMessage("\n".join(outcome.notices), QtGui.QIcon(), _NOTICE_MS, 1)
        if outcome.left_out:
            _show_text("\n".join(outcome.left_out))

    def _on_error(self, error: Exception) -> None:
        self._end()
        if isinstance(error, MemoryError):
            error = ThinError(
                OUT_OF_MEMORY, "Krita has too little memory.", "Close other programs, or use a smaller image."
            )
        elif not isinstance(error, ThinError):
            error = ThinError(INTERNAL, f"{type(error).__name__}: {error}", "Please report this.")
        if error.code != CANCELLED and _find_window() is not None:
            _show_error(error)

    def _end(self) -> None:
        """Stop the running work and close its window."""
        steps, self._steps = self._steps, None
        progress, self._progress = self._progress, None
        if steps is not None:
            steps.stop()
        if progress is not None:
            with suppress(RuntimeError):  # Krita is closing and has deleted it with its window
                progress.rejected.disconnect(self._end)
                progress.close()
                progress.deleteLater()

    def _close(self) -> None:
        """Stop everything, because Krita is closing."""
        self._engine.stop()
        self._forget_dialog()
        self._end()
        self._backend.close()


def _read_values(name: str, kept: Values | None) -> Values | None:
    """Return the kept or last values with those that a script has set as an action's data.

    Return None after showing an error. The data is removed, so that it counts only once.
    """
    action = Krita.instance().action(name)
    given = action.data()
    action.setData(None)
    try:
        values = kept or read_last_values()
        return values if given is None else replace_values(values, given)
    except ThinError as error:
        _show_error(error)
        return None


def _find_window() -> Any:
    """Return the main window, None if Krita is closing."""
    window = Krita.instance().activeWindow()
    return window.qwindow() if window is not None else None


def _list_selected_nodes() -> list[Any]:
    """Return the nodes that are selected in the Layers docker."""
    window = Krita.instance().activeWindow()
    view = window.activeView() if window is not None else None
    return list(view.selectedNodes()) if view is not None else []


def _show_error(error: ThinError) -> None:
    _show_text(format_error(error))


def _show_text(text: str) -> None:
    box = QtWidgets.QMessageBox(_find_window())
    box.setIcon(QtWidgets.QMessageBox.Icon.Warning)
    box.setWindowTitle(TITLE)
    box.setText(text)
    box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
    box.open()
