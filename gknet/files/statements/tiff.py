"""What the tags of a TIFF state about its channels, pages and position (TIFF 6.0) that libvips does not report."""

from __future__ import annotations

import contextlib
import mmap
import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from PIL import Image

from gknet.errors import UnsupportedError
from gknet.files.metadata.directory import parse_directory, parse_header
from gknet.files.metadata.exif import DESCRIPTION, build_exif
from gknet.files.metadata.page_layout import is_ome, states_more_pages
from gknet.files.picture import ONLY_THE_FIRST, damage_error

_WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _EXTRA, _FORMAT = 256, 258, 259, 262, 277, 338, 339
_PAGE_KIND, _ORIENTATION, _SLICES, _PHOTOSHOP_LAYERS = 254, 274, 32997, 37724
_NO_PAGE = 1 | 4  # flags of the kind: a reduced copy of another page, and a mask of one
_MAX_PAGES = 1000
_LAYER_KEYS = (b"Layr", b"Lr16", b"Lr32")
_POSITION = ((286, 282), (287, 283))  # in units of the resolution, and pixels a unit
_KINDS = {
    0: "inverted gray",
    4: "mask",
    5: "CMYK",
    6: "YCbCr",
    8: "Lab",
    9: "Lab",
    10: "Lab",
    32803: "raw sensor",
    32844: "LogL",
    32845: "LogLuv",
    34892: "raw sensor",
    51177: "depth",
}
_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG = 7
_UNSPECIFIED, _ASSOCIATED = 0, 1
_FLOAT = 3
TO_RGB = "Convert it to RGB first: Image > Mode > RGB in GIMP, Image > Convert Image Color Space in Krita."


def read_tags(file: IO[bytes]) -> Image.Exif:
    """Return the tags of a TIFF's first page, none if they are damaged."""
    tags = Image.Exif()
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.seek(0)
        tags.endian, tags.bigtiff, start = parse_header(file.read(16))
        if tags.bigtiff and tags.endian == ">":  # Pillow misreads its directory as that of a classic TIFF
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                tags = Image.Exif()
                tags.load(build_exif(parse_directory(data, start, ">", is_big=True)))
        else:
            tags.load_from_fp(file, start)
        for tag in list(tags):  # decoded here, where Pillow's warnings are hidden
            with contextlib.suppress(Exception):
                tags.get(tag)
    return tags


def check_channels(path: Path, tags: Image.Exif) -> None:
    """Raise UnsupportedError for channels that are neither gray nor RGB, with or without alpha.

    Raises PictureError for damaged tags.
    """
    if not _get_values(tags, _WIDTH):
        raise damage_error(path)
    (kind, *_), (samples, *_) = _get_values(tags, _PHOTOMETRIC, _GRAY), _get_values(tags, _SAMPLES, 1)
    is_float = _FLOAT in _get_values(tags, _FORMAT, 1)
    is_known = kind in (_GRAY, _RGB, _PALETTE) or (kind, is_float) == (_WHITE_IS_ZERO, False)
    # Only libjpeg converts YCbCr, so libvips would return it unconverted from other compressions.
    if not is_known and (kind, _get_values(tags, _COMPRESSION, 1)) != (_YCBCR, (_JPEG,)):
        raise UnsupportedError(f"{path} has {_KINDS.get(kind, 'unknown')} values, which are not supported.", TO_RGB)
    for bits in _get_values(tags, _BITS, 1):
        if bits not in ((16, 32) if is_float else (1, 2, 4, 8, 16)):
            kinds = "float" if is_float else "integer"
            hint = "Save it with 8 or 16 bits, or as 32-bit float."
            raise UnsupportedError(f"{path} has {bits}-bit {kinds} values, which are not supported.", hint)
    colors = 3 if kind in (_RGB, _YCBCR) else 1
    extra = _get_values(tags, _EXTRA)
    hint = "Delete its saved channels, or export it with transparency."
    if samples - colors > 1:
        raise UnsupportedError(f"{path} has {samples - colors} channels besides its colors.", hint)
    if samples > colors and extra[:1] == (_UNSPECIFIED,):
        raise UnsupportedError(f"{path} has a channel that is not marked as transparency.", hint)
    if (colors, is_float, extra[:1]) == (1, True, (_ASSOCIATED,)):
        raise UnsupportedError(f"{path} has premultiplied gray floats, which are not supported.", "Save it as RGB.")


def check_pages(path: Path, pages: Sequence[bool]) -> None:
    """Raise UnsupportedError if the first page is a reduced copy of another.   pages: as from `read_pages`."""
    if any(pages) and not pages[0]:
        hint = "Save its full picture as a TIFF of one page."
        raise UnsupportedError(f"{path} begins with a thumbnail of its picture, which is not supported.", hint)


def read_pages(file: IO[bytes]) -> list[bool]:
    """Return for each page whether it is a full picture, not a reduced copy or a mask; up to the first damaged page."""
    pages: list[bool] = []
    with contextlib.suppress(struct.error, OSError, OverflowError):
        for order, entries in _walk_directories(file):
            kinds = [value for tag, value, _ in entries if tag == _PAGE_KIND]
            pages.append(not any(struct.unpack_from(order + "I", kind)[0] & _NO_PAGE for kind in kinds))
    return pages


def correct_orientation(file: IO[bytes]) -> mmap.mmap | None:
    """Return a TIFF in which an orientation other than 1 to 8 is replaced by 1, None if it has no such orientation.

    libtiff refuses such files, and other programs ignore the value. The file itself is not changed.
    """
    wrong: list[tuple[str, int]] = []
    with contextlib.suppress(struct.error, OSError, OverflowError):
        order, entries = next(_walk_directories(file))
        for tag, value, offset in entries:
            if tag == _ORIENTATION and not 1 <= struct.unpack_from(order + "H", value)[0] <= 8:
                wrong.append((order, offset))
    if not wrong:
        return None
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    for order, offset in wrong:
        struct.pack_into(order + "H", data, offset, 1)
    return data


def _walk_directories(file: IO[bytes]) -> Iterator[tuple[str, list[tuple[int, bytes, int]]]]:
    """Yield each page's byte order and its entries: the tag, the field of its value, and that field's offset.

    Raises struct.error, OSError or OverflowError at a damaged page.
    """
    file.seek(0)
    order, is_big, link = parse_header(file.read(16))
    counter, entry, pointer = (order + form for form in (("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")))
    seen: set[int] = set()
    while link and link not in seen and len(seen) < _MAX_PAGES:
        seen.add(link)
        file.seek(link)
        (count,) = struct.unpack(counter, file.read(struct.calcsize(counter)))
        start, length = file.tell(), struct.calcsize(entry)
        found = struct.iter_unpack(entry, file.read(min(count, 65535) * length))
        field = length - struct.calcsize(pointer)
        yield order, [(tag, value, start + i * length + field) for i, (tag, _, _, value) in enumerate(found)]
        (link,) = struct.unpack(pointer, file.read(struct.calcsize(pointer)))


def find_notes(tags: Image.Exif, pages: Sequence[bool]) -> list[str]:
    """Return notes on parts of a TIFF that are not read.   pages: as from `read_pages`."""
    description = _get_description(tags)
    has_more = sum(pages) > 1 or max(_get_values(tags, _SLICES, 1)) > 1 or states_more_pages(description)
    notes = [ONLY_THE_FIRST] if has_more else []
    if len(pages) > 1 and is_ome(description):
        notes.append("the OME-XML description of the TIFF's pages is left out")
    with contextlib.suppress(Exception):  # a damaged tag
        layers = bytes(tags.get(_PHOTOSHOP_LAYERS, b""))
        if any(key in layers or key[::-1] in layers for key in _LAYER_KEYS):
            notes.append("Photoshop's layers in the TIFF are left out")
    return notes


def read_position(tags: Image.Exif) -> tuple[int, int]:
    """Return the picture's position on its page, in pixels; (0, 0) if it is not stated."""
    try:
        left, top = (float(tags[distance]) * float(tags[scale]) for distance, scale in _POSITION)
        return round(left), round(top)
    except (KeyError, TypeError, ValueError, OverflowError, SyntaxError):
        return 0, 0


def _get_description(tags: Image.Exif) -> bytes:
    """Return the description, empty if there is none."""
    with contextlib.suppress(Exception):  # a damaged tag
        text = tags.get(DESCRIPTION, "")
        return text.encode("utf-8", "replace") if isinstance(text, str) else bytes(text)
    return b""


def _get_values(tags: Image.Exif, tag: int, *default: int) -> tuple[int, ...]:
    """Return a tag's numbers, the default if there are none."""
    with contextlib.suppress(Exception):  # a damaged tag
        values = tags.get(tag, default)
        return tuple(int(value) for value in (values if isinstance(values, tuple) else (values,))) or default
    return default
