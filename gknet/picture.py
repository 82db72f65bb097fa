"""Picture files in and out: every depth, colour profile, orientation and metadata kept.

What a file holds decides what it is, never its name; only JPEG, PNG, TIFF, WebP and AVIF come near a decoder.
Of a file with several pages or frames the first is read, and it alone is written back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from PIL import Image, TiffImagePlugin

from gknet.errors import PictureError, Unsupported

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
# What a TIFF says outside its EXIF block: maker, model, software, date, artist, rating, copyright and so on.
_TIFF_TEXTS = (269, 271, 272, 285, 305, 306, 315, 316, 18246, 33432, *range(40091, 40096))
_SRGB: bytes = pyvips.Operation.call("profile_load", "srgb")
_DIRECTORIES = (0x8769, 0x8825)  # EXIF's own, and its places
_IPTC = 33723


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
    exif = _exif_of_tiff(path) if format == "tiff" else _without_thumbnail(metadata.pop("exif-data", b""))
    if exif:
        metadata["exif-data"] = exif
    return Picture(
        pixels=_turned(pixels, orientation),
        profile=profile if _fits(profile, pixels) else None,
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


def to_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Encoded sRGB of encoded values in a profile, relative colorimetric; themselves if that is None.

    pixels: (h, w, 3) float32 in [0, 1], and so is the result; colours outside sRGB are clipped to it. Gray
    profiles take R = G = B. Raises Unsupported if the profile is damaged or cannot be used.
    """
    return pixels if profile is None else _through_profiles(pixels, profile, None)


def from_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Encoded values in a profile of encoded sRGB: `to_srgb` backwards, its shapes, ranges and errors."""
    return pixels if profile is None else _through_profiles(pixels, None, profile)


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
    if head[4:12] in (b"ftypavif", b"ftypmif1", b"ftypheic"):
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
    if like.profile is not None and _fits(like.profile, pixels):
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
        _complete_tiff(path, metadata)


# ---- colour profiles


def _fits(profile: bytes | None, pixels: np.ndarray) -> bool:
    """Whether a profile speaks of as many colours as the pixels have: a gray one is of no use to RGB."""
    return profile is not None and profile[16:20] == (b"GRAY" if pixels.shape[2] < 3 else b"RGB ")


def _through_profiles(values: np.ndarray, source: bytes | None, target: bytes | None) -> np.ndarray:
    """Values of one profile in those of another; None stands for sRGB.

    Matrix profiles, nearly all there are, are computed here: the engine answers from coarse tables even at
    16 bits, and is off by as much as 14 of 255 in saturated darks. It keeps those made of tables.
    """
    profiles = (source or _SRGB, target or _SRGB)
    try:
        if any(b"A2B0" in _tags(profile) for profile in profiles):
            return _through_engine(values, *profiles)
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            (curves, matrix), (target_curves, target_matrix) = map(_curves_and_matrix, profiles)
        between = np.linalg.inv(target_matrix) @ matrix
    except (pyvips.Error, struct.error, LookupError, ValueError, ArithmeticError) as error:
        raise Unsupported("The colour profile cannot be used.", "Convert the picture to sRGB first.") from error
    steps = np.linspace(0, 1, 65536)
    linear = np.stack([np.interp(values[..., i], steps, curve) for i, curve in enumerate(curves)], axis=-1)
    linear = linear @ between.T
    result = [np.interp(linear[..., i], curve, steps) for i, curve in enumerate(target_curves)]
    return np.stack(result, axis=-1).astype(np.float32)


def _through_engine(values: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    image = _image(np.rint(values.clip(0, 1) * 65535).astype(np.uint16)).copy(interpretation="rgb16")
    _set(image, "icc-profile-data", source)
    image = image.icc_import(embedded=True, intent="relative").copy()
    _set(image, "icc-profile-data", target)
    return np.asarray(image.icc_export(depth=16, intent="relative").numpy(), np.float32) / np.float32(65535)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
    return {name: profile[start : start + size] for name, start, size in entries}


def _curves_and_matrix(profile: bytes) -> tuple[list[np.ndarray], np.ndarray]:
    """Encoded to linear, three of (65536,), and linear to XYZ, (3, 3), which for gray is any that inverts."""
    tags = _tags(profile)
    if profile[16:20] == b"GRAY":
        return [_curve(tags[b"kTRC"])] * 3, _curves_and_matrix(_SRGB)[1]
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")], np.array(columns).T / 65536


def _curve(tag: bytes) -> np.ndarray:
    """A tone curve at 65536 equal steps (ICC.1:2022, curveType and parametricCurveType)."""
    steps = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        points = np.frombuffer(tag, ">u2", count, 12)
        if count < 2:
            return steps ** (points[0] / 256 if count else 1)
        return np.maximum.accumulate(np.interp(steps, np.linspace(0, 1, count), points / 65535))
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    given = [number / 65536 for number in struct.unpack_from(f">{count}i", tag, 12)]
    gamma, scale, shift, slope, knee, lift, foot = given + [1.0, 0.0, 0.0, 0.0, 0.0, 0.0][count - 1 :]
    if kind in (1, 2):  # flat at the level of the fourth number, where the others are straight
        slope, knee, lift, foot = 0, -shift / scale, slope, slope
    power = (scale * steps + shift).clip(0) ** gamma + lift
    return np.maximum.accumulate(np.where(steps >= knee, power, slope * steps + foot))


# ---- EXIF where libvips does not care for it


def _without_thumbnail(exif: bytes) -> bytes:
    """An EXIF block with the link to its second directory, the thumbnail's, cut."""
    start = 6 if exif.startswith(b"Exif") else 0
    order = "<" if exif[start : start + 2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start + first)
    except struct.error:
        return exif
    link = start + first + 2 + 12 * count
    return exif[:link] + bytes(4) + exif[link + 4 :]


def _notes(exif: Image.Exif) -> dict[int, Any]:
    notes = {tag: exif[tag] for tag in _TIFF_TEXTS if tag in exif}
    return notes | {tag: values for tag in _DIRECTORIES if (values := exif.get_ifd(tag))}


def _exif_of_tiff(path: Path) -> bytes:
    """A TIFF's texts and EXIF as the block that other formats carry; libvips passes them over."""
    with contextlib.suppress(Exception), warnings.catch_warnings():  # a picture is worth more than its notes
        warnings.simplefilter("ignore")
        exif, kept = Image.Exif(), Image.Exif()
        with path.open("rb") as file:
            exif.load_from_fp(file)
            kept.update(_notes(exif))
        return kept.tobytes() if len(kept) else b""
    return b""


def _tiff_directory(metadata: Mapping[str, Any], start: int) -> bytes:
    """The same notes, and IPTC, as a TIFF's directory that will start there; empty if there are none."""
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exif, directory = Image.Exif(), TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
        exif.load(metadata.get("exif-data", b""))
        for tag, value in _notes(exif).items():
            directory[tag] = value
        if "iptc-data" in metadata:
            directory.tagtype[_IPTC] = 7  # bytes; libvips calls them long numbers, which others misread
            directory[_IPTC] = metadata["iptc-data"]
        return directory.tobytes(start) if len(directory) else b""
    return b""


def _complete_tiff(path: Path, metadata: Mapping[str, Any]) -> None:
    """Texts, EXIF and IPTC into a TIFF that libvips wrote without: a directory in place of its first one."""
    start = path.stat().st_size
    start += start % 2
    block = _tiff_directory(metadata, start)
    with path.open("r+b") as file:
        if not block or file.read(4) != b"II*\0":  # a BigTIFF goes without
            return
        file.seek(struct.unpack("<I", file.read(4))[0])
        entries = _entries(file.read(2 + 12 * 100)) + _entries(block)  # what they point at stays where it is
        file.seek(start)
        file.write(block + bytes(len(block) % 2))
        place = file.tell()
        merged = {struct.unpack("<H", entry[:2])[0]: entry for entry in entries}
        file.write(struct.pack("<H", len(merged)) + b"".join(merged[tag] for tag in sorted(merged)) + bytes(4))
        file.seek(4)
        file.write(struct.pack("<I", place))


def _entries(directory: bytes) -> list[bytes]:
    (count,) = struct.unpack("<H", directory[:2])
    return [directory[2 + 12 * i : 14 + 12 * i] for i in range(count)]
