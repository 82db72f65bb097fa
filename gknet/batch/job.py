"""A picture of a batch: its input files, its settings, and its outcome."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gknet.errors import HarmonizeError
from gknet.transfer.trims import Trims

if TYPE_CHECKING:
    from gknet.fits import Progress
    from gknet.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One output and its inputs: composite and mask, a layered composite alone, or foreground and background.

    output: path relative to the output folder, with /.   at: (x, y) of the foreground on the background, pixels,
    None for its file's own position.   scale: factor on the foreground's size.
    trouble: why the job cannot be done, if already known.
    """

    output: str
    composite: Path | None = None
    mask: Path | None = None
    foreground: Path | None = None
    background: Path | None = None
    at: tuple[int, int] | None = None
    scale: float = 1.0
    trouble: HarmonizeError | None = None

    @property
    def inputs(self) -> list[Path]:
        """The input files."""
        return [path for path in (self.composite, self.mask, self.foreground, self.background) if path is not None]

    def read_scene(self, layer: str | None, on_progress: Progress) -> Scene:
        """Read the input files.   layer: to harmonize in a layered file. Raises HarmonizeError."""
        from gknet.scene import CompositeScene, LayeredScene, LayerScene

        if self.foreground is not None and self.background is not None:
            return LayerScene(self.foreground, self.background, self.at, self.scale, on_progress)
        assert self.composite is not None
        if self.mask is not None:
            return CompositeScene(self.composite, self.mask, on_progress)
        return LayeredScene(self.composite, layer, on_progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings common to all pictures of a batch, as in `gknet harmonize`.

    weights: from `gknet.network.weights.compute_digest`.   network_size: None for the network's default.
    """

    model: str
    weights: str
    strength: float
    variant: int
    trims: Trims
    network_size: int | None
    clean_edges: bool
    layer: str | None

    def of(self, job: Job) -> dict[str, Any]:
        """Return everything except the files' contents that affects a job's output, as JSON values."""
        return {**asdict(self), "at": None if job.at is None else list(job.at), "scale": job.scale}


@dataclass(frozen=True, slots=True)
class Stamp:
    """Identifies a version of a file: its size in bytes and its modification time, nanoseconds."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp | None:
        """Return a file's stamp, None if it does not exist."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime_ns)


State = Literal["written", "kept", "failed", "not reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of a job.

    state: "written" now; "kept" from an earlier run; "failed"; "not reached" when the batch was stopped.
    unfinished: the result's temporary file, `written` its stamp, `inputs` the stamps of the input files before they
    were read.   seconds: from reading to writing, without waiting.
    message, hint, traceback: of a failure.   notes: what of the files is not reproduced exactly.
    """

    job: Job
    state: State
    unfinished: Path | None = None
    written: Stamp | None = None
    inputs: tuple[Stamp | None, ...] = ()
    seconds: float = 0.0
    message: str = ""
    hint: str = ""
    traceback: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def from_error(cls, job: Job, error: HarmonizeError, seconds: float = 0.0) -> Outcome:
        """Return the outcome of a job that failed with an error; its message begins with a file's name."""
        message = error.message
        if not message.startswith((*map(str, job.inputs), job.output)):
            message = f"{job.inputs[0]}: {message}"
        return cls(job=job, state="failed", message=message, hint=error.hint, seconds=seconds)
