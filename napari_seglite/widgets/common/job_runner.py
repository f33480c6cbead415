"""A panel's job: its buttons, its status and the way it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QPushButton

from .jobs import Job, Work
from .status import JobStatus

State = Literal["idle", "running", "stopping"]


def _ignore(_: Any) -> None:
    pass


class JobRunner(QObject):
    """Runs one job at a time for a panel.

    Parameters
    ----------
    panel : QObject
        The owner, such as a panel.
    status : JobStatus, optional
        Shows progress, errors and the end of a job.
    start_button, stop_button : QPushButton, optional
        Enabled while a job can be started or stopped. A click on the second one stops the job.
    ready : callable
        Whether a job can be started, such as whether layers are chosen. Call `refresh` when the
        answer changes.
    runs_network : bool
        Whether a network runs in the jobs, so that freed memory is kept for it.
    stopping_text, stopped_text : str
        Shown when the user stops a job, and when it has ended without a result.
    keeps_partial : bool
        Whether a job that was stopped has a result all the same; otherwise it is dropped.

    Signals
    -------
    changed()
        `state` changed.
    progressed(object)
        A value that the job yielded, after its own handler has seen it.
    """

    changed = Signal()
    progressed = Signal(object)

    def __init__(
        self,
        panel: QObject,
        status: JobStatus | None = None,
        start_button: QPushButton | None = None,
        stop_button: QPushButton | None = None,
        *,
        ready: Callable[[], bool] = lambda: True,
        runs_network: bool = False,
        stopping_text: str = "Cancelling …",
        stopped_text: str = "Cancelled.",
        keeps_partial: bool = False,
    ) -> None:
        super().__init__(panel)
        self._status, self._start_button, self._stop_button = status, start_button, stop_button
        self._ready, self._runs_network, self._keeps_partial = ready, runs_network, keeps_partial
        self._stopping_text, self._stopped_text = stopping_text, stopped_text
        self._state: State = "idle"
        self._job: Job | None = None
        if stop_button is not None:
            stop_button.clicked.connect(self.stop)
            stop_button.setEnabled(False)

    # ------------------------------------------------------------------ state
    @property
    def state(self) -> State:
        """Whether a job runs, or is about to end because the user stopped it."""
        return self._state

    @property
    def busy(self) -> bool:
        """Whether a job runs or is about to end."""
        return self._state != "idle"

    def refresh(self) -> None:
        """Enable the buttons that can be clicked now."""
        if self._start_button is not None:
            self._start_button.setEnabled(not self.busy and self._ready())
        if self._stop_button is not None:
            self._stop_button.setEnabled(self._state == "running")

    def _enter(self, state: State) -> None:
        self._state = state
        self.refresh()
        self.changed.emit()

    # ------------------------------------------------------------------ what happens
    def start(
        self,
        work: Work,
        *,
        progressed: Callable[[Any], None] = _ignore,
        succeeded: Callable[[Any], None] = _ignore,
        failed: Callable[[str], None] | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Start a job. One that still runs is stopped, and its outcome ignored.

        Parameters
        ----------
        work : callable
            Called with a `StopSignal`; returns the generator that a thread runs.
        progressed, succeeded : callable
            Called with every value that it yields, and with the one that it returns.
        failed : callable, optional
            Called with a sentence for the user; by default the status shows it.
        ended : callable
            Called last, whatever the outcome, when the state is idle again.
        """
        if self._job is not None:
            self._job.stop()
        job = self._job = Job(work, self, self._runs_network)
        delivered = False

        def on_progress(value: Any) -> None:
            if job is self._job:
                progressed(value)
                self.progressed.emit(value)

        def on_success(value: Any) -> None:
            nonlocal delivered
            if job is self._job and (self._state == "running" or self._keeps_partial):
                delivered = True
                succeeded(value)

        def on_failure(text: str) -> None:
            nonlocal delivered
            if job is self._job:
                delivered = True
                (failed or self._show_error)(text)

        def on_end() -> None:
            if job is self._job:
                self._on_end(delivered)
                ended()

        job.progressed.connect(on_progress)
        job.succeeded.connect(on_success)
        job.failed.connect(on_failure)
        job.ended.connect(on_end)
        if self._status is not None:
            self._status.start()
        self._enter("running")
        job.start()

    def stop(self) -> None:
        """Ask the job to end."""
        if self._job is not None and self._state == "running":
            self._job.stop()
            if self._status is not None:
                self._status.say(self._stopping_text)
            self._enter("stopping")

    def abandon(self) -> None:
        """End the job, whose outcome nobody waits for any more."""
        if self._job is not None:
            self._job.close()
            self._job = None
            if self._status is not None:
                self._status.rest()
            self._enter("idle")

    def show(self, text: str, done: int | None = None, total: int = 1) -> None:
        """Show progress, unless the user stopped the job.

        Parameters
        ----------
        text : str
            What the job does.
        done, total : int
            How much of it is done; without them the bar stays as it is.
        """
        if self._status is not None and self._state == "running":
            self._status.say(text)
            if done is not None:
                self._status.advance(done, total)

    def _show_error(self, text: str) -> None:
        if self._status is not None:
            self._status.say(text, error=True)

    def _on_end(self, delivered: bool) -> None:
        stopped = self._state == "stopping"
        self._job = None
        if self._status is not None:
            self._status.rest()
            if stopped and not delivered:
                self._status.say(self._stopped_text)
        self._enter("idle")
