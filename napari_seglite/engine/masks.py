"""Probabilities -> labels."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi

# Bumps of the smoothed distance to the background lower than this do not split an object
# in two. In sixteenths of a pixel: whole numbers know no rounding.
SIXTEENTHS = 16
SPLIT_DEPTH = 8


def to_labels(
    probabilities: np.ndarray, threshold: float, min_size: int, output: str, volume: bool
) -> np.ndarray:
    """Turn probabilities into labels.

    Parameters
    ----------
    probabilities : ndarray
        ``(frames, K, H, W)`` float32, 0 to 1. With K > 1, class 0 is background.
    threshold : float
        A pixel is foreground where its probability of not being background is higher.
    min_size : int
        Objects of fewer pixels are removed.
    output : str
        ``"semantic"`` or ``"instances"``.
    volume : bool
        Whether objects reach across frames, as in a Z stack.

    Returns
    -------
    ndarray
        ``(frames, H, W)``. Semantic: uint8 classes. Instances: uint16, or uint32 if the ids
        need it, consecutive from 1 and with room for objects painted later.
    """
    foreground = _foreground(probabilities) > threshold
    if output == "instances":
        return _instances(foreground, min_size, volume)
    if min_size > 1:
        foreground = _without_small(foreground, min_size, volume)
    if probabilities.shape[1] == 1:
        return foreground.astype(np.uint8)
    classes = probabilities[:, 1:].argmax(1).astype(np.uint8) + 1
    return np.where(foreground, classes, 0).astype(np.uint8)


def _foreground(probabilities: np.ndarray) -> np.ndarray:
    return probabilities[:, 0] if probabilities.shape[1] == 1 else 1 - probabilities[:, 0]


def _without_small(foreground: np.ndarray, min_size: int, volume: bool) -> np.ndarray:
    labels, _ = ndi.label(foreground, _neighbours(volume))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= min_size)[labels])


def _neighbours(volume: bool) -> np.ndarray:
    """Pixels that touch along an edge belong together; across frames only in a volume."""
    structure = ndi.generate_binary_structure(3, 1)
    if not volume:
        structure[[0, 2]] = False
    return np.asarray(structure)


def _instances(foreground: np.ndarray, min_size: int, volume: bool) -> np.ndarray:
    """Separate touching objects with a watershed on the distance to the background."""
    flat = not volume or len(foreground) == 1
    # Flat, ids go on from frame to frame.
    labels = np.stack(continued([_split(f) for f in foreground])) if flat else _split(foreground)
    sizes = np.bincount(labels.ravel())
    keep = sizes >= max(min_size, 1)
    keep[0] = False
    renumbered = np.cumsum(keep) * keep
    dtype = (
        np.uint16 if renumbered[-1:].max(initial=0) < 2**15 and keep.sum() < 2**15 else np.uint32
    )
    return renumbered.astype(dtype)[labels]


def _split(foreground: np.ndarray) -> np.ndarray:
    from skimage.morphology import reconstruction
    from skimage.segmentation import watershed

    if not foreground.any():
        return np.zeros(foreground.shape, np.int64)
    smooth = ndi.gaussian_filter(ndi.distance_transform_edt(foreground), 1)
    distance = np.where(foreground, smooth * SIXTEENTHS, 0).astype(np.int32)
    # Every bump that rises by SPLIT_DEPTH seeds an object. Bumps of equal height on one ridge
    # are one dome here, where a search for maxima would find several.
    height = distance - reconstruction(distance - SPLIT_DEPTH, distance).astype(np.int32)
    domes, count = ndi.label(height > 0, np.ones((3,) * foreground.ndim))
    tops = ndi.maximum(height, domes, np.arange(count + 1))
    peaks = np.where(np.asarray(tops)[domes] >= SPLIT_DEPTH, domes, 0) * foreground
    # A part too flat to hold a peak is an object all the same.
    parts, _ = ndi.label(foreground)
    with_peak = np.zeros(parts.max() + 1, bool)
    with_peak[parts[peaks > 0]] = True
    peaks[~with_peak[parts]] = parts[~with_peak[parts]] + peaks.max()
    return np.asarray(watershed(-distance, peaks, mask=foreground), np.int64)


def continued(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Number the objects of labels that follow each other so that no two share an id."""
    top, found = 0, []
    for part in parts:
        highest = top + int(part.max(initial=0))
        dtype = np.uint16 if highest < 2**15 else np.uint32
        found.append(np.where(part > 0, part + np.uint32(top), 0).astype(dtype))
        top = highest
    return found


def keep_edits(edited: np.ndarray, touched: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Carry hand edits over to new labels.

    Parameters
    ----------
    edited : ndarray
        Labels with the edits.
    touched : ndarray
        Where the user changed something; boolean, of the same shape.
    fresh : ndarray
        Labels computed anew, of the same shape; objects if they are not uint8.

    Returns
    -------
    ndarray
        `fresh`, except where the user changed something. Objects that the user painted are
        numbered above all fresh ones, so that two objects never share an id.
    """
    kept = edited[touched]
    if fresh.dtype != np.uint8:
        ids, which = np.unique(kept[kept > 0], return_inverse=True)
        top = int(fresh.max(initial=0))
        if top + len(ids) > np.iinfo(fresh.dtype).max:
            fresh = fresh.astype(np.uint32)
        numbered = np.zeros(kept.shape, fresh.dtype)
        numbered[kept > 0] = top + 1 + which
        kept = numbered
    merged = fresh.copy()
    merged[touched] = kept
    return merged


def put_into(existing: np.ndarray, fresh: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Put a part of new labels into older ones.

    Parameters
    ----------
    existing, fresh : ndarray
        Of the same shape. Objects of `fresh` are numbered above those that stay.
    where : ndarray
        What to take of `fresh`; boolean, of the same shape.
    """
    merged = existing.copy()
    merged[where] = 0
    taken = fresh[where]
    if fresh.dtype != np.uint8:
        top = int(merged.max(initial=0))
        merged = merged.astype(
            np.result_type(merged, fresh, np.min_scalar_type(top + int(taken.max(initial=0))))
        )
        taken = np.where(taken > 0, taken + np.asarray(top, merged.dtype), 0)
    merged[where] = taken
    return merged
