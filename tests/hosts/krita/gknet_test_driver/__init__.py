"""Runs the generator `main()` of the file $KRITA_DRIVER inside Krita, on its interface thread, then ends Krita.

Each `yield` gives Krita's event loop a turn. Says DRIVER OK or DRIVER FAILED, with the traceback, at the end.
"""

import faulthandler
import os
import sys
import traceback
from pathlib import Path

from krita import Extension, Krita

if "PyQt6.QtCore" in sys.modules:  # `krita` brings Krita's own Qt with it; the other one is refused
    from PyQt6.QtCore import QTimer
else:
    from PyQt5.QtCore import QTimer


class Driver(Extension):
    def setup(self):
        pass

    def createActions(self, _window):  # noqa: N802
        if not hasattr(self, "steps"):  # once for each main window, and the first is enough
            self.steps = None
            self.timer = QTimer()
            self.timer.timeout.connect(self.step)
            self.timer.start(20)

    def step(self):
        window = Krita.instance().activeWindow()
        if self.steps is None and (window is None or not window.qwindow().isVisible()):
            return
        try:
            if self.steps is None:
                self.steps = self.begin()
            next(self.steps)
        except StopIteration:
            self.finish(0)
        except Exception:
            traceback.print_exc()
            self.finish(1)

    def begin(self):
        path = Path(os.environ["KRITA_DRIVER"])
        sys.path.insert(0, str(path.parent))
        scope = {"__name__": "driver", "__file__": str(path)}
        exec(compile(path.read_text(), path, "exec"), scope)
        return scope["main"]()

    def finish(self, status):
        print("DRIVER", "FAILED" if status else "OK", flush=True)
        sys.stderr.flush()
        os._exit(status)  # no questions about unsaved pictures


if os.environ.get("KRITA_DRIVER"):
    faulthandler.enable()  # a crash says where it was
    Krita.instance().addExtension(Driver(Krita.instance()))
