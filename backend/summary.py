"""What `gknet status` says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.table import Table


def describe(status: dict[str, Any]) -> Table:
    """A table of what the backend says of itself."""
    shown = Table(show_header=False)
    waiting = f", {status['queue']} waiting" if status["queue"] else ""
    for name, value in (
        ("state", f"{status['state']}{waiting}"),
        ("device", status["device"]),
        ("models in memory", ", ".join(status["models_loaded"]) or "none yet"),
        ("pictures done", status["served"]),
        ("memory", f"{status['memory'] / 1e6:.0f} MB"),
        ("running for", timedelta(seconds=round(status["uptime"]))),
        ("process", status["pid"]),
        ("version", status["version"]),
    ):
        shown.add_row(name, str(value))
    return shown
