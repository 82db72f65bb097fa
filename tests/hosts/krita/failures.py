"""Driver: what goes wrong, and that the document is then as it was. The test outside sees to the backend."""

import importlib
import sys
from types import ModuleType
from unittest import mock

import gknet_harmonize.qt as qt
import inside
import krita
import menu
from inside import KRITA, QtWidgets


def scene():
    document, ground = yield from inside.new_document(400, 300)
    inside.fill(ground, bytes((x * y) % 200 for y in range(300) for x in range(1600)), 0, 0, 400, 300)
    solid, clear = bytes([40, 120, 220, 255]) * (100 * 50), bytes(4 * 100 * 20)
    thing = inside.put(document, "object", solid + clear + solid, [50, 50, 100, 120])
    inside.settle(document)
    yield from inside.choose(document, thing)
    yield from inside.unmodified(document)
    return document, thing


def start():
    menu.choose(menu.AGAIN)


def message(document, before):
    """The plug-in's message, when it has been shown; the document is as it was."""
    box = yield from inside.wait(inside.message_box, "there is a message")
    text = box.text()
    yield from inside.wait(lambda: box.windowHandle().isExposed(), "the message is on the screen")
    yield from inside.turns(5)
    inside.shot(f"message-{len(list(inside.OUT.glob('*.json')))}")
    box.close()
    yield from inside.wait(lambda: inside.message_box() is None, "the message has gone")
    yield from inside.turns(5)
    assert inside.named("Progress") is None
    return {"message": text, "untouched": inside.state(document) == before, "modified": document.modified()}


def refused():
    """The backend, or its stand-in, fails or does not exist."""
    document, _ = yield from scene()
    before = inside.state(document)
    start()
    facts = yield from message(document, before)
    yield from inside.close(document)
    return facts


def unsuitable():
    """Layers that cannot be harmonized are refused before anything is sent."""
    facts = {}
    for name, model, profile in (("CMYKA", "CMYKA", ""), ("LABA", "LABA", ""), ("XYZA", "XYZA", "")):
        document, ground = yield from inside.new_document(64, 64, model, "U16", profile)
        ground.setPixelData(bytes([99]) * (64 * 64 * 2 * (5 if model == "CMYKA" else 4)), 0, 0, 64, 64)
        yield from inside.choose(document, ground)
        facts[name] = yield from refusal(document)
    document, ground = yield from inside.new_document(64, 64)
    empty = document.createNode("empty", "paintlayer")
    document.rootNode().addChildNode(empty, ground)
    yield from inside.choose(document, empty)
    facts["empty"] = yield from refusal(document, close=False)
    yield from inside.choose(document, ground)
    ground.setPixelData(bytes([99, 99, 99, 255]) * 4096, 0, 0, 64, 64)
    facts["opaque"] = yield from refusal(document)
    for open_one in KRITA.documents():
        yield from inside.close(open_one)
    start()
    box = yield from inside.wait(inside.message_box, "there is a message")
    facts["nothing open"] = {"message": box.text(), "untouched": True, "modified": False}
    box.close()
    return facts


def refusal(document, close=True):
    inside.settle(document)
    yield from inside.unmodified(document)
    before = inside.state(document)
    start()
    facts = yield from message(document, before)
    if close:
        yield from inside.close(document)
    return facts


def works():
    """The result is there in the end, and its progress said something on the way."""
    document, _ = yield from scene()
    start()
    said = []

    def ended():
        if shown_text() not in said:
            said.append(shown_text())
        return inside.named("Progress") is None

    yield from inside.wait(ended, "it has ended")
    names = [node.name() for node in inside.layers(document)]
    facts = {"names": names, "said": said, "messages": inside.messages()}
    yield from inside.close(document)
    return facts


def killed():
    """The backend is killed when it has the layer, and none can be started."""
    document, _ = yield from scene()
    before = inside.state(document)
    yield from started_and_held()
    yield from outside("kill")
    facts = yield from message(document, before)
    yield from inside.close(document)
    return facts


def layer_removed():
    document, thing = yield from scene()
    yield from started_and_held()
    thing.remove()
    document.waitForDone()
    yield from inside.unmodified(document)
    facts = yield from message(document, inside.state(document))
    yield from outside("continue")
    yield from inside.close(document)
    return facts


def document_closed():
    """With another document open, which must not get the layer."""
    other, _ = yield from scene()
    document, _ = yield from scene()
    before = inside.state(other)
    yield from started_and_held()
    document.setModified(False)
    document.close()
    yield from inside.wait(lambda: inside.named("Progress") is None, "the progress window has gone")
    yield from outside("continue")
    yield from inside.turns(50)
    facts = {
        "untouched": inside.state(other) == before,
        "modified": other.modified(),
        "documents": len(KRITA.documents()),
        "messages": inside.messages(),
    }
    yield from inside.close(other)
    return facts


def closed_in_the_dialog():
    """While the preview is made, and when it is there; what the dialog says then, and what comes after OK."""
    facts = {}
    for when in ("early", "late"):
        document, _ = yield from scene()
        if when == "early":
            yield from outside("stop")  # the preview must not come first
        preview = yield from previewed(wanted=when == "late")
        document.setModified(False)
        document.close()
        if when == "early":
            yield from outside("continue")
        else:
            inside.named("HarmonizeDialog")._strength._slider.setValue(40)
        yield from inside.wait(lambda p=preview: p._steps is None, "the preview has ended")
        facts[when] = {"preview": preview.text, "messages": (yield from accepted())}
    return facts


def layer_removed_in_the_dialog():
    document, thing = yield from scene()
    preview = yield from previewed(wanted=True)
    thing.remove()
    document.waitForDone()
    inside.named("HarmonizeDialog")._compare.setCurrentIndex(1)
    yield from inside.wait(lambda: preview._steps is None, "the preview has ended")
    facts = {"preview": preview.text, "messages": (yield from accepted())}
    yield from inside.close(document)
    return facts


def previewed(wanted):
    """The dialog's preview, when it is there if that is wanted, else when it is under way."""
    menu.choose(menu.OPEN)
    dialog = yield from inside.wait(lambda: inside.named("HarmonizeDialog"), "the dialog is open")
    yield from inside.wait(lambda: dialog._preview.text, "the preview has begun")
    if wanted:
        yield from inside.wait(lambda: dialog._preview._steps is None, "the preview is there")
        assert dialog._preview.after is not None, dialog._preview.text
    return dialog._preview


def accepted():
    """All messages after the dialog's OK, closed again."""
    inside.named("HarmonizeDialog").accept()
    yield from inside.wait(lambda: inside.named("Progress") is None, "the progress window has gone")
    yield from inside.turns(10)
    messages = inside.messages()
    for window in inside.windows():
        if isinstance(window, QtWidgets.QMessageBox):
            window.close()
    yield from inside.wait(lambda: inside.message_box() is None, "the messages have gone")
    return messages


def refused_by_krita():
    """Krita tells of what it did not do by what it returns."""
    facts = {}
    for name in ("setPixelData", "addChildNode"):
        document, _ = yield from scene()
        before = inside.state(document)
        with mock.patch.object(krita.Node, name, return_value=False):
            start()
            facts[name] = yield from message(document, before)
        yield from inside.close(document)
    return facts


def other_qt():
    """Another plug-in has loaded the other PyQt, or both."""
    names = [name for name in ("PyQt5.QtCore", "PyQt6.QtCore") if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in names})
    importlib.reload(qt)
    for name in names:
        del sys.modules[name]
    yield
    return {"used": qt.QtCore.__package__, "krita": KRITA.version()}


def other_document_in_front():
    """The result goes to the document that it was asked for, though another is in front by then."""
    document, _ = yield from scene()
    yield from started_and_held()
    other, _ = yield from inside.new_document(200, 200)
    yield from outside("continue")
    yield from inside.wait(lambda: inside.named("Progress") is None, "it has ended")
    names = [[node.name() for node in inside.layers(one)] for one in (document, other)]
    for one in (document, other):
        yield from inside.close(one)
    return {"names": names}


def quits():
    document, _ = yield from scene()
    yield from started_and_held()
    yield from inside.unmodified(document)
    KRITA.action("file_quit").trigger()
    yield from inside.wait(lambda: False, "Krita has ended")


def started_and_held():
    """A request that the backend has, and doesn't answer: the backend is stopped before it comes."""
    yield from outside("stop")
    count = len(inside.requests)
    start()
    yield from inside.wait(lambda: len(inside.requests) > count, "the request is under way")
    yield from inside.wait(lambda: shown_text().startswith("Asking"), "it is waited for")


def shown_text():
    progress = inside.named("Progress")
    return progress._text.text() if progress is not None else ""


def outside(words):
    """Has the test do something outside, and waits until it is done."""
    done = inside.OUT / "did"
    (inside.OUT / "do.new").write_text(words)
    (inside.OUT / "do.new").rename(inside.OUT / "do")
    yield from inside.wait(done.exists, f"“{words}” is done")
    done.unlink()


def main():
    inside.forget_values()
    inside.record_requests()
    for name, before, what in (
        ("absent", "", refused),
        ("starting", "record a starter", works),
        ("warm", "", works),
        ("two documents", "", other_document_in_front),
        ("document closed", "", document_closed),
        ("closed in the dialog", "", closed_in_the_dialog),
        ("removed in the dialog", "", layer_removed_in_the_dialog),
        ("refused by Krita", "", refused_by_krita),
        ("other Qt", "", other_qt),
        ("layer removed", "", layer_removed),
        ("killed", "record the real command", killed),
        ("out of memory", "fake out-of-memory", refused),
        ("wrong version", "fake newer", refused),
        ("unsuitable", "start", unsuitable),
        ("warm", "", works),
        ("quits", "", quits),
    ):
        print("CASE", name, flush=True)
        if before:
            yield from outside(before)
        inside.report(name, (yield from what()))
