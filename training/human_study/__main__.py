"""Run the study for the paper's Table 3: people compare two methods' results on a local web page.

    python -m training.human_study results/gknet results/other --composites composites --votes votes.jsonl

Serves the page until Ctrl-C and prints its address. With --report, the same command prints the table of the votes so
far. Each folder holds one method's results, named like the composites. Its name is the method's name, which voters
don't see. The untouched composites may be one of the methods: name their folder twice, there and in --composites.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from gknet.errors import HarmonizeError
from training.human_study.server import StudyServer
from training.human_study.study import Study
from training.human_study.votes import VoteFile, read_votes

PORT = 8765
Step = TypeVar("Step")


def _serve(study: Study, path: Path, port: int) -> None:
    """Serve the study until Ctrl-C or SIGTERM."""
    with VoteFile(path, study) as votes, StudyServer(study, votes, port) as server:
        for _ in _track(study.check_pictures(), "Looking at the pictures", len(study.pictures)):
            pass
        _report_torn_line(votes.is_torn, path)
        questions = len(study.draw_trials(""))
        print(f"Methods: {len(study.methods)}, pictures: {len(study.pictures)}, questions to each voter: {questions}.")
        print(
            f"Vote at {server.url} and end with Ctrl-C. Votes in {path} so far: {len(votes.by_question)}.", flush=True
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            voters = len({vote.voter for vote in votes.by_question.values()})
            print(f"Ended. Votes in {path}: {len(votes.by_question)}, voters: {voters}.")


def _report(study: Study, path: Path) -> None:
    # SciPy takes a second to load, and serving the page doesn't need it.
    from training.human_study.bradley_terry import RESAMPLES, rank_methods
    from training.human_study.table import table_3

    votes = read_votes(path, study)
    _report_torn_line(votes.is_torn, path)
    counted = list(votes.by_question.values())
    ranking = rank_methods(
        counted, study.methods, _track(range(RESAMPLES), "Drawing voters and pictures anew", RESAMPLES)
    )
    # Avoid wrapped rows in a pipe or a narrow window.
    table_3(ranking, counted).show(Console(width=max(110, Console().width)))


def _report_torn_line(torn: bool, path: Path) -> None:
    if torn:
        print(f"human_study: The last line of {path} was cut off by a crash and is ignored.", file=sys.stderr)


def _track(steps: Iterable[Step], what: str, count: int) -> Iterable[Step]:
    """Return the steps, with a progress bar on a terminal."""
    console = Console(stderr=True)
    return track(steps, what, count, console=console, transient=True, disable=not console.is_terminal)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.human_study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", metavar="DIR", type=Path, nargs="+", help="a method's results; two or more")
    parser.add_argument("--composites", metavar="DIR", type=Path, required=True, help="the untouched composites")
    parser.add_argument("--votes", metavar="FILE", type=Path, required=True, help="file of votes, one per line")
    parser.add_argument("--port", type=parse_port, default=PORT, help=f"port of the page; default: {PORT}")
    parser.add_argument("--report", action="store_true", help="print the table of the votes so far and exit")
    return parser.parse_args()


def parse_port(text: str) -> int:
    """Return a port number. Raises ArgumentTypeError for anything but 0..65535."""
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"expected a port number from 0 to 65535, got {text!r}")
    return int(text)


def main() -> int:
    options = _parse_arguments()
    # Handle Ctrl-C even if the shell started this process with it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        study = Study(options.results, options.composites)
        if options.report:
            _report(study, options.votes)
        else:
            _serve(study, options.votes, options.port)
    except (HarmonizeError, OSError) as error:
        print(f"human_study: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("human_study: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
