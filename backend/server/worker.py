"""The only thread that uses torch. It runs one job at a time and reports to the socket loop."""

from __future__ import annotations

import ctypes
import logging
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

import psutil

from backend.errors import InternalError, OutOfMemoryError, UnknownFitError
from backend.server.requests import Harmonize, Pixels
from backend.thin import protocol
from gknet.errors import CancelledError, HarmonizeError, InputError, NoForegroundError
from gknet.transfer.trims import NO_TRIMS

if TYPE_CHECKING:
    import numpy as np

    from gknet import Harmonizer
    from gknet.fits import LayerFit

DEFAULT_MODEL = "gknet-s"

_log = logging.getLogger(__name__)

_REPORT_EVERY_S = 0.05
"""Minimum interval between progress reports within one stage."""
_WORKING_BYTES = 256 * 2**20
"""Bytes that harmonizing needs in addition to the layer and its result."""
_SMALLEST_CHANGE = 2.0
"""Smallest visible change, in levels of 255."""


@dataclass(eq=False, slots=True)
class Job:
    """A client's request, and whether it was cancelled."""

    peer: bytes
    request: Harmonize
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a job: `done` of `total` steps of a stage."""

    job: Job
    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Result:
    """A job's result: the new pixels, C-contiguous and little-endian, and the other fields of the answer.

    variants: the probability of each variant of the fit.
    """

    job: Job
    pixels: np.ndarray
    fit: str
    variants: list[float]
    timings: dict[str, float]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that ended without a result."""

    job: Job
    error: HarmonizeError


Report = Progress | Result | Failure


class _Stages:
    """A job's stages: times them, reports progress at intervals, and stops a cancelled job."""

    def __init__(self, job: Job, report: Callable[[Report], None]) -> None:
        self.milliseconds: dict[str, float] = {}
        self._job = job
        self._report = report
        self._stage = ""
        self._since = self._reported = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report progress. Raise CancelledError if the job was cancelled."""
        if self._job.cancelled.is_set():
            raise CancelledError("The request was cancelled.")
        now = time.perf_counter()
        if stage != self._stage:
            self.end()
            self._stage, self._since = stage, now
        elif done < total and now - self._reported < _REPORT_EVERY_S:
            return
        self._reported = now
        self._report(Progress(self._job, stage, done, total))

    def end(self) -> None:
        """End the current stage."""
        if self._stage:
            milliseconds = (time.perf_counter() - self._since) * 1e3
            self.milliseconds[self._stage] = self.milliseconds.get(self._stage, 0.0) + milliseconds


def check_device(name: str) -> None:
    """Raise InputError if this machine has no such device. Load torch only if necessary."""
    if name in ("auto", "cpu"):
        return
    from gknet.network.device import choose_device

    choose_device(name)


class Worker(threading.Thread):
    """A thread that loads the default model, then runs jobs until `stop`.

    report: called on this thread with every report; it must return at once.
    """

    def __init__(self, device: str, report: Callable[[Report], None]) -> None:
        super().__init__(name="worker", daemon=True)
        self.device = device
        """The requested device, then the chosen one once torch is loaded."""
        self.ready = threading.Event()
        """Set when the default model has been loaded or has failed to load."""
        self._report = report
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._models: dict[tuple[str, str], Harmonizer] = {}
        self._fits: OrderedDict[str, tuple[LayerFit, bytes | None]] = OrderedDict()

    @property
    def models_loaded(self) -> list[str]:
        """Names of the models in memory."""
        return sorted({name for name, _ in self._models.copy()})

    def submit(self, job: Job) -> None:
        """Queue a job. Its last report is a Result or a Failure."""
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread after the current job."""
        self._jobs.put(None)

    def run(self) -> None:
        """Run jobs until `stop`. Called by `start`."""
        try:
            self._load_model(DEFAULT_MODEL, self.device)
        except Exception:
            _log.exception("the model %s cannot be loaded", DEFAULT_MODEL)
        self.ready.set()
        while (job := self._jobs.get()) is not None:
            self._report(self._run_job(job))
            del job  # don't keep its pixels in memory until the next one
            _release_memory()

    def _run_job(self, job: Job) -> Report:
        try:
            return self._harmonize(job)
        except HarmonizeError as error:
            return Failure(job, error)
        except Exception as error:
            # torch raises RuntimeError when it runs out of memory, on the CPU and on the GPU.
            says_so = "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
            if says_so or isinstance(error, MemoryError):
                _log.warning("out of memory", extra={"request": job.request.id})
                return Failure(job, _make_memory_error())
            _log.exception("failed", extra={"request": job.request.id})
            hint = "Try again. If it fails again, see the backend's log."
            return Failure(job, InternalError("An unexpected error occurred in the backend.", hint))

    def _harmonize(self, job: Job) -> Result:
        import numpy as np

        request, stages, warnings = job.request, _Stages(job, self._report), list[str]()
        copies = 2 if request.clean_edges else 1  # the cleaned layer, and the result
        if psutil.virtual_memory().available < copies * len(request.layer.data) + _WORKING_BYTES:
            raise _make_memory_error()
        earlier = None if request.fit is None else (request.fit, self._find_fit(request.fit, request.layer))
        layer = _view_as_array(request.layer)
        if request.clean_edges:
            from gknet.edges import clean_edges

            layer = clean_edges(layer, stages)
        selection = None
        if request.selection is not None:
            selection = np.frombuffer(request.selection, np.uint8).reshape(layer.shape[:2])
        name, fit = earlier or self._fit_layer(request, layer, selection, stages, warnings)
        if fit.change < _SMALLEST_CHANGE and request.variant == 1 and request.trims == NO_TRIMS:
            warnings.append("Hardly any change: the object already seems to fit.")
        changed = fit.apply(
            layer,
            selection=selection,
            strength=request.strength,
            variant=request.variant,
            trims=request.trims,
            on_progress=stages,
        )
        stages.end()
        pixels = np.ascontiguousarray(changed, changed.dtype.newbyteorder("<"))
        probabilities = [variant.probability for variant in fit.variants]
        return Result(job, pixels, name, probabilities, stages.milliseconds, warnings)

    def _fit_layer(
        self,
        request: Harmonize,
        layer: np.ndarray,
        selection: np.ndarray | None,
        stages: _Stages,
        warnings: list[str],
    ) -> tuple[str, LayerFit]:
        """Return a new fit of the layer and its name. Store it in place of the oldest."""
        from gknet.color.encoding import Encoding

        if selection is None and _is_opaque(layer):
            raise NoForegroundError(
                "The layer is fully opaque.", "Erase the background around the object, or select the object."
            )
        assert request.reference is not None
        below = request.reference
        stages("load", 0, 1)
        reference = _view_as_array(below)

        def fit_on(device: str) -> LayerFit:
            return self._load_model(request.model or DEFAULT_MODEL, device).fit_layer(
                layer,
                reference,
                at=request.at,
                canvas=request.canvas,
                selection=selection,
                opacity=request.opacity,
                network_size=request.network_size,
                encoding=Encoding(request.layer.space, request.layer.profile),
                reference_encoding=Encoding(below.space, below.profile),
                on_progress=stages,
            )

        try:
            fit = fit_on(self.device)
        except RuntimeError as error:  # CUDA raises a subclass, MPS this one
            if self.device == "cpu" or "out of memory" not in str(error).lower():
                raise
            _log.warning("%s is out of memory", self.device, extra={"request": request.id})
            warnings.append("The GPU has too little free memory, so the CPU did the work more slowly.")
            fit = fit_on("cpu")
        name = secrets.token_hex(8)
        self._fits[name] = (fit, request.layer.profile)
        if len(self._fits) > protocol.KEPT_FITS:
            self._fits.popitem(last=False)
        return name, fit

    def _find_fit(self, name: str, layer: Pixels) -> LayerFit:
        """Return an earlier fit. Raise UnknownFitError, or InputError if its encoding is not the layer's."""
        if name not in self._fits:
            raise UnknownFitError("The backend no longer stores this fit.", "Send the reference again.")
        self._fits.move_to_end(name)
        fit, profile = self._fits[name]
        if layer.space != fit.space or (layer.profile is not None and layer.profile != profile):
            raise InputError(
                "The fit was made for a different colour space or profile than the layer's.",
                "Send the reference again.",
            )
        return fit

    def _load_model(self, name: str, device: str) -> Harmonizer:
        """Return a model on a device. Load it on first use."""
        from gknet.harmonizer import Harmonizer
        from gknet.network import weights
        from gknet.network.device import choose_device

        if device == self.device:
            self.device = device = str(choose_device(device))
        if (name, device) not in self._models:
            # Only shipped names, never paths: clients must not make the backend open files.
            self._models[name, device] = Harmonizer.from_pretrained(weights.find_shipped(name), device)
            _log.info("loaded %s on %s", name, device)
        return self._models[name, device]


def _view_as_array(pixels: Pixels) -> np.ndarray:
    """Return an image's bytes as an array (height, width, channels). Copy them only if they are not aligned."""
    import numpy as np

    kind = np.dtype(f"<{pixels.depth[0]}{protocol.DEPTHS[pixels.depth]}")
    array = np.frombuffer(pixels.data, kind).reshape(pixels.height, pixels.width, pixels.channels)
    # A short frame may start anywhere in libzmq's buffer, but an array needs aligned numbers.
    return np.require(array, kind.newbyteorder("="), "A")


def _is_opaque(layer: np.ndarray) -> bool:
    """Return whether every pixel of (h, w, C) is fully opaque."""
    from gknet.color.encoding import full_value

    # Row by row: in a cut-out, the first row already decides.
    return layer.shape[2] in (1, 3) or all((row >= full_value(layer.dtype)).all() for row in layer[..., -1])


def _release_memory() -> None:
    """Return freed memory to the system. Otherwise glibc keeps hundreds of MB in its threads' heaps."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def _make_memory_error() -> OutOfMemoryError:
    return OutOfMemoryError(
        "There is not enough memory for this image.", "Close other programs, or use a smaller image."
    )
