"""Signals that ask a process to end, and one that is told to go on without its terminal."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from gknet.ending import list_ending_signals
from training.engine.stopping import catch_stop_signals


@pytest.fixture
def hang_up() -> Iterator[int]:
    """SIGHUP, which ends this process as usual, even if the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield signal.SIGHUP
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_asks_for_an_end_as_sigterm_does(hang_up: int) -> None:
    assert list_ending_signals() == [signal.SIGTERM, hang_up]


def test_a_process_under_nohup_outlives_its_terminal(hang_up: int) -> None:
    signal.signal(hang_up, signal.SIG_IGN)
    assert list_ending_signals() == [signal.SIGTERM]


@pytest.mark.usefixtures("hang_up")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_stops_training_once_and_is_put_back(number: int) -> None:
    before = signal.getsignal(number)
    with catch_stop_signals() as is_stopped:
        assert not is_stopped()
        signal.raise_signal(number)
        assert is_stopped()
    assert signal.getsignal(number) == before
