"""Volumes to learn from: slabs around the corrected slices of a stack, and settings for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo, prepare_slices
from ..errors import AnnotationError
from ..images import Box, ImageAxes
from ..runtime import devices
from .request import FineTuneRequest

# A slab has one slice less than a multiple of what the network pools along Z, so that its slice is
# in the middle and little is padded; at least this many and one.
LEAST_DEPTH = 8
# Side and number of the patches of a step on a CPU, at most: many small steps teach more.
SIDE, BATCH = 64, 1
SMALLEST_SIDE = 32
# Training keeps about this many times what a prediction needs, in at most this share of the memory.
_TRAINING_COST, _MEMORY_SHARE = 4, 0.5


def slab_depth(info: CheckpointInfo) -> int:
    """Return the number of slices that a network for volumes learns from at once, an odd number."""
    from src_models.unet_sharp import pool_strides

    pooled = math.prod(step[0] for step in pool_strides(3, info.options.get("spacing")))
    return max(LEAST_DEPTH, pooled) - 1


def read_slabs(
    name: str,
    pixels: Any,
    axes: ImageAxes,
    frames: Sequence[int],
    info: CheckpointInfo,
    limits: tuple[float, float],
    channels: Sequence[int] | None = None,
    box: Box | None = None,
) -> list[tuple[np.ndarray, tuple[int, ...]]]:
    """Return the slab around each of several frames, and the numbers of its slices.

    Beyond an end of the stack the last slice is repeated, as for networks that read neighbours.
    Slabs of one stack share their memory, and every slice is read once.

    Parameters
    ----------
    name : str
        For messages.
    pixels : array
        The whole image.
    axes : ImageAxes
        Of the image.
    frames : sequence of int
        Numbers of the frames in the middle.
    info : CheckpointInfo
        Sets channels, normalisation and depth.
    limits : tuple of float
        As `intensity_limits` returns them.
    channels : sequence of int, optional
        Channels, see `select_channels`.
    box : Box, optional
        The part of the frames; all of them if not given.

    Returns
    -------
    list of (ndarray, tuple of int)
        ``(C, D, h, w)`` float32, normalised, and the numbers of the D frames.

    Raises
    ------
    AnnotationError
        If the image has no slices along Z.
    """
    shape, depth = tuple(pixels.shape), slab_depth(info)
    if "Z" not in axes.stack:
        raise AnnotationError(
            f"{name} has no slices along Z, and {info.id} learns from volumes. Take a stack, or a "
            "network for slices (dims=2)."
        )
    slabs: dict[int, tuple[np.ndarray, tuple[int, ...]]] = {}
    for volume in axes.volumes(shape):
        asked = [z for z, k in enumerate(volume) if k in set(frames)]
        half, last = depth // 2, len(volume) - 1
        # Positions along Z; those beyond an end are kept, so that every slab is one stretch.
        needed = sorted({z + step for z in asked for step in range(-half, half + 1)})
        read: dict[int, np.ndarray] = {}
        for z in {min(max(z, 0), last) for z in needed}:
            read[z] = prepare_slices(pixels, axes, volume[z], info, limits, channels, box)
        if not needed:
            continue
        stacked = np.stack([read[min(max(z, 0), last)] for z in needed], axis=1)
        for z in asked:
            start = needed.index(z - half)
            numbers = axes.neighbours(volume[z], shape, depth)
            slabs[volume[z]] = stacked[:, start : start + depth], numbers
    return [slabs[k] for k in frames]


def volume_options(
    request: FineTuneRequest, info: CheckpointInfo, spacings: Sequence[float | None]
) -> FineTuneRequest:
    """Return a request whose network from scratch suits the stacks: its pooling and its preset.

    Parameters
    ----------
    request : FineTuneRequest
        What it sets already stays. Of a network that is no volumetric one, or that has a parent,
        it is returned unchanged.
    info : CheckpointInfo
        Of the new checkpoint, see `start_info`.
    spacings : sequence of (float or None)
        Distance between two slices of each stack in pixels of a slice, if known.
    """
    if not info.volumetric or info.parent is not None:
        return request
    known = {option.name for option in src_models.card(info.network).options or ()}
    wanted = src_models.card(info.network).first_options
    if known_spacings := [spacing for spacing in spacings if spacing]:
        wanted["spacing"] = [float(median(known_spacings)), 1.0, 1.0]
    wanted = {k: v for k, v in wanted.items() if k in known and k not in info.options}
    return replace(request, options={**(request.options or {}), **wanted})


def volume_patches(request: FineTuneRequest, info: CheckpointInfo) -> FineTuneRequest:
    """Return a request whose patches and precision suit volumes, the device and its memory."""
    if not info.volumetric:
        return request
    from src_models.unet_sharp import PRESETS

    width = PRESETS.get(info.options.get("preset", "base"), PRESETS["base"])[0]
    voxel = src_models.card(info.network).memory * width / PRESETS["base"][0] * _TRAINING_COST
    device = devices.resolve(request.device)
    free = devices.free_memory(device)
    room = math.inf if free is None else free * _MEMORY_SHARE
    side, batch = request.schedule.patch, request.schedule.batch
    if device == "cpu":
        side, batch = min(side, SIDE), min(batch, BATCH)
    while batch * slab_depth(info) * side**2 * voxel > room and (batch, side) > (1, SMALLEST_SIDE):
        batch, side = (batch // 2, side) if batch > 1 else (1, max(side // 2, SMALLEST_SIDE))
    # With a head and bfloat16 on a CPU, weights became NaN within some tens of steps; the cause is
    # not known. In float32 they did not.
    narrow = device == "cpu" and info.head
    precision = "float32" if narrow else request.precision
    return request.adjusted(patch=side, batch=batch, precision=precision)
