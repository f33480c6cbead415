"""Intensity normalisation, stored with a checkpoint and replayed on every image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Cancelled, CheckpointError, ImageError

if TYPE_CHECKING:
    from ..images import Box, ImageAxes
    from .card import CheckpointInfo

# Percentiles of a large stack are read from about this many of its pixels.
SAMPLE = 4_000_000
# What is read at a time; files are often cut into chunks of a power of two.
BAND_ROWS, BAND_PIXELS = 256, 8_000_000


def select_channels(
    frame: np.ndarray, info: CheckpointInfo, channels: Sequence[int] | None = None
) -> np.ndarray:
    """Return the channels of ``(C, H, W)`` that a checkpoint sees.

    Parameters
    ----------
    frame : ndarray
        ``(C, H, W)``.
    info : CheckpointInfo
        A checkpoint of one channel sees the mean of those chosen, one of three sees grey thrice.
    channels : sequence of int, optional
        Which ones, in the order of the checkpoint's inputs; if not given, all but an alpha
        channel.

    Raises
    ------
    ImageError
        If the image has no such channel.
    CheckpointError
        If the channels do not fit.
    """
    if channels is not None:
        beyond = [k for k in channels if not 0 <= k < frame.shape[0]]
        if beyond:
            raise ImageError(
                f"There is no channel {beyond[0]}: the image has {frame.shape[0]}, counted from 0."
            )
        frame = frame[list(channels)]
    elif frame.shape[0] == 4 and info.in_channels in (1, 3):
        frame = frame[:3]
    if info.in_channels == 1 and frame.shape[0] > 1:
        frame = frame.mean(axis=0, dtype=np.float64, keepdims=True)
    if info.in_channels == 3 and frame.shape[0] == 1:  # grey, for what learnt from colours
        frame = np.repeat(frame, 3, axis=0)
    if frame.shape[0] != info.in_channels:
        raise CheckpointError(
            f"Checkpoint {info.id} wants {info.in_channels} channels, but the image has "
            f"{frame.shape[0]}. Choose another checkpoint, or extract the channels it wants."
        )
    return frame


def intensity_limits(
    image: Any, axes: ImageAxes, info: CheckpointInfo, channels: Sequence[int] | None = None
) -> tuple[float, float]:
    """Return the intensities of a whole image that become 0 and 1, see `Normalisation.limits`.

    All frames of a stack count together, so that an empty slice stays dark.
    """
    return measure_intensities(image, axes, info, channels)[0]


def measure_intensities(
    image: Any,
    axes: ImageAxes,
    info: CheckpointInfo,
    channels: Sequence[int] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[tuple[float, float], int]:
    """Read a whole image once, in bands of rows.

    Once `stop` returns True, `Cancelled` is raised.

    Returns
    -------
    tuple
        What `intensity_limits` returns, and how many entries are NaN or infinite.
    """
    count, (height, width) = axes.frame_count(image.shape), axes.frame_shape(image.shape)
    real = np.dtype(image.dtype).kind == "f"
    band = max(1, BAND_PIXELS // width // BAND_ROWS) * BAND_ROWS
    samples, missing = [], 0
    for index in range(count):
        for top in range(0, height, band):
            if stop():
                raise Cancelled
            rows = slice(top, min(top + band, height))
            frame = axes.frame(image, index, (rows, slice(0, width)))
            if real:
                missing += frame.size - int(np.count_nonzero(np.isfinite(frame)))
            pixels = select_channels(frame, info, channels).reshape(info.in_channels, -1)
            step = max(1, height * width * count // SAMPLE)
            # The same pixels, however many rows are read at a time.
            samples.append(pixels[:, -top * width % step :: step].mean(0, dtype=np.float64))
    return info.normalisation.limits(np.concatenate(samples)), missing


def prepare_frame(
    frame: np.ndarray,
    info: CheckpointInfo,
    limits: tuple[float, float],
    channels: Sequence[int] | None = None,
) -> np.ndarray:
    """Return the channels of ``(C, H, W)`` that a checkpoint sees, normalised, float32."""
    return info.normalisation.apply(select_channels(frame, info, channels), limits)


def prepare_slices(
    image: Any,
    axes: ImageAxes,
    index: int,
    info: CheckpointInfo,
    limits: tuple[float, float],
    channels: Sequence[int] | None = None,
    box: Box | None = None,
) -> np.ndarray:
    """Return what a checkpoint's network reads to segment a box of a frame, normalised, float32.

    Returns
    -------
    ndarray
        ``(C, H, W)``; or ``(S, C, H, W)`` for a network that reads S slices, where a slice beyond
        the end of the stack is the last one before it.
    """
    indices = axes.neighbours(index, image.shape, info.context_slices)
    slices = (slice(None), slice(None)) if box is None else box.slices
    frames = [prepare_frame(axes.frame(image, k, slices), info, limits, channels) for k in indices]
    return np.stack(frames) if len(frames) > 1 else frames[0]
