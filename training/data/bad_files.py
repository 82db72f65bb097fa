"""Files that cannot be used: the first one ends the run, or all of them are left out, counted and named."""

from __future__ import annotations

import sys

from PIL import Image

from gknet.errors import PictureError

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for files that are no pictures, or damaged ones."""
NAMED = 5
"""As many of the files left out are named at the end."""


class BadFiles:
    """What one run does about bad files.

    skip: False raises the first error that is met, True remembers it and goes on.   count: files left out so far.
    """

    def __init__(self, skip: bool) -> None:
        self.skip = skip
        self._messages: dict[str, None] = {}  # in the order they were met; a file may be met once an epoch

    @property
    def count(self) -> int:
        return len(self._messages)

    def raise_or_count(self, error: PictureError) -> None:
        """Raises the error of a file, or counts it once; where this returns, the reader leaves the file out."""
        if not self.skip:
            raise error
        # The text alone: an error that was caught keeps every picture of its traceback alive.
        self._messages[error.message] = None

    def print_summary(self) -> None:
        """On stderr how many files were left out, and the first few by name; nothing where there were none."""
        if not self.count:
            return
        print(f"left out {self.count} bad {'file' if self.count == 1 else 'files'}:", file=sys.stderr)
        for message in list(self._messages)[:NAMED]:
            print(f"  {message}", file=sys.stderr)
        if self.count > NAMED:
            print(f"  and {self.count - NAMED} more", file=sys.stderr)
