"""Texts of unknown encoding."""

from __future__ import annotations


def decode_text(content: bytes) -> str:
    """Decode a text as UTF-8, or as Latin-1 if it is not valid UTF-8, and strip trailing zeros."""
    content = content.rstrip(b"\0")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
