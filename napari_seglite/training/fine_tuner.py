"""From a request and annotated frames to a new checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import mean

import numpy as np

from ..checkpoints import CheckpointInfo, CheckpointStore
from ..errors import CheckpointError
from ..images import TrainingImage
from ..runtime import RandomState, Stop, devices, never
from .checkpointing import save_trained
from .events import Finished, Message, RunCallbacks, RunStatus, TrainingEvent
from .request import FineTuneRequest
from .saved_state import SavedState
from .splits import folds, split
from .start import (
    check_examples,
    compile_for_training,
    replay_examples,
    start_info,
    start_network,
    training_device,
)
from .trainer import Trainer, mean_weights
from .training_run import TrainingRun


class FineTuner:
    """Trains a checkpoint on annotated frames.

    It splits the frames, makes one `TrainingRun` or, with folds, several, and saves the result.

    Parameters
    ----------
    request : FineTuneRequest
        How to train.
    images : sequence of TrainingImage
        What to learn from, normalised as `start_info` says.
    store : CheckpointStore, optional
        Where checkpoints are read and written.
    template : CheckpointInfo, optional
        The card of a network that starts from scratch: its channels, classes and normalisation.

    Raises
    ------
    AnnotationError
        If there is nothing to learn from.
    CheckpointError
        If the starting point is missing or does not fit the frames, or the name is taken.

    Examples
    --------
    >>> tuner = FineTuner(FineTuneRequest("nuclei-s-net", "mine"), images)  # doctest: +SKIP
    >>> for event in tuner.run():  # doctest: +SKIP
    ...     print(event.text)
    """

    def __init__(
        self,
        request: FineTuneRequest,
        images: Sequence[TrainingImage],
        store: CheckpointStore | None = None,
        template: CheckpointInfo | None = None,
    ) -> None:
        self.request = request
        self.images = list(images)
        self.store = store or CheckpointStore()
        self.info = start_info(request, self.store, template)
        if self.info.id in {info.id for info in self.store.list()}:
            raise CheckpointError(
                f"There is a checkpoint {self.info.id} already. Choose another name."
            )
        if self.info.volumetric:
            raise CheckpointError(
                f"Checkpoint {self.info.id} sees volumes, and training learns from slices. Start "
                "from a checkpoint or an option of two dimensions."
            )
        check_examples(self.images, self.info)
        self._held_out: list[str] = []

    def run(
        self, stop: Stop = never, abort: Stop = never, callbacks: RunCallbacks | None = None
    ) -> Iterator[TrainingEvent]:
        """Train until the end or until stopped, and save the best weights as a new checkpoint.

        A run that was interrupted by a crash, or by `abort`, continues from its last saved state
        when it is started again with the same settings.

        Parameters
        ----------
        stop : callable
            Once it returns True, training ends after the current step, and what was learnt is
            scored and saved.
        abort : callable
            Once it returns True, `Cancelled` is raised and nothing is saved.
        callbacks : RunCallbacks, optional
            Into the program that watches.

        Yields
        ------
        TrainingEvent
            The last one is `Finished`.

        Raises
        ------
        DeviceError
            If there is no such device, or it has too little memory for a single patch.
        Cancelled
            If `abort` returned True.
        """
        callbacks = callbacks or RunCallbacks()
        yield self._message("Reading the checkpoint …")
        with training_device(self.request.device) as device:
            for text in compile_for_training(self.info.network, device):
                yield self._message(text)
            if self.request.validation.folds > 1:
                yield from self._cross_validate(device, stop, abort, callbacks)
            else:
                yield from self._run_once(device, stop, abort, callbacks)

    # ------------------------------------------------------------------ one run
    def _run_once(
        self, device: str, stop: Stop, abort: Stop, callbacks: RunCallbacks
    ) -> Iterator[TrainingEvent]:
        request, validation = self.request, self.request.validation
        seed = request.seed if validation.split_seed is None else validation.split_seed
        train, held_out = split(self.images, validation.held_out, np.random.default_rng(seed))
        self._held_out = [image.name for image in held_out]
        saved = self._saved_state()
        callbacks = replace(callbacks, new_examples=self._without_held_out(callbacks))
        trainer = self._trainer(device, request)
        run = TrainingRun(trainer, request, train, held_out, self._replayed, callbacks, saved)
        yield from run.run(stop, abort)
        saved.discard()
        yield self._finish(run, [run])

    def _without_held_out(
        self, callbacks: RunCallbacks
    ) -> Callable[[], Sequence[TrainingImage] | None]:
        """Return a callback that leaves out the frames that are held out."""

        def new_examples() -> Sequence[TrainingImage] | None:
            images = callbacks.new_examples()
            if images is None:
                return None
            self._take(images)
            return [image for image in images if image.name not in self._held_out] or None

        return new_examples

    def _take(self, images: Sequence[TrainingImage]) -> None:
        check_examples(images, self.info)
        self.images = list(images)

    # ------------------------------------------------------------------ cross-validation
    def _cross_validate(
        self, device: str, stop: Stop, abort: Stop, callbacks: RunCallbacks
    ) -> Iterator[TrainingEvent]:
        """Hold each fold out in turn, then continue on all frames from the mean of the weights."""
        request = self.request
        parts = folds(self.images, request.validation.folds, np.random.default_rng(request.seed))
        count = len(parts) + 1
        each = _shortened(request, count)
        # What is painted meanwhile must not teach a network that is scored on it; it joins the
        # last run.
        silent = replace(callbacks, new_examples=lambda: None)
        runs: list[TrainingRun] = []
        states = [self._saved_state(f".part{number}") for number in range(count)]
        for number, (train, held_out) in enumerate(parts):
            if runs and stop():
                break
            trainer = self._trainer(device, each)
            run = TrainingRun(
                trainer, each, train, held_out, self._replayed, silent, states[number]
            )
            for event in run.run(stop, abort):
                share = (number + event.status.share) / count
                text = f"Held-out part {number + 1} of {len(parts)}. {event.text}"
                yield replace(event, text=text, status=replace(event.status, share=share))
            run.save()
            del run.trainer, trainer  # as large as the next fold's
            runs.append(run)
        if stop():
            # There is no time to learn from everything: save the best of the runs.
            best = max(runs, key=lambda run: run.progress.best - run.progress.start)
            finished = self._finish(best, runs)
        else:
            last = self._last_run(device, each, runs, callbacks, states[-1])
            progress = last.progress
            useless = progress.best <= progress.start and request.validation.keep_best
            for event in last.run(lambda: useless or stop(), abort):
                share = (len(parts) + event.status.share) / count
                status = replace(event.status, share=share, best=progress.best)
                yield replace(event, status=status)
            finished = self._finish(last, [*runs, last])
        for state in states:
            state.discard()
        yield finished

    def _last_run(
        self,
        device: str,
        each: FineTuneRequest,
        runs: Sequence[TrainingRun],
        callbacks: RunCallbacks,
        saved: SavedState,
    ) -> TrainingRun:
        """Return the run on all frames, for as many steps as the others improved.

        It starts from the mean of the weights that the others ended with, which lie close to each
        other (model soup; Wortsman et al., 2022).
        """
        if (images := callbacks.new_examples()) is not None:
            self._take(images)
        start, best = (
            mean(getattr(run.progress, name) for run in runs) for name in ("start", "best")
        )
        useful = max(1, round(mean(run.progress.best_step for run in runs)))
        full = each.full_training and replace(each.full_training, steps=None)
        minutes = 2 * each.schedule.minutes
        final = each.adjusted(steps=useful, minutes=minutes, full_training=full)
        if each.needs_full_training(start):
            final = final.for_full_training()
        trainer = self._trainer(device, final)
        if best > start:
            trainer.load_weights(mean_weights([run.best_weights for run in runs]))
        last = TrainingRun(trainer, final, self.images, [], self._replayed, callbacks, saved)
        last.curves = runs[0].curves
        last.progress.start, last.progress.best = start, best
        return last

    # ------------------------------------------------------------------ helpers
    @cached_property
    def _replayed(self) -> list[TrainingImage]:
        return replay_examples(self.info, self.store) if self.request.retention.replay else []

    def _saved_state(self, part: str = "") -> SavedState:
        return SavedState(self.store.folder.parent / "training", self.request.name + part)

    def _trainer(self, device: str, request: FineTuneRequest) -> Trainer:
        random = RandomState(self.request.seed, device)
        with random.active():
            network = devices.place(start_network(self.info, self.store), device)
        return Trainer(network, self.info, request, device, random)

    def _finish(self, run: TrainingRun, runs: Sequence[TrainingRun]) -> Finished:
        """Save the weights of a run; steps and seconds are those of all runs together."""
        start, best = run.progress.start, run.progress.best
        steps = sum(each.progress.step for each in runs)
        seconds = sum(each.progress.seconds for each in runs)
        info = save_trained(
            self.store,
            self.info,
            self.request,
            run,
            self.images,
            {"validation_dice_before": start, "validation_dice": best},
            {"steps_done": steps, "seconds": round(seconds, 1), "held_out": self._held_out},
        )
        if best > start or not self.request.validation.keep_best:
            text = f"Saved {info.id}: Dice {start:.3f} before, {best:.3f} now, in {seconds:.0f} s."
        else:
            text = (
                f"Training did not improve on Dice {start:.3f}, so {info.id} keeps the weights it "
                "started from. Correct more slices, or train longer."
            )
        return Finished(text, RunStatus(steps, steps, 1.0, best), info, start, best)

    def _message(self, text: str) -> Message:
        return Message(text, RunStatus(steps=self.request.schedule.steps))


def _shortened(request: FineTuneRequest, count: int) -> FineTuneRequest:
    """Return a request with an equal part of the steps and of the time."""
    schedule, full = request.schedule, request.full_training
    if full is not None and full.steps:
        full = replace(full, steps=max(1, full.steps // count))
    return request.adjusted(
        steps=max(1, schedule.steps // count),
        minutes=schedule.minutes / count,
        full_training=full,
    )
