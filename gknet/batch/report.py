"""JSON report on the outcomes of a batch."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gknet import __version__
from gknet.batch.job import Outcome, Settings
from gknet.files.picture import replace_file


def write(
    path: Path, outcomes: Iterable[Outcome], settings: Settings, *, device: str, seconds: float, stopped: bool
) -> None:
    """Write the report to a file, completely or not at all. Raises PictureError if writing fails."""
    files = sorted((_describe_file(outcome) for outcome in outcomes), key=lambda file: str(file["output"]))
    content = {
        "versions": {
            "gknet": __version__,
            "torch": version("torch"),
            "python": platform.python_version(),
        },
        "settings": {**asdict(settings), "device": device},
        "seconds": round(seconds, 3),
        "stopped": stopped,
        "counts": Counter(file["state"] for file in files),
        "files": files,
    }
    with replace_file(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _describe_file(outcome: Outcome) -> dict[str, Any]:
    file: dict[str, Any] = {
        "output": outcome.job.output,
        "inputs": [str(path) for path in outcome.job.inputs],
        "state": outcome.state,
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.state == "failed":
        file |= {"message": outcome.message, "hint": outcome.hint}
    if outcome.traceback:
        file["traceback"] = outcome.traceback
    if outcome.notes:
        file["notes"] = list(outcome.notes)
    return file
