"""One run after the dialog: read the layers, ask the backend about each, write the results."""

from __future__ import annotations

import backdrop
import request
from gi.repository import Gimp
from progress import Progress
from request import Settings
from result import Target, write_results
from thin.choices import format_left_out
from thin.job import Backend
from thin.protocol import BAD_REQUEST, NO_BACKGROUND, NO_FOREGROUND, TOO_LARGE, UNSUPPORTED, ThinError

_READ, _COMPARE, _ASK = 0.1, 0.2, 0.9
"""Positions on the progress bar at which reading, rendering the reference and the backend's work end."""
_OF_ONE_LAYER = (BAD_REQUEST, TOO_LARGE, NO_FOREGROUND, NO_BACKGROUND, UNSUPPORTED)
"""Errors that may not concern the other layers."""


def harmonize(
    image: Gimp.Image,
    layers: list[Gimp.Layer],
    settings: Settings,
    backend: Backend,
    window: bool,
    left_out: list[str],
) -> list[str]:
    """Harmonize layers and return the backend's warnings, sentences for the user.

    Each layer is compared with the results of those below it. Of several, those that can't be harmonized are left out.

    layers: lowest first.   window: whether to show a progress window.
    left_out: sentences on selected layers that are not among these; one on each that is left out is added.
    Raise ThinError if it fails or is cancelled, or none is left; the image is unchanged then.
    """
    is_alone = len(layers) == 1 and not left_out
    targets: list[Target] = []
    warnings = []
    progress = Progress(window)
    try:
        for number, layer in enumerate(layers, 1):
            name = layer.get_name()
            progress.enter_layer(number, len(layers), name)
            try:
                target, told = _make_result(image, layer, settings, backend, progress, targets)
            except ThinError as error:
                if is_alone or error.code not in _OF_ONE_LAYER:
                    raise
                left_out.append(format_left_out(name, error))
                continue
            targets.append(target)
            warnings += told if is_alone else [f"“{name}”: {one}" for one in told]
        if not targets:
            raise request.make_none_left_error(left_out)
        progress.leave_layers()
        write_results(image, targets, progress.track_part("Writing the result…", _ASK, 1.0))
    finally:
        progress.close()
        backend.close()
    if window:  # last, because GIMP redraws first; unattended scripts flush themselves
        Gimp.displays_flush()
    return warnings


def _make_result(
    image: Gimp.Image,
    layer: Gimp.Layer,
    settings: Settings,
    backend: Backend,
    progress: Progress,
    lower: list[Target],
) -> tuple[Target, list[str]]:
    """Return the result of one layer, not written yet, and warnings.   lower: results to compare it with."""
    target = Target(image, layer, settings.output)
    with backdrop.open_seen(image, layer, settings.output) as seen:
        selected = request.read_selection(image, seen, settings.output)
        request.check_has_object(request.has_shape(seen), selected)
        place = request.read_placement(layer, seen)
        source = request.read_source(seen, progress.track_part("Reading the layer…", 0.0, _READ))
    look = progress.track_part("Rendering the image around it…", _READ, _COMPARE)
    look(0.0)
    with backdrop.render_backdrop(image, layer, settings.compare, settings.chosen, lower) as visible:
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
    target.take(source, pixels)
    return target, [str(warning) for warning in result.get("warnings") or []]
