"""A frame as the network sees it, larger or smaller, and its result on the frame's own grid."""

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
    """Part of a frame in its own pixels, and in those that the network sees.

    The network's pixels begin at the frame's corner whatever part is meant, so that regions and
    tiles agree. The centre of its pixel i lies at ``(i + 1/2) / factor - 1/2`` of the frame's.

    Attributes
    ----------
    frame : tuple of int
        Height and width of the frame.
    part : Box
        The part of it that is meant.
    factor : float
        How many of the network's pixels there are to one of the frame's, along each axis.
    """

    frame: tuple[int, int]
    part: Box
    factor: float = 1.0

    @property
    def same(self) -> bool:
        """Whether the network sees the frame's own pixels."""
        return self.factor == 1

    @property
    def _seen(self) -> Box:
        """The part in the network's pixels, from the frame's corner."""
        (top, bottom), (left, right) = (
            self._scaled(edge, length)
            for edge, length in zip(self.part.slices, self.frame, strict=True)
        )
        return Box(top, left, bottom, right)

    def _scaled(self, edge: slice, length: int) -> tuple[int, int]:
        stop = min(math.ceil(edge.stop * self.factor), max(round(length * self.factor), 1))
        return min(math.floor(edge.start * self.factor), stop - 1), stop

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what the network sees, in its pixels."""
        return self._seen.shape

    def finished(self, rows: int) -> int:
        """Return how many rows of the part follow from so many of the network's."""
        whole = self.part.shape[0]
        if rows >= self.shape[0]:
            return whole
        # As far as the centre of the network's last row.
        last = (self._seen.top + rows - 0.5) / self.factor - 0.5
        return min(max(math.floor(last) + 1 - self.part.top, 0), whole)

    def read(self, source: Callable[[Box], np.ndarray]) -> Callable[[slice], np.ndarray]:
        """Return a function that reads rows the network sees, ``(..., rows, W)`` float32.

        Pixels are interpolated linearly; what becomes smaller is blurred before.

        Parameters
        ----------
        source : callable
            Reads a box of the frame, ``(..., h, w)`` float32.
        """
        part = self.part
        if self.same:
            return lambda rows: source(
                part._replace(top=part.top + rows.start, bottom=part.top + rows.stop)
            )
        blur = max(0.0, (1 / self.factor - 1) / 2)

        def read(rows: slice) -> np.ndarray:
            from scipy.ndimage import gaussian_filter

            above = self._seen.top
            seen = self._seen._replace(top=above + rows.start, bottom=above + rows.stop)
            box = self._around(seen, 2 + math.ceil(4 * blur))
            pixels = source(box)
            if blur:
                sigma = (0.0,) * (pixels.ndim - 2) + (blur, blur)
                pixels = gaussian_filter(pixels, sigma, mode="nearest")
            first = [
                (start + 0.5) / self.factor - 0.5 - corner
                for start, corner in zip(seen[:2], box[:2], strict=True)
            ]
            return _sample(pixels, 1 / self.factor, first, seen.shape)

        return read

    def _around(self, seen: Box, margin: int) -> Box:
        """Return the frame's own pixels around some of the network's."""
        (top, bottom), (left, right) = (
            (
                max(math.floor((edge.start + 0.5) / self.factor - 0.5) - margin, 0),
                min(math.ceil((edge.stop - 0.5) / self.factor - 0.5) + margin + 1, length),
            )
            for edge, length in zip(seen.slices, self.frame, strict=True)
        )
        return Box(top, left, bottom, right)

    def back(self, bands: Iterator[Band | None]) -> Iterator[Band | None]:
        """Turn bands of what the network sees into bands of the part's own rows."""
        if self.same:
            yield from bands
            return
        corner = self._seen[:2]
        carried: np.ndarray | None = None
        done = 0
        for band in bands:
            end = done if band is None else self.finished(band.rows.stop)
            if band is not None:
                values, above = band.values, corner[0] + band.rows.start
                if carried is not None:  # the row before lies beside rows that are still to come
                    values, above = np.concatenate([carried, values], axis=1), above - 1
                carried = values[:, -1:].copy()
            if end <= done:
                yield None
                continue
            starts = (self.part.top + done, self.part.left)
            first = [
                (start + 0.5) * self.factor - 0.5 - origin
                for start, origin in zip(starts, (above, corner[1]), strict=True)
            ]
            size = (end - done, self.part.shape[1])
            yield Band(slice(done, end), _sample(values, self.factor, first, size))
            done = end


def _sample(
    planes: np.ndarray, step: float, first: list[float], size: tuple[int, int]
) -> np.ndarray:
    """Sample ``(..., h, w)`` linearly, from a first place on in equal steps."""
    from scipy.ndimage import affine_transform

    flat = planes.reshape(-1, *planes.shape[-2:])
    found = np.empty((len(flat), *size), np.float32)
    for plane, out in zip(flat, found, strict=True):
        affine_transform(plane, (step, step), first, size, out, order=1, mode="nearest")
    return found.reshape(*planes.shape[:-2], *size)


def matching_rescale(info: CheckpointInfo, pixel: PixelSize | None) -> float | None:
    """Return what an image is to be rescaled by to look as a checkpoint learnt it.

    Parameters
    ----------
    info : CheckpointInfo
        Of the checkpoint.
    pixel : tuple of float or None
        Height and width of the image's pixels in micrometres.

    Returns
    -------
    float or None
        With two digits after the point, within what a request allows; None where one of the two
        is unknown.
    """
    if info.spacing is None or pixel is None:
        return None
    factor = math.sqrt(math.prod(pixel) / math.prod(info.spacing))
    return min(max(round(factor, 2), RESCALE[0]), RESCALE[1])
