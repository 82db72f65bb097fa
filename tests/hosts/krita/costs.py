"""Driver: what the plug-in adds around the backend's work, beside Krita's own calls for the same pixels, in turn."""

import struct
import time
from pathlib import Path

import gknet_harmonize.thin.job as job
import inside
import menu
from inside import GIVEN, QtCore

WIDTH, HEIGHT = GIVEN["size"]

asked = []
"""Seconds of each request, on its own thread: the way there, the backend's work, and the way back."""
_ask = job.Backend._ask


def _timed(self, *arguments):
    start = time.monotonic()
    try:
        return _ask(self, *arguments)
    finally:
        asked.append(time.monotonic() - start)


job.Backend._ask = _timed


def status(field):
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(field))
    return int(line.split()[1]) * 1024


class Pulse:
    """How long the interface was dead at most."""

    def __init__(self):
        self.worst = 0.0
        self.last = time.monotonic()
        self.timer = QtCore.QTimer()
        self.timer.timeout.connect(self.beat)
        self.timer.start(5)

    def beat(self):
        now = time.monotonic()
        self.worst = max(self.worst, now - self.last)
        self.last = now

    def begin(self):
        self.worst, self.last = 0.0, time.monotonic()


def varied(pixel):
    """Half a row of pixels around this one: none of Krita's tiles is of one colour."""
    changes = (struct.unpack("<4f", pixel) if len(pixel) == 16 else pixel)[:3]
    kind, alpha = ("<4f", 1.0) if len(pixel) == 16 else ("<4B", 255)
    steps = ([one * (7 * x % 256) / 256 for one in changes] for x in range(WIDTH // 2))
    return b"".join(struct.pack(kind, *(step if kind == "<4f" else map(int, step)), alpha) for step in steps)


def painted(model, depth, profile, pixel):
    """A document with a ground and a layer of the whole size, with a transparent strip."""
    document, ground = yield from inside.new_document(WIDTH, HEIGHT, model, depth, profile)
    row, clear = varied(pixel) * 2, bytes(len(pixel) * WIDTH)
    row = row[: len(pixel) * WIDTH]
    for top in range(0, HEIGHT, 100):
        ground.setPixelData(row * 100, 0, top, WIDTH, 100)
    thing = document.createNode("object", "paintlayer")
    for top in range(0, HEIGHT, 100):
        thing.setPixelData((clear if top == 1000 else row) * 100, 0, top, WIDTH, 100)
    document.rootNode().addChildNode(thing, ground)
    inside.settle(document)
    yield from inside.choose(document, thing)
    yield from inside.turns(20)
    return document, thing


def krita_alone(document, thing):
    """pixelData + setPixelData + addChildNode of the same pixels, each in one call, until Krita is there again."""
    start = time.monotonic()
    data = thing.pixelData(0, 0, WIDTH, HEIGHT)
    new = document.createNode("plain", "paintlayer")
    new.setPixelData(data, 0, 0, WIDTH, HEIGHT)
    document.rootNode().addChildNode(new, thing)
    document.waitForDone()
    yield  # what Krita itself does after that, on its screen, is part of both
    taken = time.monotonic() - start
    del data, new
    yield from undone(document)
    return taken


def plug_in(document, thing, pulse):
    """Seconds in all, seconds in which the backend was asked, and the longest that the interface was dead."""
    yield from inside.choose(document, thing)
    count = len(inside.layers(document))
    asked.clear()
    pulse.begin()
    start = time.monotonic()
    menu.choose(menu.AGAIN)
    yield from inside.wait(lambda: inside.named("Progress") is None, "it has ended")
    worst = pulse.worst
    document.waitForDone()
    whole = time.monotonic() - start
    assert len(inside.layers(document)) == count + 1, inside.messages()
    yield from undone(document)
    return whole, sum(asked), worst


def undone(document):
    count = len(inside.layers(document))
    yield from inside.trigger(document, "edit_undo")
    yield from inside.wait(lambda: len(inside.layers(document)) < count, "it is undone")
    document.waitForDone()
    yield from inside.turns(20)


def main():
    inside.forget_values()
    pulse = Pulse()
    kinds = {
        "u8": ("RGBA", "U8", "sRGB-elle-V2-srgbtrc.icc", bytes([40, 120, 220, 255])),
        "f32": ("RGBA", "F32", "sRGB-elle-V2-g10.icc", struct.pack("<4f", 0.7, 0.2, 0.05, 1.0)),
    }
    for name in GIVEN["kinds"]:
        document, thing = yield from painted(*kinds[name])
        rounds = []
        for _ in range(GIVEN["rounds"]):
            alone = yield from krita_alone(document, thing)
            idle = status("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")
            whole, backend, worst = yield from plug_in(document, thing, pulse)
            memory = {"idle": idle, "peak": status("VmHWM")}
            rounds.append({"alone": alone, "whole": whole, "backend": backend, "worst": worst, **memory})
        inside.report(name, rounds)
        yield from inside.close(document)
