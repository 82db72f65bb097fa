"""The table of the validation split, on a tiny pool and through the real command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gknet import GKNet, Harmonizer, preset
from training.evaluate import evaluate
from training.shards import find_shards, read_photographs
from training.synthesis import KINDS
from training.validation import MASK_SHARE, SIZE, validation_samples

ROOT = Path(__file__).parents[2]


def test_the_command_prints_a_row_a_kind_and_one_for_all(pool: Path) -> None:
    command = [sys.executable, "-m", "training.evaluate", "--pool", str(pool)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for kind in [*KINDS, "all"]:
        row = re.search(rf"^│ {kind} .*$", done.stdout, re.MULTILINE)
        assert row, f"{kind} is missing in\n{done.stdout}"
        assert row[0].count("→") == 3


def test_scores_are_of_the_untouched_and_of_the_harmonized_composite(pool: Path) -> None:
    """A network that returns its input scores what the composite itself does; the shipped one does not."""
    photographs = read_photographs(find_shards([pool]), SIZE, validation=True, mask_share=MASK_SHARE)
    samples = list(validation_samples(photographs))[:8]
    untrained = evaluate(Harmonizer(GKNet(preset("gknet-s"))), samples)
    assert sum(len(pairs) for pairs in untrained.values()) == 8
    assert all(before == after for pairs in untrained.values() for before, after in pairs)
    shipped = evaluate(Harmonizer.load(device="cpu"), samples)
    assert all(before != after for pairs in shipped.values() for before, after in pairs)


@pytest.mark.parametrize("arguments", [["--pool", "nowhere"], ["--pool", ".", "--weights", "README.md"]])
def test_wrong_arguments_end_with_one_clear_line(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "training.evaluate", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("evaluate: ")
    assert done.stderr.count("\n") == 1
