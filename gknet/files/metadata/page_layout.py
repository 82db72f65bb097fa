"""What a TIFF's description states about its pages: ImageJ's counts, OME-XML, and tifffile's shape.

Programs find the pages by it, so a file with fewer of them cannot be opened with the old statement.
"""

from __future__ import annotations

import json
import re

_IMAGEJ, _SHAPE = b"ImageJ=", b"shape="
_COUNTS = re.compile(rb"^(?:images|channels|slices|frames|hyperstack|mode)=[^\n]*\n?", re.MULTILINE)
_IMAGES = re.compile(rb"^images=0*(?!1\s|1$)[1-9]", re.MULTILINE)
_KEYS = ("shape", "axes", "truncated")  # tifffile's


def remove_page_layout(description: bytes, *, has_pages: bool) -> bytes:
    """Return a description without what it states about pages, empty if nothing else is left.

    has_pages: whether the file has several pages; OME-XML, which describes each, is removed only then.
    """
    text = description.rstrip(b"\0")
    if text.startswith(_IMAGEJ):
        kept = _COUNTS.sub(b"", text)
        return description if kept == text else kept + b"\0"
    if text.startswith(_SHAPE) or (has_pages and is_ome(text)):
        return b""
    values = _parse_shaped(text)
    if not values:
        return description
    kept_values = {name: value for name, value in values.items() if name not in _KEYS}
    return json.dumps(kept_values).encode() + b"\0" if kept_values else b""


def states_more_pages(description: bytes) -> bool:
    """Whether a description says that more pages than the file's directories follow in one block."""
    if description.startswith(_IMAGEJ):
        return bool(_IMAGES.search(description))
    return bool(_parse_shaped(description).get("truncated"))


def is_ome(description: bytes) -> bool:
    """Whether a description is OME-XML."""
    return description.lstrip().startswith(b"<") and description.rstrip(b"\0 \t\r\n").endswith(b"OME>")


def _parse_shaped(description: bytes) -> dict[str, object]:
    """Return the values of tifffile's description; none for any other."""
    if not description.startswith(b"{"):
        return {}
    try:
        values = json.loads(description.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) and isinstance(values.get("shape"), list) else {}
