"""Turn trained weights into a checkpoint with its card and its replay buffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..checkpoints import CheckpointInfo, CheckpointStore, replay
from ..errors import CheckpointError
from ..images import TrainingImage
from ..inference import TILE
from ..labels import object_diameter
from ..runtime import versions
from .examples import digest
from .progress import Curves
from .request import FineTuneRequest

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
    replayed: Sequence[TrainingImage],
    scores: dict[str, float],
    numbers: dict[str, Any],
    parts: Mapping[str, Curves] | None = None,
    copied: bool = False,
) -> CheckpointInfo:
    """Write a new checkpoint: weights, settings, versions, curves and replay buffer.

    Nothing but the new checkpoint's name is looked up in the store, so that a parent that was
    deleted during the run does no harm.

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
    replayed : sequence of TrainingImage
        The replay buffer of its parent.
    scores : dict
        Scores by name, for the card.
    numbers : dict
        What else the card keeps beside the settings, such as the number of steps.
    parts : mapping, optional
        Curves of the parts of a cross-validation by their names.
    copied : bool
        Whether the weights are those that the run began with.

    Returns
    -------
    CheckpointInfo
        The card as it was written. Its id is another one if the name was taken meanwhile.

    Raises
    ------
    CheckpointError, OSError
        If it cannot be written.
    """
    import torch

    kept = replay.pack(replay.choose(images, replayed, np.random.default_rng(request.seed)))
    # Sums are rounded differently with another number of threads or size of tiles.
    numbers = {**numbers, "threads": torch.get_num_threads(), "tile": TILE}
    diameter = (_typical_diameter(images) if info.objects else 0.0) or info.object_diameter
    while True:
        name = free_name(store, request.name)
        settings = {**asdict(replace(request, name=name)), **numbers}
        card = replace(
            info,
            id=name,
            data_digest=digest(images),
            settings={**settings, "frames": [image.name for image in images]},
            versions=versions(),
            scores=scores,
            object_diameter=diameter,
            curves=_all_curves(trained.curves, parts or {}),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            start_only=info.start_only and copied,
        )
        try:
            return store.save(card, trained.best_weights, replay=kept)
        except CheckpointError:
            if not store.is_taken(name):
                raise


def _typical_diameter(images: Sequence[TrainingImage]) -> float:
    """Return the median over frames of the diameter of their objects; 0 if there are none."""
    # A stroke is as wide as the brush, not as the object.
    diameters = [object_diameter(image.labels) for image in images if not image.sparse]
    known = [diameter for diameter in diameters if diameter]
    return round(float(np.median(known)), 1) if known else 0.0


def free_name(store: CheckpointStore, name: str) -> str:
    """Return a name that is not taken: this one, or with the first free number after it."""
    free, number = name, 1
    while store.is_taken(free):
        number += 1
        free = f"{name[:90]}-{number}"
    return free


def thinned(curves: Curves) -> dict[str, list[list[float]]]:
    """Return curves as JSON data for a card, with at most `POINTS` points each."""

    def thin(points: list[tuple[int, float]]) -> list[list[float]]:
        step = max(1, -(-len(points) // POINTS))
        return [[x, round(y, 5)] for x, y in points[::step]]

    thin_curves = {"loss": thin(curves.loss), "dice": thin(curves.dice)}
    return thin_curves | ({"f1": thin(curves.f1)} if curves.f1 else {})


def _all_curves(curves: Curves, parts: Mapping[str, Curves]) -> dict[str, list[list[float]]]:
    """Return the curves of a run and of the parts that were held out before it."""
    named = {
        f"{kind}, {name}": points
        for name, part in parts.items()
        for kind, points in thinned(part).items()
    }
    return thinned(curves) | named
