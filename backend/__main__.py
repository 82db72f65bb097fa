"""Entry point of the `gknet` command. If the rest cannot be loaded, `gknet doctor` still reports what is missing."""

from __future__ import annotations

import sys

from backend.install.doctor import OLDEST_PYTHON, print_report


def main() -> None:
    """Run the command and exit. Works on any Python 3, so that it can report that a Python is too old."""
    reason = f"Python {'.'.join(map(str, sys.version_info[:3]))} is too old"
    if tuple(sys.version_info) >= OLDEST_PYTHON:
        try:
            from backend.cli import main as command
        except ImportError as error:
            reason = str(error)
        except KeyboardInterrupt:  # before the command itself handles it
            print("gknet: Cancelled.", file=sys.stderr)
            sys.exit(130)
        else:
            command()
            return
    if sys.argv[1:2] == ["doctor"]:
        sys.exit(print_report(as_json="--json" in sys.argv))
    print(f"gknet: This installation is incomplete: {reason}. Run `gknet doctor` to see what to do.", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
