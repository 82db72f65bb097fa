"""The commands and scripts that README.md and docs/*.md print, and the test that runs each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]

ON_FILES = "tests/backend/test_printed_commands.py::test_a_command_works_on_the_files_that_it_names"
IN_HOSTS = "tests/backend/test_printed_commands.py::test_plug_ins_are_installed_checked_and_removed"
BACKGROUND = "tests/backend/test_printed_commands.py::test_the_background_process_is_served_shown_and_stopped"
EXTRAS = "tests/test_printed_commands.py::test_pip_finds_the_extras_of_an_installation"
TRAINING = "tests/training/test_printed_commands.py::test_the_commands_of_a_page_work_in_its_order"
FRESH = "tests/hosts/test_fresh_install.py::test_the_demo_works_from_the_wheel"

RUN_BY = {
    r"RAY_ADDRESS=auto gknet batch .* --ray": "tests/gknet/batch/test_batch_kills.py::"
    "test_ray_gives_the_same_bytes_though_a_worker_is_killed",
    r"gknet harmonize .* --model my-model .*": "tests/gknet/test_own_weights.py::"
    "test_a_trained_network_is_saved_loaded_and_used_by_the_command",
    r"gknet harmonize .* --model runs/.*": TRAINING,
    r"gknet (harmonize|batch|inspect|demo|info).*": ON_FILES,
    r"gknet (install|uninstall|doctor).*": IN_HOSTS,
    r"gknet (serve|status|stop).*": BACKGROUND,
    r"pip install \"gknet-harmonize\[.*\]\"": EXTRAS,
    r"python -m (training\.|tests\.free_pool ).*|torchrun .*|tensorboard .*": TRAINING,
    # It measures in small what the command measures at 20 megapixels.
    r"python -m tests\.benchmarks\.transfer_quality": "tests/gknet/transfer/test_transfer_quality.py::"
    "test_it_is_nearer_to_the_truth_and_no_worse_at_the_edge",
    r"python3 thin/engine (install|status|remove)": "tests/backend/thin/engine/test_real_install.py::"
    "test_the_archive_alone_installs_a_working_engine",
    r"\.venv/bin/python -m backend\.install\.release .*": "tests/test_wheel.py::"
    "test_it_holds_model_weights_backend_and_plug_ins",
    # They install the wheel instead of the folder that it is built from.
    r"python3 -m venv (~/)?\.venv": FRESH,
    r"\.venv/bin/pip install -c constraints\.txt \.": FRESH,
    r"~/\.venv/bin/pip install dist/.*\.whl": FRESH,
    r"\.venv/bin/gknet demo": FRESH,
}
"""The test that runs a command: for each pattern of a whole command, the first that fits."""

RUN_BY_NO_TEST = {
    r".*%USERPROFILE%.*": "runs on Windows only",
    r"\.venv/bin/pip install .* -e .*|\.venv/bin/python -m pytest.*": ".ci/run installs and tests with these lines",
    r"GKNET_HOSTS=required .*pytest .*": "runs tests itself, and only where GIMP and Krita are built",
    r"pipx install|uv tool install": "downloads all dependencies once more",
    r"python -m tests\.benchmarks.*": "measures for minutes, or a graphics card",
}
"""Why no test runs a command."""

SCRIPTS = {
    "README.md": ["tests/backend/test_readme.py::test_the_script_harmonizes_what_it_is_given"],
    "docs/plugins.md": ["tests/hosts/gimp/test_batch.py::test_the_script_of_the_page_harmonizes_a_layer"],
    "docs/python.md": [
        "tests/backend/test_python_page.py::test_the_script_for_your_own_process_works",
        "tests/backend/test_python_page.py::test_the_script_for_the_background_process_works",
        "tests/gknet/test_own_weights.py::test_a_trained_network_is_saved_loaded_and_used_by_the_command",
        "tests/backend/test_python_page.py::test_the_example_of_the_protocol_harmonizes_a_layer",
    ],
    "docs/training.md": [
        "tests/training/test_training_pages.py::test_the_script_packs_photographs_that_training_reads"
    ],
}
"""The tests that run each page's Python scripts, in the page's order."""

_PROGRAM = re.compile(r"(\w+=\S+ )*(\S*/)?(gknet|pip|pipx|python3?|py|tensorboard|torchrun|uv) \S.*")
_NAMES = {
    "gknet harmonize",
    "gknet batch",
    "gknet inspect",
    "gknet install",
    "pip install",
    "python -m training.evaluation.failures",
}
"""Commands that a sentence names without the arguments that they need."""


class Printed(NamedTuple):
    """A command on one line, and the page that prints it first."""

    page: str
    command: str


def list_blocks(page: str, language: str) -> list[str]:
    """Return the contents of a page's fenced blocks of a language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def list_commands() -> list[Printed]:
    """Return the commands of fenced and indented blocks and of sentences, in the pages' order and each once."""
    found: dict[str, str] = {}
    for page in PAGES:
        for command in _list_page_commands((ROOT / page).read_text(encoding="utf-8")):
            found.setdefault(command, page)
    return [Printed(page, command) for command, page in found.items()]


def _list_page_commands(text: str) -> list[str]:
    pattern = r"^```(?P<language>\w*)\n(?P<block>.*?)^```|^ {4,}(?P<line>\S[^\n]*)|`(?P<words>[^`\n]+)`"
    commands: list[str] = []
    for match in re.finditer(pattern, text, re.DOTALL | re.MULTILINE):
        if match["words"]:
            if _PROGRAM.fullmatch(match["words"]) and match["words"] not in _NAMES:
                commands.append(match["words"])
        elif match["language"] != "python":
            lines = re.sub(r" *\\\n *", " ", match["block"] or match["line"])
            bare = re.sub(r"(^| +)#.*", "", lines, flags=re.MULTILINE)
            commands += [part.strip() for part in re.split(r"&&|\n", bare) if part.strip()]
    return commands


def find_test(command: str) -> str | None:
    """Return the id of the test that runs a command, or None."""
    return next((test for pattern, test in RUN_BY.items() if re.fullmatch(pattern, command)), None)


def list_commands_of(test: str) -> list[Printed]:
    """Return the commands that a test has to run."""
    return [printed for printed in list_commands() if find_test(printed.command) == test]
