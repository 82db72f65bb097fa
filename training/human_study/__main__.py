"""The paper's Table 3: people choose between two methods' results in a local web page, and the votes make a table.

    python -m training.human_study results/gknet results/other --composites composites --votes votes.jsonl

serves the page until Ctrl-C; it says at which address. The same command with --report prints the table of the votes so
far. Each folder holds one method's results, under the composites' names; the folder's name is the method's, which no
voter sees. The untouched composites may be one of the methods: name their folder twice, there and in --composites.
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
    """Serves the study until Ctrl-C or SIGTERM."""
    with VoteFile(path, study) as votes, StudyServer(study, votes, port) as server:
        for _ in _shown(study.check(), "Looking at the pictures", len(study.pictures)):
            pass
        _tell_torn(votes.torn, path)
        questions = len(study.trials(""))
        print(f"Methods: {len(study.methods)}, pictures: {len(study.pictures)}, questions to each voter: {questions}.")
        print(f"Vote at {server.url} and end with Ctrl-C. Votes in {path} so far: {len(votes.counted)}.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            voters = len({vote.voter for vote in votes.counted.values()})
            print(f"Ended. Votes in {path}: {len(votes.counted)}, voters: {voters}.")


def _report(study: Study, path: Path) -> None:
    # SciPy takes a second to load; the page does without.
    from training.human_study.bradley_terry import RESAMPLES, rank
    from training.human_study.table import table_3

    votes = read_votes(path, study)
    _tell_torn(votes.torn, path)
    counted = list(votes.counted.values())
    ranking = rank(counted, study.methods, _shown(range(RESAMPLES), "Drawing voters and pictures anew", RESAMPLES))
    # Piped or in a narrow window too, no row may break.
    table_3(ranking, counted).show(Console(width=max(110, Console().width)))


def _tell_torn(torn: bool, path: Path) -> None:
    if torn:
        print(f"human_study: The last line of {path} was torn by a crash and is left out.", file=sys.stderr)


def _shown(steps: Iterable[Step], what: str, count: int) -> Iterable[Step]:
    """The steps, with a bar on the terminal that says how far they are."""
    console = Console(stderr=True)
    return track(steps, what, count, console=console, transient=True, disable=not console.is_terminal)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.human_study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", metavar="DIR", type=Path, nargs="+", help="a method's results; two or more")
    parser.add_argument("--composites", metavar="DIR", type=Path, required=True, help="the untouched composites")
    parser.add_argument("--votes", metavar="FILE", type=Path, required=True, help="where votes are kept, a line each")
    parser.add_argument("--port", type=port_number, default=PORT, help=f"of the page's address; {PORT} unless given")
    parser.add_argument("--report", action="store_true", help="print the table of the votes so far, and end")
    return parser.parse_args()


def port_number(text: str) -> int:
    """A port; its name is what argparse calls it where it is none."""
    port = int(text)
    if not 0 <= port < 1 << 16:
        raise ValueError
    return port


def main() -> int:
    options = _arguments()
    # Even where a shell started this with Ctrl-C ignored.
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
