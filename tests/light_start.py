"""What a command line loads in a new Python."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import importlib, sys
module, heavy, *lines = sys.argv[1:]
main = importlib.import_module(module).main
for line in lines:
    try:
        main(line.split())
    except SystemExit:
        pass
    print(f"end of {line}")
print("heavy:", sorted(set(heavy.split()) & set(sys.modules)))
"""


def run_lines(module: str, lines: list[str], heavy: str) -> list[str]:
    """Call a module's `main` with one line after the other, and return what each printed, which must be something.

    All run in one process, because what any of them loads stays. None may load a package named in `heavy`.
    """
    command = [sys.executable, "-c", PROGRAM, module, heavy, *lines]
    rest = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert rest.endswith("heavy: []\n")
    printed = []
    for line in lines:
        said, _, rest = rest.partition(f"end of {line}\n")
        assert said
        printed.append(said)
    return printed
