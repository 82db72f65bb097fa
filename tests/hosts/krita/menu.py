"""Krita's Filter menu, as the drivers reach the plug-in's entries: with a mouse, or without one where it is often."""

import subprocess

import inside
from inside import KRITA, QtWidgets

OPEN, AGAIN = "gknet_harmonize", "gknet_harmonize_again"


def filter_menu():
    bar = KRITA.activeWindow().qwindow().menuBar()
    return bar, next(action.menu() for action in bar.actions() if action.objectName().lower() == "filter")


def entry(name):
    _, menu = filter_menu()
    return next(action for action in menu.actions() if action.objectName() == name)


def click(widget, point):
    """A click of the X server's own mouse; it arrives when Krita's event loop has its turn."""
    at = widget.mapToGlobal(point)
    subprocess.Popen(["xdotool", "mousemove", str(at.x()), str(at.y()), "click", "1"])


def choose_with_the_mouse(name, shot=None):
    """Open the menu and click an entry, which does nothing if the entry is grey."""
    bar, menu = filter_menu()
    yield from inside.wait(lambda: QtWidgets.QApplication.activeModalWidget() is None, "no window is in front")
    click(bar, bar.actionGeometry(menu.menuAction()).center())
    yield from inside.wait(menu.isVisible, "the Filter menu is open")
    if shot:
        menu.setActiveAction(entry(name))
        yield from inside.turns(3)
        inside.shot(shot)
    click(menu, menu.actionGeometry(entry(name)).center())
    yield from inside.wait(lambda: not menu.isVisible(), "the Filter menu is closed")


def choose(name):
    """What the entry does, where a user could click it."""
    action = entry(name)
    assert action.isVisible(), f"{name} is not in the menu"
    assert action.isEnabled(), f"{name} is grey"
    action.trigger()
