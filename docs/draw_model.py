"""Draw docs/model.svg, the figure of docs/model.md: `python docs/draw_model.py`."""

from __future__ import annotations

from pathlib import Path

PAPER, OURS = "#1f4e79", "#a04000"
LEVELS = (("4", 64), ("3", 148), ("2", 232), ("1", 316))
"""The paper's number of each level, and its y; level 1 is the deepest."""
SIZES = ("c", "2c", "4c", "8c")


def box(x: int, y: int, width: int, height: int, lines: str, colour: str = PAPER) -> str:
    """Return a box with centred lines of text, parted by "|"; dashed where it is ours."""
    dash = ' stroke-dasharray="5 3"' if colour == OURS else ""
    texts = lines.split("|")
    top = y + height / 2 - 8 * (len(texts) - 1) + 4.5
    body = "".join(
        f'<text x="{x + width / 2:g}" y="{top + 16 * number:g}">{text}</text>' for number, text in enumerate(texts)
    )
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="#fff" stroke="{colour}"{dash}/>'
    return f'{frame}<g fill="{colour}" text-anchor="middle">{body}</g>'


def arrow(*points: tuple[int, int], colour: str = PAPER) -> str:
    """Return a line through the points with a head at its end; dashed where it is ours."""
    dash = ' stroke-dasharray="5 3"' if colour == OURS else ""
    head = "paper" if colour == PAPER else "ours"
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}"{dash} marker-end="url(#{head})"/>'


def note(x: int, y: int, text: str, anchor: str = "start", colour: str = "#444") -> str:
    """Return a line of text."""
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}">{text}</text>'


def network() -> list[str]:
    """Return the U-Net with its kernel prediction branch, and our heads below."""
    parts = [
        box(16, 150, 92, 60, "I_c and M|H × W × 4"),
        box(128, 64, 82, 40, "stem s|(ours)", OURS),
        arrow((62, 150), (62, 84), (126, 84)),
        arrow((210, 84), (244, 84)),
        note(291, 48, "encoder", "middle"),
        note(511, 48, "harmony kernel prediction", "middle"),
        note(755, 48, "decoder", "middle"),
    ]
    for (level, y), size in zip(LEVELS, SIZES, strict=True):
        parts += [
            box(246, y, 90, 40, f"F_E, level {level}|{size} channels"),
            box(446, y, 130, 40, f"KPB {level}: SCF,|then kernels K"),
            box(666, y, 178, 40, "merge, S²AM attention,|F_D ⊗ K (+ F_D: ours)"),
            arrow((336, y + 20), (444, y + 20)),
            arrow((576, y + 20), (664, y + 20)),
            note(620, y + 14, "K", "middle"),
        ]
        if level != "1":
            parts += [
                arrow((291, y + 40), (291, y + 82)),
                arrow((511, y + 84), (511, y + 42)),
                arrow((755, y + 84), (755, y + 42)),
                arrow((390, y + 20), (390, y + 56), (640, y + 56), (640, y + 30), (664, y + 30)),
            ]
    deepest = LEVELS[-1][1]
    parts += [
        box(416, 396, 190, 40, "LRE: 2 transformer layers|F_LR"),
        arrow((291, deepest + 40), (291, 416), (414, 416)),
        arrow((511, 396), (511, deepest + 42)),
        arrow((380, deepest + 20), (380, 376), (640, 376), (640, deepest + 30), (664, deepest + 30)),
        box(884, 54, 100, 60, "head: RGB, or|gain and bias|(ours)"),
        arrow((844, 84), (882, 84)),
        box(884, 190, 100, 60, "blend|by the mask M"),
        arrow((934, 114), (934, 188)),
        box(16, 480, 190, 44, "Lab statistics of object|and surroundings", OURS),
        box(226, 480, 190, 44, "EfficientNet-Lite0 (frozen)|on grey I_c", OURS),
        box(476, 480, 220, 44, "global head + recognition head|one 3 × 4 colour matrix", OURS),
        arrow((62, 210), (62, 478), colour=OURS),
        arrow((62, 452), (321, 452), (321, 478), colour=OURS),
        arrow((416, 502), (474, 502), colour=OURS),
        arrow((226, 502), (208, 502), colour=OURS),
        arrow((111, 524), (111, 544), (560, 544), (560, 526), colour=OURS),
        arrow((586, 436), (586, 478), colour=OURS),
        arrow((696, 502), (870, 502), (870, 136), (914, 136), (914, 116), colour=OURS),
        box(884, 290, 100, 60, "restraint|(ours)", OURS),
        arrow((934, 250), (934, 288)),
        box(884, 396, 100, 48, "small picture|I_h"),
        arrow((934, 350), (934, 394)),
    ]
    return parts


def whole_way() -> list[str]:
    """Return the strip on top: from the scene to every full-resolution pixel."""
    steps = (
        ("scene: layer over|background, any size", 20),
        ("small copy: 256 or|384 pixels", 222),
        ("network|(below)", 424),
        ("8 × 8 grid of colour|curves, fitted", 626),
        ("every pixel of the|layer recoloured", 828),
    )
    parts = [box(x, 18, 152, 46, text, OURS if x in (20, 222, 626, 828) else PAPER) for text, x in steps]
    parts += [arrow((x + 152, 41), (x + 200, 41)) for _, x in steps[:-1]]
    return parts


def draw() -> str:
    """Return the whole figure as SVG, on a light ground of its own so that dark pages show it too."""
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
        for name, colour in (("paper", PAPER), ("ours", OURS))
    )
    below = "\n".join(network())
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 660" font-family="sans-serif" font-size="13">\n'
        f"<defs>{heads}</defs>\n"
        '<rect width="1000" height="660" rx="10" fill="#f6f8fa"/>\n' + "\n".join(whole_way()) + "\n"
        f'<g transform="translate(0 70)">\n{below}\n</g>\n'
        + note(20, 644, "solid, blue: the paper", colour=PAPER)
        + note(190, 644, "dashed, brown: ours; of these, the preset gknet uses only the top row", colour=OURS)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("model.svg").write_text(draw(), encoding="utf-8")
