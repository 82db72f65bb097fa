"""Parsing of XML from untrusted files."""

from __future__ import annotations

import contextlib
import io
from xml.etree import ElementTree


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
