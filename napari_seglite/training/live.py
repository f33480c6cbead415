"""Learning after every stroke, as pixel classifiers do, but with a network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints.store import CheckpointStore
from ..errors import Cancelled
from ..images.training_image import TrainingImage
from ..inference.predictor import Predictor
from ..inference.tiling import predict_tiled
from ..runtime import devices
from ..runtime.compilation import COMPILING, needs_compiling, warm_up
from ..runtime.stopping import Stop, never
from .events import TrainingEvent
from .fine_tuner import check_examples, network_of, replay_examples, save_trained
from .patches import PatchSampler
from .request import FineTuneRequest, start_info
from .trainer import Trainer, copy_weights
from .training_run import OVERLAP, TILE, Curves, make_sampler

if TYPE_CHECKING:
    import torch
    from torch import nn

# Seconds of learning between a stroke and the next look at the result.
ROUND = 1.2
# Steps after the last stroke, until it waits for another.
ENOUGH = 60
READY = "Live: paint, and watch."
# Where on the learning rate's way down it stays.
PROGRESS = 0.4


@dataclass(frozen=True)
class LiveInput:
    """What there is to learn from now, and what is looked at.

    Attributes
    ----------
    images : sequence of TrainingImage
        Everything corrected so far; the same object as long as nothing changed.
    frame : ndarray
        ``(C, H, W)`` or ``(S, C, H, W)``, normalised: what the user sees.
    token : object
        To tell it by.
    """

    images: Sequence[TrainingImage]
    frame: np.ndarray
    token: object


class LiveSession:
    """A network that learns as long as somebody paints.

    Parameters
    ----------
    request : FineTuneRequest
        Where to start and the name of what is kept in the end; its steps and time do not count.
    store : CheckpointStore, optional
        Where checkpoints are read and written.

    Attributes
    ----------
    best_weights : dict
        The last ones.
    curves : Curves
        Of the loss; nothing is held out.
    """

    def __init__(self, request: FineTuneRequest, store: CheckpointStore | None = None) -> None:
        self.request, self.store = request, store or CheckpointStore()
        self.info = start_info(request, self.store)
        self.best_weights: dict[str, torch.Tensor] = {}
        self.curves = Curves()
        self._steps = 0

    def run(
        self, work: Callable[[], LiveInput | None], stop: Stop = never, abort: Stop = never
    ) -> Iterator[TrainingEvent]:
        """Learn and predict in turn until stopped; then the weights become a checkpoint.

        Parameters
        ----------
        work : callable
            Asked before every round; None as long as nothing was corrected.
        stop, abort : callable
            As in `FineTuner.run`.

        Yields
        ------
        TrainingEvent
            ``"preview"`` after every round, ``"done"`` in the end if anything was learnt.
        """
        import torch

        device = devices.resolve(self.request.device)
        yield self._event("message", text="Reading the checkpoint …")
        try:
            with torch.random.fork_rng(devices=[]):
                if needs_compiling(self.info.network, device, training=True):
                    yield self._event("message", text=COMPILING)
                warm_up(self.info.network, device, training=True)
                torch.manual_seed(self.request.seed)
                network = devices.place(network_of(self.info, self.store), device)
                self._rehearse(network, device)
                torch.manual_seed(self.request.seed)
                learner = Trainer(network, self.info, self.request, device)
                yield from self._rounds(learner, work, stop, abort)
        finally:
            devices.release(device)

    def _rehearse(self, network: nn.Module, device: str) -> None:
        """Make a step and a prediction with a copy: the first ones take longer than later ones."""
        r, side = self.request, self.request.patch
        channels = self.info.in_channels * self.info.context_slices
        blank = TrainingImage(
            "", np.zeros((channels, side, side), np.float32), np.zeros((side, side), np.uint8)
        )
        learner = Trainer(deepcopy(network), self.info, r, device)
        learner.step(make_sampler([blank], [], r, 0, self.info.classes).batch(r.batch), 0.0)
        frame = blank.frame
        if self.info.context_slices > 1:
            frame = frame.reshape(self.info.context_slices, -1, side, side)
        Predictor(learner.averaged.eval(), device)(frame)

    def _rounds(
        self,
        learner: Trainer,
        work: Callable[[], LiveInput | None],
        stop: Stop,
        abort: Stop,
    ) -> Iterator[TrainingEvent]:
        images: Sequence[TrainingImage] | None = None
        sampler: PatchSampler | None = None
        before = replay_examples(self.info, self.store)
        since, token, begun = 0, None, time.monotonic()
        yield self._event("message", text=READY)
        while not stop():
            if abort():
                raise Cancelled
            now = work()
            idle = now is None or (now.images is images and since >= ENOUGH and now.token == token)
            if now is None or idle:
                time.sleep(0.05)
                continue
            if now.images is not images:
                check_examples(now.images, self.info)
                images, since = now.images, 0
                sampler = make_sampler(images, before, self.request, self._steps, self.info.classes)
            assert sampler is not None
            loss = math.nan
            end = time.monotonic() + ROUND
            while since < ENOUGH and time.monotonic() < end and not (stop() or abort()):
                loss = learner.step(sampler.batch(self.request.batch), PROGRESS)
                if math.isfinite(loss):
                    self._steps, since = self._steps + 1, since + 1
                    self.curves.loss.append((self._steps, loss))
                    yield self._event("step", loss=loss)
            predict = Predictor(learner.averaged.eval(), learner.device)
            found = predict_tiled(predict, now.frame, TILE, OVERLAP)
            token = now.token
            yield replace(self._event("preview", loss=loss), preview=found, token=token)
        if images is None or not self._steps:
            return
        self.best_weights = copy_weights(learner.averaged)
        seconds = round(time.monotonic() - begun, 1)
        numbers = {"steps_done": self._steps, "seconds": seconds, "live": True, "held_out": []}
        info = save_trained(self.store, self.info, self.request, self, images, {}, numbers)
        text = f"Saved {info.id}, learnt live in {self._steps} steps."
        yield replace(self._event("done", text=text), checkpoint=info)

    def _event(self, kind: str, loss: float | None = None, text: str = "") -> TrainingEvent:
        return TrainingEvent(kind, self._steps, 0, 0.0, loss, text=text)
