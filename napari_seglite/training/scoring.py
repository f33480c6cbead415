"""Score a network on held-out frames, quickly once the user has stopped the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints import CheckpointInfo
from ..errors import Cancelled
from ..images import TrainingImage
from ..inference import classify, predict_frame
from ..labels import overlap, overlap_per_class
from ..runtime import Stop, delayed, interruptible

if TYPE_CHECKING:
    from torch import nn

# Seconds that scoring may take once the run is stopped, so that it ends within a second.
AFTER_STOP = 0.4


def score_frames(
    network: nn.Module,
    info: CheckpointInfo,
    frames: Sequence[TrainingImage],
    device: str,
    stop: Stop,
    abort: Stop,
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
        Once it returns True, scoring goes on for `AFTER_STOP` seconds at most, and the frames
        that were not finished are missing.
    abort : callable
        Once it returns True, `Cancelled` is raised.

    Raises
    ------
    Cancelled
        If `abort` returned True.
    """
    compare = overlap if info.classes == 1 else overlap_per_class
    late, scores = delayed(stop, AFTER_STOP), list[float]()
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
