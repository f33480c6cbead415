"""The only module that knows threads: runs an engine generator and signals its outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import nullcontext
from threading import Event
from typing import Any, TypeVar

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QThreadPool, Signal
from superqt.utils import GeneratorWorker

from ...errors import Cancelled, SegliteError
from ...runtime import Stop, process, wait_for

log = logging.getLogger(__name__)

# Segmenting while training needs two threads, relabelling a third, measuring a fourth.
THREADS = 4


class StopSignal:
    """Tells a generator, in its thread, whether it should end.

    Call it to learn whether there is any reason to end. Work that ends differently when the user
    stops it than when its window closes asks `requested` and `closing` instead.

    Parameters
    ----------
    aborted : callable
        Whether napari, which is about to close, aborted all threads.
    """

    def __init__(self, aborted: Callable[[], bool]) -> None:
        self._requested, self._closed, self._aborted = Event(), Event(), aborted

    def __call__(self) -> bool:
        """Whether the work should end for any reason."""
        return self.requested() or self.closing()

    def requested(self) -> bool:
        """Whether the user stopped the job."""
        return self._requested.is_set()

    def closing(self) -> bool:
        """Whether the window closes, so that no result is needed any more."""
        return self._closed.is_set() or self._aborted()

    def request(self) -> None:
        """Stop the job for the user."""
        self._requested.set()

    def close(self) -> None:
        """End the job with its window."""
        self._closed.set()


Value = TypeVar("Value")
Work = Callable[[StopSignal], Generator[Any, None, Any]]


class Job(QObject):
    """Runs a generator of the engine in a thread.

    Parameters
    ----------
    work : callable
        Called with a `StopSignal`; returns the generator.
    parent : QObject
        The owner; the job is stopped when it is destroyed.
    runs_network : bool
        Whether a network runs in the job, so that freed memory is kept for it.

    Signals
    -------
    progressed(object)
        A value that the generator yielded.
    succeeded(object)
        The value that it returned.
    failed(str)
        A sentence for the user. The traceback of an unexpected error goes to the log.
    ended()
        After any of these, and after a cancelled job.
    """

    progressed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(str)
    ended = Signal()

    def __init__(self, work: Work, parent: QObject, runs_network: bool = False) -> None:
        super().__init__(parent)
        self._stop = stop = StopSignal(lambda: bool(worker.abort_requested))
        steps = _guarded(work(stop), stop, runs_network)

        # napari's list of tasks shows the name of this function.
        def seglite() -> Generator[Any, None, tuple[str, Any]]:
            return (yield from steps)

        # superqt's own class, because napari's would show every error a second time.
        worker = create_worker(
            seglite, _worker_class=GeneratorWorker, _start_thread=False, _ignore_errors=True
        )
        self._worker = worker
        worker.yielded.connect(self.progressed)
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self.ended)
        # An aborted worker does not close its generator, which may hold large arrays.
        worker.finished.connect(steps.close)
        # The job must not keep its arrays alive after its end.
        self.ended.connect(self.deleteLater)
        # A method, which Qt's bindings refer to weakly. A function with variables may be emptied by
        # garbage collection in another thread before the parent is destroyed; the call crashes.
        parent.destroyed.connect(stop.close)

    def start(self) -> None:
        """Begin."""
        process.share_main_arena()
        self._worker.start()

    def stop(self) -> None:
        """Ask the generator to end; `ended` tells when it has."""
        self._stop.request()

    def close(self) -> None:
        """End the generator as at the end of the program: nobody waits for its outcome."""
        self._stop.close()

    def _on_returned(self, outcome: tuple[str, Any] | None) -> None:
        kind, value = outcome or ("cancelled", None)
        if kind == "succeeded":
            self.succeeded.emit(value)
        elif kind == "failed":
            self.failed.emit(value)


def last_of(steps: Iterable[Value]) -> Generator[Value, None, Value]:
    """Yield all values and return the last one, the complete result of many engine functions."""
    for step in steps:
        yield step
    return step


def allow_parallel_jobs() -> None:
    """Let `THREADS` jobs run at once, on computers with fewer processors too.

    This changes the process's own thread pool, so only the application calls it.
    """
    pool = QThreadPool.globalInstance()
    assert pool is not None
    pool.setMaxThreadCount(max(THREADS, pool.maxThreadCount()))


def _guarded(
    steps: Generator[Any, None, Any], stop: Stop, runs_network: bool
) -> Generator[Any, None, tuple[str, Any]]:
    """Turn every way a job can end into a value.

    The worker would take a RuntimeError for a result, and torch raises those.
    """
    try:
        process.keep_triton_out()
        wait_for(process.load_torch, stop)  # which takes seconds the first time
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
    except GeneratorExit:  # closed by its worker, which then waits for no outcome
        raise
    except BaseException as error:  # SystemExit and the like would end the thread without a word
        log.exception("A job failed")
        reason = str(error) if isinstance(error, Exception) else repr(error)
        return "failed", f"Something unexpected went wrong: {reason}. The log has the details."
    finally:
        process.unshare_main_arena()
