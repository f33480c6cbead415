"""Merge new labels with existing and hand-edited ones."""

from __future__ import annotations

import numpy as np


def keep_edits(edited: np.ndarray, touched: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Return new labels with the user's edits.

    Parameters
    ----------
    edited : ndarray
        Labels with the edits.
    touched : ndarray
        Boolean, of the same shape: the pixels that the user changed.
    fresh : ndarray
        New labels of the same shape; objects if they are not uint8.

    Returns
    -------
    ndarray
        `fresh`, except for the pixels that the user changed. Painted objects are numbered above
        all new ones, so that two objects never share an id.
    """
    painted = edited[touched]
    if fresh.dtype != np.uint8:
        ids, position = np.unique(painted[painted > 0], return_inverse=True)
        top = int(fresh.max(initial=0))
        if top + len(ids) > np.iinfo(fresh.dtype).max:
            fresh = fresh.astype(np.uint32)
        numbered = np.zeros(painted.shape, fresh.dtype)
        numbered[painted > 0] = top + 1 + position
        painted = numbered
    merged = fresh.copy()
    merged[touched] = painted
    return merged


def insert_labels(existing: np.ndarray, fresh: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Insert part of new labels into existing ones.

    Parameters
    ----------
    existing, fresh : ndarray
        Labels of the same shape. Objects of `fresh` are numbered above the remaining ones.
    where : ndarray
        Boolean, of the same shape: the pixels to insert.
    """
    merged = existing.copy()
    merged[where] = 0
    inserted = fresh[where]
    if fresh.dtype != np.uint8:
        top = int(merged.max(initial=0))
        merged = merged.astype(
            np.result_type(merged, fresh, np.min_scalar_type(top + int(inserted.max(initial=0))))
        )
        inserted = np.where(inserted > 0, inserted + np.asarray(top, merged.dtype), 0)
    merged[where] = inserted
    return merged
