"""The backend's log: a rotating file in the user's log folder. The backend keeps running if it can't be written."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

import platformdirs

_LONGEST = 1_000_000
"""Maximum bytes of one file; two older files are kept."""
_LINE = "%(asctime)s %(levelname)s %(name)s [%(request)s] %(message)s"


def get_default_path() -> Path:
    """Return the default path of the log."""
    return Path(platformdirs.user_log_dir("gknet")) / "backend.log"


def start_logging(path: Path) -> None:
    """Write everything that is logged from now on to a file. Print one line to standard error if that is impossible."""
    handler: logging.Handler
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _File(path, maxBytes=_LONGEST, backupCount=2, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        _print_warning(path, error)
        return
    handler.setFormatter(logging.Formatter(_LINE, defaults={"request": "-"}))
    logging.getLogger().addHandler(handler)
    # Libraries log warnings and errors only.
    logging.getLogger("backend").setLevel(logging.INFO)


class _File(logging.handlers.RotatingFileHandler):
    """A rotating file that reports only once, on standard error, that it cannot be written."""

    _has_warned = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's own name)
        del record
        if not self._has_warned:
            self._has_warned = True
            _print_warning(Path(self.baseFilename), sys.exception())


def _print_warning(path: Path, error: BaseException | None) -> None:
    reason = getattr(error, "strerror", None) or error
    print(f"gknet: The log {path} cannot be written: {reason}. The backend runs without it.", file=sys.stderr)
