"""One run from the active layer to the new one, in short steps."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from .backdrop import Picture, View, get_pixels
from .hidden_copy import open_hidden_copy
from .result import add_layer_above, create_result_layer
from .source import Source
from .thin.choices import HIDE_ORIGINAL, compute_reference_size
from .thin.job import Backend
from .values import Values

Report = Callable[[str, "float | None"], None]
"""Called with a text and the overall progress 0..1, None if unknown."""

_READ, _ANSWERED = 0.15, 0.85
"""Overall progress when the layer has been read, and when the backend has answered."""


def render_reference(view: View, source: Source, values: Values) -> Picture:
    """Render what the layer is compared with: the whole canvas, at the size at which it is sent.

    Raise ThinError if the chosen layer does not exist.
    """
    chosen = values.find_chosen_layer(source.document)
    if chosen is None:
        view.show_without(source.node, values.compare)
    else:
        view.show_alone(chosen)
    width, height = source.document.width(), source.document.height()
    return view.render_picture((0, 0, width, height), compute_reference_size(width, height))


def describe_reference(picture: Any, canvas: tuple[int, int]) -> dict[str, Any]:
    """Return the protocol's `reference` map of a picture that shows a canvas of this size."""
    kind = {"channels": 4, "depth": "u8", "space": "srgb"}
    size = {"width": picture.width(), "height": picture.height()}
    return {**size, "canvas_width": canvas[0], "canvas_height": canvas[1], **kind}


def harmonize(source: Source, values: Values, backend: Backend, report: Report) -> Generator[Any, None, list[str]]:
    """Add the harmonized layer and return messages for the user. Work for `Steps`.

    Raise ThinError if it fails; the document is unchanged then. The document and the layer must exist throughout: see
    `check_source_between_steps`.
    """
    report("Looking at the picture…", 0.0)
    document = source.document
    canvas = (document.width(), document.height())
    with open_hidden_copy(document) as copy:
        picture = yield from render_reference(View(copy), source, values)
        report("Reading the layer…", _READ / 3)
        layer_bytes = yield from _report_progress(source.read_pixels(), "Reading the layer…", _READ / 3, _READ, report)
        job = backend.harmonize(
            layer=source.describe_layer(),
            layer_bytes=layer_bytes,
            reference=describe_reference(picture, canvas),
            reference_bytes=get_pixels(picture),
            selection=source.read_selection(),
            options=values.options,
            into=layer_bytes,  # reuse the layer's memory
        )
        del layer_bytes, picture
    # The copy is closed while the backend works.
    while not job.is_done:
        far = None if job.fraction is None else _READ + (_ANSWERED - _READ) * job.fraction
        report(job.text, far)
        yield job
    answer, pixels = job.get_answer()
    del job  # it also keeps the answer in memory
    layer = yield from _report_progress(
        create_result_layer(source, pixels), "Adding the layer…", _ANSWERED, 1.0, report
    )
    add_layer_above(source, layer, hide=values.output == HIDE_ORIGINAL)
    warnings = answer.get("warnings")
    return [*source.notes, *(str(one) for one in warnings)] if isinstance(warnings, list) else source.notes


def _report_progress(work: Generator[float, None, Any], text: str, start: float, end: float, report: Report) -> Any:
    """Run another generator and report its progress as a part of the whole."""
    try:
        while True:
            report(text, start + (end - start) * next(work))
            yield
    except StopIteration as stopped:
        return stopped.value
    finally:
        work.close()
