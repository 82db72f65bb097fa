"""Driver: every kind of layer as the object and as what lies below it; what came of it."""

import gknet_harmonize.extension as extension
import inside
import menu
from gknet_harmonize.qt import QtGui
from inside import GIVEN, KRITA
from krita import InfoObject, Selection
from layers import read, remember

WIDTH, HEIGHT, BOX = GIVEN["width"], GIVEN["height"], GIVEN["box"]
CANVAS = (0, 0, WIDTH, HEIGHT)
BEYOND = [-60, 400, *BOX[2:]]
_STYLE = """<asl>
 <node name="" classId="null" type="Descriptor">
  <node key="Scl " value="100" type="UnitFloat" unit="#Prc"/>
  <node key="masterFXSwitch" value="1" type="Boolean"/>
  <node name="" classId="DrSh" key="DrSh" type="Descriptor">
   <node key="enab" value="1" type="Boolean"/>
   <node key="Md  " typeId="BlnM" value="Mltp" type="Enum"/>
   <node name="" classId="RGBC" key="Clr " type="Descriptor">
    <node key="Rd  " value="0" type="Double"/>
    <node key="Grn " value="0" type="Double"/>
    <node key="Bl  " value="0" type="Double"/>
   </node>
   <node key="Opct" value="75" type="UnitFloat" unit="#Prc"/>
   <node key="uglg" value="1" type="Boolean"/>
   <node key="lagl" value="120" type="UnitFloat" unit="#Ang"/>
   <node key="Dstn" value="21" type="UnitFloat" unit="#Pxl"/>
   <node key="Ckmt" value="0" type="UnitFloat" unit="#Pxl"/>
   <node key="blur" value="21" type="UnitFloat" unit="#Pxl"/>
   <node key="Nose" value="0" type="UnitFloat" unit="#Prc"/>
   <node key="AntA" value="0" type="Boolean"/>
   <node key="layerConceals" value="0" type="Boolean"/>
  </node>
 </node>
 <node name="" classId="Styl" type="Descriptor">
  <node name="" classId="documentMode" key="documentMode" type="Descriptor"/>
 </node>
</asl>
"""


def paint(document, box=BOX, parent=None):
    return inside.put(document, "object", read("object"), box, parent)


def vector(document, shape):
    layer = document.createVectorLayer("object")
    document.rootNode().addChildNode(layer, None)
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    layer.addShapesFromSvg(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{shape}</svg>')
    return layer


def text(document):
    looks = 'font-size="90" font-family="DejaVu Sans" fill="#00ff00"'
    return vector(document, f'<text x="120" y="300" {looks}>Text</text>')


def drawing(document):
    return vector(document, '<circle cx="230" cy="280" r="70" fill="#00ff00"/>')


def file(document):
    layer = document.createFileLayer("object", f"{GIVEN['folder']}/object.png", "None")
    document.rootNode().addChildNode(layer, None)
    return layer


def clone(document):
    layer = document.createCloneLayer("object", paint(document))
    document.rootNode().addChildNode(layer, None)
    inside.settle(document)
    inside.layers(document)[-2].setVisible(False)
    return layer


def group(document):
    layer = document.createGroupLayer("object")
    document.rootNode().addChildNode(layer, None)
    paint(document, parent=layer)
    inside.put(document, "veil", read("veil"), [BOX[0] - 40, BOX[1] - 40, *BOX[2:]], layer)
    return layer


def passing_through(document):
    layer = group(document)
    layer.setPassThroughMode(True)
    return layer


def fill(document):
    color = InfoObject()
    color.setProperty("color", QtGui.QColor(40, 160, 60))
    part, more = Selection(), Selection()
    part.select(*BOX, 255)
    more.select(BOX[0] + 60, BOX[1] + 40, *BOX[2:], 255)
    part.add(more)
    layer = document.createFillLayer("object", "color", color, part)
    document.rootNode().addChildNode(layer, None)
    return layer


def everywhere():
    area = Selection()
    area.select(-WIDTH, -HEIGHT, 3 * WIDTH, 3 * HEIGHT, 255)
    return area


def blurred(document, box=BOX):
    layer, blur = paint(document, box), KRITA.filter("gaussian blur")
    looks = blur.configuration()
    for radius in ("horizRadius", "vertRadius"):
        looks.setProperty(radius, 20.0)
    blur.setConfiguration(looks)
    layer.addChildNode(document.createFilterMask("blur", blur, everywhere()), None)
    return layer


def masked(document):
    layer, mask = paint(document), document.createTransparencyMask("mask")
    layer.addChildNode(mask, None)
    left = Selection()
    left.select(BOX[0], BOX[1], BOX[2] // 2, BOX[3], 255)
    mask.setSelection(left)
    return layer


def styled(document):
    layer = paint(document)
    layer.setLayerStyleFromAsl(_STYLE)
    return layer


def locked(document):
    layer = paint(document)
    layer.setLocked(True)
    return layer


def alpha_locked(document):
    layer = paint(document)
    layer.setAlphaLocked(True)
    return layer


def animated(document):
    """The object in frame 5, something else in frame 0."""
    layer = inside.put(document, "object", read("veil"), BOX)
    layer.enableAnimation()
    yield from inside.choose(document, layer)
    document.setCurrentTime(5)
    yield from inside.wait(lambda: document.currentTime() == 5, "frame 5 is shown")
    add = KRITA.action("add_blank_frame")
    yield from inside.wait(add.isEnabled, "a frame can be added")
    add.trigger()
    yield from inside.wait(lambda: layer.hasKeyframeAtTime(5), "there are two frames")
    document.waitForDone()
    inside.fill(layer, read("object"), *BOX)
    return layer


def transformed(document, center=(330, 150)):
    layer = paint(document)
    layer.addChildNode(transform(document, center), None)
    return layer


def transform(document, center):
    """A mask that makes the object twice as large, with its center elsewhere."""
    mask = document.createTransformMask("transform")
    points = {
        "transformedCenter": center,
        "originalCenter": (BOX[0] + BOX[2] / 2, BOX[1] + BOX[3] / 2),
        "rotationCenterOffset": (0, 0),
    }
    numbers = {"aX": 0, "aY": 0, "aZ": 0, "scaleX": 2, "scaleY": 2, "shearX": 0, "shearY": 0, "keepAspectRatio": 0}
    flat = "".join(f' m{row}{column}="{int(row == column)}"' for row in (1, 2, 3) for column in (1, 2, 3))
    parts = [
        *(f'<{name} type="pointf" x="{x}" y="{y}"/>' for name, (x, y) in points.items()),
        *(f'<{name} type="value" value="{value}"/>' for name, value in numbers.items()),
        '<transformAroundRotationCenter type="value" value="0"/>',
        '<cameraPos type="vector3d" x="0" y="0" z="1024"/>',
        f'<flattenedPerspectiveTransform type="transform"{flat}/>',
        '<filterId type="value" value="Bicubic"/>',
    ]
    parameters = f'<data mode="0"><free_transform>{"".join(parts)}</free_transform></data>'
    assert mask.fromXML(f'<transform_params><main id="tooltransformparams"/>{parameters}</transform_params>')
    return mask


def blending_passing_through(document):
    layer = passing_through(document)
    layer.childNodes()[-1].setBlendingMode("multiply")
    return layer


def in_a_locked_group(document):
    layer = group(document)
    layer.setLocked(True)
    return layer.childNodes()[0]


def filtering(document):
    layer = document.createFilterLayer("object", KRITA.filter("invert"), everywhere())
    document.rootNode().addChildNode(layer, None)
    return layer


def cloned_blur(document):
    source = blurred(document)
    layer = document.createCloneLayer("object", source)
    document.rootNode().addChildNode(layer, None)
    inside.settle(document)
    source.setVisible(False)
    return layer


def transformed_group(document):
    layer = group(document)
    layer.addChildNode(transform(document, (330, 150)), None)
    return layer


def hidden(document):
    layer = blurred(document)
    layer.setVisible(False)
    return layer


notices = []
"""What was told on the canvas at the end of each run; Krita paints it without a widget that could be asked."""
_done = extension.Harmonize._on_end


def _recorded_done(self, outcome):
    notices.append(outcome.notices)
    _done(self, outcome)


extension.Harmonize._on_end = _recorded_done

MAKERS = {
    "paint layer": paint,
    "text layer": text,
    "vector layer": drawing,
    "link or file layer": file,
    "clone layer": clone,
    "group": group,
    "pass-through group": passing_through,
    "fill layer": fill,
    "with a filter": blurred,
    "with a layer mask": masked,
    "with a layer style": styled,
    "content locked": locked,
    "alpha locked": alpha_locked,
    "partly off the canvas": lambda document: paint(document, BEYOND),
    "animated": animated,
    # Beside those of the matrix:
    "with a transform mask": transformed,
    "transformed beyond the canvas": lambda document: transformed(document, center=(0, 0)),
    "blurred beyond the canvas": lambda document: blurred(document, BEYOND),
    "a clone of a blurred layer": cloned_blur,
    "a transformed group": transformed_group,
    "hidden and blurred": hidden,
    "blending and passing through": blending_passing_through,
    "in a locked group": in_a_locked_group,
    "a filter layer": filtering,
}


def made(kind):
    """A document with a ground, a layer of this kind above it, and nothing else."""
    document, ground = yield from inside.new_document(WIDTH, HEIGHT)
    inside.fill(ground, read("ground"), *CANVAS)
    layer = MAKERS[kind](document)
    if not hasattr(layer, "uniqueId"):
        layer = yield from layer
    inside.settle(document)
    bare = read("ground")
    if kind not in ("a filter layer", "hidden and blurred"):
        yield from inside.wait(lambda: shown(document) != bare, "Krita shows the layer")
    if "transform" in kind and KRITA.version().startswith("5.2"):
        yield from inside.turns(200)  # for three seconds it shows only roughly what the mask does, and tells nobody
    return document, layer


def shown(document):
    document.waitForDone()
    return bytes(document.pixelData(*CANVAS))


def run(document, layer, start):
    """Start, and wait until it has ended; the new layer, or what the message says."""
    yield from inside.choose(document, layer)
    before = len(inside.requests)
    yield from start(menu.AGAIN)
    yield from inside.wait(
        lambda: inside.message_box() or (len(inside.requests) > before and inside.named("Progress") is None),
        "there is a message or an answer",
    )
    document.waitForDone()
    if box := inside.message_box():
        said = box.text()
        box.close()
        yield from inside.wait(lambda: inside.message_box() is None, "the message has gone")
        return None, said
    siblings = layer.parentNode().childNodes()
    new = siblings[[one.uniqueId() for one in siblings].index(layer.uniqueId()) + 1]
    assert new.name() == f"{layer.name()} (harmonized)"
    return new, ""


def at_once(name):
    menu.choose(name)
    yield


def as_object(document, layer, kind):
    """At strength 0 with the mouse, the original hidden; then, for kinds of the matrix, with full strength."""
    yield from inside.unmodified(document)
    before, state = shown(document), inside.state(document)
    remember(strength="0.0", output="hide")
    new, said = yield from run(document, layer, menu.choose_with_the_mouse)
    if said:
        return {"said": said, "untouched": inside.state(document) == state and not document.modified()}
    told = notices[-1]
    if kind == "hidden and blurred":
        show_instead(document, new, layer)
        before = shown(document)
        show_instead(document, layer, new)
    box = inside.box_of(new)
    facts = {"off": most_difference(shown(document), before), "box": box, "notices": told}
    if kind in GIVEN["backgrounds"]:
        plain = bytes(new.pixelData(*box))
        show_instead(document, new, layer)
        new.remove()
        remember()
        new, said = yield from run(document, layer, at_once)
        assert not said, said
        facts["changed"] = mean_difference(plain, bytes(new.pixelData(*box)))
    new.remove()
    inside.settle(document)
    return facts


def in_the_dialog(document, layer):
    """What the dialog's preview says when it is there."""
    remember()
    yield from inside.choose(document, layer)
    yield from menu.choose_with_the_mouse(menu.OPEN)
    shown_dialog = yield from inside.wait(lambda: inside.named("HarmonizeDialog"), "the dialog is open")
    preview = shown_dialog._preview
    yield from inside.wait(lambda: preview._steps is None, "the preview is there")
    said = preview.text if preview.after is not None else f"no preview: {preview.text}"
    shown_dialog.reject()
    yield from inside.wait(lambda: inside.named("HarmonizeDialog") is None, "the dialog has gone")
    return said


def show_instead(document, hidden, visible):
    hidden.setVisible(False)
    visible.setVisible(True)
    inside.settle(document)


def most_difference(one, other):
    return 0 if one == other else max(abs(a - b) for a, b in zip(one, other, strict=True))


def mean_difference(one, other):
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def as_background(document):
    """Below a pasted object: the reference must be what was shown before it was pasted."""
    image = document.projection(*CANVAS).convertToFormat(QtGui.QImage.Format.Format_RGBA8888)
    before = bytes(image.constBits().asstring(WIDTH * HEIGHT * 4))
    pasted = inside.put(document, "pasted", read("object"), GIVEN["pasted"])
    inside.settle(document)
    remember()
    _, said = yield from run(document, pasted, at_once)
    return {"said": said} if said else {"off": most_difference(inside.requests[-1]["reference_bytes"], before)}


def main():
    inside.record_requests()
    facts = {}
    for kind in GIVEN["kinds"]:
        print("CASE", kind, flush=True)
        document, layer = yield from made(kind)
        facts[kind] = {"object": (yield from as_object(document, layer, kind))}
        if kind in GIVEN["previewed"]:
            facts[kind]["object"]["preview"] = yield from in_the_dialog(document, layer)
        if kind in GIVEN["backgrounds"]:
            facts[kind]["background"] = yield from as_background(document)
        yield from inside.close(document)
    inside.report("kinds", facts)
