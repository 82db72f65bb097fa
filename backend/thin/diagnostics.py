"""Diagnostics for a user's question: the plug-in's version and the output of `gknet doctor`."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from pathlib import Path

from . import installed
from .connection import VARIABLE, find_connection_path
from .environment import clean_environment, hide_home
from .protocol import ThinError

COPY = "Copy &diagnostics"
"""The button's label. Qt's & precedes the shortcut's letter."""
COPYING = "Collecting…"
COPIED = "Diagnostics copied"
COPY_HELP = (
    "Copy a report on the installation as text, to paste into a question. It contains no images and no image paths."
)
_DOCTOR_S = 60.0


class Diagnosis:
    """Collects the diagnostics on its own thread; `text` is complete when `is_done`.   host: its name and version."""

    def __init__(self, host: tuple[str, str]) -> None:
        self.text = ""
        self._thread = threading.Thread(target=self._run, args=(host,), name="gknet-diagnosis", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether `text` is complete."""
        return not self._thread.is_alive()

    def _run(self, host: tuple[str, str]) -> None:
        about = f"GKNet Harmonize in {' '.join(host)}, Python {platform.python_version()} on {sys.platform}"
        try:
            about += f", plug-in {installed.read_record()['version'] or 'of unknown version'}"
            report = _run_doctor(installed.build_command("doctor"))
        except ThinError as error:
            report = str(error)
        except Exception as error:  # report any error: it is what the user is asking about
            report = f"gknet doctor could not be run: {type(error).__name__}: {error}"
        self.text = hide_home(f"{about}\n{report}") + "\n"


def _run_doctor(words: list[str]) -> str:
    """Return the command's output. Raise OSError, TimeoutExpired or ThinError if it fails."""
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW
    ran = subprocess.run(
        words,
        cwd=Path.home().anchor,
        env={**clean_environment(), VARIABLE: str(find_connection_path())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_DOCTOR_S,
        check=False,
        creationflags=flags,
    )
    report = ran.stdout.decode("utf-8", "replace").strip()
    if report:
        return report
    complaint = ran.stderr.decode("utf-8", "replace").strip() or "It printed nothing."
    return f"{' '.join(words)} ended with status {ran.returncode}. {complaint}"
