"""Requests from clients. Every field and size is checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from backend.errors import TooLargeError
from backend.server.fields import Fields, make_bad_request, unpack_fields
from backend.thin import protocol
from gknet.errors import HarmonizeError, InputError, UnsupportedError
from gknet.transfer.trims import Trims

if TYPE_CHECKING:
    from gknet.color.encoding import Space

_ROUNDING = 2.0
"""Pixels by which a reference's short side may deviate from the canvas's aspect ratio: hosts round differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """A client's introduction."""

    id: int
    client: str
    nonce: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """One image: its size, its pixel format and its bytes in `data` (any object with the buffer protocol)."""

    width: int
    height: int
    channels: int
    depth: str
    space: Space
    profile: bytes | None
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmonize:
    """A layer to harmonize, with a reference or with the fit of an earlier answer.

    at: (x, y) of the layer on the canvas.   canvas: (width, height) of the image that the reference shows.
    selection: frame with one byte per pixel, or None.   variant: from 1.   network_size: None for the model's default.
    """

    id: int
    layer: Pixels
    at: tuple[int, int]
    opacity: float
    reference: Pixels | None
    canvas: tuple[int, int]
    selection: Any | None
    strength: float
    variant: int
    trims: Trims
    model: str | None
    network_size: int | None
    clean_edges: bool = False
    fit: str | None

    @property
    def size(self) -> int:
        """Number of bytes of all its pixels."""
        frames = [self.layer.data, self.selection, self.reference and self.reference.data]
        return sum(len(frame) for frame in frames if frame is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Cancellation of `request` of the same client."""

    id: int
    request: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Request for the backend's status."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """Request to stop the backend."""

    id: int


Request = Hello | Harmonize | Cancel | Status | Shutdown


class BadMessageError(Exception):
    """An invalid message.   id: the message's, None if it could not be read.   error: the answer to send."""

    def __init__(self, message_id: int | None, error: HarmonizeError) -> None:
        super().__init__(str(error))
        self.id = message_id
        self.error = error


def read_request(frames: Sequence[Any]) -> Request:
    """Return the request in a message's frames (objects with the buffer protocol and their length in bytes).

    Pixels are not copied. Raise BadMessageError for an invalid message.
    """
    message_id: int | None = None
    try:
        if not frames:
            raise make_bad_request("The message is empty.")
        fields = unpack_fields(frames[0])
        message_id = fields.read_integer("id", 0, protocol.MAX_ID)
        request = _read_operation(fields, message_id, frames[1:])
        _check_header(len(frames[0]), request)
    except HarmonizeError as error:
        raise BadMessageError(message_id, error) from error
    return request


def _read_operation(fields: Fields, message_id: int, pixels: Sequence[Any]) -> Request:
    operation = fields.read_text("op")
    if operation == "harmonize":
        return _read_harmonize(fields, message_id, pixels)
    if pixels:
        raise make_bad_request("An operation without pixels came with frames of pixels.")
    if operation == "hello":
        return _read_hello(fields, message_id)
    if operation == "cancel":
        return Cancel(id=message_id, request=fields.read_integer("request", 0, protocol.MAX_ID))
    if operation == "status":
        return Status(id=message_id)
    if operation == "shutdown":
        return Shutdown(id=message_id)
    raise make_bad_request(f"Unknown operation {operation!r}.")


def _read_hello(fields: Fields, message_id: int) -> Hello:
    version = fields.read_pair("protocol")
    if version[0] > protocol.PROTOCOL[0]:
        theirs, ours = (".".join(map(str, pair)) for pair in (version, protocol.PROTOCOL))
        raise UnsupportedError(
            f"The client speaks version {theirs} of the protocol, the backend {ours}.",
            "Update the backend, or use the client that came with it.",
        )
    client = fields.read_map("client")
    name = f"{client.read_text('name')} {client.read_text('version')}"
    return Hello(id=message_id, client=name, nonce=fields.read_bytes("nonce", 16, 64))


def _read_harmonize(fields: Fields, message_id: int, frames: Sequence[Any]) -> Harmonize:
    options = fields.read_map("options", {})
    fit = options.read_optional_text("fit")
    if (fit is None) != ("reference" in fields):
        raise make_bad_request("Expected either a reference or options.fit.")
    expected = 1 + ("reference" in fields) + ("selection" in fields)
    if len(frames) != expected:
        raise make_bad_request(f"The message has {len(frames)} frames of pixels instead of {expected}.")
    place = fields.read_map("layer")
    limit = protocol.MAX_TRIM
    layer = _read_pixels(place, frames[0], protocol.MAX_SIDE)
    at, canvas, reference = (0, 0), (layer.width, layer.height), None
    if fit is None:
        reach = protocol.MAX_SIDE
        at = (place.read_integer("x", -reach, reach), place.read_integer("y", -reach, reach))
        below = fields.read_map("reference")
        reference = _read_pixels(below, frames[1], protocol.MAX_REFERENCE_SIDE)
        canvas = _read_canvas(below, reference)
    selection = frames[-1] if "selection" in fields else None
    if selection is not None:
        _check_selection(fields.read_map("selection"), layer, len(selection))
    return Harmonize(
        id=message_id,
        layer=layer,
        at=at,
        opacity=place.read_number("opacity", 0, 1, 1.0),
        reference=reference,
        canvas=canvas,
        selection=selection,
        strength=options.read_number("strength", 0, 1, 1.0),
        variant=options.read_integer("variant", 1, protocol.MAX_VARIANTS, 1),
        trims=Trims(**{name: options.read_number(name, -limit, limit, 0.0) for name in protocol.TRIMS}),
        model=options.read_optional_text("model"),
        network_size=options.read_integer("network_size", 64, 1024) if "network_size" in options else None,
        clean_edges=options.read_boolean("clean_edges", False),
        fit=fit,
    )


def _read_pixels(fields: Fields, frame: Any, longest: int) -> Pixels:
    width, height = fields.read_side("width", longest), fields.read_side("height", longest)
    count = fields.read_integer("channels", 1, 4)
    depth = fields.read_choice("depth", protocol.DEPTHS)
    space = cast("Space", fields.read_choice("space", protocol.SPACES))
    size = width * height * count * protocol.DEPTHS[depth]
    if width * height > protocol.MAX_PIXELS or size > protocol.MAX_FRAME:
        raise TooLargeError(
            f"An image of {width} x {height} pixels is too large for the backend.",
            "Use a smaller image or a lower bit depth.",
        )
    if len(frame) != size:
        raise make_bad_request(f"A frame of pixels has {len(frame)} bytes instead of {size}.")
    profile = fields.read_bytes("profile", 1, protocol.MAX_PROFILE) if "profile" in fields else None
    return Pixels(width=width, height=height, channels=count, depth=depth, space=space, profile=profile, data=frame)


def _read_canvas(fields: Fields, reference: Pixels) -> tuple[int, int]:
    """Return (width, height) of the canvas. Raise InputError unless the reference has its aspect ratio."""
    width = fields.read_side("canvas_width", protocol.MAX_SIDE)
    height = fields.read_side("canvas_height", protocol.MAX_SIDE)
    scale = max(reference.width, reference.height) / max(width, height)
    missed = max(abs(reference.width - width * scale), abs(reference.height - height * scale))
    if scale > 1 or missed > _ROUNDING:
        raise InputError(
            f"A reference of {reference.width} x {reference.height} pixels can't show a canvas of {width} x {height}.",
            "Give the canvas's own size; the reference must have its aspect ratio and be no larger.",
        )
    return width, height


def _check_selection(fields: Fields, layer: Pixels, length: int) -> None:
    width, height = fields.read_side("width", protocol.MAX_SIDE), fields.read_side("height", protocol.MAX_SIDE)
    if (width, height) != (layer.width, layer.height):
        raise make_bad_request(
            f"The selection has {width} x {height} pixels, the layer {layer.width} x {layer.height}."
        )
    if length != width * height:
        raise make_bad_request(f"The selection's frame has {length} bytes instead of {width * height}.")


def _check_header(length: int, request: Request) -> None:
    """Raise TooLargeError if the map without its profiles is longer than MAX_HEADER."""
    if isinstance(request, Harmonize):
        pictures = [request.layer, request.reference]
        length -= sum(len(one.profile) for one in pictures if one is not None and one.profile is not None)
    if length > protocol.MAX_HEADER:
        raise TooLargeError(f"The message's map is too long: {length} bytes.", f"Send at most {protocol.MAX_HEADER}.")
