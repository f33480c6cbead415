"""What helps to correct masks: each takes the labels of a frame and returns new ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def fill_holes(labels: np.ndarray, value: int) -> np.ndarray:
    """Fill the holes of a label where nothing else lies.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer.
    value : int
        The label.

    Returns
    -------
    ndarray
        New labels of the same dtype, as for all functions here.
    """
    from scipy.ndimage import binary_fill_holes

    return _painted(labels, binary_fill_holes(labels == value) & (labels == 0), value)


def smooth(labels: np.ndarray, value: int, radius: float = 2.0) -> np.ndarray:
    """Round off the outline of a label, over `radius` pixels, without touching others."""
    from skimage.filters import gaussian

    mask = labels == value
    wanted = gaussian(mask.astype(np.float32), radius) > 0.5
    return _painted(_painted(labels, mask & ~wanted, 0), wanted & (labels == 0), value)


def keep_largest(labels: np.ndarray, value: int) -> np.ndarray:
    """Remove all parts of a label but the largest."""
    from skimage.measure import label

    parts = label(labels == value)
    if parts.max() < 2:
        return labels.copy()
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    return _painted(labels, (parts > 0) & (parts != largest), 0)


def grow(labels: np.ndarray, value: int, pixels: int) -> np.ndarray:
    """Widen a label by some pixels into the background, or narrow it if they are below 0."""
    from scipy.ndimage import distance_transform_edt

    mask = labels == value
    if not mask.any():
        return labels.copy()
    if pixels < 0:
        return _painted(labels, mask & (distance_transform_edt(mask) <= -pixels), 0)
    near = distance_transform_edt(~mask) <= pixels
    return _painted(labels, near & (labels == 0), value)


def delete_objects(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Remove every connected part that a mask lies on."""
    parts = _parts(labels)
    return _painted(labels, np.isin(parts, np.unique(parts[where & (labels > 0)])), 0)


def merge_objects(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Give every connected part that a mask lies on one label, and fill the mask between them."""
    found = labels[where & (labels > 0)]
    if not found.size:
        return labels.copy()
    parts = _parts(labels)
    touched = np.isin(parts, np.unique(parts[where & (labels > 0)])) & (labels > 0)
    value = int(np.bincount(found).argmax())
    return _painted(labels, touched | (where & (labels == 0)), value)


def interpolated(first: np.ndarray, last: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Return labels for the slices between two, by shape (Raya and Udupa, 1990).

    Every label's signed distance to its outline is blended from one slice to the other.

    Parameters
    ----------
    first, last : ndarray
        ``(H, W)`` integer.
    count : int
        Number of slices between them.
    """
    values = [v for v in np.union1d(first, last).tolist() if v]
    ends = [(_signed(first == v), _signed(last == v)) for v in values]
    for number in range(1, count + 1):
        share = number / (count + 1)
        made, depth = np.zeros_like(first), np.zeros(first.shape, np.float32)
        for value, (a, b) in zip(values, ends, strict=True):
            between = (1 - share) * a + share * b
            inside = between > depth
            made[inside], depth[inside] = value, between[inside]
        yield made


def _signed(mask: np.ndarray) -> np.ndarray:
    """Distance to the outline, above 0 inside; an absent label is deep outside everywhere."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.full(mask.shape, -float(max(mask.shape)), np.float32)
    inside = distance_transform_edt(mask)
    return np.asarray(inside - distance_transform_edt(~mask), np.float32)


def _parts(labels: np.ndarray) -> np.ndarray:
    from skimage.measure import label

    return np.asarray(label(labels, connectivity=1))


def _painted(labels: np.ndarray, where: np.ndarray, value: int) -> np.ndarray:
    made = labels.copy()
    made[where] = value
    return made
