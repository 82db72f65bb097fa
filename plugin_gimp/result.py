"""Writing the harmonized pixels to the image, those of all layers in one undo step at the very end or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from backdrop import open_seen
from gi.repository import Babl, Gegl, Gimp
from pixels import OnStep, compute_checksum, copy_alpha, copy_pixels, write_pixels
from request import Source
from thin.choices import HIDE_ORIGINAL, REPLACE, make_result_name
from thin.protocol import INTERNAL, ThinError


class Target:
    """The layer and image that get a result, with a check that the layer has not changed meanwhile."""

    def __init__(self, image: Gimp.Image, layer: Gimp.Layer, output: str) -> None:
        self.image = image
        self.layer = layer
        self.output = output
        self._before = self._read_state()
        self._answer: tuple[Source, bytearray] | None = None
        self._new: Gimp.Layer | None = None

    def take(self, source: Source, pixels: bytearray) -> None:
        """Keep the result.   source: what was read from the layer.   pixels: in its format."""
        self._answer = (source, pixels)

    def prepare(self, on_step: OnStep) -> None:
        """Make everything of the result that does not change the image.

        on_step: may raise to stop the work.
        Raise ThinError if the layer has changed, or a call of GIMP fails. Call `discard` then.
        """
        with open_seen(self.image, self.layer, self.output) as seen:
            if self.output == REPLACE:
                # The buffer of GIMP's filters, which respects the selection.
                self._fill(self.layer.get_shadow_buffer(), seen, on_step)
            else:
                # Fill the layer before adding it, so that its pixels are not a separate undo step.
                self._new = self._create_layer(self.image, self.layer, seen, on_step)
                _copy_locks(self._new, self.layer)

    def discard(self) -> None:
        """Undo `prepare`, as far as it came."""
        if self._new is not None:
            self._new.delete()
        elif self.output == REPLACE and self.layer.is_valid():
            self.layer.free_shadow()

    def write(self) -> None:
        """Write the prepared result to the image. Raise ThinError if a call of GIMP fails."""
        if self.output == REPLACE:
            _check_call(self.layer.merge_shadow(True))
        else:
            self._insert(self._new, self.image, self.layer)

    def redraw(self) -> None:
        """Show pixels that were replaced."""
        if self.output == REPLACE:
            _check_call(self.layer.update(0, 0, self.layer.get_width(), self.layer.get_height()))

    def place(self, copy: Gimp.Image, twin: Gimp.Layer) -> None:
        """Put the result into a copy of the image, whose canvas has the image's size.   twin: the layer there."""
        with open_seen(self.image, self.layer, self.output) as seen:
            if self.output != REPLACE:
                self._insert(self._create_layer(copy, twin, seen, _ignore), copy, twin)
                return
            _copy_selection(self.image, copy)
            self._fill(twin.get_shadow_buffer(), seen, _ignore)
            _check_call(twin.merge_shadow(False))
            _check_call(twin.update(0, 0, twin.get_width(), twin.get_height()))

    def _create_layer(self, image: Gimp.Image, like: Gimp.Layer, seen: Gimp.Layer, on_step: OnStep) -> Gimp.Layer:
        """Return the new layer, not yet in the image.

        image: may be a copy.   like: the layer there.   seen: the layer that `backdrop.render_layer` yields.
        """
        own = seen.get_id() == self.layer.get_id()
        new = like.copy() if own else Gimp.Layer.new_from_drawable(seen, image)
        if new is None:
            raise ThinError(INTERNAL, "GIMP could not create a new layer.")
        try:
            _copy_style(new, self.layer)
            self._fill(new.get_buffer(), seen, on_step)
            _check_call(new.update(0, 0, new.get_width(), new.get_height()))
        except BaseException:
            new.delete()
            raise
        return new

    def _insert(self, new: Gimp.Layer | None, image: Gimp.Image, layer: Gimp.Layer) -> None:
        """Add the new layer above a layer of an image."""
        _check_call(image.insert_layer(new, layer.get_parent(), image.get_item_position(layer)))
        if self.output == HIDE_ORIGINAL:
            _check_call(layer.set_visible(False))

    def _fill(self, buffer: Gegl.Buffer, seen: Gimp.Layer, on_step: OnStep) -> None:
        """Write the result to a buffer like that of the layer it was made from."""
        assert self._answer is not None
        source, pixels = self._answer
        if (seen.get_width(), seen.get_height()) != (source.width, source.height):
            raise _make_changed_error()
        write_pixels(buffer, source.width, source.height, source.kind.get_format(source.alpha), pixels, on_step)
        if seen.has_alpha() and source.kind.is_alpha_rounded:
            copy_alpha(seen, buffer)

    def check(self) -> None:
        """Raise ThinError if the layer has changed since it was read."""
        if not self.image.is_valid() or not self.layer.is_valid() or self._read_state() != self._before:
            raise _make_changed_error()

    def _read_state(self) -> tuple[object, ...]:
        layer = self.layer
        state = (layer.get_width(), layer.get_height(), Babl.get_name(layer.get_format()))
        # GIMP reloads a linked file by itself when the file changes.
        return (*state, compute_checksum(layer)) if type(layer).__name__ == "LinkLayer" else state


def _make_changed_error() -> ThinError:
    return ThinError(INTERNAL, "The layer was changed or removed meanwhile. The image was not changed.", "Try again.")


def write_results(image: Gimp.Image, targets: Sequence[Target], on_step: OnStep) -> None:
    """Write the results to the image in one undo step.

    targets: of the image, with their results.   on_step: may raise to stop the work; the image is unchanged then.
    Raise ThinError if a layer has changed, or a call of GIMP fails.
    """
    try:
        for index, target in enumerate(targets):
            target.prepare(lambda done, index=index: on_step((index + done) / len(targets)))
        for target in targets:
            target.check()
    except BaseException:
        for target in targets:
            target.discard()
        raise
    with _group_undo_steps(image):
        for target in targets:
            target.write()
    for target in targets:
        target.redraw()


def _copy_selection(image: Gimp.Image, copy: Gimp.Image) -> None:
    """Give a copy the image's selection, which resizing the copy's canvas has cut off."""
    if Gimp.Selection.is_empty(image):
        return
    _check_call(Gimp.Selection.all(copy))
    copy_pixels(image.get_selection(), copy.get_selection())  # a channel between them would round the soft edge


def _ignore(_: float) -> None:
    """Ignore the progress of a short work."""


def _copy_style(new: Gimp.Layer, layer: Gimp.Layer) -> None:
    """Make a new layer blend like the old one, visible and without locks."""
    passes = layer.get_mode() == Gimp.LayerMode.PASS_THROUGH  # which is for groups only
    _check_call(new.set_name(make_result_name(layer.get_name())))
    _check_call(new.set_lock_content(False))
    _check_call(new.set_lock_alpha(False))
    _check_call(new.set_lock_visibility(False))
    _check_call(new.set_visible(True))
    _check_call(new.set_opacity(layer.get_opacity()))
    _check_call(new.set_mode(Gimp.LayerMode.NORMAL if passes else layer.get_mode()))
    _check_call(new.set_blend_space(layer.get_blend_space()))
    _check_call(new.set_composite_space(layer.get_composite_space()))
    _check_call(new.set_composite_mode(layer.get_composite_mode()))


def _copy_locks(new: Gimp.Layer, layer: Gimp.Layer) -> None:
    """Copy the locks of position and transparency to the finished layer. Its colours stay editable."""
    _check_call(new.set_lock_position(layer.get_lock_position()))
    _check_call(new.set_lock_alpha(layer.get_lock_alpha()))


@contextmanager
def _group_undo_steps(image: Gimp.Image) -> Iterator[None]:
    _check_call(image.undo_group_start())
    try:
        yield
    finally:
        image.undo_group_end()


def _check_call(done: bool) -> None:
    """Raise ThinError if a call of libgimp has returned False, its way to report failure."""
    if not done:
        reason = Gimp.get_pdb().get_last_error() or "no reason given"
        raise ThinError(INTERNAL, f"GIMP could not write the result to the image: {reason}.")
