"""Which network learns a user's own data best, in the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints import CheckpointInfo, CheckpointStore
from ..errors import AnnotationError
from ..images import TrainingImage
from ..inference import predict_frame
from ..runtime import RandomState, Stop, devices, never
from .events import StepDone, Validated
from .request import FineTuneRequest
from .splits import folds
from .start import (
    check_examples,
    compile_for_training,
    replay_examples,
    start_info,
    start_network,
    training_device,
)
from .trainer import Trainer
from .training_run import TrainingRun

if TYPE_CHECKING:
    from torch import nn

# Folds that are held out in turn.
FOLDS = 2
# More steps than any time limit allows.
UNLIMITED = 100_000


@dataclass(frozen=True)
class RankedNetwork:
    """How a network or checkpoint did.

    Attributes
    ----------
    start : str
        Its name.
    dice : float
        Mean over the held-out parts; NaN while there is none.
    before : float
        The same before training.
    seconds : float
        For a million pixels, segmented on this device.
    parameters : int
        Of the network.
    steps : int
        That it made.
    done : bool
        Whether all parts were held out in turn.
    """

    start: str
    dice: float
    before: float
    seconds: float
    parameters: int
    steps: int
    done: bool


@dataclass(frozen=True)
class ComparisonEvent:
    """News from a comparison: all entries so far, best first."""

    entries: tuple[RankedNetwork, ...]
    text: str
    progress: float


def compare_networks(
    competitors: Sequence[tuple[FineTuneRequest, Sequence[TrainingImage]]],
    store: CheckpointStore,
    stop: Stop = never,
    abort: Stop = never,
) -> Iterator[ComparisonEvent]:
    """Train each for the same time, hold parts out in turn, and rank them.

    Parameters
    ----------
    competitors : sequence of (FineTuneRequest, sequence of TrainingImage)
        Requests of different starts, each with its time limit, as `suggest_settings` returns them,
        and the corrected frames prepared for each.
    store : CheckpointStore
        Where checkpoints are read; nothing is written.
    stop, abort : callable
        As in `FineTuner.run`; stopped, what is known so far stands.

    Yields
    ------
    ComparisonEvent
        At every held-out Dice.
    """
    if not competitors:
        raise AnnotationError("Choose at least one network or checkpoint.")
    ranking: dict[str, RankedNetwork] = {}
    with training_device(competitors[0][0].device) as device:
        for number, (request, images) in enumerate(competitors):
            for entry, text, share in _train_one(request, images, store, device, stop, abort):
                ranking[entry.start] = entry
                ranked = sorted(ranking.values(), key=lambda e: -np.nan_to_num(e.dice))
                progress = (number + share) / len(competitors)
                yield ComparisonEvent(tuple(ranked), text, progress)
            if stop():
                break


def _train_one(
    request: FineTuneRequest,
    images: Sequence[TrainingImage],
    store: CheckpointStore,
    device: str,
    stop: Stop,
    abort: Stop,
) -> Iterator[tuple[RankedNetwork, str, float]]:
    """Hold each fold out in turn; yield the place so far, a sentence, and the share done."""
    start, info = request.checkpoint, start_info(request, store)
    check_examples(images, info)
    for _ in compile_for_training(info.network, device):
        pass  # it goes without saying in a comparison of minutes
    parts = folds(images, FOLDS, np.random.default_rng(request.seed))
    # Until the time is up: the number of steps shows how fast a network learns.
    minutes, full = request.schedule.minutes / len(parts), request.full_training
    request = request.adjusted(
        minutes=minutes,
        steps=UNLIMITED,
        patience=UNLIMITED,
        full_training=full and replace(full, steps=None),
    )
    runs: list[TrainingRun] = []
    for number, (train, held_out) in enumerate(parts):
        random = RandomState(request.seed, device)
        with random.active():
            network = devices.place(start_network(info, store), device)
        seconds = seconds_per_megapixel(network, info, held_out[0], device)
        trainer = Trainer(network, info, request, device, random)
        run = TrainingRun(trainer, request, train, held_out, replay_examples(info, store))
        runs.append(run)
        for event in run.run(stop, abort):
            if not isinstance(event, Validated | StepDone):
                continue
            share = event.status.share
            finished = number == len(parts) - 1 and share >= 1 and isinstance(event, Validated)
            place = RankedNetwork(
                start,
                mean(each.progress.best for each in runs),
                mean(each.progress.start for each in runs),
                seconds,
                sum(weight.numel() for weight in network.parameters()),
                sum(each.progress.step for each in runs),
                finished,
            )
            text = f"{start}, held-out part {number + 1} of {len(parts)}. {event.text}"
            yield place, text, (number + share) / len(parts)
        if stop():
            return


def seconds_per_megapixel(
    network: nn.Module, info: CheckpointInfo, image: TrainingImage, device: str
) -> float:
    """Return the seconds that a network takes for a million pixels; the faster of two tries."""
    frame, times = image.frame[:, :512, :512], []
    network.eval()
    for _ in range(2):
        begun = time.perf_counter()
        predict_frame(network, info, frame, device)
        times.append(time.perf_counter() - begun)
    network.train()
    return min(times) * 1e6 / (frame.shape[-2] * frame.shape[-1])
