"""One picture of a batch: what it is made of, with which settings, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gknet.errors import HarmonizeError

if TYPE_CHECKING:
    from gknet.harmonizer import Progress
    from gknet.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One output and what it is made of: composite and mask, a composite of layers alone, or foreground and background.

    output: its name below the output folder, with /.   at: (x, y) of the foreground on the background, pixels.
    scale: factor on the foreground's size.   trouble: why it cannot be made, if that is known already.
    """

    output: str
    composite: Path | None = None
    mask: Path | None = None
    foreground: Path | None = None
    background: Path | None = None
    at: tuple[int, int] = (0, 0)
    scale: float = 1.0
    trouble: HarmonizeError | None = None

    @property
    def inputs(self) -> list[Path]:
        """The files it is made of."""
        return [path for path in (self.composite, self.mask, self.foreground, self.background) if path is not None]

    def read_scene(self, layer: str | None, on_progress: Progress) -> Scene:
        """Its files, read.   layer: which, of a file of layers. Raises HarmonizeError."""
        from gknet.scene import CompositeScene, LayeredScene, LayerScene

        if self.foreground is not None and self.background is not None:
            return LayerScene(self.foreground, self.background, self.at, self.scale, on_progress)
        assert self.composite is not None
        if self.mask is not None:
            return CompositeScene(self.composite, self.mask, on_progress)
        return LayeredScene(self.composite, layer, on_progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all pictures of a batch have in common, as in `gknet harmonize`.

    weights: `gknet.network.weights.compute_digest`.   network_size: None for the network's own.
    """

    model: str
    weights: str
    strength: float
    network_size: int | None
    clean_edges: bool
    layer: str | None

    def of(self, job: Job) -> dict[str, Any]:
        """Everything but the files' contents that decides what a job's output looks like, as JSON knows it."""
        return {**asdict(self), "at": list(job.at), "scale": job.scale}


@dataclass(frozen=True, slots=True)
class Stamp:
    """By which a file is known again: its size in bytes and when it was last written, nanoseconds."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp | None:
        """The file's, None if there is none."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime_ns)


State = Literal["written", "kept", "failed", "not reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job.

    state: "written" now; "kept" from an earlier run; "failed"; "not reached" when the batch was stopped.
    unfinished: where the result waits for its name, `written` what it is known by, `inputs` what its files were known
    by before they were read.   seconds: from reading to writing, without waiting.
    message, hint, traceback: of a failure.   notes: what of the files cannot be shown as it should.
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
        """Of a job that an error ended."""
        return cls(job=job, state="failed", message=error.message, hint=error.hint, seconds=seconds)
