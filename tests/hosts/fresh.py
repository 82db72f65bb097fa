"""An environment as a user's: with what a release holds, and nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_S = 900.0


class Fresh:
    """An environment with nothing in it but the wheel and what that brings, and the archives beside it.

    folder: where it is made, unless another process has made it there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dist = folder / "dist"
        self.python = folder / "venv" / "bin" / "python"
        self.gknet = folder / "venv" / "bin" / "gknet"
        self.binds = [folder, Path(sys.base_prefix)]
        complete = folder / "complete"
        if not complete.exists():
            self._make()
            complete.touch()

    def _make(self) -> None:
        run([sys.executable, "-m", "backend.install.release", "-o", self.dist], cwd=ROOT)
        run([sys.executable, "-m", "venv", self.folder / "venv"])
        # Nothing on PATH: neither git nor a compiler. All packages are built already, but for pyvips, of which there is
        # a source archive alone; it does without a compiler.
        (wheel,) = self.dist.glob("*.whl")
        built = ["--only-binary", ":all:", "--no-binary", "pyvips"]
        install = [self.python, "-m", "pip", "install", "--quiet", *built]
        run([*install, "-c", ROOT / "constraints.txt", wheel], PATH=str(self.folder / "nothing"))

    def archive(self, host: str) -> Path:
        (archive,) = self.dist.glob(f"*{host}*.zip")
        return archive


def run(words: list[str | Path], cwd: Path | None = None, **variables: str) -> str:
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=RUN_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
