"""The start of a training run: card, network, replay buffer, and checks of the examples."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

import src_models
from src_models import graph_options
from src_models.cards import GRAPH

from ..checkpoints import CheckpointInfo, CheckpointStore, replay
from ..errors import AnnotationError, CheckpointError, SegliteError
from ..images import TrainingImage
from ..runtime import (
    COMPILING,
    RandomState,
    Stop,
    devices,
    needs_compiling,
    never,
    wait_for,
    warm_up,
)
from .request import FineTuneRequest
from .trainer import Trainer
from .volumes import slab_depth
from .weight_transfer import transfer_weights
from .whole_objects import check_whole_objects

if TYPE_CHECKING:
    from torch import nn


# Errors of a damaged replay buffer.
_DAMAGED = (
    SegliteError,
    BadZipFile,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    ValueError,
    zlib.error,
)


@dataclass(frozen=True)
class StartingPoint:
    """All that a run needs of its start, which may be gone when the run ends.

    Attributes
    ----------
    network : Module
        With the starting weights, on the CPU.
    random : RandomState
        As it is after the weights were drawn.
    replayed : list of TrainingImage
        The replay buffer; empty if there is none or it is damaged.
    warning : str
        A sentence about a damaged replay buffer; else empty.
    """

    network: nn.Module
    random: RandomState
    replayed: list[TrainingImage]
    warning: str = ""

    def trainer(self, info: CheckpointInfo, request: FineTuneRequest, device: str) -> Trainer:
        """Return a trainer with a copy of the network; the same every time.

        Raises
        ------
        DeviceError
            If the device has too little free memory.
        """
        network = devices.place(deepcopy(self.network), device)
        return Trainer(network, info, request, device, deepcopy(self.random))


def read_start(
    info: CheckpointInfo, store: CheckpointStore, seed: int, device: str
) -> StartingPoint:
    """Read the network and the replay buffer that a run starts from.

    Parameters
    ----------
    info : CheckpointInfo
        Card of the new checkpoint, see `start_info`.
    store : CheckpointStore
        Where the starting point is.
    seed : int
        Of fresh weights.
    device : str
        That the run will compute on.

    Raises
    ------
    CheckpointError
        If the starting point is missing or damaged.
    """
    random = RandomState(seed, device)
    with random.active():
        network = start_network(info, store)
    try:
        return StartingPoint(network, random, replay_examples(info, store))
    except _DAMAGED as error:
        text = (
            f"The replay buffer of checkpoint {info.parent} is damaged, so training goes on "
            f"without it and may forget what that checkpoint knew ({error})."
        )
        return StartingPoint(network, random, [], text)


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
        If the starting point does not exist or cannot be fine-tuned, or fewer than two classes are
        named.
    """
    if request.checkpoint in src_models.names():
        first = src_models.card(request.checkpoint).first_options
        blank = template or CheckpointInfo(request.name, request.checkpoint, options=first)
        info = replace(
            blank,
            id=request.name,
            network=request.checkpoint,
            parent=None,
            spacing=request.spacing or blank.spacing,
            options={**blank.options, **(request.options or {})},
        )
    else:
        if request.options:
            raise CheckpointError("Only a network that starts from scratch takes options.")
        parent = store.info(request.checkpoint)
        if parent.obstacle:
            raise CheckpointError(
                f"Checkpoint {parent.id} is a model of another program. It segments, but cannot be "
                f"fine-tuned: {parent.obstacle}. Choose another one to start from."
            )
        info = replace(
            parent,
            id=request.name,
            parent=request.checkpoint,
            description=f"Fine-tuned from {parent.id}.",
            spacing=request.spacing or parent.spacing,
        )
    if request.in_channels is not None:
        normalisation = info.normalisation.with_channels(request.in_channels)
        info = replace(info, in_channels=request.in_channels, normalisation=normalisation)
    if request.head is not None:
        info = replace(info, head=request.head, objects=info.objects or bool(request.head))
    return _of_network(_with_classes(info, request), store)


def _with_classes(info: CheckpointInfo, request: FineTuneRequest) -> CheckpointInfo:
    """Return a card with the classes of a request."""
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


def _of_network(info: CheckpointInfo, store: CheckpointStore) -> CheckpointInfo:
    """Return a card whose options are for its channels and outputs, where they count those."""
    if info.network != GRAPH.name or info.parent is None:
        return info
    before = store.info(info.parent)
    channels = before.in_channels, info.in_channels
    outputs = before.classes + before.head_channels, info.classes + info.head_channels
    try:
        options = graph_options.for_other_images(info.options, channels, outputs)
    except ValueError as error:
        raise CheckpointError(
            f"Checkpoint {before.id} is a model of another program and cannot be fine-tuned for "
            f"this: {error}."
        ) from error
    return replace(info, options=options)


def start_network(info: CheckpointInfo, store: CheckpointStore) -> nn.Module:
    """Return the network that training begins with: its parent's, adapted, or a fresh one.

    Fresh weights are drawn from torch's current random state, see `RandomState`.
    """
    if info.parent is None:
        return info.build()
    parent, network = store.load(info.parent)
    if (parent.classes, parent.in_channels, parent.head) == (
        info.classes,
        info.in_channels,
        info.head,
    ):
        return network
    adapted = info.build()
    kept = parent.classes if parent.classes == info.classes and not parent.head else 0
    transfer_weights(adapted, network.state_dict(), kept, info.classes + info.head_channels)
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
        depth = (slab_depth(info),) if info.volumetric else ()
        if image.frame.shape[:-2] == (channels, *depth) and fits:
            fitting.append(image)
    return fitting


def check_examples(images: Sequence[TrainingImage], info: CheckpointInfo) -> None:
    """Check that a checkpoint can learn from frames.

    Raises
    ------
    AnnotationError
        If there is no frame, all labels are background, or channels or labels do not fit.
    CheckpointError
        If an object head should learn from volumes in which no object is whole.
    """
    if not images:
        raise AnnotationError("There is nothing to learn from: no annotated frame was given.")
    if not any(image.annotated.any() for image in images):
        raise AnnotationError("There is nothing to learn from: all labels are background.")
    for image in images:
        if info.volumetric != (image.frame.ndim == 4):
            wanted = "slabs of a stack" if info.volumetric else "slices"
            raise AnnotationError(
                f"{image.name} does not fit: {info.id} learns from {wanted}, see image_examples."
            )
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
    check_whole_objects(images, info)


@contextmanager
def training_device(name: str) -> Iterator[str]:
    """Resolve a device's name, and give its cached memory back in the end."""
    device = devices.resolve(name)
    try:
        yield device
    finally:
        devices.release(device)


def compile_for_training(network: str, device: str, stop: Stop = never) -> Iterator[str]:
    """Compile or load the kernels that training a network needs; yield a sentence if it takes.

    Raises
    ------
    Cancelled
        If `stop` returned True; a compilation that began goes on for the next run.
    """
    if needs_compiling(network, device, training=True):
        yield COMPILING
    wait_for(lambda: warm_up(network, device, training=True), stop)
