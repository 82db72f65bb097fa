"""The `gknet` command, also where it cannot be loaded: then `gknet doctor` still says what is missing."""

from __future__ import annotations

import sys

from backend.install.doctor import OLDEST_PYTHON, print_report


def main() -> None:
    """Runs the command and exits. Written for any Python 3: it is there to say that a Python is too old."""
    reason = f"Python {'.'.join(map(str, sys.version_info[:3]))} is too old"
    if tuple(sys.version_info) >= OLDEST_PYTHON:
        try:
            from backend.cli import main as command
        except ImportError as error:
            reason = str(error)
        else:
            command()
            return
    if sys.argv[1:2] == ["doctor"]:
        sys.exit(print_report(as_json="--json" in sys.argv))
    print(f"gknet: This installation is not complete: {reason}. `gknet doctor` says what to do.", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
