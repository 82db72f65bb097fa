"""Lists of names in messages."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 6


def join_names(names: Sequence[str]) -> str:
    """Return names, at least one, as words: "a, b and c"; of more than six, the first and how many others there are."""
    if len(names) > _MOST:
        return f"{', '.join(names[:_MOST])} and {len(names) - _MOST} more"
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
