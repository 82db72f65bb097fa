"""Every kind of layer in a real Krita: what the plug-in asks the backend for, and what it makes of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

from backend import Client
from backend.thin.client import ThinClient
from gknet.color.srgb import srgb_to_linear
from tests.backend.real_backend import Backend
from tests.hosts.krita.program import Krita

SRGB, LINEAR = "sRGB-elle-V2-srgbtrc.icc", "sRGB-elle-V2-g10.icc"
GRAY, GRAY_LINEAR = "Gray-D50-elle-V2-srgbtrc.icc", "Gray-D50-elle-V2-g10.icc"
WIDE, HDR = "ClayRGB-elle-V4-srgbtrc.icc", "Rec2020-elle-V4-g10.icc"
DEPTHS = {"U8": np.uint8, "U16": np.uint16, "F16": np.float16, "F32": np.float32}
TOP = {"U8": 255, "U16": 65535, "F16": 1, "F32": 1}

CASES: dict[str, dict[str, Any]] = {
    "u8": {"edge": True},
    "u16": {"depth": "U16"},
    "u16-linear": {"depth": "U16", "profile": LINEAR},
    "f16-linear": {"depth": "F16", "profile": LINEAR, "gain": 1.5},
    # As bright as its ground, the object would fit.
    "f32-linear": {"depth": "F32", "profile": LINEAR, "gain": 5.0, "levels": [0, 130]},
    "f32": {"depth": "F32"},
    "gray-u8": {"model": "GRAYA", "profile": GRAY},
    "gray-u16": {"model": "GRAYA", "profile": GRAY, "depth": "U16"},
    "gray-f32-linear": {"model": "GRAYA", "profile": GRAY_LINEAR, "depth": "F32"},
    "wide-u8": {"profile": WIDE},
    "wide-u16": {"profile": WIDE, "depth": "U16"},
    "wide-f32": {"profile": HDR, "depth": "F32"},
    "renamed": {"profile": "sRGB built-in"},
    "outside": {"box": [-60, 400, 120, 160]},
    "large": {"width": 2048, "height": 1024, "box": [700, 300, 120, 160]},
    "in-a-group": {"scene": "in_a_group"},
    "the-group": {"scene": "the_group"},
    "between": {"scene": "between"},
    "mask": {"scene": "with_mask"},
    "mask-f32": {"scene": "with_mask", "depth": "F32"},
    "selection": {"scene": "with_selection"},
    "clone": {"scene": "cloned"},
    "vector": {"scene": "drawn"},
    "chosen-layer": {"scene": "against_a_layer"},
    "whole-image": {"scene": "against_all"},
    "clean-edges": {"scene": "clean_edges"},
    # What shows through is dark already.
    "half-way": {"scene": "half_way", "levels": [128, 255]},
    "hidden-after": {"scene": "hidden_after"},
}
USUAL = {
    "model": "RGBA",
    "depth": "U8",
    "profile": SRGB,
    "width": 512,
    "height": 512,
    "box": [150, 200, 120, 160],
    "scene": "plain",
    "levels": [0, 178],
}

Pixels = np.ndarray


class Case:
    """What went in and what came out of one case; pictures are (h, w, C), red first."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.spec = name, {**USUAL, **CASES[name]}
        self.facts = json.loads((folder / f"{name}.json").read_text())
        self._folder = folder
        self.layer_map = self.facts["request"]["layer"]
        self.channels = self.layer_map["channels"]

    @property
    def converted(self) -> bool:
        """Whether Krita converts the layer on the way."""
        return self.spec["profile"] in (WIDE, HDR)

    def sent(self) -> Pixels:
        depth = DEPTHS[self.layer_map["depth"].upper()]
        return self._read("layer_bytes", depth, self.layer_map["width"], self.channels)

    def reference(self) -> Pixels:
        return self._read("reference_bytes", np.uint8, self.facts["request"]["reference"]["width"], 4)

    def selection(self) -> Pixels | None:
        if not (self._folder / f"{self.name}.selection").exists():
            return None
        return self._read("selection", np.uint8, self.layer_map["width"], 1)[..., 0]

    def native(self, kind: str) -> Pixels:
        """`shown`, the layer in Krita, `result`, the new one, or `stacked`, both without ground."""
        pixels = self._read(kind, DEPTHS[self.spec["depth"]], self.layer_map["width"], self.channels)
        return as_krita(pixels)

    def _read(self, kind: str, depth: Any, width: int, channels: int) -> Pixels:
        return np.fromfile(self._folder / f"{self.name}.{kind}", depth).reshape(-1, width, channels)


def as_krita(pixels: Pixels) -> Pixels:
    """Red first from Krita's order of channels, and back: whole numbers have blue first."""
    return pixels[..., [2, 1, 0, 3]] if pixels.dtype.kind == "u" and pixels.shape[2] == 4 else pixels


def painted(spec: dict[str, Any], srgb: Pixels) -> Pixels:
    """(h, w, 4) uint8 sRGB in a case's model, depth and, where it is linear, its space; what its numbers mean in
    another profile is as it comes."""
    unit = srgb.astype(np.float32) / 255
    if spec["model"] == "GRAYA":
        unit = np.dstack([unit[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32), unit[..., 3]])
    if spec["profile"] in (LINEAR, GRAY_LINEAR, HDR):
        import torch

        unit[..., :-1] = srgb_to_linear(torch.from_numpy(unit[..., :-1].copy())).numpy()
    unit[..., :-1] *= spec.get("gain", 1.0)
    top = TOP[spec["depth"]]
    if top > 1:
        unit = np.rint(unit * top).clip(0, top)
    return unit.astype(DEPTHS[spec["depth"]])


def photograph(width: int, height: int) -> Pixels:
    """(height, width, 4) uint8, opaque: an astronaut before a flag (NASA, public domain), upside down, repeated."""
    astronaut = np.asarray(skimage.data.astronaut())[::-1]
    tiled = np.tile(astronaut, (-(-height // 512), -(-width // 512), 1))[:height, :width]
    return np.dstack([tiled, np.full((height, width), 255, np.uint8)])


def cut_out(spec: dict[str, Any]) -> Pixels:
    """(160, 120, 4) uint8: the astronaut's face, cut out with a soft edge that touches all sides."""
    black, white = spec["levels"]
    face = (black + (white - black) / 255 * skimage.data.astronaut()[40:200, 160:280]).round().astype(np.uint8)
    rows, columns = np.mgrid[:160, :120]
    distance = np.hypot((rows - 79.5) / 80, (columns - 59.5) / 60)
    alpha = (255 * np.clip((1.05 - distance) / 0.3, 0, 1)).round().astype(np.uint8)
    return np.dstack([face, alpha])


def green() -> Pixels:
    """(160, 120, 4) uint8: half transparent green."""
    return np.broadcast_to(np.array([20, 200, 60, 128], np.uint8), (160, 120, 4)).copy()


def half_selected(width: int, height: int) -> Pixels:
    """(height, width) uint8: nothing on the left, then a ramp, then everything."""
    ramp = np.clip(np.arange(width) - 190, 0, 40) * 255 // 40
    return np.broadcast_to(ramp.astype(np.uint8), (height, width)).copy()


def prepared(folder: Path) -> list[dict[str, Any]]:
    """The cases for the driver, their pixels in files."""
    cases = []
    for name, own in CASES.items():
        spec = {**USUAL, **own, "name": name}
        pictures = {
            "ground": painted(spec, photograph(spec["width"], spec["height"])),
            "object": painted(spec, cut_out(spec)),
            "green": painted(spec, green()),
        }
        for part, picture in pictures.items():
            spec[part] = f"{name}.{part}"
            as_krita(picture).tofile(folder / spec[part])
        spec["selection"] = f"{name}.selection"
        half_selected(spec["width"], spec["height"]).tofile(folder / spec["selection"])
        cases.append(spec)
    return cases


@pytest.fixture(scope="module")
def connected(backend: Backend) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GKNET_CONNECTION", str(backend.path))
        with Client.connect(start=False) as client:
            yield client


@pytest.fixture(scope="module")
def case(krita: Krita, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """All cases in one run of Krita."""
    given, out = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("layers")
    cases = prepared(given)
    krita.run("layers.py", {"folder": str(given), "cases": cases}, out, backend.path, binds=[given])
    return lambda name: Case(out, name)


every = pytest.mark.parametrize("name", CASES)


@every
def test_the_result_is_the_backends_answer_to_the_byte(
    name: str, case: Callable[[str], Case], connected: Client
) -> None:
    one = case(name)
    answer = asked_headlessly(one, connected) if one.layer_map["space"] == "srgb" else asked_thinly(one)
    if one.converted:
        assert_back_in_own_colors(one, answer)
    else:
        assert np.array_equal(one.native("result"), answer)


@every
def test_the_result_has_the_layers_alpha_and_other_colors(name: str, case: Callable[[str], Case]) -> None:
    one = case(name)
    shown, result = one.native("shown"), one.native("result")
    assert np.array_equal(shown[..., -1], result[..., -1])
    solid = shown[..., -1] > 0.9 * TOP[one.spec["depth"]]
    assert np.abs(shown[solid].astype(float) - result[solid])[:, :-1].mean() > 0.005 * TOP[one.spec["depth"]]


@every
def test_the_backend_is_sent_what_the_layer_shows(name: str, case: Callable[[str], Case]) -> None:
    one = case(name)
    sent, shown = one.sent(), one.native("shown")
    if one.converted:
        assert (one.layer_map["depth"], one.layer_map["space"]) == ("f32", "linear")
        assert np.allclose(sent[..., -1], shown[..., -1] / TOP[one.spec["depth"]], atol=1e-6)
    else:
        assert np.array_equal(sent, shown)
        linear = one.spec["profile"] in (LINEAR, GRAY_LINEAR)
        assert (one.layer_map["depth"], one.layer_map["space"]) == (
            one.spec["depth"].lower(),
            "linear" if linear else "srgb",
        )
    if one.spec["scene"] in ("plain", "in_a_group", "the_group", "between", "with_selection", "cloned"):
        left, top, width, height = (one.layer_map[key] for key in ("x", "y", "width", "height"))
        whole = painted(one.spec, cut_out(one.spec))
        x, y = left - one.spec["box"][0], top - one.spec["box"][1]
        assert np.array_equal(shown, whole[y : y + height, x : x + width])


@every
def test_the_new_layer_lies_directly_above_like_the_old_one(name: str, case: Callable[[str], Case]) -> None:
    one = case(name)
    facts, names = one.facts, one.facts["siblings"]
    old = facts["name"].removesuffix(" (harmonized)")
    assert facts["name"] == f"{old} (harmonized)"
    assert names[names.index(old) + 1] == facts["name"]
    assert facts["type"] == "paintlayer"
    assert facts["space"] == [one.spec["model"], one.spec["depth"], one.spec["profile"]]
    half = one.name == "half-way"
    assert (facts["opacity"], facts["blending"]) == ((128, "multiply") if half else (255, "normal"))
    assert facts["visible"][old] == (one.name != "hidden-after")


@every
def test_one_undo_takes_it_away_and_redo_brings_it_back(name: str, case: Callable[[str], Case]) -> None:
    facts = case(name).facts
    assert facts["undone_exactly"]
    assert facts["redone_exactly"]
    assert name == "selection" or facts["next_undo_is_the_users"]  # which is not tried there, see the driver
    assert facts["requests"] == 1


def test_undo_does_not_show_a_hidden_original_again(case: Callable[[str], Case]) -> None:
    """Why hiding is not the default: should a Krita to come undo it, it may become that."""
    assert case("hidden-after").facts["visible_after_undo"] is False


def test_a_soft_edge_over_its_own_copy_is_a_quarter_more_opaque_at_most(case: Callable[[str], Case]) -> None:
    one = case("u8")
    alpha, stacked = one.native("shown")[..., 3] / 255, one.native("stacked")[..., 3] / 255
    assert np.allclose(stacked, 1 - (1 - alpha) ** 2, atol=2 / 255)
    assert 0.24 < (stacked - alpha).max() < 0.26


BELOW = ("u8", "u16", "u16-linear", "f32", "outside", "in-a-group", "mask", "selection", "between", "the-group")


@pytest.mark.parametrize("name", BELOW)
def test_it_is_compared_with_what_is_visible_below(name: str, case: Callable[[str], Case]) -> None:
    one = case(name)
    expected = photograph(512, 512)
    if name == "in-a-group":
        expected = laid_over(expected, green(), one.spec["box"])
    assert_close(one.reference(), expected, 1 if one.spec["depth"] == "U8" else 2)


def test_it_can_be_compared_with_the_whole_image(case: Callable[[str], Case]) -> None:
    one = case("whole-image")
    assert_close(one.reference(), laid_over(photograph(512, 512), green(), one.spec["box"]), 1)


def test_it_can_be_compared_with_one_layer_even_a_hidden_one(case: Callable[[str], Case]) -> None:
    one = case("chosen-layer")
    left, top, width, height = one.spec["box"]
    alone = np.zeros((512, 512, 4), np.uint8)
    alone[top : top + height, left : left + width] = green()
    reference = one.reference()
    assert np.array_equal(reference[..., 3], alone[..., 3])
    assert_close(reference[reference[..., 3] > 0], alone[alone[..., 3] > 0], 2)


def test_a_large_picture_is_sent_reduced(case: Callable[[str], Case]) -> None:
    one = case("large")
    reference = one.facts["request"]["reference"]
    assert [reference[key] for key in ("width", "height", "canvas_width", "canvas_height")] == [1024, 512, 2048, 1024]
    means = photograph(2048, 1024).reshape(512, 2, 1024, 2, 4).mean((1, 3))
    assert_close(one.reference(), means, 3)


def test_a_transparency_mask_shapes_what_is_sent(case: Callable[[str], Case]) -> None:
    one = case("mask")
    alpha, whole = one.native("shown")[..., 3], cut_out(one.spec)[..., 3]
    assert np.array_equal(alpha[:, :60], whole[:, :60])
    assert np.abs(alpha[:, 60:90].astype(float) - whole[:, 60:90] * (100 / 255)).max() <= 1
    assert not alpha[:, 90:].any()


def test_the_selection_is_sent_and_limits_the_effect(case: Callable[[str], Case]) -> None:
    one = case("selection")
    left, top, width, height = one.spec["box"]
    expected = half_selected(512, 512)[top : top + height, left : left + width]
    selection = one.selection()
    assert selection is not None
    assert np.array_equal(selection, expected)
    unselected = expected == 0
    assert unselected.any()
    assert np.array_equal(one.native("result")[unselected], one.native("shown")[unselected])


def test_strength_and_opacity_are_sent(case: Callable[[str], Case]) -> None:
    one = case("half-way")
    assert one.facts["request"]["options"] == {"strength": 0.5}
    assert one.layer_map["opacity"] == pytest.approx(128 / 255)


def asked_headlessly(one: Case, client: Client) -> Pixels:
    """The scripts' client's answer to the same request."""
    place, reference = one.layer_map, one.facts["request"]["reference"]
    return client.harmonize(
        one.sent(),
        one.reference(),
        at=(place["x"], place["y"]),
        canvas=(reference["canvas_width"], reference["canvas_height"]),
        selection=one.selection(),
        opacity=place["opacity"],
        **one.facts["request"]["options"],
    ).pixels


def test_clean_edges_are_sent(case: Callable[[str], Case]) -> None:
    assert case("clean-edges").facts["request"]["options"] == {"strength": 1.0, "clean_edges": True}


def asked_thinly(one: Case) -> Pixels:
    """The same where layer and reference are not in the same space, which the scripts' client has no words for."""
    request = one.facts["request"]
    sent = one.sent()
    with ThinClient.connect(start=False) as client:
        _, pixels = client.harmonize(
            request["layer"], sent.tobytes(), request["reference"], one.reference().tobytes(), None, request["options"]
        )
    return np.frombuffer(pixels, sent.dtype).reshape(sent.shape)


def assert_back_in_own_colors(one: Case, answer: Pixels) -> None:
    """Krita's conversion is not ours to repeat: the change must have come back as large as it was, where it was."""
    sent, shown, result = one.sent(), one.native("shown").astype(float), one.native("result").astype(float)
    top = TOP[one.spec["depth"]]
    changed = np.abs(answer - sent)[..., :3].max(2) > 1e-3
    unchanged = (answer == sent).all(2)
    assert changed.any()
    step = 1.01 if top > 1 else 1e-4
    assert np.abs(result - shown)[unchanged].max() <= step
    assert (np.abs(result - shown)[..., :3].max(2) > 0)[changed].mean() > 0.98


def laid_over(ground: Pixels, layer: Pixels, box: list[int]) -> Pixels:
    """A straight-alpha layer over an opaque ground, encoded values mixed as Krita mixes them."""
    left, top, width, height = box
    result = ground.astype(np.float32)
    part = result[top : top + height, left : left + width]
    alpha = layer[..., 3:] / 255
    part[..., :3] = part[..., :3] * (1 - alpha) + layer[..., :3] * alpha
    return result


def assert_close(picture: Pixels, expected: Pixels, most: float) -> None:
    difference = np.abs(picture.astype(float) - expected)
    assert difference.max() <= most, (difference.max(), difference.mean(), np.argwhere(difference > most)[:3])
