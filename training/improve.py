"""Improve the shipped weights: `python -m training.improve --data FOLDERS --pool FOLDER --out RUN --minutes N`.

Trains the shipped gknet-s for N more minutes and anneals the learning rate within them. Evaluates old and new weights
on the validation split through the same pipeline as users' pictures. Replaces the shipped file only if the new weights
have the lower mean fMSE. Composites are evaluated without label leakage (`training.data.synthesis.edge_leakage`), since
pasted objects have none. Evaluation takes about ten more minutes. An interrupted run replaces nothing.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import track

from gknet.errors import HarmonizeError
from gknet.harmonizer import Harmonizer
from gknet.network import weights
from training.data.bad_files import BadFiles
from training.data.judging_sets.validation import open_pool
from training.data.streams.opening import open_photographs
from training.engine.loop import train
from training.engine.run import read_run
from training.engine.training import NotFiniteError, Training
from training.evaluation.cases import evaluate_samples

CONFIG = Path(__file__).parent / "configs" / "gknet_s_fringeless.toml"
BEYOND = 4
"""Pixels around the foreground that are filled from the background for evaluation."""


def compute_mean_fmse(path: Path, pool: Path) -> float:
    """Return the mean fMSE of a weight file on the validation split."""
    harmonizer = Harmonizer(weights.load(path), "cpu")
    count, samples = open_pool(pool, beyond=BEYOND)
    records = evaluate_samples(harmonizer, track(samples, f"Judging {path}", count))
    return sum(record.after.fmse for record in records) / len(records)


def replace_if_better(new: Path, shipped: Path, pool: Path) -> bool:
    """Replace the shipped weights if the new ones score better on the validation split. Returns whether they do."""
    before, after = compute_mean_fmse(shipped, pool), compute_mean_fmse(new, pool)
    better = after < before
    print(f"mean fMSE of the shipped weights {before:.1f}, of the new ones {after:.1f}: ", end="")
    print(f"replaced {shipped}" if better else "kept the shipped ones", flush=True)
    if better:
        weights.ship(weights.load(new), shipped)
    return better


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.improve", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of shards to train on")
    parser.add_argument(
        "--pool",
        type=Path,
        required=True,
        help="folder of shards; its validation split decides which weights are better",
    )
    parser.add_argument("--out", type=Path, required=True, help="new or empty folder for the run")
    parser.add_argument("--minutes", type=float, required=True, help="minutes of training")
    parser.add_argument("--config", type=Path, default=CONFIG, help="TOML file of training/configs")
    parser.add_argument("--weights", type=Path, help="weight file to improve; default: the shipped one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        run = read_run(options.config)
        shipped = options.weights or weights.find_shipped(run.preset)
        # Each run needs a new seed, which its state keeps: with a fixed one, or one derived from the weights,
        # it would see the composites of the previous run again.
        training = Training(replace(run, seed=secrets.randbits(32)))
        options.out.mkdir(parents=True, exist_ok=True)
        if (options.out / "state.pt").exists():
            raise ValueError(f"{options.out} already contains a run; choose a new folder")
        training.load_weights(shipped)
        stream = open_photographs(training, options.data, options.out, BadFiles(skip=False))
        if not train(training, stream, options.out, options.minutes, anneal=True):
            print("interrupted: kept the shipped weights", file=sys.stderr)
            return 130
        replace_if_better(options.out / "weights.safetensors", shipped, options.pool)
    except (HarmonizeError, ValueError, OSError, NotFiniteError) as error:
        print(f"improve: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: kept the shipped weights", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
