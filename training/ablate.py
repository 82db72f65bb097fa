"""Reproduce the paper's Table 4: `python -m training.ablate --config FILE --data FOLDERS --pool FOLDER --out RUN`.

Trains the baseline, +KPB, +LRE and +SCF from one config for each seed. Evaluates each network alone on the validation
split at 256 x 256, 8 bit. Prints the table beside the paper's rows and writes it to RUN/table.md. Rows of one seed see
the same composites in the same order, and their common parts start from the same values. With --start, they start from
the statistics path of trained weights: the table then shows what the network's other parts add.

Finished rows are kept, and the same command resumes an interrupted one. With more seeds, only the new ones are trained.
Delete RUN/seed-N to train that seed again.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from gknet.errors import HarmonizeError
from gknet.network import weights
from gknet.network.model import GKNet
from training.data.judging_sets.validation import make_validation_samples
from training.data.sample import MASK_SHARE, SIZE, Sample
from training.data.shards import Photographs, find_shards, read_photographs
from training.data.streams.composites import CompositeStream, choose_photograph_size
from training.engine.loop import train
from training.engine.run import Parts, TrainingRun, read_run
from training.engine.training import NotFiniteError, Training, is_in_statistics_path
from training.evaluation.ablation_table import AblationRun, ablation_table
from training.evaluation.bare_network import BareNetwork
from training.evaluation.metrics import Record
from training.evaluation.records import read_records, write_records
from training.evaluation.score_tables import in_markdown
from training.evaluation.text_files import replace_text_file

ROWS: tuple[Parts, ...] = get_args(Parts)


class Ablation:
    """All rows of all seeds, in one folder.

    run: every row's settings except seed and parts.
    data, pool: folders of shards to train and to evaluate on.
    out: a new or empty folder, or one of the same ablation.
    start: weights whose statistics path the rows start from.
    every: evaluate only every N-th validation photograph.

    Raises HarmonizeError, ValueError or OSError for unreadable files or settings that don't match.
    """

    def __init__(
        self, run: TrainingRun, data: Sequence[Path], pool: Path, out: Path, start: Path | None, every: int
    ) -> None:
        if run.only != "all" or run.parts != ROWS[-1]:
            raise ValueError("an ablation trains all parts of every row: remove `only` and `parts` from its config")
        self.run = run
        self.data = find_shards(data)
        self.pool = find_shards([pool])
        self.out = out
        self.every = every
        self.statistics = {} if start is None else _read_statistics_path(start, run)
        self._claim_folder(None if start is None else weights.compute_digest(start))

    def _claim_folder(self, start: str | None) -> None:
        """Reserve the folder for this ablation. Raises ValueError if it holds anything else."""
        shards = {name: [[path.name, path.stat().st_size] for path in paths] for name, paths in self._shards.items()}
        settings: dict[str, Any] = {**asdict(self.run), "start": start, "every": self.every, **shards}
        del settings["seed"], settings["parts"]
        path = self.out / "ablation.json"
        self.out.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            other = [name for name, value in settings.items() if kept.get(name) != value]
            if other:
                raise ValueError(
                    f"{self.out} contains an ablation with different settings ({', '.join(other)}); choose a new folder"
                )
        elif any(self.out.iterdir()):
            raise ValueError(f"{self.out} contains files other than an ablation; choose a new folder")
        else:
            with replace_text_file(path) as file:
                json.dump(settings, file, indent=1)

    @property
    def _shards(self) -> dict[str, list[Path]]:
        return {"data": self.data, "pool": self.pool}

    @cached_property
    def photographs(self) -> Photographs:
        """The training photographs, read on first use."""
        return read_photographs(self.data, choose_photograph_size(self.run), validation=False)

    @cached_property
    def samples(self) -> list[Sample]:
        """The validation composites, made on first use."""
        photographs = read_photographs(self.pool, SIZE, validation=True, mask_share=MASK_SHARE)
        return list(make_validation_samples(photographs, every=self.every))

    def run_row(self, seed: int, parts: Parts) -> AblationRun:
        """Return the result of a row; train and evaluate it unless that is done.

        Raises KeyboardInterrupt, with the state saved, if interrupted, and NotFiniteError if the loss is not finite.
        """
        folder = self.out / f"seed-{seed}" / parts
        done = folder / "row.json"
        if not done.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            print(f"seed {seed}, {parts}", flush=True)
            training = self.start_training(seed, parts)
            state = folder / "state.pt"
            if state.is_file():
                training.resume(state)
            stream = CompositeStream(self.photographs, training.run, training.generator)
            if not train(training, stream, folder, math.inf):
                raise KeyboardInterrupt
            self._judge(training.result, folder / "scores.csv", f"Judging {parts}")
            with replace_text_file(done) as file:
                json.dump({"samples": training.samples, "seconds": training.seconds}, file)
            state.unlink()  # it takes tens of megabytes, and a finished row is not resumed
        kept = json.loads(done.read_text(encoding="utf-8"))
        return AblationRun(read_records(folder / "scores.csv"), kept["seconds"])

    def start_training(self, seed: int, parts: Parts) -> Training:
        """Return a row's training before its first step, with the seed's initial values and the statistics path."""
        training = Training(replace(self.run, seed=seed, parts=parts))
        torch.manual_seed(seed)
        whole = {**GKNet(self.run.network()).state_dict(), **self.statistics}
        own = training.net.state_dict()
        training.load_values({name: values for name, values in whole.items() if name in own})
        return training

    def judge_start(self) -> list[Record] | None:
        """Return the records of the rows' common start, or None if they start from random values."""
        if not self.statistics:
            return None
        scores = self.out / "start.csv"
        if not scores.is_file():
            # Head and regions start at zero, so every row's network is the statistics path alone.
            self._judge(self.start_training(0, ROWS[0]).net, scores, "Judging the start")
        return read_records(scores)

    def _judge(self, net: GKNet, path: Path, what: str) -> None:
        network = BareNetwork(net)
        records = [network.judge_sample(sample) for sample in track(self.samples, what)]
        with replace_text_file(path) as file:
            write_records(file, records)


def _read_statistics_path(path: Path, run: TrainingRun) -> dict[str, Tensor]:
    """Return the values of a weight file's statistics path. Raises ValueError if they don't fit the run's network."""
    given = weights.load(path)
    own = run.network()
    if given.global_head is None or not own.global_head or given.config.global_head_widths != own.global_head_widths:
        raise ValueError(f"{path} has no statistics path for the preset {run.preset}; choose other weights")
    return {name: values for name, values in given.state_dict().items() if is_in_statistics_path(name)}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.ablate", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of training/configs")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of shards to train on")
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is evaluated")
    parser.add_argument("--out", type=Path, required=True, help="folder of the ablation; resumed if it contains one")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds; each row is trained once per seed"
    )
    parser.add_argument("--start", type=Path, help="weight file whose statistics path the rows start from")
    parser.add_argument("--every", type=int, default=1, help="evaluate only every N-th photograph's composites")
    parser.add_argument("--threads", type=int, default=1, help="number of torch threads")
    options = parser.parse_args()
    if options.every < 1:
        parser.error("--every must be at least 1")
    return options


def main() -> int:
    options = _parse_arguments()
    torch.set_num_threads(options.threads)
    try:
        run = read_run(options.config)
        ablation = Ablation(run, options.data, options.pool, options.out, options.start, options.every)
        first = ablation.judge_start()
        rows: dict[Parts, list[AblationRun]] = {parts: [] for parts in ROWS}
        for seed in dict.fromkeys(options.seeds):
            for parts in ROWS:
                rows[parts].append(ablation.run_row(seed, parts))
    except (HarmonizeError, ValueError, OSError, NotFiniteError) as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ablate: stopped; run the same command again to resume", file=sys.stderr)
        return 130
    start = None if options.start is None else f"{options.start.name} {weights.compute_digest(options.start)}"
    table = ablation_table(run, rows, first, start)
    table.show(Console(width=max(160, Console().width)))
    with replace_text_file(options.out / "table.md") as file:
        file.write(in_markdown(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
