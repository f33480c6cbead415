"""Which frames a run draws its patches from, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..checkpoints import CheckpointInfo
from ..images import TrainingImage
from .patches import PatchSampler
from .request import FineTuneRequest


def make_sampler(
    train: Sequence[TrainingImage],
    replayed: Sequence[TrainingImage],
    request: FineTuneRequest,
    step: int,
    info: CheckpointInfo,
) -> PatchSampler:
    """Return a sampler of patches from frames and the replay buffer.

    Parameters
    ----------
    train, replayed : sequence of TrainingImage
        Frames to learn from, and the replay buffer.
    request : FineTuneRequest
        Sets augmentation, patch size, replay and seed.
    step : int
        Steps made before; a run that continues draws other patches.
    info : CheckpointInfo
        Card of the network: its classes, object head and normalisation.
    """
    change, images = request.augmentation, with_replay(train, replayed, request.retention.replay)
    return PatchSampler(
        images,
        request.schedule.patch,
        change.scale,
        change.invert,
        change.intensity,
        request.seed + step,
        info.classes,
        info.head,
        info.normalisation,
        change.rotation,
    )


def with_replay(
    train: Sequence[TrainingImage], replayed: Sequence[TrainingImage], share: float
) -> list[TrainingImage]:
    """Return all frames, weighted so that replayed ones give this share of the patches."""
    if not replayed or not share:
        return list(train)
    total = sum(image.share for image in train)
    each = share / (1 - share) * total / len(replayed)
    return [*train, *(replace(image, share=each) for image in replayed)]
