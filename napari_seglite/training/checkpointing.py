"""Turn trained weights into a checkpoint with its card and its replay buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..checkpoints import CheckpointInfo, CheckpointStore, replay
from ..images import TrainingImage
from ..runtime import versions
from .examples import digest
from .request import FineTuneRequest
from .start import replay_examples
from .training_run import Curves

if TYPE_CHECKING:
    import torch

# Points of a curve that a card keeps.
POINTS = 200


class Trained(Protocol):
    """The outcome of a run: weights to save, and its curves."""

    best_weights: dict[str, torch.Tensor]
    curves: Curves


def save_trained(
    store: CheckpointStore,
    info: CheckpointInfo,
    request: FineTuneRequest,
    trained: Trained,
    images: Sequence[TrainingImage],
    scores: dict[str, float],
    numbers: dict[str, Any],
) -> CheckpointInfo:
    """Write a new checkpoint: weights, settings, versions, curves and replay buffer.

    Parameters
    ----------
    store : CheckpointStore
        Where it is written.
    info : CheckpointInfo
        The card that the run began with.
    request : FineTuneRequest
        The settings.
    trained : Trained
        Weights and curves.
    images : sequence of TrainingImage
        The frames it learnt from.
    scores : dict
        Scores by name, for the card.
    numbers : dict
        What else the card keeps beside the settings, such as the number of steps.

    Returns
    -------
    CheckpointInfo
        The card as it was written.

    Raises
    ------
    CheckpointError
        If the name is taken.
    """
    rng = np.random.default_rng(request.seed)
    kept = replay.choose(images, replay_examples(info, store), rng)
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


def thinned(curves: Curves) -> dict[str, list[list[float]]]:
    """Return curves as JSON data for a card, with at most `POINTS` points each."""

    def thin(points: list[tuple[int, float]]) -> list[list[float]]:
        step = max(1, -(-len(points) // POINTS))
        return [[x, round(y, 5)] for x, y in points[::step]]

    return {"loss": thin(curves.loss), "dice": thin(curves.dice)}
