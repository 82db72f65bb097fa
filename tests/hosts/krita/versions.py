"""Driver: versions and trims, by keyboard and mouse and from a script, and several layers in one go."""

import time
from pathlib import Path
from unittest import mock

import gknet_harmonize.thin.job as job
import inside
import menu
from inside import GIVEN, KRITA, QtCore, QtTest, QtWidgets
from windows import dialog, open_photograph, press, the_result

_BUTTONS = QtWidgets.QDialogButtonBox.StandardButton
_KEYS = QtCore.Qt.Key
WARMTH = 30


def all_versions():
    """The dialog, when its preview and all thumbnails show the values it has."""
    shown = dialog()
    return shown if shown and shown._preview.after is not None and shown._preview._steps is None else None


def open_dialog():
    menu.choose(menu.OPEN)
    yield from inside.wait(all_versions, "the preview and the thumbnails are there")
    yield from inside.turns(5)
    return dialog()


def ended():
    yield from inside.wait(lambda: inside.named("Progress"), "the progress window is open")
    yield from inside.wait(lambda: inside.named("Progress") is None, "the progress window has gone")


def chosen(shown, number):
    """Whether a version is chosen, in the strip and in the preview."""
    preview = shown._preview
    return (
        shown._strip._group.checkedId() == number
        and preview.after is preview.get_version(number)
        and shown.read_values().variant == number
    )


def versions(facts):
    """Choose by keys and mouse, trim, harmonize, undo, repeat, and once more from a script."""
    document, pasted = yield from open_photograph()
    before = inside.state(document)
    shown = yield from open_dialog()
    room, frame = shown.screen().availableGeometry(), shown.frameGeometry()
    facts["fits"] = frame.width() <= room.width() and frame.height() <= room.height() - 60
    thumbnails = shown._strip._group.buttons()
    facts["names"] = [one.accessibleName() for one in thumbnails if one.isVisible()]
    facts["likeliest_first"] = (
        sorted(shown._preview.probabilities[1:], reverse=True) == shown._preview.probabilities[1:]
    )
    facts["unnamed"] = unnamed(shown)
    facts["mnemonics"] = mnemonics(shown)
    requests, start = len(inside.requests), time.monotonic()
    QtTest.QTest.keyClick(shown, _KEYS.Key_2)
    facts["chosen"] = {"key": chosen(shown, 2)}
    facts["chosen_ms"] = 1000 * (time.monotonic() - start)
    thumbnails[1].setFocus()
    QtTest.QTest.keyClick(thumbnails[1], _KEYS.Key_Right)
    facts["chosen"]["arrow"] = chosen(shown, 3)
    QtTest.QTest.mouseClick(thumbnails[3], QtCore.Qt.MouseButton.LeftButton)
    facts["chosen"]["mouse"] = chosen(shown, 4)
    facts["asked_anew"] = len(inside.requests) - requests
    yield from trimmed(shown, facts)
    QtTest.QTest.keyClick(shown, _KEYS.Key_3)
    yield from inside.wait(all_versions, "all versions follow the trim")
    yield from inside.turns(3)
    inside.shot("dialog-versions")
    press(shown, _BUTTONS.Ok)
    yield from ended()
    new = yield from inside.wait(lambda: the_result(document, pasted), "the new layer is there")
    request = inside.requests[-1]
    facts["request"] = {key: request[key] for key in ("layer", "reference", "options")}
    inside.write("layer", request["layer_bytes"])
    inside.write("reference", request["reference_bytes"])
    inside.write("result", new.pixelData(*inside.box_of(pasted)))
    yield from inside.trigger(document, "edit_undo")
    yield from inside.wait(lambda: the_result(document, pasted) is None, "it is undone")
    facts["undone"] = inside.state(document) == before
    yield from inside.choose(document, pasted)
    menu.choose(menu.AGAIN)
    yield from ended()
    facts["repeated"] = inside.requests[-1]["options"]
    yield from scripted(document, pasted, facts)
    yield from missing(document, pasted, facts)
    yield from inside.close(document)


def trimmed(shown, facts):
    """A digit typed into an entry does not choose a version; a double click resets."""
    trim = shown._trims["warmth"]
    trim._number.setFocus()
    trim._number.selectAll()
    yield from inside.wait(trim._number.hasFocus, "the entry has the focus")
    QtTest.QTest.keyClick(trim._number, _KEYS.Key_5)
    facts["typed"] = [trim.read_value(), shown.read_values().variant]
    trim._slider.setValue(WARMTH)
    QtTest.QTest.mouseDClick(trim._slider, QtCore.Qt.MouseButton.LeftButton)
    facts["reset"] = trim.read_value()
    trim._slider.setValue(WARMTH)


def unnamed(shown):
    """What a screen reader could not name."""
    return [
        type(one).__name__
        for one in shown.findChildren(QtWidgets.QWidget)
        if one.isVisible()
        and one.focusPolicy() != QtCore.Qt.FocusPolicy.NoFocus
        and not (one.accessibleName() or getattr(one, "text", str)())
    ]


def mnemonics(shown):
    texts = [one.text() for kind in (QtWidgets.QLabel, QtWidgets.QAbstractButton) for one in shown.findChildren(kind)]
    return sorted(text[text.index("&") + 1].lower() for text in texts if "&" in text)


def scripted(document, pasted, facts):
    """The action's data, which counts once, and a refusal of what is not valid."""
    yield from inside.choose(document, pasted)
    action = KRITA.action(menu.AGAIN)
    action.setData({"variant": 2, "warmth": -20, "saturation": 10, "strength": 0.5})
    menu.choose(menu.AGAIN)
    yield from ended()
    facts["scripted"] = inside.requests[-1]["options"]
    facts["data_after"] = action.data()
    action.setData({"warmth": 101})
    menu.choose(menu.AGAIN)
    box = yield from inside.wait(inside.message_box, "there is a message")
    facts["refused"] = box.text()
    box.close()
    yield from inside.wait(lambda: inside.message_box() is None, "the message has gone")


def missing(document, pasted, facts):
    """A remembered version that the layer doesn't have."""
    yield from inside.choose(document, pasted)
    get_answer = job.Job.get_answer

    def two_versions(self):
        answer, pixels = get_answer(self)
        return {**answer, "variants": answer["variants"][:2]}, pixels

    with mock.patch.object(job.Job, "get_answer", two_versions):
        shown = yield from open_dialog()
        facts["missing"] = [shown._notice, shown.read_values().variant]
        QtTest.QTest.keyClick(shown, _KEYS.Key_Escape)
        yield from inside.wait(lambda: dialog() is None, "the dialog has gone")


def select(document, nodes):
    """Select layers in the Layers docker, the last one as the active one."""
    yield from inside.choose(document, nodes[-1])
    docker = next(one for one in KRITA.dockers() if one.objectName() == "KisLayerBox")
    tree = next(one for one in docker.findChildren(QtWidgets.QTreeView) if one.model() is not None)
    model, flags = tree.model(), QtCore.QItemSelectionModel.SelectionFlag
    names = {node.name() for node in nodes}

    def selected():
        for row in range(model.rowCount()):
            index = model.index(row, 0)
            if index.data() in names:
                tree.selectionModel().select(index, flags.Select | flags.Rows)
        return {node.name() for node in KRITA.activeWindow().activeView().selectedNodes()} == names

    yield from inside.wait(selected, "the layers are selected")


def several(facts):
    """Three layers, one of them empty: two results and one step; cancelled in the middle; a layer in between."""
    inside.forget_values()
    document, ground = yield from inside.new_document(*GIVEN["table_size"])
    inside.fill(ground, Path(GIVEN["table"]).read_bytes(), 0, 0, *GIVEN["table_size"])
    part = Path(GIVEN["part"]).read_bytes()
    low = inside.put(document, "low", part, GIVEN["low_box"])
    empty = document.createNode("empty", "paintlayer")
    document.rootNode().addChildNode(empty, low)
    high = inside.put(document, "high", part, GIVEN["high_box"])
    inside.settle(document)
    yield from select(document, [low, empty, high])
    yield from inside.unmodified(document)
    before = inside.state(document)
    yield from cancelled(document, before, facts)
    yield from select(document, [low, empty, high])
    shown = yield from open_dialog()
    facts["dialog"] = shown._describe_layers()
    inside.shot("dialog-several")
    inside.requests.clear()
    press(shown, _BUTTONS.Ok)
    facts["progress"] = yield from lines()
    box = yield from inside.wait(inside.message_box, "there is a message")
    facts["left_out"] = box.text()
    box.close()
    facts["tree"] = inside.tree(document)
    inside.write("low_result", inside.layers(document)[-1].childNodes()[0].pixelData(*GIVEN["low_box"]))
    inside.write("high_reference", inside.requests[-1]["reference_bytes"])
    yield from inside.trigger(document, "edit_undo")
    yield from inside.wait(lambda: len(inside.layers(document)) == 4, "it is undone")
    facts["several_undone"] = inside.state(document) == before
    yield from inside.turns(40)
    yield from apart(document, low, high, facts)
    yield from none_left(document, empty, facts)
    yield from inside.close(document)


def lines():
    """The first lines of the progress window's texts, until it has gone."""
    yield from inside.wait(lambda: inside.named("Progress"), "the progress window is open")
    said = []

    def gone():
        progress = inside.named("Progress")
        line = progress._text.text().splitlines()[:1] if progress else []
        if line and line[0] not in said:
            said.append(line[0])
        return progress is None

    yield from inside.wait(gone, "the progress window has gone")
    return said


def cancelled(document, before, facts):
    """Cancel while the second layer is harmonized."""
    menu.choose(menu.AGAIN)
    progress = yield from inside.wait(lambda: inside.named("Progress"), "the progress window is open")
    yield from inside.wait(lambda: progress._text.text().startswith("2 of 2"), "the second layer is under way")
    press(progress, _BUTTONS.Cancel)
    yield from inside.turns(40)
    facts["cancelled"] = inside.state(document) == before and not document.modified() and not inside.messages()


def apart(document, low, high, facts):
    """With a layer in between, each result lies above its original, in a step of its own."""
    inside.put(document, "between", bytes([0, 0, 200, 255]) * 400, [0, 0, 20, 20], above=low)
    inside.settle(document)
    yield from select(document, [low, high])
    menu.choose(menu.AGAIN)
    yield from ended()
    facts["apart"] = [name for name, _ in inside.tree(document)]


def none_left(document, empty, facts):
    """Only layers that can't be harmonized."""
    document.rootNode().addChildNode(document.createNode("other", "paintlayer"), None)
    inside.settle(document)
    yield from select(document, [empty, document.nodeByName("other")])
    menu.choose(menu.AGAIN)
    box = yield from inside.wait(inside.message_box, "there is a message")
    facts["none_left"] = box.text()
    box.close()


def main():
    inside.record_requests()
    inside.forget_values()
    facts = {}
    yield from versions(facts)
    yield from several(facts)
    inside.report("facts", facts)
