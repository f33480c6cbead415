"""Notice that a network gives no numbers, which would look like an image without objects."""

from __future__ import annotations

import numpy as np

from ..errors import CheckpointError


def finite(values: np.ndarray, checkpoint: str, place: str) -> np.ndarray:
    """Return what a network gave for a tile, if all of it is finite.

    Parameters
    ----------
    values : ndarray
        Floating point, any shape.
    checkpoint : str
        Id of the checkpoint, for the message.
    place : str
        Where the tile is, such as ``"slice 3"``.

    Raises
    ------
    CheckpointError
        If a value is NaN or infinite; the message says what to try.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        total = values.sum()  # NaN and infinity reach the sum, which needs no memory
    if not np.isfinite(total):
        raise CheckpointError(
            f"Checkpoint {checkpoint} gives probabilities that are NaN or infinite in {place}, so "
            "nothing was labelled. Its weights are no numbers, or too large for this image: try "
            "another checkpoint, or train it anew, in another precision (float32) or with another "
            "normalisation."
        )
    return values
