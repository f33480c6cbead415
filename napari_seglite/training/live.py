"""Learn after every stroke, as pixel classifiers do, but with a network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints import CheckpointStore
from ..errors import Cancelled
from ..images import TrainingImage
from ..inference import predict_frame
from ..runtime import RandomState, Stop, devices, never
from .checkpointing import save_trained
from .events import Finished, Message, Previewed, RunStatus, StepDone, TrainingEvent
from .patches import PatchSampler
from .request import FineTuneRequest
from .start import (
    check_examples,
    compile_for_training,
    replay_examples,
    start_info,
    start_network,
    training_device,
)
from .trainer import Trainer, copy_weights
from .training_run import Curves, make_sampler

if TYPE_CHECKING:
    import torch
    from torch import nn

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
        self.best_weights: dict[str, torch.Tensor] = {}
        self.curves = Curves()
        self._steps = 0

    def run(
        self,
        live_input: Callable[[], LiveInput | None],
        stop: Stop = never,
        abort: Stop = never,
    ) -> Iterator[TrainingEvent]:
        """Learn and predict in turn until stopped; then save the weights as a checkpoint.

        Parameters
        ----------
        live_input : callable
            Asked before every round; returns None as long as nothing is corrected.
        stop, abort : callable
            As `FineTuner.run` takes them.

        Yields
        ------
        TrainingEvent
            `Previewed` after every round; `Finished` in the end if anything was learnt.
        """
        yield self._message("Reading the checkpoint …")
        with training_device(self.request.device) as device:
            for text in compile_for_training(self.info.network, device):
                yield self._message(text)
            random = RandomState(self.request.seed, device)
            with random.active():
                network = devices.place(start_network(self.info, self.store), device)
            self._rehearse(network, device)
            random = RandomState(self.request.seed, device)
            trainer = Trainer(network, self.info, self.request, device, random)
            yield from self._rounds(trainer, live_input, stop, abort)

    def _rehearse(self, network: nn.Module, device: str) -> None:
        """Make a step and a prediction with a copy: the first ones take longer than later ones."""
        request, side = self.request, self.request.schedule.patch
        channels = self.info.in_channels * self.info.context_slices
        blank = TrainingImage(
            "", np.zeros((channels, side, side), np.float32), np.zeros((side, side), np.uint8)
        )
        random = RandomState(request.seed, device)
        trainer = Trainer(deepcopy(network), self.info, request, device, random)
        sampler = make_sampler([blank], [], request, 0, self.info.classes)
        trainer.step(sampler.batch(request.schedule.batch), 0.0)
        predict_frame(trainer.averaged.eval(), self.info, blank.frame, device)

    def _rounds(
        self,
        trainer: Trainer,
        live_input: Callable[[], LiveInput | None],
        stop: Stop,
        abort: Stop,
    ) -> Iterator[TrainingEvent]:
        images: Sequence[TrainingImage] | None = None
        sampler: PatchSampler | None = None
        replayed = replay_examples(self.info, self.store)
        since, patch, begun = 0, None, time.monotonic()
        yield self._message(READY)
        while not stop():
            if abort():
                raise Cancelled
            now = live_input()
            idle = now is None or (now.images is images and since >= ENOUGH and now.patch == patch)
            if now is None or idle:
                time.sleep(0.05)
                continue
            if now.images is not images:
                check_examples(now.images, self.info)
                images, since = now.images, 0
                sampler = make_sampler(
                    images, replayed, self.request, self._steps, self.info.classes
                )
            assert sampler is not None
            end = time.monotonic() + ROUND
            while since < ENOUGH and time.monotonic() < end and not (stop() or abort()):
                loss = trainer.step(sampler.batch(self.request.schedule.batch), RATE_SHARE)
                if math.isfinite(loss):
                    self._steps, since = self._steps + 1, since + 1
                    self.curves.loss.append((self._steps, loss))
                    yield StepDone("", self._status(), loss)
            network = trainer.averaged.eval()
            predicted, patch = (
                predict_frame(network, self.info, now.frame, trainer.device),
                now.patch,
            )
            yield Previewed("", self._status(), predicted, patch)
        if images is not None and self._steps:
            yield self._save(trainer, images, time.monotonic() - begun)

    def _save(self, trainer: Trainer, images: Sequence[TrainingImage], seconds: float) -> Finished:
        self.best_weights = copy_weights(trainer.averaged)
        numbers = {
            "steps_done": self._steps,
            "seconds": round(seconds, 1),
            "live": True,
            "held_out": [],
        }
        info = save_trained(self.store, self.info, self.request, self, images, {}, numbers)
        text = f"Saved {info.id}, learnt live in {self._steps} steps."
        return Finished(text, self._status(), info)

    def _status(self) -> RunStatus:
        return RunStatus(self._steps)

    def _message(self, text: str) -> Message:
        return Message(text, self._status())
