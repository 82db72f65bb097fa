"""Driver: every kind of layer is harmonized without a dialog; pixels before and after go into files."""

from pathlib import Path

import inside
import menu
from inside import GIVEN, KRITA, QtCore
from krita import Selection


def read(name):
    return Path(GIVEN["folder"], name).read_bytes()


def remember(**values):
    usual = {"strength": "1.0", "compare": "below", "layer": "", "layer_name": "", "output": "keep"}
    usual |= dict.fromkeys(inside.NUMBERS, "")
    for name, value in {**usual, "clean_edges": "", **values}.items():
        KRITA.writeSetting("gknet_harmonize", name, value)


def plain(thing, **_):
    return thing


def in_a_group(document, ground, thing, case):
    group = document.createGroupLayer("group")
    thing.remove()
    document.rootNode().addChildNode(group, ground)
    inside.put(document, "low", read(case["green"]), case["box"], parent=group)
    thing = inside.put(document, "object", read(case["object"]), case["box"], parent=group, above=group.childNodes()[0])
    inside.put(document, "high", read(case["green"]), case["box"], parent=group, above=thing)
    return thing


def the_group(document, ground, thing, case):
    group = document.createGroupLayer("group")
    thing.remove()
    document.rootNode().addChildNode(group, ground)
    inside.put(document, "object", read(case["object"]), case["box"], parent=group)
    return group


def between(document, ground, thing, case):
    """A hidden layer below, a visible one above."""
    hidden = inside.put(document, "hidden", read(case["green"]), case["box"], above=ground)
    hidden.setVisible(False)
    inside.put(document, "above", read(case["green"]), case["box"], above=thing)
    return thing


def with_mask(document, thing, case, **_):
    x, y, width, height = case["box"]
    mask = document.createTransparencyMask("mask")
    thing.addChildNode(mask, None)
    shown = Selection()
    shown.select(x, y, width // 2, height, 255)
    part = Selection()
    part.select(x + width // 2, y, width // 4, height, 100)
    shown.add(part)
    mask.setSelection(shown)
    return thing


def with_selection(document, thing, case, **_):
    selection = Selection()
    selection.setPixelData(QtCore.QByteArray(read(case["selection"])), 0, 0, case["width"], case["height"])
    document.setSelection(selection)
    return thing


def cloned(document, thing, **_):
    clone = document.createCloneLayer("copy", thing)
    document.rootNode().addChildNode(clone, thing)
    inside.settle(document)
    thing.setVisible(False)
    return clone


def drawn(document, ground, thing, case):
    thing.remove()
    vector = document.createVectorLayer("drawing")
    document.rootNode().addChildNode(vector, ground)
    width, height = case["width"], case["height"]
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    circle = '<circle cx="230" cy="280" r="70" fill="#00ff00"/>'
    vector.addShapesFromSvg(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{circle}</svg>')
    return vector


def against_a_layer(document, ground, thing, case):
    other = inside.put(document, "other", read(case["green"]), case["box"], above=ground)
    other.setVisible(False)
    remember(compare="layer", layer=other.uniqueId().toString(), layer_name="other")
    return thing


def against_all(document, ground, thing, case):
    remember(compare="image")
    return between(document, ground, thing, case)


def clean_edges(thing, **_):
    remember(clean_edges="True")
    return thing


def half_way(document, thing, case, **_):
    remember(strength="0.5")
    thing.setOpacity(128)
    thing.setBlendingMode("multiply")
    # The step before ours: Krita 5.2 itself crashes when a blending mode that a script has set is redone.
    inside.put(document, "last", read(case["green"]), case["box"], above=thing).setVisible(False)
    return thing


def hidden_after(thing, **_):
    remember(output="hide")
    return thing


SCENES = (plain, in_a_group, the_group, between, with_mask, with_selection, cloned, drawn, against_a_layer, against_all)
SCENES = {scene.__name__: scene for scene in (*SCENES, clean_edges, half_way, hidden_after)}


def facts_of(new):
    parent = new.parentNode()
    names = [one.name() for one in parent.childNodes()]
    return {
        "name": new.name(),
        "type": new.type(),
        "space": [new.colorModel(), new.colorDepth(), new.colorProfile()],
        "box": inside.box_of(new),
        "opacity": new.opacity(),
        "blending": new.blendingMode(),
        "siblings": names,
        "visible": {one.name(): one.visible() for one in parent.childNodes()},
    }


def without(state, name):
    looks, pixels, children = state
    return looks, pixels, tuple(without(one, name) for one in children if one[0][0] != name)


def hiding(state, name):
    """The state with one layer's visibility left out."""
    looks, pixels, children = state
    looks = (*looks[:2], None, *looks[3:]) if looks[0] == name else looks
    return looks, pixels, tuple(hiding(one, name) for one in children)


def one_step_further_back(document, facts, new_name):
    """The next undo takes back what came before, at once: nothing of ours lies in between."""
    before = inside.state(document)
    yield from inside.trigger(document, "edit_undo")
    for _ in range(100):
        yield
        document.waitForDone()
        if inside.state(document) != before:
            break
    # A second step of ours would change the document, too, but bring the new layer back.
    facts["next_undo_is_the_users"] = inside.state(document) != before and document.nodeByName(new_name) is None
    yield from inside.trigger(document, "edit_redo")
    yield from inside.wait(lambda: inside.state(document) == before, "that step is redone")


def harmonize_again(document, node):
    """The entry without a dialog, until its window has gone."""
    yield from inside.choose(document, node)
    menu.choose(menu.AGAIN)
    yield from inside.wait(lambda: inside.named("Progress") is None, "the progress window has gone")
    document.waitForDone()


def run(case):
    print("CASE", case["name"], flush=True)
    remember()
    document, ground = yield from inside.new_document(
        case["width"], case["height"], case["model"], case["depth"], case["profile"]
    )
    inside.fill(ground, read(case["ground"]), 0, 0, case["width"], case["height"])
    thing = inside.put(document, "object", read(case["object"]), case["box"], above=ground)
    inside.settle(document)
    thing = SCENES[case["scene"]](document=document, ground=ground, thing=thing, case=case)
    yield from inside.wait(lambda: not thing.bounds().isEmpty(), "Krita has painted the layer")
    inside.settle(document)
    yield from inside.unmodified(document)
    before, tree_before = inside.state(document), inside.tree(document)
    inside.requests.clear()
    yield from harmonize_again(document, thing)
    name = thing.name()
    assert not inside.messages(), inside.messages()
    new = next(one for one in thing.parentNode().childNodes() if one.name() == f"{name} (harmonized)")
    request = inside.requests[-1]
    yield from inside.wait(document.modified, "the document is modified")
    facts = facts_of(new)
    after = inside.state(document)
    assert without(hiding(after, name), new.name()) == hiding(before, name), "another layer has changed"
    facts["requests"] = len(inside.requests)
    facts["request"] = {key: request[key] for key in ("layer", "reference", "options")}
    box = [request["layer"][key] for key in ("x", "y", "width", "height")]
    for part in ("layer_bytes", "reference_bytes", "selection"):
        if request[part] is not None:
            inside.write(f"{case['name']}.{part}", request[part])
    inside.write(f"{case['name']}.shown", thing.projectionPixelData(*box))
    inside.write(f"{case['name']}.result", new.pixelData(*box))
    pixels = bytes(new.pixelData(*box))
    yield from inside.trigger(document, "edit_undo")
    yield from inside.wait(lambda: inside.tree(document) == tree_before, "the new layer is undone")
    document.waitForDone()
    facts["undone_exactly"] = hiding(inside.state(document), name) == hiding(before, name)
    facts["visible_after_undo"] = thing.visible()
    if case["scene"] != "with_selection":  # that step shows in no layer, and undoing it at once can crash Krita 6.0.4
        yield from one_step_further_back(document, facts, new.name())
    yield from inside.trigger(document, "edit_redo")
    found = yield from inside.wait(lambda: document.nodeByName(f"{name} (harmonized)"), "the new layer is redone")
    document.waitForDone()
    facts["redone_exactly"] = inside.state(document) == after and bytes(found.pixelData(*box)) == pixels
    if "edge" in case:
        thing.setVisible(True)
        inside.settle(document)
        ground.setVisible(False)
        inside.settle(document)
        inside.write(f"{case['name']}.stacked", document.pixelData(*box))
    inside.report(case["name"], facts)
    yield from inside.close(document)


def main():
    inside.record_requests()
    for case in GIVEN["cases"]:
        yield from run(case)
