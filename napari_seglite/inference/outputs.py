"""The arrays that a pass over an image fills."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..checkpoints import CheckpointInfo
from ..images import Box, chunked
from .request import Ensemble


@dataclass(frozen=True)
class Outputs:
    """The arrays that a pass fills; see `Segmentation` for their shapes."""

    probabilities: Any
    head: Any = None
    disagreement: Any = None

    @classmethod
    def empty(
        cls,
        frames: int,
        plane: tuple[int, int],
        info: CheckpointInfo,
        ensemble: Ensemble,
        limits: tuple[float, float],
        in_memory: int | None = None,
    ) -> Outputs:
        """Return the arrays of a pass before its first tile.

        Parameters
        ----------
        frames : int
            Number of frames.
        plane : tuple of int
            Height and width of the predicted box.
        info : CheckpointInfo
            Card of the checkpoint.
        ensemble : str
            Of the request.
        limits : tuple of float
            Intensities that become 0 and 1; equal if the image is constant.
        in_memory : int, optional
            Bytes, see `chunked.zeros`.
        """
        zeros = partial(chunked.zeros, dtype=np.float16, in_memory=in_memory)
        probabilities = zeros((frames, info.classes, *plane))
        if limits[0] >= limits[1] and info.classes > 1:
            probabilities[:, 0] = 1  # a constant image is background
        channels = info.head_channels
        head = zeros((frames, channels, *plane)) if channels else None
        if ensemble == "none":
            return cls(probabilities, head)
        return cls(probabilities, head, zeros((frames, *plane)))

    def write(self, position: int, box: Box, planes: np.ndarray) -> np.ndarray:
        """Store finished pixels of a frame and return their probabilities.

        Parameters
        ----------
        position : int
            Of the frame.
        box : Box
            Counted from the corner of the predicted box.
        planes : ndarray
            See `Finished`.
        """
        classes = self.probabilities.shape[1]
        rows, columns = box.slices
        self.probabilities[position, :, rows, columns] = planes[:classes]
        if self.head is not None:
            self.head[position, :, rows, columns] = planes[classes:][: self.head.shape[1]]
        if self.disagreement is not None:
            self.disagreement[position, rows, columns] = planes[-1]
        return planes[:classes]
