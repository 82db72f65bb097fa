"""The real GIMP in the chroot, with a home folder of its own, as a test outside works with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.backend.real_backend import Backend
from tests.hosts.chroot import Chroot

HERE = Path(__file__).parent
START_S = 90.0
"""Until GIMP has started, on a busy machine; and until what is waited for has come."""
ENDLESS_S = 900.0
"""For one answer of GIMP's."""
OF_THE_USER = ("XDG_CONFIG_HOME", "GIMP3_DIRECTORY", "GKNET_CONNECTION")

GIMPRC = """\
(config-version "{version}")
(check-updates no)
(show-welcome-dialog no)
(color-profile-policy keep)
(metadata-rotation-policy rotate)
"""
"""No questions at the start and on opening a file."""
EXACT = {"BABL_TOLERANCE": "0.0"}
"""GIMP's colour library chooses among its conversions by how fast they just were, and those differ in the last bit of
16. This leaves only the exact ones: the same picture is the same bytes in every run."""
COMMAND = (sys.executable, "-m", "backend")
SCREEN = "1600x1000"
KEY = "ctrl+alt+h"
SHORTCUTS = '(action "gknet-harmonize" "<Primary><Alt>h")\n'


CLIPBOARD = """if True:
    import gi
    gi.require_version("Gtk", "3.0")
    from gi.repository import Gdk, Gtk
    print(Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text() or "")
"""


def await_that(condition: Callable[[], Any], what: str, timeout_s: float = START_S) -> Any:
    """What the condition gives as soon as that is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


class Line:
    """A socket in a folder over which a program in the chroot is asked, a line of JSON at a time."""

    def __init__(self, path: Path, alive: Callable[[], bool]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)

        def connected() -> bool:
            assert alive(), f"who should listen at {path.name} has ended"
            try:
                self._socket.connect(str(path))
            except OSError:
                return False
            return True

        await_that(connected, f"the socket {path.name}")
        self._socket.settimeout(ENDLESS_S)
        self._lines = self._socket.makefile("rw")

    def ask(self, *request: Any) -> Any:
        """The answer; AssertionError with the other side's traceback if there is none."""
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()
        answer = json.loads(self._lines.readline() or '{"error": "it has ended"}')
        assert "answer" in answer, answer["error"]
        return answer["answer"]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Program:
    """The home of a chroot's GIMP, with the plug-in in it.

    command: the `gknet` that puts it there.   binds: what the chroot needs to run that.
    """

    def __init__(
        self, chroot: Chroot, folder: Path, command: Sequence[str | Path] = COMMAND, binds: Sequence[Path] = ()
    ) -> None:
        self.chroot, self.folder, self.command, self.binds = chroot, folder, command, binds
        version = chroot.version("gimp")
        self.home = folder / "home"
        self.settings = self.home / ".config" / "GIMP" / version.rpartition(".")[0]
        self.plug_in = self.settings / "plug-ins" / "gknet-harmonize"
        folder.mkdir(exist_ok=True)
        self.settings.mkdir(parents=True)
        (self.settings / "gimprc").write_text(GIMPRC.format(version=version))
        (self.settings / "shortcutsrc").write_text(SHORTCUTS)
        self.told = self.gknet("install", "gimp")

    def unpack(self, archive: Path) -> None:
        """Puts a release's plug-in in the place of the installed one, as a user does."""
        self.gknet("uninstall", "gimp")
        assert not self.plug_in.exists()
        with zipfile.ZipFile(archive) as packed:
            assert packed.getinfo("gknet-harmonize/gknet-harmonize.py").external_attr >> 16 & 0o111
            packed.extractall(self.plug_in.parent)
        (self.plug_in / "gknet-harmonize.py").chmod(0o755)  # as unzip and file managers do; Python's own does not

    def gknet(self, *words: str) -> str:
        """What the `gknet` command says to the user whose home this is."""
        environment = {name: value for name, value in os.environ.items() if name not in OF_THE_USER}
        done = subprocess.run(
            [*self.command, *words],
            env={**environment, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=True,
            timeout=START_S,
        )
        return done.stdout

    def start(
        self, name: str, connection: Path, *, display: bool = False, screen: str = SCREEN, **variables: str
    ) -> Running:
        """Starts GIMP; what it leaves goes into a folder of this name. variables: of its environment.

        screen: the display's width and height.
        """
        folder = self.folder / name
        folder.mkdir()
        return Running(self, folder, connection, screen if display else None, variables)


class Running:
    """A GIMP that does what it is asked.

    connection: the connection file that its plug-ins look for.   screen: that of its windows, if it has any.
    """

    def __init__(
        self, program: Program, folder: Path, connection: Path, screen: str | None, variables: dict[str, str]
    ) -> None:
        self.folder = folder
        self.connection = connection
        job = f"exec(compile(open({str(HERE / 'in_gimp.py')!r}).read(), 'in_gimp.py', 'exec'))"
        words: list[str | Path] = ["--batch-interpreter=python-fu-eval", "-b", job]
        if screen:
            words = ["python3", HERE / "hand.py", "gimp", "--no-splash", *words]
        else:
            words = ["gimp-console", "-i", *words, "--quit"]
        variables = {"GKNET_FOLDER": str(folder), "GKNET_CONNECTION": str(connection), **EXACT, **variables}
        self._said = (folder / "said").open("w+")
        binds = [HERE, folder, connection.parent, *program.binds]
        command = program.chroot.command(words, home=program.home, binds=binds, display=bool(screen))
        self._process = subprocess.Popen(
            [command[0], "-s", screen or SCREEN, *command[1:]],
            env=program.chroot.environment(variables),
            cwd=folder,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )
        self._lines: list[Line] = []
        self.ask = self._listen("gimp").ask
        if screen:
            self.hand = self._listen("hand").ask

    def said(self) -> str:
        """What GIMP and its plug-ins have written so far."""
        return (self.folder / "said").read_text()

    def close(self) -> None:
        """Ends it, and all that runs in there."""
        for line in self._lines:
            line.close()
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        self._said.close()

    def _listen(self, name: str) -> Line:
        try:
            line = Line(self.folder / name, lambda: self._process.poll() is None)
        except AssertionError as error:
            self.close()
            raise AssertionError(f"{error}\n{self.said()}") from None
        self._lines.append(line)
        return line


class Desk:
    """A running GIMP's windows, keyboard and screen."""

    def __init__(self, running: Running, shots: Path) -> None:
        self.running = running
        self.shots = shots

    def do(self, *words: str) -> str:
        """Return what a command on GIMP's display prints; a failure of the command is ignored."""
        return str(self.running.hand(words))

    def windows(self) -> Sequence[str]:
        """Titles of all windows."""
        return [line.split(None, 3)[-1] for line in self.do("wmctrl", "-l").splitlines()]

    def await_window(self, title: str) -> None:
        """Waits until a window of this title is there and has the keyboard."""
        await_that(lambda: self.do("xdotool", "getactivewindow", "getwindowname").strip() == title, title)

    def await_no_window(self, title: str) -> None:
        await_that(lambda: title not in self.windows(), f"the end of {title}")

    def key(self, *keys: str) -> None:
        """Presses keys, one after another."""
        self.do("xdotool", "key", *keys)

    def image_window(self) -> None:
        """Gives the keyboard to GIMP's main window."""

        def active() -> bool:
            self.do("wmctrl", "-a", "GNU Image Manipulation Program")
            name = self.do("xdotool", "getactivewindow", "getwindowname")
            return "GIMP" in name or "GNU Image" in name

        await_that(active, "GIMP's window")

    def show(self, case: dict[str, Any]) -> dict[str, Any]:
        """Makes an image and a window for it; what is in it."""
        state: dict[str, Any] = self.running.ask("show", case)
        return state

    def close_image(self) -> None:
        """Takes the image and its window away."""
        self.running.ask("close")

    def geometry(self, title: str) -> tuple[int, int, int, int]:
        """(left, top, width, height) of a window's inside on the screen."""
        number = self.do("xdotool", "search", "--onlyvisible", "--name", f"^{title}$").split()[0]
        said = self.do("xwininfo", "-id", number)  # xdotool counts the window's frame twice
        found = dict(line.strip().rsplit(": ", 1) for line in said.splitlines() if ": " in line)
        left, top = int(found["Absolute upper-left X"]), int(found["Absolute upper-left Y"])
        return left, top, int(found["Width"]), int(found["Height"])

    def pixels(self, left: int, top: int, width: int, height: int) -> np.ndarray:
        """What a part of the screen shows, (h, w, 3) float32."""
        path = self.running.folder / "part.png"
        self.do("scrot", "-o", "-a", f"{left},{top},{width},{height}", str(path))
        return np.asarray(Image.open(path).convert("RGB"), np.float32)

    def shot(self, name: str) -> Path:
        """A picture of the screen, as PNG."""
        path = self.running.folder / f"{name}.png"
        self.do("scrot", "-o", str(path))
        (self.shots / path.name).write_bytes(path.read_bytes())
        return path

    def is_same(self, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Whether an image is in the same state, pixels and all."""
        folder = self.running.folder
        if [layer["name"] for layer in before["layers"]] != [layer["name"] for layer in after["layers"]]:
            return False
        for was, now in zip(before["layers"], after["layers"], strict=True):
            for key, value in was.items():
                if key in ("pixels", "mask") and value is not None:
                    if (folder / value).read_bytes() != (folder / now[key]).read_bytes():
                        return False
                elif now[key] != value:
                    return False
        return bool(before["dirty"] == after["dirty"] and before["guides"] == after["guides"])

    def close_message(self) -> None:
        """Closes a message, which GIMP puts on its status bar for a while, or in a window where that is too short."""
        time.sleep(0.5)  # until the window is there, if there is one

        def is_gone() -> bool:
            if "GIMP Message" in self.windows():
                self.do("wmctrl", "-a", "GIMP Message")
                self.key("Return")
            return "GIMP Message" not in self.windows()

        await_that(is_gone, "the end of the message")

    def clipboard(self) -> str:
        """The text in the clipboard."""
        return self.do("python3", "-c", CLIPBOARD)

    def has_layer(self, name: str) -> bool:
        return name in self.running.ask("names")[0]

    def undo(self, new: str) -> None:
        """One Ctrl+Z, pressed until GIMP heeds it, which it does not while a run is just ending.

        new: the layer that is gone then.
        """
        shown = self.running.ask("names")

        def undone() -> bool:
            self.image_window()
            self.key("ctrl+z")
            with suppress(AssertionError):
                await_that(lambda: not self.has_layer(new), "the undo", 3)
            assert not self.has_layer(new) or self.running.ask("names") == shown, "a part of the run was undone"
            return not self.has_layer(new)

        await_that(undone, "the undo")


@contextmanager
def hanging(backend: Backend) -> Iterator[None]:
    """The backend is stopped, not ended, for as long as the block lasts."""
    os.kill(backend.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(backend.process.pid, signal.SIGCONT)
