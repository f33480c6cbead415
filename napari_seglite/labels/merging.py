"""Merge new labels with existing and hand-edited ones."""

from __future__ import annotations

from collections import Counter

import numpy as np


class Continued:
    """Objects of new labels that go on in labels that stay, and so get their ids.

    Two objects are one if each is the other's largest overlap where the old labels stay.
    """

    def __init__(self) -> None:
        self._pixels: Counter[tuple[int, int]] = Counter()

    def note(self, existing: np.ndarray, fresh: np.ndarray, stays: np.ndarray) -> None:
        """Count the overlaps in a part of the labels.

        Parameters
        ----------
        existing, fresh : ndarray
            Old and new labels, of the same shape.
        stays : ndarray
            Boolean, of the same shape: where the old ones stay.
        """
        both = stays & (existing > 0) & (fresh > 0)
        pairs = np.stack([existing[both], fresh[both]]).astype(np.int64)
        found, counts = np.unique(pairs, axis=1, return_counts=True)
        for old, new, count in zip(*found.tolist(), counts.tolist(), strict=True):
            self._pixels[old, new] += count

    def ids(self) -> dict[int, int]:
        """Return the old id of each new object that goes on in an old one."""
        of_old: dict[int, int] = {}
        of_new: dict[int, int] = {}
        for (old, new), _ in self._pixels.most_common():
            of_old.setdefault(old, new)
            of_new.setdefault(new, old)
        return {new: old for new, old in of_new.items() if of_old[old] == new}


def numbered_above(fresh: np.ndarray, top: int, ids: dict[int, int]) -> np.ndarray:
    """Return new labels as int64: those that go on with their old id, others above `top`."""
    if not ids:
        return np.where(fresh > 0, fresh.astype(np.int64) + top, 0)
    of_fresh = np.arange(int(fresh.max(initial=0)) + 1) + top
    of_fresh[0] = 0
    for new, old in ids.items():
        if new < len(of_fresh):
            of_fresh[new] = old
    return np.asarray(of_fresh[fresh])


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
        Labels of the same shape. Objects of `fresh` that go on in remaining ones get their ids;
        the others are numbered above.
    where : ndarray
        Boolean, of the same shape: the pixels to insert.
    """
    merged = existing.copy()
    merged[where] = 0
    inserted = fresh[where]
    if fresh.dtype != np.uint8:
        top, continued = int(merged.max(initial=0)), Continued()
        continued.note(existing, fresh, ~where)
        merged = merged.astype(
            np.result_type(merged, fresh, np.min_scalar_type(top + int(inserted.max(initial=0))))
        )
        inserted = numbered_above(inserted, top, continued.ids())
    merged[where] = inserted
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
