"""Training, from a checkpoint or from scratch, as a generator of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from statistics import mean
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..checkpoints import replay
from ..checkpoints.store import CheckpointInfo, CheckpointStore
from ..errors import AnnotationError, CheckpointError
from ..images.training_image import TrainingImage
from ..runtime import devices
from ..runtime.compilation import COMPILING, needs_compiling, warm_up
from ..runtime.stopping import Stop, never
from ..runtime.versions import versions
from .events import RunCallbacks, TrainingEvent
from .examples import digest
from .request import FineTuneRequest, start_info
from .saved_state import TrainingState
from .splits import folds, split
from .trainer import Trainer, mean_weights
from .training_run import Curves, TrainingRun
from .weight_transfer import transfer_weights

if TYPE_CHECKING:
    import torch
    from torch import nn


class Trained(Protocol):
    """What a run leaves: weights to keep, and its curves."""

    best_weights: dict[str, torch.Tensor]
    curves: Curves


# Points of a curve that a checkpoint's card keeps.
POINTS = 200


class FineTuner:
    """Trains a checkpoint on annotated frames.

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
        self._held: list[str] = []

    def run(
        self, stop: Stop = never, abort: Stop = never, watch: RunCallbacks | None = None
    ) -> Iterator[TrainingEvent]:
        """Train until done or stopped; the best weights so far become the new checkpoint.

        What was interrupted by a crash, or by `abort`, goes on where it was last saved when it is
        asked for again with the same settings.

        Parameters
        ----------
        stop : callable
            Once it returns True, training ends after the current step, and what was learnt is
            scored and kept.
        abort : callable
            Once it returns True, `Cancelled` is raised and nothing is kept.
        watch : RunCallbacks, optional
            What else is wanted while it runs.

        Yields
        ------
        TrainingEvent
            The last one is ``"done"``.
        """
        import torch

        watch = watch or RunCallbacks()
        device = devices.resolve(self.request.device)
        yield self._message("Reading the checkpoint …")
        try:
            with torch.random.fork_rng(devices=[]):
                if needs_compiling(self.info.network, device, training=True):
                    yield self._message(COMPILING)
                warm_up(self.info.network, device, training=True)
                if self.request.folds > 1:
                    yield from self._cross_validated(device, stop, abort, watch)
                else:
                    yield from self._once(device, stop, abort, watch)
        finally:
            devices.release(device)

    # ------------------------------------------------------------------ kinds of runs
    def _once(
        self, device: str, stop: Stop, abort: Stop, watch: RunCallbacks
    ) -> Iterator[TrainingEvent]:
        request = self.request
        split_seed = request.seed if request.split_seed is None else request.split_seed
        train, validate = split(self.images, request.validation, np.random.default_rng(split_seed))
        self._held = [image.name for image in validate]
        state = self._state()
        seen = replace(watch, news=lambda: self._news(watch))
        loop = TrainingRun(
            self._learner(device), request, train, validate, self._replayed, seen, state
        )
        yield from loop.run(stop, abort)
        state.discard()
        yield self._finish(loop, loop.start, loop.best, loop.step, loop.seconds)

    def _news(self, watch: RunCallbacks) -> Sequence[TrainingImage] | None:
        """Take what was corrected meanwhile, but for the frames that are held out."""
        images = watch.news()
        if images is None:
            return None
        check_examples(images, self.info)
        self.images = list(images)
        return [image for image in images if image.name not in self._held] or None

    def _cross_validated(
        self, device: str, stop: Stop, abort: Stop, watch: RunCallbacks
    ) -> Iterator[TrainingEvent]:
        """Hold parts out in turn; then go on from what that gave, with everything."""
        request = self.request
        self._held = []  # each in turn
        parts = folds(self.images, request.folds, np.random.default_rng(request.seed))
        runs = len(parts) + 1
        each = replace(
            request,
            steps=max(1, request.steps // runs),
            steps_if_new=request.steps_if_new and max(1, request.steps_if_new // runs),
            minutes=request.minutes / runs,
        )
        loops: list[TrainingRun] = []
        states = [self._state(f".part{number}") for number in range(runs)]
        for number, (train, validate) in enumerate(parts):
            if loops and stop():
                break
            # What is painted meanwhile must not teach what it is scored on; it joins in the end.
            part = replace(watch, news=lambda: None)
            learner = self._learner(device)
            loop = TrainingRun(learner, each, train, validate, self._replayed, part, states[number])
            for event in loop.run(stop, abort):
                yield replace(
                    event,
                    progress=(number + event.progress) / runs,
                    text=f"Held-out part {number + 1} of {len(parts)}. {event.text}",
                )
            loop.save()
            del loop.learner, learner  # as large as the next part's
            loops.append(loop)
        if stop():
            done = self._stopped_early(loops)
        else:
            last = self._last(device, each, loops, watch, states[-1])
            keep = last.best <= last.start and request.keep_best
            for event in last.run(lambda: keep or stop(), abort):
                progress = (len(parts) + event.progress) / runs
                yield replace(event, progress=progress, best=last.best, dice=last.best)
            loops.append(last)
            done = self._finish(last, last.start, last.best, *_spent(loops))
        for state in states:
            state.discard()
        yield done

    def _last(
        self,
        device: str,
        each: FineTuneRequest,
        loops: Sequence[TrainingRun],
        watch: RunCallbacks,
        state: TrainingState,
    ) -> TrainingRun:
        """Return the run that learns from everything, for as long as that did good.

        It begins with the mean of the weights that the others ended with, which lie close to each
        other (model soup; Wortsman et al., 2022).
        """
        if (images := watch.news()) is not None:
            check_examples(images, self.info)
            self.images = list(images)
        start, best = mean(loop.start for loop in loops), mean(loop.best for loop in loops)
        useful = max(1, round(mean(loop.best_step for loop in loops)))
        final = replace(each, steps=useful, steps_if_new=None, minutes=2 * each.minutes)
        if each.unfamiliar(start):
            final = final.from_anew()
        learner = self._learner(device, final)
        if best > start:
            learner.load_weights(mean_weights([loop.best_weights for loop in loops]))
        last = TrainingRun(learner, final, self.images, [], self._replayed, watch, state)
        last.curves = loops[0].curves
        last.start, last.best = start, best
        return last

    def _stopped_early(self, loops: Sequence[TrainingRun]) -> TrainingEvent:
        """Keep the best of the runs there are: there is no time to learn from everything."""
        best = max(loops, key=lambda loop: loop.best - loop.start)
        return self._finish(best, best.start, best.best, *_spent(loops))

    # ------------------------------------------------------------------ pieces
    @cached_property
    def _replayed(self) -> list[TrainingImage]:
        return replay_examples(self.info, self.store) if self.request.replay else []

    def _state(self, part: str = "") -> TrainingState:
        return TrainingState(self.store.folder.parent / "training", self.request.name + part)

    def _learner(self, device: str, request: FineTuneRequest | None = None) -> Trainer:
        import torch

        torch.manual_seed(self.request.seed)
        return Trainer(
            devices.place(network_of(self.info, self.store), device),
            self.info,
            request or self.request,
            device,
        )

    def _finish(
        self, loop: TrainingRun, start: float, best: float, steps: int, seconds: float
    ) -> TrainingEvent:
        request = self.request
        better = best > start or not request.keep_best
        info = save_trained(
            self.store,
            self.info,
            request,
            loop,
            self.images,
            {"validation_dice_before": start, "validation_dice": best},
            {"steps_done": steps, "seconds": round(seconds, 1), "held_out": self._held},
        )
        if better:
            text = f"Saved {info.id}: Dice {start:.3f} before, {best:.3f} now, in {seconds:.0f} s."
        else:
            text = (
                f"Training did not improve on Dice {start:.3f}, so {info.id} keeps the weights it "
                "started from. Correct more slices, or train longer."
            )
        return TrainingEvent("done", steps, steps, 1.0, None, best, best, text, info, before=start)

    def _message(self, text: str) -> TrainingEvent:
        return TrainingEvent("message", 0, self.request.steps, 0.0, text=text)


def _spent(loops: Sequence[TrainingRun]) -> tuple[int, float]:
    """Return the steps and the seconds of some runs together."""
    return sum(loop.step for loop in loops), sum(loop.seconds for loop in loops)


def save_trained(
    store: CheckpointStore,
    info: CheckpointInfo,
    request: FineTuneRequest,
    trained: Trained,
    images: Sequence[TrainingImage],
    scores: dict[str, float],
    numbers: dict[str, Any],
) -> CheckpointInfo:
    """Write a new checkpoint: its weights, how they came about, and some of what they learnt."""
    kept = replay.choose(images, replay_examples(info, store), np.random.default_rng(request.seed))
    info = replace(
        info,
        data_digest=digest(images),
        settings={**asdict(request), **numbers, "frames": [image.name for image in images]},
        versions=versions(),
        scores=scores,
        curves=thinned(trained.curves),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return store.save(info, trained.best_weights, replay=replay.pack(kept))


def network_of(info: CheckpointInfo, store: CheckpointStore) -> nn.Module:
    """Return the network that training begins with: its parent's, adapted, or a fresh one."""
    if info.parent is None:
        return info.build()
    parent, network = store.load(info.parent)
    if (parent.classes, parent.in_channels) == (info.classes, info.in_channels):
        return network
    adapted = info.build()
    transfer_weights(adapted, network.state_dict())
    return adapted


def replay_examples(info: CheckpointInfo, store: CheckpointStore) -> list[TrainingImage]:
    """Return what a checkpoint's parent learnt from and its own network can learn from."""
    if info.parent is None:
        return []
    channels, most = info.in_channels * info.context_slices, max(1, info.classes - 1)
    found = []
    for image in replay.read(store.path(info.parent)):
        if len(image.frame) == 1 < channels:  # learnt in grey, before there were more channels
            image = replace(image, frame=np.repeat(image.frame, channels, axis=0))
        fits = info.classes == 1 or image.labels.max(initial=0) <= most
        if len(image.frame) == channels and fits:
            found.append(image)
    return found


def check_examples(images: Sequence[TrainingImage], info: CheckpointInfo) -> None:
    """Raise `AnnotationError` unless a checkpoint can learn from these frames."""
    if not images:
        raise AnnotationError("There is nothing to learn from: no annotated frame was given.")
    if not any(image.known.any() for image in images):
        raise AnnotationError("There is nothing to learn from: all labels are background.")
    for image in images:
        channels = image.frame.shape[0] / info.context_slices
        if channels != info.in_channels:
            raise AnnotationError(
                f"{image.name} has {channels:g} channels, but {info.network} "
                f"was built for {info.in_channels}."
            )
        if info.classes > 1 and image.known.max(initial=0) >= info.classes:
            raise AnnotationError(
                f"{image.name} holds the label {image.known.max()}, but the checkpoint knows "
                f"only labels up to {info.classes - 1}."
            )


def thinned(curves: Curves) -> dict[str, list[list[float]]]:
    """Return curves as JSON data, with no more points than anybody can see."""

    def some(points: list[tuple[int, float]]) -> list[list[float]]:
        step = max(1, -(-len(points) // POINTS))
        return [[x, round(y, 5)] for x, y in points[::step]]

    return {"loss": some(curves.loss), "dice": some(curves.dice)}
