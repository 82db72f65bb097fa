"""Driver: the engine window, with a tiny engine from a tiny package index. The test outside sees to both.

GIVEN["part"] is "before", which ends with Krita killed during a download, or "after", which ends with Krita closed.
"""

import os
import signal
import threading
from pathlib import Path

import inside
import menu
from failures import outside, scene
from gknet_harmonize.engine_window import EngineWindow
from gknet_harmonize.thin.engine.job import EngineJob
from gknet_harmonize.thin.engine.offer import INSTALL, Offer
from gknet_harmonize.thin.engine.wheel import find_wheel
from gknet_harmonize.values import read_last_values
from inside import KRITA, QtCore, QtTest, QtWidgets
from windows import dialog, preview_ready

HOME = Path.home() / ".local" / "share" / "gknet" / "engine"
_KEPT = ("install.lock", "install.log")
_LEFT = QtCore.Qt.MouseButton.LeftButton


def window():
    return inside.named("EngineWindow")


def click(button):
    QtTest.QTest.mouseClick(button, _LEFT)


def texts(shown):
    """What the window says and offers, in its order."""
    parts = [*shown.findChildren((QtWidgets.QLabel, QtWidgets.QTextEdit)), *shown.findChildren(QtWidgets.QPushButton)]
    return [text_of(part).replace("&", "") for part in parts if part.isVisible()]


def text_of(part):
    return part.toPlainText() if isinstance(part, QtWidgets.QTextEdit) else part.text()


def default_button(shown):
    return [button.text().replace("&", "") for button in shown._buttons if button.isDefault()]


def left_over():
    """What is in the engine folder besides the log, the lock and the file that names the engine; versions alone."""
    names = [path.name.partition("-")[0] for path in HOME.iterdir()] if HOME.exists() else []
    return sorted(name for name in names if name not in (*_KEPT, "current.json"))


def shot(name):
    yield from inside.turns(8)
    inside.shot(name)


def at_page(button):
    """The window, when the page with this button is shown."""

    def reached():
        shown = window()
        return shown if shown and getattr(shown, button).isVisible() else None

    return (yield from inside.wait(reached, f"{button} is shown"))


def downloading(shown):
    yield from inside.wait(lambda: text_of(shown._text).startswith("Downloading PyTorch"), "it is downloading")


def graphics_card():
    """The size of the download with and without the choice of CUDA."""
    offer = Offer("Offer", "", is_ready=False, wheel=find_wheel(), action=INSTALL, has_cuda=True, uses_cuda=True)
    shown = EngineWindow(KRITA.activeWindow().qwindow(), offer)
    shown.show()
    sizes = [shown._cuda.isVisible(), shown._size.text()]
    yield from shot("engine-cuda")
    shown._cuda.click()
    sizes.append(shown._size.text())
    shown.close()
    shown.deleteLater()
    return sizes


def long_word():
    """How many times as high a text is in which a word is three times as wide as the window."""
    heights = []
    for path in ("/folder", "/" + "folder_" * 40):
        shown = EngineWindow(KRITA.activeWindow().qwindow(), Offer("Offer", f"It is in {path}.", is_ready=True))
        shown.show()
        yield from shot("engine-long-word")
        heights.append(shown._text.height())
        shown.close()
        shown.deleteLater()
    return heights[1] / heights[0]


def running_removal():
    """A window that is opened on a removal: what it shows before and after the removal's point of no return."""
    go_on = threading.Semaphore(0)

    def work(attempt):
        go_on.acquire()
        attempt.forbid_cancelling()
        go_on.acquire()

    offer = Offer("Offer", "", is_ready=True, can_remove=True)
    shown = EngineWindow(KRITA.activeWindow().qwindow(), offer, EngineJob(work, is_removal=True))
    shown.show()
    facts = {"running": texts(shown)[1:], "can_cancel": shown._cancel.isEnabled()}
    facts["has_details"] = [shown._details.isVisible()]
    go_on.release()
    yield from inside.wait(lambda: not shown._cancel.isEnabled(), "Cancel is grey")
    yield from shot("engine-removing")
    go_on.release()
    yield from inside.wait(lambda: not shown.is_busy, "it has ended")
    facts["end"] = texts(shown)
    facts["has_details"].append(shown._details.isVisible())
    shown.close()
    shown.deleteLater()
    return facts


def wait_for_dialog():
    yield from inside.wait(dialog, "the dialog is open")
    return (yield from inside.wait(preview_ready, "the preview is there"))


def engine_window_of_the_dialog():
    """The engine window, after the button in the dialog."""
    click(dialog()._engine)
    shown = yield from at_page("_close")
    assert dialog() is None
    return shown


def before():
    """A refused connection, a download that is cancelled, and one in which Krita is killed."""
    facts = {}
    yield from scene()
    facts["graphics_card"] = yield from graphics_card()
    facts["long_word"] = yield from long_word()
    facts["running_removal"] = yield from running_removal()
    yield from menu.choose_with_the_mouse(menu.OPEN)
    shown = yield from at_page("_action")
    facts["offer"], size = texts(shown), shown.size()
    facts["default"] = default_button(shown)
    yield from shot("engine-offer")
    click(shown._action)
    yield from at_page("_again")
    facts["refused"] = texts(shown)
    click(shown._details)
    facts["refused_log"] = shown._log.toPlainText()
    yield from shot("engine-error")
    click(shown._details)
    yield from outside("open a slow index")
    facts["bar"] = []
    shown._bar.valueChanged.connect(facts["bar"].append)
    click(shown._again)
    yield from downloading(shown)
    shown._bar.valueChanged.disconnect()
    click(shown._details)
    facts["running"] = texts(shown)
    yield from shot("engine-progress")
    facts["log"] = shown._log.toPlainText()
    facts["keeps_its_size"] = shown.size() == size
    for key in (QtCore.Qt.Key.Key_Escape, QtCore.Qt.Key.Key_Return):
        QtTest.QTest.keyClick(shown.focusWidget(), key)
    facts["busy_after_keys"] = shown.isVisible() and shown.is_busy and shown._cancel.isEnabled()
    click(shown._cancel)
    yield from at_page("_action")
    facts["cancelled"], facts["left_over"] = texts(shown), left_over()
    click(shown._action)
    yield from downloading(shown)
    facts["left_over_killed"] = left_over()
    inside.report("before", facts)
    os.kill(os.getpid(), signal.SIGKILL)


def after():
    """The next start: install, go on to the dialog, update and remove there, and close Krita while it installs."""
    facts = {"left_over": {}}
    inside.record_requests()
    inside.forget_values()
    document, _ = yield from scene()
    yield from outside("open a slow index")  # or the window would come back before anybody has painted
    KRITA.action(menu.OPEN).setData({"strength": 0.5})
    menu.choose(menu.OPEN)
    shown = yield from at_page("_action")
    facts["offer"] = texts(shown)
    click(shown._action)
    yield from painted_on(shown, document, facts)
    yield from outside("let the index answer at once")
    yield from outside("start a backend")  # the tiny engine can't
    yield from at_page("_continue")
    facts["krita_has_focus"] = KRITA.activeWindow().qwindow().isActiveWindow() and not shown.isActiveWindow()
    facts["end"], facts["left_over"]["installed"] = texts(shown), left_over()
    yield from shot("engine-end")
    yield from outside("add a newer wheel")
    click(shown._continue)
    yield from wait_for_dialog()
    facts["button"], facts["strengths"] = dialog()._engine.text(), [dialog().read_values().strength]
    yield from shot("engine-dialog-newer")
    yield from updated(facts)
    yield from switched(document, facts)
    yield from removed(facts)
    yield from closed(document, facts)


def painted_on(shown, document, facts):
    """The window is hidden, Krita is used, and the window comes to the front when the menu entry is chosen."""
    shown.close()
    modal = QtWidgets.QApplication.activeModalWidget()
    facts["hidden"] = {"visible": shown.isVisible(), "busy": shown.is_busy, "modal": modal is not None}
    # Until Krita has the focus, Qt still calls the hidden window active. Shown and hidden before the window manager
    # has seen either, it would leave no window with the focus.
    krita = KRITA.activeWindow().qwindow()
    yield from inside.wait(krita.isActiveWindow, "Krita is in front")
    menu.choose(menu.OPEN)
    yield from inside.wait(lambda: window() is shown and shown.isActiveWindow(), "the window is in front")
    shown.close()
    yield from inside.wait(krita.isActiveWindow, "Krita is in front")
    KRITA.action("add_new_paint_layer").trigger()
    yield from inside.wait(lambda: len(inside.layers(document)) == 3, "a layer is added")
    yield from inside.trigger(document, "edit_undo")
    yield from inside.wait(lambda: len(inside.layers(document)) == 2, "it is undone")
    facts["busy_meanwhile"] = shown.is_busy
    yield from inside.choose(document, document.nodeByName("object"))


def updated(facts):
    """The dialog goes for the engine window, and comes back with its values when that is closed."""
    dialog().findChild(QtWidgets.QSlider).setValue(25)
    shown = yield from engine_window_of_the_dialog()
    facts["update_offer"], facts["update_default"] = texts(shown), default_button(shown)
    modal = QtWidgets.QApplication.activeModalWidget()
    facts["is_of_krita"] = shown.parent() is KRITA.activeWindow().qwindow() and modal is None
    yield from shot("engine-update")
    menu.click(shown._action, shown._action.rect().center())  # the dialog must not block it
    yield from inside.wait(lambda: shown.is_busy, "the update has begun")
    facts["updating"] = texts(shown)[1:]
    shown.close()
    yield from at_page("_continue")
    facts["updated"], facts["left_over"]["updated"] = texts(shown), left_over()
    click(shown._close)
    yield from wait_for_dialog()
    facts["button_after"] = dialog()._engine.text()
    facts["strengths"].append(dialog().read_values().strength)


def switched(document, facts):
    """The user turns to another document before the engine window is closed, and back again afterwards."""
    shown = yield from engine_window_of_the_dialog()
    other, _ = yield from scene()
    click(shown._close)
    yield from inside.wait(lambda: window() is None, "the window has gone")
    yield from inside.turns(20)
    facts["on_another_document"] = {"dialog": dialog() is not None, "messages": inside.messages()}
    yield from inside.close(other)
    yield from inside.wait(lambda: KRITA.activeDocument() == document, "the first document is active")
    yield from inside.choose(document, document.nodeByName("object"))
    menu.choose(menu.OPEN)
    yield from wait_for_dialog()


def removed(facts):
    """First, the window of the current engine is closed with the Enter key, and by the menu entry."""
    dialog().findChild(QtWidgets.QSlider).setValue(75)
    shown = yield from engine_window_of_the_dialog()
    facts["current_offer"], facts["current_default"] = texts(shown), default_button(shown)
    yield from shot("engine-current")
    QtTest.QTest.keyClick(shown.focusWidget(), QtCore.Qt.Key.Key_Return)
    yield from wait_for_dialog()
    facts["strengths"].append(dialog().read_values().strength)
    yield from engine_window_of_the_dialog()
    menu.choose(menu.OPEN)
    yield from wait_for_dialog()
    facts["strengths"].append(dialog().read_values().strength)
    facts["window_after_menu"] = window() is not None
    shown = yield from engine_window_of_the_dialog()
    click(shown._remove)
    box = yield from inside.wait(inside.message_box, "it asks")
    yield from shot("engine-remove")
    facts["question"] = box.text()
    click(next(one for one in box.buttons() if "move" in one.text()))
    yield from inside.wait(lambda: not shown.is_busy and not shown._remove.isVisible(), "it has ended")
    facts["removed"], facts["left_over"]["removed"] = texts(shown), left_over()
    facts["folder_exists"] = HOME.exists()
    yield from shot("engine-removed")
    yield from outside("end the backend")
    click(shown._close)
    yield from inside.wait(lambda: window() is None, "the window has gone")
    yield from inside.turns(20)
    facts["dialog_after_removal"] = dialog() is not None
    facts["last_strength"] = read_last_values().strength
    menu.choose(menu.AGAIN)
    box = yield from inside.wait(inside.message_box, "there is a message")
    facts["again"] = box.text()
    yield from shot("engine-gone")
    box.close()
    yield from inside.wait(lambda: inside.message_box() is None, "the message has gone")


def closed(document, facts):
    """First the one of two main windows that the engine window belongs to is closed, then Krita."""
    second = KRITA.openWindow().qwindow()
    second.show()
    second.activateWindow()
    yield from inside.wait(second.isActiveWindow, "another main window is in front")
    menu.choose(menu.OPEN)
    first = yield from at_page("_action")
    click(first._action)
    yield from inside.wait(left_over, "the environment is being made")
    second.close()
    other = yield from inside.wait(lambda: window() if window() is not first else None, "there is another window")
    facts["taken_over"] = texts(other)[1:] if other.is_busy else None
    yield from inside.unmodified(document)
    inside.report("after", facts)
    KRITA.action("file_quit").trigger()
    yield from inside.wait(lambda: False, "Krita has ended")


def main():  # also imported by another driver
    yield from before() if inside.GIVEN["part"] == "before" else after()
