"""Texts of unknown encoding."""

from __future__ import annotations


def decode_text(content: bytes) -> str:
    """Return a text in UTF-8 or, if it is not that, in Latin-1, without closing zeros."""
    content = content.rstrip(b"\0")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
