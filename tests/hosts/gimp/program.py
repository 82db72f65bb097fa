"""The real GIMP in the chroot, with a home folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.hosts import chroot

HERE = Path(__file__).parent
START_S = 180
"""Until GIMP has started and done what a test wants, on a busy machine."""
PASSED_ON = ("HOME", "XDG_CONFIG_HOME", "GIMP3_DIRECTORY")

GIMPRC = """\
(config-version "3.0.4")
(check-updates no)
(show-welcome-dialog no)
(color-profile-policy keep)
(metadata-rotation-policy rotate)
"""
"""No questions at the start and on opening a file."""
KEY = "ctrl+shift+F9"
SHORTCUTS = '(action "gknet-harmonize" "<Primary><Shift>F9")\n'


class Program:
    """GIMP, and the folder in which it and a test leave files for each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.settings = self.home / ".config" / "GIMP" / "3.0"
        self.plug_in = self.settings / "plug-ins" / "gknet-harmonize"
        self.settings.mkdir(parents=True)
        (self.settings / "gimprc").write_text(GIMPRC)
        (self.settings / "shortcutsrc").write_text(SHORTCUTS)
        self.told = self.gknet("install", "gimp")

    def gknet(self, *words: str) -> str:
        """What the `gknet` command says to the user whose home this is."""
        environment = {name: value for name, value in os.environ.items() if name not in PASSED_ON}
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", *words],
            env={**environment, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=True,
            timeout=START_S,
        )
        return done.stdout

    def batch(self, job: str, *, binds: Sequence[Path], variables: dict[str, str], timeout_s: float = START_S) -> str:
        """Runs a Python file beside this one inside gimp-console; what it and GIMP said."""
        words: list[str | Path] = ["gimp-console", "-i", "--batch-interpreter=python-fu-eval"]
        words += ["-b", f"exec(compile(open({str(HERE / job)!r}).read(), {job!r}, 'exec'))", "--quit"]
        done = subprocess.run(
            chroot.command(words, home=self.home, binds=[HERE, self.folder, *binds], display=False),
            env=chroot.environment({**variables, "PYTHONDONTWRITEBYTECODE": "1"}),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        # An exception in the job makes GIMP end with code 64.
        assert done.returncode == 0, done.stdout
        return done.stdout
