"""One run from the layers to the new ones, in short steps."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from .backdrop import Picture, View, get_pixels
from .hidden_copy import open_hidden_copy
from .result import Result, add_results, create_result_layer, place_results
from .source import Source, Sources, make_none_left_error
from .thin.choices import HIDE_ORIGINAL, compute_reference_size, format_layer_progress, format_left_out
from .thin.job import Backend
from .thin.protocol import BAD_REQUEST, NO_BACKGROUND, NO_FOREGROUND, TOO_LARGE, UNSUPPORTED, ThinError
from .values import Values

Report = Callable[[str, "float | None"], None]
"""Called with a text and the overall progress 0..1, None if unknown."""

_READ, _ANSWERED = 0.15, 0.85
"""A layer's progress when it has been read, and when the backend has answered."""
_OF_ONE_LAYER = (BAD_REQUEST, TOO_LARGE, NO_FOREGROUND, NO_BACKGROUND, UNSUPPORTED)
"""Errors that may not concern the other layers."""


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


@dataclass(frozen=True)
class Outcome:
    """What to tell the user.   notices: about the results.   left_out: a sentence on each layer without a result."""

    notices: list[str]
    left_out: list[str]


def harmonize(sources: Sources, values: Values, backend: Backend, report: Report) -> Generator[Any, None, Outcome]:
    """Add the harmonized layers, all at the end. Work for `Steps`.

    Each layer is compared with the results of those below it. Of several layers, those that can't be harmonized are
    left out.
    Raise ThinError if it fails or none is left; the document is unchanged then. The document and the layers must exist
    throughout: see `check_source_between_steps`.
    """
    count, hide = len(sources.layers), values.output == HIDE_ORIGINAL
    results: list[Result] = []
    notices, left_out = [], list(sources.left_out)
    for index, source in enumerate(sources.layers):
        work = _make_result(source, values, backend, _report_layer(report, index, sources), results)
        try:
            result, told = yield from work
        except ThinError as error:
            if count == 1 or error.code not in _OF_ONE_LAYER:
                raise
            left_out.append(format_left_out(source.node.name(), error))
            continue
        results.append(result)
        notices += told if count == 1 else [f"“{source.node.name()}”: {one}" for one in told]
    if not results:
        raise make_none_left_error(left_out)
    steps = add_results(results, hide)
    if steps > 1:
        notices.append(f"Press Undo {steps} times to remove the {len(results)} new layers.")
    return Outcome(notices, left_out)


def _report_layer(report: Report, index: int, sources: Sources) -> Report:
    """Return the report of one of the layers as a part of the whole."""
    count, name = len(sources.layers), sources.layers[index].node.name()
    if count == 1:
        return report
    return lambda text, fraction: report(
        format_layer_progress(index + 1, count, name, text), (index + (fraction or 0.0)) / count
    )


def _make_result(
    source: Source, values: Values, backend: Backend, report: Report, below: list[Result]
) -> Generator[Any, None, tuple[Result, list[str]]]:
    """Return the result of one layer, not added yet, and messages for the user.   below: results to compare it with."""
    report("Looking at the picture…", 0.0)
    document = source.document
    canvas = (document.width(), document.height())
    with open_hidden_copy(document) as copy:
        place_results(copy, below, hide=values.output == HIDE_ORIGINAL)
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
    warnings = answer.get("warnings")
    told = [*source.notes, *(str(one) for one in warnings)] if isinstance(warnings, list) else source.notes
    return Result(source, layer), told


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
