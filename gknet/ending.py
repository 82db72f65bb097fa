"""Signals that ask a process to end."""

from __future__ import annotations

import signal


def list_ending_signals() -> list[int]:
    """Return SIGTERM and, where it exists and isn't ignored, as it is under nohup, SIGHUP: a terminal was closed."""
    hang_up: int | None = getattr(signal, "SIGHUP", None)
    if hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN:
        return [signal.SIGTERM]
    return [signal.SIGTERM, hang_up]
