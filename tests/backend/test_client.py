"""`backend.Client` as a script uses it."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import gknet
from backend import Client, TooLargeError, UnknownFitError
from backend.thin.client import ThinClient
from gknet import Encoding, Harmonizer, Trims
from gknet.color.srgb import linear_to_srgb, srgb_to_linear
from gknet.edges import clean_edges
from gknet.errors import InputError, NoBackgroundError, NoForegroundError, UnsupportedError
from tests.backend.real_backend import Backend
from tests.gknet import icc

pytestmark = pytest.mark.integration

AT = (150, 200)
SIZE = 64
"""The least size of the network's input. Scripts of README.md and docs/python.md leave it to the backend."""


def as_depth(pixels: np.ndarray, depth: str) -> np.ndarray:
    """8-bit pixels as another type, spread over its range."""
    if depth == "uint16":
        return pixels.astype(np.uint16) * np.uint16(257)
    return pixels if depth == "uint8" else (pixels / np.float32(255)).astype(depth)


@pytest.fixture(scope="module")
def harmonizer() -> Harmonizer:
    """The same network in this process."""
    return Harmonizer.from_pretrained(device="cpu")


@pytest.mark.parametrize("depth", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("channels", [2, 4])
def test_a_cutout_of_any_kind_comes_back_as_gknet_makes_it(
    client: Client, harmonizer: Harmonizer, layer: np.ndarray, reference: np.ndarray, depth: str, channels: int
) -> None:
    pixels = as_depth(layer if channels == 4 else layer[..., [1, 3]], depth)
    below = as_depth(reference, depth)
    result = client.harmonize(pixels, below, at=AT, network_size=SIZE).pixels
    assert (result.shape, result.dtype) == (pixels.shape, pixels.dtype)
    assert np.array_equal(result[..., -1], pixels[..., -1])
    assert not np.array_equal(result, pixels)
    assert result.flags.writeable
    ours = harmonizer.fit_layer(pixels, below, at=AT, network_size=SIZE, canvas=(512, 512)).apply(pixels)
    assert np.array_equal(result, ours)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_opaque_layer_is_harmonized_where_it_is_selected(
    client: Client, layer: np.ndarray, reference: np.ndarray, channels: int
) -> None:
    pixels = layer[..., :3] if channels == 3 else layer[..., 1]
    selection = layer[..., 3].copy()
    result = client.harmonize(pixels, reference, at=AT, network_size=SIZE, selection=selection).pixels
    assert (result.shape, result.dtype) == (pixels.shape, pixels.dtype)
    assert np.array_equal(result[selection == 0], pixels[selection == 0])
    assert not np.array_equal(result, pixels)


def test_pixels_in_linear_light_are_taken(client: Client, layer: np.ndarray, reference: np.ndarray) -> None:
    def decoded(pixels: np.ndarray) -> np.ndarray:
        return srgb_to_linear(torch.from_numpy(pixels / np.float32(255))).numpy()

    linear = np.dstack([decoded(layer[..., :3]), layer[..., 3] / np.float32(255)])
    below = decoded(reference)
    result = client.harmonize(linear, below, at=AT, network_size=SIZE, encoding=Encoding("linear")).pixels
    encoded = client.harmonize(layer, reference, at=AT, network_size=SIZE).pixels
    inside = layer[..., 3] > 0
    again = 255 * linear_to_srgb(torch.from_numpy(result[..., :3])).numpy()
    assert np.abs(again - encoded[..., :3])[inside].mean() < 1


PROFILES = {
    "Display P3": icc.rgb(icc.DISPLAY_P3, icc.srgb_curve()),
    "ProPhoto RGB": icc.rgb(icc.PROPHOTO, icc.gamma(1.8)),
    "gray, gamma 2.2": icc.gray(icc.gamma(2.2)),
}


# What a profile does to each depth is tested on the harmonizer itself; here, that both arrive.
@pytest.mark.parametrize(
    ("values", "depth"),
    [
        *(("linear", depth) for depth in ("uint16", "float16")),
        *(("Display P3", depth) for depth in ("uint8", "float32")),
        ("ProPhoto RGB", "uint16"),
        ("gray, gamma 2.2", "float16"),
    ],
)
def test_every_space_and_profile_is_taken_as_gknet_takes_it(
    client: Client, harmonizer: Harmonizer, layer: np.ndarray, reference: np.ndarray, depth: str, values: str
) -> None:
    pixels = as_depth(layer[..., [1, 3]] if "gray" in values else layer, depth)
    below = as_depth(reference[..., 1] if "gray" in values else reference, depth)
    encoding = Encoding("linear") if values == "linear" else Encoding(profile=PROFILES[values])
    answer = client.harmonize(pixels, below, at=AT, network_size=SIZE, encoding=encoding)
    result = answer.pixels
    assert (result.shape, result.dtype) == (pixels.shape, pixels.dtype)
    assert np.array_equal(result[..., -1], pixels[..., -1])
    fit = harmonizer.fit_layer(
        pixels,
        below,
        at=AT,
        network_size=SIZE,
        canvas=(512, 512),
        encoding=encoding,
    )
    assert np.array_equal(result, fit.apply(pixels))
    assert not np.array_equal(result, pixels)
    again = client.harmonize(pixels, None, fit=answer.fit, encoding=encoding, strength=0)
    assert np.array_equal(again.pixels, pixels)


def test_a_reference_may_have_an_encoding_of_its_own(
    client: Client, harmonizer: Harmonizer, layer: np.ndarray, reference: np.ndarray
) -> None:
    wide = Encoding(profile=PROFILES["Display P3"])
    result = client.harmonize(layer, reference, at=AT, network_size=SIZE, reference_encoding=wide).pixels
    fit = harmonizer.fit_layer(layer, reference, at=AT, network_size=SIZE, canvas=(512, 512), reference_encoding=wide)
    assert np.array_equal(result, fit.apply(layer))
    assert not np.array_equal(result, client.harmonize(layer, reference, at=AT, network_size=SIZE).pixels)


def test_a_large_reference_is_sent_reduced(client: Client, layer: np.ndarray, reference: np.ndarray) -> None:
    large = np.tile(reference, (4, 5, 1))
    whole = client.harmonize(layer, large, at=AT, network_size=SIZE).pixels
    small = np.ascontiguousarray(large.reshape(1024, 2, 1280, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8))
    shown = client.harmonize(layer, small, at=AT, network_size=SIZE, canvas=(2560, 2048)).pixels
    assert np.abs(whole.astype(int) - shown).mean() < 1


def test_arrays_that_are_not_contiguous_are_taken(client: Client, layer: np.ndarray, reference: np.ndarray) -> None:
    turned = np.asfortranarray(layer)
    result = client.harmonize(turned, reference[:, ::-1], at=AT, network_size=SIZE).pixels
    assert np.array_equal(result, client.harmonize(layer, reference[:, ::-1].copy(), at=AT, network_size=SIZE).pixels)


def test_numbers_of_numpys_and_big_endian_arrays_are_taken(
    client: Client, layer: np.ndarray, reference: np.ndarray
) -> None:
    pixels = as_depth(layer, "uint16")
    swapped = pixels.astype(">u2")
    at = (np.int64(AT[0]), np.int64(AT[1]))
    below = as_depth(np.tile(reference, (1, 3, 1)), "uint16")  # large enough to be reduced
    ours = client.harmonize(swapped, below.astype(">u2"), at=at, network_size=SIZE, strength=np.float32(1))  # type: ignore[arg-type]
    assert ours.pixels.dtype == swapped.dtype
    assert np.array_equal(ours.pixels, client.harmonize(pixels, below, at=AT, network_size=SIZE).pixels)


def test_a_fit_applied_again_equals_a_request_of_its_own(
    client: Client, layer: np.ndarray, reference: np.ndarray
) -> None:
    first = client.harmonize(layer, reference, at=AT, network_size=SIZE)
    assert "network" in first.timings
    for strength in (0.0, 0.37, 1.0):
        again = client.harmonize(layer, None, fit=first.fit, strength=strength)
        assert again.fit == first.fit
        assert "network" not in again.timings
        assert np.array_equal(
            again.pixels, client.harmonize(layer, reference, at=AT, network_size=SIZE, strength=strength).pixels
        )
    assert np.array_equal(client.harmonize(layer, None, fit=first.fit, strength=0).pixels, layer)


def test_trims_are_those_of_the_harmonizer_and_need_no_second_run(
    client: Client, harmonizer: Harmonizer, layer: np.ndarray, reference: np.ndarray
) -> None:
    trims = Trims(brightness=-40, warmth=25.5, saturation=-10)
    first = client.harmonize(layer, reference, at=AT, network_size=SIZE)
    again = client.harmonize(layer, None, fit=first.fit, trims=trims)
    assert "network" not in again.timings
    canvas = (reference.shape[1], reference.shape[0])
    fit = harmonizer.fit_layer(layer, reference, at=AT, canvas=canvas, network_size=SIZE)
    assert np.array_equal(again.pixels, fit.apply(layer, trims=trims))
    assert np.array_equal(client.harmonize(layer, None, fit=first.fit, trims=Trims()).pixels, first.pixels)


def test_variants_are_those_of_the_harmonizer_and_need_no_second_run(
    client: Client, harmonizer: Harmonizer, layer: np.ndarray, reference: np.ndarray
) -> None:
    first = client.harmonize(layer, reference, at=AT, network_size=SIZE)
    canvas = (reference.shape[1], reference.shape[0])
    fit = harmonizer.fit_layer(layer, reference, at=AT, canvas=canvas, network_size=SIZE)
    assert first.variants == pytest.approx([variant.probability for variant in fit.variants])
    for number in range(1, 1 + len(first.variants)):
        again = client.harmonize(layer, None, fit=first.fit, variant=number)
        assert "network" not in again.timings
        assert np.array_equal(again.pixels, fit.apply(layer, variant=number))
    for wrong in (0, 6):
        with pytest.raises(InputError, match=r"variant is [06]\. Choose a whole number"):
            client.harmonize(layer, None, fit=first.fit, variant=wrong)


def test_a_preview_looks_like_the_whole(client: Client, layer: np.ndarray, reference: np.ndarray) -> None:
    whole = client.harmonize(layer, reference, at=AT, network_size=SIZE)
    small = np.ascontiguousarray(layer[1::3, 1::3])
    preview = client.harmonize(small, None, fit=whole.fit).pixels
    assert preview.shape == small.shape
    solid = small[..., 3] > 0
    assert np.abs(preview.astype(int) - whole.pixels[1::3, 1::3])[solid].mean() < 1


def test_a_forgotten_fit_is_made_again_where_there_is_a_reference(
    client: Client, layer: np.ndarray, reference: np.ndarray
) -> None:
    with pytest.raises(UnknownFitError):
        client.harmonize(layer, None, fit="0123456789abcdef")
    result = client.harmonize(layer, reference, at=AT, network_size=SIZE, fit="0123456789abcdef").pixels
    assert np.array_equal(result, client.harmonize(layer, reference, at=AT, network_size=SIZE).pixels)


def test_only_the_last_sixteen_fits_are_kept(client: Client, layer: np.ndarray, reference: np.ndarray) -> None:
    fits = [client.harmonize(layer, reference, at=AT, network_size=SIZE).fit for _ in range(17)]
    client.harmonize(layer, None, fit=fits[1])
    with pytest.raises(UnknownFitError):
        client.harmonize(layer, None, fit=fits[0])


def test_progress_comes_in_order(client: Client, layer: np.ndarray, reference: np.ndarray) -> None:
    steps: list[tuple[str, int, int]] = []
    client.harmonize(layer, reference, at=AT, network_size=SIZE, on_progress=lambda *step: steps.append(step))
    order = ["wait", "load", "reduce", "network", "apply"]
    places = [(order.index(stage), done / total) for stage, done, total in steps]
    assert places == sorted(places)
    assert steps[-1][0] == "apply"


@pytest.mark.parametrize("wanted", [gknet.CancelledError("Enough."), KeyboardInterrupt(), MemoryError()])
def test_what_progress_raises_cancels_the_request(
    client: Client, layer: np.ndarray, reference: np.ndarray, wanted: BaseException
) -> None:
    served = client.status()["served"]

    def refuse(stage: str, done: int, total: int) -> None:
        del done, total
        if stage == "reduce":
            raise wanted

    with pytest.raises(type(wanted)) as error:
        client.harmonize(layer, reference, at=AT, network_size=576, on_progress=refuse)
    assert error.value is wanted
    result = client.harmonize(layer, reference, at=AT, network_size=SIZE).pixels
    assert result.shape == layer.shape
    assert client.status()["served"] == served + 1


def test_four_clients_at_once_get_their_own_answers(backend: Backend, layer: np.ndarray, reference: np.ndarray) -> None:
    del backend
    kinds = [layer, as_depth(layer, "uint16"), as_depth(layer, "float32")[:90], layer[..., [0, 3]][:, ::-1]]
    with Client.connect(start=False) as client:
        alone = [
            [client.harmonize(pixels, reference, at=AT, network_size=SIZE, strength=part / 4).pixels for part in (2, 4)]
            for pixels in kinds
        ]
    together = threading.Barrier(4)

    def work(kind: int) -> None:
        with Client.connect(start=False) as mine:
            together.wait()
            for part in (2, 4):
                result = mine.harmonize(kinds[kind], reference, at=AT, network_size=SIZE, strength=part / 4)
                assert np.array_equal(result.pixels, alone[kind][part // 2 - 1])
                again = mine.harmonize(kinds[kind], None, fit=result.fit, strength=0.5)
                assert np.array_equal(again.pixels, alone[kind][0])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"layer": np.zeros((4, 4, 4), np.float64)}, UnsupportedError),
        ({"layer": np.zeros((4, 4, 4), bool)}, UnsupportedError),
        ({"layer": np.zeros((4, 4, 5), np.uint8)}, InputError),
        ({"layer": np.zeros((0, 4, 4), np.uint8)}, InputError),
        ({"layer": np.zeros(4, np.uint8)}, InputError),
        ({"layer": np.zeros((), np.uint8)}, InputError),
        ({"layer": np.broadcast_to(np.uint8(0), (20_000, 20_000, 4))}, TooLargeError),
        ({"layer": np.zeros((160, 120, 4), np.uint8)}, NoForegroundError),
        ({"selection": np.zeros((3, 3), np.uint8)}, InputError),
        ({"selection": np.zeros((160, 120), bool)}, InputError),
        ({"strength": 1.5}, InputError),
        ({"strength": float("nan")}, InputError),
        ({"strength": "half"}, InputError),
        ({"strength": object()}, InputError),
        ({"model": "gknet-xl"}, UnsupportedError),
        ({"network_size": 8}, InputError),
        ({"opacity": -1.0}, InputError),
        ({"at": (5000, 5000)}, NoForegroundError),
        ({"at": (10**7, 0)}, InputError),
        ({"at": (0.5, 0)}, InputError),
        ({"canvas": (100, 900)}, InputError),
        ({"reference": None}, InputError),
        ({"reference": np.zeros(4, np.uint8)}, InputError),
        ({"reference": np.zeros((9, 9, 3), np.int16)}, UnsupportedError),
    ],
)
def test_wrong_calls_are_refused(
    client: Client, layer: np.ndarray, reference: np.ndarray, change: dict[str, object], kind: type[InputError]
) -> None:
    arguments = {"layer": layer, "reference": reference, "at": AT, **change}
    with pytest.raises(kind) as error:
        client.harmonize(**arguments)  # type: ignore[arg-type]
    assert type(error.value) is kind
    assert error.value.message
    assert isinstance(error.value, ValueError)
    assert client.status()["state"] == "idle"


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"strength": "x"}, "strength is 'x'.", "Choose a number from 0 to 1."),
        ({"strength": None}, "strength is None.", "Choose a number from 0 to 1."),
        ({"strength": np.float32(2)}, "strength is", "Choose a number from 0 to 1."),
        ({"strength": True}, "strength is True.", "Choose a number from 0 to 1."),
        ({"trims": {"warmth": 5}}, "trims is {'warmth': 5}.", "Pass gknet.Trims"),
        ({"opacity": None}, "opacity is None.", "Choose a number from 0 to 1."),
        ({"network_size": 64.0}, "network_size is 64.0.", "Choose a whole number from 64 to 1024."),
        ({"clean_edges": "yes"}, "clean_edges is 'yes'.", "Choose True or False."),
        ({"at": None}, "at is None.", "Pass two whole numbers"),
        ({"at": (1,)}, "at is (1,).", "Pass two whole numbers"),
        ({"at": (10**30, 0)}, "at is (1000", "Pass two whole numbers"),
        ({"canvas": 5}, "canvas is 5.", "Pass two whole numbers"),
        ({"canvas": (0, 5)}, "canvas is (0, 5).", "Pass two whole numbers"),
        ({"canvas": (512, 700)}, "can't show a canvas of 512 x 700", "the reference must have its aspect ratio"),
        ({"encoding": None}, "encoding is None.", "Pass an Encoding"),
        ({"encoding": "linear"}, "encoding is 'linear'.", "Pass an Encoding"),
        ({"reference_encoding": "linear"}, "reference_encoding is 'linear'.", "Pass an Encoding"),
        ({"layer": [[1, 2]]}, "Expected a NumPy array, got list.", "Pass the layer"),
        ({"layer": None}, "Expected a NumPy array, got NoneType.", "Pass the layer"),
        ({"reference": [[1, 2]]}, "Expected a NumPy array, got list.", "Pass the reference"),
        ({"selection": [[1, 2]]}, "Expected a NumPy array, got list.", "Pass the selection"),
        ({"model": 5}, "model is 5.", "Pass a string"),
        ({"model": "\ud800"}, "model is", "Pass a string"),
        ({"fit": "x" * 300}, "fit is 'xxx", "Pass a string"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_pass_instead(
    client: Client, layer: np.ndarray, reference: np.ndarray, change: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(InputError) as error:
        client.harmonize(**{"layer": layer, "reference": reference, "at": AT, **change})  # type: ignore[arg-type]
    assert message in error.value.message
    assert hint in error.value.hint


def test_a_call_within_its_own_progress_is_refused_at_once(
    client: Client, layer: np.ndarray, reference: np.ndarray
) -> None:
    for inner in (client.status, client.shutdown, lambda: client.harmonize(layer, reference, at=AT, network_size=SIZE)):
        with pytest.raises(InputError, match="already working on a request"):
            client.harmonize(layer, reference, at=AT, network_size=SIZE, on_progress=lambda *_, inner=inner: inner())  # type: ignore[misc]
    assert client.harmonize(layer, reference, at=AT, network_size=SIZE).pixels.shape == layer.shape


def test_a_call_from_a_second_thread_is_refused_at_once(
    client: Client, layer: np.ndarray, reference: np.ndarray
) -> None:
    refusals: list[BaseException | None] = []

    def ask_elsewhere(*_: object) -> None:
        if not refusals:
            with ThreadPoolExecutor(1) as pool:
                refusals.append(pool.submit(client.status).exception(timeout=30))

    result = client.harmonize(layer, reference, at=AT, network_size=SIZE, on_progress=ask_elsewhere).pixels
    assert isinstance(refusals[0], InputError)
    assert np.array_equal(result, client.harmonize(layer, reference, at=AT, network_size=SIZE).pixels)


@pytest.mark.parametrize("kind", [">f2", ">f4", ">u2"])
def test_a_large_big_endian_reference_is_taken(
    client: Client, layer: np.ndarray, reference: np.ndarray, kind: str
) -> None:
    large = np.tile(reference, (1, 3, 1))
    below = (large / 255).astype(kind) if "f" in kind else large.astype(kind) * np.dtype(kind).type(257)
    native = below.astype(below.dtype.newbyteorder("="))
    result = client.harmonize(layer, below, at=AT, network_size=SIZE).pixels
    assert np.array_equal(result, client.harmonize(layer, native, at=AT, network_size=SIZE).pixels)


def test_numbers_that_are_none_are_refused(client: Client, layer: np.ndarray, reference: np.ndarray) -> None:
    pixels = as_depth(layer, "float32")
    pixels[80, 60, 1] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        client.harmonize(pixels, as_depth(reference, "float32"), at=AT, network_size=SIZE)


def test_a_layer_over_the_whole_canvas_has_no_background(client: Client, reference: np.ndarray) -> None:
    selection = np.full(reference.shape[:2], 255, np.uint8)
    with pytest.raises(NoBackgroundError):
        client.harmonize(reference, reference, selection=selection)


def test_a_closed_client_may_be_closed_again(backend: Backend) -> None:
    del backend
    client = Client.connect(start=False)
    client.close()
    client.close()
    assert client.status()["op"] == "status"  # connected anew
    client.close()


def test_what_a_host_imports_is_the_standard_library() -> None:
    program = (
        "import sys, backend.thin, backend.thin.protocol\n"
        "print(sorted({'zmq', 'numpy', 'torch', 'msgpack', 'pyvips', 'psutil', 'gknet'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("depth", ["uint16", "float16"])  # uint8 is reduced as uint16, float16 as float32
def test_a_large_reference_with_gaps_is_sent_reduced_without_what_lies_in_them(
    client: Client, layer: np.ndarray, reference: np.ndarray, depth: str
) -> None:
    large = as_depth(np.repeat(np.repeat(reference, 3, axis=0), 3, axis=1), depth)
    full = large.dtype.type(1 if large.dtype.kind == "f" else np.iinfo(large.dtype).max)
    alpha = np.full((*large.shape[:2], 1), full)
    alpha[1200:] = 0
    gaps = large.copy()
    gaps[1200:] = full
    at = (3 * AT[0], 3 * AT[1])
    results = [
        client.harmonize(as_depth(layer, depth), np.dstack([below, alpha]), at=at).pixels.astype(np.float64)
        for below in (large, gaps)
    ]
    assert np.abs(results[0] - results[1]).max() <= 0.01 * float(full)


@pytest.mark.parametrize(
    ("depth", "name"), [("uint8", "u8"), ("uint16", "u16"), ("float16", "f16"), ("float32", "f32")]
)
def test_the_hosts_client_gets_the_same_bytes(
    client: Client, layer: np.ndarray, reference: np.ndarray, depth: str, name: str
) -> None:
    pixels, below = as_depth(layer, depth), as_depth(reference, depth)
    selection = np.ascontiguousarray(255 - layer[..., 3] // 2)
    ours = client.harmonize(pixels, below, at=AT, network_size=SIZE, strength=0.8, selection=selection).pixels
    kind = {"channels": 4, "depth": name, "space": "srgb"}
    with ThinClient.connect(start=False) as thin:
        result, theirs = thin.harmonize(
            {**kind, "width": 120, "height": 160, "x": AT[0], "y": AT[1]},
            pixels.tobytes(),
            {**kind, "channels": 3, "width": 512, "height": 512, "canvas_width": 512, "canvas_height": 512},
            below.tobytes(),
            selection.tobytes(),
            {"strength": 0.8, "network_size": SIZE},
        )
    assert result["depth"] == name
    assert bytes(theirs) == ours.tobytes()


def test_clean_edges_are_those_of_the_harmonizer(client: Client, layer: np.ndarray, reference: np.ndarray) -> None:
    stages: list[str] = []
    answer = client.harmonize(
        layer, reference, at=AT, network_size=SIZE, clean_edges=True, on_progress=lambda stage, *_: stages.append(stage)
    )
    clean = clean_edges(layer, lambda *_: None)
    assert not np.array_equal(clean, layer)
    assert np.array_equal(answer.pixels, client.harmonize(clean, reference, at=AT, network_size=SIZE).pixels)
    assert "clean" in stages
    again = client.harmonize(layer, None, fit=answer.fit, clean_edges=True, strength=0)
    assert np.array_equal(again.pixels, clean)
