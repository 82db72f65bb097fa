"""The engine's installation or removal, and the window that shows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .engine_window import EngineWindow
from .qt import QtCore
from .thin.engine.job import EngineJob
from .thin.engine.offer import Offer, make_offer

_END_S = 5.0
"""Time for a cancelled installation to delete what it has made."""


class EngineManager:
    """Opens the engine window, and keeps its job, which goes on without the main window that it was started in.

    find_parent: returns a main window, None if Krita is closing.
    on_close: called when the user has closed the engine window, with whether they want to go on to the dialog.
    """

    def __init__(self, find_parent: Callable[[], Any], on_close: Callable[[bool], object]) -> None:
        self._find_parent = find_parent
        self._on_close = on_close
        self._window: EngineWindow | None = None
        self._job: EngineJob | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the engine is being installed or removed."""
        return self._job is not None and not self._job.is_done

    def open_window(self, offer: Offer) -> None:
        """Open the window to let the user choose what to do."""
        self._create_window(offer).bring_to_front()

    def bring_to_front(self) -> None:
        """Show the window, if it is open or hidden, in front of Krita's other windows."""
        if self._window is None and self.is_busy:
            self._create_window(make_offer(), self._job)
        if self._window is not None:
            self._window.bring_to_front()

    def close_window(self) -> None:
        """Close the window as if it had not been opened: `on_close` is not called."""
        window, self._window = self._window, None
        if window is not None:
            with suppress(RuntimeError):  # its main window was closed, and Qt has deleted it
                window.discard()

    def stop(self) -> None:
        """Cancel what runs, because Krita is closing, and wait a few seconds until nothing half-done is left."""
        self.close_window()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            job.wait(_END_S)

    def _create_window(self, offer: Offer, job: EngineJob | None = None) -> EngineWindow:
        window = EngineWindow(self._find_parent(), offer, job)
        window.started.connect(self._keep_job)
        window.finished.connect(self._on_finished)
        window.destroyed.connect(lambda: QtCore.QTimer.singleShot(0, lambda: self._replace_window(window)))
        self._window = window
        return window

    def _keep_job(self, job: EngineJob) -> None:
        self._job = job

    def _on_finished(self, result: int) -> None:
        self.close_window()
        self._on_close(bool(result))

    def _replace_window(self, deleted: EngineWindow) -> None:
        """Show a running job in another window, if its own was closed with one of several main windows."""
        if deleted is not self._window:
            return
        self._window = None
        if self.is_busy and self._find_parent() is not None:
            self._create_window(make_offer(), self._job).show()
