"""Picture files in and out: every depth, colour profile, orientation and metadata kept.

What a file holds decides what it is, never its name; only JPEG, PNG, TIFF, WebP and AVIF are let near a decoder.
Of files with several pages or frames the first is read, and it alone is written back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips
from PIL import Image, TiffImagePlugin

from gknet.errors import PictureError, Unsupported

# 20 000 × 20 000: above any camera and most stitched panoramas, and as RGB float just under 5 GB. A file of a few
# kilobytes can claim far more, so the claim is judged before memory is asked for.
MAX_PIXELS = 400_000_000
JPEG_QUALITY = 95  # no loss anybody sees, at half the bytes of 100

# libvips would keep the last hundred operations, and each of ours holds a whole picture.
pyvips.cache_set_max(0)

_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff", ".webp": "webp"}
_NAMES = ".jpg, .png, .tif or .webp"
_LONGEST_SIDE = {"jpeg": 65_535, "webp": 16_383}  # the formats' own limits
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
_DEPTHS = {"jpeg": ("uchar",), "webp": ("uchar",), "png": ("uchar", "ushort"), "tiff": ("uchar", "ushort", "float")}
_WHITE = {"uchar": 255.0, "ushort": 65535.0, "float": 1.0}
_CONVERT = "Convert it to RGB first: Image > Mode > RGB in GIMP, Image > Convert Image Color Space in Krita."
# Left behind on purpose: thumbnails and gain maps, which would go on showing the picture as it was.
_KEPT = ("exif-data", "xmp-data", "iptc-data", "photoshop-data", "image-description", "resolution-unit", "xres", "yres")
# What a TIFF says about itself outside the EXIF block: maker, model, software, date, artist, copyright and the like.
_TIFF_TEXTS = (269, 271, 272, 285, 305, 306, 315, 316, 18246, 33432, *range(40091, 40096))
_EXIF_IFD, _GPS_IFD, _IPTC = 0x8769, 0x8825, 33723


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A picture as it is looked at, and what its file said besides.

    pixels: (H, W, C) uint8, uint16 or float32, upright; C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and straight alpha.
    profile: the pixels' ICC profile, None for sRGB.   orientation: how the file stores them, 1 to 8 as in EXIF.
    quality: a JPEG's own, 1 to 100, else 0.   lossless: whether WebP may lose nothing.
    metadata: EXIF, XMP, IPTC, resolution and texts, under libvips' names.
    """

    pixels: np.ndarray
    profile: bytes | None = None
    format: str = "png"
    orientation: int = 1
    quality: int = 0
    lossless: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> Picture:
    """The picture in a file, upright and complete.

    Palettes become RGB or RGBA; 1-bit and gray become gray; 16-bit float becomes float32.
    Raises PictureError if it is missing, damaged or above MAX_PIXELS; Unsupported if of another kind, CMYK for one.
    """
    format = _format(path)
    try:
        loader = getattr(pyvips.Image, f"{format}load")
        image = loader(os.fsencode(path), access="sequential", fail_on="error")
        _check_readable(path, image)
        pixels = np.asarray(image.numpy()).reshape(image.height, image.width, image.bands)
    except pyvips.Error as error:
        raise PictureError(f"{path} is damaged or not complete.", "Copy or export it again.") from error
    fields = set(image.get_fields())
    metadata = {name: image.get(name) for name in fields if name in _KEPT or name.startswith("png-comment-")}
    if format == "tiff" and (exif := _exif_of_tiff(path)):
        metadata["exif-data"] = exif
    elif "exif-data" in metadata:
        metadata["exif-data"] = _without_thumbnail(metadata["exif-data"])
    profile = image.get("icc-profile-data") if "icc-profile-data" in fields else None
    orientation = image.get("orientation") if "orientation" in fields else 1
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

    An alpha channel that is not opaque everywhere is the mask (a cutout says what it is), else the gray values as
    they stand, else the luma of RGB, 0.299 R + 0.587 G + 0.114 B, rounded. Raises as `read` does.
    """
    pixels = read(path).pixels
    channels = pixels.shape[2]
    opaque = 1.0 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    if channels in (2, 4) and pixels[..., -1].min() < opaque:
        return np.ascontiguousarray(pixels[..., -1])
    if channels < 3:
        return np.ascontiguousarray(pixels[..., 0])
    mask = np.empty(pixels.shape[:2], pixels.dtype)
    for top in range(0, len(mask), 256):  # in strips, for the floats take four times the room
        luma = pixels[top : top + 256, :, :3] @ np.array([0.299, 0.587, 0.114], np.float32)
        mask[top : top + 256] = luma if mask.dtype == np.float32 else np.rint(luma)
    return mask


def check_writable(path: Path, channels: int) -> None:
    """Nothing, if a picture of so many channels can be written there: to be asked before the work, not after.

    Raises PictureError for a folder that is missing or a suffix that is unknown, Unsupported for alpha in a JPEG.
    """
    if path.suffix.lower() not in _FORMATS:
        what = f"a name in {path.suffix!r}" if path.suffix else "a name without a suffix"
        raise PictureError(f"{path} cannot be written: {what} names no known format.", f"End it in {_NAMES}.")
    if path.is_dir():
        raise PictureError(f"{path} is a folder.", "Give the picture a name of its own.")
    if not path.parent.is_dir():
        raise PictureError(f"There is no folder {path.parent}.", "Create it first, or write elsewhere.")
    if _FORMATS[path.suffix.lower()] == "jpeg" and channels in (2, 4):
        raise Unsupported(f"{path} cannot hold transparency: JPEG has none.", "Write a .png instead.")


def write(path: Path, pixels: np.ndarray, like: Picture) -> None:
    """A file at path, in the format of its suffix, with all of like but its pixels. It appears complete or not at all.

    pixels: (H, W, C) uint8, uint16 or float32, upright, channels as in Picture; the size may be another than like's.
    JPEG is written at the source's quality but at least 95 and with full colour resolution, WebP without loss if the
    source was, else at 95. A depth the format lacks is rounded to its nearest: float to 16 bits in PNG, all to 8 in
    JPEG and WebP. In the source's own format the orientation stays as it was stored; in any other, where viewers
    may ignore the tag, the picture is stored upright. IPTC stays within its format, for each packs it differently.
    Raises PictureError or Unsupported as `check_writable`, and if the disk says no; a file already there stays then.
    """
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or pixels.dtype not in _DTYPES.values():
        raise Unsupported(f"An array {pixels.shape} of {pixels.dtype} is no picture.", "Give (height, width, 1 to 4).")
    check_writable(path, pixels.shape[2])
    format = _FORMATS[path.suffix.lower()]
    if max(pixels.shape[:2]) > _LONGEST_SIDE.get(format, 10_000_000):
        limit = f"{_LONGEST_SIDE[format]} pixels a side"
        raise Unsupported(f"{path} cannot hold the picture: {limit} is its format's limit.", "Write .png or .tif.")
    target = Path(os.path.realpath(path))  # through a link, not in its place
    unfinished = target.with_name(f".gknet-{secrets.token_hex(8)}.tmp")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # open() obeys the umask
        _save(unfinished, format, pixels, like)
        unfinished.replace(target)
    except OSError as error:
        raise PictureError(f"{path} cannot be written: {error.strerror}.", "Write to another folder.") from error
    except pyvips.Error as error:
        raise PictureError(f"{path} could not be written.", "Check the free space there.") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def to_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Encoded sRGB of encoded values in a profile, through 16-bit colour management; the values themselves if None.

    pixels: (h, w, 3) float32 in [0, 1]; so is the result. Colours outside sRGB become the nearest inside.
    Gray profiles are met with R = G = B. Raises Unsupported if the profile is damaged or cannot be used.
    """
    return pixels if profile is None else _through_profiles(pixels, profile, None)


def from_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Encoded values in a profile of encoded sRGB: the inverse of `to_srgb`, with the same shapes, ranges and errors."""
    return pixels if profile is None else _through_profiles(pixels, None, profile)


def _format(path: Path) -> str:
    """The format in libvips' word for it, decided by the file's first bytes."""
    if path.is_dir():
        raise PictureError(f"{path} is a folder, not a picture.", "Name a file in it.")
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise PictureError(f"{path} is not an ordinary file.", "Name a picture file.")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise PictureError(f"There is no file {path}.", "Check its name and folder.") from error
    except OSError as error:
        raise PictureError(f"{path} cannot be opened: {error.strerror}.", "Check its name and permissions.") from error
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
    """Nothing, if the header promises pixels we can work on."""
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} × {image.height} pixels"
        raise PictureError(f"{path} is too large: {size}.", f"Scale it below {MAX_PIXELS // 10**6} megapixels.")
    if image.interpretation not in ("srgb", "rgb", "rgb16", "scrgb", "b-w", "grey16", "multiband"):
        raise Unsupported(f"{path} holds {image.interpretation.upper()} colours.", _CONVERT)
    if image.bands > 4:
        raise Unsupported(f"{path} has {image.bands} channels.", "Save it as RGB or RGBA.")
    if image.format not in _DTYPES:
        raise Unsupported(f"{path} stores its pixels as {image.format}.", "Save it with 8 or 16 bits, or as float.")


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels upright, by EXIF's number; copied only if they do have to turn."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(pixels[rows, columns])


def _fits(profile: bytes | None, pixels: np.ndarray) -> bool:
    """Whether a profile speaks of as many colours as the pixels have: a gray one is of no use to RGB."""
    return profile is not None and profile[16:20] == (b"GRAY" if pixels.shape[2] < 3 else b"RGB ")


def _vips_image(pixels: np.ndarray) -> Any:
    """The array as a libvips image, without a copy."""
    height, width, channels = pixels.shape
    format = next(name for name, dtype in _DTYPES.items() if pixels.dtype == dtype)
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(pixels), width, height, channels, format)
    return image.copy(interpretation=_interpretation(channels, format))


def _interpretation(channels: int, format: str) -> str:
    gray, rgb = {"uchar": ("b-w", "srgb"), "ushort": ("grey16", "rgb16"), "float": ("b-w", "scrgb")}[format]
    return gray if channels < 3 else rgb


def _save(path: Path, format: str, pixels: np.ndarray, like: Picture) -> None:
    """The file itself, in one go and under the name given."""
    same = format == like.format
    orientation = like.orientation if same else 1
    image = _vips_image(_turned(pixels, {6: 8, 8: 6}.get(orientation, orientation)))
    if image.format not in _DEPTHS[format]:
        depth = _DEPTHS[format][-1]
        image = (image * (_WHITE[depth] / _WHITE[image.format])).rint().cast(depth)
    metadata = {name: value for name, value in like.metadata.items() if same or name != "iptc-data"}
    image = image.copy(
        interpretation=_interpretation(image.bands, image.format),
        xres=metadata.pop("xres", image.xres),
        yres=metadata.pop("yres", image.yres),
    )
    for name, value in metadata.items():
        image.set_type(pyvips.GValue.blob_type if isinstance(value, bytes) else pyvips.GValue.gstr_type, name, value)
    if like.profile is not None and _fits(like.profile, pixels):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", like.profile)
    if orientation != 1 or "exif-data" in metadata:
        image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    options: dict[str, Any] = {
        "jpeg": {"Q": max(JPEG_QUALITY, like.quality), "subsample_mode": "off", "optimize_coding": True},
        "png": {"bitdepth": 16 if image.format == "ushort" else 8, "filter": "all"},
        "tiff": {
            "compression": "deflate",
            "predictor": "none" if image.format == "float" else "horizontal",  # not all read the one for floats
            "bigtiff": pixels.nbytes > 3 << 30,  # an ordinary one ends at 4 GiB
        },
        "webp": {"lossless": like.lossless, "Q": 95, "smart_subsample": True, "exact": True},
    }
    keep = "all" if "exif-data" in metadata else "xmp:iptc:icc:other"  # else libvips would invent an EXIF block
    getattr(image, f"{format}save")(os.fsencode(path), keep=keep, **options[format])
    if format == "tiff":
        _add_exif_to_tiff(path, metadata)


def _through_profiles(values: np.ndarray, source: bytes | None, target: bytes | None) -> np.ndarray:
    """Values of one profile in those of another, relative colorimetric; None stands for sRGB."""
    srgb: bytes = pyvips.Operation.call("profile_load", "srgb")
    profiles = [srgb if profile is None else profile for profile in (source, target)]
    try:
        if any(b"A2B0" in _tags(profile) for profile in profiles):
            return _through_engine(values, *profiles)
        (curves, to_xyz), (out_curves, out_to_xyz) = map(_curves_and_matrix, profiles)
    except (pyvips.Error, struct.error, ValueError, KeyError, np.linalg.LinAlgError) as error:
        raise Unsupported(
            "The picture's colour profile cannot be used.", "Convert the picture to sRGB."
        ) from error
    steps = np.linspace(0, 1, curves[0].size)
    light = np.stack([np.interp(values[..., i], steps, curve) for i, curve in enumerate(curves)], axis=-1)
    light = light @ (np.linalg.inv(out_to_xyz) @ to_xyz).T
    result = [np.interp(light[..., i], curve, steps) for i, curve in enumerate(out_curves)]
    return np.stack(result, axis=-1).astype(np.float32)


def _through_engine(values: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    """The general way, for profiles made of tables: good to about 1/300, for it interpolates tables of its own."""
    image = _vips_image(np.rint(values.clip(0, 1) * 65535).astype(np.uint16))
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", source)
    image = image.icc_import(embedded=True, intent="relative").copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", target)
    exported = image.icc_export(depth=16, intent="relative").numpy()
    return np.asarray(exported, np.float32) / np.float32(65535)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
    return {name: profile[start : start + size] for name, start, size in entries}


def _curves_and_matrix(profile: bytes) -> tuple[list[np.ndarray], np.ndarray]:
    """Encoded to linear, each (65536,), and linear to XYZ, (3, 3), of nearly every RGB profile there is.

    In floats and without the engine, whose own shortcuts are off by up to 14 of 255 in saturated darks.
    A gray profile is given sRGB's matrix, which leaves R = G = B as they are.
    """
    tags = _tags(profile)
    if profile[16:20] == b"GRAY":
        _, matrix = _curves_and_matrix(pyvips.Operation.call("profile_load", "srgb"))
        return [_curve(tags[b"kTRC"])] * 3, matrix
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return curves, np.array(columns).T / 65536


def _curve(tag: bytes) -> np.ndarray:
    """A tone curve's values at 65536 equal steps."""
    steps = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        points = np.frombuffer(tag, ">u2", count, 12)
        if count < 2:
            return steps ** (points[0] / 256 if count else 1)
        return np.maximum.accumulate(np.interp(steps, np.linspace(0, 1, count), points / 65535))
    (kind,) = struct.unpack_from(">H", tag, 8)
    numbers = [number / 65536 for number in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    gamma, scale, shift, slope, knee, lift, foot = [*numbers, *(1, 0, 0, 0, 0, 0)[len(numbers) - 1 :]]
    if kind in (1, 2):  # a floor in place of the straight part
        slope, knee, lift, foot = 0, -shift / scale, slope, slope
    power = (scale * steps + shift).clip(0) ** gamma + lift
    return np.maximum.accumulate(np.where(steps >= knee, power, slope * steps + foot))


# JPEG's example tables (ITU-T T.81, annex K) sum to these numbers; quality 50 uses them as they are.
_LUMINANCE_SUM = 3688


def _jpeg_quality(path: Path) -> int:
    """The quality that a JPEG was saved at, on the scale of the reference encoder; 0 if it cannot be told."""
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
            body = file.read(struct.unpack(">H", head[2:])[0] - 2)
            if head[1] == 0xDB and len(body) >= 65 and body[0] == 0:  # table 0 of 8-bit numbers: luminance
                if max(body[1:65]) == 1:
                    return 100
                percent = 100 * sum(body[1:65]) / _LUMINANCE_SUM
                return max(1, round(100 - percent / 2 if percent <= 100 else 5000 / percent))
    return 0


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            if head[:4] in (b"VP8L", b"VP8 "):
                return head[:4] == b"VP8L"
            size = struct.unpack("<I", head[4:])[0]
            file.seek(size + size % 2, os.SEEK_CUR)
    return False


def _without_thumbnail(exif: bytes) -> bytes:
    """An EXIF block whose second directory, the thumbnail's, is linked to no more."""
    start = 6 if exif.startswith(b"Exif") else 0
    order = "<" if exif[start : start + 2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start + first)
    except struct.error:
        return exif
    link = start + first + 2 + 12 * count
    return exif[:link] + bytes(4) + exif[link + 4 :]


def _exif_of_tiff(path: Path) -> bytes | None:
    """A TIFF's texts and EXIF as the block that the other formats carry; libvips passes them over."""
    exif, kept = Image.Exif(), Image.Exif()
    try:
        with path.open("rb") as file:
            exif.load_from_fp(file)
            kept.update({tag: exif[tag] for tag in _TIFF_TEXTS if tag in exif})
            for directory in (_EXIF_IFD, _GPS_IFD):
                kept.get_ifd(directory).update(exif.get_ifd(directory))
            found = len(kept) or any(kept.get_ifd(directory) for directory in (_EXIF_IFD, _GPS_IFD))
            return kept.tobytes() if found else None
    except Exception:  # whatever is wrong in there, the picture is worth more than its notes
        return None


def _add_exif_to_tiff(path: Path, metadata: Mapping[str, Any]) -> None:
    """Texts, EXIF and IPTC into a TIFF that libvips has written without them: a second directory replaces its first."""
    exif, extra = Image.Exif(), TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    exif.load(metadata.get("exif-data", b""))
    for tag in _TIFF_TEXTS:
        if tag in exif:
            extra[tag] = exif[tag]
    for directory in (_EXIF_IFD, _GPS_IFD):
        if values := exif.get_ifd(directory):
            extra[directory] = values
    if "iptc-data" in metadata:
        extra.tagtype[_IPTC] = 7  # bytes; libvips calls them numbers, which other programs misread
        extra[_IPTC] = metadata["iptc-data"]
    with path.open("r+b") as file:
        if len(extra) and file.read(4) == b"II*\0":
            _merge_directory(file, extra)


def _merge_directory(file: BinaryIO, extra: TiffImagePlugin.ImageFileDirectory_v2) -> None:
    (old,) = struct.unpack("<I", file.read(4))
    file.seek(old)
    (count,) = struct.unpack("<H", file.read(2))
    entries = [file.read(12) for _ in range(count)]  # what they point at stays where it is
    start = file.seek(0, os.SEEK_END)
    file.write(bytes(start % 2))
    block = extra.tobytes(start + start % 2)  # its own entries, then what they point at
    added = [block[2 + 12 * i : 14 + 12 * i] for i in range(len(extra))]
    file.write(block + bytes(len(block) % 2))
    directory = file.tell()
    merged = {entry[:2]: entry for entry in entries + added}
    ordered = sorted(merged.values(), key=lambda entry: struct.unpack("<H", entry[:2]))
    file.write(struct.pack("<H", len(ordered)) + b"".join(ordered) + bytes(4))
    file.seek(4)
    file.write(struct.pack("<I", directory))
