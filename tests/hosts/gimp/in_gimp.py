"""Runs inside GIMP and does what a test outside asks for, over a socket: images made, layers harmonized, pixels kept.

It reads and renders by means of its own, with nothing of the plug-in's code. GKNET_FOLDER holds the socket `gimp` and
every file of pixels. A request is a line of JSON, [function, argument...]; so is the answer.
"""

import itertools
import json
import os
import socket
import time
import traceback
from pathlib import Path

from gi.repository import Babl, Gegl, Gimp, Gio

FOLDER = Path(os.environ["GKNET_FOLDER"])
LOCKS = ("content", "position", "alpha", "visibility")


def pixels_of(drawable, pixel_format=None, scale=1.0, size=None):
    width, height = size or (drawable.get_width(), drawable.get_height())
    rect = Gegl.Rectangle.new(0, 0, width, height)
    name = pixel_format or Babl.get_name(drawable.get_format())
    # As GIMP has it: CLAMP only matters where a reduced picture's rounded side looks over the edge.
    return drawable.get_buffer().get(rect, scale, name, Gegl.AbyssPolicy.CLAMP)


def fill(drawable, pixel_format, data):
    rect = Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())
    buffer = drawable.get_buffer()
    buffer.set(rect, pixel_format, data)
    buffer.flush()
    drawable.update(0, 0, rect.width, rect.height)


def all_layers(layers):
    for layer in layers:
        yield layer
        if layer.is_group():
            yield from all_layers(layer.get_children())


def named(image, name):
    return next(layer for layer in all_layers(image.get_layers()) if layer.get_name() == name)


def make_image(case):
    if "open" in case:
        image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(str(FOLDER / case["open"])))
        image.policy_rotate(False)  # as File → Open does
        image.get_layers()[0].set_name("ground")
    else:
        base = getattr(Gimp.ImageBaseType, case["base"])
        precision = getattr(Gimp.Precision, case["precision"])
        image = Gimp.Image.new_with_precision(case["width"], case["height"], base, precision)
    if case.get("profile") == "adobe":
        assert image.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
    elif case.get("profile") == "lab":
        assert image.set_color_profile(Gimp.ColorProfile.new_d50_gray_lab_trc())
    for entry in case["layers"]:
        add_layer(image, entry)
    for entry in case["layers"]:  # a group has the size of its mask once its layers are there
        finish_layer(named(image, entry["name"]), entry)
    for entry in case["layers"]:  # what a lock keeps out is there now
        if entry.get("rasterized"):
            assert named(image, entry["name"]).rasterize()
            assert named(image, entry["name"]).brightness_contrast(0.15, 0.0)
        for what in entry.get("locks", ()):
            assert getattr(named(image, entry["name"]), f"set_lock_{what}")(True)
    if "indexed" in case:
        assert image.convert_indexed(
            Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 16, False, False, ""
        )
    for x in case.get("guides", ()):
        image.add_vguide(x)
    if "selection" in case:
        x, y, width, height, feather = case["selection"]
        image.select_rectangle(Gimp.ChannelOps.REPLACE, x, y, width, height)
        if feather:
            Gimp.Selection.feather(image, feather)
    image.undo_enable()  # off as long as a file is being loaded by a program
    image.clean_all()
    return image


def add_layer(image, entry):
    parent = named(image, entry["group"]) if "group" in entry else None
    if entry.get("is_group"):
        layer = Gimp.GroupLayer.new(image, entry["name"])
    elif "text" in entry:
        layer = Gimp.TextLayer.new(image, entry["text"], Gimp.fonts_get_list("")[0], 40.0, Gimp.Unit.pixel())
    elif "link" in entry:
        layer = Gimp.LinkLayer.new(image, Gio.File.new_for_path(str(FOLDER / entry["link"])))
    elif "outline" in entry:
        layer = Gimp.VectorLayer.new(image, add_path(image, entry["outline"]))
    else:
        kind = getattr(Gimp.ImageType, entry["type"])
        layer = Gimp.Layer.new(image, entry["name"], entry["width"], entry["height"], kind, 100, Gimp.LayerMode.NORMAL)
    layer.set_name(entry["name"])
    assert image.insert_layer(layer, parent, 0)
    if "outline" in entry:
        layer.refresh()
    if "text_outline" in entry and hasattr(layer, "set_outline"):
        layer.set_outline(Gimp.TextOutline.STROKE_FILL)
        layer.set_outline_width(4.0, Gimp.Unit.pixel())
    if "file" in entry:
        fill(layer, entry["format"], (FOLDER / entry["file"]).read_bytes())
    if "enlarged" in entry:
        assert layer.scale(*entry["enlarged"], False)
    if "x" in entry:
        layer.set_offsets(entry["x"], entry["y"])
    layer.set_opacity(entry.get("opacity", 100))
    layer.set_mode(getattr(Gimp.LayerMode, entry.get("mode", "NORMAL")))
    layer.set_visible(entry.get("visible", True))


def finish_layer(layer, entry):
    if "mask" in entry:
        mask = layer.create_mask(Gimp.AddMaskType.COPY if entry["mask"] == "copy" else Gimp.AddMaskType.WHITE)
        assert layer.add_mask(mask)
        if entry["mask"] not in ("copy", "white"):
            fill(mask, "Y u8", (FOLDER / entry["mask"]).read_bytes())
    if "effect" in entry:
        effect = Gimp.DrawableFilter.new(layer, entry["effect"], "effect")
        for name, value in entry.get("effect_values", {}).items():
            effect.get_config().set_property(name, value)
        layer.append_filter(effect)


def add_path(image, corners):
    path = Gimp.Path.new(image, "path")
    image.insert_path(path, None, 0)
    stroke = path.bezier_stroke_new_moveto(*corners[0])
    for corner in corners[1:]:
        path.bezier_stroke_lineto(stroke, *corner)
    path.stroke_close(stroke)
    return path


def state_of(image, stem):
    """What there is to know of every layer; its pixels go into a file."""
    state = []
    for number, layer in enumerate(all_layers(image.get_layers())):
        parent, mask = layer.get_parent(), layer.get_mask()
        entry = {
            "name": layer.get_name(),
            "type": type(layer).__name__,
            "width": layer.get_width(),
            "height": layer.get_height(),
            "offsets": layer.get_offsets()[1:],
            "opacity": layer.get_opacity(),
            "mode": layer.get_mode().value_nick,
            "visible": layer.get_visible(),
            "alpha": layer.has_alpha(),
            "effects": len(layer.get_filters()),
            "locks": [what for what in LOCKS if getattr(layer, f"get_lock_{what}")()],
            "format": Babl.get_name(layer.get_format()),
            "parent": parent and parent.get_name(),
            "position": image.get_item_position(layer),
        }
        entry["mask"] = mask and keep(f"{stem}-{number}-mask", pixels_of(mask, "Y u8"))
        if not layer.is_group():
            entry["pixels"] = keep(f"{stem}-{number}", pixels_of(layer))
        state.append(entry)
    selection = keep(f"{stem}-selection", pixels_of(image.get_selection(), "Y u8"))
    guides, guide = [], image.find_next_guide(0)
    while guide:
        guides.append(image.get_guide_position(guide))
        guide = image.find_next_guide(guide)
    return {"layers": state, "selection": selection, "guides": guides, "dirty": image.is_dirty()}


def keep(name, data):
    (FOLDER / name).write_bytes(data)
    return name


def reference_of(image, case, stem):
    """What the named layers alone show, by another way than the plug-in's, in the format of the case."""
    copy = image.duplicate()
    wanted = set(case["reference_shows"])
    for layer in all_layers(copy.get_layers()):
        if not layer.is_group():
            layer.set_lock_visibility(False)
            assert layer.set_visible(layer.get_name() in wanted)
    visible = Gimp.Layer.new_from_visible(copy, copy, "reference")
    size = case["reference_size"]
    scale = max(size) / max(copy.get_width(), copy.get_height())
    space = Babl.format_get_space(visible.get_format())
    name = Babl.get_name(Babl.format_with_space(case["wire"].replace("?", "A"), space))
    kept = keep(f"{stem}-reference", pixels_of(visible, name, scale, size))
    copy.delete()
    return kept


def run(image, targets, args):
    procedure = Gimp.get_pdb().lookup_procedure("gknet-harmonize")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
    config.set_property("image", image)
    config.set_core_object_array("drawables", targets)
    other = image.duplicate() if args.get("reference") == "of another image" else None
    for name, value in args.items():
        if name == "reference":
            value = other.get_layers()[0] if other else named(image, value)
        config.set_property(name, value)
    result = procedure.run(config)
    status = result.index(0).value_nick
    error = "" if status == "success" else Gimp.get_pdb().get_last_error()
    if other:
        other.delete()
    return status, error


def outcome_of(case):
    stem = case["name"]
    image = make_image(case)
    layer = named(image, case["target"])
    targets = [named(image, name) for name in case.get("targets", [case["target"]])]
    if case.get("target_mask"):
        targets = [layer.get_mask()]
    asked = layer
    if case.get("effects"):  # what is to be harmonized is what the user sees
        asked = named(image.duplicate(), case["target"])
        assert asked.merge_filters()
    outcome = {"before": state_of(image, f"{stem}-before"), "size": [image.get_width(), image.get_height()]}
    if "wire" in case:
        space = Babl.format_get_space(layer.get_format())
        alpha = "A" if layer.has_alpha() or layer.get_mask() else ""
        name = Babl.get_name(Babl.format_with_space(case["wire"].replace("?", alpha), space))
        outcome["layer"] = keep(f"{stem}-layer", pixels_of(asked, name))
        outcome["reference"] = reference_of(image, case, stem)
        native = Babl.get_name(layer.get_format()).partition("-")[0].rpartition(" ")[2]
        outcome["alpha"] = keep(f"{stem}-alpha", pixels_of(layer, f"A {native}")) if layer.has_alpha() else None
    if "profile" in case:
        profile = image.get_color_profile()
        if "~" in case["wire"]:  # encoded by sRGB's curve instead of its own
            profile = Gimp.ColorProfile.new_srgb_trc_from_color_profile(profile)
        outcome["profile"] = keep(f"{stem}-icc", profile.get_icc_profile())
    image.clean_all()
    started = time.monotonic()
    outcome["status"], outcome["error"] = run(image, targets, case.get("args", {}))
    outcome["seconds"] = time.monotonic() - started
    if asked is not layer:
        asked.get_image().delete()
    outcome["images"] = len(Gimp.get_images())
    outcome["after"] = state_of(image, f"{stem}-after")
    if "wire" in case:
        made = named(image, case["target"] if case.get("in_place") else f"{case['target']} (harmonized)")
        outcome["result"] = keep(f"{stem}-result", pixels_of(made, name))
        if layer.has_alpha():
            outcome["result_alpha"] = keep(f"{stem}-result-alpha", pixels_of(made, f"A {native}"))
    if case.get("save"):
        file = Gio.File.new_for_path(str(FOLDER / f"{stem}.xcf"))
        assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)
        again = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
        outcome["reopened"] = state_of(again, f"{stem}-reopened")
        again.delete()
    image.delete()
    return outcome


def has_kind(name):
    """Whether this version has a class of layers."""
    return hasattr(Gimp, name)


def picture_of(image, only, name):
    """What the canvas shows, of one layer alone if `only` names it; by GIMP's own rendering of the image itself."""
    was_visible = [(layer, layer.get_visible()) for layer in all_layers(image.get_layers())]
    if only:
        layer = named(image, only)
        shown = {one.get_id() for one in all_layers([layer])}
        while layer := layer.get_parent():
            shown.add(layer.get_id())
        for layer, _ in was_visible:
            if layer.get_id() not in shown:
                layer.set_visible(False)
    visible = Gimp.Layer.new_from_visible(image, image, "picture")
    for layer, was in was_visible:
        layer.set_visible(was)
    kept = keep(name, pixels_of(visible))
    visible.delete()
    return kept


def object_outcome(case, strength):
    """What a run at a strength made of an image: pictures before and after, of everything and of the object alone."""
    stem = f"{case['name']}-{strength}"
    image = make_image(case)
    outcome = {
        "before": [picture_of(image, "", f"{stem}-before"), picture_of(image, "object", f"{stem}-object")],
        "was": state_of(image, f"{stem}-was"),
    }
    outcome["error"] = run(image, [named(image, "object")], {"strength": strength})[1]
    outcome["is"] = state_of(image, f"{stem}-is")
    if not outcome["error"]:
        new = picture_of(image, "object (harmonized)", f"{stem}-new")
        outcome["after"] = [picture_of(image, "", f"{stem}-after"), new]
    outcome["images"] = len(Gimp.get_images())
    image.delete()
    return outcome


class Shown:
    """The image that a test works on by hand, with or without a window."""

    image = None
    display = None


def show(case):
    """Makes an image, and a window for it where there is a display; says what is in it."""
    Shown.image = make_image(case)
    Shown.image.set_selected_layers([named(Shown.image, name) for name in case.get("targets", [case["target"]])])
    Shown.image.clean_all()
    if os.environ.get("DISPLAY"):
        Shown.display = Gimp.Display.new(Shown.image)
    return state("shown")


def close():
    """Takes image and window away."""
    if Shown.display is not None:
        Shown.display.delete()
    else:
        Shown.image.delete()
    Shown.image = Shown.display = None
    return True


def state(stem):
    return state_of(Shown.image, stem)


def names():
    """Layers' names, topmost first, whether the image is unsaved, and whether each layer is visible."""
    layers = list(all_layers(Shown.image.get_layers()))
    return [[one.get_name() for one in layers], Shown.image.is_dirty(), [one.get_visible() for one in layers]]


def images():
    """How many images there are, shown or not."""
    return len(Gimp.get_images())


def harmonize(target, args):
    """Status, message and seconds of an unattended run.   target: a layer's name, or a list of several."""
    started = time.monotonic()
    targets = [target] if isinstance(target, str) else target
    status, error = run(Shown.image, [named(Shown.image, name) for name in targets], args)
    return [status, error, time.monotonic() - started]


def run_script(script, target):
    """Runs a script that takes `image` and `layer` as given."""
    exec(script, {"Gimp": Gimp, "image": Shown.image, "layer": named(Shown.image, target)})


def rest():
    """Waits until GIMP has rendered what it renders when it is left alone, and lets questions wait for meanwhile."""
    quick = 0
    while quick < 5:
        time.sleep(0.02)
        started = time.monotonic()
        Shown.image.is_dirty()
        quick = quick + 1 if time.monotonic() - started < 0.01 else 0


def plainest(target):
    """Seconds that GIMP's own calls take for what a run cannot do without: (get, set and flush, backdrop)."""
    image, layer = Shown.image, named(Shown.image, target)
    moments = [time.monotonic()]
    data = pixels_of(layer)
    moments.append(time.monotonic())
    new = layer.copy()
    fill(new, Babl.get_name(layer.get_format()), data)
    moments.append(time.monotonic())
    copy = image.duplicate()
    named(copy, target).set_visible(False)
    visible = Gimp.Layer.new_from_visible(copy, copy, "backdrop")
    scale = min(1.0, 1024 / max(copy.get_width(), copy.get_height()))
    pixels_of(visible, None, scale, [round(copy.get_width() * scale), round(copy.get_height() * scale)])
    copy.delete()
    moments.append(time.monotonic())
    new.delete()
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def remove(name):
    """Removes a layer, and shows the one below it."""
    Shown.image.remove_layer(named(Shown.image, name))
    named(Shown.image, name.partition(" (")[0]).set_visible(True)
    Shown.image.clean_all()


def main():
    Gegl.init(None)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(FOLDER / "gimp"))
    listening.listen()
    connection, _ = listening.accept()
    lines = connection.makefile("rw")
    for line in lines:
        name, *arguments = json.loads(line)
        try:
            answer = {"answer": globals()[name](*arguments)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        lines.write(json.dumps(answer) + "\n")
        lines.flush()


main()
