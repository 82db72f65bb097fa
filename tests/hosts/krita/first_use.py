"""Driver: a user's first use of the plug-in from an archive: install the engine in its window, and harmonize."""

import engine
import inside
import menu
from gknet_harmonize.thin.engine.offer import read_log
from inside import QtWidgets
from windows import dialog, open_photograph, press, preview_ready, the_result

_INSTALL_S = 540.0


def main():
    inside.forget_values()
    document, pasted = yield from open_photograph()
    yield from menu.choose_with_the_mouse(menu.OPEN)
    shown = yield from engine.at_page("_action")
    yield from engine.shot("first-use-1-offer")
    engine.click(shown._action)
    yield from inside.wait(lambda: ended(shown) or shown._job.progress.bytes_done > 20e6, "it downloads", _INSTALL_S)
    yield from engine.shot("first-use-2-progress")
    yield from inside.wait(lambda: ended(shown), "it has ended", _INSTALL_S)
    yield from engine.shot("first-use-3-end")
    assert shown._continue.isVisible(), [*engine.texts(shown), read_log(shown._job.log)]
    engine.click(shown._continue)
    yield from inside.wait(dialog, "the dialog is open")
    yield from inside.wait(preview_ready, "the preview is there")
    yield from engine.shot("first-use-4-dialog")
    press(dialog(), QtWidgets.QDialogButtonBox.StandardButton.Ok)
    new = yield from inside.wait(lambda: the_result(document, pasted), "the new layer is there")
    yield from inside.wait(lambda: inside.named("Progress") is None, "the progress window has gone")
    yield from engine.shot("first-use-5-result")
    box = inside.box_of(pasted)
    inside.report("facts", {"changed": new.pixelData(*box) != pasted.pixelData(*box)})
    yield from inside.close(document)


def ended(shown):
    return shown.isVisible() and not shown.is_busy
