"""The page's sections for one composite, from the changed colors to the kernels that changed them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gknet.fits import Progress
from gknet.harmonizer import Harmonizer
from gknet.inspect.attention_maps import draw_attention_map
from gknet.inspect.channel_weights import draw_channel_weights
from gknet.inspect.color_change import (
    ColorChange,
    draw_before_and_after,
    draw_change_curves,
    draw_change_maps,
    show_object,
)
from gknet.inspect.kernel_clusters import draw_kernel_clusters
from gknet.inspect.page import Plate, Section
from gknet.inspect.record import capture_inputs, record
from gknet.inspect.sight_plate import draw_sight
from gknet.inspect.spot import Spot
from gknet.inspect.variant_plate import draw_variants
from gknet.pixels.box import bounding_box
from gknet.pixels.pixels import as_rgb, validate_mask
from gknet.scene import CompositeScene
from gknet.transfer.trims import NO_TRIMS

_TEXTS = {
    "change": (
        "What it did",
        "How the object changed, visually and in numbers.",
    ),
    "choice": (
        "What else it could be",
        "Often a scene does not show which colors an object should have: a gray cat may be a light one in the shade. "
        "So there are up to five versions to choose from.",
    ),
    "input": (
        "What it saw",
        "Everything below happens in a small copy of the picture, the network’s input.",
    ),
    "attention": (
        "Where it looked",
        "First the network finds out which parts of the picture are related, however far apart they are (the paper’s "
        "long-distance reference, LRE; its Fig. 10). It divides the picture into squares, and each square distributes "
        "its attention among all of them, in several parallel searches called heads. The maps show the attention of "
        "one square, marked by the ring. Red: more attention than an even share; blue: less. The thin line is the "
        "object’s outline. A head that gives the object less than its share of the picture looks at the scene "
        "instead, whose light the object should take on.",
    ),
    "fusion": (
        "What it let through",
        "The network splits a picture into many gray pictures, called channels, each of which responds to something "
        "different: an edge, a tint, a brightness. From coarse to fine, it joins two stacks of channels at every "
        "level, one from the picture itself and one from the previous, coarser level. It gives every channel a weight "
        "from 0 (left out) to 1 (fully used); this is the paper’s selective correlation fusion, SCF, in its Fig. 9. "
        "The curve shows all weights in order. Beside it are the channels with the largest weights, above, and the "
        "smallest, below. Red is a positive value, blue a negative one; the values have no unit.",
    ),
    "kernels": (
        "What it did where",
        "In the end the network treats every pixel individually. For each one it predicts a kernel, a small recipe "
        "for this picture alone: how much of the surrounding pixels to add, channel by channel (the paper’s harmony "
        "kernels; its Fig. 8). Upper left: all kernels, sorted into groups of similar ones (by k-means); A is the "
        "group that is most on the object. Same color, same group. Upper right: the kernels’ contribution to the "
        "result. Middle: each group’s mean kernel, oriented like the picture. Bottom: the sum of a kernel’s weights "
        "for every channel: red makes the channel stronger, blue weaker, white leaves it unchanged.",
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
    """Return the page's sections for one composite, harmonized as in `gknet harmonize`.

    point: (x, y) of the composite whose attention is shown, inside the picture (`spot.check_inside`); None for the
    middle of the foreground.   network_size: long side of the network's input, pixels; None for the network's default.
    Raises as the harmonizer, and InputError for a point outside the network's input.
    """
    before, encoding = scene.before, scene.file.encoding
    with capture_inputs(harmonizer.net) as inputs:
        fit = scene.fit(harmonizer, network_size)
    versions = [fit.apply(1.0, number, NO_TRIMS) for number in range(1, 1 + len(fit.variants))]
    after = versions[0]
    rgb, mask = as_rgb(before), validate_mask(scene.mask, before.shape[:2])
    box = bounding_box(mask)
    sight = harmonizer.make_sight(rgb, mask, box, encoding, network_size)
    spot = Spot.at_foreground(sight) if point is None else Spot.at_pixel(*point, sight)
    on_progress("record", 0, 1)
    recording = record(harmonizer.net, *inputs[0])
    change = ColorChange.measure(before, after, mask, box, encoding)
    near = [show_object(version, box, encoding) for version in versions]
    probabilities = [variant.probability for variant in fit.variants]
    token, place = spot.find_token(sight, recording.grid), (spot.across, spot.down)
    drawings: dict[str, list[Callable[[], Plate]]] = {
        "change": [partial(draw, change) for draw in (draw_before_and_after, draw_change_maps, draw_change_curves)],
        "choice": [partial(draw_variants, near, probabilities)] if len(near) > 1 else [],
        "input": [partial(draw_sight, recording, change.before, mask.shape, sight.window, spot)],
        "attention": [
            partial(draw_attention_map, recording, layer, token, place) for layer in range(len(recording.attention))
        ],
        "fusion": [partial(draw_channel_weights, recording, level) for level in range(len(recording.fusions))],
        "kernels": [partial(draw_kernel_clusters, recording, level) for level in range(len(recording.kernels))],
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
