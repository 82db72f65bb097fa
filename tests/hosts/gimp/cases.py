"""Images with a pasted object, one for everything that an image in GIMP may be, and what the backend should be asked.

A case is a dictionary that `in_gimp.py` understands inside GIMP. `wire` is the pixel format, in babl's words, that
the layer should travel in ("?" stands for the alpha, if it has one), `reference_shows` the layers that the reference
should show, and no others. `rounding`: where GIMP turns what comes back into the image's own numbers, by how much of
the light that may be off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

import gknet
from gknet.cli.demo import ASTRONAUT_AT

Case = dict[str, Any]

DEPTHS = {"U8": ("u8", "u1"), "U16": ("u16", "u2"), "HALF": ("half", "f2"), "FLOAT": ("float", "f4")}
CURVES = {"LINEAR": "RGB?", "NON_LINEAR": "R'G'B'?", "PERCEPTUAL": "R~G~B~?"}
GRAY_CURVES = {"LINEAR": "Y?", "NON_LINEAR": "Y'?", "PERCEPTUAL": "Y~?"}

WIDTH, HEIGHT = 320, 240
DEMO = Path(gknet.__file__).parent / "demo"
AT = (100, 70)
OBJECT = (120, 150)
PART = (20, 80)
"""Where in the photograph the part of it lies."""
SOFT = [130, 90, 70, 90, 20]
"""A selection: left, top, width, height, and how far its edge is feathered."""


def photographs() -> dict[str, np.ndarray]:
    """A photograph, a part of it, and objects cut out of others, float32, sRGB-encoded; the face is too dark for where
    it comes.

    The astronaut is NASA's, coffee and cat are public domain too (scikit-image).
    """
    ground = np.asarray(skimage.data.coffee())[60 : 60 + HEIGHT, 100 : 100 + WIDTH] / 255
    face = 0.7 * np.asarray(skimage.data.astronaut())[20:170, 160:280] / 255
    rows, columns = np.mgrid[: OBJECT[1], : OBJECT[0]]
    distance = np.hypot((rows - 75) / 70, (columns - 60) / 52)
    alpha = np.clip((1.05 - distance) / 0.1, 0, 1)
    cat = np.asarray(skimage.data.chelsea())[:HEIGHT, :WIDTH] / 255
    return {
        "ground": ground.astype("<f4"),
        "cat": cat.astype("<f4"),
        "object": np.dstack([face, alpha]).astype("<f4"),
        "part": np.dstack([ground[PART[1] :, PART[0] :][: OBJECT[1], : OBJECT[0]], alpha]).astype("<f4"),
        "black": np.dstack([0 * face, alpha]).astype("<f4"),
        "opaque": face.astype("<f4"),
        "large": np.dstack([cat, np.hypot(*np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]) < 0.8]).astype("<f4"),
        "mask": np.rint(alpha * 255).astype("u1"),
    }


def write_photographs(folder: Path) -> None:
    """Puts into a folder what the cases name: pixels, and files to be opened."""
    for name, picture in photographs().items():
        (folder / name).write_bytes(picture.tobytes())
    (folder / "photograph.jpg").write_bytes((DEMO / "background.jpg").read_bytes())
    pasted_pixels = np.rint(photographs()["object"] * 255).astype("u1")
    Image.fromarray(pasted_pixels).save(folder / "object.png")
    (folder / "astronaut").write_bytes(np.asarray(Image.open(DEMO / "cutout.png").convert("RGBA")).tobytes())
    turned = Image.fromarray(np.asarray(skimage.data.coffee()))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be shown turned by a quarter, clockwise
    turned.save(folder / "turned.jpg", exif=exif, quality=95)


def opened() -> list[Case]:
    """Photographs opened from files."""
    x, y = ASTRONAUT_AT
    with Image.open(DEMO / "cutout.png") as cutout, Image.open(DEMO / "background.jpg") as background:
        size = {"width": background.width, "height": background.height}
        astronaut = {"name": "object", "file": "astronaut", "width": cutout.width, "height": cutout.height}
    astronaut |= {"x": x, "y": y, "type": "RGBA_IMAGE", "format": "R'G'B'A u8"}
    photograph = case("photograph", open="photograph.jpg", layers=[astronaut], save=True, **size)
    turned = case("turned", open="turned.jpg", width=400, height=600, layers=[pasted()])
    return [photograph, turned]


def layer(name: str, file: str, **more: Any) -> Case:
    """A layer filled with one of the photographs."""
    shapes = {"object": OBJECT, "opaque": OBJECT, "part": OBJECT}
    width, height = shapes.get(file, (WIDTH, HEIGHT))
    alpha = file in ("object", "large", "part")
    kind = {"type": "RGBA_IMAGE" if alpha else "RGB_IMAGE", "format": "R'G'B'A float" if alpha else "R'G'B' float"}
    return {"name": name, "file": file, "width": width, "height": height, **kind, **more}


def pasted(**more: Any) -> Case:
    return layer("object", "object", **{"x": AT[0], "y": AT[1], **more})


def black_object() -> list[Case]:
    """Layers with an object that has fewer versions than others, as some would look alike."""
    return [layer("ground", "ground"), pasted() | {"file": "black"}]


def case(name: str, *, layers: list[Case] | None = None, gray: bool = False, **more: Any) -> Case:
    """An image of 8 bits with an object over a photograph, but for what is said otherwise."""
    made = {
        "name": name,
        "base": "GRAY" if gray else "RGB",
        "precision": "U8_NON_LINEAR",
        "width": WIDTH,
        "height": HEIGHT,
        "layers": layers if layers is not None else [layer("ground", "ground"), pasted()],
        "target": "object",
        "wire": "Y'? u8" if gray else "R'G'B'? u8",
        "reference_shows": ["ground"],
        **more,
    }
    for entry in made["layers"] if gray else []:
        entry["type"] = entry.get("type", "").replace("RGBA", "GRAYA").replace("RGB", "GRAY")
    scale = min(1.0, 1024 / max(made["width"], made["height"]))
    made["reference_size"] = [round(made["width"] * scale), round(made["height"] * scale)]
    return made


def precisions() -> list[Case]:
    """Every precision that travels as it is, in colour and gray, and two that travel as floats."""
    made = []
    for curve in CURVES:
        for depth, (kind, _) in DEPTHS.items():
            precision = f"{depth}_{curve}"
            made.append(case(f"rgb-{precision}", precision=precision, wire=f"{CURVES[curve]} {kind}"))
            if depth in ("U8", "FLOAT") or curve == "LINEAR":
                wire = f"{GRAY_CURVES[curve]} {kind}"
                made.append(case(f"gray-{precision}", gray=True, precision=precision, wire=wire))
    for depth, curve in (("U32", "LINEAR"), ("DOUBLE", "NON_LINEAR")):
        precision = f"{depth}_{curve}"
        made.append(case(f"rgb-{precision}", precision=precision, wire=f"{CURVES[curve]} float", rounding=2**-23))
    return made


def profiles() -> list[Case]:
    """Images with a profile of their own, whose colours are not sRGB's."""
    return [
        case("adobe-8-bit", profile="adobe"),
        case("adobe-16-bit", profile="adobe", precision="U16_NON_LINEAR", wire="R'G'B'? u16"),
        case("adobe-linear-float", profile="adobe", precision="FLOAT_LINEAR", wire="R~G~B~? float", rounding=2**-18),
        case("adobe-linear-16-bit", profile="adobe", precision="U16_LINEAR", wire="R~G~B~? float", rounding=2**-16),
        case("adobe-perceptual", profile="adobe", precision="U8_PERCEPTUAL", wire="R~G~B~? u8"),
        case(
            "gray-profile-linear", gray=True, profile="lab", precision="HALF_LINEAR", wire="Y~? float", rounding=2**-11
        ),
        case("gray-profile", gray=True, profile="lab"),
    ]


def arrangements() -> list[Case]:
    """Layers at every place, and images with everything around them."""
    ground, over = layer("ground", "ground"), layer("over", "large", opacity=40)
    faded = {"name": "group", "is_group": True, "opacity": 80}
    holder = {"name": "holder", "is_group": True}
    text = {"name": "object", "text": "Text", "x": 60, "y": 90}
    masked = layer("object", "opaque", x=AT[0], y=AT[1], mask="mask")
    return [
        case("larger-than-canvas", layers=[ground, layer("object", "large", x=-60, y=-50)], width=200, height=150),
        case("partly-outside", layers=[ground, pasted(x=250, y=-40)]),
        case("in-group", layers=[ground, faded, layer("below", "large", group="group"), pasted(group="group", x=33)])
        | {"reference_shows": ["ground", "below"], "opacity": 0.8},
        case("mask", layers=[ground, masked], alpha_is_mask=True),
        case("mask-chosen", layers=[ground, masked], alpha_is_mask=True, target_mask=True),
        case("hidden-below", layers=[ground, layer("hidden", "cat", visible=False), pasted(), over]),
        case("selection", layers=[ground, pasted()], selection=[130, 90, 70, 90, 0]),
        case("soft-selection", layers=[ground, pasted()], selection=SOFT),
        case("opaque-selected", layers=[ground, layer("object", "opaque", x=90, y=60)], selection=[110, 80, 60, 70, 0]),
        case("guides", layers=[ground, pasted()], guides=[30, 77]),
        case("blended", layers=[ground, pasted(opacity=60, mode="HARDLIGHT")], opacity=0.6),
        case("half-strength", args={"strength": 0.5}),
        case("clean-edges", args={"clean-edges": True}),
        case("original-kept", args={"output": "keep"}, save=True),
        case("visibility-locked", args={"output": "keep"})
        | {"layers": [ground, pasted(locks=["visibility"]), over | {"locks": ["visibility"]}]},
        case("whole-image", layers=[ground, pasted(), over], args={"compare": "image"})
        | {"reference_shows": ["ground", "over"]},
        case("chosen-layer", layers=[ground, layer("cat", "cat", visible=False), pasted(), over])
        | {"args": {"compare": "layer", "reference": "cat"}, "reference_shows": ["cat"]},
        case("chosen-group", layers=[ground, holder, layer("cat", "cat", group="holder"), pasted(group="holder")])
        | {"args": {"compare": "layer", "reference": "holder"}, "reference_shows": ["cat"]},
        case(
            "effect-and-selection", layers=[ground, pasted(effect="gegl:invert-gamma")], selection=[130, 90, 70, 90, 0]
        )
        | {"effects": True},
        case(
            "effect-on-what-is-below",
            layers=[ground, *group("group", mode="PASS_THROUGH", effect="gegl:invert-gamma"), pasted(x=10, y=10)],
            reference_shows=["ground", "group 1", "group 2"],
        ),
        case("reduced-reference", width=2500, height=1700, layers=[layer("ground", "ground"), pasted()]),
        case(
            "effects",
            layers=[ground, layer("object", "opaque", x=90, y=60, effect="gegl:invert-gamma", mask="mask")],
            effects=True,
            alpha_is_mask=True,
        ),
        case("text", layers=[ground, text], text=True),
        case("text-with-mask", layers=[ground, text | {"mask": "white"}], text=True),
        case("replaced", args={"output": "replace"}, in_place=True),
        case("replaced-32-bit", args={"output": "replace"}, in_place=True, precision="U32_LINEAR")
        | {"wire": "RGB? float", "rounding": 2**-23},
        case("replaced-in-selection", args={"output": "replace"}, in_place=True, selection=[130, 90, 70, 90, 0]),
    ]


def group(name: str, *, child_mode: str = "NORMAL", **more: Any) -> list[Case]:
    """A group of two layers: the object, and a smaller one over it that is half transparent."""
    small = layer(f"{name} 2", "object", x=AT[0] + 50, y=AT[1] + 60, opacity=60, mode=child_mode, group=name)
    return [{"name": name, "is_group": True, **more}, pasted(group=name) | {"name": f"{name} 1"}, small]


NO_SUCH = ("clone layer", "fill layer", "with a layer style", "animated")
"""Kinds of layers that no version of GIMP has."""
CLASSES = {"vector layer": "VectorLayer", "link or file layer": "LinkLayer"}
"""Kinds that only some versions have, and what GIMP calls them."""
TRIANGLE = [[AT[0], AT[1]], [AT[0] + 110, AT[1] + 20], [AT[0] + 40, AT[1] + 120]]
SHADOW = "gegl:dropshadow"
"""An effect that makes a layer larger."""


def kinds(name: str) -> dict[str, list[Case]]:
    """The layers, the lowest first, that make up one layer of each kind (tests.hosts.matrix), called `name`."""
    paint, at = pasted() | {"name": name}, {"name": name, "x": AT[0], "y": AT[1]}
    return {
        "paint layer": [paint],
        "text layer": [{**at, "text": "Text", "text_outline": True}],
        "vector layer": [{"name": name, "outline": TRIANGLE}],
        "link or file layer": [{**at, "link": "object.png"}],
        "group": group(name),
        "pass-through group": group(name, mode="PASS_THROUGH"),
        "with a filter": [{**paint, "effect": SHADOW}],
        "with a layer mask": [layer(name, "opaque", x=AT[0], y=AT[1], mask="mask")],
        "content locked": [{**paint, "locks": ["content"]}],
        "alpha locked": [{**paint, "locks": ["alpha"]}],
        "partly off the canvas": [{**paint, "x": 260, "y": -40}],
    }


def combinations() -> dict[str, list[Case]]:
    """Layers of more than one such kind at once, as `kinds`."""
    one = {kind: entries[-1] for kind, entries in kinds("object").items()}
    text, vector, link, paint = (one[kind] for kind in ("text layer", *CLASSES, "paint layer"))
    masked, holder = one["with a layer mask"], {"name": "holder", "is_group": True}
    every_lock = ["content", "position", "alpha"]
    styled = {"opacity": 70, "mode": "MULTIPLY"}
    return {
        "text, effect": [text | {"effect": SHADOW}],
        "text, locked": [text | {"locks": every_lock}],
        "vector, effect": [vector | {"effect": SHADOW}],
        "vector, locked, effect": [vector | {"locks": every_lock, "effect": SHADOW}],
        "link, effect": [link | {"effect": SHADOW}],
        "link, locked, effect": [link | {"locks": every_lock, "effect": SHADOW}],
        "link, styled": [link | styled],
        "vector, rasterized": [vector | {"rasterized": True}],
        "link, rasterized": [link | {"rasterized": True}],
        "opaque, effect": [layer("object", "opaque", x=AT[0], y=AT[1], effect=SHADOW)],
        "mask, effect": [masked | {"effect": SHADOW}],
        "mask, every lock": [masked | {"locks": every_lock}],
        "mask, effect, every lock": [masked | {"effect": "gegl:invert-gamma", "locks": every_lock}],
        "effect, every lock": [paint | {"effect": "gegl:gaussian-blur", "locks": every_lock}],
        "effect to the left": [paint | {"effect": SHADOW, "effect_values": {"x": -15, "y": -25}}],
        "vector, in a locked group": [holder | {"locks": ["content"]}, vector | {"group": "holder"}],
        "in a locked group": [holder | {"locks": every_lock}, paint | {"group": "holder"}],
        "in a locked group, mask": [holder | {"locks": every_lock}, masked | {"group": "holder"}],
        # Not the group's alpha: GIMP 3.0 heeds that only when it applies the effect the next time.
        "in a locked group, effect": [
            holder | {"locks": ["content", "position"]},
            paint | {"group": "holder", "effect": SHADOW},
        ],
        "in a group, effect": [holder, paint | {"group": "holder", "effect": SHADOW}],
        "group, effect": group("object", effect=SHADOW),
        "group, locked": group("object", locks=every_lock),
        "group, styled, mask": group("object", mask="copy", **styled),
        "group that blends inside": group("object", child_mode="MULTIPLY"),
        "in a group": [holder, {"name": "object", "is_group": True, "group": "holder"}, *group("object")[1:]],
        "pass-through, half transparent": group("object", mode="PASS_THROUGH", opacity=50),
        "pass-through, mask": group("object", mode="PASS_THROUGH", mask="copy"),
    }


def refusals() -> list[Case]:
    """What cannot be done; `says`: words of the message."""
    ground = layer("ground", "ground")
    empty = {"name": "object", "is_group": True}
    locked_group = {"name": "holder", "is_group": True, "locks": ["content"]}
    text = {"name": "object", "text": "Text", "x": 10, "y": 10}
    table = [
        case("empty-group", layers=[ground, empty], says="transparent"),
        case("indexed", layers=[ground, pasted()], indexed=True, says="Image → Mode → RGB"),
        case("opaque", layers=[ground, layer("object", "opaque")], says="no transparency and nothing is selected"),
        case("nothing-below", layers=[pasted()], says="Nothing is visible below"),
        case("text-replaced", layers=[ground, text], args={"output": "replace"}, says="text layer"),
        case("group-replaced", layers=[ground, *group("object")], args={"output": "replace"}, says="of a layer group"),
        case("locked-replaced", layers=[ground, pasted(locks=["content"])], args={"output": "replace"})
        | {"says": "The pixels of “object” are locked.\n\nUnlock them"},
        case("group-locked-replaced", args={"output": "replace"})
        | {"layers": [ground, locked_group, pasted(group="holder")], "says": "The pixels of “holder” are locked."},
        case("cannot-be-hidden", layers=[ground, pasted(locks=["visibility"])], says="visibility is locked"),
        case("pass-through-blends", layers=[ground, *group("object", mode="PASS_THROUGH", child_mode="MULTIPLY")])
        | {"says": "blend with the layers below the group"},
        case("pass-through-effect")
        | {"layers": [ground, *group("object", mode="PASS_THROUGH", effect="gegl:invert-gamma")]}
        | {"says": "blend with the layers below the group"},
        case("no-layer-chosen", args={"compare": "layer"}, says="No layer was chosen"),
        case("other-images-layer-chosen", args={"compare": "layer", "reference": "of another image"})
        | {"says": "No layer was chosen"},
        case("itself-chosen", args={"compare": "layer", "reference": "object"}, says="with itself"),
        case("beside-canvas", layers=[ground, pasted(x=2000)], says="outside the background"),
        case("all-invisible", layers=[ground, pasted(opacity=0)], says="Invalid opacity 0"),
    ]
    for one in table:
        del one["wire"]
    return table
