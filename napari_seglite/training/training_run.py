"""One training run: steps and scores until it ends, and recovery from the usual failures."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Cancelled, DeviceError
from ..images import TrainingImage
from ..inference import classify, predict_frame
from ..labels import overlap, overlap_per_class
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
from .patches import PatchSampler
from .request import FineTuneRequest
from .trainer import Trainer, copy_weights

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


@dataclass
class Curves:
    """``(step, value)`` of the loss and of the held-out Dice of a run."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    dice: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class Progress:
    """The numbers of a run, which are saved with it.

    Attributes
    ----------
    step, best_step : int
        Steps made, and the step of the best weights.
    since_best : int
        Validations since the best one.
    start, best : float
        Held-out Dice of the starting weights and of the best ones; NaN if nothing was held out.
    seconds : float
        Training time so far.
    """

    step: int = 0
    best_step: int = 0
    since_best: int = 0
    start: float = math.nan
    best: float = math.nan
    seconds: float = 0.0


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
        self._used = request  # or its full training, if the start does not know the task
        self._learn_from(train)

    def _learn_from(self, train: Sequence[TrainingImage]) -> None:
        self._train, step = list(train), self.progress.step
        classes = self.trainer.info.classes
        self._sampler = make_sampler(train, self.replayed, self._used, step, classes)

    # ------------------------------------------------------------------ the run
    def run(self, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        """Train until the end, or until `stop`; after `abort`, raise `Cancelled`."""
        yield from self._begin(lambda: stop() or abort())
        clock = self.callbacks.clock
        before = saved = shown = clock()
        share = self._share()
        while share < 1 and not self._exhausted and not stop():
            if abort():
                raise Cancelled
            if self.callbacks.paused():
                yield Message(f"Paused at step {self.progress.step}.", self._status(share))
                while self.callbacks.paused() and not stop() and not abort():
                    time.sleep(0.05)
                before = clock()
                continue
            loss = yield from self._step(share)
            now = clock()
            self.progress.seconds, before = self.progress.seconds + now - before, now
            share = self._share()
            text = f"Step {self.progress.step} of {self._used.schedule.steps}"
            yield StepDone(text, self._status(share), loss)
            if now - shown > self.callbacks.preview_every:
                yield from self._preview(share)
                shown = clock()
            due = self.progress.step % self.request.validation.validate_every == 0
            if self.held_out and (due or share >= 1 or stop()):
                yield from self._validate(share, abort)
            if self.saved and now - saved > SAVE_EVERY:
                self.save()
                saved = clock()
        if not self.held_out:
            self.best_weights = copy_weights(self.trainer.result())
            self.progress.best_step = self.progress.step

    def _begin(self, stop: Stop) -> Iterator[TrainingEvent]:
        if self.saved and (state := self.saved.load(self.request)):
            self._restore(*state)
            text = f"Going on from step {self.progress.step}, where training was interrupted."
            yield Message(text, self._status())
            return
        self.best_weights = copy_weights(self.trainer.averaged)
        if not self.held_out:
            return
        yield Message("Scoring the starting point …", self._status())
        dice = self._score(self.trainer.result(), stop)
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

    def _step(self, share: float) -> Generator[TrainingEvent, None, float]:
        """Make a step; on failure with less memory, or from earlier weights."""
        while True:
            try:
                loss = self.trainer.step(self._sampler.batch(self.batch), share)
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

    def _validate(self, share: float, abort: Stop) -> Iterator[TrainingEvent]:
        network, progress = self.trainer.result(), self.progress
        dice = self._score(network, abort)
        self.curves.dice.append((progress.step, dice))
        progress.since_best += 1
        if dice > progress.best + self._least_gain or not self.request.validation.keep_best:
            progress.best, progress.since_best, progress.best_step = dice, 0, progress.step
            self.best_weights = copy_weights(network)
        text = f"Step {progress.step}: Dice {dice:.3f}, best {progress.best:.3f}"
        yield Validated(text, self._status(share), dice)
        if (images := self.callbacks.new_examples()) is not None:
            self._learn_from(images)
            text = f"Learning from {len(images)} corrected frames from now on."
            yield Message(text, self._status(share))

    @property
    def _least_gain(self) -> float:
        """Gain in Dice that justifies leaving a start that knows the task."""
        known = self.progress.best >= self.request.retention.known_dice
        return LEAST_GAIN if self.progress.best_step == 0 and known else 0.0

    def _preview(self, share: float) -> Iterator[TrainingEvent]:
        wanted = self.callbacks.preview_frame()
        if wanted is None:
            return
        frame, patch = wanted
        trainer = self.trainer
        predicted = predict_frame(trainer.result(), trainer.info, frame, trainer.device)
        yield Previewed("", self._status(share), predicted, patch)

    # ------------------------------------------------------------------ where it is
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

    def _score(self, network: nn.Module, abort: Stop) -> float:
        """Return the mean Dice over the held-out frames."""
        scores, info = [], self.trainer.info
        compare = overlap if info.classes == 1 else overlap_per_class
        with interruptible(network, abort):
            for image in self.held_out:
                probabilities = predict_frame(network, info, image.frame, self.trainer.device)
                predicted = classify(probabilities)
                if image.weight is not None:
                    predicted = np.where(image.weight > 0, predicted, 0)
                scores.append(compare(predicted, image.annotated).dice)
        return float(np.mean(scores))

    # ------------------------------------------------------------------ interrupted runs
    def save(self) -> None:
        """Save the run, so that it continues from here after an interruption."""
        if self.saved is None:
            return
        tensors = self.trainer.state()
        tensors |= {f"best.{name}": value for name, value in self.best_weights.items()}
        self.saved.save(self.request, tensors, {**asdict(self.progress), **asdict(self.curves)})

    def _restore(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        self.progress = Progress(**{k: numbers[k] for k in Progress.__dataclass_fields__})
        if self.request.needs_full_training(self.progress.start):
            self._train_fully()
        self.trainer.restore(tensors, self.progress.step)
        self.best_weights = {
            name.removeprefix("best."): value
            for name, value in tensors.items()
            if name.startswith("best.")
        }
        self.curves.loss = [(int(step), float(value)) for step, value in numbers["loss"]]
        self.curves.dice = [(int(step), float(value)) for step, value in numbers["dice"]]


def make_sampler(
    train: Sequence[TrainingImage],
    replayed: Sequence[TrainingImage],
    request: FineTuneRequest,
    step: int,
    classes: int,
) -> PatchSampler:
    """Return a sampler of patches from frames and the replay buffer.

    Parameters
    ----------
    train, replayed : sequence of TrainingImage
        Frames to learn from, and the replay buffer.
    request : FineTuneRequest
        Sets augmentation, patch size, replay and seed.
    step : int
        Steps made before; a run that continues draws other patches.
    classes : int
        Output channels of the network.
    """
    change, images = request.augmentation, with_replay(train, replayed, request.retention.replay)
    return PatchSampler(
        images,
        request.schedule.patch,
        change.scale,
        change.invert,
        change.intensity,
        request.seed + step,
        classes,
    )


def with_replay(
    train: Sequence[TrainingImage], replayed: Sequence[TrainingImage], share: float
) -> list[TrainingImage]:
    """Return all frames, weighted so that replayed ones give this share of the patches."""
    if not replayed or not share:
        return list(train)
    total = sum(image.share for image in train)
    each = share / (1 - share) * total / len(replayed)
    return [*train, *(replace(image, share=each) for image in replayed)]
