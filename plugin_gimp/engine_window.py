"""The window that installs, updates, repairs, and removes the engine while GIMP can be used."""

from __future__ import annotations

from gi.repository import Gdk, GimpUi, GLib, Gtk, Pango
from thin.choices import format_error
from thin.engine import offer as texts
from thin.engine.environment import Sources
from thin.engine.installer import Wishes
from thin.engine.job import EngineJob, start_installation, start_removal
from thin.engine.offer import Offer, make_offer
from thin.engine.switch import CPU, CUDA
from thin.protocol import CANCELLED, ThinError

_WIDTH, _HEIGHT = 560, 270
"""Pixels that every page fits into, so that the window keeps its size."""
_LOG_HEIGHT = 150
_SPACING = 12
_TICK_MS = 100
_LOG_TICKS = 5
"""Ticks between two looks at the log."""
_ACT, _REMOVE, _TRY_AGAIN, _CONTINUE = 1, 2, 3, 4
"""Responses of the window, besides GTK's for Cancel, Close, and the closing of a window."""
_CLOSE, _CANCEL = int(Gtk.ResponseType.CLOSE), int(Gtk.ResponseType.CANCEL)
_OFFER, _RUNNING, _END = "offer", "running", "end"
_CANCEL_QUESTION = "Cancel the installation?"
_GO_ON, _CANCEL_IT = "Continue _installing", "_Cancel the installation"


class EngineWindow:
    """The window. Call `run` once.   offer: the current offer, which `run` updates.

    dialog: the window to place it over, which it blocks meanwhile; None for GIMP's own, which it doesn't block.
    """

    def __init__(self, offer: Offer, dialog: Gtk.Window | None = None) -> None:
        self.offer = offer
        self._has_dialog = dialog is not None
        self._ended: EngineJob | None = None
        self._question: Gtk.Dialog | None = None
        self._job: EngineJob | None = None
        self._ticks = 0
        self._window = GimpUi.Dialog(title=texts.TITLE, role="gknet-engine")
        self._window.set_default_size(_WIDTH, _HEIGHT)
        self._buttons = self._add_buttons()
        self._offer_page, self._details = _OfferPage(), _Details()
        self._running_page, self._end_text = _RunningPage(), _create_text()
        self._stack = Gtk.Stack(hhomogeneous=True, vhomogeneous=True)
        for name, page in (
            (_OFFER, self._offer_page.widget),
            (_RUNNING, self._running_page.widget),
            (_END, self._end_text),
        ):
            self._stack.add_named(page, name)
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=_SPACING, border_width=_SPACING)
        box.pack_start(self._stack, False, False, 0)
        box.pack_start(self._details.widget, True, True, 0)
        box.show_all()
        self._window.get_content_area().pack_start(box, True, True, 0)
        self._window.connect("key-press-event", self._press_key)
        if dialog is None:
            GimpUi.window_set_transient(self._window)
        else:
            self._window.set_transient_for(dialog)
            self._window.set_modal(True)
        self._show_offer()

    def run(self) -> bool:
        """Show the window until the user closes it. Return whether they want to go on to the dialog."""
        timer = GLib.timeout_add(_TICK_MS, self._poll)
        try:
            while True:
                response = int(self._window.run())
                if self._job is not None:
                    self._confirm_cancelling(response)
                elif response in (_ACT, _REMOVE, _TRY_AGAIN):
                    self._begin(response)
                else:
                    return response == _CONTINUE
        finally:
            GLib.source_remove(timer)
            self._window.destroy()

    def _add_buttons(self) -> dict[int, Gtk.Widget]:
        labels = {
            _REMOVE: texts.REMOVE,
            _CANCEL: texts.CANCEL,
            _CLOSE: texts.CLOSE,
            _ACT: texts.INSTALL,
            _TRY_AGAIN: texts.TRY_AGAIN,
            _CONTINUE: texts.CONTINUE,
        }
        buttons = {response: self._window.add_button(_underline(label), response) for response, label in labels.items()}
        for button in buttons.values():
            button.set_can_default(True)
        return buttons

    def _show_page(self, page: str, *responses: int, log: bool = False) -> None:
        """Show a page with the buttons for these responses, the default one last. While a job runs, none is default.

        log: whether to offer the log.
        """
        self._stack.set_visible_child_name(page)
        self._details.widget.set_visible(log)
        for response, button in self._buttons.items():
            button.set_visible(response in responses)
            button.set_sensitive(True)
        if page == _RUNNING:  # Enter must not throw a download away
            self._window.set_default(None)
            self._window.set_focus(None)
        else:
            self._window.set_default_response(responses[-1])
            self._buttons[responses[-1]].grab_focus()

    def _show_offer(self) -> None:
        self._offer_page.show(self.offer)
        self._buttons[_ACT].set_label(_underline(self.offer.action))
        remove = [_REMOVE] if self.offer.can_remove else []
        act = [_ACT] if self.offer.wheel is not None else []
        is_fine = self.offer.is_ready and not self.offer.is_update
        self._show_page(_OFFER, *remove, *([*act, _CLOSE] if is_fine else [_CLOSE, *act]))

    def _begin(self, response: int) -> None:
        """Start an installation, a removal, or the last of these again."""
        if response == _REMOVE:
            if self._ask(texts.REMOVE_QUESTION, _underline(texts.CANCEL), _underline(texts.REMOVE)):
                self._follow(start_removal())
        elif self._ended is not None and response == _TRY_AGAIN:
            self._follow(self._ended.restart())
        elif self.offer.wheel is not None:
            self._follow(start_installation(Wishes(self.offer.wheel, Sources(build=self._offer_page.build))))

    def _follow(self, job: EngineJob) -> None:
        """Show a job until it ends."""
        self._job = job
        self._running_page.start(job)
        self._details.start(job)
        self._show_page(_RUNNING, _CANCEL, log=not job.is_removal)

    def _poll(self) -> bool:
        """Show the job's progress, or its end. Called ten times a second."""
        job = self._job
        if job is None:
            return True
        self._ticks += 1
        self._running_page.show(job)
        if not job.can_cancel:
            self._buttons[_CANCEL].set_sensitive(False)
        if job.is_done:
            self._job, self._ended = None, job
            self._show_end(job)
        if job.is_done or self._ticks % _LOG_TICKS == 0:
            self._details.refresh()
        return True

    def _show_end(self, job: EngineJob) -> None:
        if self._question is not None:
            self._question.response(Gtk.ResponseType.NO)
        self.offer = make_offer()
        try:
            text = texts.format_end(job.get_engine())
        except ThinError as error:
            if error.code == CANCELLED:
                self._show_offer()
                return
            self._end_text.set_text(format_error(error))
            self._show_page(_END, _CLOSE, _TRY_AGAIN, log=not job.is_removal)
            return
        self._end_text.set_text(text)
        leads_on = self.offer.is_ready and not self._has_dialog
        self._show_page(_END, _CLOSE, *([_CONTINUE] if leads_on else []))

    def _confirm_cancelling(self, response: int) -> None:
        """Cancel the job. Ask first if the user closed the window during an installation."""
        if self._job is None or not self._job.can_cancel:
            return
        if response != _CANCEL and not self._job.is_removal and not self._ask(_CANCEL_QUESTION, _GO_ON, _CANCEL_IT):
            return
        if self._job is not None:  # it may have ended meanwhile
            self._buttons[_CANCEL].set_sensitive(False)
            self._job.cancel()

    def _ask(self, question: str, no: str, yes: str) -> bool:
        """Return the answer to a question. No is the default."""
        box = Gtk.MessageDialog(
            title=texts.TITLE,
            transient_for=self._window,
            modal=True,
            message_type=Gtk.MessageType.QUESTION,
            text=question,
        )
        box.add_buttons(no, Gtk.ResponseType.NO, yes, Gtk.ResponseType.YES)
        box.set_default_response(Gtk.ResponseType.NO)
        self._question = box
        answer = box.run()
        self._question = None
        box.destroy()
        return bool(answer == Gtk.ResponseType.YES)

    def _press_key(self, _: Gtk.Widget, event: Gdk.EventKey) -> bool:
        """Ignore Escape while something runs."""
        return bool(event.keyval == Gdk.KEY_Escape and self._job is not None)


class _OfferPage:
    """What there is and what can be done.   widget: the page."""

    def __init__(self) -> None:
        self._heading, self._text, self._size = _create_text(), _create_text(), _create_text()
        self._cuda = Gtk.CheckButton(label=_underline(texts.CUDA_LABEL), use_underline=True, halign=Gtk.Align.START)
        self._cuda.connect("toggled", lambda _: self._show_size())
        self.widget = _stack_up(self._heading, self._text, self._cuda, self._size)

    @property
    def build(self) -> str:
        """The chosen build of PyTorch."""
        return CUDA if self._cuda.get_active() else CPU

    def show(self, offer: Offer) -> None:
        """Show an offer."""
        self._heading.set_markup(f"<b>{GLib.markup_escape_text(offer.heading)}</b>")
        self._text.set_text(offer.text)
        self._cuda.set_active(offer.uses_cuda)
        self._cuda.set_visible(offer.has_cuda)
        self._size.set_visible(offer.wheel is not None)
        self._show_size()

    def _show_size(self) -> None:
        self._size.set_text(texts.describe_size(self.build))


class _RunningPage:
    """The progress of a job.   widget: the page."""

    def __init__(self) -> None:
        self._text, self._bar = _create_text(), Gtk.ProgressBar()
        paint_on = _create_text()
        paint_on.set_text(texts.PAINT_ON)
        self.widget = _stack_up(self._text, self._bar, paint_on)

    def start(self, job: EngineJob) -> None:
        """Start again, for another job."""
        self._is_measured = not job.is_removal
        self._text.set_text("")
        self._bar.set_fraction(0.0)

    def show(self, job: EngineJob) -> None:
        """Show how far the job is. The bar never goes back."""
        progress = job.progress
        self._text.set_text(texts.format_progress(progress))
        if self._is_measured:
            self._bar.set_fraction(max(self._bar.get_fraction(), progress.fraction))
        else:
            self._bar.pulse()


class _Details:
    """The log, which can be unfolded.   widget: the widget for the window."""

    def __init__(self) -> None:
        self._job: EngineJob | None = None
        self._follows = True
        view = Gtk.TextView(editable=False, cursor_visible=False, monospace=True, wrap_mode=Gtk.WrapMode.WORD_CHAR)
        self._text = view.get_buffer()
        scroller = Gtk.ScrolledWindow(shadow_type=Gtk.ShadowType.IN, min_content_height=_LOG_HEIGHT, vexpand=True)
        scroller.add(view)
        self._place = scroller.get_vadjustment()
        self._place.connect("changed", lambda _: self._follow_end())
        self.widget = Gtk.Expander(label=_underline(texts.DETAILS), use_underline=True, resize_toplevel=True)
        self.widget.add(scroller)
        self.widget.connect("notify::expanded", lambda *_: self.refresh())

    def start(self, job: EngineJob) -> None:
        """Show another job's log from now on."""
        self._job = job
        self._text.set_text("")

    def refresh(self) -> None:
        """Show what has been logged, if the log is unfolded. Keep the end in view, unless the user scrolled up."""
        if self._job is None or not self.widget.get_expanded():
            return
        shown = self._text.get_text(self._text.get_start_iter(), self._text.get_end_iter(), False)
        log = texts.read_log(self._job.log)
        if log == shown:
            return
        self._follows = self._place.get_value() >= self._place.get_upper() - self._place.get_page_size() - 1
        if log.startswith(shown):
            self._text.insert(self._text.get_end_iter(), log[len(shown) :])  # this keeps a selection
        else:
            self._text.set_text(log)

    def _follow_end(self) -> None:
        """Scroll to the end, whose place is known only some time after the text has changed."""
        if self._follows:
            self._place.set_value(self._place.get_upper() - self._place.get_page_size())


def _underline(label: str) -> str:
    """Return a label with GTK's sign for the shortcut's letter instead of Qt's."""
    return label.replace("&", "_")


def _create_text() -> Gtk.Label:
    label = Gtk.Label(wrap=True, selectable=True, width_chars=64, max_width_chars=64, xalign=0, yalign=0)
    label.set_line_wrap_mode(Pango.WrapMode.WORD_CHAR)  # the path of a folder may be one long word
    return label


def _stack_up(*widgets: Gtk.Widget) -> Gtk.Box:
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=_SPACING)
    for widget in widgets:
        box.pack_start(widget, False, False, 0)
    return box
