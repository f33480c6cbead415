"""Which pixels of an image somebody corrected, and what a network may learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..images.corrections import WHOLE, Corrections
from ..images.training_image import TrainingImage
from .dataset import frames_of

if TYPE_CHECKING:
    from ..checkpoints.store import CheckpointInfo
    from ..images.axes import ImageAxes

# Pixels around what was corrected that the network sees as surroundings.
SURROUNDINGS = 64


def corrected_frames(
    name: str,
    image: Any,
    labels: Any,
    axes: ImageAxes,
    info: CheckpointInfo,
    corrections: Corrections,
    channels: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
) -> list[TrainingImage]:
    """Return what a checkpoint can learn from an image that was corrected in parts.

    Of large frames only the corrected part is kept, with a margin.

    Parameters
    ----------
    name : str
        For messages.
    image, labels : array
        Labels lack the channel axis.
    axes : ImageAxes
        Of the image.
    info : CheckpointInfo
        Says how many channels and which normalisation.
    corrections : Corrections
        Which pixels count.
    channels : sequence of int, optional
        Which channels, see `select_channels`.
    limits : tuple of float, optional
        What `image_limits` returns, where it is known already.

    Raises
    ------
    AnnotationError
        If labels do not cover the image.
    """
    found: list[TrainingImage] = []
    numbers = corrections.frames
    frames = frames_of(name, image, labels, axes, info, numbers, channels, limits)
    for frame, image_frame in zip(numbers, frames, strict=True):
        truth, weight = corrections.truth(frame, image_frame.labels)
        box = _surroundings(weight)
        found.append(
            TrainingImage(
                image_frame.name,
                image_frame.frame[:, *box],
                np.array(truth[box]),  # a copy: somebody may be painting
                weight=None if weight.all() else weight[box],
                scribbled=corrections.scribbled(frame),
            )
        )
    return [image for image in found if image.weight is None or image.weight.any()]


def _surroundings(weight: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of all pixels that count, with a margin."""
    if max(weight.shape) <= WHOLE or not weight.any():
        return slice(None), slice(None)
    rows, columns = np.flatnonzero(weight.any(1)), np.flatnonzero(weight.any(0))
    return (
        slice(max(0, rows[0] - SURROUNDINGS), rows[-1] + 1 + SURROUNDINGS),
        slice(max(0, columns[0] - SURROUNDINGS), columns[-1] + 1 + SURROUNDINGS),
    )
