"""The checks of `gknet doctor`.

They work even if the rest of the command does not. Only the standard library is imported before the other libraries
have been checked, and this package is valid Python 3.9.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from .finding import ERROR, Finding, format_json, format_text

OLDEST_PYTHON = (3, 11)


def run_checks(device: str = "auto") -> list[Finding]:
    """Run all checks and return their findings.   device: as for `gknet serve --device`."""
    from . import program

    findings = [program.check_python(OLDEST_PYTHON)]
    if findings[0].state == ERROR:
        return findings  # this Python can't import the rest
    from . import plug_ins, running

    checks: list[Callable[[], Iterable[Finding]]] = [
        lambda: program.check_libraries(device),
        program.check_weights,
        running.check_loopback,
        running.check_folders,
        running.check_backend,
        running.check_log,
        plug_ins.check_engine,
        plug_ins.check_gimp,
        plug_ins.check_krita,
    ]
    for check in checks:
        findings.extend(check())
    return findings


def print_report(*, as_json: bool, device: str = "auto") -> int:
    """Print the findings as text or as JSON. Return 1 if one of them is an error, else 0."""
    findings = run_checks(device)
    text = format_json(findings) if as_json else format_text(findings)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return int(any(finding.state == ERROR for finding in findings))
