"""Picture files in and out: every depth, colour profile, orientation and metadata kept.

What a file holds decides what it is, never its name; only JPEG, PNG, TIFF, WebP and AVIF come near a decoder.
Of a file with several pages or frames the first is read, and it alone is written back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from gknet.errors import PictureError, Unsupported
from gknet.exif import complete_tiff, exif_of_tiff, without_thumbnail
from gknet.profile import fits

# 20 000 × 20 000: above any camera and most stitched panoramas, and as RGB float just under 5 GB. A file of a
# few kilobytes can claim far more, so the claim is judged before memory is asked for.
MAX_PIXELS = 400_000_000
JPEG_QUALITY = 95  # no loss that anybody sees, at half the bytes of 100

# libvips would keep the last hundred operations, and each of ours holds a whole picture.
pyvips.cache_set_max(0)


def _text(text: Any) -> str:
    decoded: str = pyvips.ffi.string(text).decode("utf-8", "replace")
    return decoded


# libvips quotes damaged files in its messages; pyvips, taking those for UTF-8, would fail over them, fail at
# every later error too, and fill stderr. This touches its errors and its log, nothing else.
pyvips._to_string = pyvips.error._to_string = _text


def _log_less() -> None:
    """No Python for libvips' debugging messages: a Ctrl-C that arrives in such a callback would be lost."""
    levels = pyvips.GLogLevelFlags
    worth = levels.LEVEL_MESSAGE | levels.LEVEL_WARNING | levels.LEVEL_CRITICAL | levels.LEVEL_ERROR
    pyvips._remove_log_handler()
    handler, none = pyvips._log_handler_cb, pyvips.ffi.NULL
    pyvips._log_handler_id = pyvips.glib_lib.g_log_set_handler(b"VIPS", worth, handler, none)


_log_less()

_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff", ".webp": "webp"}
_LONGEST_SIDE = {"jpeg": 65_535, "webp": 16_383}  # the formats' own limits
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
_WHITE = {"uchar": 255.0, "ushort": 65535.0, "float": 1.0}
_DEEPEST = {"jpeg": "uchar", "webp": "uchar", "png": "ushort", "tiff": "float"}
_INTERPRETATIONS = {"uchar": ("b-w", "srgb"), "ushort": ("grey16", "rgb16"), "float": ("b-w", "scrgb")}
_READABLE = {"multiband", "rgb", *_INTERPRETATIONS["uchar"], *_INTERPRETATIONS["ushort"], "scrgb"}
_TO_RGB = "Convert it to RGB first: Image > Mode > RGB in GIMP, Image > Convert Image Color Space in Krita."
# What of a header is kept. Thumbnails and gain maps are not: they would go on showing the picture as it was.
_BLOCKS = {"icc-profile-data", "exif-data", "xmp-data", "iptc-data", "photoshop-data"}
_VALUES = {"orientation", "xres", "yres", "resolution-unit", "image-description"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A picture as it is looked at, and what its file said besides.

    pixels: (H, W, C) uint8, uint16 or float32, upright; C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha,
    which is straight.   profile: the pixels' ICC profile, None for sRGB.   format: the file's.
    orientation: how the file stores them, 1 to 8 as in EXIF.   quality: a JPEG's own, 1 to 100, else 0.
    lossless: whether WebP may lose nothing.   metadata: EXIF, XMP, IPTC, resolution and texts.
    """

    pixels: np.ndarray
    profile: bytes | None = None
    format: str = ""
    orientation: int = 1
    quality: int = 0
    lossless: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> Picture:
    """The picture in a file, upright and complete.

    Palettes become RGB or RGBA, 1-bit and gray become gray, 16-bit floats float32, any alpha straight.
    Raises PictureError if it is missing, damaged or above MAX_PIXELS, Unsupported if of a kind that is not
    worked on, such as CMYK.
    """
    format = _format(path)
    try:
        image = getattr(pyvips.Image, f"{format}load")(os.fsencode(path), access="sequential", fail_on="error")
        _check_readable(path, image)
        metadata = _metadata(image)
        pixels = np.asarray(image.numpy()).reshape(image.height, image.width, image.bands)
    except (pyvips.Error, UnicodeDecodeError) as error:
        raise PictureError(f"{path} is damaged or not complete.", "Copy or export it again.") from error
    profile, orientation = metadata.pop("icc-profile-data", None), metadata.pop("orientation", 1)
    exif = exif_of_tiff(path) if format == "tiff" else without_thumbnail(metadata.pop("exif-data", b""))
    if exif:
        metadata["exif-data"] = exif
    return Picture(
        pixels=_turned(pixels, orientation),
        profile=profile if fits(profile, gray=pixels.shape[2] < 3) else None,
        format=format,
        orientation=orientation,
        quality=_jpeg_quality(path) if format == "jpeg" else 0,
        lossless=format == "webp" and _is_lossless_webp(path),
        metadata=metadata,
    )


def read_mask(path: Path) -> np.ndarray:
    """The mask in a file: (H, W) uint8, uint16 or float32, upright, large = foreground.

    An alpha channel that is not opaque everywhere is the mask, for a cutout says itself what it is; else the
    gray values as they stand; else the luma of RGB, 0.299 R + 0.587 G + 0.114 B, rounded. Raises as `read`.
    """
    pixels = read(path).pixels
    channels = pixels.shape[2]
    opaque = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    if channels in (2, 4) and pixels[..., -1].min() < opaque:
        return np.ascontiguousarray(pixels[..., -1])
    if channels < 3:
        return np.ascontiguousarray(pixels[..., 0])
    mask = np.empty(pixels.shape[:2], pixels.dtype)
    for top in range(0, len(mask), 256):  # in strips, for as floats they take four times the room
        luma = pixels[top : top + 256, :, :3] @ np.array([0.299, 0.587, 0.114], np.float32)
        mask[top : top + 256] = luma if mask.dtype == np.float32 else np.rint(luma)
    return mask


def check_writable(path: Path, channels: int) -> None:
    """Nothing, if a picture of so many channels can be written there: to be asked before the work, not after.

    Raises PictureError if the suffix is unknown or the folder missing, Unsupported for alpha in a JPEG.
    """
    format = _FORMATS.get(path.suffix.lower())
    if format is None:
        known = "End its name in .jpg, .png, .tif or .webp."
        raise PictureError(f"{path} cannot be written: its suffix names no format.", known)
    try:
        if path.is_dir():
            raise PictureError(f"{path} is a folder.", "Give the picture a name of its own.")
        if path.exists() and not path.is_file():
            raise PictureError(f"{path} is not an ordinary file.", "Give the picture a name of its own.")
        if not path.parent.is_dir():
            raise PictureError(f"There is no folder {path.parent}.", "Create it first, or write elsewhere.")
    except OSError as error:
        raise _refused(path, "written", error) from error
    if format == "jpeg" and channels in (2, 4):
        raise Unsupported(f"{path} cannot hold transparency: JPEG has none.", "Write a .png instead.")


def write(path: Path, pixels: np.ndarray, like: Picture) -> None:
    """A file at path, in its suffix's format, with all of like but its pixels: the whole file or none.

    pixels: (H, W, C) uint8, uint16 or float32, upright, channels as in Picture; H and W need not be like's.
    JPEG gets the source's quality but at least 95, and full colour resolution; WebP no loss if the source had
    none, else 95. A depth the format lacks is rounded: floats to 16 bits in PNG, all to 8 in JPEG and WebP.
    In the source's own format the orientation stays as stored; in any other, whose viewers may not look for
    it, the picture is stored upright, and IPTC, which each packs differently, is left out.
    Raises PictureError or Unsupported as `check_writable`, or if the disk refuses; an old file stays.
    """
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or pixels.dtype not in _DTYPES.values():
        raise Unsupported(f"{pixels.shape} of {pixels.dtype} is no picture.", "Give (height, width, 1 to 4).")
    check_writable(path, pixels.shape[2])
    format = _FORMATS[path.suffix.lower()]
    limit = _LONGEST_SIDE.get(format)
    if limit and max(pixels.shape[:2]) > limit:
        raise Unsupported(f"{path} cannot hold more than {limit} pixels a side.", "Write a .png or .tif.")
    target = Path(os.path.realpath(path))  # through a link, not in its place
    unfinished = target.with_name(f".gknet-{secrets.token_hex(8)}.tmp")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # minus the umask
        _save(unfinished, format, pixels, like)
        unfinished.replace(target)
    except OSError as error:
        raise _refused(path, "written", error) from error
    except pyvips.Error as error:
        raise PictureError(f"{path} could not be written.", "Check the free space there.") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


# ---- what a file is


def _refused(path: Path, what: str, error: OSError) -> PictureError:
    reason = error.strerror or type(error).__name__
    return PictureError(f"{path} cannot be {what}: {reason}.", "Check its name, folder and permissions.")


def _format(path: Path) -> str:
    """The format, told by the file's first bytes, in libvips' word for it."""
    try:
        if path.is_dir():
            raise PictureError(f"{path} is a folder, not a picture.", "Name a file in it.")
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise PictureError(f"{path} is not an ordinary file.", "Name a picture file.")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise PictureError(f"There is no file {path}.", "Check its name and folder.") from error
    except OSError as error:
        raise _refused(path, "opened", error) from error
    if not head:
        raise PictureError(f"{path} is empty.", "Copy or export it again.")
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:12] in (b"ftypavif", b"ftypmif1"):
        return "heif"
    raise Unsupported(f"{path} is not a picture of a known kind.", "Save it as JPEG, PNG, TIFF or WebP.")


def _check_readable(path: Path, image: Any) -> None:
    """Nothing, if the header promises pixels that can be worked on."""
    if image.width * image.height > MAX_PIXELS:
        size, limit = f"{image.width} × {image.height} pixels", f"{MAX_PIXELS // 10**6} megapixels"
        raise PictureError(f"{path} is too large: {size}.", f"Scale it below {limit}.")
    if image.interpretation not in _READABLE:
        raise Unsupported(f"{path} holds {image.interpretation.upper()} colours.", _TO_RGB)
    if image.bands > 4:
        raise Unsupported(f"{path} has {image.bands} channels.", "Save it as RGB or RGBA.")
    if image.format not in _DTYPES:
        raise Unsupported(f"{path} has {image.format} pixels.", "Save it with 8 or 16 bits, or as float.")


def _metadata(image: Any) -> dict[str, Any]:
    """What is kept of a header."""
    found = {}
    for name in image.get_fields():
        if name in _BLOCKS | _VALUES or name.startswith("png-comment-"):
            with contextlib.suppress(UnicodeDecodeError):  # a text from before Unicode
                found[name] = image.get(name)
    return found


def _jpeg_quality(path: Path) -> int:
    """The quality that a JPEG was saved at, on the reference encoder's scale; 0 if it cannot be told."""
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
            body = file.read(struct.unpack(">H", head[2:])[0] - 2)
            if head[1] == 0xDB and len(body) >= 65 and body[0] == 0:  # table 0, of 8-bit numbers: luminance
                if max(body[1:65]) == 1:
                    return 100
                percent = 100 * sum(body[1:65]) / 3688  # the sum at quality 50 (ITU-T T.81, table K.1)
                return max(1, round(100 - percent / 2 if percent <= 100 else 5000 / percent))
    return 0


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8 and head[:4] not in (b"VP8L", b"VP8 "):
            (size,) = struct.unpack("<I", head[4:])
            file.seek(size + size % 2, os.SEEK_CUR)
    return head[:4] == b"VP8L"


# ---- pixels


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels upright, by EXIF's number; copied only if they have to turn."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(pixels[rows, columns])


def _image(pixels: np.ndarray) -> Any:
    """The array as a libvips image, without a copy."""
    height, width, channels = pixels.shape
    format = next(name for name, dtype in _DTYPES.items() if pixels.dtype == dtype)
    return pyvips.Image.new_from_memory(np.ascontiguousarray(pixels), width, height, channels, format)


def _set(image: Any, name: str, value: bytes | str | int) -> None:
    types = {bytes: pyvips.GValue.blob_type, str: pyvips.GValue.gstr_type, int: pyvips.GValue.gint_type}
    image.set_type(types[type(value)], name, value)


def _save(path: Path, format: str, pixels: np.ndarray, like: Picture) -> None:
    """The file, in one go and under the very name given."""
    same = format == like.format
    orientation = like.orientation if same else 1
    image = _image(_turned(pixels, {6: 8, 8: 6}.get(orientation, orientation)))
    depth = min(image.format, _DEEPEST[format], key=list(_DTYPES).index)
    if image.format != depth:
        image = (image * (_WHITE[depth] / _WHITE[image.format])).rint().cast(depth)
    metadata = {name: value for name, value in like.metadata.items() if same or name != "iptc-data"}
    image = image.copy(
        interpretation=_INTERPRETATIONS[depth][image.bands > 2],
        xres=metadata.pop("xres", image.xres),
        yres=metadata.pop("yres", image.yres),
    )
    for name, value in metadata.items():
        _set(image, name, value)
    if like.profile is not None and fits(like.profile, gray=pixels.shape[2] < 3):
        _set(image, "icc-profile-data", like.profile)
    if orientation != 1 or "exif-data" in metadata:
        _set(image, "orientation", orientation)
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"Q": max(JPEG_QUALITY, like.quality), "subsample_mode": "off", "optimize_coding": True},
        "png": {"bitdepth": 16 if depth == "ushort" else 8, "filter": "all"},
        "tiff": {
            "compression": "deflate",
            "predictor": "none" if depth == "float" else "horizontal",  # few programs know the one for floats
            "bigtiff": pixels.nbytes > 3 << 30,  # an ordinary one ends at 4 GiB
        },
        "webp": {"lossless": like.lossless, "Q": 95, "smart_subsample": True, "exact": True},
    }
    keep = "all" if "exif-data" in metadata else "xmp:iptc:icc:other"  # or libvips makes up an EXIF block
    getattr(image, f"{format}save")(os.fsencode(path), keep=keep, **options[format])
    if format == "tiff":
        complete_tiff(path, metadata)
