"""The progress of a run: a window with a Cancel button, and GIMP's own progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gi.repository import Gimp, GLib
from thin.choices import TITLE, format_layer_progress
from thin.job import Job
from thin.protocol import CANCELLED, ThinError

_TICK_S = 0.05
"""Interval between checks of a job."""
_SHOW_S = 0.1
"""Minimum interval between updates of a bar, because updating GIMP's own needs a call to GIMP."""
_STILL_S = 0.2
"""Time without progress after which a bar pulses."""
_WRITE = 0.9
"""Position on the bar at which several layers are harmonized and writing their results begins."""
_LAST_WORD_S = 0.3
"""Time for a cancelled job to notify the backend, which also drops requests of clients that disconnect."""


class Progress:
    """The progress of one run, with its own window if `window`. End it with `close`.

    Every method but `close` raises ThinError (`cancelled`) once the user has cancelled.
    """

    def __init__(self, window: bool) -> None:
        self.is_cancelled = False
        self._window = _Window(self) if window else None
        self._shown = ("", -1.0)
        self._moved_s = self._looked_s = 0.0
        self._layer: tuple[int, int, str] | None = None
        Gimp.progress_init(f"{TITLE}…")

    def enter_layer(self, number: int, count: int, name: str) -> None:
        """Show what follows as the progress of one of several layers.   number: from 1."""
        self._layer = (number, count, name) if count > 1 else None

    def leave_layers(self) -> None:
        """Show what follows as the progress of the whole run again."""
        self._layer = None

    def show(self, text: str, fraction: float | None) -> None:
        """Show a sentence and the progress 0..1, None if unknown. Also process the interface's events."""
        if self._layer is not None:
            number, count, name = self._layer
            text = format_layer_progress(number, count, name, text)
            fraction = None if fraction is None else (number - 1 + fraction) / count * _WRITE
        now = time.monotonic()
        if now - self._looked_s >= _SHOW_S or fraction == 1.0:
            self._looked_s = now
            self._draw(text, fraction, now)
        self._process_events()

    def track_part(self, text: str, start: float, end: float) -> Callable[[float], None]:
        """Return a function to call with a part's progress 0..1. It moves the bar from `start` to `end`."""
        return lambda done: self.show(text, start + (end - start) * done)

    def follow_job(self, job: Job, start: float, end: float) -> None:
        """Wait for a job while it moves the bar from `start` to `end`."""
        while not job.is_done:
            try:
                self.show(job.text, None if job.fraction is None else start + (end - start) * job.fraction)
            except ThinError:
                job.cancel()
                job.wait(_LAST_WORD_S)
                raise
            if self._window is None:
                job.wait(_TICK_S)
            else:
                self._window.wait_for_event(_TICK_S)

    def close(self) -> None:
        """Close the window and end GIMP's progress."""
        if self._window is not None:
            self._window.close()
        Gimp.progress_end()

    def _draw(self, text: str, fraction: float | None, now: float) -> None:
        last_text, last_fraction = self._shown
        if text != last_text:
            Gimp.progress_set_text(text.replace("\n", ": "))  # it has one line only
        if fraction is not None and fraction != last_fraction:
            self._moved_s = now
            Gimp.progress_update(fraction)
        elif fraction is None or now - self._moved_s > _STILL_S:
            Gimp.progress_pulse()
            fraction = None
        if self._window is not None:
            self._window.draw(text, fraction)
        self._shown = (text, last_fraction if fraction is None else fraction)

    def _process_events(self) -> None:
        if self._window is not None:
            self._window.process_events()
        if self.is_cancelled:
            raise ThinError(CANCELLED, "Cancelled.")


class _Window:
    """A small window with a text, a bar and a Cancel button. Escape and the close button also cancel."""

    def __init__(self, progress: Progress) -> None:
        from gi.repository import GimpUi, Gtk

        self._loop = GLib.MainContext.default()
        self._dialog = Gtk.Dialog(title=TITLE, resizable=False)
        self._dialog.set_default_size(380, -1)
        self._dialog.set_border_width(12)
        button = self._dialog.add_button("_Cancel", Gtk.ResponseType.CANCEL)

        def cancel(*_: Any) -> bool:
            progress.is_cancelled = True
            button.set_sensitive(False)
            return True

        self._dialog.connect("response", cancel)
        self._dialog.connect("delete-event", cancel)
        self._label = Gtk.Label(xalign=0, width_chars=44, max_width_chars=44, wrap=True)
        self._bar = Gtk.ProgressBar()
        box = self._dialog.get_content_area()
        box.set_spacing(12)
        box.pack_start(self._label, False, False, 0)
        box.pack_start(self._bar, False, False, 0)
        GimpUi.window_set_transient(self._dialog)
        self._dialog.show_all()
        button.grab_focus()

    def draw(self, text: str, fraction: float | None) -> None:
        """Show a text and the progress 0..1; None makes the bar pulse."""
        self._label.set_text(text)
        if fraction is None:
            self._bar.pulse()
        else:
            self._bar.set_fraction(fraction)

    def process_events(self) -> None:
        """Process pending events."""
        while self._loop.pending():
            self._loop.iteration(False)

    def wait_for_event(self, timeout_s: float) -> None:
        """Wait for an event, at most this long, then process pending events."""
        timer = GLib.timeout_add(int(timeout_s * 1000), lambda: True)
        self._loop.iteration(True)
        GLib.source_remove(timer)
        self.process_events()

    def close(self) -> None:
        """Close the window and process events until it has disappeared."""
        self._dialog.destroy()
        self.process_events()
