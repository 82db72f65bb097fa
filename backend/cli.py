"""The complete `gknet` command: gknet's own subcommands and those of the backend."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backend.errors import BackendUnavailableError, translate_errors
from gknet.cli.app import app, main
from gknet.cli.terminal import say, warn
from gknet.errors import HarmonizeError, InputError

if TYPE_CHECKING:
    from rich.table import Table

    from backend.client import Client

__all__ = ["app", "main"]

HostName = Literal["gimp", "krita", "all"]


@app.command
def serve(*, idle_minutes: float = 15.0, device: str = "auto", log: Path | None = None) -> None:
    """Run the backend in the foreground until `gknet stop` or the idle timeout.

        gknet serve

    Plug-ins and scripts start the backend automatically when they need it.

    Parameters
    ----------
    idle_minutes
        Stop after this many minutes without requests; 0 means never.
    device
        auto, cpu, cuda or mps.
    log
        File to write the log to. Default: `backend.log` in your log folder.
    """
    if not 0 <= idle_minutes <= 1e6:
        raise InputError(
            f"The idle time must be from 0 to 1,000,000 minutes, not {idle_minutes:g}.", "Choose 0 to never stop."
        )
    from backend.server import journal, server, worker
    from backend.thin.connection import find_connection_path

    worker.check_device(device)
    journal.start_logging(log or journal.get_default_path())

    def announce(port: int) -> None:
        say(f"Listening on port {port} of this machine. Stop it with `gknet stop`.")

    with translate_errors():
        path = find_connection_path()
    server.serve(path, device=device, idle_minutes=idle_minutes, on_listening=announce)


@app.command
def status() -> None:
    """Show whether the backend is running, and its state.

    gknet status
    """
    from rich.console import Console

    with _connect_to_running() as client:
        if client is not None:
            Console().print(_build_status_table(client.status()))


@app.command
def stop() -> None:
    """Stop the backend and cancel its running requests.

    gknet stop
    """
    with _connect_to_running() as client:
        if client is not None:
            client.shutdown()
            say("The backend has stopped.")


@app.command
def install(host: HostName, *, dest: Path | None = None) -> None:
    """Install the plug-in in GIMP or Krita.

        gknet install gimp

    Parameters
    ----------
    host
        gimp, krita, or all (whichever of the two are on this machine).
    dest
        GIMP's plug-ins folder, or Krita's data folder (the one with `pykrita` in it). Default: your own.
    """
    from backend.install import hosts, installation

    chosen = hosts.choose_hosts(host, dest) if host != "all" else hosts.find_hosts(dest)
    installation.check_command()
    _run_steps([one.install for one in chosen], dest)


@app.command
def uninstall(host: HostName, *, dest: Path | None = None) -> None:
    """Remove the plug-in from GIMP or Krita. The backend and its weights stay.

        gknet uninstall gimp

    Parameters
    ----------
    host
        gimp, krita, or all.
    dest
        The folder that you gave to `gknet install`.
    """
    from backend.install import hosts

    _run_steps([one.uninstall for one in hosts.choose_hosts(host, dest)], dest)


@app.command
def doctor(*, json: bool = False, device: str = "auto") -> None:
    """Check the installation, and show what is wrong and how to fix it. The exit code is 1 if there are errors.

        gknet doctor

    Parameters
    ----------
    json
        Print a JSON list of objects with subject, state (fine, warning, error), text and remedy.
    device
        Device to check for the backend: auto, cpu, cuda or mps.
    """
    from backend.install.doctor import print_report

    sys.exit(print_report(as_json=json, device=device))


def _run_steps(steps: list[Callable[[Path | None], list[str]]], dest: Path | None) -> None:
    """Run every step even if another fails, and print what it did. Raise the first HarmonizeError at the end."""
    failures: list[HarmonizeError] = []
    for step in steps:
        try:
            say("\n".join(step(dest)))
        except HarmonizeError as error:
            failures.append(error)
    for failure in failures[1:]:
        warn(str(failure))
    if failures:
        raise failures[0]


@contextmanager
def _connect_to_running() -> Iterator[Client | None]:
    """Yield a client of the running backend. Print a line and yield None if there is none.

    Raise BackendUnavailableError if it is running but does not answer, or if its connection file cannot be used.
    """
    from backend.client import Client
    from backend.server.connection import is_locked, make_silence_error
    from backend.thin.connection import find_connection_path
    from backend.thin.protocol import NoAnswerError

    try:
        client = Client.connect(start=False)
    except BackendUnavailableError as error:
        if not isinstance(error.__cause__, NoAnswerError):
            raise
        if is_locked(path := find_connection_path()):
            raise make_silence_error(path) from error
        say("The backend is not running.")
        yield None
        return
    with client:
        yield client


def _build_status_table(status: dict[str, Any]) -> Table:
    """Return the backend's status as a table."""
    from rich.table import Table

    shown = Table(show_header=False)
    waiting = f", {status['queue']} waiting" if status["queue"] else ""
    for name, value in (
        ("state", f"{status['state']}{waiting}"),
        ("device", status["device"]),
        ("models in memory", ", ".join(status["models_loaded"]) or "none yet"),
        ("images done", status["served"]),
        ("memory", f"{status['memory'] / 1e6:.0f} MB"),
        ("uptime", timedelta(seconds=round(status["uptime"]))),
        ("process ID", status["pid"]),
        ("version", status["version"]),
    ):
        shown.add_row(name, str(value))
    return shown


if __name__ == "__main__":
    main()
