"""Settings for a training run, from how much was corrected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo
from ..images import ImageAxes, TrainingImage
from ..runtime import devices
from .request import KNOWN_DICE, KNOWN_DICE_SPARSE, FineTuneRequest, FullTraining

# What is corrected together was mostly recorded alike, and a minute is short: milder augmentation.
INTENSITY = 0.3
# A few corrected frames are not all there is: part of the way back to a start that knows its task.
INTERPOLATION = 0.75
# A wider view teaches less in the same time than more steps do.
LARGEST_PATCH = 128
# Below so many frames, what is held out is dealt out in turn.
FEW = 4
# A pixel costs about three times as much to learn from as to look at, and scoring shall take no
# more than a fifth of the time.
_LEARNING, _SCORING = 3, 4


def suggest_settings(
    request: FineTuneRequest, images: Sequence[TrainingImage], info: CheckpointInfo
) -> FineTuneRequest:
    """Adapt a request to what there is to learn from.

    The more pixels were corrected, the more steps; the larger the objects, the larger the patches.
    Frames are held out, or parts of them in turn if there are fewer than four.

    Parameters
    ----------
    request : FineTuneRequest
        Its name, starting point, time and seed stay as they are.
    images : sequence of TrainingImage
        What was corrected.
    info : CheckpointInfo
        Of the new checkpoint, see `start_info`: its network says how fast it learns, and fresh
        weights, those without a parent, learn for longer.
    """
    rate, scratch = src_models.card(info.network).learning_rate, info.parent is None
    area = sum(
        image.labels.size if image.weight is None else int(np.count_nonzero(image.weight))
        for image in images
    )
    patch = _patch(images)
    batch, share = request.schedule.batch, request.validation.held_out
    held_out = max(1, round(share * len(images))) / len(images) * area
    every = math.ceil(_SCORING * held_out / (_LEARNING * batch * patch**2))
    every = min(max(10, every), 100)
    steps = round(min(400, max(80, 80 * (area / 512**2) ** 0.5)) / 20) * 20
    bfloat16 = devices.fast_bfloat16(devices.resolve(request.device))
    sparse = any(image.sparse for image in images)
    return request.adjusted(
        patch=patch,
        steps=steps * (4 if scratch else 1),
        learning_rate=rate if scratch else 5e-4,
        full_training=None if scratch else FullTraining(rate, steps * 4),
        known_dice=KNOWN_DICE_SPARSE if sparse else KNOWN_DICE,
        intensity=INTENSITY,
        interpolation=1.0 if scratch else INTERPOLATION,
        precision="bfloat16" if bfloat16 else "float32",
        validate_every=every,
        patience=max(6, math.ceil(steps / every)),
        folds=2 if len(images) < FEW else 1,
    )


def read_colour(
    request: FineTuneRequest,
    start: CheckpointInfo,
    images: Sequence[tuple[ImageAxes, tuple[int, ...]]],
) -> FineTuneRequest:
    """Let a network that reads one channel read all of them, where every image has as many.

    The mean over the channels, which it saw so far, is what it begins with. Whoever holds on to
    all that a checkpoint knew also holds on to seeing grey.

    Parameters
    ----------
    request : FineTuneRequest
        With `in_channels` or `keep_always` it stays as it is.
    start : CheckpointInfo
        Where it begins.
    images : sequence of (ImageAxes, shape)
        What was corrected.
    """
    counts = {axes.channel_count(shape) for axes, shape in images}
    if (
        request.in_channels is not None
        or request.retention.keep_always
        or start.in_channels != 1
        or len(counts) != 1
    ):
        return request
    count = 3 if counts == {4} and images[0][0].order.endswith("C") else counts.pop()
    return replace(request, in_channels=count) if count > 1 else request


def _patch(images: Sequence[TrainingImage]) -> int:
    """Return a side of patches that shows a few objects of the usual size."""
    from skimage.measure import label, regionprops

    sizes = [
        region.equivalent_diameter_area
        for image in list(images)[:4]
        for region in regionprops(label(image.annotated > 0))
        if region.area >= 9
    ]
    wanted = 4 * median(sizes) if sizes else 128
    return int(min(LARGEST_PATCH, max(96, round(wanted / 32) * 32)))
