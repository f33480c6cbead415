"""Enlarge or reduce a frame for the network, and bring the result back to the frame's pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..checkpoints import CheckpointInfo
from ..images import Box, PixelSize
from .request import RESCALE
from .tiling import Band


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

    def finished(self, rows: int) -> int:
        """Return how many rows of the box are known once so many of the network's are."""
        height = self.box.shape[0]
        if rows >= self.shape[0]:
            return height
        # Up to the centre of the network's last row.
        last = (self._network_box.top + rows - 0.5) / self.factor - 0.5
        return min(max(math.floor(last) + 1 - self.box.top, 0), height)

    def read(self, source: Callable[[Box], np.ndarray]) -> Callable[[slice], np.ndarray]:
        """Return a function that reads rows in the network's pixels, ``(..., rows, W)`` float32.

        Pixels are interpolated linearly; before a reduction the frame is blurred.

        Parameters
        ----------
        source : callable
            Reads a box of the frame, ``(..., h, w)`` float32.
        """
        if self.is_identity:
            top = self.box.top
            return lambda rows: source(
                self.box._replace(top=top + rows.start, bottom=top + rows.stop)
            )
        blur = max(0.0, (1 / self.factor - 1) / 2)

        def read(rows: slice) -> np.ndarray:
            from scipy.ndimage import gaussian_filter

            network_box = self._network_box
            top = network_box.top
            network_box = network_box._replace(top=top + rows.start, bottom=top + rows.stop)
            box = self._around(network_box, 2 + math.ceil(4 * blur))
            pixels = source(box)
            if blur:
                sigma = (0.0,) * (pixels.ndim - 2) + (blur, blur)
                pixels = gaussian_filter(pixels, sigma, mode="nearest")
            first = [
                (start + 0.5) / self.factor - 0.5 - corner
                for start, corner in zip(network_box[:2], box[:2], strict=True)
            ]
            return _sample(pixels, 1 / self.factor, first, network_box.shape)

        return read

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

    def back(self, bands: Iterator[Band | None]) -> Iterator[Band | None]:
        """Resample bands of the network's rows to bands of the box's own rows."""
        if self.is_identity:
            yield from bands
            return
        corner = self._network_box[:2]
        carried: np.ndarray | None = None
        done = 0
        for band in bands:
            end = done if band is None else self.finished(band.rows.stop)
            if band is not None:
                values, top = band.values, corner[0] + band.rows.start
                if carried is not None:  # the next rows are interpolated with the last one
                    values, top = np.concatenate([carried, values], axis=1), top - 1
                carried = values[:, -1:].copy()
            if end <= done:
                yield None
                continue
            starts = (self.box.top + done, self.box.left)
            first = [
                (start + 0.5) * self.factor - 0.5 - origin
                for start, origin in zip(starts, (top, corner[1]), strict=True)
            ]
            size = (end - done, self.box.shape[1])
            yield Band(slice(done, end), _sample(values, self.factor, first, size))
            done = end


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
