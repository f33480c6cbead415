"""Which network learns a user's own data best, in the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints.store import CheckpointInfo, CheckpointStore
from ..errors import AnnotationError
from ..images.training_image import TrainingImage
from ..inference.predictor import Predictor
from ..inference.tiling import predict_tiled
from ..runtime import devices
from ..runtime.compilation import needs_compiling, warm_up
from ..runtime.stopping import Stop, never
from .fine_tuner import check_examples, network_of, replay_examples
from .request import FineTuneRequest, start_info
from .splits import folds
from .trainer import Trainer
from .training_run import OVERLAP, TILE, TrainingRun

if TYPE_CHECKING:
    from torch import nn

# Parts that are held out in turn.
PARTS = 2


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
        raise AnnotationError("Choose one network or checkpoint at least.")
    device = devices.resolve(competitors[0][0].device)
    entries: dict[str, RankedNetwork] = {}
    try:
        for number, (request, images) in enumerate(competitors):
            for entry, text, share in _compete(request, images, store, device, stop, abort):
                entries[entry.start] = entry
                ranked = sorted(entries.values(), key=lambda e: -np.nan_to_num(e.dice))
                progress = (number + share) / len(competitors)
                yield ComparisonEvent(tuple(ranked), text, progress)
            if stop():
                break
    finally:
        devices.release(device)


def _compete(
    request: FineTuneRequest,
    images: Sequence[TrainingImage],
    store: CheckpointStore,
    device: str,
    stop: Stop,
    abort: Stop,
) -> Iterator[tuple[RankedNetwork, str, float]]:
    import torch

    start, seed, info = request.checkpoint, request.seed, start_info(request, store)
    check_examples(images, info)
    if needs_compiling(info.network, device, training=True):
        warm_up(info.network, device, training=True)
    parts = folds(images, PARTS, np.random.default_rng(seed))
    # As long as the time lasts: the number of steps says how fast a network learns.
    request = replace(
        request,
        minutes=request.minutes / len(parts),
        steps=100_000,
        steps_if_new=None,
        patience=100_000,
    )
    loops: list[TrainingRun] = []
    seconds, parameters = float("nan"), 0
    for number, (train, validate) in enumerate(parts):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = devices.place(network_of(info, store), device)
            parameters = sum(weight.numel() for weight in network.parameters())
            seconds = seconds_per_megapixel(network, info, validate[0], device)
            loop = TrainingRun(
                Trainer(network, info, request, device),
                request,
                train,
                validate,
                replay_examples(info, store),
            )
            loops.append(loop)
            for event in loop.run(stop, abort):
                if event.kind in ("validation", "step"):
                    last = number == len(parts) - 1 and event.progress >= 1
                    entry = RankedNetwork(
                        start,
                        mean(each.best for each in loops),
                        mean(each.start for each in loops),
                        seconds,
                        parameters,
                        sum(each.step for each in loops),
                        last and event.kind == "validation",
                    )
                    text = f"{start}, held-out part {number + 1} of {len(parts)}. {event.text}"
                    yield entry, text, (number + event.progress) / len(parts)
        if stop():
            return


def seconds_per_megapixel(
    network: nn.Module, info: CheckpointInfo, image: TrainingImage, device: str
) -> float:
    """Return the seconds that a network takes for a million pixels; the faster of two tries."""
    frame = image.frame[:, :512, :512]
    if info.context_slices > 1:
        frame = frame.reshape(info.context_slices, -1, *frame.shape[1:])
    predict, times = Predictor(network.eval(), device), []
    for _ in range(2):
        begun = time.perf_counter()
        predict_tiled(predict, frame, TILE, OVERLAP)
        times.append(time.perf_counter() - begun)
    network.train()
    return min(times) * 1e6 / (frame.shape[-2] * frame.shape[-1])
