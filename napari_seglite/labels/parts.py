"""The labels of a part of an image, as the whole image would have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage as ndi

from ..images import ImageAxes, LabelFrames
from .labelling import Foreground, Interior, fill_mask_holes, label_frames, stored_foreground

Inner = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Part:
    """A part of an image and the mask of its foreground.

    Attributes
    ----------
    foreground : Foreground
        Of the part, with its mask.
    mask : ndarray
        ``(D, H, W)`` boolean.
    """

    foreground: Foreground
    mask: np.ndarray

    @classmethod
    def of(
        cls,
        probabilities: Any,
        interior: Interior | None,
        threshold: float,
        smooth: float,
        fill_holes: int,
        inner: Inner,
    ) -> Part:
        """Cut the part out of probabilities that reach farther.

        Parameters
        ----------
        probabilities, interior, threshold, smooth
            See `Foreground`.
        fill_holes : int
            Holes of up to this many pixels are filled, unless they reach the border of the
            probabilities.
        inner : tuple of slice
            The part, along frames, rows and columns.
        """
        _, rows, columns = inner
        foreground = Foreground(probabilities, threshold, smooth=smooth, interior=interior)
        if fill_holes:
            foreground = fill_mask_holes(foreground, fill_holes)
        frames = range(probabilities.shape[0])[inner[0]]
        mask = np.stack([foreground.read(frame, rows, columns) for frame in frames])
        cut = (inner[0], slice(None), rows, columns)
        if interior is not None:
            interior = Interior(interior.head, np.asarray(interior.values[cut]), interior.depth)
        own = Foreground(np.asarray(probabilities[cut]), threshold, interior=interior)
        return cls(stored_foreground(own, mask), mask)

    def classes(self) -> np.ndarray:
        """Return the class of every pixel, ``(D, H, W)`` uint8."""
        rows, columns = (slice(0, n) for n in self.mask.shape[1:])
        labels = np.zeros(self.mask.shape, np.uint8)
        for frame, plane in enumerate(labels):
            plane[...] = np.where(
                self.mask[frame], self.foreground.classes(frame, rows, columns), 0
            )
        return labels

    def probability(self) -> np.ndarray:
        """Return the probability of not being background, ``(D, H, W)`` float32."""
        rows, columns = (slice(0, n) for n in self.mask.shape[1:])
        frames = range(len(self.mask))
        return np.stack([self.foreground.probability(k, rows, columns) for k in frames])

    def components(self) -> np.ndarray:
        """Return the connected parts of the mask, ``(D, H, W)`` numbered from 1."""
        return np.asarray(ndi.label(self.mask)[0])

    def objects(self, planar: bool, step: float) -> np.ndarray:
        """Return the objects, ``(D, H, W)`` uint32 numbered from 1; of any size.

        Parameters
        ----------
        planar : bool
            Whether objects of different frames have nothing to do with each other.
        step : float
            Distance between two slices, in pixels of a slice.
        """
        labels = np.zeros(self.mask.shape, np.uint32)
        target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
        count = len(labels)
        groups = [[k] for k in range(count)] if planar else [range(count)]
        label_frames(self.foreground, groups, target, 0, "instances", step=step)
        return labels
