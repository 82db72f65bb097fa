"""The one thread that touches torch: it takes a job at a time and reports to the socket loop."""

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

from backend.server.requests import Harmonize, Pixels
from backend.thin import protocol
from backend.thin.protocol import BackendError
from gknet.errors import CancelledError, HarmonizeError

if TYPE_CHECKING:
    import numpy as np

    from gknet import Harmonizer
    from gknet.harmonizer import LayerFit

DEFAULT_MODEL = "gknet-s"

_log = logging.getLogger(__name__)

_BREATH_S = 0.05
"""Between two reports of progress within one stage."""
_ROOM = 256 * 2**20
"""Bytes that harmonizing takes beside the layer and its result."""
_UNSEEN = 2.0
"""Levels of 255: whoever sees a change smaller than this looks for it."""


@dataclass(eq=False, slots=True)
class Job:
    """A request on its way: who asked, what for, and whether anybody still wants it."""

    peer: bytes
    request: Harmonize
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Progress:
    """A job is at step `done` of `total` of a stage."""

    job: Job
    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Done:
    """A job's result: the new pixels, C-contiguous and little-endian, and what else the answer says."""

    job: Job
    pixels: np.ndarray
    fit: str
    timings: dict[str, float]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Failed:
    """A job ended without a result."""

    job: Job
    error: BackendError


Report = Progress | Done | Failed


class _Stages:
    """A job's progress: passed on now and then, timed, and the place where cancelling takes effect."""

    def __init__(self, job: Job, report: Callable[[Report], None]) -> None:
        self.milliseconds: dict[str, float] = {}
        self._job = job
        self._report = report
        self._stage = ""
        self._since = self._said = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Raises CancelledError if the job was cancelled."""
        if self._job.cancelled.is_set():
            raise CancelledError("The request was cancelled.")
        now = time.perf_counter()
        if stage != self._stage:
            self.end()
            self._stage, self._since = stage, now
        elif done < total and now - self._said < _BREATH_S:
            return
        self._said = now
        self._report(Progress(self._job, stage, done, total))

    def end(self) -> None:
        """The stage in hand is over."""
        if self._stage:
            taken = (time.perf_counter() - self._since) * 1e3
            self.milliseconds[self._stage] = self.milliseconds.get(self._stage, 0.0) + taken


def check_device(name: str) -> None:
    """Raises InputError if this machine has no such device. Loads torch unless the answer is plain."""
    if name in ("auto", "cpu"):
        return
    from gknet.network.device import choose_device

    choose_device(name)


class Worker(threading.Thread):
    """Loads the default model at once, then answers jobs until `stop`.

    report: called on this thread with every report; must return at once.
    """

    def __init__(self, device: str, report: Callable[[Report], None]) -> None:
        super().__init__(name="worker", daemon=True)
        self.device = device
        """As asked for, until torch has been loaded and chosen one."""
        self.ready = threading.Event()
        """Set when the default model is loaded, or cannot be."""
        self._report = report
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._models: dict[tuple[str, str], Harmonizer] = {}
        self._fits: OrderedDict[str, tuple[LayerFit, bytes | None]] = OrderedDict()

    @property
    def models_loaded(self) -> list[str]:
        """Names of the models in memory."""
        return sorted({name for name, _ in self._models.copy()})

    def give(self, job: Job) -> None:
        """Hands over a job; its last report is Done or Failed."""
        self._jobs.put(job)

    def stop(self) -> None:
        """Ends the thread after the job in hand."""
        self._jobs.put(None)

    def run(self) -> None:
        """The thread."""
        try:
            self._model(DEFAULT_MODEL, self.device)
        except Exception:
            _log.exception("the model %s cannot be loaded", DEFAULT_MODEL)
        self.ready.set()
        while (job := self._jobs.get()) is not None:
            self._report(self._answer(job))
            del job  # its pixels must not wait in memory for the next one
            _give_memory_back()

    def _answer(self, job: Job) -> Report:
        try:
            return self._harmonized(job)
        except BackendError as error:
            return Failed(job, error)
        except HarmonizeError as error:
            return Failed(job, BackendError(error.code, error.message, error.hint))
        except MemoryError:
            _log.warning("out of memory", extra={"request": job.request.id})
            return Failed(job, _out_of_memory())
        except Exception as error:
            # What torch's allocators say, of the processor's memory and of the graphics card's: RuntimeErrors both.
            if "can't allocate memory" in str(error) or "out of memory" in str(error).lower():
                return Failed(job, _out_of_memory())
            _log.exception("failed", extra={"request": job.request.id})
            hint = "Try again; if it stays so, the backend's log says more."
            return Failed(job, BackendError(protocol.INTERNAL, "The backend met a fault of its own.", hint))

    def _harmonized(self, job: Job) -> Done:
        import numpy as np

        request, stages, warnings = job.request, _Stages(job, self._report), list[str]()
        copies = 2 if request.clean_edges else 1  # the cleaned layer, and the result
        if psutil.virtual_memory().available < copies * len(request.layer.data) + _ROOM:
            raise MemoryError
        kept = None if request.fit is None else (request.fit, self._kept(request.fit, request.layer))
        layer = _array(request.layer)
        if request.clean_edges:
            from gknet.edges import cleaned

            layer = cleaned(layer, stages)
        selection = None
        if request.selection is not None:
            selection = np.frombuffer(request.selection, np.uint8).reshape(layer.shape[:2])
        name, fit = kept or self._fitted(request, layer, selection, stages, warnings)
        if fit.change < _UNSEEN:
            warnings.append("Hardly any change: the object fits already, as far as can be told.")
        changed = fit.apply(layer, selection=selection, strength=request.strength, on_progress=stages)
        stages.end()
        pixels = np.ascontiguousarray(changed, changed.dtype.newbyteorder("<"))
        return Done(job, pixels, name, stages.milliseconds, warnings)

    def _fitted(
        self,
        request: Harmonize,
        layer: np.ndarray,
        selection: np.ndarray | None,
        stages: _Stages,
        warnings: list[str],
    ) -> tuple[str, LayerFit]:
        """A new fit and its name; it is kept, and the oldest forgotten."""
        if selection is None and _is_opaque(layer):
            hint = "Erase the background around the object, or select the object."
            raise BackendError(protocol.NO_FOREGROUND, "The layer is opaque.", hint)
        assert request.reference is not None
        below = request.reference
        stages("load", 0, 1)
        reference = _array(below)

        from gknet.color.encoding import Encoding

        def fitted(device: str) -> LayerFit:
            return self._model(request.model or DEFAULT_MODEL, device).fit_layer(
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
            fit = fitted(self.device)
        except RuntimeError as error:  # CUDA's own kind, and what MPS raises
            if self.device == "cpu" or "out of memory" not in str(error).lower():
                raise
            _log.warning("%s is out of memory", self.device, extra={"request": request.id})
            warnings.append("The graphics card has too little free memory: the processor did the work, more slowly.")
            fit = fitted("cpu")
        name = secrets.token_hex(8)
        self._fits[name] = (fit, request.layer.profile)
        if len(self._fits) > protocol.KEPT_FITS:
            self._fits.popitem(last=False)
        return name, fit

    def _kept(self, name: str, layer: Pixels) -> LayerFit:
        """An earlier fit that suits the layer's colours."""
        if name not in self._fits:
            raise BackendError(
                protocol.UNKNOWN_FIT, "The backend does not keep this colour map any more.", "Send the reference again."
            )
        self._fits.move_to_end(name)
        fit, profile = self._fits[name]
        if layer.space != fit.space or (layer.profile is not None and layer.profile != profile):
            raise BackendError(
                protocol.BAD_REQUEST,
                "The colour map is one of other colours than the layer's.",
                "Send the reference again.",
            )
        return fit

    def _model(self, name: str, device: str) -> Harmonizer:
        """A model on a device, loaded when it is first used."""
        from gknet.harmonizer import Harmonizer
        from gknet.network import weights
        from gknet.network.device import choose_device

        if device == self.device:
            self.device = device = str(choose_device(device))
        if (name, device) not in self._models:
            # A shipped name, never a path: who may send pictures shall not have files opened.
            self._models[name, device] = Harmonizer.from_pretrained(weights.shipped(name), device)
            _log.info("loaded %s on %s", name, device)
        return self._models[name, device]


def _array(pixels: Pixels) -> np.ndarray:
    """(height, width, channels) of a picture's bytes, where they lie."""
    import numpy as np

    kind = np.dtype({"u8": "<u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}[pixels.depth])
    array = np.frombuffer(pixels.data, kind).reshape(pixels.height, pixels.width, pixels.channels)
    # A short frame may lie anywhere in libzmq's buffer; an array wants its numbers at multiples of their size.
    return np.require(array, kind.newbyteorder("="), "A")


def _is_opaque(layer: np.ndarray) -> bool:
    """Whether (h, w, C) has no alpha that is less than full anywhere."""
    if layer.shape[2] in (1, 3):
        return True
    full = 1 if layer.dtype.kind == "f" else (1 << 8 * layer.dtype.itemsize) - 1
    # Row by row: a cut-out shows itself in the first.
    return all((row >= full).all() for row in layer[..., -1])


def _give_memory_back() -> None:
    """Returns to the system what glibc keeps, in its threads' own heaps, of memory that is free: hundreds of MB."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def _out_of_memory() -> BackendError:
    return BackendError(
        protocol.OUT_OF_MEMORY, "There is not enough memory for this picture.", "Close other programs, or work smaller."
    )
