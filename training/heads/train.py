"""Train only the global and the recognition head, from precomputed examples:

    python -m training.heads.train --data FOLDERS --pool FOLDER --light FOLDER --out RUN

The rest of the network stays frozen. Each round adds composites of the wide synthesis to the bank
(`training.heads.bank`). It then trains the heads on all examples with equal probability, and evaluates them on the
choosing halves of the four sets (`training.heads.judging`). The run ends after --minutes, Ctrl-C or SIGTERM, at the end
of a round; the same command resumes it. `latest.safetensors` holds the moving average, `best.safetensors` that of the
best round. Shipped weights are never changed.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from pathlib import Path

import torch
from torch import nn

from gknet.atomic import replace_file
from gknet.errors import PictureError
from gknet.network import weights
from gknet.network.model import GKNet
from training.data.judging_sets.validation import read_validation
from training.engine.heads_apart import separate_heads
from training.engine.stopping import catch_stop_signals
from training.evaluation.command import run_command
from training.evaluation.four_sets import Summary, open_sets
from training.heads.bank import Bank, extend_bank, open_stream, read_pieces
from training.heads.examples import Examples, compute_rms_loss, join_examples, predict_matrix
from training.heads.judging import format_comparison, judge_heads, load_judging_examples

BATCH = 256
EMA = 0.999
"""Decay of the moving average per step."""
CLIP = 1.0
"""Largest gradient norm."""
SETS = ("own", "other code", "re-rendered", "real light")
_SEPARATE_HEADS = 2
"""Number of independent heads inside the shipped recognition head."""


class HeadTraining:
    """Both heads of a network, their moving average and their optimizer."""

    def __init__(self, net: GKNet, rate: float, seed: int = 0) -> None:
        assert net.global_head is not None
        assert net.recognition_head is not None
        self.net = net.requires_grad_(False).eval()
        self.heads = nn.ModuleList([net.global_head, net.recognition_head]).requires_grad_(True)
        self.average = copy.deepcopy(net)
        separate_heads(net.recognition_head, _SEPARATE_HEADS)
        self.optimizer = torch.optim.Adam(self.heads.parameters(), lr=rate)
        self.generator = torch.Generator().manual_seed(seed)
        self.steps = 0

    def train_steps(self, examples: Examples, steps: int) -> float:
        """Take steps of BATCH examples each; return their mean loss."""
        self.heads.train()
        total = 0.0
        for _ in range(steps):
            drawn = torch.randint(len(examples.colours), (BATCH,), generator=self.generator)
            batch = examples.select(drawn)
            loss = compute_rms_loss(batch, predict_matrix(self.net, batch))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.heads.parameters(), CLIP)
            self.optimizer.step()
            self.steps += 1
            self._average()
            total += loss.item()
        self.heads.eval()
        return total / max(1, steps)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(EMA, (1 + self.steps) / (10 + self.steps))
        learnt = dict(self.net.named_parameters())
        for name, value in self.average.named_parameters():
            if learnt[name].requires_grad:
                value.lerp_(learnt[name], 1 - decay)

    def save(self, path: Path) -> None:
        """Save the state atomically."""
        state = {
            "heads": self.heads.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "steps": self.steps,
        }
        with replace_file(path) as unfinished, unfinished.open("wb") as file:
            torch.save(state, file)

    def resume(self, path: Path) -> None:
        """Resume from a saved state, with this run's own learning rate."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.heads.load_state_dict(state["heads"])
        self.average.load_state_dict(state["average"])
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.generator.set_state(state["generator"])
        self.steps = state["steps"]


@torch.no_grad()
def compute_mean_loss(net: GKNet, examples: Examples) -> float:
    """Return the loss of a network in evaluation mode on examples, without its restraint."""
    everything = examples.select(torch.arange(len(examples.colours)))
    return compute_rms_loss(everything, predict_matrix(net, everything)).item()


def compute_relative_error(judged: dict[str, Summary], before: dict[str, Summary]) -> float:
    """Return the mean over the four sets of the remaining fMSE relative to `before`; below 1 is better."""
    return sum(judged[name].share / before[name].share for name in SETS) / len(SETS)


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(int(time.time()))  # for dropout
    started = time.monotonic()
    path = options.weights or weights.find_shipped("gknet-s")
    options.out.mkdir(parents=True, exist_ok=True)
    bank = Bank(options.bank or options.out / "bank", path)
    shipped = weights.load(path).eval()
    sets = open_sets(read_validation(options.pool), options.light, "choosing")
    labels, judging = load_judging_examples(bank, shipped, sets, options.every)
    before = judge_heads(shipped, labels, judging)
    training = HeadTraining(weights.load(path), options.rate)
    state, best = options.out / "state.pt", math.inf
    if state.is_file():
        training.resume(state)
        best_file = options.out / "best.safetensors"
        if best_file.is_file():
            best = compute_relative_error(judge_heads(weights.load(best_file).eval(), labels, judging), before)
    stream = open_stream(options.data, 1 + len(bank.pieces)) if options.data else None
    with catch_stop_signals() as is_stopping:
        known = bank.pieces
        examples = read_pieces(known) if known else None
        while True:
            if stream is not None:
                extend_bank(bank, stream, shipped, iter([True] * options.pieces + [False]).__next__)
            fresh = [piece for piece in bank.pieces if piece not in known]
            unseen: tuple[float, float] | None = None
            if fresh:
                known += fresh
                added = read_pieces(fresh)
                unseen = compute_mean_loss(shipped, added), compute_mean_loss(training.average, added)
                examples = added if examples is None else join_examples([examples, added])
            if examples is None:
                raise PictureError(f"{bank.folder} contains no examples.", "Use --data to make some from photographs.")
            loss = training.train_steps(examples, options.steps)
            training.save(state)
            judged = judge_heads(training.average, labels, judging)
            weights.save(training.average, options.out / "latest.safetensors")
            relative = compute_relative_error(judged, before)
            if relative < best:
                best = relative
                weights.save(training.average, options.out / "best.safetensors")
            shares = ", ".join(f"{name} {before[name].share:.3f} -> {judged[name].share:.3f}" for name in SETS)
            gains = ", ".join(f"{judged[name].gain - before[name].gain:+.2f}" for name in SETS)
            new = "" if unseen is None else f", unseen composites {unseen[0]:.4f} -> {unseen[1]:.4f}"
            seen = f"{training.steps} steps, {len(examples.colours)} composites, loss {loss:.4f}{new}"
            print(f"{seen}; {shares}; dB {gains}; {relative:.4f}", flush=True)
            if is_stopping() or time.monotonic() - started > 60 * options.minutes:
                break
        print(format_comparison(before, judge_heads(training.average, labels, judging)))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.heads.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is evaluated")
    parser.add_argument("--light", type=Path, required=True, help="folder of the fixed cameras' shards")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; resumed if it contains a state")
    parser.add_argument("--data", type=Path, nargs="+", help="folders of shards for new composites; default: add none")
    parser.add_argument("--bank", type=Path, help="folder of the bank; default: a folder inside --out")
    parser.add_argument("--weights", type=Path, help="weight file to start from; default: the shipped gknet-s")
    parser.add_argument("--rate", type=float, default=2e-5, help="Adam's learning rate")
    parser.add_argument("--pieces", type=int, default=1, help="files added to the bank per round")
    parser.add_argument("--steps", type=int, default=50, help="training steps per round")
    parser.add_argument("--every", type=int, default=2, help="evaluate one in N composites of the sets")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop at the end of the round after this many minutes"
    )
    options = parser.parse_args()
    return run_command("heads.train", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
