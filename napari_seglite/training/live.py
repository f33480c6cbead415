"""Learn after every stroke, as pixel classifiers do, but with a network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints import CheckpointStore, score_of
from ..errors import Cancelled, CheckpointError
from ..images import TrainingImage
from ..inference import predict_frame
from ..runtime import RandomState, Stop, interruptible, never
from .checkpointing import save_trained
from .events import (
    Finished,
    Message,
    Previewed,
    RunStatus,
    StepDone,
    StrokeScored,
    TrainingEvent,
)
from .first_answer import fit_first_answer
from .patches import PatchSampler
from .progress import Curves
from .request import FineTuneRequest
from .sampling import make_sampler
from .start import (
    StartingPoint,
    check_examples,
    compile_for_training,
    read_start,
    start_info,
    training_device,
)
from .strokes import Strokes, StrokeScore
from .texts import unwritten_text
from .trainer import Trainer, copy_weights

if TYPE_CHECKING:
    import torch

# Seconds of learning between a stroke and the next preview.
ROUND = 1.2
# Steps after the last stroke until it waits for another.
ENOUGH = 60
READY = "Live: paint, and watch."
# Share of a run whose learning rate is used throughout.
RATE_SHARE = 0.4


@dataclass(frozen=True)
class LiveInput:
    """The examples to learn from now, and the patch to predict.

    Attributes
    ----------
    images : sequence of TrainingImage
        Everything corrected so far; the same object as long as nothing changed.
    frame : ndarray
        ``(C, H, W)`` or ``(S, C, H, W)`` float32, normalised: the patch that the user sees.
    patch : object
        To recognise it by.
    """

    images: Sequence[TrainingImage]
    frame: np.ndarray
    patch: object


class LiveSession:
    """A network that learns while the user paints.

    Parameters
    ----------
    request : FineTuneRequest
        The start, and the name of the checkpoint that is saved in the end; steps and time limit
        do not count.
    store : CheckpointStore, optional
        Where checkpoints are read and written.

    Attributes
    ----------
    best_weights : dict
        The last weights.
    curves : Curves
        Of the loss; nothing is held out.
    """

    def __init__(self, request: FineTuneRequest, store: CheckpointStore | None = None) -> None:
        self.request, self.store = request, store or CheckpointStore()
        self.info = start_info(request, self.store)
        if self.info.volumetric:
            raise CheckpointError(
                f"{request.checkpoint} learns from volumes, which takes too long for every stroke. "
                "Untick Live and fine-tune it, or start from a checkpoint for slices."
            )
        self.best_weights: dict[str, torch.Tensor] = {}
        self.curves = Curves()
        self._images: Sequence[TrainingImage] | None = None
        self._steps = 0
        self._strokes: Strokes

    def run(
        self,
        live_input: Callable[[], LiveInput | None],
        stop: Stop = never,
        abort: Stop = never,
        go_back: Callable[[], bool] = lambda: False,
    ) -> Iterator[TrainingEvent]:
        """Learn and predict in turn until stopped; then save the weights as a checkpoint.

        Parameters
        ----------
        live_input : callable
            Asked before every round; returns None as long as nothing is corrected.
        stop, abort : callable
            As `FineTuner.run` takes them.
        go_back : callable
            Asked before every round; returns True once to restore the best weights.

        Yields
        ------
        TrainingEvent
            `StrokeScored` for every stroke, `Previewed` after every round; `Finished` in the end
            if anything was learnt.
        """
        yield self._message("Reading the checkpoint …")
        with training_device(self.request.device) as device:
            for text in compile_for_training(self.info.network, device, lambda: stop() or abort()):
                yield self._message(text)
            start = read_start(self.info, self.store, self.request.seed, device)
            if start.warning:
                yield self._message(start.warning)
            start = replace(start, random=RandomState(self.request.seed, device))
            trainer = start.trainer(self.info, self.request, device)
            begun, self._strokes = time.monotonic(), Strokes(trainer)
            try:
                self._rehearse(start, device, lambda: stop() or abort())
                yield from self._rounds(trainer, start.replayed, live_input, stop, abort, go_back)
            except Cancelled:
                if abort():
                    raise
            if self._steps:
                yield self._save(trainer, start.replayed, time.monotonic() - begun)

    def _rehearse(self, start: StartingPoint, device: str, stop: Stop) -> None:
        """Make a step and a prediction with a copy: the first ones take longer than later ones."""
        request, side = self.request, self.request.schedule.patch
        channels = self.info.in_channels * self.info.context_slices
        blank = TrainingImage(
            "", np.zeros((channels, side, side), np.float32), np.zeros((side, side), np.uint8)
        )
        trainer = start.trainer(self.info, request, device)
        sampler = make_sampler([blank], [], request, 0, self.info)
        with interruptible(trainer.network, stop, gradients=True):
            trainer.step(sampler.batch(request.schedule.batch), 0.0)
        self._predict(trainer, blank.frame, stop)

    def _rounds(
        self,
        trainer: Trainer,
        replayed: Sequence[TrainingImage],
        live_input: Callable[[], LiveInput | None],
        stop: Stop,
        abort: Stop,
        go_back: Callable[[], bool],
    ) -> Iterator[TrainingEvent]:
        """Learn and predict in turn; raise `Cancelled` if interrupted within a step."""
        sampler: PatchSampler | None = None
        since, patch, strokes = 0, None, self._strokes

        def either() -> bool:
            return stop() or abort()

        yield self._message(READY)
        while not stop():
            if abort():
                raise Cancelled
            if go_back():
                # What made it worse is not learnt again before the next stroke.
                since, patch = ENOUGH, None
                yield self._went_back(strokes.go_back())
            now, images = live_input(), self._images
            idle = now is None or (now.images is images and since >= ENOUGH and now.patch == patch)
            if now is None or idle:
                time.sleep(0.05)
                continue
            if now.images is not images:
                check_examples(now.images, self.info)
                score = strokes.score(images or (), now.images, self._steps, either)
                self._images, since = now.images, 0
                if score is not None:
                    yield self._scored(score.now)
                if self._is_new(score, now.images):
                    self._answer(trainer, now.images, either)
                    yield Previewed(
                        "", self._status(), self._predict(trainer, now.frame, either), now.patch
                    )
                sampler = make_sampler(now.images, replayed, self.request, self._steps, self.info)
            assert sampler is not None
            end = time.monotonic() + ROUND
            due = ENOUGH - since > 0  # the stroke is not learnt yet
            while since < ENOUGH and time.monotonic() < end and not either():
                batch = sampler.batch(self.request.schedule.batch)
                with interruptible(trainer.network, either, gradients=True):
                    loss = trainer.step(batch, RATE_SHARE)
                if math.isfinite(loss):
                    self._steps, since = self._steps + 1, since + 1
                    self.curves.loss.append((self._steps, loss))
                    yield StepDone("", self._status(), loss)
            predicted = self._predict(trainer, now.frame, either)
            patch = now.patch
            yield Previewed("", self._status(), predicted, patch)
            if due and since >= ENOUGH:
                strokes.score_learnt(either)
                yield self._scored(None)

    def _is_new(self, score: StrokeScore | None, images: Sequence[TrainingImage]) -> bool:
        """Whether strokes of several kinds show a task that the network does not know."""
        known = score is None or score.now >= self.request.retention.known_dice
        if known or not self.request.first_answer or self.info.volumetric:
            return False
        kinds: set[int] = set()
        for image in images:
            counts = image.labels >= 0 if image.weight is None else image.weight > 0
            kinds.update(np.unique(image.labels[counts]).tolist())
        return len(kinds) > 1

    def _answer(self, trainer: Trainer, images: Sequence[TrainingImage], stop: Stop) -> None:
        """Fit simple features to what is painted, as pixel classifiers do; learning goes on."""
        trainer.read_pixels()
        self._strokes.keep_up()
        fit_first_answer(trainer, images, self.request.seed, stop)

    def _scored(self, dice: float | None) -> StrokeScored:
        strokes = self._strokes
        return StrokeScored(strokes.text(), self._status(), dice, strokes.falling)

    def _went_back(self, step: int) -> StrokeScored:
        where = f"of step {step}" if step else "of the start"
        text = f"Back to the weights {where}. Paint to go on."
        return StrokeScored(text, self._status(), None, falling=False)

    def _predict(self, trainer: Trainer, frame: np.ndarray, stop: Stop) -> np.ndarray:
        network = trainer.averaged.eval()
        with interruptible(network, stop):
            return predict_frame(network, self.info, frame, trainer.device)

    def _save(
        self, trainer: Trainer, replayed: Sequence[TrainingImage], seconds: float
    ) -> Finished:
        self.best_weights, strokes = copy_weights(trainer.averaged), self._strokes
        if strokes.unscored:
            strokes.score_learnt(in_haste=True)
        numbers = {
            "steps_done": self._steps,
            "seconds": round(seconds, 1),
            "live": True,
            "held_out": [],
        }
        store, request = self.store, self.request
        images, scores = self._images or (), strokes.for_card
        try:
            info = save_trained(
                store, trainer.info, request, self, images, replayed, scores, numbers
            )
        except OSError as error:
            raise CheckpointError(
                unwritten_text(request.name, store.folder, error, continues=False)
            ) from error
        text, note = f"Saved {info.id}, learnt live in {self._steps} steps.", ""
        if (score := score_of(info)) is not None:
            text = f"{text} {score}."
        if info.id != request.name:
            note = f"The name {request.name} was taken meanwhile."
        return Finished(f"{text} {note}".strip(), self._status(), info, note=note)

    def _status(self) -> RunStatus:
        return RunStatus(self._steps)

    def _message(self, text: str) -> Message:
        return Message(text, self._status())
