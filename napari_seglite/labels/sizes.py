"""How large the objects in labels are."""

from __future__ import annotations

import numpy as np

# Pixels per side that are looked at; more would take longer than a brush stroke.
_LOOKED_AT = 512


def object_diameter(labels: np.ndarray) -> float | None:
    """Return the typical diameter of objects, also of those that touch in a mask.

    The mean distance to the border is a sixth of a disk's diameter, and a quarter of the width of a
    band, however many of them there are. It is taken over the middle of the frame if that holds
    objects.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer; 0 and below are background.

    Returns
    -------
    float or None
        In pixels; None if there are no objects.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.segmentation import find_boundaries

    ends = [((n - _LOOKED_AT) // 2, (n + _LOOKED_AT) // 2) for n in labels.shape]
    middle = tuple(slice(max(0, begin), end) for begin, end in ends)
    part = labels[middle] if (labels[middle] > 0).any() else labels
    inside = (part > 0) & ~find_boundaries(part, mode="inner", background=0)
    # Objects touch the edge of the frame without ending there.
    distances = distance_transform_edt(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1]
    counted = distances[inside]
    if not counted.size:
        return 3.0 if (part > 0).any() else None
    return float(6 * counted.mean())
