"""A human study to test with: its folders, its real command, and a browser's requests to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import skimage.data
from PIL import Image

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "training.human_study"]
METHODS = ("mild", "strong", "as_pasted")


def make_folders(root: Path) -> list[Path]:
    """Results of three methods, the last of which are the composites themselves; three pictures, endings differ."""
    folders = [root / method for method in METHODS]
    for number, (name, real) in enumerate(
        (("cat", skimage.data.chelsea()), ("cup", skimage.data.coffee()), ("rocket", skimage.data.rocket()))
    ):
        height, width = real.shape[:2]
        mask = np.zeros((height, width, 1), bool)
        mask[height // 4 : height * 3 // 4, width // 3 : width * 2 // 3] = True
        for strength, folder in zip((0.3, 0.7, 0.0), folders, strict=True):
            folder.mkdir(exist_ok=True)
            wrong = real * np.array([0.5, 0.8, 1.2])
            harmonized = np.where(mask, strength * real + (1 - strength) * wrong, real).clip(0, 255).astype(np.uint8)
            ending = "jpg" if folder.name == "as_pasted" and number == 0 else "png"
            Image.fromarray(harmonized).save(folder / f"{name}.{ending}", quality=95)
    return folders


def arguments(folders: Sequence[Path], votes: Path) -> list[str]:
    """The command's, the last folder being the composites as well."""
    return [*map(str, folders), "--composites", str(folders[-1]), "--votes", str(votes)]


class RunningStudy:
    """The command, serving until the end of the block. first: the line it printed first.   url, port: the page's."""

    def __init__(self, folders: Sequence[Path], votes: Path, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments(folders, votes), "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.first = self.process.stdout.readline()
        second = self.process.stdout.readline()
        if "http://" not in second:
            raise AssertionError(self.end())
        self.url = second.split()[2]
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        """One request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def fetch_trials(self, voter: str) -> list[dict[str, Any]]:
        """What the voter's page gets."""
        response, content = self.ask("GET", f"/trials?voter={voter}")
        assert response.status == 200, content
        trials: list[dict[str, Any]] = json.loads(content)["trials"]
        return trials

    def vote(self, voter: str, trial: int, choice: str) -> int:
        """The answer's status."""
        return self.ask("POST", "/votes", {"voter": voter, "trial": trial, "choice": choice})[0].status

    def end(self, number: signal.Signals = signal.SIGINT) -> str:
        """All that it printed after its first two lines."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return out + err

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
