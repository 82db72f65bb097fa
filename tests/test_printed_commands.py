"""Every command and script that README.md and docs/*.md print is run by a test."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.printed_commands import (
    EXTRAS,
    PAGES,
    ROOT,
    RUN_BY,
    RUN_BY_NO_TEST,
    SCRIPTS,
    find_test,
    list_blocks,
    list_commands,
    list_commands_of,
)

COMMANDS = [command for _, command in list_commands()]


def test_every_command_is_run_or_has_a_reason_not_to_be() -> None:
    assert len(COMMANDS) > 60
    left = [command for command in COMMANDS if find_test(command) is None]
    assert [command for command in left if not any(re.fullmatch(pattern, command) for pattern in RUN_BY_NO_TEST)] == []


@pytest.mark.parametrize("pattern", [*RUN_BY, *RUN_BY_NO_TEST])
def test_a_line_of_the_tables_stands_for_a_command(pattern: str) -> None:
    assert any(re.fullmatch(pattern, command) for command in COMMANDS)


@pytest.mark.parametrize("test", sorted({*RUN_BY.values(), *(test for tests in SCRIPTS.values() for test in tests)}))
def test_a_test_that_the_tables_name_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", [command for command in COMMANDS if find_test(command) is None])
def test_what_no_test_runs_names_a_module_that_exists(command: str) -> None:
    module = re.search(r"python -m (\S+)", command)
    assert module is None or find_spec(module[1]) is not None


@pytest.mark.parametrize("page", PAGES)
def test_every_script_of_a_page_is_run(page: str) -> None:
    assert len(list_blocks(page, "python")) == len(SCRIPTS.get(page, []))


@pytest.mark.integration
def test_pip_finds_the_extras_of_an_installation() -> None:
    """In one run for all commands. What they bring is installed already: pip needs no network and changes nothing."""
    packages: list[str] = []
    for _, command in list_commands_of(EXTRAS):
        pip, install, *names = shlex.split(command)
        assert (pip, install) == ("pip", "install")
        packages += names
    assert len(packages) > 3
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    words = [sys.executable, "-m", "pip", "install", *packages]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # an unknown extra is a warning
    assert "already satisfied" in done.stdout
