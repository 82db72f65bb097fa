"""Training: `python -m training.train --config training/configs/gknet_s.toml --data FOLDER --out RUN`.

Stops at the end of the schedule, after --minutes, or on SIGTERM, always with the state saved; the same command
goes on from there, with the same draws as if it had never stopped. `torchrun --nproc-per-node N -m training.train`
trains in N processes, each with a batch of its own.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from gknet.errors import HarmonizeError
from gknet.network import weights
from gknet.network.device import choose_device
from training import iharmony4
from training.ahead import Ahead
from training.bad_files import BadFiles
from training.batch import Stream
from training.board import Board
from training.composites import CompositeStream, held
from training.parallel import Parallel, end_process
from training.run import read_run
from training.shards import find_shards, read_photographs
from training.training import NotFiniteError, Training
from training.triplet_stream import TripletStream
from training.views import HELD, ViewStream, views_of

REPORT_SECONDS = 10
SAVE_SECONDS = 300


def train(training: Training, stream: Stream, out: Path, minutes: float, *, anneal: bool = False) -> bool:
    """Trains until the schedule or the time ends it, or a SIGTERM or Ctrl-C does; False for the latter two.

    Leaves `state.pt` and `weights.safetensors`. With `anneal` the learning rate's schedule ends with the minutes.
    Raises NotFiniteError, with the state of the last save left as it is.
    """
    interrupted = False

    def stop(*_: object) -> None:
        nonlocal interrupted
        interrupted = True

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGTERM, signal.SIGINT)]
    board = Board(out, training, minutes) if training.parallel.rank == 0 else None
    start = saved = reported = time.monotonic()
    training.learning_mode()
    try:
        ended = False
        while training.samples < training.run.samples and not ended:
            error = training.learn(stream)
            now = time.monotonic()
            if anneal:
                training.time_share = (now - start) / (60 * minutes)
            ended = training.parallel.any(interrupted or now - start > 60 * minutes, training.device)
            if board:
                board.seen(error)
                if now - reported > REPORT_SECONDS:
                    reported = now
                    board.report(training)
            if training.parallel.any(now - saved > SAVE_SECONDS, training.device):
                saved = now
                _leave(training, board, out)
        _leave(training, board, out)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        if board:
            board.close()
    return not interrupted


def _leave(training: Training, board: Board | None, out: Path) -> None:
    training.save(out / "state.pt")
    if board:
        weights.save(training.result, out / "weights.safetensors")
        board.pictures(training)


def photographs_stream(training: Training, folders: list[Path], out: Path, bad: BadFiles) -> CompositeStream:
    """Composites made on the fly of the photographs in folders of shards, but never of the validation split's.

    out: the run's folder, which keeps the views of a run that learns from those.
    """
    of_views = training.run.only == "recognition_head"
    size = HELD if of_views else held(training.run)
    photographs = read_photographs(find_shards(folders), size, validation=False, bad=bad)
    if training.parallel.rank == 0:
        print(f"{len(photographs.keys)} photographs, {len(photographs.masks)} masks", flush=True)
    if of_views:
        views = views_of(photographs, training.run, out / "views", training.parallel)
        return ViewStream(views, training.run, training.generator)
    return CompositeStream(photographs, training.run, training.generator)


def iharmony4_stream(training: Training, root: Path, bad: BadFiles) -> TripletStream:
    """iHarmony4's training composites, all four sub-sets."""
    chosen = iharmony4.triplets(root, "train", bad=bad)
    if training.parallel.rank == 0:
        print(f"{len(chosen)} composites", flush=True)
    return TripletStream(chosen, training, bad)


def _refuse(error: Exception) -> int:
    """One line on what is wrong; the exit code."""
    print(f"training: {error}", file=sys.stderr)
    return 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of training/configs")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, nargs="+", help="folders of shards; composites are made on the fly")
    source.add_argument("--iharmony4", type=Path, help="iHarmony4's folder; its training lists are used")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; resumed if it has a state")
    parser.add_argument("--weights", type=Path, help="weights to start from when there is no state")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end this long after the start")
    parser.add_argument("--anneal", action="store_true", help="end the learning rate's schedule with --minutes")
    parser.add_argument("--skip-bad", action="store_true", help="leave out files that cannot be read, and count them")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    options = parser.parse_args()
    if options.anneal and options.minutes == math.inf:
        parser.error("--anneal needs --minutes")
    return options


def _run(options: argparse.Namespace, started: float, parallel: Parallel, device: torch.device, bad: BadFiles) -> int:
    """The whole training of this process; the exit code."""
    try:
        training = Training(read_run(options.config), device, parallel)
        options.out.mkdir(parents=True, exist_ok=True)
        state = options.out / "state.pt"
        if state.is_file():
            training.resume(state)
        elif options.weights:
            training.start_from(options.weights)
        stream: Stream
        if options.data:
            stream = photographs_stream(training, options.data, options.out, bad)
        else:
            stream = iharmony4_stream(training, options.iharmony4, bad)
    except (HarmonizeError, ValueError, OSError) as error:
        return _refuse(error)
    try:
        minutes = options.minutes - (time.monotonic() - started) / 60  # reading took its part
        # On the CPU a thread more would only be in the network's way, and a run must go on bit for bit.
        with Ahead(stream, device) if device.type == "cuda" else nullcontext(stream) as batches:
            train(training, batches, options.out, minutes, anneal=options.anneal)
    except HarmonizeError as error:  # anything else from in there is a fault of ours, and keeps its traceback
        return _refuse(error)
    except NotFiniteError as error:
        path = options.out / f"not-finite-{parallel.rank}.pt"
        composite, real, mask, _ = error.batch
        torch.save({"step": error.step, "composite": composite, "real": real, "mask": mask}, path)
        print(f"training: {error}; its composites are in {path}, the last good state is kept", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    started = time.monotonic()
    options = _arguments()
    torch.set_num_threads(options.threads)
    bad = BadFiles(skip=options.skip_bad)
    try:
        device = choose_device(options.device)
    except HarmonizeError as error:
        return _refuse(error)
    parallel = Parallel.join(device)
    try:
        # In a function of its own: the network must be gone before the processes part, or gloo aborts.
        return _run(options, started, parallel, parallel.device(device), bad)
    finally:
        parallel.leave()
        bad.tell()


if __name__ == "__main__":
    end_process(main())
