"""How wide the things in labels are."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi

from .output import Output


def typical_width(labels: np.ndarray, output: Output) -> float | None:
    """Return the width in pixels that most of the labelled area has.

    Half of the labelled area is in things of at most this width, so that specks count for little.
    The width of an object is the diameter of a circle of its area; that of a part of a mask is
    where it is widest, for parts can be long lines.

    Parameters
    ----------
    labels : ndarray
        ``(h, w)``, integer; 0 is background.
    output : str
        ``"semantic"`` or ``"instances"``.

    Returns
    -------
    float or None
        None if nothing is labelled.
    """
    if not labels.any():
        return None
    if output == "instances":
        _, areas = np.unique(labels[labels > 0], return_counts=True)
        widths = 2 * np.sqrt(areas / np.pi)
    else:
        parts, count = ndi.label(labels > 0)
        areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        depth = ndi.distance_transform_edt(np.pad(parts > 0, 1))[1:-1, 1:-1]
        widths = 2 * np.asarray(ndi.maximum(depth, parts, np.arange(1, count + 1)))
    order = np.argsort(widths)
    shares = np.cumsum(areas[order]) / areas.sum()
    return float(widths[order][np.searchsorted(shares, 0.5)])
