"""What the user's computer is set to, and what programs print besides their answers, never spoils an installation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from backend.thin.engine import pythons
from backend.thin.engine.attempt import Attempt
from backend.thin.engine.environment import check_engine
from backend.thin.engine.switch import CPU, Engine
from backend.thin.protocol import ThinError

from .conftest import FINE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")


def make_program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def make_engine(home: Path, script: str) -> Engine:
    """An engine whose Python is a script."""
    engine = Engine(home, "made", "0.1.0", CPU, "0" * 64)
    make_program(engine.python, script)
    return engine


NOISE = "[W123 NNPACK.cpp:64] Could not initialize NNPACK! Reason: [Unsupported hardware]"


@pytest.mark.parametrize("redirection", ["", " >&2"])
def test_lines_around_the_answer_of_doctor_are_only_logged(tmp_path: Path, redirection: str) -> None:
    print_noise = f"echo '{NOISE}'{redirection}"
    answer = f"echo '{json.dumps(FINE)}'"
    log = tmp_path / "log"
    attempt = Attempt()
    attempt.open_log(log)
    check_engine(make_engine(tmp_path, f"{print_noise}\n{answer}\n{print_noise}"), attempt, {})
    attempt.close_log()
    assert log.read_text(encoding="utf-8").count(NOISE) == 2
    assert "weights" in log.read_text(encoding="utf-8")
    broken = answer.replace("fine", "error")
    with pytest.raises(ThinError, match=r"does not work: matches"):
        check_engine(make_engine(tmp_path, f"{print_noise}\n{broken}\n{print_noise}\nexit 1"), attempt, {})
    with pytest.raises(ThinError, match="can't be read"):
        check_engine(make_engine(tmp_path, f"{print_noise}\necho '[3]'"), attempt, {})
    with pytest.raises(ThinError, match="status 3. last words"):
        check_engine(make_engine(tmp_path, "echo last words >&2; exit 3"), attempt, {})


def test_a_python_that_warns_is_used(tmp_path: Path) -> None:
    program = make_program(tmp_path / "python3", f'"{sys.executable}" "$@"\necho warning >&2')
    assert pythons.check_python(program, Attempt(), {}) == ""
