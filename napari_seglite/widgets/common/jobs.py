"""The only place that knows threads: an engine generator -> progress, result or error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import nullcontext
from threading import Event
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QThreadPool, Signal
from superqt.utils import GeneratorWorker

from ...errors import Cancelled, SegliteError
from ...runtime import process

log = logging.getLogger(__name__)

Stop = Callable[[], bool]
# Segmenting while training needs two threads, and re-labelling a third.
THREADS = 4


class Job(QObject):
    """Runs a generator of the engine in a thread.

    Parameters
    ----------
    work : callable
        Called with two functions and returns the generator. The first returns True once the
        user stopped the job; the second once the window is closing and nothing matters any more.
    parent : QObject
        Whoever started it; when that goes, the job is stopped.
    runs_network : bool
        Whether a network runs in it, for which freed memory is kept.

    Signals
    -------
    progressed(object)
        What the generator yielded.
    succeeded(object)
        What it returned.
    failed(str)
        A sentence for the user. The traceback of anything unexpected goes to the log.
    ended()
        After any of these, and after a cancelled job.
    """

    progressed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(str)
    ended = Signal()

    def __init__(
        self,
        work: Callable[[Stop, Stop], Generator[Any, None, Any]],
        parent: QObject,
        runs_network: bool = False,
    ) -> None:
        super().__init__(parent)
        stop, gone = Event(), Event()
        self._stop = stop

        def aborted() -> bool:
            return bool(worker.abort_requested)

        steps = _guarded(work(stop.is_set, lambda: gone.is_set() or aborted()), runs_network)

        # A function with a name that reads well in napari's list of tasks.
        def seglite() -> Generator[Any, None, tuple[str, Any]]:
            return (yield from steps)

        pool = QThreadPool.globalInstance()
        assert pool is not None
        pool.setMaxThreadCount(max(THREADS, pool.maxThreadCount()))
        # superqt's own class, because napari's would show every error a second time.
        worker = create_worker(
            seglite, _worker_class=GeneratorWorker, _start_thread=False, _ignore_errors=True
        )
        self._worker = worker
        worker.yielded.connect(self.progressed)
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self.ended)
        # A worker that was aborted leaves its generator where it is, and what that holds.
        worker.finished.connect(steps.close)
        # The job must not keep its arrays alive once it is through.
        self.ended.connect(self.deleteLater)
        parent.destroyed.connect(lambda: gone.set())

    def start(self) -> None:
        """Begin."""
        process.share_main_arena()
        self._worker.start()

    def stop(self) -> None:
        """Ask the engine to stop; `ended` tells when it has."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def _on_returned(self, outcome: tuple[str, Any] | None) -> None:
        kind, value = outcome or ("cancelled", None)
        if kind == "succeeded":
            self.succeeded.emit(value)
        elif kind == "failed":
            self.failed.emit(value)


def _guarded(
    steps: Generator[Any, None, Any], runs_network: bool
) -> Generator[Any, None, tuple[str, Any]]:
    """Turn every way a job can end into a value.

    The worker would take a RuntimeError for a result, and torch raises those.
    """
    try:
        process.keep_triton_out()
        process.load_torch()
        with process.keep_freed_memory() if runs_network else nullcontext():
            return "succeeded", (yield from steps)
    except Cancelled:
        return "cancelled", None
    except SegliteError as error:
        return "failed", str(error)
    except MemoryError:
        return (
            "failed",
            "Not enough memory. Segment fewer slices at a time, or close other programs.",
        )
    except Exception as error:
        log.exception("A job failed")
        return "failed", f"Something unexpected went wrong: {error}. The log has the details."
