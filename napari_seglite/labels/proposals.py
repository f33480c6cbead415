"""Splits and merges of objects that a person should say yes or no to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.ndimage as ndi

from ..images import Box
from .confidence import FEWEST, Parts

Kind = Literal["split", "merge"]
# Probabilities that an object is cut at: two that touch come apart where the network is less sure.
LEVELS = (0.8, 0.95)
# Least share of an object in the smaller of two parts, and least size of a part in pixels.
LEAST_PART, LEAST_PIXELS = 0.12, 12
# Least depth, in sixteenths of a pixel, of the neck between two maxima of the distance.
NECK = 2
# Shares of its convex hull that a dented object covers at most, and a whole one at least.
DENTED, CONVEX = 0.95, 0.9
# Most times the median size for a merged object, and least for an oddly large one.
LARGEST, LARGE = 2.0, 1.8
# Least certainty between two objects that are one.
JOINED = 0.6
# Most objects to examine per frame, the most suspicious ones.
MOST = 300


@dataclass(frozen=True)
class Proposal:
    """A split or merge that may be right.

    Attributes
    ----------
    kind : str
        ``"split"`` or ``"merge"``.
    box : Box
        Around the objects, in pixels of the frame.
    label : int
        Label of the object that is split, or that both objects get.
    other : int
        Label of the object that is merged into the first; 0 for a split.
    changed : ndarray
        ``(h, w)`` boolean, the pixels of the box that get another label.
    score : float
        How plausible it is, 0 to 1.
    """

    kind: Kind
    box: Box
    label: int
    other: int
    changed: np.ndarray
    score: float

    def moved(self, rows: int, columns: int) -> Proposal:
        """Return this proposal for a frame that it lies further down and to the right in."""
        return replace(self, box=self.box.moved(rows, columns))

    def fits(self, labels: np.ndarray) -> bool:
        """Whether the labels of a frame are still as they were where it would change them."""
        here = labels[self.box.slices][self.changed]
        return bool((here == (self.other or self.label)).all())

    def applied(self, labels: np.ndarray, fresh: int) -> np.ndarray:
        """Return the labels of a frame after this change; ids of other objects stay.

        Parameters
        ----------
        labels : ndarray
            ``(H, W)`` integer.
        fresh : int
            An unused id, for the part that is split off.
        """
        result = labels.copy()
        result[self.box.slices][self.changed] = fresh if self.kind == "split" else self.label
        return result


def propose(
    labels: np.ndarray, probability: np.ndarray | None = None, interior: np.ndarray | None = None
) -> Iterator[list[Proposal]]:
    """Find the splits and merges of a frame that may be right.

    An object may be two if it comes apart where the network is less sure, or at a neck, and is
    dented or oddly large. Two objects may be one if the network sees no border between them and
    they are convex and of usual size together.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer, one label per object.
    probability, interior : ndarray, optional
        See `object_confidence`. Without both, only shapes count.

    Yields
    ------
    list of Proposal
        After every object examined, all proposals so far, the most plausible first.
    """
    parts = Parts.of(labels)
    if not parts.boxes:
        yield []
        return
    usual = float(np.median(parts.sizes)) if len(parts.sizes) >= FEWEST else np.inf
    found: list[Proposal] = []
    evidence = interior if interior is not None else probability
    for proposal in (*_splits(parts, evidence, usual), *_merges(parts, evidence, usual)):
        found.append(proposal)
        yield sorted(found, key=lambda each: -each.score)
    if not found:
        yield []


# ---------------------------------------------------------------------- splits
def _splits(parts: Parts, evidence: np.ndarray | None, usual: float) -> Iterator[Proposal]:
    """Propose splits, object by object."""
    seeds: dict[int, np.ndarray] = {}
    for level in LEVELS if evidence is not None else ():
        assert evidence is not None
        _find_seeds(parts, np.where(evidence > level, parts.numbers, 0), seeds)
    _find_seeds(parts, _at_necks(parts), seeds)
    order = sorted(seeds, key=lambda number: -parts.sizes[number - 1])[:MOST]
    for number in order:
        box = parts.boxes[number - 1]
        own = parts.numbers[box.slices] == number
        solid = solidity(own)
        large = parts.sizes[number - 1] / usual
        if solid > DENTED and large < LARGE:
            continue
        split = _divided(own, seeds[number])
        sizes = np.bincount(split.ravel(), minlength=3)[1:]
        share = float(sizes.min() / sizes.sum())
        if share < LEAST_PART or (split == 2).sum() < LEAST_PIXELS:
            continue
        dent = min(1.0, 4 * (1 - solid))
        score = min(1.0, 2 * share) ** 0.5 * max(dent, min(1.0, large / 3))
        smaller = split == (1 + int(sizes.argmin()))
        yield Proposal("split", box, int(parts.labels[number - 1]), 0, smaller, float(score))


def _find_seeds(parts: Parts, numbers: np.ndarray, seeds: dict[int, np.ndarray]) -> None:
    """Add the two largest parts of every object that comes apart, cropped to its box."""
    from skimage.measure import label

    pieces = np.asarray(label(numbers, connectivity=1, background=0), np.int32)
    sizes = np.bincount(pieces.ravel())
    owner = np.zeros(len(sizes), np.int32)
    owner[pieces.ravel()] = parts.numbers.ravel()
    least = np.maximum(LEAST_PART / 2 * np.r_[0, parts.sizes][owner], LEAST_PIXELS / 2)
    large = np.flatnonzero((sizes >= least) & (np.arange(len(sizes)) > 0))
    if not len(large):
        return
    large = large[np.lexsort((-sizes[large], owner[large]))]
    first = np.flatnonzero(np.diff(owner[large], prepend=-1))
    for start, stop in zip(first, np.r_[first[1:], len(large)], strict=True):
        number = int(owner[large[start]])
        if stop - start > 1 and number not in seeds:
            crop = pieces[parts.boxes[number - 1].slices]
            seeds[number] = (crop == large[start]) + 2 * (crop == large[start + 1]).astype(np.int32)


def _at_necks(parts: Parts) -> np.ndarray:
    """Return the objects cut at their necks, numbered anew."""
    from .watershed import REACH, as_volume, split_each

    boxes = np.array(parts.boxes)
    begin = np.c_[np.zeros(len(boxes), np.int64), boxes[:, :2]]
    end = np.c_[np.ones(len(boxes), np.int64), boxes[:, 2:]]
    height, width = parts.numbers.shape
    before = REACH * (begin > 0)
    behind = REACH * (end < (1, height, width))
    ids = np.zeros(parts.numbers.shape, np.uint32)
    numbers = np.arange(1, len(boxes) + 1)
    split_each(as_volume(parts.numbers), numbers, begin, end, before, behind, NECK, as_volume(ids))
    return ids


def _divided(own: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Divide an object between two seeds, along the shortest neck; returns 1 and 2."""
    from skimage.segmentation import watershed

    depth = ndi.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
    return np.asarray(watershed(-depth, seeds, mask=own))


def solidity(mask: np.ndarray) -> float:
    """Return the share of its convex hull that a mask covers."""
    from scipy.spatial import ConvexHull, QhullError

    # Corners of the first and last pixel of every row span the hull.
    rows = np.flatnonzero(mask.any(1))
    left, right = mask.argmax(1)[rows], mask.shape[1] - mask[:, ::-1].argmax(1)[rows]
    points = np.r_[np.c_[rows, left], np.c_[rows, right]]
    try:
        hull = ConvexHull(np.r_[points, points + np.array([1, 0])])
    except QhullError:  # no pixels
        return 1.0
    return float(mask.sum() / hull.volume)


# ---------------------------------------------------------------------- merges
def _merges(parts: Parts, evidence: np.ndarray | None, usual: float) -> Iterator[Proposal]:
    """Propose merges, pair by pair."""
    pairs, lengths, joined = _neighbours(parts, evidence)
    small = parts.sizes[pairs - 1].min(1) if len(pairs) else np.zeros(0)
    together = parts.sizes[pairs - 1].sum(1) if len(pairs) else np.zeros(0)
    # How wide the common border is, against the smaller object.
    wide = np.minimum(1, lengths / (2 * np.sqrt(np.maximum(small, 1) / np.pi)))
    score = joined * wide
    chosen = np.flatnonzero((joined > JOINED) & (together < LARGEST * usual) & (wide > 0.4))
    for k in chosen[np.argsort(-score[chosen])][:MOST]:
        a, b = sorted(pairs[k].tolist(), key=lambda n: -parts.sizes[n - 1])
        box = parts.boxes[a - 1].joined(parts.boxes[b - 1])
        crop = parts.numbers[box.slices]
        solid = solidity((crop == a) | (crop == b))
        label, other = int(parts.labels[a - 1]), int(parts.labels[b - 1])
        if solid >= CONVEX:
            yield Proposal("merge", box, label, other, crop == b, float(score[k] * solid))


def _neighbours(
    parts: Parts, evidence: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of touching objects, their common border's length and how joined it looks.

    That is the mean over the border of the lower of two probabilities; without any, always 1.
    """
    keys, values = [], []
    count = len(parts.boxes) + 1
    for axis in range(2):
        numbers = np.moveaxis(parts.numbers, axis, 0)
        y, x = np.nonzero((numbers[1:] != numbers[:-1]) & (numbers[1:] > 0) & (numbers[:-1] > 0))
        a, b = numbers[y, x].astype(np.int64), numbers[y + 1, x].astype(np.int64)
        keys.append(np.minimum(a, b) * count + np.maximum(a, b))
        if evidence is None:
            values.append(np.ones(len(y)))
        else:
            e = np.moveaxis(evidence, axis, 0)
            values.append(np.minimum(e[y, x], e[y + 1, x]).astype(np.float64))
    pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
    lengths = np.bincount(place, minlength=len(pairs))
    joined = np.bincount(place, np.concatenate(values), len(pairs)) / np.maximum(lengths, 1)
    return np.stack([pairs // count, pairs % count], 1), lengths.astype(float), joined
