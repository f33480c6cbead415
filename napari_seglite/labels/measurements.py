"""Measure the size, shape and intensity of labelled objects."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Cancelled
from ..runtime import Stop, never

if TYPE_CHECKING:
    import pandas as pd

_SIZE = {2: "area", 3: "volume"}
_SHAPE = ("axis_major_length", "axis_minor_length", "eccentricity", "orientation")
_ALWAYS = ("solidity", "equivalent_diameter_area")
_INTENSITY = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")


def measure(
    labels: np.ndarray, image: np.ndarray | None = None, spacing: Sequence[float] | None = None
) -> pd.DataFrame:
    """Measure every object with scikit-image's ``regionprops``.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` or ``(D, H, W)`` integer, one number per object; 0 is background, and so are
        negative numbers, which mean unlabelled. True is an object.
    image : ndarray, optional
        Of the labels' shape, for intensities; a last axis may hold channels, each measured.
    spacing : sequence of float, optional
        Size of a pixel along each axis; lengths, areas and volumes are in its unit.

    Returns
    -------
    DataFrame
        One row per object: its ``label``, area or volume, centroid, solidity (NaN for objects
        without a volume), shape (of flat images only) and intensities.

    Raises
    ------
    ValueError
        If the image does not have the labels' shape.
    """
    import pandas as pd
    from skimage.measure import regionprops_table

    if image is not None and image.shape[: labels.ndim] != labels.shape:
        raise ValueError(
            f"An image of shape {image.shape} cannot be measured under labels of {labels.shape}."
        )
    # scikit-image needs memory for every number up to the largest.
    numbers, compact = np.unique(np.maximum(labels, 0), return_inverse=True)
    compact = compact.reshape(labels.shape) + int(labels.size > 0 and numbers[0] > 0)
    properties = ["label", "area", "centroid", *_ALWAYS]
    if labels.ndim == 2:
        properties += _SHAPE
    if image is not None:
        properties += _INTENSITY
    # The convex hull of a flat or straight object has no volume, so that it has no solidity.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to get convex hull", UserWarning)
        table = regionprops_table(
            compact,
            image,
            properties=properties,
            spacing=None if spacing is None else tuple(spacing),
        )
    frame = pd.DataFrame(table)
    frame["solidity"] = frame["solidity"].replace(np.inf, np.nan)
    frame["label"] = numbers[numbers > 0]
    names = {"area": _SIZE[labels.ndim], "equivalent_diameter_area": "equivalent_diameter"}
    axes = "zyx"[-labels.ndim :]
    names |= {f"centroid-{k}": f"centroid_{axis}" for k, axis in enumerate(axes)}
    return frame.rename(columns=names)


def measure_series(
    labels: Any,
    image: Any = None,
    spacing: Sequence[float] | None = None,
    axes: str = "",
    stop: Stop = never,
    interval: float | None = None,
) -> Iterator[tuple[int, int, pd.DataFrame]]:
    """Measure a flat image, a volume, or each time point of a series.

    Parameters
    ----------
    labels : array
        Integer; its axes are `axes`.
    image : array, optional
        Of the labels' shape, for intensities; a last axis may hold channels, each measured.
    spacing : sequence of float, optional
        Size of a pixel along each axis.
    axes : str
        Letters of the labels' axes, in any order; the last ones of TZYX if not given.
    stop : callable
        Called between time points; once it returns True, `Cancelled` is raised.
    interval : float, optional
        Time between two time points.

    Yields
    ------
    tuple of int, int and DataFrame
        The number of finished time points, the number of all, and the table of `measure` up to
        here, indexed by ``label``; that of a series has one row per object and time point, with a
        column ``t``, the number of the time point from 0, and if `interval` is given ``time``.
    """
    import pandas as pd

    axes = axes or "TZYX"[-labels.ndim :]
    time_axis = axes.index("T") if "T" in axes else None
    count = 1 if time_axis is None else labels.shape[time_axis]
    order = "".join(axis for axis in "ZYX" if axis in axes)
    frame_axes = axes.replace("T", "")
    sizes = None if spacing is None else [spacing[axes.index(axis)] for axis in order]

    def frame(pixels: Any, t: int) -> np.ndarray:
        place = tuple(t if k == time_axis else slice(None) for k in range(labels.ndim))
        volume = np.asarray(pixels[place])
        channels = range(len(order), volume.ndim)
        return volume.transpose([*map(frame_axes.index, order), *channels])

    tables: list[pd.DataFrame] = []
    for t in range(count):
        if stop():
            raise Cancelled
        intensities = None if image is None else frame(image, t)
        table = measure(frame(labels, t), intensities, sizes).set_index("label")
        if time_axis is not None:
            table.insert(0, "t", t)
            if interval is not None:
                table.insert(1, "time", t * interval)
        tables.append(table)
        yield t + 1, count, pd.concat(tables)
