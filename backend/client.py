"""The backend's client for scripts: numpy arrays in, numpy arrays out.

>>> with Client.connect() as client:
...     answer = client.harmonize(layer, photograph, at=(420, 310))
>>> answer.pixels
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyvips

from backend import arguments
from backend.errors import BackendLostError, BackendUnavailableError, UnknownFitError, translate_errors
from backend.install.installation import COMMAND
from backend.server import connection
from backend.thin import protocol
from backend.thin.choices import compute_reference_size
from backend.thin.client import ThinClient
from backend.thin.connection import find_connection_path
from gknet import __version__
from gknet.color.encoding import ENCODED_SRGB, Encoding, full_value
from gknet.errors import InputError
from gknet.transfer.trims import NO_TRIMS, Trims
from gknet.vips import vips_session

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the steps done and the total steps. An exception from it cancels the request."""

_START_S = 15.0
_END_S = 15.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class HarmonizeResult:
    """An answer of the backend.

    pixels: the harmonized layer, a new array of the layer's shape and dtype, alpha untouched.
    fit: name of the colour map that was used; pass it as `fit` to try another strength, variant or trims.
    variants: how likely each answer is to be the best one, in [0, 1]. The first is the network's own; the others
    follow, likeliest first. Empty if the backend is older than version 1.2 of the protocol.
    timings: milliseconds of each stage.   warnings: sentences to show to the user.
    """

    pixels: np.ndarray
    fit: str
    variants: list[float]
    timings: dict[str, float]
    warnings: list[str]


class Client:
    """A connection to the backend. Use it from one thread at a time.

    A call during another one, from another thread or from `on_progress`, raises InputError; only `close` may be called.
    Its methods raise the same errors as `gknet.Harmonizer`, except InputError in place of TypeError, and those of
    `backend.errors`.
    """

    def __init__(self, thin: ThinClient, *, start: bool) -> None:
        self._thin = thin
        self._start = start
        self._working = threading.Lock()

    @classmethod
    def connect(cls, *, start: bool = True) -> Self:
        """Connect to the running backend.

        start: whether to start a backend if none is running, now or when the connection is lost.
        Raise BackendUnavailableError if no backend is running or can be started, UnauthorizedError,
        UnsupportedError if the backend speaks another version of the protocol.
        """
        client = ("backend.Client", __version__)
        with translate_errors():
            path = find_connection_path()
            # A backend that is starting or stopping holds the lock but has no connection file. A running one that has
            # lost it writes it again.
            if not _wait_while(lambda: connection.is_lost(path) and connection.is_locked(path), _START_S):
                raise connection.make_silence_error(path)
            return cls(ThinClient.connect(start=start, client=client, command=COMMAND), start=start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The backend keeps running, and the next call reconnects."""
        self._thin.close()

    def harmonize(
        self,
        layer: np.ndarray,
        reference: np.ndarray | None,
        *,
        at: tuple[int, int] = (0, 0),
        canvas: tuple[int, int] | None = None,
        strength: float = 1.0,
        variant: int = 1,
        trims: Trims = NO_TRIMS,
        encoding: Encoding = ENCODED_SRGB,
        reference_encoding: Encoding | None = None,
        model: str | None = None,
        selection: np.ndarray | None = None,
        fit: str | None = None,
        network_size: int | None = None,
        opacity: float = 1.0,
        clean_edges: bool = False,
        on_progress: Progress | None = None,
    ) -> HarmonizeResult:
        """Return a layer harmonized with the image below it.

        layer: (h, w) or (h, w, C) uint8, uint16, float16 or float32, C = 1 gray, 2 gray + alpha, 3 RGB,
        4 RGB + alpha, straight alpha. A C-contiguous array is sent without a copy: don't change it meanwhile.
        reference: (H, W) or (H, W, C) of the same dtypes: the whole canvas without the layer. It is scaled down before
        it is sent. Transparent parts are filled with its mean colour. None if `fit` is given.
        at: (x, y) of the layer on the canvas.
        canvas: (width, height) of the canvas in the layer's pixels, if the reference is already scaled down.
        strength: 0..1.   variant: number of the answer, from 1 to 5 (`HarmonizeResult.variants`).
        trims: added to the harmonized colours.
        encoding: the layer's.   reference_encoding: None for the layer's.
        model: None for the backend's default.   selection: (h, w) uint8, 255 where the layer is the object.
        fit: `HarmonizeResult.fit` of an earlier answer, to skip the network. If the backend no longer stores it, the
        reference is used instead.
        network_size: 64..1024, long side of the network's input; None for the model's default.
        opacity: above 0, up to 1, the layer's opacity. The network sees the object as opaque.
        clean_edges: remove the old background's colours from the layer's soft edge first. The backend needs PyMatting
        for this (UnsupportedError without it).
        on_progress: called in this thread. An exception from it, including KeyboardInterrupt, cancels the request.
        If the connection is lost, the backend is started again and the request is repeated once.

        Raise InputError for an argument that is out of range or has the wrong shape, UnsupportedError for a dtype,
        TooLargeError, NoForegroundError, NoBackgroundError, UnknownFitError, BackendError.
        """
        arguments.check_pixels("layer", layer)
        arguments.check_size(layer)
        if selection is not None:
            arguments.check_selection(selection, layer)
        if reference is not None:
            arguments.check_pixels("reference", reference)
        arguments.check_encoding("encoding", encoding)
        if reference_encoding is not None:
            arguments.check_encoding("reference_encoding", reference_encoding)
        for name, text in (("model", model), ("fit", fit)):
            if text is not None:
                arguments.check_text(name, text)
        left, top = arguments.convert_pair("at", at, -protocol.MAX_SIDE, protocol.MAX_SIDE)
        if canvas is not None:
            canvas = arguments.convert_pair("canvas", canvas, 1, protocol.MAX_SIDE)
        if network_size is not None:
            network_size = arguments.convert_integer("network_size", network_size, 64, 1024)
        options = {
            "strength": arguments.convert_number("strength", strength, 0, 1),
            "variant": arguments.convert_integer("variant", variant, 1, protocol.MAX_VARIANTS),
            **arguments.convert_trims(trims),
            "model": model,
            "network_size": network_size,
            "clean_edges": arguments.convert_boolean("clean_edges", clean_edges),
        }
        opacity = arguments.convert_number("opacity", opacity, 0, 1)
        request: dict[str, Any] = {
            "layer": {**_describe_pixels(layer, encoding), "x": left, "y": top, "opacity": opacity},
            "layer_bytes": _get_bytes(layer),
            "selection": None if selection is None else _get_bytes(selection),
        }
        if fit is not None:
            try:
                return self._request_answer(layer, {**request, "options": {**options, "fit": fit}}, on_progress)
            except UnknownFitError:
                if reference is None:
                    raise
        if reference is None:
            raise InputError("Both reference and fit are None.", "Pass a reference or a fit.")
        small = _shrink_reference(reference)
        height, width = reference.shape[:2]
        across, down = (width, height) if canvas is None else canvas
        fields = _describe_pixels(small, encoding if reference_encoding is None else reference_encoding)
        request["reference"] = {**fields, "canvas_width": across, "canvas_height": down}
        return self._request_answer(
            layer, {**request, "reference_bytes": _get_bytes(small), "options": options}, on_progress
        )

    def status(self) -> dict[str, Any]:
        """Return the backend's status (docs/python.md).

        Raise BackendUnavailableError if none is running; this never starts one.
        """
        with self._take_turn():
            return self._thin.status()

    def shutdown(self) -> None:
        """Stop the backend, cancel its running requests and wait until it has ended.

        Raise BackendUnavailableError if that takes longer than 15 seconds.
        """
        with suppress(BackendLostError, BackendUnavailableError), self._take_turn():
            self._thin.shutdown()
        with translate_errors():
            path = find_connection_path()
        if not _wait_while(lambda: connection.is_locked(path), _END_S):
            name = connection.name_holder(path)
            raise BackendUnavailableError(f"The backend{name} did not stop within {_END_S:g} s.", "End its process.")

    def _request_answer(
        self, layer: np.ndarray, request: Mapping[str, Any], on_progress: Progress | None
    ) -> HarmonizeResult:
        def report(stage: str, done: int, total: int, text: str) -> None:
            del text
            if on_progress is not None:
                on_progress(stage, done, total)

        with self._take_turn():
            result, pixels = self._thin.harmonize(**request, on_progress=report, again=self._start)
        # The array keeps the answer's memory: nothing is copied.
        array = np.frombuffer(pixels, layer.dtype.newbyteorder("<")).reshape(layer.shape)
        return HarmonizeResult(
            array.astype(layer.dtype, copy=False),
            result["fit"],
            result.get("variants", []),
            result["timings"],
            result["warnings"],
        )

    @contextmanager
    def _take_turn(self) -> Iterator[None]:
        """Translate errors during one request. Raise InputError if another one is under way: both would hang."""
        if not self._working.acquire(blocking=False):
            raise InputError(
                "The client is already working on a request.",
                "Use one client for each thread, and none within its own on_progress.",
            )
        try:
            with translate_errors():
                yield
        finally:
            self._working.release()


def _wait_while(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait while a condition holds. Return False if it still holds after the timeout."""
    deadline = time.monotonic() + timeout_s
    while condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _describe_pixels(pixels: np.ndarray, encoding: Encoding) -> dict[str, Any]:
    """Return the protocol's fields for an image."""
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "channels": 1 if pixels.ndim == 2 else pixels.shape[2],
        "depth": arguments.get_depth(pixels),
        "space": encoding.space,
        "profile": encoding.profile,
    }


def _get_bytes(pixels: np.ndarray) -> memoryview:
    """Return the pixels as sent: C-contiguous and little-endian. Copy them only if they are not."""
    contiguous = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    return contiguous.reshape(-1).view(np.uint8).data


def _shrink_reference(reference: np.ndarray) -> np.ndarray:
    """Return a reference scaled down to the size at which it is sent."""
    height, width = reference.shape[:2]
    small_width, small_height = compute_reference_size(width, height)
    if (small_width, small_height) == (width, height):
        return reference
    if reference.dtype.newbyteorder("=") == np.float16:  # libvips does not support it
        reference = reference.astype(np.float32)
    return _resize(reference, small_width / width, small_height / height)


@vips_session()
def _resize(pixels: np.ndarray, across: float, down: float) -> np.ndarray:
    """Return a uint8, uint16 or float32 image scaled by two factors; transparent pixels have no weight."""
    image: Any = pyvips.Image.new_from_array(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")))
    if pixels.ndim == 2 or pixels.shape[2] in (1, 3):
        return np.asarray(image.resize(across, vscale=down, kernel="linear").numpy())
    full = full_value(pixels.dtype)
    image = image.premultiply(max_alpha=full).resize(across, vscale=down, kernel="linear").unpremultiply(max_alpha=full)
    small = np.asarray(image.numpy())
    return (np.rint(small).clip(0, full) if pixels.dtype.kind == "u" else small).astype(pixels.dtype)
