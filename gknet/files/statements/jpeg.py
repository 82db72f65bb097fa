"""What a JPEG's segments state about its colors (ICC.1:2022, annex B.4) and its other pictures (CIPA DC-007)."""

from __future__ import annotations

import contextlib
import struct
from typing import IO

from gknet.files.metadata import xmp
from gknet.files.metadata.directory import Value, parse_directory, parse_header
from gknet.files.metadata.jpeg import read_segments
from gknet.files.picture import GAIN_MAP, ONLY_THE_FIRST, VIDEO

_APP1, _APP2, _PROFILE, _INDEX = 0xE1, 0xE2, b"ICC_PROFILE\0", b"MPF\0"
_GAIN_MAPS = (b"http://ns.adobe.com/hdr-gain-map/", b"http://ns.apple.com/HDRGainMap/", b"urn:iso:std:iso:ts:21496:-1")
_HELPER = b"http://ns.apple.com/pixeldatainfo/"  # of a depth map or the like
_ENTRIES, _ENTRY_BYTES = 0xB002, 16  # the tag, and the size of a picture's entry in it
_TYPE, _THUMBNAILS = 0xFFFFFF, (0x010001, 0x010002)
_START = b"\xff\xd8\xff"


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


def find_notes(file: IO[bytes]) -> list[str]:
    """Return notes on a gain map, a video and other pictures, which are not read; thumbnails have none."""
    segments = list(read_segments(file))
    pictures = [[body for _, body in read_segments(file, start)] for start in _find_other_pictures(file)]
    has_gain_map = any(name in body for body in [body for _, body in segments] for name in _GAIN_MAPS)
    notes = []
    for bodies in pictures:
        if any(name in body for body in bodies for name in _GAIN_MAPS):
            has_gain_map = True
        elif not has_gain_map and not any(_HELPER in body for body in bodies):
            notes = [ONLY_THE_FIRST]
    notes += [GAIN_MAP] if has_gain_map else []
    has_video = any(kind == _APP1 and xmp.announces_video(body) for kind, body in segments)
    return [*notes, VIDEO] if has_video else notes


def _find_other_pictures(file: IO[bytes]) -> list[int]:
    """Return the offsets of the pictures after the first in a multi-picture file, except for thumbnails."""
    for kind, body in read_segments(file):
        if kind == _APP2 and body.startswith(_INDEX):
            origin = file.tell() - len(body) + len(_INDEX)
            break
    else:
        return []
    index, starts = body[len(_INDEX) :], []
    with contextlib.suppress(struct.error):  # a damaged index states no pictures
        order, _, first = parse_header(index)
        entries = parse_directory(index, first, order).get(_ENTRIES)
        content = entries.content if isinstance(entries, Value) else b""
        for place in range(0, len(content) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            attributes, _, offset = struct.unpack_from(order + "3I", content, place)
            file.seek(origin + offset)
            # The offset of the first picture is 0.
            if offset and attributes & _TYPE not in _THUMBNAILS and file.read(len(_START)) == _START:
                starts.append(origin + offset)
    return starts
