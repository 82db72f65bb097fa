"""Color statements other than ICC: converted to a profile, or refused, never dropped."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import psd_tools
import pytest
import tifffile
from PIL import Image, ImageCms
from psd_tools.constants import Resource
from psd_tools.psd.image_resources import ImageResource

from gknet import Encoding, Harmonizer, UnsupportedError
from gknet.color.profile import is_srgb, to_srgb
from gknet.files import formats, pillow
from gknet.files.layered.layers import open_layers
from gknet.files.picture import Picture
from gknet.files.statements import heif
from tests.gknet import icc, statements
from tests.gknet.files.test_picture import by_pillow, resaved
from tests.gknet.photographs import SUFFIXES, WIDE_GAMUT, photograph
from tests.gknet.statements import ADOBE, ADOBE_CHRM, SRGB_CHRM, chrm, cicp, gama

Run = Callable[..., tuple[int, str, str]]
P3 = icc.rgb(icc.DISPLAY_P3, icc.srgb_curve())
ADOBE_RGB = icc.rgb(icc.ADOBE_RGB, icc.gamma(563 / 256))
LINEAR = icc.rgb(icc.SRGB, icc.gamma(1))
SRGB = icc.rgb(icc.SRGB, icc.srgb_curve())
ADOBE_EXIF = statements.exif(ADOBE)


@pytest.fixture
def rgb() -> np.ndarray:
    """(60, 80, 3) uint8."""
    return photograph(height=60, width=80)


def assert_means(path: Path, expected: bytes) -> None:
    """Check what a file's numbers mean, and that this is still so, for other programs too, when it is saved again."""
    read = formats.read_picture(path)
    assert read.profile is not None
    values = np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(8, 8, 3)[..., [2, 0, 1]] ** np.float32([1, 0.7, 1.4])
    np.testing.assert_allclose(to_srgb(values, read.profile), to_srgb(values, expected), atol=5e-3)
    again = resaved(path, ".png")
    np.testing.assert_array_equal(formats.read_picture(again).pixels, read.pixels)
    with Image.open(again) as opened:
        assert opened.info["icc_profile"] == read.profile
        assert ImageCms.ImageCmsProfile(io.BytesIO(read.profile)).profile.profile_description


def assert_refused(path: Path, word: str) -> None:
    with pytest.raises(UnsupportedError, match=word) as caught:
        formats.read_picture(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)


# ---- PNG


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([gama(100_000)], LINEAR),
        ([gama(45_455)], SRGB),
        ([gama(45_455), chrm(*SRGB_CHRM)], SRGB),
        ([chrm(*SRGB_CHRM)], SRGB),
        ([gama(55_556)], icc.rgb(icc.SRGB, icc.gamma(1.8))),
        ([gama(45_470), chrm(*ADOBE_CHRM)], ADOBE_RGB),
        ([chrm(*ADOBE_CHRM)], icc.rgb(icc.ADOBE_RGB, icc.srgb_curve())),
        ([(b"sRGB", b"\0")], SRGB),
        ([cicp(12, 13, 0, 1)], P3),
        ([cicp(1, 13, 0, 1)], SRGB),
        ([cicp(1, 8, 0, 1)], LINEAR),
        ([gama(0), chrm(*ADOBE_CHRM)], icc.rgb(icc.ADOBE_RGB, icc.srgb_curve())),
    ],
)
def test_pngs_chunks_are_understood(tmp_path, rgb, chunks, expected):
    assert_means(statements.png(tmp_path / "a.png", rgb, *chunks), expected)
    assert_means(statements.png(tmp_path / "b.png", np.dstack([rgb, rgb[..., 0]]), *chunks), expected)


@pytest.mark.parametrize("chunk", [gama(55_556), cicp(1, 4, 0, 1)])
def test_gray_pngs_get_a_profile_of_gray(tmp_path, rgb, chunk):
    read = formats.read_picture(statements.png(tmp_path / "a.png", rgb[..., 0], chunk))
    assert read.profile is not None
    assert read.profile[16:20] == b"GRAY"
    values = np.full((1, 1, 3), 0.5, np.float32)
    expected = icc.rgb(icc.SRGB, icc.gamma(1.8 if chunk[0] == b"gAMA" else 2.2))
    np.testing.assert_allclose(to_srgb(values, read.profile), to_srgb(values, expected), atol=2e-3)
    with Image.open(resaved(tmp_path / "a.png")) as opened:
        assert opened.info["icc_profile"] == read.profile


@pytest.mark.parametrize(
    ("chunks", "profile", "expected"),
    [
        ([cicp(12, 13, 0, 1), gama(100_000), (b"sRGB", b"\0")], ADOBE_RGB, P3),
        ([cicp(2, 2, 0, 1), gama(100_000), (b"sRGB", b"\0")], ADOBE_RGB, ADOBE_RGB),
        ([gama(100_000), (b"sRGB", b"\0")], ADOBE_RGB, ADOBE_RGB),
        ([gama(100_000), chrm(*ADOBE_CHRM), (b"sRGB", b"\0")], None, SRGB),
    ],
)
def test_pngs_chunks_have_the_standards_order_of_precedence(tmp_path, rgb, chunks, profile, expected):
    assert_means(statements.png(tmp_path / "a.png", rgb, *chunks, profile=profile), expected)


@pytest.mark.parametrize(
    ("chunks", "word"),
    [
        ([cicp(9, 16, 0, 1)], "HDR"),
        ([cicp(9, 18, 0, 1)], "HDR"),
        ([cicp(1, 13, 0, 0)], "full-range"),
        ([cicp(9, 13, 9, 1)], "full-range"),
        ([(b"cICP", b"\1")], "full-range"),
        ([cicp(77, 13, 0, 1)], "77"),
        ([gama(1)], "gAMA"),
        ([(b"gAMA", b"\0")], "gAMA"),
        ([chrm(*[0] * 8)], "cHRM"),
        ([chrm(*[31270, 32900] * 4)], "cHRM"),
    ],
)
def test_pngs_chunks_that_cannot_be_understood_are_refused(tmp_path, rgb, chunks, word):
    assert_refused(statements.png(tmp_path / "a.png", rgb, *chunks), word)


def test_pq_by_the_name_of_a_pngs_profile_is_refused(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.png", icc_profile=SRGB)
    name = b"ICC Profile"  # what Pillow calls every profile
    content = (tmp_path / "a.png").read_bytes()
    place = content.index(b"iCCP")
    length = int.from_bytes(content[place - 4 : place], "big")
    data = b"ITUR_2100_PQ_FULL" + content[place + 4 + len(name) : place + 4 + length]
    assert_refused(statements.png(tmp_path / "a.png", rgb, (b"iCCP", data)), "HDR")


def test_pngs_without_chunks_and_with_a_gamma_of_0_say_nothing(tmp_path, rgb):
    for chunks in ([], [gama(0)], [cicp(2, 2, 0, 1)]):
        path = statements.png(tmp_path / "a.png", rgb, *chunks)
        assert formats.read_picture(path).profile is None
        with Image.open(resaved(path)) as opened:
            assert "icc_profile" not in opened.info


def test_chunks_behind_long_texts_are_found(tmp_path, rgb):
    path = statements.png(tmp_path / "a.png", rgb, (b"tEXt", b"Comment\0" + b"a" * 100_000), cicp(12, 13, 0, 1))
    assert_means(path, P3)


# ---- AVIF and HEIC


def heic(path: Path, pixels: np.ndarray, primaries: int, transfer: int, **options: object) -> Path:
    points = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 6}
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(path, quality=95, **points, **options)
    return path


@pytest.mark.parametrize("write", [statements.avif, heic])
@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ((12, 13), P3),
        ((12, 2), P3),
        ((1, 13), SRGB),
        ((1, 8), LINEAR),
        ((2, 4), icc.rgb(icc.SRGB, icc.gamma(2.2))),
    ],
)
def test_code_points_of_avif_and_heic_are_understood(tmp_path, rgb, write, points, expected):
    suffix = "avif" if write is statements.avif else "heic"
    assert_means(write(tmp_path / f"a.{suffix}", rgb, *points), expected)
    assert_means(write(tmp_path / f"b.{suffix}", np.dstack([rgb, rgb[..., 0]]), *points), expected)


@pytest.mark.parametrize("write", [statements.avif, heic])
@pytest.mark.parametrize(("points", "word"), [((9, 16), "HDR"), ((9, 18), "HDR"), ((1, 9), "transfer function 9")])
def test_code_points_that_cannot_be_understood_are_refused(tmp_path, rgb, write, points, word):
    assert_refused(write(tmp_path / "a.heic", rgb, *points), word)


def test_an_icc_profile_comes_before_code_points(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.avif", icc_profile=WIDE_GAMUT)
    assert_means(statements.set_code_points(tmp_path / "a.avif", 9, 13, 6), P3)


def test_unspecified_code_points_say_nothing(tmp_path, rgb):
    assert formats.read_picture(statements.avif(tmp_path / "a.avif", rgb, 2, 2)).profile is None


def test_matrices_are_decoded_or_refused(tmp_path, rgb):
    plain = formats.read_picture(statements.avif(tmp_path / "a.avif", rgb, 1, 13)).pixels.astype(int)
    luma = plain @ [0.299, 0.587, 0.114]
    blue, red = (plain[..., 2] - luma) / 1.772, (plain[..., 0] - luma) / 1.402
    other = formats.read_picture(statements.avif(tmp_path / "b.avif", rgb, 1, 13, 1)).pixels  # BT.709
    np.testing.assert_allclose(other[..., 0], (luma + 1.5748 * red).clip(0, 255), atol=4)
    np.testing.assert_allclose(other[..., 2], (luma + 1.8556 * blue).clip(0, 255), atol=4)
    for matrix in (10, 11, 14, 15):
        assert_refused(statements.avif(tmp_path / "c.avif", rgb, 1, 13, matrix), f"matrix coefficients {matrix}")


def test_premultiplied_alpha_in_an_avif_is_refused(tmp_path, rgb):
    pixels = np.dstack([rgb, rgb[..., 0]])
    assert_refused(statements.avif(tmp_path / "a.avif", pixels, 1, 13, alpha_premultiplied=True), "premultiplied")
    assert formats.read_picture(statements.avif(tmp_path / "b.avif", pixels, 1, 13)).pixels.shape[2] == 4


def test_a_grid_without_a_statement_has_its_tiles():
    def box(kind: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    colors = box(b"colr", b"nclx\0\x0c\0\x0d\0\x06\x80")
    owners = box(b"ipma", bytes(4), b"\0\0\0\1", b"\0\2\1\x81")
    properties = box(b"iprp", box(b"ipco", colors), owners)
    grid = box(b"iref", bytes(4), box(b"dimg", b"\0\1\0\2\0\2\0\3"))
    file = io.BytesIO(box(b"ftyp", b"heic") + box(b"meta", bytes(4), box(b"pitm", b"\0\0\0\0\0\1"), grid, properties))
    assert heif.read_colors(file) == heif.Colors(12, 13, 6)
    for end in range(len(file.getvalue())):
        assert heif.read_colors(io.BytesIO(file.getvalue()[:end])) in (heif.Colors(), heif.Colors(12, 13, 6))


def without_box(path: Path) -> Path:
    """The file with its statement in a box of a type that says nothing."""
    content = path.read_bytes()
    assert b"colrnclx" in content
    path.write_bytes(content.replace(b"colrnclx", b"skipnclx"))
    return path


def with_stream_points(path: Path, primaries: int, transfer: int) -> Path:
    """An AVIF of libavif's, whose stream says primaries 1, transfer function 13 and matrix 6, with others there."""
    content = path.read_bytes()
    bits, old = f"{int.from_bytes(content, 'big'):0{8 * len(content)}b}", f"{1:08b}{13:08b}{6:08b}"
    place = bits.index(old, 8 * content.index(b"mdat"))
    changed = bits[:place] + f"{primaries:08b}{transfer:08b}{6:08b}" + bits[place + len(old) :]
    path.write_bytes(int(changed, 2).to_bytes(len(content), "big"))
    return path


@pytest.mark.parametrize("frames", [1, 2])  # a picture and a film have headers of different forms
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_without_a_box_the_av1_stream_counts(tmp_path, rgb, frames, subsampling):
    path = tmp_path / "a.avif"

    def write() -> Path:
        more = [Image.fromarray(rgb)] * (frames - 1)
        Image.fromarray(rgb).save(path, subsampling=subsampling, save_all=frames > 1, append_images=more)
        return path

    with_stream_points(write(), 12, 13)
    assert heif.read_colors(io.BytesIO(path.read_bytes())) == heif.Colors(1, 13, 6)  # by the box
    assert_means(without_box(path), P3)
    with_stream_points(without_box(write()), 9, 16)
    assert_refused(path, "HDR")
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        assert heif.read_colors(io.BytesIO(content[:end])) in (heif.Colors(), heif.Colors(9, 16, 6))


@pytest.mark.parametrize("size", [(60, 80), (64, 64), (300, 420)])
def test_without_a_box_the_hevc_stream_counts(tmp_path, size):
    pixels = photograph(height=size[0], width=size[1])
    assert_means(without_box(heic(tmp_path / "a.heic", pixels, 12, 13)), P3)
    assert_refused(without_box(heic(tmp_path / "b.heic", pixels, 9, 16)), "HDR")
    file = io.BytesIO((tmp_path / "a.heic").read_bytes())
    assert heif.read_colors(file) == heif.Colors(12, 13, 6)
    content = file.getvalue()
    for end in range(0, len(content), 7):
        assert heif.read_colors(io.BytesIO(content[:end])) in (heif.Colors(), heif.Colors(12, 13, 6))


# ---- EXIF and TIFF


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png", ".heic"])
@pytest.mark.parametrize("details", [ADOBE, {0xA001: 2}])
def test_exif_that_says_adobe_rgb_is_understood(tmp_path, rgb, suffix, details):
    path, block = tmp_path / f"a{suffix}", statements.exif(details)
    if suffix == ".heic":
        heic(path, rgb, 2, 2, exif=block.tobytes())
    else:
        Image.fromarray(rgb).save(path, exif=block, **({"lossless": True} if suffix == ".webp" else {}))
    assert_means(path, ADOBE_RGB)


def test_exif_in_a_tiff_is_understood(tmp_path, rgb):
    path = statements.tiff_with_exif(tmp_path / "a.tif", rgb)
    assert_means(path, ADOBE_RGB)


def test_exif_comes_after_everything_else(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.jpg", exif=ADOBE_EXIF, icc_profile=WIDE_GAMUT)
    assert_means(tmp_path / "a.jpg", P3)
    Image.fromarray(rgb).save(tmp_path / "b.png", exif=ADOBE_EXIF)
    content = (tmp_path / "b.png").read_bytes()
    chunk = statements.png(tmp_path / "c.png", rgb, gama(100_000)).read_bytes()[33:49]
    (tmp_path / "b.png").write_bytes(content[:33] + chunk + content[33:])
    assert_means(tmp_path / "b.png", LINEAR)
    assert_means(heic(tmp_path / "c.heic", rgb, 1, 8, exif=ADOBE_EXIF.tobytes()), LINEAR)


@pytest.mark.parametrize("details", [{0xA001: 1}, {0xA001: 1, 0xA005: "R98"}, {0xA001: 0xFFFF}, {}])
def test_exif_that_says_srgb_or_uncalibrated_adds_no_profile_and_is_kept(tmp_path, rgb, details):
    Image.fromarray(rgb).save(tmp_path / "a.jpg", exif=statements.exif({**details, 0x9003: "2020:02:03 04:05:06"}))
    assert formats.read_picture(tmp_path / "a.jpg").profile is None
    with Image.open(resaved(tmp_path / "a.jpg")) as opened:
        assert opened.getexif().get_ifd(0x8769).get(0xA001, 0xFFFF) == details.get(0xA001, 0xFFFF)


@pytest.mark.parametrize("space", [3, 0xFFFD, 0xFFFE])
def test_an_unknown_color_space_in_exif_is_refused(tmp_path, rgb, space):
    Image.fromarray(rgb).save(tmp_path / "a.jpg", exif=statements.exif({0xA001: space}))
    assert_refused(tmp_path / "a.jpg", f"color space {space}")


WHITE = (318, 5, 2, (3127, 10_000, 3290, 10_000), True)
PRIMARIES = (319, 5, 6, (64, 100, 33, 100, 21, 100, 71, 100, 15, 100, 6, 100), True)
LINEAR_TABLE = tuple(257 * i for i in range(256))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([WHITE, PRIMARIES], icc.rgb(icc.ADOBE_RGB, icc.srgb_curve())),
        ([PRIMARIES], icc.rgb(icc.ADOBE_RGB, icc.srgb_curve())),
        ([(301, "H", 256, LINEAR_TABLE, True)], LINEAR),
        ([(301, "H", 768, LINEAR_TABLE * 3, True)], LINEAR),
        ([WHITE, PRIMARIES, (301, "H", 256, LINEAR_TABLE, True)], icc.rgb(icc.ADOBE_RGB, icc.gamma(1))),
    ],
)
@pytest.mark.parametrize("big", [False, True])
def test_the_colorimetry_tags_of_a_tiff_are_understood(tmp_path, rgb, tags, expected, big):
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", extratags=tags, bigtiff=big)
    assert_means(tmp_path / "a.tif", expected)


@pytest.mark.parametrize(
    "tag",
    [
        (319, 5, 6, (0, 1) * 6, True),
        (319, 5, 6, (0, 0) * 6, True),
        (319, 5, 3, (1, 3) * 3, True),
        (301, "H", 256, (9,) * 256, True),
        (301, "H", 2, (5, 1), True),
    ],
)
def test_colorimetry_tags_that_make_no_sense_are_refused(tmp_path, rgb, tag):
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", extratags=[tag])
    assert_refused(tmp_path / "a.tif", "tags")


def test_damaged_exif_costs_nothing(tmp_path, rgb):
    block = ADOBE_EXIF.tobytes()
    for end in range(6, len(block), 7):
        Image.fromarray(rgb).save(tmp_path / "a.jpg", exif=block[:end])
        assert formats.read_picture(tmp_path / "a.jpg").pixels.shape == rgb.shape


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])  # libpng drops such a profile, which PNG forbids
def test_the_curve_of_an_rgb_profile_counts_for_gray(tmp_path, rgb, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(rgb[..., 0]).save(path, icc_profile=icc.rgb(icc.PROPHOTO, icc.gamma(1.8)))
    read = formats.read_picture(path)
    assert read.profile is not None
    assert read.profile[16:20] == b"GRAY"
    values = np.repeat(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1), 3, axis=2)
    expected = to_srgb(values, icc.rgb(icc.SRGB, icc.gamma(1.8)))
    np.testing.assert_allclose(to_srgb(values, read.profile), expected, atol=3e-3)
    with Image.open(resaved(path)) as opened:
        assert opened.info["icc_profile"] == read.profile
    Image.fromarray(rgb[..., 0]).save(path, icc_profile=P3)  # whose curve is sRGB's
    assert formats.read_picture(path).profile is None


@pytest.mark.parametrize("channels", [1, 2])
def test_the_curve_of_a_gray_profile_counts_in_webp_which_has_no_gray(tmp_path, rgb, channels):
    gray, profile = rgb[..., :channels], icc.gray(icc.gamma(1.8))
    formats.write_picture(tmp_path / "a.webp", gray, Picture(pixels=gray, profile=profile))
    read = formats.read_picture(tmp_path / "a.webp")
    np.testing.assert_array_equal(read.pixels, gray[..., [0, 0, 0, 1][: channels + 2]])
    values = np.repeat(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1), 3, axis=2)
    np.testing.assert_allclose(to_srgb(values, read.profile), to_srgb(values, profile), atol=2e-3)
    with Image.open(tmp_path / "a.webp") as opened:
        assert opened.info["icc_profile"] == read.profile


# ---- profiles that do not fit


def of_kind(space: bytes, kind: bytes = b"mntr") -> bytes:
    """A profile whose header says that it is for other values."""
    return P3[:12] + kind + space + P3[20:]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".heic"])
@pytest.mark.parametrize(
    ("profile", "word"),
    [
        (of_kind(b"CMYK"), "profile for CMYK"),
        (of_kind(b"Lab "), "profile for Lab,"),
        (of_kind(b"6CLR"), "profile for 6CLR"),
        (icc.gray(icc.gamma(2.2)), "profile for gray"),
        (of_kind(b"RGB ", b"link"), "not for pictures"),
        (P3[:60].replace(b"RGB ", b"\0\0\0\0"), "damaged"),
    ],
)
def test_a_profile_of_other_pixels_is_refused(tmp_path, rgb, suffix, profile, word):
    path = tmp_path / f"a{suffix}"
    if suffix == ".heic":
        pillow_heif.from_pillow(Image.fromarray(rgb)).save(path, icc_profile=profile)
    else:
        Image.fromarray(rgb).save(path, icc_profile=profile)
    assert_refused(path, word)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_profile_of_rgb_that_has_no_curve_for_gray_is_refused(tmp_path, rgb, suffix):
    Image.fromarray(rgb[..., 0]).save(tmp_path / f"a{suffix}", icc_profile=icc.of_tables(2))
    assert_refused(tmp_path / f"a{suffix}", "profile for RGB")


def profile_parts(*numbers: tuple[int, int]) -> bytes:
    """APP2 segments of a profile's thirds, with these numbers, each of how many."""
    step = len(WIDE_GAMUT) // 3 + 1
    found = b""
    for i, (number, count) in enumerate(numbers):
        body = b"ICC_PROFILE\0" + bytes([number, count]) + WIDE_GAMUT[i * step : (i + 1) * step]
        found += b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body
    return found


@pytest.mark.parametrize("numbers", [((1, 3), (3, 3)), ((1, 3), (2, 3), (2, 3)), ((0, 3), (1, 3), (2, 3)), ((2, 2),)])
def test_a_profile_in_a_jpeg_without_one_of_its_parts_is_refused(tmp_path, rgb, numbers):
    path = tmp_path / "a.jpg"
    Image.fromarray(rgb).save(path)
    plain = path.read_bytes()
    path.write_bytes(plain[:20] + profile_parts((1, 3), (2, 3), (3, 3)) + plain[20:])
    assert formats.read_picture(path).profile == WIDE_GAMUT
    path.write_bytes(plain[:20] + profile_parts(*numbers) + plain[20:])
    assert_refused(path, "a damaged color profile")
    with Image.open(path) as opened, pytest.raises(UnsupportedError, match="a damaged color profile"):
        pillow.find_profile(opened)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_profile_that_the_user_removes_from_an_image_or_replaces_does_not_count(tmp_path, rgb, suffix):
    Image.fromarray(rgb).save(tmp_path / f"a{suffix}", icc_profile=WIDE_GAMUT)
    with Image.open(tmp_path / f"a{suffix}") as opened:
        assert pillow.find_profile(opened) == WIDE_GAMUT
        opened.info["icc_profile"] = P3
        assert pillow.find_profile(opened) == P3
        opened.info["icc_profile"] = None
        assert pillow.find_profile(opened) is None
        del opened.info["icc_profile"]
        assert pillow.find_profile(opened) is None


@pytest.mark.parametrize("tag", [b"A2B0", b"B2A0"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_profile_that_converts_in_one_direction_only_is_refused_with_the_file(tmp_path, rgb, suffix, tag):
    path, profile = tmp_path / f"a{suffix}", icc.of_tables(2)
    Image.fromarray(rgb).save(path, icc_profile=profile)
    assert formats.read_picture(path).profile == profile
    Image.fromarray(rgb).save(path, icc_profile=profile.replace(tag, b"none", 1))
    assert_refused(path, "a color profile that cannot be used")


def test_a_profile_in_a_png_that_cannot_be_unpacked_is_refused(tmp_path, rgb):
    path = statements.png(tmp_path / "a.png", rgb, (b"iCCP", b"a\0\0" + b"no zlib"))
    assert_refused(path, "damaged")
    path = statements.png(tmp_path / "b.png", rgb, cicp(12, 13, 0, 1), profile=of_kind(b"CMYK"))
    assert_means(path, P3)  # which comes first


def test_the_profile_of_a_mask_does_not_matter(tmp_path, rgb):
    mask = np.where(rgb[..., 0] > 128, np.uint8(255), np.uint8(0))
    Image.fromarray(mask).convert("RGB").save(tmp_path / "a.png", icc_profile=of_kind(b"CMYK"))
    statements.png(tmp_path / "b.png", mask, cicp(9, 16, 0, 1))
    heic(tmp_path / "c.heic", np.dstack([mask] * 3), 9, 16)
    for name in ("a.png", "b.png"):
        np.testing.assert_array_equal(formats.read_mask(tmp_path / name), mask)
    assert formats.read_mask(tmp_path / "c.heic").shape == mask.shape


# ---- every way in


def test_photoshop_files_with_exif_are_understood(tmp_path, rgb):
    document = psd_tools.PSDImage.new("RGB", (80, 60))
    document.create_pixel_layer(Image.fromarray(rgb), name="a")
    key = Resource.EXIF_DATA_1
    document.image_resources[key] = ImageResource(key=key, name="", data=ADOBE_EXIF.tobytes())
    document.save(tmp_path / "a.psd")
    layers = open_layers(tmp_path / "a.psd")
    assert layers is not None
    profile = layers.read_layer(layers.nodes[0]).profile
    values = np.full((1, 1, 3), (0.1, 0.7, 0.3), np.float32)
    np.testing.assert_allclose(to_srgb(values, profile), to_srgb(values, ADOBE_RGB), atol=2e-3)


@pytest.mark.integration
def test_the_command_and_a_batch_refuse_in_one_line(run: Run, tmp_path: Path, rgb: np.ndarray) -> None:
    mask = np.zeros(rgb.shape[:2], np.uint8)
    mask[20:40, 20:50] = 255
    for folder in ("in", "masks"):
        (tmp_path / folder).mkdir()
    statements.png(tmp_path / "in/a.png", rgb, cicp(9, 16, 0, 1))
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    code, out, err = run("harmonize", "in/a.png", "masks/a.png", "-o", "out.png")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "in/a.png is HDR (PQ or HLG)" in err
    Image.fromarray(np.dstack([rgb, mask])).save("cutout.png")
    code, _, err = run("harmonize", "--foreground", "cutout.png", "--background", "in/a.png", "-o", "out.png")
    assert (code, err.count("\n"), "HDR" in err) == (2, 1, True)
    Path("jobs.csv").write_text("composite,mask,output\nin/a.png,masks/a.png,a.png\n")
    code, out, err = run("batch", "jobs.csv", "out")
    assert code != 0
    assert "HDR (PQ or HLG)" in out + err
    assert not list(tmp_path.glob("out*/*.png"))


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_images_of_pillow_are_understood_as_their_files_are(
    tmp_path: Path, untrained: Harmonizer, rgb: np.ndarray, loaded: bool, named: bool
) -> None:
    mask = np.zeros(rgb.shape[:2], np.uint8)
    mask[20:40, 20:50] = 255

    def harmonize(path: Path) -> Image.Image:
        with Image.open(path if named else io.BytesIO(path.read_bytes())) as image:
            if loaded:
                image.load()
            return untrained(image, mask)

    for name, write, expected in (
        ("a.png", lambda path: statements.png(path, rgb, gama(45_470), chrm(*ADOBE_CHRM)), ADOBE_RGB),
        ("b.png", lambda path: statements.png(path, rgb, (b"sRGB", b"\0")), SRGB),
        ("c.jpg", lambda path: Image.fromarray(rgb).save(path, exif=ADOBE_EXIF), ADOBE_RGB),
        ("d.png", lambda path: statements.png(path, rgb, cicp(12, 13, 0, 1)), P3),
        ("e.avif", lambda path: statements.avif(path, rgb, 12, 13), P3),
    ):
        write(tmp_path / name)
        result = harmonize(tmp_path / name)
        if loaded and not named and name in ("d.png", "e.avif"):
            continue  # Pillow has dropped both the statement and the file
        values = np.full((1, 1, 3), (0.1, 0.7, 0.3), np.float32)
        found = to_srgb(values, result.info["icc_profile"])
        np.testing.assert_allclose(found, to_srgb(values, expected), atol=2e-3, err_msg=name)
        result.save(tmp_path / "again.png")
        with Image.open(tmp_path / "again.png") as again:
            assert again.info["icc_profile"] == result.info["icc_profile"]
            np.testing.assert_array_equal(np.asarray(again), by_pillow(tmp_path / name))
    if named or not loaded:
        for path in (
            statements.png(tmp_path / "f.png", rgb, cicp(9, 16, 0, 1)),
            statements.avif(tmp_path / "f.avif", rgb, 9, 18),
        ):
            with pytest.raises(UnsupportedError, match="HDR"):
                harmonize(path)


def test_srgb_by_any_name_leaves_pixels_alone(rgb: np.ndarray) -> None:
    assert is_srgb(SRGB)
    values = (rgb / 255).astype(np.float32)
    assert Encoding(profile=SRGB).to_srgb(values) is values
    assert Encoding(profile=SRGB).from_srgb(values) is values


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_profiles_without_their_signature_or_class_are_refused(tmp_path: Path, suffix: str) -> None:
    for start, end in ((36, 40), (12, 16)):
        profile = bytearray(ADOBE_RGB)
        profile[start:end] = b"abcd"
        Image.fromarray(photograph(height=16, width=16)).save(tmp_path / f"a{suffix}", icc_profile=bytes(profile))
        assert_refused(tmp_path / f"a{suffix}", "a damaged color profile")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_size_that_a_profile_states_is_corrected(tmp_path: Path, suffix: str) -> None:
    for odd in (
        ADOBE_RGB + bytes(3),
        bytes(4) + ADOBE_RGB[4:],
        (len(ADOBE_RGB) + 4).to_bytes(4, "big") + ADOBE_RGB[4:],
    ):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(photograph(height=16, width=16)).save(path, icc_profile=odd)
        read = formats.read_picture(path)
        assert read.profile == ADOBE_RGB
        for out in SUFFIXES:
            formats.write_picture(tmp_path / f"b{out}", read.pixels, read)
            assert formats.read_picture(tmp_path / f"b{out}").profile == ADOBE_RGB
