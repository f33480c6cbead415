"""What numbers and axes of labels mean: masks, objects, classes, time points, sizes of pixels."""

from __future__ import annotations

import numpy as np

from ..images import UNKNOWN, Grid, convert

# In this order axes are compared and measured.
_ORDER = "TZYX"


def in_order(labels: np.ndarray, axes: str) -> tuple[np.ndarray, str]:
    """Return labels with their axes in the order T, Z, Y, X, and the letters of those they have.

    Parameters
    ----------
    labels : ndarray
        Or an image of the same axes.
    axes : str
        One letter for each axis; the last ones of TZYX if empty.

    Raises
    ------
    ValueError
        If the letters are not those of the array.
    """
    axes = axes or _ORDER[-labels.ndim :]
    if len(axes) != labels.ndim or not set(axes) <= set(_ORDER) or len(set(axes)) != len(axes):
        raise ValueError(f"Labels of shape {labels.shape} cannot have the axes {axes}.")
    order = "".join(letter for letter in _ORDER if letter in axes)
    return labels.transpose([axes.index(letter) for letter in order]), order


def time_points(labels: np.ndarray, axes: str) -> list[np.ndarray]:
    """Return the planes or volumes of labels, one for every time point; axes as `in_order`."""
    return list(labels) if axes.startswith("T") else [labels]


def pixel_sizes(grid: Grid) -> tuple[dict[str, float], str]:
    """Return the size of a pixel along Z, Y and X, as far as labels have them, and its unit.

    The sizes are 1, in pixels, if only those of some axes are known: nobody can tell how many
    micrometres a slice is then.

    Parameters
    ----------
    grid : Grid
        Of the labels.
    """
    space = [k for k, axis in enumerate(grid.axes) if axis != "T"]
    units = {grid.units[k] for k in space}
    if len(units) > 1:
        return {grid.axes[k]: 1.0 for k in space}, UNKNOWN
    return {grid.axes[k]: grid.spacing[k] for k in space}, units.pop()


def labelled_times(reference: np.ndarray, axes: str) -> np.ndarray:
    """Return which time points of a reference are labelled anywhere, as bool ``(T,)``.

    Negative labels mean unlabelled. Of a plane or volume there is one time point.
    """
    return np.array([bool((each >= 0).any()) for each in time_points(reference, axes)])


def frame_interval(grid: Grid) -> tuple[float | None, str]:
    """Return the time between two time points of labels and its unit; None and "" if unknown."""
    units = dict(zip(grid.axes, grid.units, strict=True))
    if convert(1.0, units.get("T", ""), "s") is None:
        return None, ""
    return grid.size("T"), units["T"]


def single_value(labels: np.ndarray) -> int:
    """Return the only value above 0 that labels hold; 0 if there is none or more than one."""
    top = labels.max(initial=0)
    if top <= 0 or np.any((labels > 0) & (labels != top)):
        return 0
    return int(top)


def mask_parts(labels: np.ndarray, axes: str) -> tuple[int, np.ndarray | None]:
    """Return the only value of a mask and its connected parts, if it has several at any time.

    Parameters
    ----------
    labels : ndarray
        Integer or boolean; axes as from `in_order`.
    axes : str
        Of the labels.

    Returns
    -------
    value : int
        As `single_value`.
    parts : ndarray or None
        As `connected_parts`; None for labels of several values, or of one part.
    """
    value = single_value(labels)
    if not value:
        return 0, None
    parts = connected_parts(labels, axes)
    several = int(parts.max()) > sum(bool(each.any()) for each in time_points(parts, axes))
    return value, parts if several else None


def parts_as_objects(labels: np.ndarray, axes: str) -> tuple[np.ndarray, str]:
    """Take the connected parts of a mask, which holds one value only, as objects.

    Parameters
    ----------
    labels : ndarray
        Integer or boolean; axes as from `in_order`.
    axes : str
        Of the labels.

    Returns
    -------
    labels : ndarray
        With one number for each part; others than masks as they are.
    notice : str
        What was done, to follow the name of the labels; empty if nothing was.
    """
    value, parts = mask_parts(labels, axes)
    if parts is None:
        return labels, ""
    count = int(parts.max())
    return parts, f"it holds one value only, {value}, so its {count} connected parts are objects"


def connected_parts(labels: np.ndarray, axes: str) -> np.ndarray:
    """Return labels that number the connected parts of every number above 0.

    Parameters
    ----------
    labels : ndarray
        Integer or boolean; axes as from `in_order`.
    axes : str
        Of the labels. Parts are connected in space, never in time.
    """
    from skimage.measure import label

    parts = np.zeros(labels.shape, np.int64)
    count = 0
    targets = time_points(parts, axes)
    for target, volume in zip(targets, time_points(labels, axes), strict=True):
        target[...] = label(np.maximum(volume, 0).astype(np.int64))
        target[target > 0] += count
        count = max(count, int(target.max(initial=0)))
    return parts


def same_classes(
    predicted: np.ndarray, reference: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[str, str]]:
    """Take 255 as class 1 in a mask that is compared with classes.

    That is: 255, or another largest value of a dtype, in labels that hold nothing else, while the
    others hold smaller values only.

    Returns
    -------
    labels : tuple of ndarray
        Both.
    notices : tuple of str
        For each, what was done, to follow the name of the labels; empty if nothing was.
    """
    (first, said), (second, also) = (
        _one_class(predicted, int(reference.max(initial=0))),
        _one_class(reference, int(predicted.max(initial=0))),
    )
    return (first, second), (said, also)


def _one_class(labels: np.ndarray, others: int) -> tuple[np.ndarray, str]:
    value = single_value(labels)
    white = value == 255 or (labels.dtype.kind == "u" and value == np.iinfo(labels.dtype).max)
    if not white or not 0 < others < value:
        return labels, ""
    return (labels > 0).astype(np.uint8), f"it holds 0 and {value} only, {value} counts as class 1"
