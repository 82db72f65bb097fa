"""Files that say by other means than ICC what their colors are: by Pillow, and by bytes written by hand."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

ADOBE_CHRM = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
SRGB_CHRM = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE = {0xA001: 0xFFFF, 0xA005: "R03"}


def gama(gamma: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", gamma)


def chrm(*numbers: int) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *numbers)


def cicp(*numbers: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes(numbers)


def png(path: Path, pixels: np.ndarray, *chunks: tuple[bytes, bytes], profile: bytes | None = None) -> Path:
    """A PNG of Pillow's with chunks right after its header, before any profile."""
    Image.fromarray(pixels).save(path, icc_profile=profile)
    content = path.read_bytes()
    added = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(content[:33] + added + content[33:])
    return path


def avif(path: Path, pixels: np.ndarray, primaries: int, transfer: int, matrix: int = 6, **options: object) -> Path:
    """An AVIF of libavif's with other code points."""
    Image.fromarray(pixels).save(path, quality=100, subsampling="4:4:4", **options)
    return set_code_points(path, primaries, transfer, matrix)


def set_code_points(path: Path, primaries: int, transfer: int, matrix: int) -> Path:
    content = path.read_bytes()
    assert content.count(b"colrnclx") == 1
    place = content.index(b"colrnclx") + 8
    path.write_bytes(content[:place] + struct.pack(">3H", primaries, transfer, matrix) + content[place + 6 :])
    return path


def exif(details: dict[int, object], tags: dict[int, object] | None = None) -> Image.Exif:
    """EXIF with these values in its own directory and, as the tag of that name, DCF's index; and these tags beside."""
    block = Image.Exif()
    block.update(tags or {0x010F: "Maker"})  # Pillow writes no EXIF without any
    details = dict(details)
    if 0xA005 in details:
        details[0xA005] = {1: details[0xA005], 2: b"0100"}
    block.get_ifd(0x8769).update(details)
    return block


def tiff(
    path: Path, pixels: np.ndarray, photometric: int, extra: tuple[int, ...] | None = (), **tags: tuple[int, ...]
) -> Path:
    """An uncompressed TIFF of (h, w, channels), with no tag for extra channels if they are None.

    tags: numbers with a t before them, and SHORT values.
    """
    height, width, channels = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    kind = 3 if pixels.dtype.kind == "f" else 1
    entries = {
        256: (width,),
        257: (height,),
        258: (pixels.dtype.itemsize * 8,) * channels,
        259: (1,),
        262: (photometric,),
        273: (8,),
        277: (channels,),
        278: (height,),
        279: (len(data),),
        339: (kind,) * channels,
        **({338: extra} if extra else {}),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    place = 8 + len(data)
    body, directory = b"", struct.pack("<H", len(entries))
    start = place + 2 + 12 * len(entries) + 4
    for tag, values in sorted(entries.items()):
        content = struct.pack(f"<{len(values)}I", *values)
        if len(content) > 4:
            directory += struct.pack("<HHII", tag, 4, len(values), start + len(body))
            body += content
        else:
            directory += struct.pack("<HHI", tag, 4, len(values)) + content
    path.write_bytes(b"II" + struct.pack("<HI", 42, place) + data + directory + bytes(4) + body)
    return path


def tiff_with_exif(path: Path, rgb: np.ndarray) -> Path:
    """A TIFF whose EXIF says Adobe RGB by DCF's index, in a directory that neither Pillow nor tifffile writes."""
    place = tiff(path, rgb, 2, t34665=(0,)).stat().st_size
    tiff(path, rgb, 2, t34665=(place,))
    details = struct.pack("<HHHIIHHIII", 2, 0xA001, 3, 1, 0xFFFF, 0xA005, 4, 1, place + 30, 0)
    interoperability = struct.pack("<HHHI4sI", 1, 1, 2, 4, b"R03\0", 0)
    path.write_bytes(path.read_bytes() + details + interoperability)
    return path
