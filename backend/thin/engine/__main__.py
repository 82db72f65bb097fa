"""The installer as a command: `python3 engine/__main__.py install|status|remove`, from a plug-in's archive too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _load_package() -> str:
    """Load the package `thin` around this file under a name of its own, and return that name.

    Its folder must not get on the path: hosts' modules in the folder above have common names.
    """
    name, folder = "gknet_thin", Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is not a package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return name


if __name__ == "__main__":
    package = __package__ or _load_package() + ".engine"
    sys.exit(importlib.import_module(f"{package}.command").main(sys.argv[1:]))
