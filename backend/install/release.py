"""`python -m backend.install.release -o dist`: everything that is published, from a checkout.

The wheel, and for each host an archive that a user unpacks into it (GIMP: into `plug-ins`; Krita: Tools → Scripts →
Import Python Plugin from File…, or into `pykrita`). The plug-ins in them are plain Python, and find `gknet` themselves.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from backend.install import gimp, installation, krita

_ROOT = Path(__file__).parents[2]


def write_release(into: Path) -> list[Path]:
    """The wheel and both archives in a folder. Raises CalledProcessError, OSError."""
    into.mkdir(parents=True, exist_ok=True)
    return [_build_wheel(into), write_gimp_archive(into), write_krita_archive(into)]


def write_gimp_archive(into: Path) -> Path:
    """A zip that holds GIMP's plug-in in its own folder, ready to be run."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        installation.assemble_plug_in(gimp.PACKAGE, folder / gimp.NAME, _build_record())
        gimp.make_executable(folder / gimp.NAME / gimp.MAIN)
        return _write_zip(folder, into / f"{gimp.NAME}-gimp-{installation.get_version()}.zip")


def write_krita_archive(into: Path) -> Path:
    """A zip that holds what belongs into `pykrita`, as Krita's own importer wants it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        installation.assemble_plug_in(krita.PACKAGE, folder / krita.NAME, _build_record())
        for name in krita.BESIDE:
            (folder / krita.NAME / name).rename(folder / name)
        return _write_zip(folder, into / f"gknet-harmonize-krita-{installation.get_version()}.zip")


def main() -> int:
    """Runs the command; 0, or 2 with a line on what is wrong."""
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


def _build_record() -> dict[str, object]:
    """No command: where `gknet` is, nobody knows yet."""
    return {"version": installation.get_version()}


def _write_zip(folder: Path, archive: Path) -> Path:
    """Everything in a folder as a zip; the folders have entries of their own, which Krita's importer looks for."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder))
    return archive


if __name__ == "__main__":
    sys.exit(main())
