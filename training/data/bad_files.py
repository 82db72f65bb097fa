"""Bad files: stop at the first one, or leave all of them out, then count and name them."""

from __future__ import annotations

import sys

from PIL import Image

from gknet.errors import PictureError

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""Exceptions that Pillow raises for damaged or unsupported files."""
NAMED = 5
"""Largest number of skipped files named in the summary."""


class BadFiles:
    """How one run handles bad files.

    skip: False raises the first error, True records it and continues.
    count: files left out so far.
    """

    def __init__(self, skip: bool) -> None:
        self.skip = skip
        self._messages: dict[str, None] = {}  # in order of occurrence; a file may occur once per epoch

    @property
    def count(self) -> int:
        return len(self._messages)

    def raise_or_count(self, error: PictureError) -> None:
        """Raise the error, or count its file once. If this returns, the caller must leave the file out."""
        if not self.skip:
            raise error
        # Keep only the text: an exception's traceback would keep its pictures in memory.
        self._messages[error.message] = None

    def print_summary(self) -> None:
        """Print to stderr how many files were left out and name the first few. Prints nothing if there were none."""
        if not self.count:
            return
        print(f"left out {self.count} bad {'file' if self.count == 1 else 'files'}:", file=sys.stderr)
        for message in list(self._messages)[:NAMED]:
            print(f"  {message}", file=sys.stderr)
        if self.count > NAMED:
            print(f"  and {self.count - NAMED} more", file=sys.stderr)
