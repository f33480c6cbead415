"""Join the objects of neighbouring frames: along Z to objects of a volume, along T to keep ids.

Two objects belong together if they share enough pixels when one frame is laid on the other. Of
all such pairs of two frames, the one with the largest overlap is linked first, and an object has at
most one link to either side. This greedy matching takes the locally dominant pairs and reaches at
least half of the largest possible sum (Preis, 1999). It is preferred to the assignment of the
largest sum (`scipy.optimize.linear_sum_assignment`), which gives up a good link for two poor ones
and needs a table of all pairs.

Objects that lie on top of each other overlap as well. They are told from one by the waist between
them: its slices shrink and grow again.

Frames are read block by block, and no more than two at a time; beside them only tables grow, with
the number of objects and of pairs that share pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..images import LabelFrames, blocks
from .labelling import Counts
from .matching import number_pairs, summed

# How objects reach through a stack: split in 3-D, joined slice by slice, or not at all.
StackObjects = Literal["volume", "joined", "slices"]
STACK_OBJECTS: tuple[StackObjects, ...] = get_args(StackObjects)

Layers = Sequence[Sequence[int]]


@dataclass(frozen=True)
class JoinRule:
    """Which objects of two frames are linked.

    Attributes
    ----------
    least_overlap : float
        Least share of the smaller object that lies in the other, 0 to 1.
    largest_gap : int
        Frames that an object may miss in between; what is missing is not filled in.
    waist : float
        Objects are cut where their area falls below this share of the largest areas on both sides;
        0 cuts none.
    """

    least_overlap: float = 0.25
    largest_gap: int = 0
    waist: float = 0.0


class FrameJoiner:
    """Joins the objects in labels.

    Parameters
    ----------
    target : LabelFrames
        The labels, in which every number is used by one object only; `write` alone changes them.
    shape : tuple of int
        Height and width of the frames.
    frames : int
        How many there are.
    count : int
        The largest number in them.
    """

    def __init__(
        self, target: LabelFrames, shape: tuple[int, int], frames: int, count: int
    ) -> None:
        self._target, self._blocks = target, tuple(blocks(shape))
        # The object that every number belongs to, named by the first of its numbers; 0 is none.
        self.object_of = np.arange(count + 1)
        self.areas = np.zeros(count + 1, np.int64)
        self._numbers = []
        for frame in range(frames):
            numbers, _, pixels = self._shared(frame, frame)
            self.areas[numbers] += pixels
            self._numbers.append(numbers)

    def join(self, stacks: Sequence[Layers], rule: JoinRule) -> None:
        """Link the objects of every layer to those of the layers before it.

        Parameters
        ----------
        stacks : sequence of sequence of sequence of int
            Stacks that have nothing to do with each other, each a sequence of layers, which are
            given by their frames: of a volume the slices, of a series the planes or volumes.
        rule : JoinRule
            Which objects are linked.
        """
        link = np.arange(len(self.object_of))
        held = np.ones(len(link))  # the overlap of every object with the one it is linked to
        for layers in stacks:
            self._link(layers, rule, link, held)
        self._apply(_cut_at_waists(link, self.areas, held, rule.waist) if rule.waist else link)

    def _link(self, layers: Layers, rule: JoinRule, link: np.ndarray, held: np.ndarray) -> None:
        """Link the objects of the layers of a stack; `link` and `held` change."""
        ends: dict[int, np.ndarray] = {}  # by layer, the objects without a link to a later one
        for k, frames in enumerate(layers):
            begins = ends[k] = self._objects(frames)
            ends.pop(k - 2 - rule.largest_gap, None)
            # The layer before goes first: a gap is bridged only for objects that it leaves over.
            for earlier in sorted(ends.keys() - {k}, reverse=True):
                if not (len(begins) and len(ends[earlier])):
                    continue
                first, second, shared = self._overlaps(layers[earlier], frames)
                overlap = shared / np.minimum(self.areas[first], self.areas[second])
                good = (overlap >= rule.least_overlap) & np.isin(first, ends[earlier])
                good &= np.isin(second, begins)
                order = np.lexsort((second, first, -shared, -overlap))
                order = order[good[order]]
                order = order[dominant_pairs(first[order], second[order])]
                first, second = first[order], second[order]
                link[second], held[second] = link[first], overlap[order]
                ends[earlier] = np.setdiff1d(ends[earlier], first, assume_unique=True)
                begins = np.setdiff1d(begins, second, assume_unique=True)

    def drop_small(self, min_size: int) -> None:
        """Turn objects of fewer pixels into background."""
        link = np.arange(len(self.object_of))
        link[self.areas < min_size] = 0
        self._apply(link)

    def write(self) -> Counts:
        """Write the objects, numbered from 1 in the order of their first pixels."""
        objects = np.flatnonzero(self.areas[1:]) + 1
        ids = np.zeros(len(self.object_of), np.uint32)
        ids[objects] = np.arange(1, len(objects) + 1)
        ids = ids[self.object_of]
        for frame in range(len(self._numbers)):
            for rows, columns in self._blocks:
                labels = self._target.read(frame, rows, columns)
                self._target.write(frame, rows, columns, ids[labels])
        return Counts(int(self.areas[1:].sum()), len(objects))

    def _apply(self, link: np.ndarray) -> None:
        self.object_of = link[self.object_of]
        areas = np.zeros_like(self.areas)
        np.add.at(areas, link, self.areas)
        self.areas = areas

    def _objects(self, frames: Sequence[int]) -> np.ndarray:
        """Return the objects in frames, sorted."""
        numbers = np.concatenate([self._numbers[frame] for frame in frames])
        objects = np.unique(self.object_of[numbers])
        return objects[objects > 0]

    def _overlaps(
        self, before: Sequence[int], after: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pairs of objects that lie on each other in two layers, and their pixels."""
        tables = []
        for one, other in zip(before, after, strict=True):
            first, second, pixels = self._shared(one, other)
            first, second = self.object_of[first], self.object_of[second]
            both = (first > 0) & (second > 0)
            tables.append((first[both], second[both], pixels[both]))
        return _total(tables)

    def _shared(self, one: int, other: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pairs of numbers that lie on each other in two frames, and their pixels."""
        tables = []
        for block in self._blocks:
            first = self._target.read(one, *block).ravel()
            second = first if other == one else self._target.read(other, *block).ravel()
            tables.append(number_pairs(first, second))
        return _total(tables)


def dominant_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Choose pairs greedily, so that nothing is in two of them.

    Parameters
    ----------
    first, second : ndarray
        The two sides of every pair, the best pair first.

    Returns
    -------
    ndarray
        Positions of the chosen pairs, sorted.
    """
    chosen, left = [np.zeros(0, np.int64)], np.arange(len(first))
    while len(left):
        # A pair that is the best of both of its sides is taken, whatever the others are.
        of_first, of_second = (np.unique(s[left], return_index=True)[1] for s in (first, second))
        taken = left[np.intersect1d(of_first, of_second, assume_unique=True)]
        chosen.append(taken)
        free = ~np.isin(first[left], first[taken]) & ~np.isin(second[left], second[taken])
        left = left[free]
    return np.sort(np.concatenate(chosen))


def _cut_at_waists(
    link: np.ndarray, areas: np.ndarray, held: np.ndarray, waist: float
) -> np.ndarray:
    """Return links without those at the waists of objects; see `JoinRule` and `FrameJoiner.join`.

    Numbers of a later frame are larger, so that those of an object are sorted along Z.
    """
    link = link.copy()
    order = np.argsort(link, kind="stable")
    order = order[np.bincount(link)[link[order]] > 2]  # shorter ones have no waist
    starts = np.flatnonzero(np.diff(link[order], prepend=-1))
    for chain in np.split(order, starts[1:]) if len(order) else ():
        todo = [chain]
        while todo:
            part = todo.pop()
            link[part] = part[0]
            if len(part) < 3:
                continue
            area = areas[part]
            before, behind = (np.maximum.accumulate(a) for a in (area, area[::-1]))
            share = area / np.minimum(before, behind[::-1])
            narrowest = int(share.argmin())
            if share[narrowest] < waist:
                # The narrowest slice goes to the side that holds more of it.
                stays = held[part[narrowest]] > held[part[narrowest + 1]]
                todo += [part[: narrowest + stays], part[narrowest + stays :]]
    return link


def _total(
    tables: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of some tables once, sorted, with the sum of its pixels."""
    first, second, pixels = (np.concatenate(column) for column in zip(*tables, strict=True))
    return summed(first, second, pixels) if len(first) else (first, second, pixels)
