"""One training run: steps and scores until it ends, and recovery from the usual failures."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Cancelled, DeviceError
from ..images import TrainingImage
from ..inference import predict_frame
from ..runtime import Stop, devices, interruptible, never
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
from .progress import Curves, Progress
from .request import FineTuneRequest
from .sampling import make_sampler
from .scoring import AFTER_STOP, patches_of, score_frames
from .trainer import Trainer, copy_weights, laid_out

if TYPE_CHECKING:
    import torch
    from torch import nn

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
        How to train; its steps and minutes are those of this run.
    train, held_out : sequence of TrainingImage
        With nothing held out, the last weights count.
    replayed : sequence of TrainingImage
        The starting point's replay buffer.
    callbacks : RunCallbacks, optional
        Into the program that watches.
    saved : SavedState, optional
        Where the run is saved, and from where an interrupted one continues.

    Attributes
    ----------
    best_weights : dict
        The weights to save.
    start_scores, best_scores : list of float
        Dice of the starting and of the best weights on patches of held-out frames, see
        `patches_of`; after a stop there is no time for the frames.
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
    ) -> None:
        self.trainer, self.request, self.held_out = trainer, request, list(held_out)
        self.replayed, self.callbacks = list(replayed), callbacks or RunCallbacks()
        self.saved, self.batch, self.retries = saved, request.schedule.batch, 0
        self.progress, self.curves = Progress(), Curves()
        self.best_weights: dict[str, torch.Tensor] = {}
        self.start_scores: list[float] = []
        self.best_scores: list[float] = []
        self.unsaved, self.haste = False, ""
        self._patches = patches_of(self.held_out, request.seed)
        self._patches_are_frames = all(
            patch is frame for patch, frame in zip(self._patches, self.held_out, strict=False)
        )
        self._hasty: list[float] = []  # scores of the best weights, if only patches were scored
        self._used = request  # or its full training, if the start does not know the task
        self._last_scored = 0  # step
        self._held_out_digest = digest(self.held_out)
        self._learn_from(train)

    def _learn_from(self, train: Sequence[TrainingImage]) -> None:
        self._train, step = list(train), self.progress.step
        self._train_digest = digest(self._train)
        classes = self.trainer.info.classes
        self._sampler = make_sampler(train, self.replayed, self._used, step, classes)

    # ------------------------------------------------------------------ the run
    def run(self, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        """Train until the end, or until `stop`; after `abort`, raise `Cancelled`.

        After `stop`, the step that is being made is abandoned, and the weights of the steps since
        the last score are kept only if they score better, as far as a short time tells.
        """
        yield from self._begin(lambda: stop() or abort())
        clock = self.callbacks.clock
        before = saved = shown = clock()
        share = self._share()
        while share < 1 and not self._exhausted and not stop():
            if abort():
                raise Cancelled
            if self.callbacks.paused():
                yield from self._pause(share, stop, abort)
                before = clock()
                continue
            try:
                loss = yield from self._step(share, lambda: stop() or abort())
            except Cancelled:
                if abort():
                    raise
                break
            now = clock()
            self.progress.seconds, before = self.progress.seconds + now - before, now
            share = self._share()
            text = f"Step {self.progress.step} of {self._used.schedule.steps}"
            yield StepDone(text, self._status(share), loss)
            if now - shown > self.callbacks.preview_every:
                yield from self._preview(share, stop, abort)
                shown = clock()
            due = self.progress.step % self.request.validation.validate_every == 0
            if self.held_out and (due or share >= 1):
                yield from self._validate(share, stop, abort)
            if self.saved and now - saved > SAVE_EVERY and not stop():
                yield from self.keep()
                saved = clock()
        if self.held_out and stop() and self.progress.step > self._last_scored:
            yield from self._validate(share, stop, abort)
        if not self.held_out:
            self.best_weights = copy_weights(self.trainer.result())
            self.progress.best_step = self.progress.step

    def _pause(self, share: float, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        yield Message(f"Paused at step {self.progress.step}.", self._status(share))
        while self.callbacks.paused() and not stop() and not abort():
            time.sleep(0.05)

    def _begin(self, stop: Stop) -> Iterator[TrainingEvent]:
        went_on, text = self._go_on()
        if text:
            yield Message(text, self._status())
        if went_on:
            return
        self.best_weights = copy_weights(self.trainer.averaged)
        if not self.held_out:
            return
        yield Message("Scoring the starting point …", self._status())
        network = self.trainer.result()
        scores = self._scores(network, self.held_out, never, stop)
        self.start_scores = self.best_scores = self._patch_scores(network, scores, stop)
        dice = float(np.mean(scores))
        self.progress.best = self.progress.start = dice
        self.curves.dice.append((0, dice))
        yield Validated(f"Dice before: {dice:.3f}", self._status(), dice)
        if self.request.needs_full_training(dice):
            self._train_fully()
            text = (
                f"The starting checkpoint scores Dice {dice:.2f} here, so all weights train at the "
                "full learning rate."
            )
            yield Message(text, self._status())

    def _train_fully(self) -> None:
        self._used = self.request.for_full_training()
        self.trainer.adopt(self._used)
        self._learn_from(self._train)

    def _step(self, share: float, stop: Stop) -> Generator[TrainingEvent, None, float]:
        """Make a step; on failure with less memory, or from earlier weights."""
        while True:
            try:
                batch = self._sampler.batch(self.batch)
                with interruptible(self.trainer.network, stop, gradients=True):
                    loss = self.trainer.step(batch, share)
            except (RuntimeError, MemoryError) as error:
                if not (isinstance(error, MemoryError) or devices.out_of_memory(error)):
                    raise
                yield self._after_memory_ran_out(error, share)
                continue
            if math.isfinite(loss):
                self.progress.step += 1
                self.curves.loss.append((self.progress.step, loss))
                return loss
            self.retries += 1
            if self._exhausted:
                return math.nan
            self.trainer.restore_and_halve_rate(self.best_weights)
            text = "The loss was not a number: back to the last good weights, at half the rate."
            yield Message(text, self._status(share))

    def _after_memory_ran_out(self, error: Exception, share: float) -> Message:
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
        return Message(text, self._status(share))

    @property
    def _exhausted(self) -> bool:
        """Whether to stop early: no improvement for long, or a loss that stays not finite."""
        tired = self.progress.since_best >= self.request.validation.patience
        return tired or self.retries > MOST_RETRIES

    def _validate(self, share: float, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        network, progress = self.trainer.result(), self.progress
        patience = AFTER_STOP if self._patches_are_frames else 0.0
        scores = self._scores(network, self.held_out, stop, abort, patience)
        self._last_scored = progress.step
        if len(scores) < len(self.held_out):
            if not self._patches_are_frames:
                scores = self._scores(network, self._patches, stop, abort, AFTER_STOP)
            self.haste = self._judge_in_haste(network, scores)
            yield Message(self.haste, self._status(share))
            return
        dice = float(np.mean(scores))
        self.curves.dice.append((progress.step, dice))
        progress.since_best += 1
        if dice > progress.best + self._least_gain or not self.request.validation.keep_best:
            self._take(network, dice)
            self.best_scores = self._patch_scores(network, scores, abort)
        text = f"Step {progress.step}: Dice {dice:.3f}, best {progress.best:.3f}"
        yield Validated(text, self._status(share), dice)
        if not stop() and (images := self.callbacks.new_examples()) is not None:
            self._learn_from(images)
            text = f"Learning from {len(images)} corrected frames from now on."
            yield Message(text, self._status(share))

    def _judge_in_haste(self, network: nn.Module, scores: list[float]) -> str:
        """Compare the weights with the best ones on the patches that there was time for."""
        step, count = self.progress.step, len(scores)
        dice = float(np.mean(scores)) if scores else math.nan
        best = float(np.mean(self.best_scores[:count])) if scores else math.nan
        # Fresh weights are no result, so that anything learnt replaces them.
        fresh = self.trainer.info.parent is None and self.progress.best_step == 0
        better = dice > best + self._least_gain
        taken = better or fresh or not self.request.validation.keep_best
        if taken:
            self._take(network, dice)
            self._hasty = scores
        whose = f"the weights of step {step}" if taken else "the best weights before"
        if not scores:
            return f"There was no time to score step {step}, so {whose} are kept."
        return (
            f"There was time to score step {step} on {count} of {len(self._patches)} held-out "
            f"patches: Dice {dice:.3f} there, {best:.3f} before, so {whose} are kept."
        )

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

    def _preview(self, share: float, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
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
        yield Previewed("", self._status(share), predicted, patch)

    # ------------------------------------------------------------------ where it is
    @property
    def dice(self) -> tuple[float, float]:
        """Held-out Dice before and of the best weights, on the same pixels; NaN if not scored."""
        if not self.haste or self.progress.best_step != self._last_scored:
            return self.progress.start, self.progress.best
        count = len(self._hasty)
        before = float(np.mean(self.start_scores[:count])) if count else math.nan
        return before, self.progress.best

    def _share(self) -> float:
        schedule = self._used.schedule
        steps = self.progress.step / schedule.steps
        return min(1.0, max(steps, self.progress.seconds / 60 / schedule.minutes))

    def _status(self, share: float = 0.0) -> RunStatus:
        progress, schedule = self.progress, self._used.schedule
        rate = progress.step / progress.seconds if progress.seconds else None
        left = None
        if share > 0 and progress.seconds:
            left = min(
                schedule.minutes * 60 - progress.seconds,
                (schedule.steps - progress.step) / rate if rate else math.inf,
            )
        return RunStatus(
            progress.step,
            schedule.steps,
            share,
            None if math.isnan(progress.best) else progress.best,
            rate,
            left,
            devices.used_memory(self.trainer.device),
            self.trainer.device,
        )

    def _scores(
        self,
        network: nn.Module,
        frames: Sequence[TrainingImage],
        stop: Stop,
        abort: Stop,
        patience: float = 0.0,
    ) -> list[float]:
        info, device = self.trainer.info, self.trainer.device
        return score_frames(network, info, frames, device, stop, abort, patience)

    def _patch_scores(self, network: nn.Module, scores: list[float], abort: Stop) -> list[float]:
        """Return the Dice on the patches, given that on the frames."""
        if self._patches_are_frames:
            return scores
        return self._scores(network, self._patches, never, abort)

    # ------------------------------------------------------------------ interrupted runs
    def save(self) -> None:
        """Save the run, so that it continues from here after an interruption.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        if self.saved is None:
            return
        tensors, numbers = self.trainer.state()
        tensors |= {f"best.{name}": value for name, value in self.best_weights.items()}
        state = {
            "trainer": numbers,
            "progress": asdict(self.progress),
            "curves": asdict(self.curves),
            "scores": [self.start_scores, self.best_scores],
            "batch": self.batch,
            "retries": self.retries,
            "full": self._used is not self.request,
            "sampler": self._sampler.state(),
            "train": self._train_digest,
            "held_out": self._held_out_digest,
            "held_out_names": [image.name for image in self.held_out],
        }
        self.saved.save(self.request, tensors, state)

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
                yield Message(text, self._status(self._share()))

    def rest(self) -> None:
        """Free the trainer of a run that is over and saved."""
        self.saved = None
        del self.trainer

    def _go_on(self) -> tuple[bool, str]:
        """Continue from a saved state if there is one; return whether, and a sentence about it."""
        found = self.saved.load(self.request) if self.saved else None
        if found is None:
            return False, ""
        tensors, numbers = found
        if numbers.get("held_out") != self._held_out_digest:
            text = "The held-out frames changed since training was interrupted, so it starts anew."
            return False, text
        before = self.trainer.state(), replace(self.progress), deepcopy(self.curves)
        try:
            self._restore(tensors, numbers)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
            state, self.progress, self.curves = before
            self.trainer.restore(*state)
            self._used, self.batch, self.retries = self.request, self.request.schedule.batch, 0
            self._learn_from(self._train)
            return False, "The saved state of this training is damaged, so it starts anew."
        return True, f"Going on from step {self.progress.step}, where training was interrupted."

    def _restore(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        self.progress = Progress(**numbers["progress"])
        if numbers["full"]:
            self._train_fully()
        else:
            self._learn_from(self._train)
        # Frames that were corrected since then are learnt from now on, by a sampler of their own.
        if numbers["train"] == self._train_digest:
            self._sampler.restore(numbers["sampler"])
        self.trainer.restore(tensors, numbers["trainer"])
        shapes = self.trainer.network.state_dict()
        self.best_weights = {k: laid_out(tensors[f"best.{k}"], v) for k, v in shapes.items()}
        self.curves.loss = [(int(step), float(value)) for step, value in numbers["curves"]["loss"]]
        self.curves.dice = [(int(step), float(value)) for step, value in numbers["curves"]["dice"]]
        self.start_scores, self.best_scores = ([float(x) for x in y] for y in numbers["scores"])
        self.batch, self.retries = int(numbers["batch"]), int(numbers["retries"])
        self._last_scored = self.curves.dice[-1][0] if self.curves.dice else 0
