"""XMP packets, without references to pictures that are not kept: thumbnails, gain maps and depth maps."""

from __future__ import annotations

import hashlib
import re
import struct
from xml.etree import ElementTree

from gknet.files.xml import INVALID_CHARACTERS, parse_xml

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_ORIENTATION = f"{{{_TIFF}}}Orientation"
_NOTE = "http://ns.adobe.com/xmp/note/"
# Prefixes of namespaces that describe other pictures in the same file.
_OTHER_PICTURES = (
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.adobe.com/hdr-metadata/",
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.apple.com/HDRToneMap/",
    "http://ns.apple.com/depthData/",
    "http://ns.apple.com/pixeldatainfo/",
    "http://ns.google.com/photos/1.0/camera/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/depthmap/",
    "http://ns.google.com/photos/1.0/focus/",
    "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/dd/1.0/",
)
_OTHERS = (
    "{http://ns.adobe.com/xap/1.0/}Thumbnails",
    f"{{{_NOTE}}}HasExtendedXMP",
    "{http://purl.org/dc/terms/}provenance",  # a signature of the old pixels
)
_WORDS = [*_OTHER_PICTURES, "Thumbnails", _NOTE, "provenance"]
_STATED = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")
_TEXT_SPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "rdf": _RDF,
    "x": "adobe:ns:meta/",
}
# Alternatives by language, or a list of names; other properties have none (XMP part 1, 8.4 to 8.6; part 2, 2.4.9).
_CONTAINERS = {
    "dc:title": "Alt",
    "dc:description": "Alt",
    "dc:rights": "Alt",
    "exif:UserComment": "Alt",
    "dc:creator": "Seq",
}
_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'.encode()
_MOTION = re.compile(rb"(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)\s*1")
_UTF_16_STARTS = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_END = b'<?xpacket end="w"?>'


def clean_xmp(packet: bytes, extension: bytes = b"") -> bytes:
    """Return a packet and its extension as one packet; a packet alone is unchanged if it refers to no other picture.

    A damaged packet is kept if it does not refer to other pictures; otherwise the result is empty.
    """
    if not extension and not any(_contains(packet, word) for word in _WORDS):
        return packet
    try:
        root = _parse_packet(packet)
        if extension:
            target = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f".//{{{_RDF}}}RDF")
            if target is not None:
                target.extend(_parse_packet(extension).iter(f"{{{_RDF}}}Description"))
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return b""
    return _build_packet(root) if _remove_other_pictures(root) or extension else packet


def announces_video(packet: bytes) -> bool:
    """Whether a packet says that its file is a motion photo, a picture with a video."""
    return bool(_MOTION.search(packet.replace(b"\0", b"")))


def find_orientation(packet: bytes) -> int:
    """Return the orientation that a packet states, 1 if none."""
    if not _contains(packet, "Orientation"):
        return 1
    try:
        elements = list(_parse_packet(packet).iter())
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return 1
    stated = [element.get(_ORIENTATION) for element in elements]
    stated += [element.text for element in elements if element.tag == _ORIENTATION]
    return next((int(text) for text in stated if text and text.strip() in "12345678" and len(text.strip()) == 1), 1)


def set_orientation(packet: bytes, orientation: int) -> bytes:
    """Return a packet, which may be damaged, with any orientation in it replaced by this one."""
    if not _contains(packet, "Orientation"):
        return packet
    try:
        root = _parse_packet(packet)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return _STATED.sub(rb"\g<1>%d" % orientation, packet)
    changed = False
    for element in root.iter():
        if element.get(_ORIENTATION, str(orientation)) != str(orientation):
            element.set(_ORIENTATION, str(orientation))
            changed = True
        if element.tag == _ORIENTATION and element.text != str(orientation):
            element.text, changed = str(orientation), True
    return _build_packet(root) if changed else packet


def add_property(packet: bytes, name: str, text: str) -> bytes | None:
    """Return a packet with a text as a property; None if it has another one, or if the packet or the text is damaged.

    packet: empty for a new one.   name: with its usual prefix, such as "dc:title".
    """
    prefix, _, local = name.partition(":")
    full = f"{{{_TEXT_SPACES[prefix]}}}{local}"
    if INVALID_CHARACTERS.search(text):
        return None
    try:
        root = _parse_packet(
            packet or f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'.encode()
        )
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return None
    target = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f".//{{{_RDF}}}RDF")
    if target is None:
        return None
    stated = [element.get(full, "") for element in target.iter(f"{{{_RDF}}}Description")]
    stated += ["".join(element.itertext()) for element in target.iter(full)]
    if stated := [value.strip() for value in stated if value.strip()]:
        return packet if text.strip() in stated else None
    for kept, uri in _TEXT_SPACES.items():
        ElementTree.register_namespace(kept, uri)
    description = target.find(f"{{{_RDF}}}Description")
    if description is None:
        description = ElementTree.SubElement(target, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    element = ElementTree.SubElement(description, full)
    if container := _CONTAINERS.get(name):
        element = ElementTree.SubElement(ElementTree.SubElement(element, f"{{{_RDF}}}{container}"), f"{{{_RDF}}}li")
        if container == "Alt":
            element.set("{http://www.w3.org/XML/1998/namespace}lang", "x-default")
    element.text = text
    return _build_packet(root)


def split_packet(packet: bytes, max_bytes: int) -> tuple[bytes, list[bytes]]:
    """Return a packet of at most `max_bytes`, and the parts of its extension, as JPEG stores them (XMP part 3)."""
    if len(packet) <= max_bytes:
        return packet, []
    digest = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
    note = f'<rdf:Description rdf:about="" xmlns:xmpNote="{_NOTE}" xmpNote:HasExtendedXMP="{digest}"/>'
    main = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">{note}</rdf:RDF></x:xmpmeta>'
    step = max_bytes - 40  # the header of a part
    parts = [
        digest.encode() + struct.pack(">II", len(packet), start) + packet[start : start + step]
        for start in range(0, len(packet), step)
    ]
    return _BEGIN + main.encode() + _END, parts


def join_extension(packet: bytes, parts: list[bytes]) -> bytes:
    """Return the extension that a packet announces, from its parts; empty if it is incomplete."""
    mine = [part for part in parts if len(part) > 40 and part[:32] in packet]
    pieces = {struct.unpack_from(">I", part, 36)[0]: part[40:] for part in mine}
    whole = b"".join(pieces[start] for start in sorted(pieces))
    return whole if mine and len(whole) == struct.unpack_from(">I", mine[0], 32)[0] else b""


def _contains(packet: bytes, word: str) -> bool:
    """Whether an ASCII word is in a packet, be it UTF-8 or UTF-16."""
    return word.encode() in packet.replace(b"\0", b"")


def _parse_packet(packet: bytes) -> ElementTree.Element:
    if packet.startswith(_UTF_16_STARTS):
        packet = packet.decode("utf-16-le" if packet[:1] in b"\xff<" else "utf-16-be").lstrip("\ufeff").encode()
    return parse_xml(re.sub(rb"<\?xpacket.*?\?>", b"", packet, flags=re.DOTALL).strip(b"\0 \t\r\n\xef\xbb\xbf"))


def _build_packet(root: ElementTree.Element) -> bytes:
    content: bytes = ElementTree.tostring(root, "UTF-8", xml_declaration=False)
    return _BEGIN + content + _END


def _is_other_picture(name: object) -> bool:
    return isinstance(name, str) and (name[1:].startswith(_OTHER_PICTURES) or name in _OTHERS)


def _remove_other_pictures(root: ElementTree.Element) -> bool:
    """Remove references to other pictures, and return whether there were any."""
    removed = False
    for element in list(root.iter()):
        for name in [name for name in element.attrib if _is_other_picture(name)]:
            del element.attrib[name]
            removed = True
        for child in [child for child in element if _is_other_picture(child.tag)]:
            element.remove(child)
            removed = True
    return removed
