"""Judging sets in two halves: one to choose by, and one that is looked at once, at the end."""

from __future__ import annotations

import hashlib
from typing import Literal

Half = Literal["choosing", "final"]


def half_of(key: str) -> Half:
    """The half that a photograph belongs to: always the same for the same key, whichever set shows it."""
    # Another byte than those that decide on the validation split.
    return "final" if hashlib.sha256(key.encode()).digest()[8] & 1 else "choosing"


def is_among(key: str, kind: str, every: int) -> bool:
    """Whether a composite is one of every so many, whatever the number of kinds: always the same answer."""
    return int.from_bytes(hashlib.sha256(f"{key}:{kind}".encode()).digest()[:4], "big") % every == 0
