"""Edits of masks: every function takes the labels of a frame and returns new ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def fill_holes(labels: np.ndarray, value: int) -> np.ndarray:
    """Fill the holes of a label where they are background.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer.
    value : int
        Label whose holes are filled.

    Returns
    -------
    ndarray
        New labels of the same shape and dtype, as from all functions here.
    """
    from scipy.ndimage import binary_fill_holes

    return _painted(labels, binary_fill_holes(labels == value) & (labels == 0), value)


def smooth(labels: np.ndarray, value: int, radius: float = 2.0) -> np.ndarray:
    """Smooth the outline of a label without changing other labels.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer.
    value : int
        Label whose outline is smoothed.
    radius : float
        Standard deviation of the Gaussian, in pixels.
    """
    from skimage.filters import gaussian

    mask = labels == value
    smoothed = gaussian(mask.astype(np.float32), radius) > 0.5
    return _painted(_painted(labels, mask & ~smoothed, 0), smoothed & (labels == 0), value)


def keep_largest(labels: np.ndarray, value: int) -> np.ndarray:
    """Remove all connected components of a label but the largest.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer.
    value : int
        The label. Its components touch along edges or at corners.
    """
    from skimage.measure import label

    components = label(labels == value)
    if components.max() < 2:
        return labels.copy()
    largest = int(np.bincount(components.ravel())[1:].argmax()) + 1
    return _painted(labels, (components > 0) & (components != largest), 0)


def grow(labels: np.ndarray, value: int, pixels: int) -> np.ndarray:
    """Grow a label into the background, or shrink it.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer.
    value : int
        Label that grows.
    pixels : int
        Distance to grow by; below 0, distance to shrink by.
    """
    from scipy.ndimage import distance_transform_edt

    mask = labels == value
    if not mask.any():
        return labels.copy()
    if pixels < 0:
        return _painted(labels, mask & (distance_transform_edt(mask) <= -pixels), 0)
    near = distance_transform_edt(~mask) <= pixels
    return _painted(labels, near & (labels == 0), value)


def delete_objects(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Remove every object that a mask touches.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer; an object is a connected component of one label.
    where : ndarray
        ``(H, W)`` boolean.
    """
    components = _components(labels)
    touched = np.unique(components[where & (labels > 0)])
    return _painted(labels, np.isin(components, touched), 0)


def merge_objects(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Merge all objects that a mask touches, and fill the mask between them.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer; an object is a connected component of one label. The merged object gets
        the label that covers most of the mask.
    where : ndarray
        ``(H, W)`` boolean.
    """
    inside = where & (labels > 0)
    if not inside.any():
        return labels.copy()
    components = _components(labels)
    touched = np.isin(components, np.unique(components[inside])) & (labels > 0)
    value = int(np.bincount(labels[inside]).argmax())
    return _painted(labels, touched | (where & (labels == 0)), value)


def interpolated(first: np.ndarray, last: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Interpolate labels between two slices by shape (Raya and Udupa, 1990).

    The signed distance to the outline of every label is blended from one slice to the other.

    Parameters
    ----------
    first, last : ndarray
        ``(H, W)`` integer.
    count : int
        Number of slices between them.

    Yields
    ------
    ndarray
        ``(H, W)``, the labels of the next slice.
    """
    values = [v for v in np.union1d(first, last).tolist() if v]
    ends = [(_signed(first == v), _signed(last == v)) for v in values]
    for number in range(1, count + 1):
        share = number / (count + 1)
        labels, depth = np.zeros_like(first), np.zeros(first.shape, np.float32)
        for value, (start, end) in zip(values, ends, strict=True):
            distance = (1 - share) * start + share * end
            inside = distance > depth
            labels[inside], depth[inside] = value, distance[inside]
        yield labels


def _signed(mask: np.ndarray) -> np.ndarray:
    """Return the distance to the outline, above 0 inside; far below 0 where a mask is empty."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.full(mask.shape, -float(max(mask.shape)), np.float32)
    inside = distance_transform_edt(mask)
    return np.asarray(inside - distance_transform_edt(~mask), np.float32)


def _components(labels: np.ndarray) -> np.ndarray:
    from skimage.measure import label

    return np.asarray(label(labels, connectivity=1))


def _painted(labels: np.ndarray, where: np.ndarray, value: int) -> np.ndarray:
    painted = labels.copy()
    painted[where] = value
    return painted
