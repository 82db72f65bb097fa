"""Files in and out, judged by other readers: Pillow and tifffile."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo

from gknet.cli.demo import ASTRONAUT_AT
from gknet.files import formats, picture
from tests.gknet.photographs import SUFFIXES, WIDE_GAMUT, exif, photograph

XMP = b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
IIM = b"\x1c\x02\x78\x00\x0aA cup here\x1c\x02\x50\x00\x04Anna"  # caption and author


APP13 = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(IIM)) + IIM + bytes(len(IIM) % 2)


def essence(path: Path) -> dict[str, object]:
    """What was put into `exif()`, as Pillow finds it in a file."""
    with Image.open(path) as opened:
        found = opened.getexif()
        details, place = found.get_ifd(0x8769), found.get_ifd(0x8825)
    wanted = {tag: found.get(tag) for tag in (0x010F, 0x0110, 0x8298)}
    wanted |= {tag: details.get(tag) for tag in (0x9003, 0x829A, 0x9204, 0x927C, 0xA434)}
    return {str(tag): value for tag, value in (wanted | {1: place.get(1), 2: place.get(2)}).items()}


def by_pillow(path: Path, mode: str | None = None) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert(mode))


def tags_of_tiff(path: Path) -> dict[str, object]:
    with tifffile.TiffFile(path) as opened:
        assert len(opened.pages) == 1
        return {tag.name: tag.value for tag in opened.pages[0].tags}


def resaved(path: Path, suffix: str | None = None) -> Path:
    """The file read and written again with nothing changed."""
    read = formats.read_picture(path)
    out = path.with_name("again" + (suffix or path.suffix))
    formats.write_picture(out, read.pixels, read)
    return out


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".tif", np.uint16), (".tif", np.float32)],
)
def test_every_depth_and_channel_count_comes_back_to_the_bit(tmp_path, channels, suffix, dtype):
    rgb = photograph()
    values = np.dstack([rgb, rgb[..., :1]])[..., [0, 3, 2, 1][:channels]].astype(dtype)
    values = values * (1.7 / 255) - 0.2 if dtype == np.float32 else values * (np.iinfo(dtype).max // 255)
    values = values.astype(dtype)
    formats.write_picture(tmp_path / f"a{suffix}", values, picture.Picture(pixels=values))
    read = formats.read_picture(tmp_path / f"a{suffix}")
    assert read.pixels.dtype == dtype
    np.testing.assert_array_equal(read.pixels, values)
    assert read.pixels.flags.c_contiguous
    assert read.pixels.flags.writeable
    if suffix == ".tif":  # an independent reader
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), values.squeeze())
        extra = tags_of_tiff(tmp_path / "a.tif").get("ExtraSamples", (None,))
        assert extra[0] == (2 if channels in (2, 4) else None), "alpha must be marked as straight"
    elif dtype == np.uint8:
        np.testing.assert_array_equal(by_pillow(tmp_path / "a.png"), values.squeeze())


def test_sixteen_bit_files_of_another_program_come_back_to_the_bit(tmp_path):
    values = (photograph().astype(np.uint16) * 257) ^ 0x0055
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", compression="zlib", byteorder=">")
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "a.tif").pixels, values)
    np.testing.assert_array_equal(tifffile.imread(resaved(tmp_path / "a.tif")), values)


def test_jpeg_and_webp_stay_close_and_keep_full_color_resolution(tmp_path):
    rgb = photograph()
    for suffix in (".jpg", ".webp"):
        formats.write_picture(tmp_path / f"a{suffix}", rgb, picture.Picture(pixels=rgb))
        error = by_pillow(tmp_path / f"a{suffix}", "RGB").astype(float) - rgb
        assert np.sqrt((error**2).mean()) < 3, suffix
    with Image.open(tmp_path / "a.jpg") as opened:
        assert {layer[1:3] for layer in opened.layer} == {(1, 1)}


@pytest.mark.parametrize(("saved", "expected"), [(60, 95), (95, 95), (98, 98), (100, 100)])
def test_jpeg_is_written_at_its_own_quality_but_no_less_than_95(tmp_path, saved, expected):
    Image.fromarray(photograph()).save(tmp_path / "a.jpg", quality=saved)
    assert formats.read_picture(tmp_path / "a.jpg").quality == pytest.approx(saved, abs=1)
    assert formats.read_picture(resaved(tmp_path / "a.jpg")).quality == expected


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_webp_is_written_without_loss(tmp_path, alpha, lossless):
    rgb = photograph()
    pixels = np.dstack([rgb, rgb[..., 0] // 200 * 255]) if alpha else rgb
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=lossless, exact=True, exif=exif())
    read = formats.read_picture(tmp_path / "a.webp")
    if lossless:
        np.testing.assert_array_equal(read.pixels, pixels)
    np.testing.assert_array_equal(by_pillow(resaved(tmp_path / "a.webp")), read.pixels)


def test_depth_is_rounded_to_the_nearest_where_the_format_has_less(tmp_path):
    ramp = np.repeat(np.arange(65536, dtype=np.uint16).reshape(256, 256, 1), 3, axis=2)
    like = picture.Picture(pixels=ramp)
    formats.write_picture(tmp_path / "a.webp", ramp, like)
    np.testing.assert_array_equal(by_pillow(tmp_path / "a.webp"), np.rint(ramp / 257).astype(np.uint8))
    floats = np.linspace(-0.5, 1.5, 65536, dtype=np.float32).reshape(256, 256, 1)
    formats.write_picture(tmp_path / "a.png", floats, like)
    expected = np.rint(floats.clip(0, 1)[..., 0] * 65535)
    np.testing.assert_allclose(formats.read_picture(tmp_path / "a.png").pixels[..., 0], expected, atol=1)


def test_palettes_are_read_as_colors_and_single_bits_as_gray(tmp_path):
    image = Image.fromarray(photograph())
    palette = image.quantize(50)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "p.png").pixels, np.asarray(palette.convert("RGB")))
    palette.save(tmp_path / "t.png", transparency=7)
    np.testing.assert_array_equal(
        formats.read_picture(tmp_path / "t.png").pixels, by_pillow(tmp_path / "t.png", "RGBA")
    )
    for suffix in (".png", ".tif"):
        image.convert("1").save(tmp_path / f"b{suffix}")
        bits = formats.read_picture(tmp_path / f"b{suffix}").pixels
        np.testing.assert_array_equal(bits[..., 0], np.asarray(image.convert("1").convert("L")))
        np.testing.assert_array_equal(formats.read_picture(resaved(tmp_path / f"b{suffix}")).pixels, bits)


def test_premultiplied_alpha_in_a_tiff_is_handed_out_straight(tmp_path):
    rgb = photograph()
    alpha = np.full(rgb.shape[:2], 128, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([rgb // 2, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    read = formats.read_picture(tmp_path / "a.tif").pixels
    np.testing.assert_allclose(read[..., :3].astype(int), rgb.astype(int), atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_orientation_is_undone_for_reading_and_restored_in_the_file(tmp_path, orientation, suffix):
    stored, tag = photograph(), exif()
    tag[0x0112] = orientation
    source = tmp_path / f"a{suffix}"
    Image.fromarray(stored).save(source, exif=tag, **({"lossless": True} if suffix == ".webp" else {}))
    with Image.open(source) as opened:
        turn = (
            None if suffix == ".tif" else {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
        )  # as Pillow's exif_transpose does
        upright = opened if turn is None else opened.transpose(Image.Transpose(turn))
        expected = np.asarray(upright.convert("RGB"))
    pixels = formats.read_picture(source).pixels
    np.testing.assert_allclose(pixels.astype(int), expected, atol=3 if suffix == ".jpg" else 0)
    again = resaved(source)
    with Image.open(again) as opened:
        assert opened.getexif().get(0x0112) == orientation
        if suffix == ".tif":  # Pillow turns TIFFs unasked
            np.testing.assert_array_equal(tifffile.imread(again), stored)
        elif suffix != ".jpg":
            np.testing.assert_array_equal(np.asarray(opened), stored)
        other = resaved(source, ".png" if suffix != ".png" else ".tif")
    with Image.open(other) as opened:  # a format whose viewers may not look at the tag
        assert opened.getexif().get(0x0112, 1) == 1
        assert opened.size == (pixels.shape[1], pixels.shape[0])
    np.testing.assert_array_equal(formats.read_picture(other).pixels, pixels)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("out", SUFFIXES)
def test_profile_and_exif_survive_within_and_between_all_formats(tmp_path, suffix, out):
    source = tmp_path / f"a{suffix}"
    Image.fromarray(photograph()).save(source, exif=exif(), icc_profile=WIDE_GAMUT, dpi=(300, 300))
    again = resaved(source, out)
    with Image.open(again) as opened:
        assert opened.info["icc_profile"] == WIDE_GAMUT
        if ".webp" not in (suffix, out):
            assert opened.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    expected = essence(source)
    assert expected["37500"] or suffix == ".tif"  # Pillow puts no maker note there
    assert essence(again) == expected
    if out == ".tif":
        np.testing.assert_array_equal(tifffile.imread(again), formats.read_picture(source).pixels)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_xmp_survives(tmp_path, suffix):
    source, rgb = tmp_path / f"a{suffix}", photograph()
    if suffix == ".tif":
        tifffile.imwrite(source, rgb, photometric="rgb", extratags=[(700, "B", len(XMP), XMP, True)])
        assert tags_of_tiff(resaved(source))["XMP"] == XMP
        return
    Image.fromarray(rgb).save(source, xmp=XMP)
    if suffix == ".png":
        source = resaved(tmp_path / "a.png")  # Pillow writes no XMP into PNG
        formats.write_picture(source, rgb, picture.Picture(pixels=rgb, metadata={"xmp-data": XMP}))
    with Image.open(resaved(source, suffix)) as opened:
        found = opened.info.get("xmp", opened.info.get("XML:com.adobe.xmp"))
    assert (found if isinstance(found, bytes) else found.encode()) == XMP


def test_iptc_survives_in_jpeg_and_tiff(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "plain.jpg")
    plain = (tmp_path / "plain.jpg").read_bytes()
    segment = b"\xff\xed" + struct.pack(">H", len(APP13) + 2) + APP13
    (tmp_path / "a.jpg").write_bytes(plain[:2] + segment + plain[2:])
    assert resaved(tmp_path / "a.jpg").read_bytes().count(APP13) == 1
    with Image.open(tmp_path / "again.jpg") as opened:
        assert opened.info["photoshop"][0x0404].startswith(IIM)
    tag = (33723, 7, len(IIM), IIM, True)
    tifffile.imwrite(tmp_path / "a.tif", photograph(), photometric="rgb", extratags=[tag])
    assert bytes(tags_of_tiff(resaved(tmp_path / "a.tif"))["IPTCNAA"]).startswith(IIM)


def test_texts_survive_in_png_and_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", photograph(), photometric="rgb", description="A cup", software="Made up 1.2")
    tags = tags_of_tiff(resaved(tmp_path / "a.tif"))
    assert (tags["ImageDescription"], tags["Software"]) == ("A cup", "Made up 1.2")
    texts = PngInfo()
    texts.add_text("Comment", "taken at noon")
    Image.fromarray(photograph()).save(tmp_path / "a.png", pnginfo=texts)
    with Image.open(resaved(tmp_path / "a.png")) as opened:
        assert opened.text == {"Comment": "taken at noon"}


def test_a_file_without_notes_gets_none(tmp_path):
    for suffix in SUFFIXES:
        Image.fromarray(photograph()).save(tmp_path / f"a{suffix}")
        with Image.open(resaved(tmp_path / f"a{suffix}")) as opened:
            assert not opened.info.get("exif")
            assert not opened.info.get("icc_profile")


def test_the_old_thumbnail_is_not_kept(tmp_path):
    Image.fromarray(photograph()).resize((32, 24)).save(tmp_path / "small.jpg")
    thumbnail, block = (tmp_path / "small.jpg").read_bytes(), bytearray(exif().tobytes()[6:])
    order = "<" if block.startswith(b"II") else ">"
    (first,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, first)
    struct.pack_into(order + "I", block, first + 2 + 12 * count, len(block))  # the second directory: at the end
    offset = len(block) + 2 + 3 * 12 + 4
    block += struct.pack(order + "HHHIHH", 3, 0x0103, 3, 1, 6, 0)  # JPEG
    block += struct.pack(order + "HHII", 0x0201, 4, 1, offset) + struct.pack(
        order + "HHII", 0x0202, 4, 1, len(thumbnail)
    )
    Image.fromarray(photograph()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(block) + bytes(4) + thumbnail)
    assert (tmp_path / "a.jpg").read_bytes().count(b"\xff\xd8\xff") == 2
    assert resaved(tmp_path / "a.jpg").read_bytes().count(b"\xff\xd8\xff") == 1
    assert essence(tmp_path / "again.jpg") == essence(tmp_path / "a.jpg")


def test_a_profile_of_the_wrong_kind_is_left_behind(tmp_path, gray_profile):
    gray, rgb = photograph()[..., :1], photograph()
    Image.fromarray(gray[..., 0]).save(tmp_path / "a.jpg", icc_profile=WIDE_GAMUT)
    assert formats.read_picture(tmp_path / "a.jpg").profile is None
    formats.write_picture(tmp_path / "b.png", gray, picture.Picture(pixels=rgb, profile=WIDE_GAMUT))
    assert formats.read_picture(tmp_path / "b.png").profile is None
    formats.write_picture(tmp_path / "c.png", gray, picture.Picture(pixels=gray, profile=gray_profile))
    with Image.open(tmp_path / "c.png") as opened:
        assert opened.info["icc_profile"] == gray_profile


def test_the_demo_pictures_are_what_they_should_be():
    demo = Path(picture.__file__).parents[1] / "demo"
    cutout, background = (
        formats.read_picture(demo / "cutout.png").pixels,
        formats.read_picture(demo / "background.jpg").pixels,
    )
    assert cutout.shape[2] == 4
    left, top = ASTRONAUT_AT
    assert left + cutout.shape[1] <= background.shape[1]
    assert top + cutout.shape[0] <= background.shape[0]
    real, composite = (formats.read_picture(demo / f"{name}.jpg").pixels.astype(int) for name in ("real", "composite"))
    mask = formats.read_mask(demo / "mask.png")
    assert mask.shape == real.shape[:2]
    far = ~np.asarray(Image.fromarray(mask).filter(ImageFilter.BoxBlur(14)), bool)
    assert np.array_equal(real[far], composite[far])
    assert np.abs(real - composite)[mask == 255].mean() > 10
    assert sum(file.stat().st_size for file in demo.iterdir()) < 3e6


def test_masks_follow_the_stated_rule(tmp_path):
    rgb = photograph()
    soft = np.tile(np.linspace(0, 255, rgb.shape[1]).astype(np.uint8), (rgb.shape[0], 1))
    for name, pixels, expected in (
        ("gray", soft, soft),
        ("cutout", np.dstack([rgb, soft]), soft),
        ("gray and alpha", np.dstack([rgb[..., 0], soft]), soft),
        ("opaque", np.dstack([soft, soft, soft, np.full_like(soft, 255)]), soft),
        ("color", rgb, np.rint(rgb @ np.array([0.299, 0.587, 0.114]))),
    ):
        Image.fromarray(pixels).save(tmp_path / "mask.png")
        found = formats.read_mask(tmp_path / "mask.png")
        assert found.dtype == np.uint8
        np.testing.assert_allclose(found, expected, atol=1 if name == "color" else 0, err_msg=name)
        assert found.flags.c_contiguous
    deep = soft.astype(np.uint16) * 257 + 1
    tifffile.imwrite(tmp_path / "deep.tif", np.dstack([deep] * 3), photometric="rgb")
    np.testing.assert_array_equal(formats.read_mask(tmp_path / "deep.tif"), deep)
    np.testing.assert_array_equal(formats.read_mask(tmp_path / "mask.png").shape, soft.shape)


def test_a_picture_is_known_by_its_content_not_its_name(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "a.png")
    for name in ("a.jpg", "a", "a[page=3].png", "ä ö.txt", os.fsdecode(b"caf\xe9.png")):
        (tmp_path / "a.png").rename(tmp_path / name)
        read = formats.read_picture(tmp_path / name)
        assert read.format == "png"
        (tmp_path / name).rename(tmp_path / "a.png")
    formats.write_picture(tmp_path / os.fsdecode(b"caf\xe9[Q=1].png"), read.pixels, read)
    np.testing.assert_array_equal(formats.read_picture(tmp_path / os.fsdecode(b"caf\xe9[Q=1].png")).pixels, read.pixels)


def test_avif_is_read_where_the_library_can(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "a.avif", quality=95)
    read = formats.read_picture(tmp_path / "a.avif")
    assert np.abs(read.pixels.astype(int) - photograph()).mean() < 4
    assert formats.read_picture(resaved(tmp_path / "a.avif", ".png")).pixels.shape == photograph().shape


def test_a_new_file_has_the_permissions_any_program_would_give_it(tmp_path):
    pixels = photograph()
    for mask in (0o022, 0o077):
        old = os.umask(mask)
        try:
            formats.write_picture(tmp_path / f"{mask}.png", pixels, picture.Picture(pixels=pixels))
        finally:
            os.umask(old)
        assert (tmp_path / f"{mask}.png").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_picture_can_replace_itself_and_is_read_anew(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to("a.png")
    read = formats.read_picture(tmp_path / "a.png")
    formats.write_picture(tmp_path / "link.png", 255 - read.pixels, read)
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "a.png").pixels, 255 - photograph())
    assert (tmp_path / "link.png").is_symlink()


MEASURE = """
import resource, sys
from pathlib import Path
from gknet.files import formats
assert "torch" not in sys.modules
formats.read_picture(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read = formats.read_picture(Path(sys.argv[2]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024 / read.pixels.nbytes)
"""


@pytest.mark.integration
def test_reading_costs_little_more_than_the_array(tmp_path):
    big = np.tile(photograph("coffee", 400, 600), (9, 9, 1))  # 19 megapixels
    Image.fromarray(big[:50, :50]).save(tmp_path / "small.jpg")
    Image.fromarray(big).save(tmp_path / "big.jpg")
    command = [sys.executable, "-c", MEASURE, tmp_path / "small.jpg", tmp_path / "big.jpg"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(picture.__file__).parents[2])
    assert float(ran.stdout) < 1.5
    assert ran.stderr == ""
