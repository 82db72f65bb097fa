"""Driver: as a user does it, with the mouse: menu, dialog, progress, result, undo, redo, cancel, save."""

import time
from pathlib import Path

import gknet_harmonize.extension as extension
import inside
import menu
from inside import GIVEN, KRITA, QtCore, QtTest, QtWidgets

_BUTTONS = QtWidgets.QDialogButtonBox.StandardButton

runs = []
"""The steps of every run so far."""


class _RecordedSteps(extension.Steps):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        runs.append(self)


extension.Steps = _RecordedSteps


def dialog():
    return inside.named("HarmonizeDialog")


def preview_ready():
    """The dialog, when its preview shows the values it has."""
    shown = dialog()
    preview = shown._preview
    return shown if preview.after is not None and preview._steps is None and not preview.text else None


def preview_at(strength):
    shown = preview_ready()
    return shown if shown is not None and shown._preview._pictures[1].values.strength == strength else None


def press(window, which):
    QtTest.QTest.mouseClick(
        window.findChild(QtWidgets.QDialogButtonBox).button(which), QtCore.Qt.MouseButton.LeftButton
    )


def look_of(image):
    return bytes(image.constBits().asstring(image.width() * image.height() * 4))


def the_result(document, thing):
    return next((n for n in inside.layers(document) if n.name() == f"{thing.name()} (harmonized)"), None)


def open_photograph():
    document = KRITA.openDocument(GIVEN["photograph"])
    KRITA.activeWindow().addView(document)
    yield from inside.wait(lambda: document.activeNode() is not None, "the photograph is shown")
    pasted = inside.put(document, "pasted", Path(GIVEN["pasted"]).read_bytes(), GIVEN["box"])
    inside.settle(document)
    yield from inside.choose(document, pasted)
    yield from inside.unmodified(document)
    return document, pasted


def main():
    inside.record_requests()
    inside.forget_values()
    document, pasted = yield from open_photograph()
    before = inside.state(document)
    yield from menu.choose_with_the_mouse(menu.OPEN, shot="menu")
    facts = {"menu": [a.text() for a in menu.filter_menu()[1].actions() if a.objectName().startswith("gknet")]}
    yield from inside.wait(dialog, "the dialog is open")
    yield from inside.wait(preview_ready, "the preview is there")
    yield from inside.turns(3)
    inside.shot("dialog")
    facts["preview"] = yield from strengths()
    facts["diagnostics"] = yield from diagnostics()
    yield from compared_with()
    inside.requests.clear()
    press(dialog(), _BUTTONS.Ok)
    yield from inside.wait(lambda: inside.named("Progress"), "the progress window is open")
    progress = inside.named("Progress")
    yield from inside.wait(lambda: progress._text.text() and progress._bar.value() >= 0, "it says something")
    new = yield from inside.wait(lambda: the_result(document, pasted), "the new layer is there")
    yield from inside.wait(lambda: inside.named("Progress") is None, "the progress window has gone")
    document.waitForDone()
    yield from inside.wait(lambda: document.activeNode() == new, "the new layer is active")
    yield from inside.turns(10)
    inside.shot("result")
    facts["request"] = {key: inside.requests[-1][key] for key in ("layer", "reference", "options")}
    inside.write("layer", inside.requests[-1]["layer_bytes"])
    inside.write("reference", inside.requests[-1]["reference_bytes"])
    inside.write("result", new.pixelData(*inside.box_of(pasted)))
    after = inside.state(document)
    facts["others_untouched"] = after[2][:-1] == before[2]
    yield from inside.trigger(document, "edit_undo")
    yield from inside.wait(lambda: the_result(document, pasted) is None, "it is undone")
    document.waitForDone()
    facts["undone"] = inside.state(document) == before
    yield from inside.trigger(document, "edit_redo")
    yield from inside.wait(lambda: the_result(document, pasted), "it is redone")
    document.waitForDone()
    facts["redone"] = inside.state(document) == after
    yield from saved(document, facts, after)
    yield from repeated(document, pasted, facts)
    yield from cancelled(document, pasted, facts)
    yield from fitting(facts)
    yield from large_cancelled(facts)
    inside.report("facts", facts)


def strengths():
    """How far the preview is from the layer as it was, at three strengths, set with the slider."""
    differences = {}
    slider = dialog().findChild(QtWidgets.QSlider)
    for value in (0, 50, 100):
        slider.setValue(value)
        shown = yield from inside.wait(lambda v=value: preview_at(v / 100), "the preview follows the slider")
        before, after = look_of(shown._preview.before), look_of(shown._preview.after)
        differences[value] = sum(abs(a - b) for a, b in zip(before, after, strict=True)) / len(before)
    return differences


def diagnostics():
    """What the button leaves on the clipboard."""
    button = next(one for one in dialog().findChildren(QtWidgets.QPushButton) if "diagnostics" in one.text())
    QtTest.QTest.mouseClick(button, QtCore.Qt.MouseButton.LeftButton)
    yield from inside.wait(lambda: "copied" in button.text(), "the diagnostics are copied")
    return QtWidgets.QApplication.clipboard().text()


def compared_with():
    """The other choices in turn, then the first one again, each with a preview of its own."""
    compare, asked = dialog().findChildren(QtWidgets.QComboBox)[0], len(inside.requests)
    for index in (1, 2):
        compare.setCurrentIndex(index)
        yield from inside.wait(lambda count=asked: len(inside.requests) > count, "the preview asks anew")
        shown = yield from inside.wait(preview_ready, "the preview is there")
        asked = len(inside.requests)
        assert shown._layer.isVisible() == (index == 2)
    inside.shot("dialog-layer")
    compare.setCurrentIndex(0)
    yield from inside.wait(preview_ready, "the preview is there")


def saved(document, facts, after):
    """The picture is saved, closed, opened again: all that is in the file."""
    document.setBatchmode(True)
    path = str(inside.OUT / "picture.kra")
    assert document.saveAs(path)
    document.waitForDone()
    again = KRITA.openDocument(path)
    again.waitForDone()
    facts["saved"] = [node.name() for node in inside.layers(again)]
    facts["saved_exactly"] = [one[1] for one in inside.state(again)[2]] == [one[1] for one in after[2]]
    again.close()
    yield


def repeated(document, pasted, facts):
    """The second entry: no dialog, the values of the dialog before."""
    yield from inside.choose(document, pasted)
    inside.requests.clear()
    count = len(inside.layers(document))
    yield from menu.choose_with_the_mouse(menu.AGAIN)
    yield from inside.wait(lambda: len(inside.layers(document)) == count + 1, "there is one more layer")
    yield from inside.wait(lambda: inside.named("Progress") is None, "the progress window has gone")
    facts["again"] = {"options": inside.requests[-1]["options"], "requests": len(inside.requests)}
    yield from inside.trigger(document, "edit_undo")
    yield from inside.wait(lambda: len(inside.layers(document)) == count, "it is undone")


def cancelled(document, pasted, facts):
    """Escape in the dialog, and in the progress window while the backend works."""
    yield from inside.choose(document, pasted)
    yield from inside.unmodified(document)
    before = inside.state(document)
    menu.choose(menu.OPEN)
    shown = yield from inside.wait(dialog, "the dialog is open")
    QtTest.QTest.keyClick(shown, QtCore.Qt.Key.Key_Escape)
    yield from inside.wait(lambda: dialog() is None, "the dialog has gone")
    facts["escaped"] = inside.state(document) == before and not document.modified()
    yield from inside.close(document)


def fitting(facts):
    """An object that fits already: the dialog says so, and so does the canvas after a run without one."""
    inside.forget_values()
    x, y, width, height = GIVEN["part_box"]
    document, ground = yield from inside.new_document(*GIVEN["table_size"])
    inside.fill(ground, Path(GIVEN["table"]).read_bytes(), 0, 0, *GIVEN["table_size"])
    part = inside.put(document, "part", Path(GIVEN["part"]).read_bytes(), [x, y, width, height])
    inside.settle(document)
    yield from inside.choose(document, part)
    menu.choose(menu.OPEN)
    yield from inside.wait(dialog, "the dialog is open")
    yield from inside.wait(lambda: dialog()._preview.after is not None and dialog()._preview.text, "it says something")
    facts["fits"] = dialog()._preview.text
    yield from inside.turns(3)
    inside.shot("fits")
    QtTest.QTest.keyClick(dialog(), QtCore.Qt.Key.Key_Escape)
    yield from inside.wait(lambda: dialog() is None, "the dialog has gone")
    menu.choose(menu.AGAIN)
    yield from inside.wait(lambda: the_result(document, part), "the new layer is there")
    yield from inside.wait(notice, "the canvas says something")
    yield from inside.turns(3)
    inside.shot("fits-notice")
    yield from inside.close(document)


def notice():
    """What Krita shows on the canvas for a while."""
    shown = (w for w in QtWidgets.QApplication.allWidgets() if w.metaObject().className() == "KisFloatingMessage")
    return next((w for w in shown if w.isVisible()), None)


def large_cancelled(facts):
    """24 megapixels: Cancel ends it in the very event that it comes in, whatever is being done."""
    width, height = 6000, 4000
    document, ground = yield from inside.new_document(width, height)
    row = bytes(range(256)) * 94
    for top in range(0, height, 400):
        ground.setPixelData(row[: 4 * width] * 400, 0, top, width, 400)
    solid, clear = b"\x30\x60\x90\xff" * (5000 * 1400), bytes(4 * 5000 * 200)
    thing = inside.put(document, "large", solid + clear + solid, [10, 10, 5000, 3000])
    inside.settle(document)
    yield from inside.unmodified(document)
    before = inside.tree(document)
    yield from inside.choose(document, thing)
    facts["cancelled"], facts["held_s"] = {}, []
    for stage in ("Looking", "Reading", "Sending"):
        menu.choose(menu.AGAIN)
        progress = yield from inside.wait(lambda: inside.named("Progress"), "the progress window is open")
        text = progress._text
        yield from inside.wait(lambda t=text, s=stage: stage_reached(t, s), f"{stage} is under way")
        if stage == "Sending":
            yield from inside.wait(progress.windowHandle().isExposed, "it is on the screen")
            yield from inside.turns(10)
            inside.shot("progress")
        steps = runs[-1]
        job, start = steps._job, time.monotonic()
        press(progress, _BUTTONS.Cancel)  # Krita's event loop has no turn between this and the next lines
        ended = steps._work.gi_frame is None and (job is None or job.is_cancelled)
        facts["cancelled"][stage] = ended and inside.named("Progress") is None
        yield from inside.wait(lambda j=job: j is None or j.is_done, "the request has ended")
        facts["held_s"].append(time.monotonic() - start)
        yield from inside.turns(10)
        assert inside.tree(document) == before
        assert not document.modified()
        assert not inside.messages()
    yield from inside.close(document)


def stage_reached(label, stage):
    words = ("Looking", "Reading", "Sending", "Adding")
    text = label.text()
    reached = next((index for index, word in enumerate(words) if text.startswith(word)), 2)
    return label.isVisible() and reached >= words.index(stage)
