"""The `gknet` command, all of it: gknet's own subcommands and those of the backend."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backend.errors import BackendUnavailableError
from gknet.cli.app import app, main
from gknet.errors import HarmonizeError, InputError

if TYPE_CHECKING:
    from rich.table import Table

    from backend.client import Client

__all__ = ["app", "main"]

HostName = Literal["gimp", "krita", "all"]


@app.command
def serve(*, idle_minutes: float = 15.0, device: str = "auto", log: Path | None = None) -> None:
    """Run the backend for hosts and scripts in the foreground, until `gknet stop`.

        gknet serve

    Hosts and scripts start it themselves when they need it.

    Parameters
    ----------
    idle_minutes
        End after so many minutes in which nobody asked for anything; 0 for never.
    device
        auto, cpu, cuda or mps.
    log
        File to write the log to. Without it: in the user's log folder.
    """
    if not 0 <= idle_minutes <= 1e6:
        raise InputError(f"The idle time is {idle_minutes:g} minutes.", "Choose 0 for never, or a number above.")
    from backend.server import journal, server, worker
    from backend.thin.connection import find_connection_path

    worker.check_device(device)
    journal.start_logging(log or journal.get_default_path())

    def announce(port: int) -> None:
        print(f"Listening on port {port} of this machine; `gknet stop` ends it.", flush=True)

    server.serve(find_connection_path(), device=device, idle_minutes=idle_minutes, on_listening=announce)


@app.command
def status() -> None:
    """Say whether the backend runs, and how it is.

    gknet status
    """
    from rich.console import Console

    with _connect_to_running() as client:
        if client is not None:
            Console().print(_build_status_table(client.status()))


@app.command
def stop() -> None:
    """End the backend. What is running is cancelled.

    gknet stop
    """
    with _connect_to_running() as client:
        if client is not None:
            client.shutdown()
            print("The backend has ended.")


@app.command
def install(host: HostName, *, dest: Path | None = None) -> None:
    """Put Filters → Harmonize… into GIMP or Krita.

        gknet install gimp

    Parameters
    ----------
    host
        gimp, krita, or all: those of the two that are on this machine.
    dest
        GIMP's plug-ins folder, or Krita's data folder (which holds `pykrita`). Without it: the user's own.
    """
    from backend.install import hosts, installation

    chosen = hosts.choose_hosts(host, dest) if host != "all" else hosts.find_hosts(dest)
    installation.check_command()
    _run_steps([one.install for one in chosen], dest)


@app.command
def uninstall(host: HostName, *, dest: Path | None = None) -> None:
    """Take Filters → Harmonize… away again. The backend and its weights stay.

        gknet uninstall gimp

    Parameters
    ----------
    host
        gimp, krita, or all.
    dest
        The folder that was named when it was installed.
    """
    from backend.install import hosts

    _run_steps([one.uninstall for one in hosts.choose_hosts(host, dest)], dest)


@app.command
def doctor(*, json: bool = False, device: str = "auto") -> None:
    """Say what is installed, what runs, what is wrong, and what to do. Exit code 1 if something is wrong.

        gknet doctor

    Parameters
    ----------
    json
        As JSON: a list of objects with subject, state (fine, warning, error), text and remedy.
    device
        auto, or the device that the backend is to run on: cpu, cuda or mps.
    """
    from backend.install.doctor import print_report

    sys.exit(print_report(as_json=json, device=device))


def _run_steps(steps: list[Callable[[Path | None], list[str]]], dest: Path | None) -> None:
    """Takes every step, whatever goes wrong with another, and says what it did. Raises HarmonizeError at the end."""
    failures: list[HarmonizeError] = []
    for step in steps:
        try:
            print("\n".join(step(dest)))
        except HarmonizeError as error:
            failures.append(error)
    for failure in failures[1:]:
        print(f"gknet: {failure}", file=sys.stderr)
    if failures:
        raise failures[0]


@contextmanager
def _connect_to_running() -> Iterator[Client | None]:
    """A client of the backend; None, and a line that says so, where none runs."""
    from backend.client import Client

    try:
        client = Client.connect(start=False)
    except BackendUnavailableError:
        print("The backend is not running.")
        yield None
        return
    with client:
        yield client


def _build_status_table(status: dict[str, Any]) -> Table:
    """A table of what the backend says of itself."""
    from rich.table import Table

    shown = Table(show_header=False)
    waiting = f", {status['queue']} waiting" if status["queue"] else ""
    for name, value in (
        ("state", f"{status['state']}{waiting}"),
        ("device", status["device"]),
        ("models in memory", ", ".join(status["models_loaded"]) or "none yet"),
        ("pictures done", status["served"]),
        ("memory", f"{status['memory'] / 1e6:.0f} MB"),
        ("running for", timedelta(seconds=round(status["uptime"]))),
        ("process", status["pid"]),
        ("version", status["version"]),
    ):
        shown.add_row(name, str(value))
    return shown


if __name__ == "__main__":
    main()
