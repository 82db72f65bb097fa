"""The `gknet` command. Subcommands import heavy modules late, so that --help responds at once."""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gknet import __version__
from gknet.cli.batch import batch
from gknet.cli.numbers import WholeNumber
from gknet.cli.terminal import discard, exit_on_signals, open_missing_streams, say, warn
from gknet.errors import CancelledError, HarmonizeError, InputError, MissingPackageError
from gknet.network.config import MAX_VARIANTS

if TYPE_CHECKING:
    import numpy as np

    from gknet.files.picture import Picture
    from gknet.scene import Scene


app = App(
    name="gknet",
    help="Give a pasted object the colors and light of its scene.",
    version=__version__,
    default_parameter=Parameter(negative=""),
    suppress_keyboard_interrupt=False,
)

Step = Callable[[str, int, int], None]
_STEPS = {
    "read": "Reading",
    "clean": "Cleaning the edges",
    "load": "Loading the network",
    "reduce": "Reducing the picture",
    "network": "Harmonizing",
    "apply": "Applying the colors",
    "record": "Recording the network",
    "draw": "Drawing",
    "write": "Writing",
}

Output = Annotated[Path, Parameter(name=["--output", "-o"])]


@app.command
def harmonize(
    composite: Path | None = None,
    mask: Path | None = None,
    /,
    *,
    output: Output,
    foreground: Path | None = None,
    background: Path | None = None,
    at: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    scale: float | None = None,
    layer: str | None = None,
    clean_edges: bool = False,
    strength: float = 1.0,
    variant: WholeNumber | None = None,
    variants: bool = False,
    brightness: float = 0.0,
    warmth: float = 0.0,
    saturation: float = 0.0,
    model: str = "gknet-s",
    network_size: WholeNumber | None = None,
    device: str = "auto",
    show: bool = False,
) -> None:
    """Harmonize the object in a picture, at full resolution.

    Pass a finished composite and its mask:

        gknet harmonize composite.png mask.png -o harmonized.png

    or a cut-out with transparency and its background:

        gknet harmonize --foreground cutout.png --background photo.jpg --at 420,310 -o harmonized.jpg

    or a layered file, OpenRaster or Photoshop, which gets one more layer or becomes a flat picture:

        gknet harmonize picture.ora -o harmonized.ora

    Depth, color profile, EXIF and other metadata are kept. The suffix of the output sets its format.

    Parameters
    ----------
    composite
        Picture that already contains the object, or a layered file (.ora, .psd), which needs no mask.
    mask
        Picture of the same size: white where the object is, black elsewhere, gray along soft edges.
    output
        File for the result. It appears only when it is complete.
    foreground
        Cut-out object: a picture with transparency.
    background
        Picture to place the cut-out on.
    at
        X,Y of the cut-out's top left corner on the background, in pixels; may be negative. Default: the position that
        the file of a cropped cut-out states, otherwise 0,0.
    scale
        Scale factor of the cut-out. Default: 1.
    layer
        Name of the layer to harmonize in a layered file. Default: the topmost visible one with transparency.
    clean_edges
        First remove the old background's colors from the cut-out's soft edge. Needs PyMatting.
    strength
        0 leaves the object unchanged, 1 harmonizes it fully.
    variant
        Number of the version to write, 1 (the network's own) to 5. Fails if the object has fewer. Default: 1.
    variants
        Write every version; for -o out.png: out-1.png, out-2.png and so on, and out-versions.png with all of them side
        by side.
    brightness
        Brightens the harmonized object or, below 0, darkens it: -100 to 100.
    warmth
        Above 0 warmer, below 0 cooler: -100 to 100.
    saturation
        Above 0 stronger colors, below 0 weaker: -100, which is gray, to 100.
    model
        Weights: a name listed by `gknet info`, a .safetensors file, or a folder written by `save_pretrained`.
    network_size
        Long side of the network's input, in pixels, 64 to 1024. Default: the network's own. The result always has
        full resolution.
    device
        auto, cpu, cuda or mps.
    show
        Also write a side-by-side comparison of before and after next to the output.
    """
    pair, layers = (composite, mask), (foreground, background)
    layered = composite is not None and mask is None and not any(layers)
    if (None in pair and None in layers and not layered) or (any(pair) and any(layers)):
        raise InputError(
            "The inputs do not form a scene.",
            "Give COMPOSITE and MASK, or --foreground and --background, or a layered file.",
        )
    if any(pair) and (at is not None or scale is not None):
        raise InputError("--at and --scale do not apply to a composite.", "Leave them out.")
    if layer is not None and not layered:
        raise InputError("--layer applies only to layered files.", "Leave it out.")
    if mask is not None and clean_edges:
        raise InputError(
            "--clean-edges does not apply to a composite, whose edge is already mixed with the scene.",
            "Leave it out, or give the cut-out: --foreground and --background.",
        )
    if variants and (show or variant is not None):
        name = "--show" if show else "--variant"
        raise InputError(f"{name} does not go with --variants, which writes and shows them all.", "Leave one out.")
    outputs, beside = _name_outputs(output, variants, show)
    inputs = [path for path in (*pair, *layers) if path is not None]
    _check_distinct(inputs, outputs if beside is None else [*outputs, beside])
    with _show_progress() as step:
        from gknet.arguments import check_options, check_variant
        from gknet.files.formats import check_writable
        from gknet.scene import CompositeScene, LayeredScene, LayerScene
        from gknet.transfer.trims import Trims

        check_options(strength, network_size)
        check_variant(1 if variant is None else variant)
        trims = Trims(brightness, warmth, saturation)
        if clean_edges:
            from gknet.edges import check_available

            check_available()
        scene: Scene
        if composite is not None and mask is not None:
            scene = CompositeScene(composite, mask, step)
        elif composite is not None:
            scene = LayeredScene(composite, layer, step)
        else:
            assert foreground is not None
            assert background is not None
            place = None if at is None else _parse_position(at, "--at")
            scene = LayerScene(foreground, background, place, 1.0 if scale is None else scale, step)
        for path in (output, *outputs):
            scene.check_writable(path)
        if beside is not None:
            check_writable(beside, 3)
        before = None if beside is None else scene.before
        if clean_edges and not isinstance(scene, CompositeScene):
            scene.clean_edges()
        step("load", 0, 1)
        from gknet.harmonizer import Harmonizer
        from gknet.pixels.reduction import make_thumbnail
        from gknet.pixels.side_by_side import HEIGHT, split_into_rows

        fit = scene.fit(Harmonizer.from_pretrained(model, device), network_size)
        leftovers = [path for path in outputs[len(fit.variants) :] if path.exists()]
        del outputs[len(fit.variants) :]
        shown = {} if before is None else {"before": make_thumbnail(before, HEIGHT)}
        for number, path in enumerate(outputs, 1 if variant is None else variant):
            after = fit.apply(strength, number, trims)
            step("write", 0, 1)
            scene.write(path, after)
            if beside is not None:
                probability = fit.variants[number - 1].probability
                caption = f"version {number}, {probability:.0%} likely" if variants else "after"
                shown[caption] = make_thumbnail(after, HEIGHT)
        if beside is not None:
            _write_side_by_side(beside, split_into_rows(shown, 3), scene.file)
    _print_notes(scene)
    if leftovers:
        warn(f"Note: this object has fewer versions; not from this run: {', '.join(map(str, leftovers))}.")
    for path in outputs if beside is None else [*outputs, beside]:
        say(f"Wrote {path}")


@app.command
def demo(*, output: Output = Path("gknet-demo.png"), model: str = "gknet-s", device: str = "auto") -> None:
    """Harmonize the bundled photographs and write a before/after picture.

        gknet demo

    Parameters
    ----------
    output
        File for the before/after picture.
    model
        Weights: a name listed by `gknet info`, a .safetensors file, or a folder written by `save_pretrained`.
    device
        auto, cpu, cuda or mps.
    """
    from gknet.cli import demo as example

    with _show_progress() as step:
        step("load", 0, 1)
        from gknet.files.formats import check_writable
        from gknet.harmonizer import Harmonizer

        check_writable(output, 3)
        harmonizer = Harmonizer.from_pretrained(model, device)
        rows = [
            example.harmonize_astronaut(harmonizer, step),
            example.harmonize_dog(harmonizer, step),
        ]
        step("write", 0, 1)
        _write_side_by_side(output, rows)
    say(f"Wrote {output.absolute()}")


@app.command
def inspect(
    composite: Path,
    mask: Path,
    /,
    *,
    output: Output,
    point: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    model: str = "gknet-s",
    network_size: WholeNumber | None = None,
    device: str = "auto",
) -> None:
    """Show what the network does with a picture, and why, as an illustrated HTML page.

        gknet inspect composite.png mask.png -o page

    Open page/index.html in a browser. Needs the extra `figures`.

    Parameters
    ----------
    composite
        Picture that already contains the object.
    mask
        Picture of the same size: white where the object is, black elsewhere, gray along soft edges.
    output
        Folder for the page and its pictures, new or empty; an earlier page in it is replaced. It appears only when
        it is complete.
    point
        X,Y of the composite's pixel whose attention is shown. Default: the middle of the object.
    model
        Weights: a name listed by `gknet info`, a .safetensors file, or a folder written by `save_pretrained`.
    network_size
        Long side of the network's input, in pixels, 64 to 1024. Default: the network's own.
    device
        auto, cpu, cuda or mps.
    """
    _check_figures()
    place = None if point is None else _parse_position(point, "--point")
    with _show_progress() as step:
        from gknet.inspect import page
        from gknet.inspect.spot import check_inside
        from gknet.scene import CompositeScene

        page.check_folder(output)
        scene = CompositeScene(composite, mask, step)
        if place is not None:
            check_inside(place, scene.before.shape[1], scene.before.shape[0])
        step("load", 0, 1)
        from gknet.harmonizer import Harmonizer
        from gknet.inspect.sections import make_sections

        harmonizer = Harmonizer.from_pretrained(model, device)
        sections = make_sections(scene, harmonizer, point=place, network_size=network_size, on_progress=step)
        step("write", 0, 1)
        page.write(output, composite.name, model, sections)
    _print_notes(scene)
    say(f"Wrote {output / page.PAGE}")


@app.command
def info(*, model: str | None = None, device: str = "auto") -> None:
    """List the networks with their size, arithmetic, device and weights.

        gknet info

    Parameters
    ----------
    model
        Only this network: a name, a .safetensors file, or a folder written by `save_pretrained`.
    device
        auto, cpu, cuda or mps.
    """
    from gknet.cli.info import describe_networks

    Console().print(describe_networks(model, device))


app.command(batch)


def _print_notes(scene: Scene) -> None:
    """Print the notes on a scene's files as one line."""
    if scene.notes:
        warn(f"Note: {'; '.join(scene.notes)}.")


def _name_outputs(output: Path, variants: bool, show: bool) -> tuple[list[Path], Path | None]:
    """Return the pictures to write, and the sheet that shows them side by side, if any."""
    if not output.name:  # which is refused later
        return [output], None
    if variants:
        numbered = [output.with_stem(f"{output.stem}-{number}") for number in range(1, 1 + MAX_VARIANTS)]
        return numbered, output.with_name(f"{output.stem}-versions.png")
    return [output], output.with_name(f"{output.stem}-before-after.png") if show else None


def _check_distinct(inputs: list[Path], outputs: list[Path]) -> None:
    """Raise InputError if an output is one of the inputs, even through a link or another spelling."""
    for output, path in itertools.product(outputs, inputs):
        try:
            same = output.samefile(path)
        except OSError:  # missing or not accessible: reading or writing will report it
            continue
        if same:
            raise InputError(f"{output} is one of the inputs.", "Choose another name for the output.")


def _parse_position(words: str, option: str) -> tuple[int, int]:
    try:
        x, y = (int(part) for part in words.split(","))
    except ValueError:
        hint = f"Give two whole numbers, as in {option} 420,310."
        raise InputError(f"Invalid position {words!r}.", hint) from None
    return x, y


def _check_figures() -> None:
    """Raise MissingPackageError if a package for drawing is missing."""
    if not all(find_spec(library) for library in ("matplotlib", "sklearn")):
        raise MissingPackageError("Drawing needs the packages matplotlib and scikit-learn.", "figures")


def _write_side_by_side(path: Path, rows: list[dict[str, np.ndarray]], like: Picture | None = None) -> None:
    from gknet.files.formats import write_picture
    from gknet.files.picture import Picture
    from gknet.pixels.side_by_side import join_side_by_side

    beside = join_side_by_side(rows) if like is None else join_side_by_side(rows, like.encoding)
    write_picture(path, beside, Picture(pixels=beside))


@contextmanager
def _show_progress() -> Iterator[Step]:
    """Show a progress bar on the terminal; show nothing without a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Starting", total=None)

        def step(stage: str, done: int, total: int) -> None:
            # A stage of a single step has no measurable progress: let the bar pulse.
            progress.update(task, description=_STEPS[stage], completed=done, total=total if total > 1 else None)

        yield step


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0, 2 with a one-line error message, or 130 if interrupted."""
    # By default OpenMP's threads spin while they wait. Beside one other busy program on two cores, this turned the
    # network's 60 ms into 3 s; sleeping costs 15 ms. The variable is read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    open_missing_streams()
    exit_on_signals()
    try:
        app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout.fileno())  # its reader has gone, but the work is done
    except CycloptsError as error:
        sentence, command = " ".join(str(error).split()), " ".join(["gknet", *(error.command_chain or ())])
        _fail(f"{sentence} See `{command} --help`.", 2)
    except KeyboardInterrupt:
        _fail("Cancelled.", CancelledError.exit_code)
    except HarmonizeError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise
        discard(sys.stdout.fileno())
        _fail(f"Standard output cannot be written: {error.strerror}. Free some space, or write elsewhere.", 2)


def _fail(sentence: str, code: int) -> None:
    warn(sentence)
    sys.exit(code)


if __name__ == "__main__":
    main()
