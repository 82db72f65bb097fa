"""Write text files atomically."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gknet.atomic import replace_file


@contextmanager
def replace_text_file(path: Path) -> Iterator[TextIO]:
    """Yield a UTF-8 text file that replaces `path` atomically, as in `gknet.atomic`. Line ends aren't translated."""
    with (
        replace_file(path) as unfinished,
        # Escape bytes in file names that are not valid text.
        unfinished.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file
