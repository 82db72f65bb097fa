"""What a host's engine window says and offers, the same in every host."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from .. import installed
from ..connection import has_listener
from ..environment import hide_home
from ..protocol import ThinError
from .attempt import Progress
from .installer import LOG
from .lock import NAME, is_locked
from .nvidia import has_nvidia_driver
from .sizes import estimate_size, format_bytes
from .switch import CPU, CUDA, CURRENT, Engine, find_engine_home, list_leftovers, read_current
from .wheel import Wheel, find_wheel, parse_version

TITLE = "Harmonize Engine"
MANAGE = "E&ngine…"
"""The button in the dialog that opens the window, and the one if there is a newer engine."""
MANAGE_NEWER = "Update e&ngine…"
MANAGE_HELP = "Update, repair, or remove the engine, the program that computes the result."
INSTALL, UPDATE, REPAIR = "&Install", "&Update", "&Repair"
REMOVE, TRY_AGAIN, CANCEL, CLOSE = "Re&move", "&Try again", "&Cancel", "&Close"
CONTINUE = "&Harmonize…"
"""The button that leads from an installed engine to the dialog."""
CUDA_LABEL = "Use the &NVIDIA graphics card"
DETAILS = "&Details"
"""The label of the part with the log."""
PAINT_ON = "You can keep painting in the meantime."
REMOVE_QUESTION = "Remove the engine? Harmonize won't work until you install it again."
_MAX_LOG_LINES = 400
"""Last lines of the log to show."""


@dataclass(frozen=True)
class Offer:
    """What the window shows while nothing is being installed.

    heading, text: what there is, or what is missing.
    is_ready: whether there is an engine to harmonize with.
    is_update: whether the archive has a newer engine than the one in use.
    wheel: what `action` installs; None if nothing can be installed.   action: the label of that button.
    has_cuda: whether to show the choice of PyTorch's CUDA build.   uses_cuda: whether it is chosen at first.
    can_remove: whether there is anything to remove.
    """

    heading: str
    text: str
    is_ready: bool
    is_update: bool = False
    wheel: Wheel | None = None
    action: str = ""
    has_cuda: bool = False
    uses_cuda: bool = False
    can_remove: bool = False


def make_offer() -> Offer:
    """Return what the window should show and offer now. It reads a few files, and the archive's wheel."""
    is_busy = False
    try:
        offer = _classify()
        is_busy = is_locked(find_engine_home())
    except ThinError as error:  # the record or the home folder, which no engine can mend
        offer = Offer("Harmonize can't start", f"{error.message}\n\n{error.hint}", is_ready=False)
    if not offer.is_ready and has_listener():  # a backend started by hand, as for a Flatpak
        text = "A backend is already running, but this plug-in didn't start it and can't restart it."
        offer = replace(offer, heading="Harmonize uses a running backend", text=text, is_ready=True)
    if is_busy:
        text = "Another program is installing or removing the engine. When it has finished, choose Harmonize… again."
        return Offer("An installation is running", text, is_ready=offer.is_ready)
    return offer


def _classify() -> Offer:
    """Return the offer, whatever else is running. Raise ThinError if nothing can be offered."""
    wheel, wheel_error = _find_wheel()
    broken: ThinError | None = None
    try:
        engine = read_current(find_engine_home())
    except ThinError as error:
        engine, broken = None, error
    try:
        choice = installed.choose_command()
    except ThinError:
        if broken is None:
            raise
        return _offer_repair(broken, wheel, wheel_error)
    if choice is None:
        return _offer_installation(wheel, wheel_error)
    if engine is not None and choice.words == engine.build_command("serve"):
        return _describe_engine(engine, wheel)
    if shutil.which(choice.words[0]) is None:
        text = f"{hide_home(choice.words[0])} does not exist. {choice.reason}\n\n{choice.remedy}"
        return Offer("Harmonize can't start", text, is_ready=False, can_remove=_has_leftovers())
    return _describe_other(choice, engine)


def describe_size(build: str) -> str:
    """Return what a build of PyTorch, CPU or CUDA, needs: download and disk space."""
    size = estimate_size(build)
    return f"Download: {format_bytes(size.download)}. Disk space: {format_bytes(size.disk)}."


def format_progress(progress: Progress) -> str:
    """Return a sentence with the bytes of a download."""
    if not progress.bytes_total or not progress.bytes_done:
        return progress.text
    return f"{progress.text} {format_bytes(progress.bytes_done)} of about {format_bytes(progress.bytes_total)}"


def format_end(engine: Engine | None) -> str:
    """Return the sentence after an installation, or after a removal if there is no engine any more."""
    if engine is None:
        return "The engine was removed."
    return f"Engine {engine.version} is installed and works."


def read_log(path: Path) -> str:
    """Return the last lines of a log, "" if there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_MAX_LOG_LINES:])


def _find_wheel() -> tuple[Wheel | None, str]:
    """Return the archive's wheel, and an error's text if it can't be read."""
    try:
        return find_wheel(), ""
    except ThinError as error:
        return None, str(error)


def _offer_installation(wheel: Wheel | None, wheel_error: str) -> Offer:
    heading = "Harmonize needs its engine"
    if wheel is None:
        missing = installed.make_missing_error()
        return Offer(
            heading, wheel_error or f"{missing.message}\n\n{missing.hint}", is_ready=False, can_remove=_has_leftovers()
        )
    text = (
        "The engine computes the result on this computer. It isn't installed yet.\n\n"
        "It will be installed for your account only. You can remove it at any time."
    )
    return _with_wheel(Offer(heading, text, is_ready=False, can_remove=_has_leftovers()), wheel, INSTALL, CPU)


def _offer_repair(error: ThinError, wheel: Wheel | None, wheel_error: str) -> Offer:
    text = f"{error.message}\n\n{wheel_error or error.hint}"
    offer = Offer("The engine does not work", text, is_ready=False, can_remove=_has_leftovers())
    return offer if wheel is None else _with_wheel(offer, wheel, REPAIR, CPU)


def _describe_engine(engine: Engine, wheel: Wheel | None) -> Offer:
    what = f"{engine.version}, with CUDA for the NVIDIA graphics card," if engine.build == CUDA else engine.version
    facts = f"{what} in {hide_home(str(engine.path))}."
    offer = Offer("The engine is installed", f"Version {facts}", is_ready=True, can_remove=True)
    if wheel is None:
        return offer
    if parse_version(engine.version) > parse_version(wheel.version):
        return replace(offer, text=f"{offer.text}\n\nThis plug-in is older: version {wheel.version}.")
    if engine.build == CUDA and not has_nvidia_driver():
        facts += "\n\nNo NVIDIA driver was found, so the engine will be installed for the processor."
    if not wheel.is_newer_than(engine.version):
        return _with_wheel(replace(offer, text=f"Version {facts}"), wheel, REPAIR, engine.build)
    text = f"This plug-in contains version {wheel.version}.\n\nInstalled: version {facts}"
    offer = replace(offer, heading="A newer engine is available", text=text, is_update=True)
    return _with_wheel(offer, wheel, UPDATE, engine.build)


def _describe_other(choice: installed.Choice, engine: Engine | None) -> Offer:
    text = f"Command: {hide_home(choice.words[0])}. {choice.reason}"
    if engine is not None:
        text += f"\n\nThe engine in {hide_home(str(engine.path))} is therefore not used."
    return Offer("Harmonize uses another installation", text, is_ready=True, can_remove=_has_leftovers())


def _with_wheel(offer: Offer, wheel: Wheel, action: str, build: str) -> Offer:
    has_cuda = has_nvidia_driver()
    return replace(offer, wheel=wheel, action=action, has_cuda=has_cuda, uses_cuda=has_cuda and build == CUDA)


def _has_leftovers() -> bool:
    """Return whether the engine folder contains anything to remove, such as the downloads of a failed installation."""
    home = find_engine_home()
    try:
        harmless = {name for name in (NAME, LOG) if not (home / name).is_dir()}  # a folder is in the way
        return (home / CURRENT).exists() or bool(list_leftovers(home, harmless))
    except OSError:  # what can't be read can't be removed
        return False
