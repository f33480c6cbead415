"""The arrays that a pass over an image fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..images import chunked
from .image_pass import ImagePass
from .mosaic import Patch


@dataclass(frozen=True)
class Outputs:
    """The arrays that a pass fills; see `Segmentation` for their shapes."""

    probabilities: Any
    head: Any = None
    disagreement: Any = None

    @classmethod
    def empty(cls, image_pass: ImagePass) -> Outputs:
        """Return the arrays of a pass before its first tile."""
        count, classes = len(image_pass.frames), image_pass.info.classes
        plane = image_pass.box.shape
        probabilities = chunked.zeros((count, classes, *plane), np.float16)
        if image_pass.limits[0] >= image_pass.limits[1] and classes > 1:
            probabilities[:, 0] = 1  # a constant image is background
        channels = image_pass.info.head_channels
        head = chunked.zeros((count, channels, *plane), np.float16) if channels else None
        if image_pass.request.ensemble == "none":
            return cls(probabilities, head)
        return cls(probabilities, head, chunked.zeros((count, *plane), np.float16))

    def write(self, position: int, patch: Patch) -> np.ndarray:
        """Store a patch of a frame and return its probabilities."""
        values, classes = patch.values.astype(np.float16), self.probabilities.shape[1]
        rows, columns = patch.box.slices
        self.probabilities[position, :, rows, columns] = values[:classes]
        if self.head is not None:
            self.head[position, :, rows, columns] = values[classes:][: self.head.shape[1]]
        if self.disagreement is not None:
            self.disagreement[position, rows, columns] = values[-1]
        return values[:classes]
