"""Scenes read from files for the command: a composite and its mask, a cut-out and its background, or layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from gknet.color.encoding import Encoding
from gknet.composite import check_scale, has_colors, match_background, paste, scale_onto_canvas
from gknet.edges import clean_edges
from gknet.errors import InputError, NoBackgroundError, NoForegroundError
from gknet.files.formats import LAYERED_HINT, check_writable, find_write_notes, read_picture, write_picture
from gknet.files.layered.layers import Layers, open_layers
from gknet.files.mask import choose_mask
from gknet.files.picture import Picture, check_destination
from gknet.fits import Progress
from gknet.harmonizer import Harmonizer
from gknet.network.extensions.variants import Variant
from gknet.transfer.trims import Trims


@dataclass(frozen=True, slots=True)
class SceneFit:
    """A scene's fitted color map.

    variants: as in `LayerFit`.
    apply: called with a strength, the number of a variant and trims, as in `LayerFit.apply`; returns the whole picture
    with its foreground harmonized: shape and type of `Scene.before`.
    """

    variants: tuple[Variant, ...]
    apply: Callable[[float, int, Trims], np.ndarray]


class Scene(Protocol):
    """Something to harmonize, read from files.

    file: the picture whose format, profile and metadata the result keeps.   before: its pixels, unchanged.
    notes: what of the files is not reproduced exactly or was not obvious, in user-facing words; complete after `write`.
    """

    file: Picture
    notes: Sequence[str]

    @property
    def before(self) -> np.ndarray: ...

    def fit(self, harmonizer: Harmonizer, network_size: int | None) -> SceneFit:
        """Fit the network's change.   network_size: as in `Harmonizer.__call__`."""
        ...

    def check_writable(self, path: Path) -> None:
        """Raise PictureError or UnsupportedError if the result cannot be written there."""
        ...

    def write(self, path: Path, after: np.ndarray) -> None:
        """Write the picture that was made last to a file. Raises as `check_writable`."""
        ...


class _Flat:
    """A scene that is written as one picture."""

    file: Picture
    notes: Sequence[str] = ()

    def check_writable(self, path: Path) -> None:
        """As Scene."""
        check_writable(path, self.file.pixels.shape[2])

    def write(self, path: Path, after: np.ndarray) -> None:
        """As Scene."""
        write_picture(path, after, self.file)
        self.notes = _add_notes(self.notes, find_write_notes(path, self.file))


def _add_notes(notes: Sequence[str], more: Sequence[str]) -> list[str]:
    """Return notes with those added that are new: several versions of a scene have the same ones."""
    return [*notes, *(note for note in more if note not in notes)]


def _name_notes(path: Path, picture: Picture) -> list[str]:
    """Return the notes on one of a scene's two files, with its name."""
    return [f"{path}: {note}" for note in picture.notes]


class CompositeScene(_Flat):
    """A composite and its mask. Raises PictureError or UnsupportedError for unreadable files."""

    def __init__(self, composite: Path, mask: Path, on_progress: Progress) -> None:
        on_progress("read", 0, 2)
        self.file = read_picture(composite)
        on_progress("read", 1, 2)
        mask_file = read_picture(mask, as_mask=True)
        self.mask, notes = choose_mask(mask_file.pixels)
        self.notes = [*_name_notes(composite, self.file), *_name_notes(mask, mask_file), *notes]
        self.on_progress = on_progress

    @property
    def before(self) -> np.ndarray:
        """The composite."""
        return self.file.pixels

    def fit(self, harmonizer: Harmonizer, network_size: int | None) -> SceneFit:
        """As Scene."""
        fit = harmonizer.fit(
            self.file.pixels,
            self.mask,
            network_size=network_size,
            encoding=self.file.encoding,
            on_progress=self.on_progress,
        )

        def apply(strength: float, variant: int, trims: Trims) -> np.ndarray:
            return fit.apply(
                self.file.pixels, strength=strength, variant=variant, trims=trims, on_progress=self.on_progress
            )

        return SceneFit(fit.variants, apply)


class LayerScene(_Flat):
    """A cut-out, scaled and placed, and its background.

    Raises PictureError, UnsupportedError or InputError; NoForegroundError if they do not overlap.
    at: (x, y) of the cut-out's top left corner, None for the place that its file states, scaled, or (0, 0).
    """

    def __init__(
        self, foreground: Path, background: Path, at: tuple[int, int] | None, scale: float, on_progress: Progress
    ) -> None:
        on_progress("read", 0, 2)
        self.file = read_picture(background)
        on_progress("read", 1, 2)
        cutout = read_picture(foreground)
        check_scale(cutout.pixels, scale)
        left, top = cutout.position
        place = (round(left * scale), round(top * scale)) if at is None else at
        canvas = (self.file.pixels.shape[1], self.file.pixels.shape[0])
        self.layer, self.at = scale_onto_canvas(match_background(cutout, self.file), scale, place, canvas)
        self.notes = [*_name_notes(background, self.file), *_name_notes(foreground, cutout)]
        if self.file.pixels.shape[2] < 3 and has_colors(cutout.pixels):
            self.notes = [
                *self.notes,
                "the cut-out loses its colors, because the background is stored as gray, not RGB",
            ]
        self.on_progress = on_progress

    @property
    def before(self) -> np.ndarray:
        """The background with the original cut-out."""
        return paste(self.layer, self.file.pixels, self.at)

    def clean_edges(self) -> None:
        """Remove the cut-out's old background from its soft edge. Raises as `gknet.edges.clean_edges`."""
        self.layer = clean_edges(self.layer, self.on_progress)

    def fit(self, harmonizer: Harmonizer, network_size: int | None) -> SceneFit:
        """As Scene."""
        fit = harmonizer.fit_layer(
            self.layer,
            self.file.pixels,
            at=self.at,
            canvas=(self.file.pixels.shape[1], self.file.pixels.shape[0]),
            network_size=network_size,
            encoding=self.file.encoding,
            on_progress=self.on_progress,
        )

        def apply(strength: float, variant: int, trims: Trims) -> np.ndarray:
            layer = fit.apply(self.layer, strength=strength, variant=variant, trims=trims, on_progress=self.on_progress)
            return paste(layer, self.file.pixels, self.at)

        return SceneFit(fit.variants, apply)


class LayeredScene(_Flat):
    """A layered file: one of its layers over everything visible below it.

    name: of that layer, None for the topmost visible one with transparency.
    Raises InputError for a flat file, and as `gknet.files.layered.layers.Layers`.
    """

    def __init__(self, path: Path, name: str | None, on_progress: Progress) -> None:
        on_progress("read", 0, 1)
        document = open_layers(path)
        if document is None:
            raise InputError(
                f"{path} is a flat picture and needs a mask.",
                "Give COMPOSITE and MASK, or --foreground and --background.",
            )
        self.layers = Layers(document, name)
        self.file = self.layers.merge()
        painter = document.painter
        compared = () if painter is None else painter.compare_with_stored(self.file.pixels)
        self.notes = [*self.layers.notes, *compared]
        self.on_progress = on_progress

    @property
    def before(self) -> np.ndarray:
        """The original picture."""
        return self.file.pixels

    def clean_edges(self) -> None:
        """Remove the layer's old background from its soft edge. Raises as `gknet.edges.clean_edges`."""
        foreground = self.layers.foreground
        self.layers.foreground = replace(foreground, pixels=clean_edges(foreground.pixels, self.on_progress))

    def fit(self, harmonizer: Harmonizer, network_size: int | None) -> SceneFit:
        """As Scene."""
        layers = self.layers
        foreground, chosen = layers.foreground, layers.chosen
        try:
            fit = harmonizer.fit_layer(
                foreground.pixels,
                layers.merge_below(),
                at=(chosen.left, chosen.top),
                canvas=layers.document.size,
                opacity=chosen.opacity,
                network_size=network_size,
                encoding=foreground.encoding,
                reference_encoding=Encoding(profile=layers.profile),
                on_progress=self.on_progress,
            )
        except (NoForegroundError, NoBackgroundError) as error:
            message = f"{layers.document.path}, layer {chosen.name!r}: {error.message}"
            raise type(error)(message, f"{error.hint.rstrip('.')}, or choose another layer with --layer.") from error

        def apply(strength: float, variant: int, trims: Trims) -> np.ndarray:
            pixels = fit.apply(
                foreground.pixels, strength=strength, variant=variant, trims=trims, on_progress=self.on_progress
            )
            self.layer = replace(foreground, pixels=pixels)
            self.after = layers.merge(pixels)
            return self.after.pixels

        return SceneFit(fit.variants, apply)

    def check_writable(self, path: Path) -> None:
        """As Scene: .ora keeps the layers, every other format is written as one picture."""
        if path.suffix.lower() == ".ora":
            check_destination(path)
        else:
            check_writable(path, self.file.pixels.shape[2], LAYERED_HINT)

    def write(self, path: Path, after: np.ndarray) -> None:
        """As Scene."""
        if path.suffix.lower() == ".ora":
            document = self.layers.document
            document.write(path, self.layers.chosen, self.layer, self.after)
            self.notes = _add_notes(self.notes, document.openraster_notes)
        else:
            super().write(path, after)
