"""What is set apart to score a training run on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..images import TrainingImage

# Parts along the longer side of a frame that is divided between training and validation.
CELLS = 6
SMALLEST_CELL = 24


def split(
    images: Sequence[TrainingImage], fraction: float, rng: np.random.Generator
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Set some frames apart for validation; of a single frame, its right part.

    Parameters
    ----------
    images : sequence of TrainingImage
        At least one.
    fraction : float
        Share to validate on, 0 to 1; always at least one frame.
    rng : numpy.random.Generator
        Chooses the frames.

    Returns
    -------
    tuple of list
        Training frames and validation frames.
    """
    if len(images) > 1:
        count = min(max(1, round(fraction * len(images))), len(images) - 1)
        chosen = set(rng.permutation(len(images))[:count].tolist())
        return (
            [image for k, image in enumerate(images) if k not in chosen],
            [image for k, image in enumerate(images) if k in chosen],
        )
    (only,) = images
    edge = round(only.labels.shape[1] * (1 - fraction))
    parts = [
        replace(
            only,
            frame=only.frame[..., columns],
            labels=only.labels[:, columns],
            weight=None if only.weight is None else only.weight[:, columns],
        )
        for columns in (slice(None, edge), slice(edge, None))
    ]
    if min(part.labels.shape[1] for part in parts) < 16 or not parts[0].annotated.any():
        return [only], [only]  # too small to cut: better a biased score than none
    return [parts[0]], [parts[1]]


def folds(
    images: Sequence[TrainingImage], count: int, rng: np.random.Generator
) -> list[tuple[list[TrainingImage], list[TrainingImage]]]:
    """Divide what is labelled into parts that are held out in turn.

    Every frame is cut into cells, which are dealt out, those with most objects first. A held-out
    cell is still seen as the surroundings of others, but its labels are not.

    Parameters
    ----------
    images : sequence of TrainingImage
        At least one.
    count : int
        Number of parts; there are fewer if there are fewer cells with objects.
    rng : numpy.random.Generator
        Decides between cells with equally much in them.

    Returns
    -------
    list of tuple of list
        Frames to train and to validate on, for every part; the weights tell which pixels.
    """
    cells = []
    for number, image in enumerate(images):
        for box in _cells(image):
            known = 1 if image.weight is None else image.weight[box] > 0
            size = int(np.sum(np.broadcast_to(known, image.labels[box].shape)))
            if size:
                objects = int(np.count_nonzero(image.annotated[box]))
                cells.append((objects, size, rng.random(), number, box))
    cells.sort(key=lambda cell: cell[:3], reverse=True)
    count = min(count, sum(cell[0] > 0 for cell in cells))
    if count < 2:
        return [(list(images), list(images))]
    held = [[np.zeros(image.labels.shape, bool) for image in images] for _ in range(count)]
    for place, (*_, number, box) in enumerate(cells):
        turn = place % (2 * count)  # to and fro, so that no part gets the fullest of every round
        held[min(turn, 2 * count - 1 - turn)][number][box] = True
    return [(_keeping(images, [~mask for mask in part]), _keeping(images, part)) for part in held]


def _cells(image: TrainingImage) -> list[tuple[slice, slice]]:
    height, width = image.labels.shape
    side = max(SMALLEST_CELL, -(-max(height, width) // CELLS))
    return [
        (slice(top, top + side), slice(left, left + side))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def _keeping(images: Sequence[TrainingImage], masks: Sequence[np.ndarray]) -> list[TrainingImage]:
    kept = []
    for image, mask in zip(images, masks, strict=True):
        weight = mask if image.weight is None else mask & (image.weight > 0)
        if weight.any():
            kept.append(replace(image, weight=weight.astype(np.float32)))
    return kept
