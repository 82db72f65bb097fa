"""One run after the dialog: read the layer, ask the backend, write the result."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import backdrop
import request
from gi.repository import Gimp
from progress import Progress
from request import Settings
from result import Target
from thin.choices import REPLACE
from thin.job import Backend

_READ, _COMPARE, _ASK = 0.1, 0.2, 0.9
"""Positions on the progress bar at which reading, rendering the reference and the backend's work end."""


def harmonize(image: Gimp.Image, layer: Gimp.Layer, settings: Settings, backend: Backend, window: bool) -> list[str]:
    """Harmonize a layer and return the backend's warnings, sentences for the user.

    window: whether to show a progress window.
    Raise ThinError if it fails or is cancelled; the image is unchanged then.
    """
    progress = Progress(window)
    try:
        target = Target(image, layer, settings.output)
        with _open_seen(image, layer, settings.output) as seen:
            selected = request.read_selection(image, seen, settings.output)
            request.check_has_object(request.has_shape(seen), selected)
            place = request.read_placement(layer, seen)
            source = request.read_source(seen, progress.track_part("Reading the layer…", 0.0, _READ))
        look = progress.track_part("Rendering the image around it…", _READ, _COMPARE)
        look(0.0)
        with backdrop.render_backdrop(image, layer, settings.compare, settings.chosen) as visible:
            reference, reference_pixels = backdrop.read_reference(visible, source.kind, look)
        # No copy of the image may be open here: GIMP's own Cancel kills the plug-in and would leave it behind.
        job = backend.harmonize(
            layer={**source.kind.describe_picture(source.width, source.height, source.alpha), **place},
            layer_bytes=source.pixels,
            reference=reference,
            reference_bytes=reference_pixels,
            selection=selected,
            options=settings.options,
            into=source.pixels,  # reuse their memory, which may be half of this process's
        )
        progress.follow_job(job, _COMPARE, _ASK)
        result, pixels = job.get_answer()
        source.restore_alpha(pixels)
        target.check()
        with _open_seen(image, layer, settings.output) as seen:
            target.write_result(seen, source, pixels, progress.track_part("Writing the result…", _ASK, 1.0))
    finally:
        progress.close()
        backend.close()
    if window:  # last, because GIMP redraws first; unattended scripts flush themselves
        Gimp.displays_flush()
    return [str(warning) for warning in result.get("warnings") or []]


def _open_seen(image: Gimp.Image, layer: Gimp.Layer, output: str) -> AbstractContextManager[Gimp.Layer]:
    """Return a context with the layer's visible pixels: the layer itself if they are replaced, as it is plain then."""
    return nullcontext(layer) if output == REPLACE else backdrop.render_layer(image, layer)
