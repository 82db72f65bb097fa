"""Standard places in EXIF and XMP for the texts of a PNG and the comments of a JPEG."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import datetime

from gknet.files.metadata import exif, xmp
from gknet.files.metadata.directory import USER_COMMENT

COMMENT = "Comment"
_CREATION = "Creation Time"
# Tags of EXIF and properties of XMP by PNG's keyword, best first. "parameters" are those of image generators.
_PLACES: dict[str, tuple[int | str, ...]] = {
    "Title": ("dc:title",),
    "Author": (exif.ARTIST, "dc:creator"),
    "Description": (exif.DESCRIPTION, "dc:description"),
    "Copyright": (exif.COPYRIGHT, "dc:rights"),
    "Software": (exif.SOFTWARE, "xmp:CreatorTool"),
    _CREATION: ("xmp:CreateDate",),
    COMMENT: (USER_COMMENT, "exif:UserComment"),
    "parameters": (USER_COMMENT, "exif:UserComment"),
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_EXIF_DATE = re.compile(r"(\d{4}):(\d\d):(\d\d)( \d\d:\d\d:\d\d)")


def place_texts(
    texts: Mapping[str, str], block: bytes, packet: bytes, max_exif: int | None
) -> tuple[bytes, bytes, list[str]]:
    """Return EXIF and XMP with texts added, and the keywords of texts without a place; no text replaces another.

    texts: by keyword.   max_exif: bytes that EXIF may have after a text is added; longer texts go to XMP.
    """
    unplaced = []
    for keyword, text in texts.items():
        value = _format_date(text) if keyword == _CREATION else text
        for place in _PLACES.get(keyword, ()) if value else ():
            if isinstance(place, int):
                longer = exif.add_text(block, place, value)
                if longer is not None and (max_exif is None or len(longer) <= max_exif or longer == block):
                    block = longer
                    break
            elif (changed := xmp.add_property(packet, place, value)) is not None:
                packet = changed
                break
        else:
            unplaced.append(keyword)
    return block, packet, unplaced


def _format_date(text: str) -> str:
    """Return a date and time as XMP has them (ISO 8601); empty for a text that is none."""
    text = _EXIF_DATE.sub(r"\1-\2-\3\4", text.strip())
    if _DAY.fullmatch(text):
        return text
    for parse in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            return parse(text).isoformat()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return ""
