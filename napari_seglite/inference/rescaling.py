"""Enlarge or reduce a frame for the network, and bring the result back to the frame's pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..checkpoints import CheckpointInfo
from ..images import Box, PixelSize
from .request import RESCALE


@dataclass(frozen=True)
class Resampling:
    """The map between the pixels of a frame and those that the network sees.

    The network's pixels start at the frame's corner, wherever the box lies, so that regions and
    tiles agree. The centre of the network's pixel i lies at ``(i + 1/2) / factor - 1/2`` in pixels
    of the frame.

    Attributes
    ----------
    frame_shape : tuple of int
        Height and width of the frame.
    box : Box
        The part of the frame that the network sees.
    factor : float
        The network's pixels per pixel of the frame, along each axis.
    """

    frame_shape: tuple[int, int]
    box: Box
    factor: float = 1.0

    @property
    def is_identity(self) -> bool:
        """Whether the network sees the frame's own pixels."""
        return self.factor == 1

    @property
    def _network_box(self) -> Box:
        """The box in the network's pixels, counted from the frame's corner."""
        (top, bottom), (left, right) = (
            self._scaled(edge, length)
            for edge, length in zip(self.box.slices, self.frame_shape, strict=True)
        )
        return Box(top, left, bottom, right)

    def _scaled(self, edge: slice, length: int) -> tuple[int, int]:
        stop = min(math.ceil(edge.stop * self.factor), max(round(length * self.factor), 1))
        return min(math.floor(edge.start * self.factor), stop - 1), stop

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the box in the network's pixels."""
        return self._network_box.shape

    def source_box(self, part: Box) -> Box:
        """Return the box of the frame's pixels that a part of the network's are made of.

        Parameters
        ----------
        part : Box
            In the network's pixels, counted from the corner of the box that it sees.
        """
        if self.is_identity:
            top, left = self.box[:2]
            return Box(part.top + top, part.left + left, part.bottom + top, part.right + left)
        return self._around(self._absolute(part), 2 + math.ceil(4 * self._blur))

    def to_network(self, pixels: np.ndarray, part: Box) -> np.ndarray:
        """Return a part of what the network sees, ``(..., h, w)`` float32.

        Pixels are interpolated linearly; before a reduction the frame is blurred.

        Parameters
        ----------
        pixels : ndarray
            ``(..., h, w)`` float32, those of `source_box`.
        part : Box
            In the network's pixels, counted from the corner of the box that it sees.
        """
        if self.is_identity:
            return pixels
        from scipy.ndimage import gaussian_filter

        if self._blur:
            sigma = (0.0,) * (pixels.ndim - 2) + (self._blur, self._blur)
            pixels = gaussian_filter(pixels, sigma, mode="nearest")
        first = [
            (start + 0.5) / self.factor - 0.5 - corner
            for start, corner in zip(
                self._absolute(part)[:2], self.source_box(part)[:2], strict=True
            )
        ]
        return _sample(pixels, 1 / self.factor, first, part.shape)

    def needed(self, edge: slice, axis: int) -> np.ndarray:
        """Return which of the network's pixels each pixel of the frame is made of.

        Parameters
        ----------
        edge : slice
            Pixels of the frame along an axis.
        axis : int
            0 for rows, 1 for columns.

        Returns
        -------
        ndarray
            ``(pixels, 2)``: the first and the last, counted from the corner of the network's box.
        """
        pixels = np.arange(edge.start, edge.stop)
        if self.is_identity:
            return np.stack([pixels - self.box[axis]] * 2, 1)
        place = (pixels + 0.5) * self.factor - 0.5 - self._network_box[axis]
        below = np.floor(place).astype(int)
        return np.asarray(np.clip(np.stack([below, below + 1], 1), 0, self.shape[axis] - 1))

    def to_frame(self, values: np.ndarray, part: Box, box: Box) -> np.ndarray:
        """Return probabilities in the frame's pixels, interpolated linearly.

        Parameters
        ----------
        values : ndarray
            ``(K, h, w)`` float32, of `part`.
        part : Box
            In the network's pixels, counted from the corner of the box that it sees.
        box : Box
            In the frame's pixels; `part` holds all that they need.
        """
        if self.is_identity:
            return values
        first = [
            (start + 0.5) * self.factor - 0.5 - origin
            for start, origin in zip(box[:2], self._absolute(part)[:2], strict=True)
        ]
        return _sample(values, self.factor, first, box.shape)

    @property
    def _blur(self) -> float:
        """Standard deviation in the frame's pixels of the Gaussian before a reduction."""
        return max(0.0, (1 / self.factor - 1) / 2)

    def _absolute(self, part: Box) -> Box:
        """Return a part of the network's box, counted from the frame's corner."""
        top, left = self._network_box[:2]
        return Box(part.top + top, part.left + left, part.bottom + top, part.right + left)

    def _around(self, network_box: Box, margin: int) -> Box:
        """Return a box in the frame's pixels that covers one in the network's, and a margin."""
        (top, bottom), (left, right) = (
            (
                max(math.floor((edge.start + 0.5) / self.factor - 0.5) - margin, 0),
                min(math.ceil((edge.stop - 0.5) / self.factor - 0.5) + margin + 1, length),
            )
            for edge, length in zip(network_box.slices, self.frame_shape, strict=True)
        )
        return Box(top, left, bottom, right)


def _sample(
    planes: np.ndarray, step: float, first: list[float], size: tuple[int, int]
) -> np.ndarray:
    """Sample ``(..., h, w)`` linearly at equal steps, starting at `first`."""
    from scipy.ndimage import affine_transform

    flat = planes.reshape(-1, *planes.shape[-2:])
    samples = np.empty((len(flat), *size), np.float32)
    for plane, out in zip(flat, samples, strict=True):
        affine_transform(plane, (step, step), first, size, out, order=1, mode="nearest")
    return samples.reshape(*planes.shape[:-2], *size)


def matching_rescale(info: CheckpointInfo, pixel: PixelSize | None) -> float | None:
    """Return the factor that rescales an image to the pixel size of a checkpoint.

    Parameters
    ----------
    info : CheckpointInfo
        Card of the checkpoint.
    pixel : tuple of float or None
        Height and width of the image's pixels in micrometres.

    Returns
    -------
    float or None
        Rounded to two digits and limited to `RESCALE`; None where either pixel size is unknown.
    """
    if info.spacing is None or pixel is None:
        return None
    factor = math.sqrt(math.prod(pixel) / math.prod(info.spacing))
    return min(max(round(factor, 2), RESCALE[0]), RESCALE[1])
