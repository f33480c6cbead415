"""Choose the settings of a training run from the annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo
from ..errors import SegliteError
from ..images import ImageAxes, TrainingImage
from ..runtime import devices
from .request import KNOWN_DICE, KNOWN_DICE_SPARSE, FineTuneRequest, FullTraining

# Images that are corrected together were mostly recorded alike, and training is short, so the
# intensity augmentation is milder than usual.
INTENSITY = 0.3
# A few corrected frames do not represent all images, so the saved weights lie part of the way
# back to a start that knows the task.
INTERPOLATION = 0.75
# Steps for the annotated pixels of 512 x 512 pixels and less, and at most; a network that has to
# learn the task from the beginning gets a multiple of them.
FEWEST_STEPS, MOST_STEPS, FULL_TRAINING = 80, 400, 4
# In the same time, more steps teach more than larger patches.
LARGEST_PATCH = 128
# With fewer frames, cross-validation replaces a held-out set.
FEW_FRAMES = 4
# With no more frames than these, or an object head, a start for objects knows the task from these
# scores on.
VERY_FEW, KNOWN_OBJECTS, KNOWN_OBJECTS_SPARSE = 2, 0.3, 0.6
# A training step costs about three times as much per pixel as a prediction, and validation should
# take at most a fifth of the time.
_STEP_COST, _STEPS_PER_SCORE = 3, 4


def suggest_settings(
    request: FineTuneRequest, images: Sequence[TrainingImage], info: CheckpointInfo
) -> FineTuneRequest:
    """Adapt a request to the annotations.

    More annotated pixels mean more steps, and larger objects larger patches. Some frames are held
    out; with fewer than four, cross-validation is used instead.

    Parameters
    ----------
    request : FineTuneRequest
        Name, starting point, time limit and seed are kept.
    images : sequence of TrainingImage
        The annotated frames.
    info : CheckpointInfo
        Of the new checkpoint, see `start_info`. Its network sets the learning rate, and a network
        from scratch, which has no parent, gets more steps.
    """
    rate, scratch = src_models.card(info.network).learning_rate, info.parent is None
    area = sum(
        image.labels.size if image.weight is None else int(np.count_nonzero(image.weight))
        for image in images
    )
    patch = _patch(images)
    batch, share = request.schedule.batch, request.validation.held_out
    held_out = max(1, round(share * len(images))) / len(images) * area
    every = math.ceil(_STEPS_PER_SCORE * held_out / (_STEP_COST * batch * patch**2))
    every = min(max(10, every), 100)
    wanted = FEWEST_STEPS * (area / 512**2) ** 0.5
    steps = round(min(MOST_STEPS, max(FEWEST_STEPS, wanted)) / 20) * 20
    bfloat16 = devices.fast_bfloat16(devices.resolve(request.device))
    sparse = any(image.sparse for image in images)
    return request.adjusted(
        patch=patch,
        steps=steps * (FULL_TRAINING if scratch else 1),
        learning_rate=rate if scratch else 5e-4,
        full_training=None if scratch else FullTraining(rate, steps * FULL_TRAINING),
        known_dice=_known_dice(request, len(images), info, sparse),
        intensity=INTENSITY,
        interpolation=1.0 if scratch else INTERPOLATION,
        precision="bfloat16" if bfloat16 else "float32",
        validate_every=every,
        patience=max(6, math.ceil(steps / every)),
        folds=2 if len(images) < FEW_FRAMES else 1,
    )


def with_authors_recipe(request: FineTuneRequest, network: str) -> FineTuneRequest:
    """Return a request that trains a network as its authors did, for as many steps.

    Parameters
    ----------
    request : FineTuneRequest
        Steps, time limit and what is not part of the recipe are kept.
    network : str
        Its name.

    Raises
    ------
    SegliteError
        If its card has no recipe.
    """
    card = src_models.card(network)
    if card.recipe is None:
        known = [src_models.card(n).title for n in src_models.names() if src_models.card(n).recipe]
        raise SegliteError(
            f"There is no recipe of the authors of {card.title} to choose; there is one of "
            f"{', '.join(known)}."
        )
    return request.adjusted(
        recipe="authors",
        learning_rate=card.recipe.learning_rate,
        weight_decay=card.recipe.weight_decay,
        batch=card.recipe.batch,
        patch=max(card.recipe.sizes),
        rotation=card.recipe.rotation,
        scale=1.0,
        invert=0.0,
        intensity=0.0,
        full_training=None,
    )


def _known_dice(request: FineTuneRequest, frames: int, info: CheckpointInfo, sparse: bool) -> float:
    """Return the held-out Dice from which a start knows the task.

    A start for objects that scores low on parts of one or two frames still knows most about other
    images: trained fully on so few, it unlearns them. So does one with an object head on any number
    of frames, as these are seldom of all kinds that it knows.
    """
    headed = bool(info.head) and not request.head
    if (headed or frames <= VERY_FEW) and info.objects and info.parent and info.classes == 1:
        return KNOWN_OBJECTS_SPARSE if sparse else KNOWN_OBJECTS
    return KNOWN_DICE_SPARSE if sparse else KNOWN_DICE


def read_colour(
    request: FineTuneRequest,
    start: CheckpointInfo,
    images: Sequence[tuple[ImageAxes, tuple[int, ...]]],
) -> FineTuneRequest:
    """Let a network of one input channel read all channels, if every image has the same number.

    It begins with the mean over the channels, which is its input so far. With `keep_always`, the
    network keeps its grey input as well.

    Parameters
    ----------
    request : FineTuneRequest
        With `in_channels` or `keep_always` set, it is returned unchanged.
    start : CheckpointInfo
        The card that the new checkpoint begins with, see `start_info`.
    images : sequence of (ImageAxes, shape)
        The annotated images.
    """
    counts = {axes.channel_count(shape) for axes, shape in images}
    if (
        request.in_channels is not None
        or request.retention.keep_always
        or start.in_channels != 1
        or not start.takes_other_channels
        or len(counts) != 1
    ):
        return request
    count = 3 if counts == {4} and images[0][0].order.endswith("C") else counts.pop()
    return replace(request, in_channels=count) if count > 1 else request


def _patch(images: Sequence[TrainingImage]) -> int:
    """Return the side of patches that show a few objects of the usual size, in pixels."""
    from skimage.measure import label, regionprops

    sizes = [
        region.equivalent_diameter_area
        for image in list(images)[:4]
        for region in regionprops(label(image.annotated > 0))
        if region.area >= 9
    ]
    wanted = 4 * median(sizes) if sizes else 128
    return int(min(LARGEST_PATCH, max(96, round(wanted / 32) * 32)))
