"""What a run in GIMP costs around the backend's own work, beside GIMP's own calls on the same pixels.

    python -m tests.benchmarks.gimp [--megapixels 24] [--rounds 5]

Needs the chroot of tests/hosts/make-chroot, and root. The denominator is what no plug-in can do without, called
plainly, on the whole layer at once: get all pixels, set and flush them into a copy of the layer, render the backdrop
and get it reduced. The numerator is a whole unattended run, from the call of the procedure to its return, less the
milliseconds that the backend's log says it worked: reading, sending, receiving, writing, and everything between. A
plug-in is a program that GIMP starts for each run; a run on a layer of 32 x 32 pixels, less its own plainest, says what
that costs, whatever the pixels, and the ratio is given with it and without. Both are measured in turn in each round,
as other programs may be busy, and each begins when GIMP has nothing left to render of what was changed before; times
are medians, and so is the ratio of the rounds' own.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
from pathlib import Path

from tests.backend.real_backend import Backend
from tests.hosts.chroot import TRIXIE
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import Program, Running

NEW = "object (harmonized)"
KINDS = ("U8_NON_LINEAR", "U16_NON_LINEAR", "FLOAT_LINEAR")


def show(running: Running, precision: str, side: tuple[int, int]) -> None:
    ground = cases.layer("ground", "ground", enlarged=side)
    layers = [ground, cases.pasted(enlarged=side, x=0, y=0)]
    running.ask("show", cases.case("benchmark", width=side[0], height=side[1], precision=precision, layers=layers))


def worked(backend: Backend) -> float:
    """Seconds of the backend's own work on its last request."""
    return int(re.findall(r"done in (\d+) ms", backend.log.read_text())[-1]) / 1000


def rounds(running: Running, backend: Backend, count: int) -> list[tuple[float, float, float, list[float]]]:
    """Whole run, the backend's work, what is around it, and the three plainest calls; seconds, for each round."""
    measured = []
    for _ in range(count):
        running.ask("rest")
        plainest = running.ask("plainest", "object")
        running.ask("rest")
        status, error, total = running.ask("harmonize", "object", {})
        assert status == "success", error
        running.ask("remove", NEW)
        work = worked(backend)
        measured.append((total, work, total - work, plainest))
    return measured[1:]  # the first fills caches on both sides


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of a run in GIMP around the backend's own work.")
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if reason := TRIXIE.why_unusable():
        raise SystemExit(reason)
    height = round((options.megapixels * 1e6 * 2 / 3) ** 0.5)
    side = (height * 3 // 2, height)
    with tempfile.TemporaryDirectory() as folder:
        backend = Backend(Path(folder))
        running = Program(TRIXIE, Path(folder) / "gimp").start("benchmark", backend.path, BABL_TOLERANCE="")
        try:
            cases.write_photographs(running.folder)
            show(running, KINDS[0], (32, 32))
            start = statistics.median(around - sum(plain) for _, _, around, plain in rounds(running, backend, 6))
            print(f"{side[0]} x {side[1]} pixels, {os.cpu_count()} cores, seconds; a plug-in's start: {start:.2f}\n")
            heads = ("run", "backend", "around", "get", "set", "below", "ratio", "less start")
            print(f"{'':16} " + " ".join(f"{head:>10}" for head in heads))
            for kind in KINDS:
                running.ask("close")
                show(running, kind, side)
                table = rounds(running, backend, options.rounds + 1)
                run, work, around = (statistics.median(row[k] for row in table) for k in range(3))
                plain = [statistics.median(row[3][k] for row in table) for k in range(3)]
                ratio = statistics.median(row[2] / sum(row[3]) for row in table)
                less = statistics.median((row[2] - start) / sum(row[3]) for row in table)
                numbers = (run, work, around, *plain, ratio, less)
                print(f"{kind:16} " + " ".join(f"{number:10.2f}" for number in numbers))
        finally:
            running.close()
            backend.end()


if __name__ == "__main__":
    main()
