"""From an image to the input of a checkpoint's network: channels, slices, normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import Cancelled, CheckpointError, ImageError

if TYPE_CHECKING:
    from ..images import ArrayLike, Box, ImageAxes
    from .card import CheckpointInfo

# Percentiles of a large stack are computed from about this many of its pixels.
SAMPLE = 4_000_000
# A band that is read at a time has a multiple of BAND_ROWS rows, because chunks in files often have
# a power of two, and about BAND_PIXELS pixels.
BAND_ROWS, BAND_PIXELS = 256, 8_000_000
# Of images with more pixels, evenly spaced bands are read that have about so many.
READ_AT_MOST = 2**33


class Intensities(NamedTuple):
    """What is known of the intensities of a whole image.

    Attributes
    ----------
    limits : tuple of float
        The intensities that normalisation maps to 0 and 1.
    missing : int
        Number of values, over all channels, that are NaN or infinite.
    filled : float
        How far the brightest pixel is on the way from one limit to the other; 1 if they are equal.
    """

    limits: tuple[float, float]
    missing: int
    filled: float


def select_channels(
    frame: np.ndarray, info: CheckpointInfo, channels: Sequence[int] | None = None
) -> np.ndarray:
    """Return the channels of a frame that a checkpoint's network reads.

    Parameters
    ----------
    frame : ndarray
        ``(C, H, W)``.
    info : CheckpointInfo
        Of the checkpoint. One with a single input channel reads the mean of the chosen channels,
        and so does one with `any_channels` where their number does not fit; one with three reads a
        grey image three times.
    channels : sequence of int, optional
        The chosen channels, counted from 0, in the order of the checkpoint's inputs. If not
        given, all, except the fourth of four (alpha) for a checkpoint of one or three.

    Returns
    -------
    ndarray
        ``(info.in_channels, H, W)``; float64 if channels were averaged, otherwise of the frame's
        dtype.

    Raises
    ------
    ImageError
        If the image has no such channel.
    CheckpointError
        If the number of channels does not fit the checkpoint.
    """
    if channels is not None:
        missing = [k for k in channels if not 0 <= k < frame.shape[0]]
        if missing:
            raise ImageError(
                f"There is no channel {missing[0]}: the image has {frame.shape[0]}, counted from 0."
            )
        frame = frame[list(channels)]
    elif frame.shape[0] == 4 and info.in_channels in (1, 3):
        frame = frame[:3]
    grey = info.in_channels == 1 or (info.any_channels and frame.shape[0] != info.in_channels)
    if grey and frame.shape[0] > 1:
        frame = frame.mean(axis=0, dtype=np.float64, keepdims=True)
    if info.in_channels == 3 and frame.shape[0] == 1:  # grey, for a network trained on colours
        frame = np.repeat(frame, 3, axis=0)
    if frame.shape[0] != info.in_channels:
        raise CheckpointError(
            f"Checkpoint {info.id} needs {info.in_channels} channels, but the image has "
            f"{frame.shape[0]}. Choose another checkpoint, or extract the channels it needs."
        )
    return frame


def intensity_limits(
    image: ArrayLike, axes: ImageAxes, info: CheckpointInfo, channels: Sequence[int] | None = None
) -> tuple[float, float]:
    """Return the intensities of a whole image that normalisation maps to 0 and 1.

    They are those of all frames of a stack together, so that an empty slice stays dark.

    Parameters
    ----------
    image : ArrayLike
        The whole image, of any real dtype.
    axes : ImageAxes
        Of the image.
    info : CheckpointInfo
        The checkpoint, with its normalisation.
    channels : sequence of int, optional
        The chosen channels, see `select_channels`. The limits are those of their mean.

    Returns
    -------
    tuple of float
        See `Normalisation.limits`.

    Raises
    ------
    ImageError
        If no pixel is finite, or the image has no such channel.
    CheckpointError
        If the number of channels does not fit the checkpoint.
    """
    return measure_intensities(image, axes, info, channels).limits


def measure_intensities(
    image: ArrayLike,
    axes: ImageAxes,
    info: CheckpointInfo,
    channels: Sequence[int] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Intensities:
    """Measure the intensities of an image, reading it once, or parts of it if it is huge.

    Parameters
    ----------
    image : ArrayLike
        The whole image, of any real dtype; read in bands of rows. Above `READ_AT_MOST` pixels,
        only some bands are read, and missing pixels counted in them.
    axes : ImageAxes
        Of the image.
    info : CheckpointInfo
        The checkpoint, with its normalisation.
    channels : sequence of int, optional
        The chosen channels, see `select_channels`.
    stop : callable
        Called before each band; returns whether to stop.

    Returns
    -------
    Intensities
        Their limits, and what the user may have to know.

    Raises
    ------
    Cancelled
        When `stop` returns True.
    ImageError
        If no pixel is finite, or the image has no such channel.
    CheckpointError
        If the number of channels does not fit the checkpoint.
    """
    count, (height, width) = axes.frame_count(image.shape), axes.frame_shape(image.shape)
    real = np.dtype(image.dtype).kind == "f"
    band = max(1, BAND_PIXELS // width // BAND_ROWS) * BAND_ROWS
    samples, missing = [], 0
    every = max(1, height * width * count // READ_AT_MOST)
    step = max(1, height * width * count // every // SAMPLE)
    bands = product(range(count), range(0, height, band))
    for index, top in islice(bands, 0, None, every):
        if stop():
            raise Cancelled
        rows = slice(top, min(top + band, height))
        frame = axes.frame(image, index, (rows, slice(0, width)))
        if real:
            missing += frame.size - int(np.count_nonzero(np.isfinite(frame)))
        pixels = select_channels(frame, info, channels).reshape(info.in_channels, -1)
        # Offset so that the height of the bands does not change which pixels are sampled.
        samples.append(_mean(pixels[:, -top * width % step :: step]))
    sample = samples.pop() if len(samples) == 1 else np.concatenate(samples)
    del samples, frame, pixels
    low, high = info.normalisation.limits(sample, image.dtype)
    brightest = sample.max(initial=low, where=np.isfinite(sample))
    filled = (float(brightest) - low) / (high - low) if high > low else 1.0
    return Intensities((low, high), missing, filled)


def _mean(channels: np.ndarray) -> np.ndarray:
    """Return the mean of channels ``(C, N)``; a single one keeps its dtype, and so its size."""
    if len(channels) == 1:
        return np.array(channels[0])
    return np.asarray(channels.mean(0, dtype=np.float64))


def prepare_frame(
    frame: np.ndarray,
    info: CheckpointInfo,
    limits: tuple[float, float],
    channels: Sequence[int] | None = None,
) -> np.ndarray:
    """Select the channels of a frame and normalise them.

    Parameters
    ----------
    frame : ndarray
        ``(C, H, W)``, of any real dtype.
    info : CheckpointInfo
        Of the checkpoint.
    limits : tuple of float
        As `intensity_limits` returns them for the whole image.
    channels : sequence of int, optional
        The chosen channels, see `select_channels`.

    Returns
    -------
    ndarray
        ``(info.in_channels, H, W)`` float32.

    Raises
    ------
    ImageError
        If the image has no such channel.
    CheckpointError
        If the number of channels does not fit the checkpoint.
    """
    return info.normalisation.apply(select_channels(frame, info, channels), limits)


def prepare_slices(
    image: ArrayLike,
    axes: ImageAxes,
    index: int,
    info: CheckpointInfo,
    limits: tuple[float, float],
    channels: Sequence[int] | None = None,
    box: Box | None = None,
) -> np.ndarray:
    """Return the input with which a checkpoint's network segments a frame, or a box of it.

    Parameters
    ----------
    image : ArrayLike
        The whole image; only the needed pixels are read.
    axes : ImageAxes
        Of the image.
    index : int
        Number of the frame.
    info : CheckpointInfo
        Of the checkpoint.
    limits : tuple of float
        As `intensity_limits` returns them for the whole image.
    channels : sequence of int, optional
        The chosen channels, see `select_channels`.
    box : Box, optional
        The part of the frame; all of it if not given.

    Returns
    -------
    ndarray
        Normalised float32, ``(C, H, W)``; or ``(S, C, H, W)`` for a network that reads S slices.
        Slices beyond an end of the stack repeat the last one.

    Raises
    ------
    ImageError
        If the image has no such channel.
    CheckpointError
        If the number of channels does not fit the checkpoint.
    """
    indices = axes.neighbours(index, image.shape, info.context_slices)
    slices = (slice(None), slice(None)) if box is None else box.slices
    frames = [prepare_frame(axes.frame(image, k, slices), info, limits, channels) for k in indices]
    return np.stack(frames) if len(frames) > 1 else frames[0]
