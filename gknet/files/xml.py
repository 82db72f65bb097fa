"""Parsing of XML from untrusted files, and the characters that XML can contain."""

from __future__ import annotations

import contextlib
import io
import re
from xml.etree import ElementTree

INVALID_CHARACTERS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 (section 2.2) cannot contain."""


def parse_xml(content: bytes) -> ElementTree.Element:
    """Return the root element, with comments; its namespace prefixes are registered, so that writing keeps them.

    Raises ElementTree.ParseError, ValueError or LookupError for invalid XML, and for entity definitions, which could
    expand without bound.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError
    for _, (prefix, uri) in ElementTree.iterparse(io.BytesIO(content), ["start-ns"]):
        with contextlib.suppress(ValueError):  # a prefix that ElementTree reserves
            ElementTree.register_namespace(prefix, uri)
    builder = ElementTree.TreeBuilder(insert_comments=True)
    return ElementTree.fromstring(content, ElementTree.XMLParser(target=builder))
