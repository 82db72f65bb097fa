"""Metadata of whole files: reading, cleaning, and writing to the same or to another format."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gknet.files.metadata import exif, jpeg, png, resources, tiff, webp, xmp
from gknet.files.metadata.text_places import COMMENT, place_texts
from gknet.files.wording import join_names

_BLOCK_BYTES = 8 << 20  # moved at a time
_READ_TEXTS = {"jpeg": jpeg.read_texts, "png": png.read_texts}
_RESOLUTION = ("xres", "yres", "resolution-unit")
# What each format stores; WebP has its resolution in EXIF.
_STORED = {
    "jpeg": ("exif-data", "xmp-data", "iptc-data", "photoshop-data", "comments", "aspect", *_RESOLUTION),
    "png": ("exif-data", "xmp-data", "iptc-data", "png-texts", "position", "aspect", *_RESOLUTION),
    "tiff": ("exif-data", "xmp-data", "iptc-data", "photoshop-data", "position", "aspect", *_RESOLUTION),
    "webp": ("exif-data", "xmp-data", *_RESOLUTION),
    "exr": (),
}
_KINDS = {name for names in _STORED.values() for name in names}
_FORMATS = {"jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "webp": "WebP", "exr": "OpenEXR"}
_NAMES = {
    "exif-data": "EXIF",
    "xmp-data": "XMP",
    "iptc-data": "IPTC",
    "photoshop-data": "Photoshop resources",
    "xres": "the resolution",
    "aspect": "the shape of the pixels",
    "position": "the position on a page",
}


def read_metadata(path: Path, format: str) -> dict[str, Any]:
    """Return the metadata of a JPEG, PNG, TIFF or WebP that should be kept; of any other format, none.

    "exif-data", "xmp-data", "iptc-data": bytes.   "photoshop-data": resources of JPEG or TIFF.
    "comments": of JPEG, bytes.   "png-texts": whole chunks.   Of JPEG and PNG, the resolution outside EXIF
    (`gknet.files.metadata.resolution`).   "damaged": as from `clean_metadata`.
    """
    if format == "png":
        with path.open("rb") as file:
            return clean_metadata(png.read_metadata(file))
    readers = {"jpeg": jpeg.read_metadata, "tiff": tiff.read_metadata, "webp": webp.read_metadata}
    return clean_metadata(readers[format](path)) if format in readers else {}


def read_png_metadata(content: bytes) -> dict[str, Any]:
    """Return the metadata of a PNG's bytes."""
    return clean_metadata(png.read_metadata(io.BytesIO(content)))


def find_orientation(metadata: Mapping[str, Any], format: str) -> int:
    """Return the orientation in metadata from `read_metadata`, EXIF before XMP; 1 if there is none.

    For AVIF and HEIC it is 1, because their decoders apply the orientation in the boxes.
    """
    if format in ("heif", "heic"):
        return 1
    return exif.find_orientation(metadata.get("exif-data", b"")) or xmp.find_orientation(metadata.get("xmp-data", b""))


def clean_metadata(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with EXIF and XMP as they should be kept, without pictures and damaged parts.

    found: a file's, with "xmp-extension" if its XMP has one.   "damaged" in the result: the keys of blocks that
    are left out because they are damaged; of EXIF, the orientation is still kept.
    """
    block, packet = found.get("exif-data") or b"", found.get("xmp-data") or b""
    cleaned = {
        **{name: value for name, value in found.items() if name != "xmp-extension"},
        "exif-data": exif.clean_exif(block),
        "xmp-data": xmp.clean_xmp(packet, found.get("xmp-extension", b"")),
    }
    cleaned["damaged"] = ["exif-data"] if exif.is_damaged(block) else []
    cleaned["damaged"] += ["xmp-data"] if packet and not cleaned["xmp-data"] else []
    return {name: value for name, value in cleaned.items() if value}


def adapt_metadata(
    metadata: Mapping[str, Any],
    source: str,
    target: str,
    orientation: int,
    size: tuple[int, int],
    position: tuple[int, int] = (0, 0),
) -> tuple[dict[str, Any], list[str]]:
    """Return metadata of a `source` file as a `target` file holds it, and notes on what of it is left out.

    orientation, size: of the pixels as the target stores them; (width, height).
    position: on a page, in pixels; the result has it as "position" if the target can store it.
    Comments and texts are moved to their standard places in EXIF and XMP (`gknet.files.metadata.text_places`).
    """
    found: dict[str, Any] = {
        **metadata,
        "exif-data": exif.set_orientation(metadata.get("exif-data", b""), orientation, size),
        "xmp-data": xmp.set_orientation(metadata.get("xmp-data", b""), orientation),
    }
    unplaced = _move_texts(found, source, target)
    found["exif-data"] = exif.set_resolution(found["exif-data"], found, add=target == "webp")
    is_placed = _place_position(found, position, source, target)
    found = {name: value for name, value in found.items() if name in _KINDS and value}
    names = [_NAMES[name] for name in metadata.get("damaged", ())]
    notes = [f"the file's damaged {join_names(names)} is left out"] if names else []
    notes += _describe_losses(found, target, unplaced, None if is_placed else position)
    if target == "jpeg":
        notes += _shorten_exif(found)
    return {name: value for name, value in found.items() if name in _STORED[target]}, notes


def _move_texts(found: dict[str, Any], source: str, target: str) -> list[str]:
    """Move comments and texts to their places in another format, and return the keywords of those without a place."""
    if source == target or source not in _READ_TEXTS:
        return []
    texts = {keyword: text for keyword, text in _READ_TEXTS[source](found).items() if text.strip()}
    if target == "png":
        found["png-texts"] = [png.build_text(*text) for text in texts.items()]
        return []
    if not _STORED[target]:
        return list(texts)
    comment = texts.get(COMMENT, "").encode()
    if target == "jpeg" and 0 < len(comment) <= jpeg.MAX_SEGMENT_BYTES:
        found["comments"] = [comment]
        del texts[COMMENT]
    max_exif = jpeg.MAX_EXIF if target == "jpeg" else None
    found["exif-data"], found["xmp-data"], unplaced = place_texts(
        texts, found["exif-data"], found["xmp-data"], max_exif
    )
    return unplaced


def _place_position(found: dict[str, Any], position: tuple[int, int], source: str, target: str) -> bool:
    """Add a position on a page to metadata, and return whether the numbers are in the range of the target's."""
    if position == (0, 0) or (source == target == "tiff" and "xres" in found):  # the latter has it among EXIF's tags
        return True
    if (target == "tiff" and min(position) < 0) or (target == "png" and max(map(abs, position)) > png.LARGEST):
        return False
    found["position"] = position
    return True


def _describe_losses(
    found: Mapping[str, Any], target: str, unplaced: list[str], position: tuple[int, int] | None
) -> list[str]:
    """Return a note on the metadata that a format cannot store.

    unplaced: keywords of texts.   position: on a page, None if it is in metadata or there is none.
    """
    storable = _STORED[target]
    names = [name for key, name in _NAMES.items() if key in found and not _is_stored(key, found, storable)]
    if unplaced:
        noun = "text" if len(unplaced) == 1 else "texts"
        names.append(f"the {noun} {join_names([repr(keyword) for keyword in unplaced])}")
    if position is not None:
        names.append(f"the position {position} on a page")
    return [f"{_FORMATS[target]} cannot store {join_names(names)}"] if names else []


def _shorten_exif(found: dict[str, Any]) -> list[str]:
    """Shorten EXIF to what a JPEG holds, and return a note if this leaves anything out."""
    block = found.get("exif-data", b"")
    found["exif-data"], tags = exif.fit_exif(block, jpeg.MAX_EXIF)
    if tags:
        verb = "is" if len(tags) == 1 else "are"
        return [f"JPEG limits EXIF to 64 KB, so {join_names(tags)} {verb} left out"]
    is_lost = bool(block) and not found["exif-data"]
    return ["JPEG limits EXIF to 64 KB, so all of it is left out"] if is_lost else []


def _is_stored(key: str, found: Mapping[str, Any], storable: tuple[str, ...]) -> bool:
    """Whether a format stores a kind of metadata, in its own place or in that of another."""
    if key == "photoshop-data" and "iptc-data" in storable:
        return key in storable or not resources.has_more_than_iptc(found[key])
    return key in storable


def write_metadata(
    path: Path, format: str, metadata: Mapping[str, Any], orientation: int, size: tuple[int, int], *, has_alpha: bool
) -> None:
    """Add metadata from `adapt_metadata` to a file that was written without any. Raises OSError."""
    if format == "tiff":
        tiff.add_metadata(path, metadata, orientation)
    elif format == "webp":
        webp.add_metadata(path, metadata, size, has_alpha=has_alpha)
    elif format == "png":
        with path.open("rb") as file:
            start = png.find_pixels(file)
            file.seek(0)
            content = png.add_metadata(file.read(start), metadata)
        _replace_bytes(path, 0, start, content)
    else:
        _replace_bytes(path, jpeg.START_BYTES, jpeg.START_BYTES, jpeg.build_segments(metadata))


def add_png_metadata(content: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Return a PNG's bytes with metadata from `adapt_metadata` added; an existing resolution is removed."""
    start = png.find_pixels(io.BytesIO(content))
    return png.add_metadata(content[:start], metadata) + content[start:]


def _replace_bytes(path: Path, start: int, end: int, content: bytes) -> None:
    """Replace a file's bytes from `start` to `end` in place, because the file may be larger than memory."""
    shift = start + len(content) - end
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        places = range(end, size, _BLOCK_BYTES) if shift else range(0)
        for place in places if shift < 0 else reversed(places):
            file.seek(place)
            block = file.read(min(_BLOCK_BYTES, size - place))
            file.seek(place + shift)
            file.write(block)
        file.seek(start)
        file.write(content)
        file.truncate(size + shift)
