"""A headless Chromium, started as a program of its own: this machine's, or else the one in the hosts' chroot.

The chroot's is the same everywhere and needs nothing installed beside it, and tests that need GIMP and Krita build it
anyway; its network is this machine's, so that the browser reaches a server on loopback and can be driven from outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts.chroot import TRIXIE

NAMES = ("chromium", "chromium-browser", "google-chrome")
STARTED_WITHIN_S = 60


@contextmanager
def chromium(home: Path) -> Iterator[str]:
    """The address to drive it by (Chrome's DevTools protocol), until the end of the block.

    Skips the test, with the reason, where there is none; GKNET_HOSTS=required builds the chroot, or fails.
    """
    home.mkdir(parents=True, exist_ok=True)
    profile = home / "profile"
    with subprocess.Popen(
        _command(
            "--headless=new",
            "--no-sandbox",  # root has none; the pages are our own
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--force-color-profile=srgb",
            # Without a screen it finds no mouse, which a desktop has.
            "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            home=home,
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=TRIXIE.environment({}),
    ) as process:
        try:
            yield _address(process, profile / "DevToolsActivePort")
        finally:
            process.kill()  # with all that runs in the chroot's namespaces


def _command(*flags: str, home: Path) -> list[str | Path]:
    for name in NAMES:
        if found := shutil.which(name):
            return [found, *flags]
    if reason := TRIXIE.why_unusable():
        if os.environ.get("GKNET_HOSTS") == "required":
            pytest.fail(reason)
        pytest.skip(f"there is no {', '.join(NAMES)}, and {reason}")
    return TRIXIE.command(["chromium", *flags], home=home, display=False)


def _address(process: subprocess.Popen[bytes], told: Path) -> str:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if told.is_file() and (lines := told.read_text(encoding="utf-8").splitlines()):
            return f"http://127.0.0.1:{lines[0]}"
        time.sleep(0.05)
    raise AssertionError("Chromium did not start")
