"""A command of training that is stopped by Ctrl-C as soon as it works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def interrupt_command(module: str, *arguments: str | Path, out: Path) -> tuple[int, str]:
    """Run `python -m MODULE ARGUMENTS -o OUT`, send SIGINT once it has created `out`; return exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments), "-o", str(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        while not out.exists() and process.poll() is None:  # created before anything is read
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    return process.returncode, message
