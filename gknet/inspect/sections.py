"""All that the page shows of one composite, from the colors that changed to the kernels that changed them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gknet.harmonizer import Harmonizer, Progress
from gknet.inspect.attention_maps import draw_attention_map
from gknet.inspect.channel_weights import draw_channel_weights
from gknet.inspect.color_change import ColorChange, draw_before_and_after, draw_change_curves, draw_change_maps
from gknet.inspect.kernel_clusters import draw_kernel_clusters
from gknet.inspect.page import Plate, Section
from gknet.inspect.record import capture_inputs, record
from gknet.inspect.sight_plate import draw_sight
from gknet.inspect.spot import Spot
from gknet.pixels.box import bounding_box
from gknet.pixels.pixels import as_rgb, validate_mask
from gknet.scene import CompositeScene

_TEXTS = {
    "change": (
        "What it did",
        "What became of the object, as you would see it and in numbers.",
    ),
    "seen": (
        "What it saw",
        "Everything below happens in the network’s own small copy of the picture.",
    ),
    "attention": (
        "Where it looked",
        "First the network finds out which parts of the picture have to do with one another, however far apart they "
        "are (the paper’s long-distance reference, LRE; its Fig. 10). It cuts the picture into squares, and each "
        "square shares out its attention among all of them, in several searches at once, called heads. Here that of "
        "one square is followed: the one with the ring. Red: it takes more from there than if it looked everywhere "
        "alike; blue: less. The thin line is the object’s outline. A head that gives the object less than its part of "
        "the picture looks at the scene instead, whose light the object should be in.",
    ),
    "fusion": (
        "What it let through",
        "The network breaks a picture up into many gray pictures, called channels, each of which answers to something "
        "else: an edge, a tint, a brightness. On its way from coarse to fine it joins two stacks of them at every "
        "level, one from the picture itself, one from the coarser level before, and gives every channel a weight from "
        "0 (left out) to 1 (let through whole); this is the paper’s selective correlation fusion, SCF, in its Fig. 9. "
        "The curve shows all weights in order; beside it stand the channels that weigh most, above, and least, below. "
        "Red is a positive value, blue a negative one; such values have no unit.",
    ),
    "kernels": (
        "What it did where",
        "In the end the network treats every pixel in its own way. For each it makes a small recipe for this picture "
        "alone, a kernel: how much of the pixels around it goes into it, channel by channel (the paper’s harmony "
        "kernels; its Fig. 8). Upper left: all recipes, sorted into groups of like ones (by k-means); A is the group "
        "that lies most on the object. Same color, same recipe. Upper right: how much of what comes out the recipes "
        "put in. Middle: each group’s mean recipe, laid as the picture is. Bottom: what a recipe’s weights add up "
        "to, for every channel: red makes the channel stronger there, blue weaker, white leaves it alone.",
    ),
}


def make_sections(
    scene: CompositeScene,
    harmonizer: Harmonizer,
    *,
    point: tuple[int, int] | None = None,
    network_size: int | None = None,
    on_progress: Progress,
) -> list[Section]:
    """The page's sections for one composite, harmonized as `gknet harmonize` does it.

    point: (x, y) of the composite, whose attention is shown; None for the middle of the foreground. It lies in the
    picture (`spot.check_inside`).   network_size: long side of what the network sees, pixels;
    None for its own.
    Raises as the harmonizer, and InputError for a point where the network did not look.
    """
    before, encoding = scene.before, scene.file.encoding
    with capture_inputs(harmonizer.net) as heard:
        after = scene.harmonize(harmonizer, 1.0, network_size)
    rgb, mask = as_rgb(before), validate_mask(scene.mask, before.shape[:2])
    box = bounding_box(mask)
    sight = harmonizer.make_sight(rgb, mask, box, encoding, network_size)
    spot = Spot.at_foreground(sight) if point is None else Spot.at_pixel(*point, sight)
    on_progress("record", 0, 1)
    seen = record(harmonizer.net, *heard[0])
    change = ColorChange.measure(before, after, mask, box, encoding)
    token, place = spot.find_token(sight, seen.grid), (spot.across, spot.down)
    drawings: dict[str, list[Callable[[], Plate]]] = {
        "change": [partial(draw, change) for draw in (draw_before_and_after, draw_change_maps, draw_change_curves)],
        "seen": [partial(draw_sight, seen, change.before, mask.shape, sight.window, spot)],
        "attention": [partial(draw_attention_map, seen, layer, token, place) for layer in range(len(seen.attention))],
        "fusion": [partial(draw_channel_weights, seen, level) for level in range(len(seen.fusions))],
        "kernels": [partial(draw_kernel_clusters, seen, level) for level in range(len(seen.kernels))],
    }
    total, done = sum(map(len, drawings.values())), 0
    sections = []
    for name, draws in drawings.items():
        plates = []
        for draw in draws:
            on_progress("draw", done, total)
            plates.append(draw())
            done += 1
        if plates:  # a network may lack a part
            sections.append(Section(name, *_TEXTS[name], plates))
    return sections
