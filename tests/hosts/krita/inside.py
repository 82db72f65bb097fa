"""What the drivers share. It runs in Krita's Python, which has no numpy."""

import importlib
import json
import os
import subprocess
import time
from pathlib import Path

import gknet_harmonize.thin.job as job
from gknet_harmonize.qt import QtCore, QtWidgets
from krita import Krita

QtTest = importlib.import_module(f"{QtCore.__package__}.QtTest")

OUT = Path(os.environ["DRIVER_OUT"])
GIVEN = json.loads(Path(os.environ["DRIVER_GIVEN"]).read_text())
KRITA = Krita.instance()
PATIENCE_S = 90.0

requests = []
"""What was asked of the backend so far, the bytes copied."""
_harmonize = job.Backend.harmonize


def _recorded(self, **request):
    requests.append({name: bytes(value) if isinstance(value, bytearray) else value for name, value in request.items()})
    return _harmonize(self, **request)


def record_requests():
    job.Backend.harmonize = _recorded


def stop_recording():
    job.Backend.harmonize = _harmonize


NUMBERS = ("variant", "brightness", "warmth", "saturation")


def forget_values():
    """As if the plug-in had never run."""
    for name in ("strength", "compare", "layer", "layer_name", "clean_edges", "output", *NUMBERS):
        KRITA.writeSetting("gknet_harmonize", name, "")


def wait(condition, what, seconds=PATIENCE_S):
    """Lets Krita go on until a condition holds; returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            shot("failed")
            shown = [
                (type(w).__name__, w.windowTitle()) for w in QtWidgets.QApplication.topLevelWidgets() if w.isVisible()
            ]
            raise AssertionError(f"waited in vain until {what}; windows: {shown}; messages: {messages()}")
        yield


def turns(count):
    """Lets Krita's event loop run a number of times."""
    for _ in range(count):
        yield


def trigger(document, name):
    """Undo or redo: Krita ignores them as long as it is busy with what came before.

    Its list of layers follows a tenth of a second later, and crashes if a layer that it was about to update has gone by
    then (KisNodeModel::processUpdateQueue in 5.3.4 and 6.0.4).
    """
    action = KRITA.action(name)
    yield from turns(8)

    def ready():
        document.waitForDone()
        return action.isEnabled()

    yield from wait(ready, f"{name} can be done")
    action.trigger()


def shot(name):
    subprocess.run(["scrot", "-o", f"{os.environ['DRIVER_SHOTS']}/{name}.png"], check=True)


def windows():
    return [w for w in QtWidgets.QApplication.topLevelWidgets() if w.isVisible()]


def named(kind):
    """The visible window of one of the plug-in's classes."""
    return next((w for w in windows() if type(w).__name__ == kind), None)


def message_box():
    return next((w for w in windows() if isinstance(w, QtWidgets.QMessageBox)), None)


def messages():
    return [w.text() for w in windows() if isinstance(w, QtWidgets.QMessageBox)]


def new_document(width, height, model="RGBA", depth="U8", profile="sRGB-elle-V2-srgbtrc.icc"):
    """An open picture with a view, and its one layer."""
    document = KRITA.createDocument(width, height, "test", model, depth, profile, 300.0)
    KRITA.activeWindow().addView(document)
    yield from wait(lambda: KRITA.activeDocument() == document, "the document is active")
    return document, layers(document)[0]


def fill(node, data, x, y, width, height):
    row = len(data) // height
    for top in range(0, height, 512):
        rows = min(512, height - top)
        node.setPixelData(data[top * row : (top + rows) * row], x, y + top, width, rows)


def put(document, name, data, box, parent=None, above=None):
    """A new paint layer with these pixels."""
    node = document.createNode(name, "paintlayer")
    fill(node, data, *box)
    (parent or document.rootNode()).addChildNode(node, above)
    return node


def settle(document):
    document.refreshProjection()
    document.waitForDone()


def unmodified(document):
    """Marks a document as saved, once Krita has said all it had to say of changes so far."""
    for _ in range(10):
        document.waitForDone()
        document.setModified(False)
        yield
    assert not document.modified()


def choose(document, node):
    def chosen():
        if document.activeNode() is None or document.activeNode().uniqueId() != node.uniqueId():
            document.setActiveNode(node)  # a new view loses the first ones
            return False
        return True

    yield from wait(chosen, "the layer is active")


def box_of(node):
    bounds = node.bounds()
    return [bounds.x(), bounds.y(), bounds.width(), bounds.height()]


def layers(document):
    """The document's own layers, from the lowest up.

    While Krita undoes or redoes, a layer can go between being listed and being asked for, so this waits for Krita.
    """
    document.waitForDone()
    return document.rootNode().childNodes()


def tree(document):
    """Names of all layers, from the lowest up, each with those in it."""

    def of(node):
        return [node.name(), [of(one) for one in node.childNodes()]]

    return [of(one) for one in layers(document)]


def state(document):
    """All that must not change: every layer's pixels and looks."""

    def of(node):
        pixels = hash(bytes(node.pixelData(*box_of(node)))) if node.type() == "paintlayer" else None
        looks = (node.name(), node.type(), node.visible(), node.opacity(), node.blendingMode(), tuple(box_of(node)))
        return looks, pixels, tuple(of(one) for one in node.childNodes())

    document.waitForDone()
    return of(document.rootNode())


def close(document):
    document.setModified(False)
    document.close()
    yield from turns(5)


def write(name, data):
    (OUT / name).write_bytes(bytes(data))


def report(name, facts):
    (OUT / f"{name}.json").write_text(json.dumps(facts, default=str))
