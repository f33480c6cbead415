"""Merge new labels with older and hand-edited ones."""

from __future__ import annotations

import numpy as np


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


def insert_labels(existing: np.ndarray, fresh: np.ndarray, where: np.ndarray) -> np.ndarray:
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


def edited_pixels(labels: np.ndarray, written: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """Return where the user changed labels, now or before they were last written.

    Parameters
    ----------
    labels, written : ndarray
        The labels now, and as they were last written; of the same shape.
    touched : ndarray
        Where the user had changed them before that; boolean, of the same shape.
    """
    edited: np.ndarray = (labels != written) | touched
    return edited


def replace_region(
    labels: np.ndarray, edited: np.ndarray, fresh: np.ndarray, region: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Replace labels in a region by those of a new segmentation, edits included.

    Parameters
    ----------
    labels, fresh : ndarray
        Of the same shape.
    edited : ndarray
        Where the user changed `labels`; boolean, of the same shape.
    region : ndarray
        Boolean, of the same shape.

    Returns
    -------
    labels : ndarray
        The merged labels.
    edited : ndarray
        Where the user's edits are left.
    """
    return insert_labels(labels, fresh, region), edited & ~region


def relabel_around_edits(
    labels: np.ndarray,
    written: np.ndarray,
    edited: np.ndarray,
    fresh: np.ndarray,
    region: np.ndarray | None,
) -> np.ndarray:
    """Replace labels by those of the same segmentation with other settings, except edits.

    Parameters
    ----------
    labels, written, fresh : ndarray
        The labels now, as they were last written, and the new ones; of the same shape.
    edited : ndarray
        Where the user changed `labels`; boolean, of the same shape.
    region : ndarray or None
        Where the segmentation applies; boolean, of the same shape. None for everywhere.
    """
    if region is not None:
        fresh = insert_labels(written, fresh, region)
    return keep_edits(labels, edited, fresh) if edited.any() else fresh
