"""OpenRaster and Photoshop files: which layer is chosen, how layers are rendered, and what is written back."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import psd_tools
import pytest
from PIL import Image
from psd_tools.constants import BlendMode, Resource

from gknet import Encoding, Harmonizer, InputError, edges
from gknet.batch.folder import find_jobs
from gknet.cli.app import main
from gknet.errors import MissingPackageError, NoBackgroundError
from gknet.files import formats
from gknet.files.codecs.raster import encode_png as png_of
from gknet.files.layered.blending import blend_over
from gknet.files.layered.layers import Layers, open_layers
from gknet.files.picture import Picture
from gknet.scene import LayeredScene
from gknet.transfer.trims import NO_TRIMS
from tests.gknet import icc, ora

pytestmark = pytest.mark.integration

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that must succeed, in an empty folder; its standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> str:
        with pytest.raises(SystemExit, match="0"):
            main([str(argument) for argument in arguments])
        return capfd.readouterr().err

    return command


@pytest.fixture
def background(photograph: np.ndarray) -> np.ndarray:
    """(200, 256, 3) uint8."""
    return np.ascontiguousarray(photograph[300:500, 256:])


@pytest.fixture
def cutout(photograph: np.ndarray, object_mask: np.ndarray) -> np.ndarray:
    """(150, 120, 4) uint8, soft edges, too dark for the scene: what fits already would hardly change."""
    return np.ascontiguousarray(np.dstack([photograph // 2, object_mask])[20:320:2, 110:350:2])


@pytest.fixture
def file(tmp_path: Path, background: np.ndarray, cutout: np.ndarray) -> Path:
    """A cut-out in a moved group over a background, with a frame above and a hidden sketch on top."""
    frame = np.zeros((200, 256, 4), np.uint8)
    frame[:, :8] = frame[:, -8:] = (30, 30, 30, 255)
    inner = """
      <layer name="sketch" src="data/sketch.png" visibility="hidden"/>
      <!-- a frame -->
      <layer name="frame" src="data/frame.png"/>
      <stack name="things" x="10" y="5" isolation="auto">
        <layer name="cup" src="data/cup.png" x="60" y="20" opacity="0.9" composite-op="svg:src-over"/>
      </stack>
      <layer name="ground" src="data/ground.png"/>"""
    members = {
        "data/sketch.png": ora.png(frame),
        "data/frame.png": ora.png(frame),
        "data/cup.png": ora.png(cutout),
        "data/ground.png": ora.png(background),
        "mergedimage.png": ora.png(background),
        "Thumbnails/thumbnail.png": ora.png(background[:9, :9]),
        "extra/notes.txt": b"kept",
    }
    return ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), members)


def test_the_harmonized_layer_lies_above_its_source_and_all_else_is_kept(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("harmonize", "a.ora", "-o", "b.ora", "--layer", "cup") == ""
    before, after = ora.contents(file), ora.contents(tmp_path / "b.ora")
    made = {"stack.xml", "mergedimage.png", "Thumbnails/thumbnail.png"}
    assert {name: after[name] for name in before.keys() - made} == {name: before[name] for name in before.keys() - made}
    with zipfile.ZipFile(tmp_path / "b.ora") as opened_again:
        first = opened_again.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    group = ElementTree.fromstring(after["stack.xml"]).find("stack/stack")
    assert group is not None
    new, source = group
    assert (new.get("name"), new.get("visibility")) == ("cup (harmonized)", "visible")
    assert (source.get("name"), source.get("visibility")) == ("cup", "hidden")
    for name in ("x", "y", "opacity", "composite-op"):
        assert new.get(name) == source.get(name)
    assert b"<!-- a frame -->" in after["stack.xml"]
    pixels, old = (np.asarray(Image.open(io.BytesIO(after[str(layer.get("src"))]))) for layer in (new, source))
    assert np.array_equal(pixels[..., 3], old[..., 3])
    assert np.abs(pixels.astype(int) - old)[old[..., 3] == 255].mean() > 2
    merged = np.asarray(Image.open(io.BytesIO(after["mergedimage.png"])))
    flat = tmp_path / "flat.png"
    run("harmonize", "a.ora", "-o", "flat.png", "--layer", "cup")
    assert np.array_equal(np.asarray(Image.open(flat)), merged)
    assert max(Image.open(io.BytesIO(after["Thumbnails/thumbnail.png"])).size) <= 256
    # It can be done again, to another layer, or to the new one.
    run("harmonize", "b.ora", "-o", "c.ora", "--layer", "cup (harmonized)")
    assert "data/harmonized-1.png" in ora.contents(tmp_path / "c.ora")


def test_the_flat_picture_is_what_the_layers_show(file: Path, background: np.ndarray, cutout: np.ndarray) -> None:
    document = open_layers(file)
    assert document is not None
    layers = Layers(document, "cup")
    below = layers.merge_below()
    assert np.array_equal(below, background.astype(np.uint16) * np.uint16(257))
    expected = background.astype(float)
    alpha = cutout[..., 3:] / 255 * 0.9
    place = (slice(25, 175), slice(70, 190))
    expected[place] += (cutout[..., :3] - expected[place]) * alpha
    expected[:, :8] = expected[:, -8:] = 30
    merged = layers.merge().pixels
    assert merged.shape == background.shape
    np.testing.assert_allclose(merged, expected, atol=0.51)


def test_a_layer_is_harmonized_as_its_scene_asks(shipped: Harmonizer, file: Path, run: Run, tmp_path: Path) -> None:
    """The same pixels as from Python."""
    document = open_layers(file)
    assert document is not None
    layers = Layers(document, "cup")
    below = (layers.merge_below() // 257).astype(np.uint8)
    fit = shipped.fit_layer(layers.foreground.pixels, below, at=(70, 25), canvas=(256, 200), opacity=0.9)
    run("harmonize", "a.ora", "-o", "b.ora", "--layer", "cup")
    found = np.asarray(Image.open(io.BytesIO(ora.contents(tmp_path / "b.ora")["data/harmonized-0.png"])))
    assert np.abs(found.astype(int) - fit.apply(layers.foreground.pixels)).max() <= 1


def test_a_layer_of_a_file_is_cleaned_first_if_that_is_asked_for(run: Run, file: Path, tmp_path: Path, cutout) -> None:
    """At strength 0 the new layer is the source with clean edges, and nothing else."""
    run("harmonize", file, "-o", "b.ora", "--layer", "cup", "--clean-edges", "--strength", "0")
    found = np.asarray(Image.open(io.BytesIO(ora.contents(tmp_path / "b.ora")["data/harmonized-0.png"])))
    clean = edges.clean_edges(cutout, lambda *_: None)
    assert np.array_equal(found, clean)
    assert not np.array_equal(clean, cutout)


def test_without_a_name_the_topmost_visible_layer_with_transparency_is_meant(
    file: Path, tmp_path: Path, cutout, background
) -> None:
    document = open_layers(file)
    assert document is not None
    assert Layers(document, None).chosen.name == "frame"  # the sketch above it is hidden
    empty, ground = ora.png(np.zeros((200, 256, 4), np.uint8)), ora.png(background)
    inner = '<layer name="new" src="e"/><layer name="cup" src="c" x="9"/><layer name="ground" src="g"/>'
    ora.write(tmp_path / "b.ora", ora.stack((256, 200), inner), {"e": empty, "c": ora.png(cutout), "g": ground})
    other = open_layers(tmp_path / "b.ora")
    assert other is not None
    assert Layers(other, None).chosen.name == "cup"
    inner = '<layer name="ground" src="g"/><layer name="ground" src="g"/>'
    ora.write(tmp_path / "c.ora", ora.stack((256, 200), inner), {"g": ground})
    opaque = open_layers(tmp_path / "c.ora")
    assert opaque is not None
    with pytest.raises(InputError, match="no visible layer with transparency"):
        Layers(opaque, None)
    with pytest.raises(InputError, match="2 layers are named"):
        Layers(opaque, "ground")
    with pytest.raises(InputError, match=r"Unknown layer 'cap'.*'ground'"):
        Layers(opaque, "cap")
    ora.write(tmp_path / "d.ora", ora.stack((256, 200), '<layer name="cup" src="c"/>'), {"c": ora.png(cutout)})
    with pytest.raises(InputError, match=r"has fewer than two visible layers.*--foreground"):
        Layers(open_layers(tmp_path / "d.ora"), None)


@pytest.mark.parametrize(
    "mode",
    [
        *("MULTIPLY", "SCREEN", "OVERLAY", "DARKEN", "LIGHTEN", "COLOR_DODGE", "COLOR_BURN", "HARD_LIGHT"),
        *("DIFFERENCE", "HUE", "SATURATION", "COLOR", "LUMINOSITY"),
    ],
)
def test_layers_blend_as_psd_tools_blends_them(tmp_path, background, cutout, mode):
    operator = f"svg:{mode.lower().replace('_', '-')}"
    inner = f'<layer name="a" src="a" composite-op="{operator}" opacity="0.5"/><layer name="g" src="g"/>'
    above = np.zeros((200, 256, 4), np.uint8)
    above[:150, :120] = cutout
    ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), {"a": ora.png(above), "g": ora.png(background)})
    document = open_layers(tmp_path / "a.ora")
    backdrop, source = (np.float32(pixels[..., :3] / 255) for pixels in (background, above))
    alpha = above[..., 3:] / 255 / 2
    from psd_tools.composite.blend import get_blend_func  # takes most of a second: only where it is needed

    expected = backdrop * (1 - alpha) + get_blend_func(BlendMode[mode])(backdrop, source) * alpha
    found = Layers(document, "a").merge().pixels / 255
    np.testing.assert_allclose(found, expected, atol=0.53 / 255)


@pytest.mark.parametrize(
    ("operator", "alpha"),
    [
        ("svg:plus", lambda a, b: np.minimum(1, a + b)),
        ("svg:dst-in", lambda a, b: a * b),
        ("svg:dst-out", lambda a, b: b * (1 - a)),
        ("svg:src-atop", lambda _, b: b),
        ("svg:dst-atop", lambda a, _: a),
        ("svg:soft-light", lambda a, b: a + b - a * b),
    ],
)
def test_operators_cover_as_porter_and_duff_have_it(operator, alpha):
    random = np.random.default_rng(2)
    below, above = random.random((2, 9, 9, 4)).astype(np.float32)
    above[0, 0, 3] = below[0, 1, 3] = 0
    result = blend_over(below, above, operator)
    np.testing.assert_allclose(result[..., 3], alpha(above[..., 3], below[..., 3]), atol=1e-6)
    assert np.isfinite(result).all()


def test_an_unsupported_operator_gets_a_note(run: Run, file: Path) -> None:
    members = ora.contents(file)
    changed = members["stack.xml"].replace(b"svg:src-over", b"krita:dissolve")
    del members["mimetype"], members["stack.xml"]
    ora.write(file, changed, members)
    said = run("harmonize", "a.ora", "-o", "b.ora", "--layer", "cup")
    assert said.count("\n") == 1
    assert "the blend mode of 'cup' is treated as normal" in said


def test_the_scene_s_profile_and_the_deepest_layer_s_depth_are_the_result_s(tmp_path, background, cutout) -> None:
    profile, gray_profile = icc.rgb(icc.DISPLAY_P3, icc.srgb_curve()), icc.gray(icc.gamma(2.2))
    deep, gray = background.astype(np.uint16) * np.uint16(257) ^ np.uint16(0x2A), background[..., :1]
    inner = '<layer name="cup" src="cup"/><layer name="hidden" src="ground" visibility="hidden"/>'
    inner += '<layer name="ground" src="ground"/>'

    def merge(layer: np.ndarray, ground: np.ndarray, own: bytes | None, scene: bytes | None) -> Picture:
        members = {
            "cup": png_of(layer, Picture(pixels=layer, profile=own)),
            "ground": png_of(ground, Picture(pixels=ground, profile=scene)),
        }
        document = open_layers(ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), members))
        assert document is not None
        return Layers(document, "cup").merge()

    for scene in (profile, None):
        for ground in (background, deep):
            merged = merge(cutout, ground, icc.rgb(icc.ADOBE_RGB, icc.gamma(2.2)), scene)
            assert merged.profile == scene
            assert np.array_equal(merged.pixels[150:], ground[150:])
    assert np.array_equal(merge(cutout, gray, None, gray_profile).pixels.shape, (200, 256, 3))
    merged = merge(cutout[..., [0, 3]], gray, None, gray_profile)
    assert merged.profile == gray_profile
    assert np.array_equal(merged.pixels[150:], gray[150:])


def test_depth_and_profile_of_a_layer_are_kept(run: Run, tmp_path: Path, background, cutout) -> None:
    profile = icc.rgb(icc.ADOBE_RGB, icc.gamma(2.2))
    deep = cutout.astype(np.uint16) * np.uint16(257) ^ np.uint16(0x2A)
    members = {
        "cup": png_of(deep, Picture(pixels=deep, profile=profile)),
        "ground": png_of(background, Picture(pixels=background)),
    }
    inner = '<layer name="cup" src="cup" x="40"/><layer name="ground" src="ground"/>'
    ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), members)
    run("harmonize", "a.ora", "-o", "b.ora", "--strength", "0")
    from gknet.files.codecs.raster import decode_png

    written = ora.contents(tmp_path / "b.ora")
    again = decode_png(written["data/harmonized-0.png"], tmp_path)
    assert np.array_equal(again.pixels, deep)
    assert again.profile == profile
    merged = decode_png(written["mergedimage.png"], tmp_path)
    assert (merged.pixels.dtype, merged.profile) == (np.uint16, None)
    np.testing.assert_array_equal(merged.pixels[180:], background[180:].astype(np.uint16) * np.uint16(257))


def test_layer_and_scene_are_harmonized_in_their_own_profiles(
    tmp_path: Path, shipped: Harmonizer, background: np.ndarray, cutout: np.ndarray
) -> None:
    own, below = (icc.rgb(primaries, icc.gamma(1.8)) for primaries in (icc.PROPHOTO, icc.ADOBE_RGB))
    members = {
        "cup": png_of(cutout, Picture(pixels=cutout, profile=own)),
        "ground": png_of(background, Picture(pixels=background, profile=below)),
    }
    inner = '<layer name="cup" src="cup" x="40"/><layer name="ground" src="ground"/>'
    scene = LayeredScene(ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), members), "cup", lambda *_: None)
    scene.fit(shipped, 64).apply(1.0, 1, NO_TRIMS)

    def harmonize(layer_profile: bytes | None, scene_profile: bytes | None) -> np.ndarray:
        encoding, of_scene = Encoding(profile=layer_profile), Encoding(profile=scene_profile)
        fit = shipped.fit_layer(
            cutout,
            background,
            at=(40, 0),
            canvas=(256, 200),
            network_size=64,
            encoding=encoding,
            reference_encoding=of_scene,
        )
        return fit.apply(cutout)

    assert np.array_equal(scene.layer.pixels, harmonize(own, below))
    assert not np.array_equal(scene.layer.pixels, harmonize(None, below))
    assert not np.array_equal(scene.layer.pixels, harmonize(own, None))


@pytest.mark.parametrize("chosen", ["cup", "hole"])
def test_a_picture_painted_in_strips_is_the_same(
    tmp_path: Path, background: np.ndarray, cutout: np.ndarray, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    inner = """
      <layer name="far" src="cup" x="4000"/>
      <layer name="hole" src="cup" x="-30" y="80" composite-op="svg:dst-in" visibility="hidden"/>
      <layer name="cup" src="cup" x="200" y="-40" opacity="0.7" composite-op="svg:overlay"/>
      <stack opacity="0.8"><layer name="over" src="cup" x="20" y="120" composite-op="svg:multiply"/></stack>
      <layer name="ground" src="ground" x="-20" y="30"/>"""
    members = {"cup": ora.png(cutout), "ground": ora.png(background)}
    layers = Layers(open_layers(ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), members)), chosen)
    whole = layers.merge_below(), layers.merge(layers.foreground.pixels).pixels
    monkeypatch.setattr("gknet.files.layered.layers._STRIP_PIXELS", 1000)
    np.testing.assert_array_equal(layers.merge_below(), whole[0])
    np.testing.assert_array_equal(layers.merge(layers.foreground.pixels).pixels, whole[1])
    assert whole[1].shape == (200, 256, 4)


@pytest.mark.parametrize(
    ("group", "layer", "words"),
    [
        ('visibility="hidden"', "", "is in the hidden group 'things'"),
        ('opacity="0"', "", "is in the group 'things', which has no opacity"),
        ("", 'opacity="0"', "opacity of the layer 'cup' is 0"),
    ],
)
def test_a_layer_whose_change_nobody_would_see_is_refused(
    tmp_path: Path, background: np.ndarray, cutout: np.ndarray, group: str, layer: str, words: str
) -> None:
    inner = f"""<stack name="things" {group}><layer name="cup" src="cup" {layer}/></stack>
      <layer name="hat" src="cup"/><layer name="ground" src="ground"/>"""
    members = {"cup": ora.png(cutout), "ground": ora.png(background)}
    document = open_layers(ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), members))
    assert document is not None
    with pytest.raises(InputError, match=words):
        Layers(document, "cup")
    assert Layers(document, None).chosen.name == "hat"


def test_the_layer_that_leaves_no_background_is_named(
    tmp_path: Path, shipped: Harmonizer, background: np.ndarray, cutout: np.ndarray
) -> None:
    haze = np.full((200, 256, 4), 255, np.uint8)
    haze[0, 0] = 254
    inner = '<layer name="Haze" src="haze"/><layer name="cup" src="cup"/><layer name="ground" src="ground"/>'
    members = {"haze": ora.png(haze), "cup": ora.png(cutout), "ground": ora.png(background)}
    path = ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), members)
    with pytest.raises(NoBackgroundError, match="layer 'Haze': The foreground covers") as refusal:
        LayeredScene(path, None, lambda *_: None).fit(shipped, 64).apply(1.0, 1, NO_TRIMS)
    assert refusal.value.hint.endswith("or choose another layer with --layer.")


def test_small_layers_take_little_memory_on_a_large_canvas(tmp_path: Path, cutout: np.ndarray) -> None:
    inner = '<layer name="cup" src="cup" x="9" y="9"/><layer name="ground" src="ground"/>'
    members = {"cup": ora.png(cutout), "ground": ora.png(cutout[..., :3])}
    ora.write(tmp_path / "a.ora", ora.stack((3000, 3000), inner), members)
    document = psd_tools.PSDImage.new("RGB", (3000, 3000))
    document.create_pixel_layer_from_array(np.ascontiguousarray(cutout[..., :3]), name="ground")
    document.create_pixel_layer_from_array(cutout, name="cup", top=9, left=9)
    document.save(tmp_path / "a.psd")
    for name in ("a.ora", "a.psd"):
        layers = Layers(open_layers(tmp_path / name), None)
        tracemalloc.start()
        pixels = layers.merge().pixels
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert pixels.shape == (3000, 3000, 4)
        assert not pixels[170:].any()
        assert peak < 8 * 3000 * 3000, name  # bytes; as floats it would be 16 a pixel, and several times


def test_layers_that_would_fill_the_memory_are_refused_unread(tmp_path: Path, cutout: np.ndarray) -> None:
    def declare(side: int) -> bytes:
        return ora.png(cutout)[:16] + struct.pack(">II", side, side) + ora.png(cutout)[24:]

    def read(side: int, visible: int) -> Layers:
        inner = "".join(
            f'<layer name="{i}" src="cup" visibility="{"visible" if i < visible else "hidden"}"/>' for i in range(11)
        )
        file = ora.write(tmp_path / "a.ora", ora.stack((256, 200), inner), {"cup": declare(side)})
        return Layers(open_layers(file), None)

    with pytest.raises(InputError, match="20001 × 20001 pixels"):
        read(20_001, 2)
    with pytest.raises(InputError, match="visible layers have over 4,000 megapixels"):
        read(20_000, 11)
    with pytest.raises(InputError, match="damaged"):  # few enough, so that it is read
        read(20_000, 10)


# ---- Photoshop


@pytest.fixture
def photoshop(background: np.ndarray, cutout: np.ndarray) -> psd_tools.PSDImage:
    """16 bits: a cut-out in a group over a background."""
    document = psd_tools.PSDImage.new("RGB", (256, 200), depth=16)
    document.create_pixel_layer_from_array(background.astype(np.uint16) * np.uint16(257), name="ground")
    group = document.create_group(name="things")
    group.create_pixel_layer_from_array(
        cutout.astype(np.uint16) * np.uint16(257), name="cup", top=25, left=70, opacity=230
    )
    document.image_resources[Resource.ICC_PROFILE] = psd_tools.psd.image_resources.ImageResource(
        key=Resource.ICC_PROFILE, data=icc.rgb(icc.DISPLAY_P3, icc.srgb_curve())
    )
    return document


def test_a_photoshop_file_becomes_openraster_with_one_layer_more(
    run: Run, tmp_path: Path, photoshop, background, cutout
) -> None:
    photoshop.save(tmp_path / "a.psd")
    assert run("harmonize", "a.psd", "-o", "b.ora") == ""
    document = open_layers(tmp_path / "b.ora")
    assert document is not None
    names = [node.name for node in document.nodes]
    assert names == ["ground", "things", "cup", "cup (harmonized)"]
    layers = Layers(document, "cup")
    assert (layers.chosen.left, layers.chosen.top) == (70, 25)
    assert np.array_equal(layers.foreground.pixels, cutout.astype(np.uint16) * np.uint16(257))
    assert layers.profile == icc.rgb(icc.DISPLAY_P3, icc.srgb_curve())
    assert np.array_equal(
        document.read_layer(document.nodes[0]).pixels[..., :3], background.astype(np.uint16) * np.uint16(257)
    )
    run("harmonize", "a.psd", "-o", "b.tif")
    from gknet.files import formats

    flat = formats.read_picture(tmp_path / "b.tif")
    assert flat.pixels.dtype == np.uint16
    # What the .ora shows, drawn by us, is what the .psd shows, drawn by psd-tools.
    shown = Layers(document, "cup (harmonized)").merge().pixels
    assert np.abs(flat.pixels.astype(int) - shown).max() <= 257 // 2
    assert np.abs(flat.pixels.astype(int) - formats.read_picture(tmp_path / "b.tif").pixels).max() == 0


def test_masks_clipping_and_adjustments_are_drawn_and_get_a_note(run: Run, tmp_path: Path, photoshop, cutout) -> None:
    cup = list(photoshop.descendants())[-1]
    cup.create_mask(Image.fromarray(np.repeat(np.uint8([[0, 255]]), 75, axis=0).repeat(60, 1).repeat(2, 0)))
    red = np.zeros((40, 120, 3), np.uint16)
    red[..., 0] = 65535
    glaze = cup.parent.create_pixel_layer_from_array(red, name="glaze", top=25, left=70)
    glaze.clipping = True
    photoshop.save(tmp_path / "a.psd")
    said = run("harmonize", "a.psd", "-o", "b.ora", "--layer", "cup")
    assert said == "gknet: Note: 'glaze' is merged into the layer that it is clipped to.\n"
    document = open_layers(tmp_path / "b.ora")
    assert document is not None
    source = Layers(document, "cup").foreground.pixels
    alpha = cutout[..., 3].astype(int) * 257
    assert not source[:, :60, 3].any()
    assert np.array_equal(source[:, 60:, 3], alpha[:, 60:])
    seen = source[..., 3] > 0
    assert (source[:40, ..., 0][seen[:40]] == 65535).all()
    assert run("harmonize", "a.psd", "-o", "b.png", "--layer", "cup") == ""  # a flat picture has all of it
    shown = Layers(document, "cup (harmonized)").merge().pixels
    from gknet.files import formats

    assert np.abs(formats.read_picture(tmp_path / "b.png").pixels.astype(int) - shown).max() <= 257 // 2


def test_photoshop_features_that_openraster_lacks_get_one_note(run: Run, tmp_path: Path, photoshop) -> None:
    list(photoshop.descendants())[-1].blend_mode = BlendMode.VIVID_LIGHT
    photoshop.save(tmp_path / "a.psd")
    said = run("harmonize", "a.psd", "-o", "b.ora")
    assert said == "gknet: Note: the blend mode of 'cup' is normal in the OpenRaster layers.\n"
    assert run("harmonize", "a.psd", "-o", "b.png") == ""


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_drawing_unlike_the_picture_that_photoshop_stored_gets_a_note(
    tmp_path: Path, background: np.ndarray, cutout: np.ndarray, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    document = psd_tools.PSDImage.new(mode, (256, 200))
    document.create_pixel_layer(Image.fromarray(background[:190]).convert(mode), name="ground")
    document.create_pixel_layer(Image.fromarray(cutout).convert(f"{mode}A"), name="cup", top=25, left=70)
    document.save(tmp_path / "a.psd")

    def read_notes(stored: Image.Image | None) -> list[str]:
        monkeypatch.setattr(psd_tools.PSDImage, "topil", lambda *_, **__: stored)
        return list(LayeredScene(tmp_path / "a.psd", None, lambda *_: None).notes)

    stored = psd_tools.PSDImage.open(tmp_path / "a.psd").topil(apply_icc=False)
    straight = Image.fromarray(LayeredScene(tmp_path / "a.psd", None, lambda *_: None).before.squeeze())
    assert straight.mode[-1] == "A"  # the canvas is transparent at the bottom
    white = Image.new(mode, (256, 200), "white")
    white.paste(straight.convert(mode), mask=straight.getchannel("A"))
    for same in (stored, straight, white, None, Image.new(mode, (256, 200))):
        assert read_notes(same) == []
    white.paste(0, (0, 0, 64, 100))
    (note,) = read_notes(white)
    assert note.startswith("12 % of the picture is drawn differently from Photoshop, by ")


def test_a_damaged_stored_picture_does_not_keep_the_layers_from_being_read(tmp_path: Path, photoshop) -> None:
    photoshop.save(tmp_path / "a.psd")
    content = (tmp_path / "a.psd").read_bytes()
    (tmp_path / "a.psd").write_bytes(content[:-5000])
    (note,) = LayeredScene(tmp_path / "a.psd", None, lambda *_: None).notes
    assert note.startswith("the flattened picture in the file is damaged")


def test_blending_through_a_translucent_group_gets_a_note(run: Run, tmp_path: Path, photoshop) -> None:
    group, cup = list(photoshop.descendants())[-2:]
    if cup.is_group():
        group, cup = cup, group
    group.blend_mode, group.opacity = BlendMode.PASS_THROUGH, 128
    photoshop.save(tmp_path / "a.psd")
    assert run("harmonize", "a.psd", "-o", "b.ora") == ""
    cup.blend_mode = BlendMode.MULTIPLY
    photoshop.save(tmp_path / "a.psd")
    assert "blend modes in the translucent group 'things' affect only that group" in run(
        "harmonize", "a.psd", "-o", "b.ora"
    )


def test_names_that_xml_cannot_hold_are_replaced(run: Run, tmp_path: Path, photoshop) -> None:
    list(photoshop.descendants())[-1].name = "cup\x01\ttop"
    photoshop.save(tmp_path / "a.psd")
    run("harmonize", "a.psd", "-o", "b.ora")
    document = open_layers(tmp_path / "b.ora")
    assert document is not None
    assert document.nodes[-1].name == "cup\ufffd\ttop (harmonized)"


def test_gray_photoshop_files_stay_gray(run: Run, tmp_path: Path, background, cutout) -> None:
    document = psd_tools.PSDImage.new("L", (256, 200))
    document.create_pixel_layer(Image.fromarray(background).convert("L"), name="ground")
    document.create_pixel_layer(Image.fromarray(cutout).convert("LA"), name="cup", top=25, left=70)
    document.save(tmp_path / "a.psd")
    run("harmonize", "a.psd", "-o", "b.png")
    with Image.open(tmp_path / "b.png") as flat:
        assert (flat.mode, flat.size) == ("L", (256, 200))
    run("harmonize", "a.psd", "-o", "b.ora")
    with Image.open(io.BytesIO(ora.contents(tmp_path / "b.ora")["data/harmonized-0.png"])) as layer:
        assert layer.mode == "LA"


def test_a_photoshop_file_without_layers_is_a_picture(run: Run, tmp_path: Path, background, photoshop) -> None:
    psd_tools.PSDImage.frompil(Image.fromarray(background)).save(tmp_path / "flat.psd")
    mask = np.zeros(background.shape[:2], np.uint8)
    mask[50:150, 60:200] = 255
    psd_tools.PSDImage.frompil(Image.fromarray(mask)).save(tmp_path / "flat_mask.psd")
    Image.fromarray(mask).save(tmp_path / "flat_mask.png")
    for name in ("flat_mask.png", "flat_mask.psd"):
        assert run("harmonize", "flat.psd", name, "-o", "out.png") == ""
        result = np.asarray(Image.open(tmp_path / "out.png"))
        assert np.array_equal(result[mask == 0], background[mask == 0])
        assert not np.array_equal(result, background)
    with pytest.raises(InputError, match=r"has no layers.*gknet harmonize flat.psd MASK"):
        open_layers(tmp_path / "flat.psd")
    photoshop.save(tmp_path / "a.psd")
    with pytest.raises(InputError, match=r"is a layered file.*alone: .* Otherwise export it as PNG"):
        formats.read_picture(tmp_path / "a.psd")
    with pytest.raises(InputError, match=r"o.psd cannot be written.*Use .ora to keep the layers"):
        LayeredScene(tmp_path / "a.psd", None, lambda *_: None).check_writable(tmp_path / "o.psd")
    (tmp_path / "flat_mask.psd").unlink()
    (tmp_path / "a.psd").unlink()
    (tmp_path / "out.png").unlink()
    (job,) = find_jobs(tmp_path)
    assert (job.output, job.mask) == ("flat.png", tmp_path / "flat_mask.png")


def test_without_the_package_the_extra_is_named(tmp_path: Path, photoshop, monkeypatch) -> None:
    photoshop.save(tmp_path / "a.psd")
    monkeypatch.setitem(sys.modules, "psd_tools", None)
    with pytest.raises(MissingPackageError, match=r"package psd-tools.*gknet-harmonize\[psd\]"):
        open_layers(tmp_path / "a.psd")


def test_a_photoshop_file_of_groups_only_has_no_layer_with_pixels(tmp_path: Path) -> None:
    document = psd_tools.PSDImage.new("RGB", (256, 200))
    document.create_group(name="things")
    document.save(tmp_path / "a.psd")
    with pytest.raises(InputError, match="no layer with pixels"):
        open_layers(tmp_path / "a.psd")


def test_the_orientation_of_a_layer_s_picture_does_not_count(
    tmp_path: Path, background: np.ndarray, cutout: np.ndarray
) -> None:
    exif = Image.Exif()
    exif[274] = 6
    layers = '<layer name="top" src="data/top.png"/><layer name="back" src="data/back.png"/>'
    members = {"data/back.png": ora.png(background, exif=exif), "data/top.png": ora.png(cutout)}
    stack = ora.stack((background.shape[1], background.shape[0]), layers)
    document = open_layers(ora.write(tmp_path / "a.ora", stack, members))
    assert document is not None
    assert np.array_equal(Layers(document, "top").merge_below()[..., :3] // 257, background)
