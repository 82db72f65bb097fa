"""The ICC profile in a JPEG's segments (ICC.1:2022, annex B.4)."""

from __future__ import annotations

from typing import IO

from gknet.files.metadata.jpeg import read_segments

_APP2, _PROFILE = 0xE2, b"ICC_PROFILE\0"


def read_profile(file: IO[bytes]) -> bytes | None:
    """Return the profile, empty if a part is missing or misnumbered; None without one."""
    segments = read_segments(file)
    parts = [body[len(_PROFILE) :] for kind, body in segments if kind == _APP2 and body.startswith(_PROFILE)]
    if not parts:
        return None
    # A part starts with its number and the count of all parts.
    numbered = {part[0]: part[2:] for part in parts if len(part) > 2 and part[1] == len(parts)}
    is_whole = sorted(numbered) == list(range(1, len(parts) + 1))
    return b"".join(numbered[number] for number in sorted(numbered)) if is_whole else b""
