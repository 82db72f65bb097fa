"""docs/command-line.md names the options that the commands have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

from gknet.cli.app import harmonize
from gknet.cli.batch import batch

PAGE = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text(encoding="utf-8")


def options(command: Callable[..., None]) -> set[str]:
    parameters = inspect.signature(command).parameters.values()
    return {f"--{one.name.replace('_', '-')}" for one in parameters if one.kind is one.KEYWORD_ONLY}


def test_batch_has_the_options_of_harmonize_that_the_page_says() -> None:
    rows = re.findall(r"^\| (`--.*?) \|", PAGE, re.MULTILINE)
    table = set(re.findall("--[a-z-]+", " ".join(rows)))
    sentence = re.search(r"(.*) and the options in the table above, except (.*), apply to all pictures", PAGE)
    assert sentence is not None
    added, left_out = (set(re.findall("--[a-z-]+", part)) for part in sentence.groups())
    assert left_out <= table
    assert options(batch) & options(harmonize) == table - left_out | added
