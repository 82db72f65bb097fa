"""Metadata that is read and written: made and checked by other libraries, or byte by byte."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import psd_tools
import pytest
import pyvips
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from psd_tools.constants import Resource
from psd_tools.psd.image_resources import ImageResource, ResoulutionInfo

from gknet import Harmonizer
from gknet.files import formats, picture
from gknet.files.layered.layers import Layers, open_layers
from tests.gknet import ora
from tests.gknet.photographs import SUFFIXES, photograph

THUMBNAIL = b"\xff\xd8\xff\xe0" + b"the old picture" * 40 + b"\xff\xd9"
TEXT = "テスト Grüße"
HDRGM, CONTAINER = "http://ns.adobe.com/hdr-gain-map/1.0/", "http://ns.google.com/photos/1.0/container/"


def exif_block(order: str = "<", *, texts: bytes = TEXT.encode(), thumbnail: bytes = THUMBNAIL) -> bytes:
    """A description, a user comment, an orientation of 1, a maker's note and a thumbnail, written by hand."""
    comment = b"UNICODE\0" + TEXT.encode("utf-16-le" if order == "<" else "utf-16-be")
    details = [(0x9286, 7, comment), (0x927C, 7, b"NOTES\0\1\2" * 5)]
    first = [(0x010E, 2, texts + b"\0"), (0x0112, 3, struct.pack(order + "H", 1)), (0x8769, 4, b"")]
    place, second = 8 + 2 + 12 * 3 + 4, b""
    pool = b""

    def directory(entries: list[tuple[int, int, bytes]], start: int, link: int) -> bytes:
        nonlocal pool
        out = struct.pack(order + "H", len(entries))
        for tag, kind, content in entries:
            count = len(content) // {2: 1, 3: 2, 4: 4, 7: 1}[kind] if content else 1
            if tag == 0x8769:
                content = struct.pack(order + "I", details_place)
            elif len(content) > 4:
                pool += bytes(len(pool) % 2)
                content, pool = struct.pack(order + "I", start + len(pool)), pool + content
            out += struct.pack(order + "HHI", tag, kind, count) + content.ljust(4, b"\0")
        return out + struct.pack(order + "I", link)

    details_place = place
    pool_place = details_place + 2 + 12 * 2 + 4
    body = directory(first, pool_place, 0xFFFFFFFF) + directory(sorted(details), pool_place, 0)
    second_place = pool_place + len(pool) + len(pool) % 2
    thumbnail_place = second_place + 2 + 12 * 2 + 4
    for tag, value in ((0x0201, thumbnail_place), (0x0202, len(thumbnail))):
        second += struct.pack(order + "HHII", tag, 4, 1, value)
    second = struct.pack(order + "H", 2) + second + bytes(4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    body = body.replace(b"\xff\xff\xff\xff", struct.pack(order + "I", second_place))
    return head + body + pool + bytes(len(pool) % 2) + second + thumbnail


def xmp_packet(*, orientation: int = 1) -> bytes:
    """A title, beside a gain map, a motion photo, a depth map and a thumbnail."""
    return f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:hdrgm="{HDRGM}" xmlns:Container="{CONTAINER}" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/"
 xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/"
 dc:format="image/{TEXT}" tiff:Orientation="{orientation}" hdrgm:Version="1.0" GCamera:MotionPhoto="1"
 GDepth:Format="RangeInverse" HDRGainMap:HDRGainMapVersion="65536">
<xmp:Thumbnails><rdf:Alt><rdf:li>b2xk</rdf:li></rdf:Alt></xmp:Thumbnails>
<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"/></rdf:Seq></Container:Directory>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


PLAIN_XMP = re.sub(
    rb"<xmp:Thumb.*Directory>\n|(hdrgm|G\w+|HDRG\w+):\w+=\"[^\"]*\"", b"", xmp_packet(), flags=re.DOTALL
)  # the namespaces are still declared


MULTI_PICTURE = struct.pack("<4sIH HHI4s", b"II*\0", 8, 3, 0xB000, 7, 4, b"0100")
MULTI_PICTURE += struct.pack("<HHII HHII I", 0xB001, 4, 1, 1, 0xB002, 7, 16, 50, 0) + bytes(16)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encoded(suffix: str, **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(photograph(height=40, width=60)).save(
        content, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:]), **options
    )
    return content.getvalue()


def with_blocks(path: Path, exif: bytes, xmp: bytes) -> Path:
    """A picture with the blocks put into its file by hand; TIFF by Pillow, AVIF and HEIC by their libraries."""
    suffix = path.suffix
    if suffix == ".jpg":
        plain = encoded(suffix)
        blocks = segment(0xE1, b"Exif\0\0" + exif) + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)
        blocks += segment(0xE2, b"MPF\0" + MULTI_PICTURE)
        path.write_bytes(plain[:20] + blocks + plain[20:] + b"\xff\xd8\xff" + THUMBNAIL)
    elif suffix == ".png":
        plain = encoded(suffix)
        path.write_bytes(
            plain[:33] + chunk(b"eXIf", exif) + chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + xmp) + plain[33:]
        )
    elif suffix == ".heic":
        image = pillow_heif.from_pillow(Image.fromarray(photograph(height=64, width=64)))
        image.save(path, exif=b"Exif\0\0" + exif, xmp=xmp)
    elif suffix == ".tif":
        tifffile.imwrite(
            path,
            photograph(height=40, width=60),
            photometric="rgb",
            description=TEXT.encode(),
            metadata=None,
            extratags=[(700, 1, len(xmp), xmp, True)],
        )
    else:
        path.write_bytes(encoded(suffix, exif=b"Exif\0\0" + exif, xmp=xmp))
    return path


def rewritten(path: Path, suffix: str) -> Path:
    read = formats.read_picture(path)
    out = path.with_name(f"out{suffix}")
    formats.write_picture(out, read.pixels, read)
    return out


def xmp_of(path: Path) -> bytes:
    content = path.read_bytes()
    return content[content.index(b"<x:xmpmeta") : content.index(b"</x:xmpmeta>")]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".avif", ".heic"])
@pytest.mark.parametrize("out", SUFFIXES)
def test_old_pictures_go_with_all_that_announces_them(tmp_path: Path, suffix: str, out: str) -> None:
    source = with_blocks(tmp_path / f"a{suffix}", exif_block(">"), xmp_packet())
    result = rewritten(source, out)
    content = result.read_bytes()
    assert b"the old picture" not in content
    assert b"MPF" not in content
    for word in (HDRGM, CONTAINER, "Thumbnails", "GCamera", "GDepth", "HDRGainMap"):
        assert word.encode() not in xmp_of(result), word
    assert f'dc:format="image/{TEXT}"'.encode() in xmp_of(result)
    with Image.open(result) as opened:
        tags = opened.getexif()
        if suffix != ".avif":  # Pillow does not keep the encoding in AVIF
            assert tags[0x010E].encode("latin-1").decode() == TEXT
        if suffix != ".tif":
            comment = tags.get_ifd(0x8769)[0x9286]
            order = "utf-16-be" if out != ".tif" else "utf-16-le"
            assert comment == b"UNICODE\0" + TEXT.encode(order)
            assert tags.get_ifd(0x8769)[0x927C] == b"NOTES\0\1\2" * 5
        assert 1 not in getattr(tags, "_ifds", {}) or not tags.get_ifd(1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_keeps_its_bytes_but_for_the_thumbnail(tmp_path: Path, suffix: str) -> None:
    """A maker's note may point to places in the block."""
    block = exif_block("<")
    content = rewritten(with_blocks(tmp_path / f"a{suffix}", block, b""), suffix).read_bytes()
    start = 8 + 2 + 12 * 3
    kept = block[:start] + bytes(4) + block[start + 4 : -len(THUMBNAIL)]
    assert kept in content
    assert b"ColorSpace" not in content


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_previews_in_a_camera_s_own_notes_are_overwritten_in_place(tmp_path, suffix, options):
    """Cameras of Olympus, Nikon, Casio and others put a preview there, and point to what lies behind it."""
    file = io.BytesIO()
    Image.fromarray(photograph(height=48, width=64)).save(file, "JPEG", restart_marker_rows=1, **options)
    preview, no_jpeg = file.getvalue(), b"\xff\xd8\xff\xe1\0\x08notes\xff\xd9"
    cut = preview[: preview.index(b"\xff\xda")]
    tags = Image.Exif()
    tags[0x010F] = "Maker"
    tags.get_ifd(0x8769)[0x927C] = b"NOTES" + no_jpeg + preview + b"between" + preview + b"behind" + cut
    pixels, block = photograph(height=60, width=80), tags.tobytes().removeprefix(b"Exif\0\0")
    if suffix == ".tif":  # Pillow leaves the directory out
        like = picture.Picture(pixels=pixels, metadata={"exif-data": block})
        formats.write_picture(tmp_path / "a.tif", pixels, like)
    else:
        Image.fromarray(pixels).save(tmp_path / f"a{suffix}", exif=tags)
    assert (tmp_path / f"a{suffix}").read_bytes().count(preview) == 2
    with Image.open(rewritten(tmp_path / f"a{suffix}", suffix)) as opened:
        notes = opened.getexif().get_ifd(0x8769)[0x927C]
    nothing = bytes(len(preview))
    assert notes == b"NOTES" + no_jpeg + nothing + b"between" + nothing + b"behind" + cut


def test_a_packet_without_other_pictures_is_kept_byte_for_byte(tmp_path: Path) -> None:
    source = with_blocks(tmp_path / "a.jpg", exif_block(), PLAIN_XMP)
    for suffix in SUFFIXES:
        assert PLAIN_XMP in rewritten(source, suffix).read_bytes()


def test_a_damaged_packet_is_dropped_if_it_may_announce_another_picture(tmp_path: Path) -> None:
    for packet, is_kept in (
        (xmp_packet()[:-60], False),
        (re.sub(rb"xmlns:(?!dc|rdf|tiff|x=)\w+=\"[^\"]*\"", b"", PLAIN_XMP)[:-60], True),
        (b"<!DOCTYPE a>" + xmp_packet(), False),
    ):
        result = rewritten(with_blocks(tmp_path / "a.jpg", exif_block(), packet), ".jpg").read_bytes()
        assert (b"dc:format" in result) is is_kept


def test_the_orientation_in_xmp_follows_the_pixels(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    source = with_blocks(tmp_path / "a.jpg", tag.tobytes()[6:], xmp_packet(orientation=6))
    assert b'tiff:Orientation="6"' in xmp_of(rewritten(source, ".jpg"))
    assert b'tiff:Orientation="1"' in xmp_of(rewritten(source, ".png"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("as_element", [False, True])
def test_an_orientation_in_xmp_alone_is_applied(tmp_path: Path, suffix: str, as_element: bool) -> None:
    packet = xmp_packet(orientation=6)
    if as_element:
        packet = packet.replace(b'tiff:Orientation="6"', b"").replace(
            b"</rdf:Description>", b"<tiff:Orientation>6</tiff:Orientation></rdf:Description>", 1
        )
        assert b"<tiff:Orientation>" in packet
    source, plain = with_blocks(tmp_path / f"a{suffix}", b"", packet), tmp_path / f"plain{suffix}"
    plain.write_bytes(encoded(suffix))
    upright, stored = formats.read_picture(source).pixels, formats.read_picture(plain).pixels
    np.testing.assert_array_equal(upright, np.rot90(stored, -1))
    again = rewritten(source, suffix)
    assert b"Orientation" in xmp_of(again)
    assert formats.read_picture(again).pixels.shape == upright.shape
    flat = formats.read_picture(rewritten(source, ".tif"))
    np.testing.assert_array_equal(flat.pixels, upright)
    assert flat.orientation == 1
    tag = Image.Exif()
    tag[0x0112] = 1  # EXIF comes first
    other = with_blocks(tmp_path / f"b{suffix}", tag.tobytes()[6:], packet)
    np.testing.assert_array_equal(formats.read_picture(other).pixels, stored)


def test_an_orientation_in_a_raw_profile_of_a_png_is_applied(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    block = tag.tobytes()
    plain = encoded(".png")
    text = f"\nexif\n{len(block):8d}\n{block.hex()}\n".encode()
    raw = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    (tmp_path / "a.png").write_bytes(plain[:33] + raw + plain[33:])
    (tmp_path / "b.png").write_bytes(plain)
    upright = np.rot90(formats.read_picture(tmp_path / "b.png").pixels, -1)
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "a.png").pixels, upright)
    np.testing.assert_array_equal(formats.read_picture(rewritten(tmp_path / "a.png", ".png")).pixels, upright)


def test_a_long_packet_is_split_for_jpeg_and_joined_again(tmp_path: Path) -> None:
    long = PLAIN_XMP.replace(b"image/", b"x" * 200_000)
    pixels = photograph(height=40, width=60)
    formats.write_picture(tmp_path / "a.jpg", pixels, picture.Picture(pixels=pixels, metadata={"xmp-data": long}))
    with Image.open(tmp_path / "a.jpg") as opened:
        assert b"HasExtendedXMP" in opened.info["xmp"]
    result = rewritten(tmp_path / "a.jpg", ".png")
    assert b"x" * 200_000 in xmp_of(result)
    assert b"HasExtendedXMP" not in xmp_of(result)


def resources(*blocks: tuple[int, bytes]) -> bytes:
    return b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + bytes(len(body) % 2) for number, body in blocks
    )


IIM = b"\x1c\x02\x78\x00\x0aA cup here"
BLOCKS = resources((0x040C, THUMBNAIL), (0x0404, IIM), (0x0409, THUMBNAIL), (0x040A, b"\1"))


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
@pytest.mark.parametrize("out", [".jpg", ".tif", ".png"])
def test_iptc_survives_and_photoshop_s_thumbnail_does_not(tmp_path: Path, suffix: str, out: str) -> None:
    source, plain = tmp_path / f"a{suffix}", encoded(".jpg")
    if suffix == ".jpg":
        halves = (BLOCKS[: len(BLOCKS) // 2], BLOCKS[len(BLOCKS) // 2 :])  # as Photoshop splits long ones
        source.write_bytes(
            plain[:20] + b"".join(segment(0xED, b"Photoshop 3.0\0" + half) for half in halves) + plain[20:]
        )
    elif suffix == ".tif":
        Image.fromarray(photograph(height=40, width=60)).save(source, tiffinfo={34377: BLOCKS})
    else:
        digits = resources((0x0404, IIM)).hex()
        text = b"Raw profile type iptc\0\0" + zlib.compress(f"\niptc\n {len(digits) // 2}\n{digits}\n".encode())
        plain = encoded(".png")
        source.write_bytes(plain[:33] + chunk(b"zTXt", text) + plain[33:])
    result = rewritten(source, out)
    assert b"the old picture" not in result.read_bytes()
    if out == ".png":
        with Image.open(result) as opened:
            assert IIM.hex() in opened.text["Raw profile type iptc"].replace("\n", "")
    elif out == ".jpg":
        with Image.open(result) as opened:
            assert opened.info["photoshop"][0x0404] == IIM
            assert (0x040A in opened.info["photoshop"]) is (suffix != ".png")
    else:
        with tifffile.TiffFile(result) as file:
            assert bytes(file.pages[0].tags[33723].value).rstrip(b"\0") == IIM


def test_texts_of_png_keep_their_bytes_wherever_they_lie(tmp_path: Path) -> None:
    texts = [
        chunk(b"tEXt", b"Author\0" + "Jürgen".encode("latin-1")),
        chunk(b"tEXt", b"Odd\0" + TEXT.encode()),
        chunk(b"zTXt", b"Long\0\0" + zlib.compress(b"word " * 300)),
        chunk(b"iTXt", b"parameters\0\1\0ja\0" + "鍵".encode() + b"\0" + zlib.compress(TEXT.encode())),
    ]
    plain = encoded(".png")
    (tmp_path / "a.png").write_bytes(
        plain[:33] + b"".join(texts[:2]) + plain[33:-12] + b"".join(texts[2:]) + plain[-12:]
    )
    content = rewritten(tmp_path / "a.png", ".png").read_bytes()
    assert all(content.count(text) == 1 for text in texts)
    layer = np.dstack([photograph(height=40, width=60), np.full((40, 60), 9, np.uint8)])
    info = PngInfo()
    info.add_itxt("Title", TEXT)
    stack = ora.stack((60, 40), '<layer name="cup" src="a"/><layer name="ground" src="b"/>')
    ora.write(tmp_path / "a.ora", stack, {"a": ora.png(layer, pnginfo=info), "b": ora.png(layer[..., :3])})
    document = open_layers(tmp_path / "a.ora")
    assert document is not None
    layers = Layers(document, "cup")
    document.write(tmp_path / "b.ora", layers.chosen, layers.foreground, layers.merge())
    with Image.open(io.BytesIO(ora.contents(tmp_path / "b.ora")["data/harmonized-0.png"])) as opened:
        assert opened.text["Title"] == TEXT


@pytest.mark.parametrize("comment", [b"plain", "Kömmentar".encode("latin-1"), TEXT.encode(), b"x" * 60_000])
def test_comments_of_jpeg_keep_their_bytes_and_reach_other_formats(tmp_path: Path, comment: bytes) -> None:
    plain = encoded(".jpg")
    (tmp_path / "a.jpg").write_bytes(plain[:20] + segment(0xFE, comment) + plain[20:])
    assert rewritten(tmp_path / "a.jpg", ".jpg").read_bytes().count(segment(0xFE, comment)) == 1
    try:
        text = comment.decode()
    except UnicodeDecodeError:
        text = comment.decode("latin-1")
    with Image.open(rewritten(tmp_path / "a.jpg", ".png")) as opened:
        assert opened.text["Comment"] == text
    for suffix in (".tif", ".webp"):
        with Image.open(rewritten(tmp_path / "a.jpg", suffix)) as opened:
            found = opened.getexif().get_ifd(0x8769)[0x9286]
        assert found[8:].decode("ascii" if found.startswith(b"ASCII") else "utf-16-le") == text


def test_texts_of_png_reach_formats_with_a_place_for_them(tmp_path: Path) -> None:
    texts = PngInfo()
    for name, text in (("Author", "Jürgen"), ("Description", "A cup"), ("Copyright", "Anna"), ("Comment", TEXT)):
        texts.add_itxt(name, text)
    (tmp_path / "a.png").write_bytes(encoded(".png", pnginfo=texts))
    for suffix in (".jpg", ".tif", ".webp"):
        with Image.open(rewritten(tmp_path / "a.png", suffix)) as opened:
            tags = opened.getexif()
            found = [str(tags[tag]).encode("latin-1").decode() for tag in (315, 270, 33432)]
            assert found == ["Jürgen", "A cup", "Anna"]
            if suffix == ".jpg":
                assert opened.info["comment"].decode() == TEXT


def test_texts_of_tiff_keep_their_bytes(tmp_path: Path) -> None:
    for text in (TEXT.encode(), "Jürgen".encode("latin-1")):
        tags = [(315, 2, len(text) + 1, text + b"\0", True), (33432, 2, len(text) + 1, text + b"\0", True)]
        tifffile.imwrite(
            tmp_path / "a.tif",
            photograph(height=40, width=60),
            photometric="rgb",
            metadata=None,
            description=text,
            extratags=tags,
            byteorder=">",
        )
        for suffix in SUFFIXES:
            content = rewritten(tmp_path / "a.tif", suffix).read_bytes()
            assert content.count(text + b"\0") == 3


def test_big_tiffs_have_metadata_too(tmp_path: Path) -> None:
    from gknet.files.metadata import tiff

    tifffile.imwrite(
        tmp_path / "a.tif", photograph(height=40, width=60), photometric="rgb", bigtiff=True, metadata=None
    )
    read = formats.read_picture(with_blocks(tmp_path / "a.jpg", exif_block(), PLAIN_XMP))
    tiff.add_metadata(tmp_path / "a.tif", read.metadata, 6)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
        tags = {tag.code: tag.value for tag in file.pages[0].tags}
        assert (tags[700], tags[274]) == (PLAIN_XMP, 6)
        np.testing.assert_array_equal(file.asarray(), photograph(height=40, width=60))
    assert tiff.read_metadata(tmp_path / "a.tif")["xmp-data"] == PLAIN_XMP


def photoshop_file(path: Path) -> None:
    """A picture with every block of metadata that is read from Photoshop's files."""
    document = psd_tools.PSDImage.frompil(Image.fromarray(photograph(height=40, width=60)))
    resolution = ResoulutionInfo(300 << 16, 1, 1, 300 << 16, 1, 1)
    blocks = {"XMP_METADATA": PLAIN_XMP, "EXIF_DATA_1": exif_block(), "IPTC_NAA": IIM, "RESOLUTION_INFO": resolution}
    for name, content in blocks.items():
        document.image_resources[Resource[name]] = ImageResource(key=Resource[name].value, data=content)
    document.save(path)


def test_metadata_and_resolution_of_photoshop_files_survive(tmp_path: Path) -> None:
    pixels = photograph(height=40, width=60)
    photoshop_file(tmp_path / "a.psd")
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "a.psd").pixels, pixels)
    result = rewritten(tmp_path / "a.psd", ".jpg")
    assert PLAIN_XMP in result.read_bytes()
    assert b"the old picture" not in result.read_bytes()
    with Image.open(result) as opened:
        assert opened.info["photoshop"][0x0404] == IIM
        assert opened.info["dpi"] == pytest.approx((300, 300))


def test_damaged_blocks_cost_nothing_but_themselves(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    block = exif_block()
    for _ in range(150):
        damaged = bytearray(block[: random.integers(4, len(block))])
        for place in random.integers(4, len(damaged), 3) if len(damaged) > 4 else ():
            damaged[place] = random.integers(0, 256)
        source = with_blocks(tmp_path / "a.png", bytes(damaged), PLAIN_XMP)
        assert PLAIN_XMP in rewritten(source, ".tif").read_bytes()
        assert PLAIN_XMP in rewritten(source, ".jpg").read_bytes()


def test_a_pil_image_loses_its_old_thumbnail(brightening: Harmonizer, tmp_path: Path) -> None:
    source = with_blocks(tmp_path / "a.jpg", exif_block(), xmp_packet())
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:40] = 255
    with Image.open(source) as opened:
        result = brightening(opened, mask)
    assert b"the old picture" not in result.info["exif"]
    assert HDRGM.encode() not in result.info["xmp"]
    assert TEXT.encode() in result.info["xmp"]


def test_jpeg_has_one_density_and_profile(tmp_path: Path) -> None:
    image = pyvips.Image.new_from_array(photograph(height=40, width=60)).copy(xres=5.0, yres=6.0)
    image.pngsave(str(tmp_path / "a.png"))
    result = rewritten(tmp_path / "a.png", ".jpg")
    assert result.read_bytes().count(b"JFIF\0") == 1
    with Image.open(result) as opened:
        assert opened.info["dpi"] == (127, 152)


def test_an_empty_exif_block_before_the_real_one_is_skipped(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274], exif[315] = 6, "Ann"
    Image.new("RGB", (12, 8)).save(tmp_path / "a.jpg", exif=exif)
    plain = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(plain[:2] + b"\xff\xe1\0\x08Exif\0\0" + plain[2:])
    read = formats.read_picture(tmp_path / "a.jpg")
    assert read.pixels.shape == (12, 8, 3)
    with Image.open(rewritten(tmp_path / "a.jpg", ".png")) as opened:
        assert opened.getexif()[315] == "Ann"
