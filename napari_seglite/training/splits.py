"""Divide annotated frames into training and held-out parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..images import TrainingImage

# Cells along the longer side of a frame that is divided into folds, and their least side in pixels.
CELLS = 6
SMALLEST_CELL = 24


def split(
    images: Sequence[TrainingImage], fraction: float, rng: np.random.Generator
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Hold out some frames; of a single frame, its right part.

    Parameters
    ----------
    images : sequence of TrainingImage
        At least one.
    fraction : float
        Share to hold out, 0 to 1; always at least one frame.
    rng : numpy.random.Generator
        Chooses the frames.

    Returns
    -------
    train, held_out : list of TrainingImage
        The frames to learn from, and those to score on. A single frame that is too small to be
        cut is in both.
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
    halves = [
        replace(
            only,
            frame=only.frame[..., columns],
            labels=only.labels[:, columns],
            weight=None if only.weight is None else only.weight[:, columns],
            objects=only.objects and only.objects.cut(slice(None), columns),
        )
        for columns in (slice(None, edge), slice(edge, None))
    ]
    if min(half.labels.shape[1] for half in halves) < 16 or not halves[0].annotated.any():
        return [only], [only]  # too small to cut: better a biased score than none
    return [halves[0]], [halves[1]]


def folds(
    images: Sequence[TrainingImage], count: int, rng: np.random.Generator
) -> list[tuple[list[TrainingImage], list[TrainingImage]]]:
    """Divide the annotated pixels into folds for cross-validation.

    Every frame is cut into cells, which are dealt to the folds, those with most objects first. A
    held-out cell is still visible as the surroundings of others, but its labels are not.

    Parameters
    ----------
    images : sequence of TrainingImage
        At least one.
    count : int
        Number of folds; fewer if there are fewer cells with objects.
    rng : numpy.random.Generator
        Decides between cells with equally many object pixels.

    Returns
    -------
    list of tuple of list
        Training and held-out frames of every fold; their weights mark the pixels that count.
    """
    cells = []
    for number, image in enumerate(images):
        for box in _cells(image):
            counts = 1 if image.weight is None else image.weight[box] > 0
            size = int(np.sum(np.broadcast_to(counts, image.labels[box].shape)))
            if size:
                objects = int(np.count_nonzero(image.annotated[box]))
                cells.append((objects, size, rng.random(), number, box))
    cells.sort(key=lambda cell: cell[:3], reverse=True)
    count = min(count, sum(cell[0] > 0 for cell in cells))
    if count < 2:
        return [(list(images), list(images))]
    held = [[np.zeros(image.labels.shape, bool) for image in images] for _ in range(count)]
    for place, (*_, number, box) in enumerate(cells):
        turn = place % (
            2 * count
        )  # back and forth, so that no fold gets the fullest cell of every round
        held[min(turn, 2 * count - 1 - turn)][number][box] = True
    return [
        (_counting_only(images, [~mask for mask in fold]), _counting_only(images, fold))
        for fold in held
    ]


def _cells(image: TrainingImage) -> list[tuple[slice, slice]]:
    height, width = image.labels.shape
    side = max(SMALLEST_CELL, -(-max(height, width) // CELLS))
    return [
        (slice(top, top + side), slice(left, left + side))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def _counting_only(
    images: Sequence[TrainingImage], masks: Sequence[np.ndarray]
) -> list[TrainingImage]:
    """Return frames whose pixels count inside the masks alone; empty frames are left out."""
    weighted = []
    for image, mask in zip(images, masks, strict=True):
        weight = mask if image.weight is None else mask & (image.weight > 0)
        if weight.any():
            weighted.append(replace(image, weight=weight.astype(np.float32)))
    return weighted
