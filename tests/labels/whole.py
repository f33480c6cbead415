"""Label probabilities in memory, for tests."""

from __future__ import annotations

import numpy as np

from napari_seglite.images import ImageAxes, LabelFrames
from napari_seglite.labels import Foreground, label_dtype, label_frames


def to_labels(
    probabilities: np.ndarray, threshold: float, min_size: int, output: str, volume: bool
) -> np.ndarray:
    """Turn probabilities in memory into labels.

    Parameters
    ----------
    probabilities : ndarray
        ``(frames, K, H, W)``, see `Foreground`.
    threshold, min_size, output
        See `Foreground` and `label_frames`.
    volume : bool
        Whether objects reach across frames, as in a Z stack.

    Returns
    -------
    ndarray
        ``(frames, H, W)``. Semantic: uint8 classes. Instances: uint16, or uint32 if the ids
        need it, consecutive from 1 and with room for objects painted later.
    """
    count, _, height, width = probabilities.shape
    labels = np.zeros((count, height, width), np.uint32)
    groups = [list(range(count))] if volume else [[k] for k in range(count)]
    target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
    counts = label_frames(Foreground(probabilities, threshold), groups, target, min_size, output)
    return labels.astype(label_dtype(output, counts.objects))
