"""From a request and annotated frames to a new checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np

from ..checkpoints import CheckpointInfo, CheckpointStore
from ..errors import Cancelled, CheckpointError
from ..images import TrainingImage
from ..runtime import Stop, devices, never
from .checkpointing import save_trained
from .events import Finished, Message, RunCallbacks, RunStatus, StepDone, TrainingEvent
from .pace import ONLY, Pace, Part, WorkClock
from .request import FineTuneRequest
from .saved_state import SavedState
from .splits import folds, split
from .start import (
    StartingPoint,
    check_examples,
    compile_for_training,
    read_start,
    start_info,
    training_device,
)
from .team import Team
from .texts import ended_text, few_text, saved_text, too_few, unsaved_text, unwritten_text
from .trainer import mean_weights
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

    team : Team, optional
        Processes that compute the gradients of each step together, see `team`; the request's
        device has to be the leader's.

    Raises
    ------
    AnnotationError
        If there is nothing to learn from.
    CheckpointError
        If the starting point is missing or does not fit the frames, the name is taken, or the
        store cannot be written.

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
        team: Team | None = None,
    ) -> None:
        self.request, self._team = request, team
        self.images = list(images)
        self.store = store or CheckpointStore()
        self.info = start_info(request, self.store, template)
        self.store.check_name(self.info.id)
        self.store.check_writable(self.info.id)
        check_examples(self.images, self.info)
        self._held_out: list[str] = []
        self._start: StartingPoint
        self._states: list[SavedState] = []
        self._pace: Pace
        self._device = ""

    def run(
        self, stop: Stop = never, abort: Stop = never, callbacks: RunCallbacks | None = None
    ) -> Iterator[TrainingEvent]:
        """Train until the end or until stopped, and save the best weights as a new checkpoint.

        A run that was interrupted by a crash, by `abort`, or because its checkpoint could not be
        written, continues from its last saved state when it is started again with the same
        settings. On a CPU, steps and weights are then those of a run that was not interrupted.

        Parameters
        ----------
        stop : callable
            Once it returns True, training ends within about a second, and what was learnt is
            saved.
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
        CheckpointError
            If the starting point cannot be read or the new checkpoint cannot be written.
        DeviceError
            If there is no such device, or it has too little memory for a single patch.
        Cancelled
            If `abort` returned True, or `stop` before there was anything to save.
        """
        callbacks = callbacks or RunCallbacks()
        # While another device works, the thread waits.
        if callbacks.clock is time.monotonic and devices.resolve(self.request.device) == "cpu":
            callbacks = replace(callbacks, clock=WorkClock())
        self._pace = Pace(self.request.schedule.minutes, callbacks.clock, callbacks.begun)
        yield self._message("Reading the checkpoint …")
        with training_device(self.request.device) as self._device:
            compiling = compile_for_training(
                self.info.network, self._device, lambda: stop() or abort()
            )
            for text in compiling:
                yield self._message(text)
            self._start = read_start(self.info, self.store, self.request.seed, self._device)
            if self._start.warning:
                yield self._message(self._start.warning)
            if self.request.validation.folds > 1:
                yield from self._cross_validate(stop, abort, callbacks)
            else:
                yield from self._run_once(stop, abort, callbacks)

    # ------------------------------------------------------------------ one run
    def _run_once(
        self, stop: Stop, abort: Stop, callbacks: RunCallbacks
    ) -> Iterator[TrainingEvent]:
        (saved,) = self._saved_states("")
        train, held_out = self._split(saved.held_out(self.request))
        self._held_out = [image.name for image in held_out]
        callbacks = replace(callbacks, new_examples=self._without_held_out(callbacks))
        run = self._training_run(self.request, train, held_out, callbacks, saved)
        yield from run.run(stop, abort)
        yield from self._finish(run, [run], stop)

    def _split(self, names: Sequence[str]) -> tuple[list[TrainingImage], list[TrainingImage]]:
        """Hold out the frames that an interrupted run held out; else choose some."""
        before = [image for image in self.images if image.name in names]
        if names and len(before) == len(names) < len(self.images):
            return [image for image in self.images if image.name not in names], before
        validation = self.request.validation
        seed = self.request.seed if validation.split_seed is None else validation.split_seed
        return split(self.images, validation.held_out, np.random.default_rng(seed))

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
        self, stop: Stop, abort: Stop, callbacks: RunCallbacks
    ) -> Iterator[TrainingEvent]:
        """Hold each fold out in turn, then continue on all frames from the mean of the weights."""
        parts = folds(
            self.images, self.request.validation.folds, np.random.default_rng(self.request.seed)
        )
        count = len(parts) + 1
        each = _shortened(self.request, count)
        # What is painted meanwhile must not teach a network that is scored on it; it joins the
        # last run.
        silent = replace(callbacks, new_examples=lambda: None)
        runs: list[TrainingRun] = []
        states = self._saved_states(*(f".part{number}" for number in range(count)))
        for number, (train, held_out) in enumerate(parts):
            if runs and stop():
                break
            name = f"part {number + 1} of {len(parts)}"
            later = count - number - 1
            part = Part(name, _steps(runs), scored_later=later - 1, later=later)
            run = self._training_run(each, train, held_out, silent, states[number], runs, part)
            try:
                for event in run.run(stop, abort):
                    said = "" if isinstance(event, StepDone) else f"Held-out {name}. "
                    yield replace(event, text=f"{said}{event.text}")
            except Cancelled:  # before this part had a score
                if abort() or not runs:
                    raise
                break
            runs.append(run)
            if stop():
                break
            yield from run.keep()
            run.rest()
        if stop():
            # There is no time to learn from everything: save the best of the runs.
            best = max(runs, key=lambda run: np.nan_to_num(run.dice[1] - run.dice[0]))
            yield from self._finish(best, runs, stop)
            return
        last = self._last_run(each, runs, callbacks, states[-1])
        progress = last.progress
        useless = progress.best <= progress.start and self.request.validation.keep_best
        for event in last.run(lambda: useless or stop(), abort):
            yield replace(event, status=replace(event.status, best=progress.best))
        yield from self._finish(last, [*runs, last], stop)

    def _last_run(
        self,
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
        start, best, start_f1, best_f1 = (
            mean(getattr(run.progress, name) for run in runs)
            for name in ("start", "best", "start_f1", "best_f1")
        )
        useful = max(1, round(mean(run.progress.best_step for run in runs)))
        full = each.full_training and replace(each.full_training, steps=None)
        final = each.adjusted(steps=useful, full_training=full)
        if each.needs_full_training(start):
            final = final.for_full_training()
        part = Part("all parts", _steps(runs))
        last = self._training_run(final, self.images, [], callbacks, saved, runs, part)
        reading = [run for run in runs if run.info.options != self.info.options]
        if best > start and reading:
            # Perceptrons of two runs do not lie close to each other.
            last.trainer.read_pixels()
            taken = max(reading, key=lambda run: run.progress.best - run.progress.start)
            last.trainer.load_weights(taken.best_weights)
        elif best > start:
            last.trainer.load_weights(mean_weights([run.best_weights for run in runs]))
        last.progress.start, last.progress.best = start, best
        last.progress.start_f1, last.progress.best_f1 = start_f1, best_f1
        return last

    # ------------------------------------------------------------------ helpers
    def _saved_states(self, *suffixes: str) -> list[SavedState]:
        folder, name = self.store.folder.parent / "training", self.request.name
        self._states = [SavedState(folder, name + suffix) for suffix in suffixes]
        return self._states

    def _training_run(
        self,
        request: FineTuneRequest,
        train: Sequence[TrainingImage],
        held_out: Sequence[TrainingImage],
        callbacks: RunCallbacks,
        saved: SavedState,
        earlier: Sequence[TrainingRun] = (),
        part: Part = ONLY,
    ) -> TrainingRun:
        trainer = self._start.trainer(self.info, request, self._device)
        trainer.team = self._team
        replayed = self._start.replayed if self.request.retention.replay else []
        run = TrainingRun(
            trainer, request, train, held_out, replayed, callbacks, saved, self._pace, part
        )
        run.unsaved = any(each.unsaved for each in earlier)
        return run

    def _finish(
        self, run: TrainingRun, runs: Sequence[TrainingRun], stop: Stop
    ) -> Iterator[TrainingEvent]:
        """Write the weights of a run; steps and seconds are those of all runs together."""
        before, after = run.dice
        steps, seconds = _steps(runs), self._pace.elapsed
        best = None if math.isnan(after) else after
        status = RunStatus(steps, steps, 1.0, best, seconds=seconds)
        scored = {} if math.isnan(after) else {"before": before, "after": after}
        validation, (ended, few) = self.request.validation, self._ended(runs)
        note = f"{run.haste} {ended}".strip()
        progress = run.progress
        first = progress.best_step == 0 if run.held_out else not after > before
        first = first and not progress.answered
        copied = validation.keep_best and first  # the best weights are those it started with
        useless = copied and self.info.parent is not None and not validation.keep_unimproved
        if not (steps or progress.answered) or useless:
            self._discard_states()
            note = f"{note} {few_text(False)}" if few and steps else note
            text = f"{unsaved_text(before, steps)} {note}".strip()
            yield Finished(text, status, None, note=note, too_few=few, **scored)
            return
        if not stop():
            yield from run.keep()
        numbers = {"steps_done": steps, "seconds": round(seconds, 1), "held_out": self._held_out}
        info = self._write(run, runs, scored, numbers, copied)
        self._discard_states()
        seconds = self._pace.elapsed
        status = replace(status, seconds=seconds)
        note = f"{note} {few_text(not copied)}" if few and steps else note
        if info.id != self.request.name:
            note = f"{note} The name {self.request.name} was taken meanwhile.".strip()
        text = f"{saved_text(info.id, before, after, seconds, copied)} {note}".strip()
        yield Finished(text, status, info, note=note, too_few=few, **scored)

    def _write(
        self,
        run: TrainingRun,
        runs: Sequence[TrainingRun],
        scored: dict[str, float],
        numbers: dict[str, Any],
        copied: bool,
    ) -> CheckpointInfo:
        """Write the checkpoint; if that fails, the state of the last run is there to go on from."""
        names = {"before": "validation_dice_before", "after": "validation_dice"}
        scores = {names[when]: dice for when, dice in scored.items()}
        start, store, request = self._start, self.store, self.request
        if scored and self.info.head:
            progress = run.progress
            scores |= {
                "validation_f1_before": progress.start_f1,
                "validation_f1": progress.best_f1,
            }
        parts = {each.part.name: each.curves for each in runs if each is not run}
        try:
            return save_trained(
                store,
                run.info,
                request,
                run,
                self.images,
                start.replayed,
                scores,
                numbers,
                parts,
                copied,
            )
        except (OSError, CheckpointError) as error:
            with suppress(OSError):
                runs[-1].save()
            continues = any(state.path.exists() for state in self._states)
            text = unwritten_text(request.name, store.folder, error, continues)
            raise CheckpointError(text) from error

    def _discard_states(self) -> None:
        for state in self._states:
            state.discard()

    def _message(self, text: str) -> Message:
        steps = self.request.schedule.steps
        return Message(text, RunStatus(steps=steps, share=self._pace.share(None)))

    def _ended(self, runs: Sequence[TrainingRun]) -> tuple[str, bool]:
        """Return a sentence about steps that were planned and not made, and if too few were."""
        counted = [run for run in runs if run.held_out or run.progress.step]
        planned = sum(run.used.schedule.steps for run in counted)
        endings = [run.progress.ended for run in counted]
        made = _steps(runs)
        text = ended_text(endings, made, planned, self.request.schedule.minutes)
        return text, too_few(endings, made, planned)


def _steps(runs: Sequence[TrainingRun]) -> int:
    return sum(run.progress.step for run in runs)


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
