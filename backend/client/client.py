"""The backend for scripts: numpy arrays in, numpy arrays out.

>>> with Client.connect() as client:
...     harmonized = client.harmonize(layer, photograph, at=(420, 310))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyvips

from backend.client import starting
from backend.client.link import Link
from backend.server.requests import Space
from backend.thin import protocol
from backend.thin.protocol import BackendError

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, steps done and steps in all. Whatever it raises cancels the request and comes out."""

_DEPTHS = {"uint8": "u8", "uint16": "u16", "float16": "f16", "float32": "f32"}
_ANSWER_S = 10.0
"""What `status` and `shutdown` wait for at most."""


class Client:
    """A connection with the backend, of one thread at a time.

    Every failure is a BackendError, with `code` (docs/protocol.md), `message` and `hint`.
    """

    def __init__(self, link: Link, *, start: bool) -> None:
        self._link: Link | None = link
        self._start = start
        self.last_fit: str | None = None
        """Name of the colour map that the last answer was made with: give it as `fit` for another strength."""
        self.last_timings: dict[str, float] = {}
        """Milliseconds of each stage of the last answer."""
        self.last_warnings: list[str] = []
        """What a user should know of the last answer, a sentence each."""

    @classmethod
    def connect(cls, *, start: bool = True) -> Self:
        """A client of the running backend; start: starts one if there is none.

        Raises BackendError, `backend_unavailable`, if none runs or none can be started.
        """
        return cls(starting.reach(start_one=start), start=start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, until the next call needs one. The backend goes on."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def harmonize(
        self,
        layer: np.ndarray,
        reference: np.ndarray | None,
        *,
        at: tuple[int, int] = (0, 0),
        canvas: tuple[int, int] | None = None,
        strength: float = 1.0,
        space: Space = "srgb",
        profile: bytes | None = None,
        model: str | None = None,
        selection: np.ndarray | None = None,
        fit: str | None = None,
        network_size: int | None = None,
        opacity: float = 1.0,
        clean_edges: bool = False,
        on_progress: Progress | None = None,
    ) -> np.ndarray:
        """The layer, harmonized with what lies below it; a new array of the same shape and type, alpha untouched.

        layer: (h, w) or (h, w, C) uint8, uint16, float16 or float32, C = 1 gray, 2 gray + alpha, 3 RGB,
        4 RGB + alpha, straight alpha.   reference: (H, W) or (H, W, C) of these, all of the canvas without the
        layer; where it is transparent, its mean colour stands in; any size: it is sent reduced.
        at: (x, y) of the layer on the canvas.
        canvas: (width, height) in the layer's pixels, if the reference is reduced already.
        strength: 0..1.   space: "srgb" (encoded) or "linear", of both.   profile: ICC profile of both, None for sRGB.
        model: None for the backend's default.   selection: (h, w) uint8, 255 where the layer is the object.
        fit: `last_fit` of an earlier call: no network runs. If the backend has forgotten it, the reference, unless
        None, is used.   network_size: 64..1024, long side of what the network sees, None for the model's own.
        opacity: the layer's; the object itself is looked at as if it were opaque.
        clean_edges: take the colours of the layer's old background out of its soft edge first; needs PyMatting where
        the backend runs (`unsupported` without).
        If the backend dies meanwhile, it is started and asked once more.
        """
        frame, kind = _picture(layer)
        frames = [frame]
        header: dict[str, Any] = {
            "op": "harmonize",
            "layer": {**kind, "space": space, "x": at[0], "y": at[1], "opacity": opacity, "profile": profile},
            "options": {
                "strength": strength,
                "model": model,
                "network_size": network_size,
                "clean_edges": clean_edges,
            },
        }
        if selection is not None:
            header["selection"] = {"width": kind["width"], "height": kind["height"]}
            frames.append(_selection(selection, layer))
        if fit is not None:
            again = {**header, "options": {**header["options"], "fit": fit}}
            try:
                return self._harmonized(again, frames, layer, on_progress)
            except BackendError as error:
                if error.code != protocol.UNKNOWN_FIT or reference is None:
                    raise
        if reference is None:
            raise _bad("There is nothing to compare the layer with.", "Give a reference.")
        below, header["reference"] = _reference(reference, canvas)
        header["reference"].update(space=space, profile=profile)
        return self._harmonized(header, [frame, below, *frames[1:]], layer, on_progress)

    def status(self) -> dict[str, Any]:
        """What the backend says of itself (docs/protocol.md, status)."""
        return self._ask({"op": "status"}, start=self._start)

    def shutdown(self) -> None:
        """Ends the backend, and returns when it has ended; what is running is cancelled."""
        try:
            self._ask({"op": "shutdown"}, start=False)
        except BackendError as error:
            if error.code not in (protocol.BACKEND_LOST, protocol.BACKEND_UNAVAILABLE):
                raise
        self.close()
        starting.await_end()

    def _harmonized(
        self, header: Mapping[str, Any], frames: list[np.ndarray], layer: np.ndarray, on_progress: Progress | None
    ) -> np.ndarray:
        """The answer's pixels; a backend that is lost is started and asked once more."""
        try:
            return self._once(header, frames, layer, on_progress)
        except BackendError as error:
            if error.code != protocol.BACKEND_LOST or not self._start:
                raise
        return self._once(header, frames, layer, on_progress)

    def _once(
        self, header: Mapping[str, Any], frames: list[np.ndarray], layer: np.ndarray, on_progress: Progress | None
    ) -> np.ndarray:
        with self._linked(start=self._start) as link:
            request = link.send(header, frames)
            try:
                while True:
                    reply, pixels = link.receive(request)
                    if reply["op"] == "result":
                        break
                    if on_progress is not None and reply["op"] == "progress":
                        on_progress(reply["stage"], reply["done"], reply["total"])
            except BackendError:
                raise
            except BaseException:  # the caller's own, KeyboardInterrupt among it
                link.send({"op": "cancel", "request": request})
                raise
        if len(pixels) != 1 or len(pixels[0]) != layer.nbytes:
            raise BackendError(protocol.INTERNAL, "The backend's answer is not of the layer's size.", "Update both.")
        self.last_fit, self.last_timings, self.last_warnings = reply["fit"], reply["timings"], reply["warnings"]
        # In place, in libzmq's memory, which the array keeps alive.
        kind = layer.dtype.newbyteorder("<")
        return np.frombuffer(pixels[0], kind).reshape(layer.shape).astype(layer.dtype, copy=False)

    def _ask(self, header: Mapping[str, Any], *, start: bool) -> dict[str, Any]:
        """The one reply to a small question."""
        with self._linked(start=start) as link:
            try:
                return link.receive(link.send(header), _ANSWER_S)[0]
            except TimeoutError:
                raise BackendError(protocol.BACKEND_LOST, "The backend does not answer.", "End its process.") from None

    @contextmanager
    def _linked(self, *, start: bool) -> Iterator[Link]:
        """The link, opened again if it was lost: backends end when nobody asks them for anything."""
        if self._link is not None and not self._link.is_open:
            self.close()
        if self._link is None:
            self._link = starting.reach(start_one=start)
        try:
            yield self._link
        except BackendError as error:
            if error.code == protocol.BACKEND_LOST:
                self.close()
            raise


def _picture(pixels: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """A picture as a frame, and the fields that say what it is."""
    depth = _DEPTHS.get(pixels.dtype.name)
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if depth is None:
        raise BackendError(
            protocol.UNSUPPORTED, f"Pixels of type {pixels.dtype} cannot be worked on.", f"Use {', '.join(_DEPTHS)}."
        )
    if pixels.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise _bad(f"An array of shape {pixels.shape} is no picture.", "Give (height, width, 1 to 4 channels).")
    height, width = pixels.shape[:2]
    if height * width > protocol.MAX_PIXELS or pixels.nbytes > protocol.MAX_FRAME:
        raise BackendError(
            protocol.TOO_LARGE, f"{width} x {height} pixels are more than the backend takes.", "Divide the picture."
        )
    fields = {"width": width, "height": height, "channels": channels, "depth": depth}
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")), fields


def _selection(selection: np.ndarray, layer: np.ndarray) -> np.ndarray:
    if selection.dtype != np.uint8 or selection.shape != layer.shape[:2]:
        raise _bad("The selection is not one byte for each of the layer's pixels.", "Give (h, w) uint8.")
    return np.ascontiguousarray(selection)


def _reference(pixels: np.ndarray, canvas: tuple[int, int] | None) -> tuple[np.ndarray, dict[str, Any]]:
    """A reference small enough to be sent, as a frame and its fields."""
    _picture(pixels)
    height, width = pixels.shape[:2]
    scale = protocol.MAX_REFERENCE_SIDE / max(height, width)
    if scale < 1:
        if pixels.dtype == np.float16:  # libvips has none
            pixels = pixels.astype(np.float32)
        across, down = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = _resized(pixels, across / width, down / height)
    frame, fields = _picture(pixels)
    canvas_width, canvas_height = (width, height) if canvas is None else canvas
    return frame, {**fields, "canvas_width": canvas_width, "canvas_height": canvas_height}


def _resized(pixels: np.ndarray, across: float, down: float) -> np.ndarray:
    """A picture of uint8, uint16 or float32 at another size; what is transparent has no weight."""
    image: Any = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    if pixels.ndim == 2 or pixels.shape[2] in (1, 3):
        return np.asarray(image.resize(across, vscale=down, kernel="linear").numpy())
    whole = pixels.dtype.kind == "u"
    full = float(np.iinfo(pixels.dtype).max) if whole else 1.0
    image = image.premultiply(max_alpha=full).resize(across, vscale=down, kernel="linear").unpremultiply(max_alpha=full)
    small = np.asarray(image.numpy())
    return (np.rint(small).clip(0, full) if whole else small).astype(pixels.dtype)


def _bad(message: str, hint: str) -> BackendError:
    return BackendError(protocol.BAD_REQUEST, message, hint)
