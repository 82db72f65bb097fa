"""What is installed, what runs, and what is wrong: `gknet doctor`.

It works where the rest of the command does not: nothing but the standard library is loaded before it is known to be
there, and this package can be read by Python 3.9.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from .finding import ERROR, Finding, as_json_text, as_text

OLDEST_PYTHON = (3, 11)


def examine(device: str = "auto") -> list[Finding]:
    """Everything that was looked at. device: what the backend is to run on, as `gknet serve --device` takes it."""
    from . import program

    findings = [program.python(OLDEST_PYTHON)]
    if findings[0].state == ERROR:
        return findings  # nothing else of ours can be loaded by such a Python
    from . import plug_ins, running

    checks: list[Callable[[], Iterable[Finding]]] = [
        lambda: program.libraries(device),
        program.weights,
        running.loopback,
        running.folders,
        running.backend,
        running.log,
        plug_ins.gimp,
        plug_ins.krita,
    ]
    for check in checks:
        findings.extend(check())
    return findings


def tell(*, as_json: bool, device: str = "auto") -> int:
    """Prints the findings, as text or as JSON; 1 if one of them is an error, else 0."""
    findings = examine(device)
    text = as_json_text(findings) if as_json else as_text(findings)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return int(any(finding.state == ERROR for finding in findings))
