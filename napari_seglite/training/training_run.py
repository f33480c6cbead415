"""Steps, scores and what can go wrong between them, as a generator of events."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Cancelled, DeviceError
from ..images.training_image import TrainingImage
from ..inference.predictor import Predictor
from ..inference.tiling import predict_tiled
from ..labels.metrics import overlap, overlap_per_class
from ..runtime import devices
from ..runtime.stopping import Stop, interruptible
from .events import RunCallbacks, TrainingEvent
from .patches import PatchSampler
from .request import FineTuneRequest
from .trainer import Trainer, copy_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .saved_state import TrainingState

TILE, OVERLAP = 512, 48
# Seconds between two copies of a run on disk; a crash costs no more than that.
SAVE_EVERY = 20.0
# Held-out Dice that may be chance: a few frames are scored, and a good start was made from many.
LEAST_GAIN = 0.005
# How often a run steps back from a loss that is no number before it ends.
MOST_RETREATS = 3


@dataclass
class Curves:
    """What a run went through: ``(step, value)`` of the loss and of the held-out Dice."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    dice: list[tuple[int, float]] = field(default_factory=list)


class TrainingRun:
    """One run: some frames to learn from, some to score on.

    Parameters
    ----------
    learner : Trainer
        With the weights to start from.
    request : FineTuneRequest
        How to train. Its steps and minutes are those of this run.
    train, validate : sequence of TrainingImage
        Nothing to validate on means that the last weights count.
    replayed : sequence of TrainingImage
        What the starting point learnt from.
    watch : RunCallbacks
        Of whoever watches.
    state : TrainingState, optional
        Where the run is saved, and where an interrupted one goes on from.

    Attributes
    ----------
    best_weights : dict
        What to keep.
    start, best : float
        Held-out Dice before, and of those weights; NaN if nothing was held out.
    step, best_step : int
        Steps that were made, and after how many of them the best weights were there.
    curves : Curves
        For the card.
    """

    def __init__(
        self,
        learner: Trainer,
        request: FineTuneRequest,
        train: Sequence[TrainingImage],
        validate: Sequence[TrainingImage],
        replay_examples: Sequence[TrainingImage] = (),
        watch: RunCallbacks | None = None,
        state: TrainingState | None = None,
    ) -> None:
        self.learner, self.request, self.validate = learner, request, list(validate)
        self.replay_examples, self.watch, self.state = (
            list(replay_examples),
            watch or RunCallbacks(),
            state,
        )
        self.batch = request.batch
        self.start = self.best = math.nan
        self.best_weights: dict[str, torch.Tensor] = {}
        self.step = self.best_step = self.since_best = self.retreats = 0
        self.seconds = 0.0
        self.curves = Curves()
        self._drawn = request  # or what suits a start that knows little
        self._take(train)

    def _take(self, train: Sequence[TrainingImage]) -> None:
        self._train = list(train)
        classes = self.learner.info.classes
        self._sampler = make_sampler(train, self.replay_examples, self._drawn, self.step, classes)

    # ------------------------------------------------------------------ the run
    def run(self, stop: Stop, abort: Stop) -> Iterator[TrainingEvent]:
        """Train until done or stopped."""
        yield from self._begin(lambda: stop() or abort())
        steps, minutes = self._drawn.steps, self.request.minutes
        clock = self.watch.clock
        before, progress = clock(), max(self.step / steps, self.seconds / 60 / minutes)
        saved = shown = before
        while progress < 1 and self.since_best < self.request.patience and not stop():
            if abort():
                raise Cancelled
            if self.watch.paused():
                yield self._event("message", progress, text=f"Paused at step {self.step}.")
                while self.watch.paused() and not stop() and not abort():
                    time.sleep(0.05)
                before = clock()
                continue
            loss = yield from self._step(progress)
            now = clock()
            self.seconds, before = self.seconds + now - before, now
            progress = min(1.0, max(self.step / steps, self.seconds / 60 / minutes))
            text = f"Step {self.step} of {steps}"
            yield self._event("step", progress, loss, text=text)
            if now - shown > self.watch.every and (found := self.watch.frame()):
                yield self._preview(progress, *found)
                shown = clock()
            due = self.step % self.request.validate_every == 0
            if self.validate and (due or progress >= 1 or stop()):
                yield from self._validate(progress, loss, abort)
            if self.state and now - saved > SAVE_EVERY:
                self.save()
                saved = clock()
        if not self.validate:
            self.best_weights, self.best_step = copy_weights(self.learner.result()), self.step

    def _begin(self, stop: Stop) -> Iterator[TrainingEvent]:
        if self.state and (found := self.state.load(self.request)):
            self._restore(*found)
            text = f"Going on from step {self.step}, where training was interrupted."
            yield self._event("message", 0.0, text=text)
            return
        self.best_weights = copy_weights(self.learner.averaged)
        if self.validate:
            yield self._event("message", 0.0, text="Scoring the starting point …")
            self.best = self.start = self._score(self.learner.result(), stop)
            self.curves.dice.append((0, self.best))
            text = f"Dice before: {self.best:.3f}"
            yield self._event("validation", 0.0, dice=self.best, text=text)
            if self.request.unfamiliar(self.best):
                self._begin_anew()
                text = "The start knows little of this, so it learns anew, and faster."
                yield self._event("message", 0.0, text=text)

    def _begin_anew(self) -> None:
        self._drawn = self.request.from_anew()
        self.learner.follow(self._drawn)
        self._take(self._train)

    def _step(self, progress: float) -> Generator[TrainingEvent, None, float]:
        """Make a step; with less memory, or from earlier weights, if it has to be."""
        while True:
            try:
                loss = self.learner.step(self._sampler.batch(self.batch), progress)
            except (RuntimeError, MemoryError) as error:
                if not (isinstance(error, MemoryError) or devices.out_of_memory(error)):
                    raise
                if self.batch == 1:
                    raise DeviceError(
                        "Not enough memory to learn from a single patch. Choose smaller patches, "
                        "a lighter network, or another device."
                    ) from error
                self.batch //= 2
                devices.release(self.learner.device)
                text = f"Memory ran out: going on with {self.batch} patches a step."
                yield self._event("message", progress, text=text)
                continue
            if math.isfinite(loss):
                self.step += 1
                self.curves.loss.append((self.step, loss))
                return loss
            self.retreats += 1
            if self.retreats > MOST_RETREATS:
                self.since_best = self.request.patience
                return math.nan
            self.learner.restore_and_halve_rate(self.best_weights)
            yield self._event(
                "message",
                progress,
                text="The loss was no number: back to the last good weights, at half the rate.",
            )

    def _validate(self, progress: float, loss: float, abort: Stop) -> Iterator[TrainingEvent]:
        network = self.learner.result()
        dice = self._score(network, abort)
        self.curves.dice.append((self.step, dice))
        self.since_best += 1
        if dice > self.best + self._least_gain or not self.request.keep_best:
            self.best, self.since_best, self.best_step = dice, 0, self.step
            self.best_weights = copy_weights(network)
        text = f"Step {self.step}: Dice {dice:.3f}, best {self.best:.3f}"
        yield self._event("validation", progress, loss, dice, text)
        if (images := self.watch.news()) is not None:
            self._take(images)
            text = f"Learning from {len(images)} corrected frames from now on."
            yield self._event("message", progress, text=text)

    @property
    def _least_gain(self) -> float:
        """By how much the start has to be beaten, if it is any good, to be left for something."""
        return LEAST_GAIN if self.best_step == 0 and self.best >= self.request.familiar else 0.0

    def _preview(self, progress: float, frame: np.ndarray, token: object) -> TrainingEvent:
        event = self._event("preview", progress)
        predict = Predictor(self.learner.result(), self.learner.device)
        predicted = predict_tiled(predict, frame, TILE, OVERLAP)
        return replace(event, preview=predicted, token=token)

    def _event(
        self,
        kind: str,
        progress: float,
        loss: float | None = None,
        dice: float | None = None,
        text: str = "",
    ) -> TrainingEvent:
        rate = self.step / self.seconds if self.seconds else None
        left = None
        if progress > 0 and self.seconds:
            left = min(
                self.request.minutes * 60 - self.seconds,
                (self._drawn.steps - self.step) / rate if rate else math.inf,
            )
        best = None if math.isnan(self.best) else self.best
        steps = self._drawn.steps
        memory = devices.used_memory(self.learner.device)
        return TrainingEvent(
            kind,
            self.step,
            steps,
            progress,
            loss,
            dice,
            best,
            text,
            rate=rate,
            left=left,
            memory=memory,
            device=self.learner.device,
        )

    # ------------------------------------------------------------------ scores
    def _score(self, network: nn.Module, abort: Stop) -> float:
        """Mean Dice over what is held out."""
        scores = []
        info = self.learner.info
        predict = Predictor(network, self.learner.device)
        with interruptible(network, abort):
            for image in self.validate:
                frame = image.frame
                if info.context_slices > 1:
                    frame = frame.reshape(info.context_slices, -1, *frame.shape[1:])
                predicted = predict_tiled(predict, frame, TILE, OVERLAP)
                found = predicted[0] > 0.5 if info.classes == 1 else predicted.argmax(0)
                if image.weight is not None:
                    found = np.where(image.weight > 0, found, 0)
                compare = overlap if info.classes == 1 else overlap_per_class
                scores.append(compare(found, image.known).dice)
        return float(np.mean(scores))

    # ------------------------------------------------------------------ interrupted runs
    def save(self) -> None:
        """Write where the run is, so that it goes on from there, or is not made again."""
        if self.state is None:
            return
        tensors = self.learner.state()
        tensors |= {f"best.{name}": value for name, value in self.best_weights.items()}
        self.state.save(
            self.request,
            tensors,
            {
                "step": self.step,
                "best_step": self.best_step,
                "since_best": self.since_best,
                "start": self.start,
                "best": self.best,
                "seconds": self.seconds,
                "loss": self.curves.loss,
                "dice": self.curves.dice,
            },
        )

    def _restore(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        if self.request.unfamiliar(numbers["start"]):
            self._begin_anew()
        self.learner.restore(tensors, numbers["step"])
        self.best_weights = {
            name.removeprefix("best."): value
            for name, value in tensors.items()
            if name.startswith("best.")
        }
        for name in ("step", "best_step", "since_best", "start", "best", "seconds"):
            setattr(self, name, numbers[name])
        self.curves.loss = [(int(step), float(value)) for step, value in numbers["loss"]]
        self.curves.dice = [(int(step), float(value)) for step, value in numbers["dice"]]


def make_sampler(
    train: Sequence[TrainingImage],
    replay_examples: Sequence[TrainingImage],
    request: FineTuneRequest,
    step: int,
    classes: int,
) -> PatchSampler:
    """Return what draws patches from frames, and from what is replayed, from a step on."""
    r, images = request, mixed(train, replay_examples, request.replay)
    return PatchSampler(images, r.patch, r.scale, r.invert, r.intensity, r.seed + step, classes)


def mixed(
    train: Sequence[TrainingImage], replay_examples: Sequence[TrainingImage], share: float
) -> list[TrainingImage]:
    """Give replayed frames together this share of the patches."""
    if not replay_examples or not share:
        return list(train)
    total = sum(image.share for image in train)
    each = share / (1 - share) * total / len(replay_examples)
    return [*train, *(replace(image, share=each) for image in replay_examples)]
