"""Writing the harmonized pixels to the image, in one undo step at the very end or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gi.repository import Babl, Gegl, Gimp
from pixels import OnStep, compute_checksum, copy_alpha, write_pixels
from request import Source
from thin.choices import HIDE_ORIGINAL, REPLACE, make_result_name
from thin.protocol import INTERNAL, ThinError


class Target:
    """The layer and image that get the result, with a check that the layer has not changed meanwhile."""

    def __init__(self, image: Gimp.Image, layer: Gimp.Layer, output: str) -> None:
        self.image = image
        self.layer = layer
        self.output = output
        self._before = self._read_state()

    def write_result(self, seen: Gimp.Layer, source: Source, pixels: bytearray, on_step: OnStep) -> None:
        """Write the pixels to the image.

        seen: the layer that `backdrop.render_layer` yields.   source: what was read from it.
        on_step: may raise to stop the work; the image is unchanged then.
        Raise ThinError if the layer has changed, or a call of GIMP fails.
        """
        if (seen.get_width(), seen.get_height()) != (source.width, source.height):
            raise _make_changed_error()
        if self.output == REPLACE:
            self._replace(source, pixels, on_step)
        else:
            self._add(seen, source, pixels, on_step)

    def _add(self, seen: Gimp.Layer, source: Source, pixels: bytearray, on_step: OnStep) -> None:
        """Add a new layer above. Fill it before adding it, so that its pixels are not a separate undo step."""
        new = _create_like(self.image, self.layer, seen)
        try:
            _copy_style(new, self.layer)
            _fill_buffer(new.get_buffer(), seen, source, pixels, on_step)
            _check_call(new.update(0, 0, source.width, source.height))
            _copy_locks(new, self.layer)
            self.check()
        except BaseException:
            new.delete()
            raise
        with _group_undo_steps(self.image):
            position = self.image.get_item_position(self.layer)
            _check_call(self.image.insert_layer(new, self.layer.get_parent(), position))
            if self.output == HIDE_ORIGINAL:
                _check_call(self.layer.set_visible(False))

    def _replace(self, source: Source, pixels: bytearray, on_step: OnStep) -> None:
        """Replace the layer's pixels through the buffer of GIMP's filters, which respects the selection."""
        shadow = self.layer.get_shadow_buffer()
        try:
            _fill_buffer(shadow, self.layer, source, pixels, on_step)
            self.check()
        except BaseException:
            self.layer.free_shadow()
            raise
        with _group_undo_steps(self.image):
            _check_call(self.layer.merge_shadow(True))
        _check_call(self.layer.update(0, 0, source.width, source.height))

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


def _fill_buffer(buffer: Gegl.Buffer, seen: Gimp.Layer, source: Source, pixels: bytearray, on_step: OnStep) -> None:
    """Write the result to a buffer like that of the layer it was made from."""
    write_pixels(buffer, source.width, source.height, source.kind.get_format(source.alpha), pixels, on_step)
    if seen.has_alpha() and source.kind.is_alpha_rounded:
        copy_alpha(seen, buffer)


def _create_like(image: Gimp.Image, layer: Gimp.Layer, seen: Gimp.Layer) -> Gimp.Layer:
    """Return a plain layer with the size and mask of the one that was read, not yet in the image."""
    own = seen.get_id() == layer.get_id()
    new = layer.copy() if own else Gimp.Layer.new_from_drawable(seen, image)
    if new is None:
        raise ThinError(INTERNAL, "GIMP could not create a new layer.")
    return new


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
