"""The arrays that a pass over an image fills."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
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
    def empty(cls, image_pass: ImagePass, in_memory: int | None = None) -> Outputs:
        """Return the arrays of a pass before its first tile, see `chunked.zeros`."""
        count, classes = len(image_pass.frames), image_pass.info.classes
        plane = image_pass.box.shape
        zeros = partial(chunked.zeros, dtype=np.float16, in_memory=in_memory)
        probabilities = zeros((count, classes, *plane))
        if image_pass.limits[0] >= image_pass.limits[1] and classes > 1:
            probabilities[:, 0] = 1  # a constant image is background
        channels = image_pass.info.head_channels
        head = zeros((count, channels, *plane)) if channels else None
        if image_pass.request.ensemble == "none":
            return cls(probabilities, head)
        return cls(probabilities, head, zeros((count, *plane)))

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
