"""What the user's computer is set to, and what programs print besides their answers, never spoils an installation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from backend.thin.engine import pythons
from backend.thin.engine.attempt import Attempt
from backend.thin.engine.environment import Sources, check_engine
from backend.thin.engine.installer import install_engine
from backend.thin.engine.switch import CPU, Engine
from backend.thin.engine.wheel import open_wheel
from backend.thin.protocol import ThinError

from .conftest import FINE, Place, build_project_wheel

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts"),
]


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
    with pytest.raises(ThinError, match=r"status 3\. last words"):
        check_engine(make_engine(tmp_path, "echo last words >&2; exit 3"), attempt, {})


def test_a_python_that_warns_is_used(tmp_path: Path) -> None:
    program = make_program(tmp_path / "python3", f'"{sys.executable}" "$@"\necho warning >&2')
    assert pythons.check_python(program, Attempt(), {}) == ""


ELSEWHERE = """
[global]
require-virtualenv = true
python = /nonexistent/python
quiet = 3
[install]
target = {0}/target
prefix = {0}/prefix
root = {0}/root
report = {0}/report.json
dry-run = true
no-deps = true
no-dependencies = true
user = true
"""


@pytest.mark.parametrize("is_offline", [False, True])
def test_settings_that_put_packages_elsewhere_have_no_effect(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_offline: bool
) -> None:
    settings = place.folder / "pip.conf"
    settings.write_text(ELSEWHERE.format(place.folder / "elsewhere"), encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_NO_DEPENDENCIES", "1")
    (place.folder / "none.txt").touch()  # instead of what this computer's own settings may name
    monkeypatch.setenv("PIP_CONSTRAINT", str(place.folder / "none.txt"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", place.index.address)
    wheels = place.folder / "all wheels"
    wheels.mkdir()
    for name, content in place.index.files.items():
        (wheels / name).write_bytes(content)
    engine = install_engine(place.wish(sources=Sources(offline=wheels if is_offline else None)), Attempt())
    assert len(list(engine.path.glob("lib/python3*/site-packages/leaf.py"))) == 1
    assert not (place.folder / "elsewhere").exists()


def test_a_wheel_with_any_damaged_byte_is_called_damaged(tmp_path: Path) -> None:
    path = build_project_wheel(tmp_path)
    content = path.read_bytes()
    text = open_wheel(path).read_constraints()
    messages = set()
    for position in range(len(content)):
        for value in (1, 14, 93):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            try:
                assert open_wheel(path).read_constraints() == text
            except ThinError as error:
                messages.add(error.message.partition(f"{path} ")[2].partition(":")[0])
    assert messages == {"is damaged"}
