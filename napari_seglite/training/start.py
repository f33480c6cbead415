"""The start of a training run: card, network, replay buffer, and checks of the examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo, CheckpointStore, replay
from ..errors import AnnotationError, CheckpointError
from ..images import TrainingImage
from ..runtime import COMPILING, devices, needs_compiling, warm_up
from .request import FineTuneRequest
from .weight_transfer import transfer_weights

if TYPE_CHECKING:
    from torch import nn


def start_info(
    request: FineTuneRequest, store: CheckpointStore, template: CheckpointInfo | None = None
) -> CheckpointInfo:
    """Return the card that the new checkpoint begins with.

    Parameters
    ----------
    request : FineTuneRequest
        Names the starting point and the new checkpoint.
    store : CheckpointStore
        Where the starting point is.
    template : CheckpointInfo, optional
        Channels, classes, options and normalisation of a network that is trained from scratch.

    Raises
    ------
    CheckpointError
        If the starting point does not exist, or fewer than two classes are named.
    """
    if request.checkpoint in src_models.names():
        blank = template or CheckpointInfo(request.name, request.checkpoint)
        info = replace(
            blank,
            id=request.name,
            network=request.checkpoint,
            parent=None,
            spacing=request.spacing or blank.spacing,
        )
    else:
        parent = store.info(request.checkpoint)
        info = replace(
            parent,
            id=request.name,
            parent=request.checkpoint,
            description=f"Fine-tuned from {parent.id}.",
            spacing=request.spacing or parent.spacing,
        )
    if request.in_channels is not None:
        info = replace(info, in_channels=request.in_channels)
    if request.class_names is None:
        return info
    names = tuple(request.class_names)
    if len(names) < 2:
        raise CheckpointError("Name the background and at least one class.")
    # One class needs a single output, and keeps more if the starting point has two already.
    classes = info.classes if len(names) == len(info.class_names) else len(names)
    if len(names) == 2 and classes != info.classes:
        classes = 1
    return replace(info, classes=classes, class_names=names)


def start_network(info: CheckpointInfo, store: CheckpointStore) -> nn.Module:
    """Return the network that training begins with: its parent's, adapted, or a fresh one.

    Fresh weights are drawn from torch's current random state, see `RandomState`.
    """
    if info.parent is None:
        return info.build()
    parent, network = store.load(info.parent)
    if (parent.classes, parent.in_channels) == (info.classes, info.in_channels):
        return network
    adapted = info.build()
    transfer_weights(adapted, network.state_dict())
    return adapted


def replay_examples(info: CheckpointInfo, store: CheckpointStore) -> list[TrainingImage]:
    """Return the frames in the parent's replay buffer that a new checkpoint can learn from."""
    if info.parent is None:
        return []
    channels, most = info.in_channels * info.context_slices, max(1, info.classes - 1)
    fitting = []
    for image in replay.read(store.path(info.parent)):
        if len(image.frame) == 1 < channels:  # learnt in grey, before there were more channels
            image = replace(image, frame=np.repeat(image.frame, channels, axis=0))
        fits = info.classes == 1 or image.labels.max(initial=0) <= most
        if len(image.frame) == channels and fits:
            fitting.append(image)
    return fitting


def check_examples(images: Sequence[TrainingImage], info: CheckpointInfo) -> None:
    """Check that a checkpoint can learn from frames.

    Raises
    ------
    AnnotationError
        If there is no frame, all labels are background, or channels or labels do not fit.
    """
    if not images:
        raise AnnotationError("There is nothing to learn from: no annotated frame was given.")
    if not any(image.annotated.any() for image in images):
        raise AnnotationError("There is nothing to learn from: all labels are background.")
    for image in images:
        channels = image.frame.shape[0] / info.context_slices
        if channels != info.in_channels:
            raise AnnotationError(
                f"{image.name} has {channels:g} channels, but {info.network} "
                f"was built for {info.in_channels}."
            )
        if info.classes > 1 and image.annotated.max(initial=0) >= info.classes:
            raise AnnotationError(
                f"{image.name} holds the label {image.annotated.max()}, but the checkpoint knows "
                f"only labels up to {info.classes - 1}."
            )


@contextmanager
def training_device(name: str) -> Iterator[str]:
    """Resolve a device's name, and give its cached memory back in the end."""
    device = devices.resolve(name)
    try:
        yield device
    finally:
        devices.release(device)


def compile_for_training(network: str, device: str) -> Iterator[str]:
    """Compile or load the kernels that training a network needs; yield a sentence if it takes."""
    if needs_compiling(network, device, training=True):
        yield COMPILING
    warm_up(network, device, training=True)
