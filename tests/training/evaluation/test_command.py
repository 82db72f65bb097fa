"""What a command does when Ctrl-C is pressed."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from training.evaluation.command import defer_interrupts, run_command


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Interrupts, also where the tests were started without that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_one_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("some", lambda: signal.raise_signal(signal.SIGINT)) == 130
    assert capsys.readouterr().err == "some: stopped\n"


def test_ctrl_c_waits_for_what_must_not_be_interrupted() -> None:
    done = []

    def press_in_the_middle() -> None:
        with defer_interrupts():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest")
        done.append("what follows")

    with pytest.raises(KeyboardInterrupt):
        press_in_the_middle()
    assert done == ["the rest"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
