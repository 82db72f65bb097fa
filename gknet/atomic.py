"""Atomic writes: files that appear completely or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replace_file(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Yield a new, empty file beside `path`; when the block ends, it replaces `path`.

    If the block raises, `path` keeps its content, and the new file is removed.
    mode: permissions of the new file, less the process's umask; None for those of the file that it replaces, if any.
    Raises OSError if the file cannot be written.
    """
    target = Path(os.path.realpath(path))  # through a link, not in its place
    unfinished = target.with_name(f".gknet-{secrets.token_hex(8)}.tmp")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else mode))
        yield unfinished
        if mode is None and target.exists():
            shutil.copymode(target, unfinished)
        unfinished.replace(target)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
