"""Score a network on held-out frames, quickly once the user has stopped the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints import CheckpointInfo, replay
from ..errors import Cancelled
from ..images import TrainingImage
from ..inference import classify, predict_frame
from ..labels import overlap, overlap_per_class
from ..runtime import Stop, delayed, interruptible

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
                predicted = classify(predict_frame(network, info, image.frame, device))
                if image.weight is not None:
                    predicted = np.where(image.weight > 0, predicted, 0)
                scores.append(compare(predicted, image.annotated).dice)
    except Cancelled:
        if abort():
            raise
    return scores
