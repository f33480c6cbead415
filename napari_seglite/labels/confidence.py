"""How sure a segmentation is of every object: its border, its size and its shape."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage as ndi

from ..images import Box

# Sizes and shapes within this many robust standard deviations of the others' are not odd.
USUAL = 2.5
# With fewer objects, nobody knows what is usual.
FEWEST = 6
# A spread narrower than this factor is taken for this one: objects that are all alike are not odd.
LEAST_SPREAD = 0.15
# Pixels from the border at which the inside and the outside are compared.
REACH = 2


@dataclass(frozen=True)
class ObjectConfidence:
    """How sure a segmentation is of an object.

    Attributes
    ----------
    label : int
        Its label.
    box : Box
        Around it, in pixels of the frame.
    size : int
        Pixels.
    border : float
        Mean certainty along its border, 0 to 1: how much the probability falls from the inside to
        the outside, and between touching objects, how low it is there.
    oddness : float
        Distance of its size or shape from the median of all objects, in robust standard deviations.
    quality : float
        Dice of the object that its own probabilities let expect.
    """

    label: int
    box: Box
    size: int
    border: float
    oddness: float
    quality: float

    @property
    def confidence(self) -> float:
        """Certainty of the border, less for odd objects; 0 to 1."""
        return self.border * min(1.0, USUAL / max(self.oddness, 1e-9))

    @property
    def odd(self) -> bool:
        """Whether its size or shape differs from that of most others."""
        return self.oddness > USUAL

    def moved(self, rows: int, columns: int) -> ObjectConfidence:
        """Return this object in a frame that it lies further down and to the right in."""
        return replace(self, box=self.box.moved(rows, columns))


@dataclass(frozen=True)
class Parts:
    """The objects of a frame: connected parts of one label each.

    Attributes
    ----------
    numbers : ndarray
        ``(H, W)`` int32, number of the object from 1; 0 is background.
    labels, sizes : ndarray
        Label and pixels of every object.
    boxes : list of Box
        Around every object.
    """

    numbers: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    boxes: list[Box]

    @classmethod
    def of(cls, labels: np.ndarray) -> Parts:
        """Find the objects of a frame; works for labels of objects and of classes."""
        from skimage.measure import label

        numbers = np.asarray(label(labels, connectivity=2, background=0), np.int32)
        found = ndi.find_objects(numbers)
        boxes = [Box(rows.start, cols.start, rows.stop, cols.stop) for rows, cols in found]
        of_number = np.zeros(len(boxes) + 1, np.int64)
        of_number[numbers.ravel()] = labels.ravel()
        sizes = np.bincount(numbers.ravel(), minlength=len(boxes) + 1)[1:]
        return cls(numbers, of_number[1:], sizes, boxes)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the mean over every object of an array of the frame's shape."""
        sums = np.bincount(self.numbers.ravel(), values.ravel(), len(self.boxes) + 1)[1:]
        return np.asarray(sums / np.maximum(self.sizes, 1))


def object_confidence(
    labels: np.ndarray, probability: np.ndarray | None = None, interior: np.ndarray | None = None
) -> list[ObjectConfidence]:
    """Return the confidence of every object of a frame, the least confident first.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` integer; an object is a connected part of one label.
    probability : ndarray, optional
        ``(H, W)``, of the foreground. Without it, only size and shape count.
    interior : ndarray, optional
        ``(H, W)``, 0 at an object's border to 1 deep inside, from a network with an object head.

    Returns
    -------
    list of ObjectConfidence
        Sorted by confidence.
    """
    parts = Parts.of(labels)
    if not parts.boxes:
        return []
    border, length = _border(parts, probability, interior)
    oddness = odd(parts.sizes, length**2 / parts.sizes, _at_edge(parts, labels.shape))
    inside = np.ones(len(parts.boxes)) if probability is None else parts.mean(probability)
    quality = 2 * inside / (1 + inside)
    found = [
        ObjectConfidence(int(label), box, int(size), float(b), float(o), float(q))
        for label, box, size, b, o, q in zip(
            parts.labels, parts.boxes, parts.sizes, border, oddness, quality, strict=True
        )
    ]
    return sorted(found, key=lambda each: each.confidence)


def odd(sizes: np.ndarray, shapes: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Return how far the size or shape of every object is from the median of all.

    Parameters
    ----------
    sizes, shapes : ndarray
        Pixels, and squared length of the border per pixel, of every object.
    cut : ndarray
        Whether an object reaches the frame's border, where small ones are nothing odd.

    Returns
    -------
    ndarray
        In robust standard deviations, 0 or more; all 0 for fewer than `FEWEST` objects.
    """
    if len(sizes) < FEWEST:
        return np.zeros(len(sizes))
    size, shape = _deviation(np.log(sizes)), _deviation(np.log(np.maximum(shapes, 1e-9)))
    size = np.where(cut & (size < 0), 0, np.abs(size))
    return np.asarray(np.maximum(size, shape.clip(0)))  # rounder than others is not odd


def _deviation(values: np.ndarray) -> np.ndarray:
    median = np.median(values)
    spread = max(1.4826 * float(np.median(np.abs(values - median))), LEAST_SPREAD)
    return np.asarray((values - median) / spread)


def _at_edge(parts: Parts, shape: tuple[int, ...]) -> np.ndarray:
    height, width = shape
    return np.array(
        [b.top == 0 or b.left == 0 or b.bottom == height or b.right == width for b in parts.boxes]
    )


def _border(
    parts: Parts, probability: np.ndarray | None, interior: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean certainty along the border of every object, and the border's length."""
    count = len(parts.boxes) + 1
    total, length = np.zeros(count), np.zeros(count)
    for axis in range(2):
        numbers = np.moveaxis(parts.numbers, axis, 0)
        y, x = np.nonzero(numbers[1:] != numbers[:-1])
        before, behind = numbers[y, x], numbers[y + 1, x]
        certain = np.ones(len(y))
        if probability is not None:
            p = np.moveaxis(probability, axis, 0)
            inner = p[np.maximum(y + 1 - REACH, 0), x].astype(np.float32)
            outer = p[np.minimum(y + REACH, len(p) - 1), x].astype(np.float32)
            certain = np.abs(inner - outer)
            touching = (before > 0) & (behind > 0)
            between = np.moveaxis(probability if interior is None else interior, axis, 0)
            least = np.minimum(between[y, x], between[y + 1, x]).astype(np.float32)
            certain = np.where(touching, 1 - least, certain)
        for side in (before, behind):
            total += np.bincount(side, certain, count)
            length += np.bincount(side, minlength=count)
    # An object without a border fills the frame.
    mean = np.divide(total, length, out=np.ones(count), where=length > 0)
    return mean[1:].clip(0, 1), length[1:]
