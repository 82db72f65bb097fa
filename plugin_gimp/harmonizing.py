"""One run after all has been chosen: read, ask, write."""

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
"""Where on the bar each ends: reading the layer, rendering what it is compared with, the backend's work."""


def harmonize(image: Gimp.Image, layer: Gimp.Layer, settings: Settings, backend: Backend, window: bool) -> list[str]:
    """Harmonizes a layer and returns the backend's warnings, sentences for the user.

    window: whether to show a progress window.   Raises ThinError; the image is as it was then.
    """
    progress = Progress(window)
    try:
        target = Target(image, layer, settings.output)
        with _open_seen(image, layer, settings.output) as seen:
            selected = request.read_selection(image, seen, settings.output)
            request.check_has_object(request.has_shape(seen), selected)
            place = request.read_placement(layer, seen)
            source = request.read_source(seen, progress.track_part("Reading the layer…", 0.0, _READ))
        look = progress.track_part("Looking at the picture around it…", _READ, _COMPARE)
        look(0.0)
        with backdrop.render_backdrop(image, layer, settings.compare, settings.chosen) as visible:
            reference, reference_pixels = backdrop.read_reference(visible, source.kind, look)
        # No copy of the image is open here: GIMP's own Cancel ends the plug-in at once, and would leave it behind.
        job = backend.harmonize(
            layer={**source.kind.describe_picture(source.width, source.height, source.alpha), **place},
            layer_bytes=source.pixels,
            reference=reference,
            reference_bytes=reference_pixels,
            selection=selected,
            options=settings.options,
            into=source.pixels,  # the answer takes their place: they may be half of this process's memory
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
    if window:  # last, as GIMP draws before it answers; who runs it unattended says when something is to be seen
        Gimp.displays_flush()
    return [str(warning) for warning in result.get("warnings") or []]


def _open_seen(image: Gimp.Image, layer: Gimp.Layer, output: str) -> AbstractContextManager[Gimp.Layer]:
    """What shows the layer's pixels: the layer itself where they are to be replaced, as it has nothing else then."""
    return nullcontext(layer) if output == REPLACE else backdrop.render_layer(image, layer)
