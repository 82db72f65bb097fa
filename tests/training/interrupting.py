"""Ctrl-C, pressed at a known moment of a command that is called in this process."""

from __future__ import annotations

import signal
from types import ModuleType
from typing import Any

import pytest


def press_ctrl_c_in(patched: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
    """Press it as soon as the module's function of this name is called."""
    function = getattr(module, name)

    def press_and_call(*arguments: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return function(*arguments, **options)

    patched.setattr(module, name, press_and_call)
