"""`python -m backend.install.release -o dist` builds a release from a checkout.

A release is the wheel and one archive per host. Users unpack GIMP's into `plug-ins`, and Krita's with Tools → Scripts →
Import Python Plugin from File… or into `pykrita`. The plug-ins in them are pure Python, and find `gknet` themselves, or
install it from the wheel that each archive also contains.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from backend.install import gimp, installation, krita
from backend.thin.engine.wheel import FOLDER

_ROOT = Path(__file__).parents[2]


def write_release(into: Path) -> list[Path]:
    """Write the wheel and both archives to a folder, and return their paths. Raise CalledProcessError, OSError."""
    into.mkdir(parents=True, exist_ok=True)
    wheel = _build_wheel(into)
    return [wheel, write_gimp_archive(into, wheel), write_krita_archive(into, wheel)]


def write_gimp_archive(into: Path, wheel: Path) -> Path:
    """Write a zip of GIMP's plug-in in its own folder, ready to run, with the wheel, and return its path."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        installation.assemble_plug_in(gimp.PACKAGE, folder / gimp.NAME, _build_record())
        gimp.make_executable(folder / gimp.NAME / gimp.MAIN)
        _add_wheel(wheel, folder / gimp.NAME)
        return _write_zip(folder, into / f"{gimp.NAME}-gimp-{installation.get_version()}.zip")


def write_krita_archive(into: Path, wheel: Path) -> Path:
    """Write a zip of the contents of `pykrita`, with the wheel, as Krita's importer expects it; return its path."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        installation.assemble_plug_in(krita.PACKAGE, folder / krita.NAME, _build_record())
        for name in krita.BESIDE:
            (folder / krita.NAME / name).rename(folder / name)
        _add_wheel(wheel, folder / krita.NAME)
        return _write_zip(folder, into / f"gknet-harmonize-krita-{installation.get_version()}.zip")


def main() -> int:
    """Run the command. Return 0, or 2 after printing an error."""
    parser = argparse.ArgumentParser(prog="python -m backend.install.release", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the wheel and the archives")
    options = parser.parse_args()
    try:
        for file in write_release(options.output):
            print(file)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


def _build_wheel(into: Path) -> Path:
    with tempfile.TemporaryDirectory() as made:
        words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", made, str(_ROOT)]
        subprocess.run(words, check=True)
        (wheel,) = Path(made).glob("*.whl")
        (into / wheel.name).write_bytes(wheel.read_bytes())
        return into / wheel.name


def _add_wheel(wheel: Path, plug_in: Path) -> None:
    """Copy the wheel to where the plug-in's installer looks for it."""
    (plug_in / FOLDER.name).mkdir()
    shutil.copy2(wheel, plug_in / FOLDER.name)


def _build_record() -> dict[str, object]:
    """Return a record without a command: the location of `gknet` is not known yet."""
    return {"version": installation.get_version()}


def _write_zip(folder: Path, archive: Path) -> Path:
    """Write a folder's contents to a zip, with entries for folders too, because Krita's importer needs them."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder))
    return archive


if __name__ == "__main__":
    sys.exit(main())
