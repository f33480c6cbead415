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
