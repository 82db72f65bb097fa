"""Driver: the shortest way through the plug-in, from the menu to the new layer, with a backend that it starts."""

import inside
import menu
from inside import QtWidgets
from windows import diagnostics, dialog, open_photograph, press, preview_ready, the_result


def main():
    inside.forget_values()
    document, pasted = yield from open_photograph()
    yield from menu.choose_with_the_mouse(menu.OPEN)
    yield from inside.wait(dialog, "the dialog is open")
    yield from inside.wait(preview_ready, "the preview is there")
    copied = yield from diagnostics()
    press(dialog(), QtWidgets.QDialogButtonBox.StandardButton.Ok)
    new = yield from inside.wait(lambda: the_result(document, pasted), "the new layer is there")
    yield from inside.wait(lambda: inside.named("Progress") is None, "the progress window has gone")
    changed = new.pixelData(*inside.box_of(pasted)) != pasted.pixelData(*inside.box_of(pasted))
    inside.report("facts", {"changed": changed, "diagnostics": copied})
    yield from inside.close(document)
