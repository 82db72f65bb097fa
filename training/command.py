"""How a command of `training` ends: done, refused, or stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable

from gknet.errors import HarmonizeError


def ended(name: str, work: Callable[[], None]) -> int:
    """Does the work. Returns the exit code: 0; 2 after a line that says what is wrong; 130 after Ctrl-C."""
    try:
        work()
    except (HarmonizeError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    return 0
