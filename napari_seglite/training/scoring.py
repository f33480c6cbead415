"""Score a network on held-out frames, quickly once the user has stopped the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints import CheckpointInfo, replay
from ..errors import Cancelled
from ..images import TrainingImage
from ..inference import classify, predict_slab, predict_with_head
from ..labels import instance_scores, overlap, overlap_per_class, separate
from ..runtime import Stop, delayed, interruptible
from .whole_objects import object_ids

if TYPE_CHECKING:
    from torch import nn

# Seconds that scoring patches may take once the run is stopped, so that it ends within a second.
AFTER_STOP = 0.4
# Number of patches that are scored then.
PATCHES = 3


def patches_of(frames: Sequence[TrainingImage], seed: int) -> list[TrainingImage]:
    """Return patches of held-out frames, which are scored faster than the frames.

    Frames that are no larger than a patch are returned as they are.
    """
    if all(max(frame.labels.shape) <= replay.SIDE for frame in frames):
        return list(frames)
    rng = np.random.default_rng(seed)
    return [replay.cut(frame, rng) for frame in frames[:PATCHES]]


def score_frames(
    network: nn.Module,
    info: CheckpointInfo,
    frames: Sequence[TrainingImage],
    device: str,
    stop: Stop,
    abort: Stop,
    patience: float = 0.0,
    f1: list[float] | None = None,
) -> list[float]:
    """Return the Dice of every held-out frame.

    Parameters
    ----------
    network : Module
        On `device`, in evaluation mode.
    info : CheckpointInfo
        Card of its checkpoint.
    frames : sequence of TrainingImage
        The held-out frames.
    device : str
        As `devices.resolve` returns it.
    stop : callable
        Once it returns True, scoring goes on for `patience` seconds at most, and the frames that
        were not finished are missing.
    abort : callable
        Once it returns True, `Cancelled` is raised.
    patience : float
        Seconds.
    f1 : list of float, optional
        Gets the F1 of objects at IoU 0.5 of every frame if the network has an object head.

    Raises
    ------
    Cancelled
        If `abort` returned True.
    """
    compare = overlap if info.classes == 1 else overlap_per_class
    late, scores = delayed(stop, patience), list[float]()
    try:
        with interruptible(network, lambda: abort() or late()):
            for image in frames:
                values, found = _predicted(network, info, image, device)
                predicted = classify(values[: info.classes])
                if image.weight is not None:
                    predicted = np.where(image.weight > 0, predicted, 0)
                if found is not None and f1 is not None:
                    f1.append(_object_f1(found, image))
                scores.append(compare(predicted, image.annotated).dice)
    except Cancelled:
        if abort():
            raise
    return scores


def _predicted(
    network: nn.Module, info: CheckpointInfo, image: TrainingImage, device: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values of a frame and, by an object head, its objects; of a slab its middle."""
    if not info.head:
        return predict_with_head(network, info, image.frame, device), None
    rule = (
        info.classes,
        info.head,
        info.split_depth,
        info.smallest_object,
        info.least_probability,
    )
    if not info.volumetric:
        values = predict_with_head(network, info, image.frame, device)
        return values, separate(values, *rule)
    slab, middle = predict_slab(network, info, image.frame, device), image.frame.shape[1] // 2
    return slab[:, middle], separate(slab, *rule)[middle]


def _object_f1(found: np.ndarray, image: TrainingImage) -> float:
    """Return the F1 at IoU 0.5 of the objects of a frame, as far as it is annotated."""
    truth: np.ndarray | None = None
    if image.objects is not None:  # of which one may have several parts in a slice
        truth = image.objects.plane(image.frame.shape[1] // 2)
    truth = object_ids(image.labels) if truth is None else truth
    if image.weight is not None:
        found, truth = (np.where(image.weight > 0, labels, 0) for labels in (found, truth))
    return instance_scores(found, truth, (0.5,)).f1[0.5]
