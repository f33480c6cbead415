"""Compare networks: train each on the user's annotations for the same time, and rank them."""

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
from ..runtime import Stop, interruptible, never
from .events import StepDone, Validated
from .pace import Pace
from .request import FineTuneRequest
from .splits import folds
from .start import (
    check_examples,
    compile_for_training,
    read_start,
    start_info,
    training_device,
)
from .training_run import TrainingRun

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

# Folds that are held out in turn.
FOLDS = 2
# More steps than any time limit allows.
UNLIMITED = 100_000


@dataclass(frozen=True)
class RankedNetwork:
    """The result of one network or checkpoint.

    Attributes
    ----------
    start : str
        Id of the checkpoint, or name of the network that was trained from scratch.
    dice : float
        Held-out Dice, the mean over the folds; NaN until the first is scored.
    before : float
        The same before training.
    seconds : float
        Time to segment a million pixels on this device.
    parameters : int
        Number of weights.
    steps : int
        Number of steps in all folds.
    done : bool
        Whether all folds are scored.
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
    """The ranking so far, best first.

    Attributes
    ----------
    ranking : tuple of RankedNetwork
        Every network that was started.
    text : str
        A sentence for the user.
    progress : float
        Share of the comparison that is done, 0 to 1.
    """

    ranking: tuple[RankedNetwork, ...]
    text: str
    progress: float


def ranking_table(ranking: Sequence[RankedNetwork]) -> pd.DataFrame:
    """Return a ranking as a table, one row per network or checkpoint."""
    import pandas as pd

    return pd.DataFrame(
        {
            "Dice held out": [round(result.dice, 3) for result in ranking],
            "before": [round(result.before, 3) for result in ranking],
            "s / megapixel": [round(result.seconds, 2) for result in ranking],
            "parameters": [result.parameters for result in ranking],
            "steps": [result.steps for result in ranking],
        },
        index=pd.Index([result.start for result in ranking], name="start"),
    )


def compare_networks(
    competitors: Sequence[tuple[FineTuneRequest, Sequence[TrainingImage]]],
    store: CheckpointStore,
    stop: Stop = never,
    abort: Stop = never,
) -> Iterator[ComparisonEvent]:
    """Cross-validate each network for the same time, and rank them.

    Parameters
    ----------
    competitors : sequence of (FineTuneRequest, sequence of TrainingImage)
        Requests of different starts, each with its time limit, as `suggest_settings` returns them,
        and the corrected frames prepared for each.
    store : CheckpointStore
        Where checkpoints are read; nothing is written.
    stop, abort : callable
        As `FineTuner.run` takes them; after `stop`, the ranking so far stands.

    Yields
    ------
    ComparisonEvent
        After every step and every score.

    Raises
    ------
    AnnotationError
        If there is no network to compare, or nothing to learn from.
    Cancelled
        If `abort` returned True.
    """
    if not competitors:
        raise AnnotationError("Choose at least one network or checkpoint.")
    results: dict[str, RankedNetwork] = {}
    with training_device(competitors[0][0].device) as device:
        for number, (request, images) in enumerate(competitors):
            for result, text, share in _train_one(request, images, store, device, stop, abort):
                results[result.start] = result
                ranked = sorted(results.values(), key=lambda r: -np.nan_to_num(r.dice))
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
    """Hold out each fold in turn; yield the result so far, a sentence, and the share done."""
    start, info = request.checkpoint, start_info(request, store)
    check_examples(images, info)
    for _ in compile_for_training(info.network, device, lambda: stop() or abort()):
        pass  # a comparison takes minutes, so that compiling needs no message
    point = read_start(info, store, request.seed, device)
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
        trainer = point.trainer(info, request, device)
        with interruptible(trainer.averaged, lambda: stop() or abort()):
            seconds = seconds_per_megapixel(trainer.averaged, info, held_out[0], device)
        pace = Pace(minutes, ending=0.0)
        run = TrainingRun(trainer, request, train, held_out, point.replayed, pace=pace)
        runs.append(run)
        for event in run.run(stop, abort):
            if not isinstance(event, Validated | StepDone):
                continue
            if isinstance(event, Validated) and not run.progress.step:
                pace.begin()  # all networks train for the same time, however fast they are scored
            result = RankedNetwork(
                start,
                mean(each.progress.best for each in runs),
                mean(each.progress.start for each in runs),
                seconds,
                sum(weight.numel() for weight in trainer.network.parameters()),
                sum(each.progress.step for each in runs),
                done=False,
            )
            text = f"{start}, held-out part {number + 1} of {len(parts)}. {event.text}"
            yield result, text, (number + run.share) / len(parts)
        if stop():
            return
    yield replace(result, done=True), text, 1.0


def seconds_per_megapixel(
    network: nn.Module, info: CheckpointInfo, image: TrainingImage, device: str
) -> float:
    """Return the seconds that a network takes for a million pixels; the faster of two tries."""
    frame = image.frame[..., :512, :512]
    times: list[float] = []
    network.eval()
    for _ in range(2):
        begun = time.perf_counter()
        predict_frame(network, info, frame, device)
        times.append(time.perf_counter() - begun)
    network.train()
    return min(times) * 1e6 / float(frame.shape[-2] * frame.shape[-1])
