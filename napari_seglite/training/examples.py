"""Which pixels of an image somebody corrected, and what a network may learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..images.corrections import WHOLE, Corrections
from ..images.training_image import TrainingImage

if TYPE_CHECKING:
    from ..checkpoints.store import CheckpointInfo
    from ..images.axes import ImageAxes

import hashlib
from typing import TYPE_CHECKING

from ..checkpoints.inputs import intensity_limits, prepare_slices
from ..errors import AnnotationError
from ..images.axes import ImageAxes

if TYPE_CHECKING:
    import torch

    from ..checkpoints.store import CheckpointInfo

    Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]


# Pixels around what was corrected that the network sees as surroundings.
SURROUNDINGS = 64


def corrected_examples(
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
        What `intensity_limits` returns, where it is known already.

    Raises
    ------
    AnnotationError
        If labels do not cover the image.
    """
    found: list[TrainingImage] = []
    numbers = corrections.frames
    frames = image_examples(name, image, labels, axes, info, numbers, channels, limits)
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


def image_examples(
    name: str,
    image: np.ndarray,
    labels: np.ndarray,
    axes: ImageAxes,
    info: CheckpointInfo,
    frames: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
) -> list[TrainingImage]:
    """Prepare frames of an image and its labels for a checkpoint.

    The whole image decides the normalisation, as it does when it is segmented.

    Parameters
    ----------
    name : str
        For messages.
    image, labels : ndarray
        Labels lack the channel axis.
    axes : ImageAxes
        Of the image.
    info : CheckpointInfo
        Says how many channels and which normalisation.
    frames : sequence of int, optional
        Which frames; all if not given.
    channels : sequence of int, optional
        Which channels, see `select_channels`.
    limits : tuple of float, optional
        What `intensity_limits` returns, where it is known already.

    Raises
    ------
    AnnotationError
        If labels do not cover the image.
    """
    axes.check(image.shape)
    if labels.shape != axes.label_shape(image.shape):
        raise AnnotationError(
            f"{name}: labels of shape {labels.shape} do not cover an image of shape "
            f"{axes.label_shape(image.shape)}. Give labels of the image's own size."
        )
    if frames is None:
        frames = range(axes.frame_count(image.shape))
    limits = limits or intensity_limits(image, axes, info, channels)
    return [
        TrainingImage(
            f"{name}, slice {k}" if axes.stacked else name,
            _stacked(prepare_slices(image, axes, k, info, limits, channels)),
            ImageAxes(axes.labels).frame(labels, k)[0],
        )
        for k in frames
    ]


def _stacked(frame: np.ndarray) -> np.ndarray:
    """``(S, C, H, W)`` as ``(S * C, H, W)``, which augmentation treats alike."""
    return frame.reshape(-1, *frame.shape[-2:])


def digest(images: Sequence[TrainingImage]) -> str:
    """Fingerprint of what a checkpoint learnt from: SHA-256 over frames and labels."""
    sha = hashlib.sha256()
    for image in images:
        for array in (image.frame, image.labels, image.weight):
            if array is None:
                continue
            sha.update(f"{array.dtype}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
