"""A small preview of the layer before and after. The network runs once, and its fit is reused for all other values."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, NamedTuple

from .backdrop import View, get_pixels, scale_picture
from .harmonizing import describe_reference, render_reference
from .hidden_copy import open_hidden_copy
from .qt import QtGui
from .source import Source, check_source_between_steps
from .steps import Steps
from .thin.choices import BELOW, compute_reference_size, format_error
from .thin.job import Backend, Job
from .thin.preview import Box, find_surroundings, intersect_boxes
from .thin.protocol import INTERNAL, NO_FOREGROUND, UNKNOWN_FIT, ThinError
from .values import Values

_Mode = QtGui.QPainter.CompositionMode
_MODES = {
    "multiply": _Mode.CompositionMode_Multiply,
    "screen": _Mode.CompositionMode_Screen,
    "overlay": _Mode.CompositionMode_Overlay,
    "darken": _Mode.CompositionMode_Darken,
    "lighten": _Mode.CompositionMode_Lighten,
    "dodge": _Mode.CompositionMode_ColorDodge,
    "burn": _Mode.CompositionMode_ColorBurn,
    "hard_light": _Mode.CompositionMode_HardLight,
    "soft_light_svg": _Mode.CompositionMode_SoftLight,
    "diff": _Mode.CompositionMode_Difference,
    "exclusion": _Mode.CompositionMode_Exclusion,
    "add": _Mode.CompositionMode_Plus,
}
"""Krita's blending modes that Qt supports; the others are shown as "normal"."""


class _Picture(NamedTuple):
    """What a version looks like with some values.   values: with variant 1.   image: QImage.   warnings: sentences."""

    values: Values
    image: Any
    warnings: list[str]


class Preview:
    """The pictures of one layer before and after, updated with the dialog's values.

    All versions are made, the wanted one first, and kept until other values than the version change.

    on_change: called when an attribute has changed.   size: maximum width and height of the pictures.
    before, after: QImage or None.   text: the progress, an error, warnings, or "".
    probabilities: that of each version; empty before the first answer.
    """

    def __init__(
        self, source: Source, backend: Backend, on_change: Callable[[], object], size: tuple[int, int]
    ) -> None:
        self.before: Any = None
        self.after: Any = None
        self.text = ""
        self.probabilities: list[float] = []
        self._source = source
        self._backend = backend
        self._on_change = on_change
        self._size = size
        self._scene: _Scene | None = None
        self._wanted: Values | None = None
        self._fit = ""
        self._pictures: dict[int, _Picture] = {}
        self._steps: Steps | None = None

    def show(self, values: Values) -> None:
        """Update the pictures for these values: at once if this version has been made, otherwise as soon as possible.

        A version that the layer doesn't have counts as version 1.
        """
        shown = self._wanted
        if shown is not None and (shown.compare, shown.layer) != (values.compare, values.layer):
            self.stop()
            self._scene, self.after, self.probabilities = None, None, []
            self._pictures.clear()
        self._wanted = values
        self._show_wanted()
        if self._steps is None:
            self._steps = Steps(
                check_source_between_steps(self._source, self._update()), self._on_preview_end, self._on_error
            )

    def get_version(self, number: int) -> Any:
        """Return the QImage of a version, from 1, as last made; None before that."""
        picture = self._pictures.get(number)
        return None if picture is None else picture.image

    def stop(self) -> None:
        """Stop the running update."""
        if self._steps is not None:
            self._steps.stop()
            self._steps = None

    def _on_preview_end(self, _: object) -> None:
        self._steps = None
        self._show_wanted()

    def _on_error(self, error: Exception) -> None:
        self._steps = None
        self.after = None
        self._pictures.clear()
        if not isinstance(error, ThinError):
            error = ThinError(INTERNAL, f"{type(error).__name__}: {error}", "Please report this.")
        self._set_text(format_error(error))

    def _set_text(self, text: str) -> None:
        self.text = text
        self._on_change()

    def _show_wanted(self) -> None:
        """Show the wanted picture if it has been made."""
        assert self._wanted is not None
        number = self._find_version()
        if not self._is_stale(number):
            self.after = self._pictures[number].image
            self._set_text("\n".join(self._pictures[number].warnings))

    def _find_version(self) -> int:
        """Return the wanted version, or 1 if the layer doesn't have it."""
        assert self._wanted is not None
        return self._wanted.variant if self._wanted.variant <= max(1, len(self.probabilities)) else 1

    def _is_stale(self, number: int) -> bool:
        assert self._wanted is not None
        picture = self._pictures.get(number)
        return picture is None or picture.values != replace(self._wanted, variant=1)

    def _find_stale(self) -> int | None:
        """Return the version to make next: the wanted one, then from 1 up; None if none is missing."""
        versions = (self._find_version(), *range(1, len(self.probabilities) + 1))
        return next((number for number in versions if self._is_stale(number)), None)

    def _update(self) -> Generator[Any, None, None]:
        assert self._wanted is not None
        if self._scene is None:
            self._set_text("Looking at the picture…")
            scene = yield from _read_scene(self._source, self._wanted, self._size)
            self._scene, self._fit = scene, ""
            self.before = scene.draw_layer(scene.shown_layer)
            self._on_change()
        scene = self._scene
        if not self._fit:
            yield from self._ask_network(scene)
        while (number := self._find_stale()) is not None:
            values = replace(self._wanted, variant=number)
            try:
                picture = yield from self._make_picture(scene, values)
            except ThinError as error:
                if error.code != UNKNOWN_FIT:
                    raise
                yield from self._ask_network(scene)
                picture = yield from self._make_picture(scene, values)
            self._pictures[number] = picture
            if number == self._find_version():
                self._show_wanted()
            else:
                self._on_change()

    def _make_picture(self, scene: _Scene, values: Values) -> Generator[Any, None, _Picture]:
        answer, pixels = yield from self._ask_values(scene, values)
        width, height = scene.shown_layer.width(), scene.shown_layer.height()
        changed = QtGui.QImage(bytes(pixels), width, height, 4 * width, QtGui.QImage.Format.Format_RGBA8888)
        warnings = [*self._source.notes, *answer["warnings"]]
        return _Picture(replace(values, variant=1), scene.draw_layer(changed), warnings)

    def _ask_network(self, scene: _Scene) -> Generator[Any, None, None]:
        reference = scene.reference
        job = self._backend.harmonize(
            layer={
                **_describe_layer(scene.small_layer),
                "x": scene.at[0],
                "y": scene.at[1],
                "opacity": self._source.opacity,
            },
            layer_bytes=get_pixels(scene.small_layer),
            reference=describe_reference(reference, (reference.width(), reference.height())),
            reference_bytes=get_pixels(reference),
            selection=scene.read_selection(scene.small_layer),
        )
        answer, _ = yield from self._wait_for(job)
        self._fit = answer["fit"]
        self.probabilities = list(answer.get("variants", [1.0]))  # older backends have one version
        self._on_change()

    def _ask_values(self, scene: _Scene, values: Values) -> Generator[Any, None, tuple[dict[str, Any], bytearray]]:
        job = self._backend.harmonize(
            layer=_describe_layer(scene.shown_layer),
            layer_bytes=get_pixels(scene.shown_layer),
            selection=scene.read_selection(scene.shown_layer),
            options={**values.options, "fit": self._fit},
        )
        return (yield from self._wait_for(job))

    def _wait_for(self, job: Job) -> Generator[Any, None, tuple[dict[str, Any], bytearray]]:
        while not job.is_done:
            if self.after is None:
                self._set_text(job.text)
            yield job
        return job.get_answer()


class _Scene:
    """The pictures that the preview is made from.

    small_layer, reference: the layer within the canvas and what it is compared with, at the size sent to the network.
    at: the layer's position there.   ground, shown_layer: the image below and the layer, at the size of the preview.
    place: the layer's position there.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.reference = self.small_layer = self.ground = self.shown_layer = QtGui.QImage()
        self.at = self.place = (0, 0)

    def draw_layer(self, layer: Any) -> Any:
        """Return the ground with this layer on top."""
        picture = self.ground.convertToFormat(QtGui.QImage.Format.Format_ARGB32_Premultiplied)
        painter = QtGui.QPainter(picture)
        mode = _MODES.get(self._source.node.blendingMode(), _Mode.CompositionMode_SourceOver)
        painter.setCompositionMode(mode)
        painter.setOpacity(self._source.opacity)
        painter.drawImage(self.place[0], self.place[1], layer)
        painter.end()
        return picture

    def read_selection(self, layer: Any) -> bytes | None:
        """Return the selection at the size of one of the two layers, one byte per pixel; None if there is none."""
        selection = self._source.document.selection()
        if selection is None:
            return None
        left, top, width, height = self.visible
        data = bytes(selection.pixelData(left, top, width, height))
        whole = QtGui.QImage(data, width, height, width, QtGui.QImage.Format.Format_Grayscale8)
        small = scale_picture(whole, layer.width(), layer.height())
        small = small.convertToFormat(QtGui.QImage.Format.Format_Grayscale8)
        rows, stride = small.constBits().asstring(small.bytesPerLine() * small.height()), small.bytesPerLine()
        return b"".join(rows[row * stride : row * stride + small.width()] for row in range(small.height()))

    @property
    def visible(self) -> Box:
        """The layer's box within the canvas."""
        return intersect_boxes(self._source.box, (0, 0, self._source.document.width(), self._source.document.height()))


def _read_scene(source: Source, values: Values, size: tuple[int, int]) -> Generator[Any, None, _Scene]:
    """Return the scene.   size: maximum width and height of the pictures.

    Raise ThinError if the layer is outside the canvas or the layer to compare with is missing.
    """
    scene = _Scene(source)
    canvas = (source.document.width(), source.document.height())
    visible = scene.visible
    if visible[2] <= 0 or visible[3] <= 0:
        raise ThinError(NO_FOREGROUND, "The layer is entirely outside the canvas.", "Move it onto the canvas.")
    region = find_surroundings(source.box, *canvas)
    shown = min(1.0, size[0] / region[2], size[1] / region[3])
    asked = compute_reference_size(*canvas)[0] / canvas[0]
    with open_hidden_copy(source.document) as copy:
        scene.reference = yield from render_reference(View(copy), source, values)
    with open_hidden_copy(source.document) as copy:
        view = View(copy)
        view.show_without(source.node, BELOW)
        scene.ground = yield from view.render_picture(region, _scale_size(region, shown))
    with open_hidden_copy(source.document) as copy:
        view = View(copy)
        view.show_object(source.node)
        scene.small_layer = yield from view.render_picture(visible, _scale_size(visible, asked))
        scene.shown_layer = yield from view.render_picture(visible, _scale_size(visible, shown))
    scene.at = (round(visible[0] * asked), round(visible[1] * asked))
    scene.place = (round((visible[0] - region[0]) * shown), round((visible[1] - region[1]) * shown))
    return scene


def _describe_layer(layer: Any) -> dict[str, Any]:
    kind = {"channels": 4, "depth": "u8", "space": "srgb"}
    return {"width": layer.width(), "height": layer.height(), "x": 0, "y": 0, **kind}


def _scale_size(box: Box, scale: float) -> tuple[int, int]:
    return max(1, round(box[2] * scale)), max(1, round(box[3] * scale))
