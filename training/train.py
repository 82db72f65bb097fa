"""Train a network: `python -m training.train --config training/configs/gknet_s.toml --data FOLDER --out RUN`.

Stops at the end of the schedule, after --minutes, or on SIGTERM, and always saves its state. Run the same command again
to resume, with the same random draws as an uninterrupted run on the CPU. Use `torchrun --nproc-per-node N -m
training.train` to train in N processes, each with its own batch.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from gknet.errors import HarmonizeError
from gknet.network.device import choose_device
from training.data.bad_files import BadFiles
from training.data.streams.opening import open_iharmony4, open_photographs
from training.data.streams.prefetching import Prefetcher
from training.engine.batch import Stream
from training.engine.loop import train
from training.engine.parallel import Parallel, end_process
from training.engine.run import read_run
from training.engine.training import NotFiniteError, Training


def _report_error(error: Exception) -> int:
    """Print an error on one line and return the exit code."""
    print(f"training: {error}", file=sys.stderr)
    return 2


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of training/configs")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, nargs="+", help="folders of shards; composites are made on the fly")
    source.add_argument("--iharmony4", type=Path, help="iHarmony4's folder; train on its training lists")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; resumed if it contains a state")
    parser.add_argument("--weights", type=Path, help="weight file to start from if there is no state")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this many minutes")
    parser.add_argument("--anneal", action="store_true", help="end the learning rate schedule with --minutes")
    parser.add_argument("--skip-bad", action="store_true", help="skip and count unreadable files")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=1, help="number of torch threads on the CPU")
    options = parser.parse_args()
    if options.anneal and options.minutes == math.inf:
        parser.error("--anneal needs --minutes")
    return options


def _run(options: argparse.Namespace, started: float, parallel: Parallel, device: torch.device, bad: BadFiles) -> int:
    """Run the training in this process and return the exit code."""
    try:
        training = Training(read_run(options.config), device, parallel)
        options.out.mkdir(parents=True, exist_ok=True)
        state = options.out / "state.pt"
        if state.is_file():
            training.resume(state)
        elif options.weights:
            training.load_weights(options.weights)
        stream: Stream
        if options.data:
            stream = open_photographs(training, options.data, options.out, bad)
        else:
            stream = open_iharmony4(training, options.iharmony4, bad)
    except (HarmonizeError, ValueError, OSError) as error:
        return _report_error(error)
    try:
        minutes = options.minutes - (time.monotonic() - started) / 60  # less the time for reading
        # On the CPU, another thread would slow the network down, and runs must resume bit for bit.
        with Prefetcher(stream, device) if device.type == "cuda" else nullcontext(stream) as batches:
            train(training, batches, options.out, minutes, anneal=options.anneal)
    except HarmonizeError as error:  # anything else is a bug and keeps its traceback
        return _report_error(error)
    except NotFiniteError as error:
        path = options.out / f"not-finite-{parallel.rank}.pt"
        composite, real, mask, _ = error.batch
        torch.save({"step": error.step, "composite": composite, "real": real, "mask": mask}, path)
        print(f"training: {error}; its composites are in {path}; the last saved state was kept", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    started = time.monotonic()
    options = _parse_arguments()
    torch.set_num_threads(options.threads)
    bad = BadFiles(skip=options.skip_bad)
    try:
        device = choose_device(options.device)
    except HarmonizeError as error:
        return _report_error(error)
    parallel = Parallel.join(device)
    try:
        # A separate function: the network must be freed before leaving the process group, or gloo aborts.
        return _run(options, started, parallel, parallel.select_device(device), bad)
    finally:
        parallel.leave()
        bad.print_summary()


if __name__ == "__main__":
    end_process(main())
