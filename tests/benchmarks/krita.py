"""What the plug-in costs in a real Krita: `python -m tests.benchmarks.krita [--rounds 3] [--kinds u8 f32]`. As root.

For a layer of 24 megapixels: the whole run minus the time in which the backend was asked (the way there and back is
measured by `tests.benchmarks.backend`), beside Krita's own pixelData + setPixelData + addChildNode of the same pixels,
in turn in the same Krita. How long its interface was dead at most; and its memory at the peak, above what it had just
before, in layers. Ratios are the median of the rounds' own; other programs may be busy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.backend.real_backend import Backend
from tests.hosts.chroot import TRIXIE
from tests.hosts.krita.program import Krita

SIZE = (6000, 4000)
PIXEL_BYTES = {"u8": 4, "f32": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description="What the plug-in costs in a real Krita.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=["u8", "f32"], choices=list(PIXEL_BYTES))
    options = parser.parse_args()
    if reason := TRIXIE.why_unusable():
        parser.error(reason)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        backend = Backend(place)
        krita = Krita(TRIXIE, place / "home", place / "shots")
        given = {"size": SIZE, "rounds": options.rounds, "kinds": options.kinds}
        try:
            krita.run("costs.py", given, place / "out", backend.path)
        finally:
            backend.end()
        for kind in options.kinds:
            tell(kind, json.loads((place / "out" / f"{kind}.json").read_text()))


def tell(kind: str, rounds: list[dict[str, Any]]) -> None:
    layer = SIZE[0] * SIZE[1] * PIXEL_BYTES[kind]
    added = [one["whole"] - one["backend"] for one in rounds]
    ratio = statistics.median(ours / one["alone"] for ours, one in zip(added, rounds, strict=True))
    memory = statistics.median((one["peak"] - one["idle"]) / layer for one in rounds)
    print(f"{SIZE[0] * SIZE[1] / 1e6:.0f} MP RGBA {kind}, {layer / 1e6:.0f} MB")
    print(f"  whole run            {min(one['whole'] for one in rounds):7.2f} s")
    print(f"  asking the backend   {min(one['backend'] for one in rounds):7.2f} s")
    print(f"  what the rest takes  {min(added):7.2f} s")
    print(f"  Krita's own calls    {min(one['alone'] for one in rounds):7.2f} s   rest / own {ratio:.2f}")
    print(f"  interface dead       {max(one['worst'] for one in rounds):7.2f} s at most")
    print(f"  memory at the peak   {memory:7.2f} layers above the idle Krita")


if __name__ == "__main__":
    main()
