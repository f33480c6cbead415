"""Object heads: extra output channels that say where one object ends and the next begins.

Any network carries one, as channels behind those of its classes. All heads are used alike: their
channels become one map, the *interior*, from 0 at an object's border to 1 deep inside, on which a
watershed separates the objects of a mask. They differ in what the channels learn:

``border``
    One channel, the border between objects that touch (Ronneberger et al., 2015, whose weights
    near such borders it replaces).
``distance``
    Two channels: the distance to the object's border and the closeness to its centre, each as a
    share of the object's largest (Naylor et al., 2018, and Graham et al., 2019, normalised).
``offset``
    A channel per axis: the vector to the object's centre, as a share of the longest (Neven et
    al., 2019, and Graham et al., 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

BORDER, DISTANCE, OFFSET = NAMES = ("border", "distance", "offset")
# Pixels on either side that a border between touching objects has.
BORDER_REACH = 1
# Touching borders are rare: a pixel of one counts as much as so many others.
BORDER_WEIGHT = 5.0
# What a background pixel counts beside a pixel of an object, where a distance is learnt.
BACKGROUND_WEIGHT = 0.2


def channels(name: str, dims: int = 2) -> int:
    """Return the number of channels of a head, 0 for an empty name.

    Raises
    ------
    KeyError
        If there is no such head.
    """
    return {"": 0, BORDER: 1, DISTANCE: 2, OFFSET: dims}[name]


# ---------------------------------------------------------------------- what is learnt
def targets(name: str, labels: np.ndarray, spacing: Sequence[float] | None = None) -> np.ndarray:
    """Return what a head should predict for labelled objects.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    labels : ndarray
        ``(H, W)`` or ``(D, H, W)`` integer, an id per object, 0 is background.
    spacing : sequence of float, optional
        Size of a pixel along each axis, in any unit.

    Returns
    -------
    ndarray
        ``(channels, *labels.shape)`` float32; 0 in the background.
    """
    if name == BORDER:
        return touching_borders(labels)[None].astype(np.float32)
    spacing = tuple(spacing or (1.0,) * labels.ndim)
    inside = labels > 0
    dense = _consecutive(labels)
    depth = _distance_to_border(labels, spacing)
    towards = _vectors_to_centre(dense, depth, spacing)
    length = np.sqrt((towards**2).sum(0))
    longest = np.maximum(_per_object(np.maximum, length, dense), 1e-6)
    if name == OFFSET:
        return np.asarray(np.where(inside, towards / longest, 0), np.float32)
    relative = depth / np.maximum(_per_object(np.maximum, depth, dense), 1e-6)
    both = np.stack([relative, 1 - length / longest])
    return np.asarray(np.where(inside, both, 0), np.float32)


def touching_borders(labels: np.ndarray) -> np.ndarray:
    """Return a mask of the pixels that lie between two objects, `BORDER_REACH` to either side."""
    import scipy.ndimage as ndi

    size = 2 * BORDER_REACH + 1
    values = labels.astype(np.int64)
    highest = ndi.maximum_filter(values, size)
    none = values.max(initial=0) + 1
    lowest = ndi.minimum_filter(np.where(values > 0, values, none), size)
    return np.asarray((highest > 0) & (lowest < highest))


def _consecutive(labels: np.ndarray) -> np.ndarray:
    """Return labels numbered from 1 without gaps, 0 stays."""
    ids, inverse = np.unique(labels, return_inverse=True)
    dense = inverse.reshape(labels.shape)
    return dense if ids[0] == 0 else dense + 1


def _distance_to_border(labels: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return the distance to the nearest pixel of another object or of the background."""
    import scipy.ndimage as ndi
    from skimage.segmentation import find_boundaries

    # Pixels at a border are half a pixel away from it; the others as far from one of those.
    edge = find_boundaries(labels, connectivity=1, mode="inner")
    step = min(spacing) / 2
    far = (labels > 0) & ~edge
    if edge.any():
        return np.where(labels > 0, ndi.distance_transform_edt(far, sampling=spacing) + step, 0)
    return (labels > 0).astype(np.float64)


def _per_object(combine: np.ufunc, values: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """Return at every pixel what all pixels of its object combine to."""
    combined = np.zeros(int(dense.max(initial=0)) + 1)
    combine.at(combined, dense.ravel(), values.ravel())
    return np.asarray(combined[dense])


def _vectors_to_centre(
    dense: np.ndarray, depth: np.ndarray, spacing: Sequence[float]
) -> np.ndarray:
    """Return ``(axes, ...)``: the vector from every pixel to its object's centre.

    The centre is the deepest pixel; of several, the one next to the centroid, so that it lies in
    the object however bent that is.
    """
    count = int(dense.max(initial=0)) + 1
    places = np.stack(
        [axis * size for axis, size in zip(np.indices(dense.shape), spacing, strict=True)]
    ).reshape(dense.ndim, -1)
    flat = dense.ravel()
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    centroid = np.stack([np.bincount(flat, axis, minlength=count) / pixels for axis in places])
    away = np.sqrt(((places - centroid[:, flat]) ** 2).sum(0))
    # Depth decides, and among equal depths (up to a quarter of a pixel) the centroid.
    rank = np.round(4 * depth.ravel() / min(spacing)) - away / (away.max(initial=0) + 1)
    order = np.lexsort((rank, flat))
    last = np.searchsorted(flat[order], np.arange(count), side="right") - 1
    centre = places[:, order[np.maximum(last, 0)]]
    return np.asarray((centre[:, flat] - places).reshape(dense.ndim, *dense.shape))


def loss(
    name: str, logits: Tensor, wanted: Tensor, labels: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Return a head's loss.

    Cross-entropy, with weights for what is rare; for offsets the absolute error.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    logits : Tensor
        ``(B, channels, H, W)`` or ``(B, channels, D, H, W)``, the head's output.
    wanted : Tensor
        Of the same shape, as `targets` returns it; NaN where it is not known.
    labels : Tensor
        ``(B, H, W)``, above 0 where an object is.
    weight : Tensor, optional
        ``(B, H, W)``, 0 where a pixel is ignored.

    Returns
    -------
    Tensor
        Scalar float32.
    """
    import torch.nn.functional as F

    logits, inside = logits.float(), (labels > 0).float()[:, None]
    known, wanted = ~wanted.isnan(), wanted.nan_to_num()
    if name == BORDER:
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        counts = 1 + (BORDER_WEIGHT - 1) * wanted
    elif name == DISTANCE:
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        counts = (BACKGROUND_WEIGHT + (1 - BACKGROUND_WEIGHT) * inside).expand_as(each)
    else:
        each = F.l1_loss(logits.tanh(), wanted, reduction="none")
        counts = inside.expand_as(each)
    counts = counts * known
    if weight is not None:
        counts = counts * weight[:, None]
    mean: Tensor = (each * counts).sum() / counts.sum().clamp(min=1)
    return mean


def split(outputs: Any, classes: int) -> tuple[Any, list[Tensor]]:
    """Divide a network's outputs in training into those of its classes and its head's.

    Parameters
    ----------
    outputs : Tensor, list of Tensor or Supervised
        What the network returned, every map with the classes' channels first.
    classes : int
        Number of those.

    Returns
    -------
    Tensor, list of Tensor or Supervised
        The same without the head's channels.
    list of Tensor
        The head's channels of every map.
    """
    maps = getattr(outputs, "logits", outputs)
    several = [maps] if hasattr(maps, "shape") else list(maps)
    heads = [logits[:, classes:] for logits in several]
    own = [logits[:, :classes] for logits in several]
    if hasattr(outputs, "presence"):
        foreground = max(classes - 1, 1)
        presence = [logits[:, :foreground] for logits in outputs.presence]
        return outputs._replace(logits=own, presence=presence), heads
    return (own[0] if hasattr(maps, "shape") else own), heads


# ---------------------------------------------------------------------- what is predicted
def activated(name: str, logits: Tensor) -> Tensor:
    """Return a head's output as it is stored: shares from 0 to 1, offsets from -1 to 1."""
    return logits.tanh() if name == OFFSET else logits.sigmoid()


def flipped(name: str, values: Tensor, axes: Sequence[int]) -> Tensor:
    """Return stored values of an image that was mirrored along axes, mirrored back.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    values : Tensor
        ``(channels, H, W)`` or with a depth before the height.
    axes : sequence of int
        Spatial axes, counted from the end: -1 is the width.
    """
    import torch

    values = values.flip(tuple(axes)) if axes else values
    if name != OFFSET or not axes:
        return values
    signs = torch.ones(len(values), dtype=values.dtype, device=values.device)
    signs[list(axes)] = -1
    return values * signs.reshape(-1, *(1,) * (values.ndim - 1))


def interior(name: str, values: np.ndarray) -> np.ndarray:
    """Return how deep inside of an object every pixel is, by a head.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    values : ndarray
        ``(channels, ...)``, as `activated` returns them.

    Returns
    -------
    ndarray
        float32 without the first axis, from 0 at the border of an object to 1.
    """
    values = np.asarray(values, np.float32)
    if name == BORDER:
        return np.asarray(1 - values[0])
    if name == DISTANCE:
        return np.asarray(values.mean(0))
    return np.asarray(1 - np.minimum(np.sqrt((values**2).sum(0)), 1))
