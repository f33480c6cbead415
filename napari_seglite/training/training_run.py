"""One training run: steps and scores until it ends, and recovery from the usual failures."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from ..errors import Cancelled, DeviceError
from ..images import TrainingImage
from ..inference import predict_frame
from ..runtime import Stop, devices, interruptible
from .events import (
    Message,
    Previewed,
    RunCallbacks,
    RunStatus,
    StepDone,
    TrainingEvent,
    Validated,
)
from .examples import digest
from .first_answer import fit_first_answer
from .held_out import HeldOut
from .pace import ONLY, Pace, Part, Work
from .progress import Curves, Ending, Progress
from .request import FineTuneRequest
from .run_state import go_on, pack
from .sampling import make_sampler
from .texts import haste_text, progress_text
from .trainer import Trainer, copy_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..checkpoints import CheckpointInfo
    from .saved_state import SavedState

# Seconds between two saved states; a crash costs no more than that.
SAVE_EVERY = 20.0
# A gain in held-out Dice that may be chance: a few frames are scored, and a good start was
# trained on many.
LEAST_GAIN = 0.005
# Retries after a loss that is not finite before the run ends.
MOST_RETRIES = 3


class TrainingRun:
    """One run: frames to learn from, and held-out frames to score on.

    Parameters
    ----------
    trainer : Trainer
        With the starting weights.
    request : FineTuneRequest
        How to train; its steps are those of this run.
    train, held_out : sequence of TrainingImage
        With nothing held out, the last weights count.
    replayed : sequence of TrainingImage
        The starting point's replay buffer.
    callbacks : RunCallbacks, optional
        Into the program that watches.
    saved : SavedState, optional
        Where the run is saved, and from where an interrupted one continues.
    pace : Pace, optional
        The clock of all runs together, which limits their time; by default this run has the
        time that its request allows.
    part : Part
        Its place among other runs.

    Attributes
    ----------
    best_weights : dict
        The weights to save.
    held_out : HeldOut
        The held-out frames with their scores.
    haste : str
        A sentence about the weights that a stop left no time to score; else empty.
    unsaved : bool
        Whether it was said that the run's state cannot be saved.
    progress : Progress
        Where the run is.
    curves : Curves
        For the card.
    """

    def __init__(
        self,
        trainer: Trainer,
        request: FineTuneRequest,
        train: Sequence[TrainingImage],
        held_out: Sequence[TrainingImage],
        replayed: Sequence[TrainingImage] = (),
        callbacks: RunCallbacks | None = None,
        saved: SavedState | None = None,
        pace: Pace | None = None,
        part: Part = ONLY,
    ) -> None:
        self.trainer, self.request = trainer, request
        self.held_out = HeldOut(held_out, request.seed, trainer)
        self._kept_back = list(held_out)  # even if not all of them can be scored
        self.replayed, self.callbacks = list(replayed), callbacks or RunCallbacks()
        self.saved, self.batch, self.retries = saved, request.schedule.batch, 0
        self.pace = pace or Pace(request.schedule.minutes, self.callbacks.clock, ending=0.0)
        self.part, self._until, self._time = part, math.inf, math.inf
        self.progress, self.curves = Progress(), Curves()
        self.best_weights: dict[str, torch.Tensor] = {}
        self.unsaved, self.haste = False, ""
        self.used = request  # or its full training, if the start does not know the task
        self.last_scored = 0  # step
        self._info: CheckpointInfo | None = None  # of a run whose trainer is gone
        self.learn_from(train)

    def learn_from(self, train: Sequence[TrainingImage]) -> None:
        """Draw patches from these frames from now on."""
        self.train, step = list(train), self.progress.step
        self.train_digest = digest(self.train)
        info = self.trainer.info
        self.sampler = make_sampler(train, self.replayed, self.used, step, info)

    def train_fully(self) -> None:
        """Train as suits a start that does not know the task."""
        self.used = self.request.for_full_training()
        self.trainer.adopt(self.used)
        self.learn_from(self.train)

    # ------------------------------------------------------------------ the run
    def run(self, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        """Train until the end, or until `stop`; after `abort`, raise `Cancelled`.

        After `stop`, the step that is being made is abandoned, and the weights of the steps since
        the last score are kept only if they score better, as far as a short time tells.
        """
        pace = self.pace
        self._until = pace.until(1 + self.part.later)
        yield from self._begin(lambda: stop() or abort())
        progress = self.progress  # another one if an interrupted run goes on
        before = saved = shown = pace.clock()
        self._until = pace.until(1 + self.part.later)
        self._time = progress.seconds + self._until - before
        while not self.ended and not stop():
            if abort():
                raise Cancelled
            if self.callbacks.paused():
                yield from self._pause(stop, abort)
                before = pace.clock()
                continue
            try:
                loss = yield from self._step(lambda: stop() or abort())
            except Cancelled:
                if abort():
                    raise
                break
            pace.step_took(took := pace.clock() - before)
            progress.seconds, before = progress.seconds + took, before + took
            yield StepDone(progress_text(self._status()), self._status(), loss)
            if pace.clock() - shown > self.callbacks.preview_every:
                yield from self._preview(stop, abort)
                shown = pace.clock()
            due = progress.step % self.request.validation.validate_every == 0
            if self.held_out and (due or self.share >= 1):
                yield from self._validate(stop, abort)
            if self.saved and pace.clock() - saved > SAVE_EVERY and not stop():
                yield from self.keep()
                saved = pace.clock()
            now = pace.clock()
            progress.seconds, before = progress.seconds + now - before, now
        if self.held_out and stop() and progress.step > self.last_scored:
            yield from self._validate(stop, abort)
        if not self.held_out:
            self.best_weights = copy_weights(self.trainer.result())
            progress.best_step = progress.step
        elif progress.answered and not progress.best_step and not stop():
            self._answer_from_all(abort)
        if not stop():
            progress.ended = self.ended

    def _pause(self, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        since = self.pace.clock()
        yield Message(f"Paused at step {self.step}.", self._status())
        while self.callbacks.paused() and not stop() and not abort():
            time.sleep(0.05)
        paused = self.pace.clock() - since
        self.pace.pause(paused)
        self._until += paused

    def _begin(self, stop: Stop) -> Iterator[TrainingEvent]:
        went_on, text = go_on(self)
        if text:
            yield Message(text, self._status())
        if went_on:
            return
        self.best_weights = copy_weights(self.trainer.averaged)
        if not self.held_out:
            return
        yield Message("Scoring the starting point …", self._status())
        network, begun = self.trainer.result(), self.pace.clock()
        late = self.pace.late_for_scoring(1 + self.part.later)
        scores = self.held_out.score_start(network, late, stop)
        self.pace.score_cost = self.pace.clock() - begun
        if (count := self.held_out.scored) is not None:
            what = f"{count} of them are" if count else "only parts of them are"
            text = f"Scoring all held-out frames would take too long, so {what} scored."
            yield Message(text, self._status())
        dice = fmean(scores)
        self.progress.best = self.progress.start = dice
        self.progress.best_f1 = self.progress.start_f1 = self._note_f1()
        self.curves.dice.append((0, dice))
        yield Validated(f"Dice before: {dice:.3f}", self._status(), dice, self.held_out.f1)
        if self.request.needs_full_training(dice):
            self.train_fully()
            if self.request.first_answer and not self.trainer.info.volumetric:
                yield from self._first_answer(stop)
            text = (
                f"The starting checkpoint scores Dice {dice:.2f} here, so all weights train at the "
                "full learning rate."
            )
            yield Message(text, self._status())

    def _first_answer(self, stop: Stop) -> Iterator[TrainingEvent]:
        """Fit simple features to the annotated pixels, and go on from there if that is better."""
        begun, trainer, progress = self.pace.clock(), self.trainer, self.progress
        trainer.read_pixels()
        self.best_weights = copy_weights(trainer.averaged)
        fit_first_answer(trainer, self.train, self.request.seed, stop)
        took = self.pace.clock() - begun
        network = trainer.result()
        scores = self.held_out.score(network, stop, stop)
        if scores is None:
            raise Cancelled
        dice = fmean(scores)
        text = f"First answer after {took:.1f} s: Dice {dice:.3f}"
        if dice > progress.best:
            self._take(network, dice)
            progress.answered, progress.best_f1 = True, self._note_f1()
            self.held_out.improved(network, scores, stop)
        else:
            trainer.load_weights(self.best_weights)
            text += f", no better than {progress.best:.3f} before, so it is left out"
        self.curves.dice.append((0, progress.best))
        yield Validated(f"{text}.", self._status(), progress.best, self.held_out.f1)

    def _answer_from_all(self, abort: Stop) -> None:
        """Fit a first answer that no step was better than again, to the held-out frames too."""
        trainer = self.trainer
        trainer.load_weights(self.best_weights)
        images = [*self.train, *self._kept_back]
        fit_first_answer(trainer, images, self.request.seed, abort)
        self.best_weights = copy_weights(trainer.result())

    def _step(self, stop: Stop) -> Generator[TrainingEvent, None, float]:
        """Make a step; on failure with less memory, or from earlier weights."""
        while True:
            try:
                batch = self.sampler.batch(self.batch)
                with interruptible(self.trainer.network, stop, gradients=True):
                    loss = self.trainer.step(batch, self.share)
            except (RuntimeError, MemoryError) as error:
                if not (isinstance(error, MemoryError) or devices.out_of_memory(error)):
                    raise
                yield self._after_memory_ran_out(error)
                continue
            if math.isfinite(loss):
                self.progress.step += 1
                self.curves.loss.append((self.progress.step, loss))
                return loss
            self.retries += 1
            if self.retries > MOST_RETRIES:
                return math.nan
            self.trainer.restore_and_halve_rate(self.best_weights)
            text = "The loss was not a number: back to the last good weights, at half the rate."
            yield Message(text, self._status())

    def _after_memory_ran_out(self, error: Exception) -> Message:
        """Halve the batch.

        Raises
        ------
        DeviceError
            If a single patch is too large.
        """
        if self.batch == 1:
            raise DeviceError(
                "Not enough memory to learn from a single patch. Choose smaller patches, a lighter "
                "network, or another device."
            ) from error
        self.batch //= 2
        devices.release(self.trainer.device)
        text = f"Memory ran out: going on with {self.batch} patches per step."
        return Message(text, self._status())

    def _validate(self, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        network, progress, begun = self.trainer.result(), self.progress, self.pace.clock()
        scores = self.held_out.score(network, stop, abort)
        self.last_scored = progress.step
        if scores is None:
            self.haste = self._judge_in_haste(network)
            yield Message(self.haste, self._status())
            return
        dice, f1 = fmean(scores), self._note_f1()
        self.curves.dice.append((progress.step, dice))
        progress.since_best += 1
        gain = dice + f1 - progress.best - progress.best_f1
        if gain > self._least_gain or not self.request.validation.keep_best:
            self._take(network, dice)
            progress.best_f1 = f1
            self.held_out.improved(network, scores, abort)
        self.pace.score_cost = self.pace.clock() - begun
        objects = f", F1 of objects {f1:.3f}" if self.trainer.info.head else ""
        text = f"Step {self.step}: Dice {dice:.3f}, best {progress.best:.3f}{objects}"
        yield Validated(text, self._status(), dice, self.held_out.f1)
        if not stop() and (images := self.callbacks.new_examples()) is not None:
            self.learn_from(images)
            text = f"Learning from {len(images)} corrected frames from now on."
            yield Message(text, self._status())

    def _note_f1(self) -> float:
        """Add the held-out F1 of objects to its curve and return it; 0 without an object head."""
        f1 = self.held_out.f1
        if f1 is None:
            return 0.0
        self.curves.f1.append((self.progress.step, f1))
        return f1

    def _judge_in_haste(self, network: nn.Module) -> str:
        """Compare the weights with the best ones on the patches that there was time for."""
        (count, _, dice), best = self.held_out.in_haste, self.held_out.best_in_haste
        step = self.step
        # Fresh weights are no result, so that anything learnt replaces them.
        fresh = self.trainer.info.parent is None and self.progress.best_step == 0
        better = dice > best + self._least_gain
        taken = better or fresh or not self.request.validation.keep_best
        if taken:
            self._take(network, dice)
        whose = f"the weights of step {step}" if taken else "the best weights before"
        return haste_text(step, count, len(self.held_out.patches), dice, best, whose)

    def _take(self, network: nn.Module, dice: float) -> None:
        """Make the current weights the best ones."""
        progress = self.progress
        progress.best, progress.since_best, progress.best_step = dice, 0, progress.step
        self.best_weights = copy_weights(network)

    @property
    def _least_gain(self) -> float:
        """Gain in Dice that justifies leaving a start that knows the task."""
        known = self.progress.best >= self.request.retention.known_dice
        return LEAST_GAIN if self.progress.best_step == 0 and known else 0.0

    def _preview(self, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        wanted = self.callbacks.preview_frame()
        if wanted is None:
            return
        frame, patch = wanted
        trainer, network = self.trainer, self.trainer.result()
        try:
            with interruptible(network, lambda: stop() or abort()):
                predicted = predict_frame(network, trainer.info, frame, trainer.device)
        except Cancelled:
            return  # the loop asks why
        yield Previewed("", self._status(), predicted, patch)

    # ------------------------------------------------------------------ where it is
    @property
    def dice(self) -> tuple[float, float]:
        """Held-out Dice before and of the best weights, on the same pixels; NaN if not scored."""
        if not self.haste or self.progress.best_step != self.last_scored:
            return self.progress.start, self.progress.best
        return self.held_out.in_haste[1], self.progress.best

    @property
    def info(self) -> CheckpointInfo:
        """The card of the network, with the options that it got in the run."""
        return self._info or self.trainer.info

    @property
    def step(self) -> int:
        """Steps made, those of earlier runs included."""
        return self.part.before + self.progress.step

    @property
    def share(self) -> float:
        """Share of the steps or of the time that is used up, 0 to 1; sets the learning rate.

        Time is up while there is still enough of it for a score of the last weights.
        """
        reserve = (self.pace.score_cost if self.held_out else 0.0) + (self.pace.step_cost or 0.0)
        time_left = self._time - reserve
        of_time = self.progress.seconds / time_left if time_left > 0 else 1.0
        return min(1.0, max(self.progress.step / self.used.schedule.steps, of_time))

    @property
    def ended(self) -> Ending | None:
        """Why the run is over, or None."""
        if self.progress.ended:
            return self.progress.ended
        if self.progress.step >= self.used.schedule.steps:
            return "steps"
        if self.progress.since_best >= self.request.validation.patience:
            return "early stopping"
        if self.retries > MOST_RETRIES:
            return "loss"
        return "time" if self.share >= 1 else None

    def _status(self) -> RunStatus:
        progress, pace = self.progress, self.pace
        own, later = self._work(), self._work_later()
        left = pace.left(own, self._until, later)
        return RunStatus(
            self.step,
            self.step + own.steps + later.steps,
            pace.share(left),
            None if math.isnan(progress.best) else progress.best,
            1 / pace.step_cost if pace.step_cost else None,
            left,
            devices.used_memory(self.trainer.device),
            self.trainer.device,
            self.part.name,
            progress.step,
        )

    def _work(self) -> Work:
        """Return what is left of this run at most."""
        steps = 0 if self.progress.ended else self.used.schedule.steps - self.progress.step
        return Work(steps, self._scores_of(steps) if self.held_out else 0)

    def _work_later(self) -> Work:
        steps, part = self.used.schedule.steps, self.part
        return Work(part.later * steps, part.scored_later * (1 + self._scores_of(steps)))

    def _scores_of(self, steps: int) -> int:
        return math.ceil(steps / self.request.validation.validate_every)

    # ------------------------------------------------------------------ interrupted runs
    def save(self) -> None:
        """Save the run, so that it continues from here after an interruption.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        if self.saved is not None:
            self.saved.save(self.request, *pack(self))

    def keep(self) -> Iterator[TrainingEvent]:
        """Save the run, or say once that this fails; training goes on in any case."""
        try:
            self.save()
        except OSError as error:
            if not self.unsaved:
                self.unsaved = True
                text = (
                    f"Training goes on, but its state cannot be saved: {error}. An interruption "
                    "would start anew, or from what was saved before."
                )
                yield Message(text, self._status())

    def rest(self) -> None:
        """Free the trainer of a run that is over and saved."""
        self.saved, self._info = None, self.trainer.info
        del self.trainer
