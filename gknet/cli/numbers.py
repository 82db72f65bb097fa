"""Numbers on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token


def _read_whole_number(kind: Any, tokens: Sequence[Token]) -> int:
    """Return a whole number. Raises ValueError for anything else, also for 2.5, of which cyclopts would make 2."""
    del kind
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number.") from None


WholeNumber = Annotated[int, Parameter(converter=_read_whole_number)]
"""An option's whole number."""
