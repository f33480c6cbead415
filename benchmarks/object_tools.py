"""Seconds and strokes per corrected object: the tools for objects beside the brush alone.

    python benchmarks/object_tools.py DATA [--images 3] [--side 320]

A scripted user corrects what ``nuclei-s-net`` makes of the middle of test images of two sets that
it never learnt from, and knows the reference. Every object of the reference whose best partner has
an IoU below 0.7 is wrong, and so is every predicted object that lies in the background. The user
goes on with an object until its IoU is 0.7, or gives up after four strokes. Strokes and seconds are
given per object that is right then, by what was wrong with it at first.

**Tools**: split where a predicted object holds two, merge where one is cut up, delete what is
false, add what was missed and turn the wheel to the best outline, and redraw the largest error of
the border that is left. **Brush**: paint the separate errors of an object with its label, the
largest first, and erase what lies outside. What is painted lies exactly where it should.
**Either**: for each object what is quicker, as a user does who knows both.

The cost model, after the keystroke-level model of Card, Moran and Newell: 1.1 s to point at
something, 0.2 s to press and release the button, 0.28 s for a key, and 0.15 s for a notch of the
wheel, which seeing the result belongs to. A drag takes 1/40 s per pixel of its way, for lines and
for the brush. A tool costs its key when it changes; the brush costs picking the label of an object
(a key, a click, a key) or a new one (a key). The brush has the width that the plugin sets, 0.4 of a
typical object, or that of the error if it is thinner, and its change costs nothing.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi
from common import table
from skimage.measure import find_contours

from napari_seglite import SegmentRequest, segment
from napari_seglite.errors import AnnotationError
from napari_seglite.formats import list_images, read_image, read_labels
from napari_seglite.images import Box
from napari_seglite.labels import level_sets, object_diameter, object_edits

SETS = ("hela-fluo", "histology-nuclei")
RIGHT, INSIDE, PATIENCE = 0.7, 0.5, 4
POINT, PRESS, KEY, NOTCH, PER_PIXEL = 1.1, 0.2, 0.28, 0.15, 1 / 40
BRUSH_SHARE, SMALLEST_ERROR = 0.4, 4
WAYS = "brush", "tools", "either"


# Strokes and seconds for an object, and whether it is right then.
Spent = tuple[int, float, bool]


@dataclass
class User:
    """A user who edits labels and counts what it costs.

    Attributes
    ----------
    labels, truth : ndarray
        ``(H, W)`` integer; the labels change.
    chances : ndarray
        ``(H, W)``: the probabilities that the labels were made from.
    """

    labels: np.ndarray
    truth: np.ndarray
    chances: np.ndarray
    seconds: float = 0.0
    strokes: int = 0
    used: Counter[str] = field(default_factory=Counter)
    spent: dict[str, list[Spent]] = field(default_factory=lambda: defaultdict(list))
    _tool: str = ""

    def __post_init__(self) -> None:
        width = object_diameter(self.labels) or 10.0
        self.typical, self.brush = width, max(BRUSH_SHARE * width, 3)
        self.kinds = {value: self._kind(value) for value in self.wrong()}

    # ------------------------------------------------------------------ what is wrong
    def partner(self, value: int) -> tuple[int, float]:
        """Return the label that fits an object of the reference best, and its IoU."""
        mask = self.truth == value
        inside = np.bincount(self.labels[mask])
        best, score = 0, 0.0
        for label in np.flatnonzero(inside):
            if label:
                union = mask.sum() + (self.labels == label).sum() - inside[label]
                if inside[label] / union > score:
                    best, score = int(label), float(inside[label] / union)
        return best, score

    def wrong(self) -> list[int]:
        """Return the objects of the reference that are wrong."""
        return [int(v) for v in np.unique(self.truth) if v and self.partner(int(v))[1] < RIGHT]

    def false(self) -> list[int]:
        """Return the labels that lie in the background."""
        labels = [int(k) for k in np.unique(self.labels) if k]
        return [k for k in labels if (self.truth[self.labels == k] > 0).mean() < 0.2]

    # ------------------------------------------------------------------ what it costs
    def pay(self, tool: str, way: float = 0.0) -> None:
        """Count a stroke of some pixels."""
        self.seconds += POINT + PRESS + way * PER_PIXEL + KEY * (tool != self._tool)
        self.strokes += 1
        self.used[tool] += 1
        self._tool = tool

    def apply(self, edit: object_edits.Edit) -> None:
        """Take over an edit."""
        self.labels[edit.box.slices] = edit.labels

    # ------------------------------------------------------------------ correcting
    def correct(self, way: str) -> None:
        """Correct all objects with tools, with the brush, or with what is quicker for each."""
        for label in self.false():
            with self.correcting("false"):
                if way == "brush":
                    self._stroke("erase", self.labels == label, 0)
                else:
                    plane = object_edits.Plane.of(self.labels)
                    self.apply(object_edits.delete(plane, middle(self.labels == label)))
                    self.pay("delete")
        for value in self.wrong():
            with self.correcting(self.kinds[value], value):
                if way == "either":
                    way_here = min(("tools", "brush"), key=lambda one: self._trial(one, value))
                    self._mend(way_here, value)
                else:
                    self._mend(way, value)

    def _mend(self, way: str, value: int) -> None:
        if way == "brush":
            self._paint(value)
            return
        plane = object_edits.Plane.of(self.labels)
        for _ in range(PATIENCE):
            acts = self._split, self._merge, self._add, self._redraw
            right = self.partner(value)[1] >= RIGHT
            if right or not any(act(plane, value) for act in acts):
                break

    def _trial(self, way: str, value: int) -> tuple[bool, float]:
        """Return whether an object would be wrong still, and the seconds it would cost."""
        other = replace(self, labels=self.labels.copy(), used=Counter())
        other._mend(way, value)
        return other.partner(value)[1] < RIGHT, other.seconds - self.seconds

    @contextmanager
    def correcting(self, kind: str, value: int = 0) -> Iterator[None]:
        """Count what an object costs that is wrong in some way."""
        if value and self.partner(value)[1] >= RIGHT:  # together with another one
            self.spent[kind].append((0, 0.0, True))
            yield
            return
        before = self.strokes, self.seconds
        yield
        right = not value or self.partner(value)[1] >= RIGHT
        self.spent[kind].append((self.strokes - before[0], self.seconds - before[1], right))

    def _kind(self, value: int) -> str:
        """Return what is wrong with an object."""
        mask, (label, score) = self.truth == value, self.partner(value)
        if label and len(self._covered(self.labels == label, self.truth)) > 1:
            return "swallowed"
        if len(self._covered(mask, self.labels)) > 1:
            return "cut up"
        return "missed" if score < 0.1 else "border"

    def _covered(self, mask: np.ndarray, values: np.ndarray) -> list[int]:
        """Return which values have most of their pixels in a mask."""
        found = np.unique(values[mask])
        return [
            int(k)
            for k in found
            if k and (mask & (values == k)).sum() > INSIDE * (values == k).sum()
        ]

    def _split(self, plane: object_edits.Plane, value: int) -> bool:
        """Separate an object from the one beside it in the same prediction."""
        inside = self.labels[self.truth == value]
        label = int(np.bincount(inside).argmax())
        blob = self.labels == label
        others = [k for k in self._covered(blob, self.truth) if k != value]
        if not label or not others:
            return False
        here = np.array(middle(self.truth == value), float)
        there = min(
            (np.array(middle(self.truth == k), float) for k in others),
            key=lambda at: float(np.hypot(*(at - here))),
        )
        line = between(self.truth == value, here, there, blob)
        try:
            edit = object_edits.split(plane, line, int(self.labels.max()) + 1)
        except AnnotationError:
            return False
        self.apply(edit)
        self.pay("split", length(line))
        return True

    def _merge(self, plane: object_edits.Plane, value: int) -> bool:
        """Join two pieces of an object."""
        mask = self.truth == value
        pieces = self._covered(mask, self.labels)
        if len(pieces) < 2:
            return False
        sizes = np.bincount(self.labels[mask])
        first, second = sorted(pieces, key=lambda k: -int(sizes[k]))[:2]
        line = np.array([middle(self.labels == k) for k in (first, second)], float)
        try:
            self.apply(object_edits.merge(plane, line))
        except AnnotationError:
            return False
        self.pay("merge", length(line))
        return True

    def _add(self, plane: object_edits.Plane, value: int) -> bool:
        """Add an object that was missed."""
        mask = self.truth == value
        if self.partner(value)[1] > 0.1 or not (mask & (self.labels == 0)).any():
            return False
        at = middle(mask & (self.labels == 0))
        box = Box(*at, at[0] + 1, at[1] + 1).grown(level_sets.WINDOW // 2, plane.shape)
        local = at[0] - box.top, at[1] - box.left
        free = self.labels[box.slices] == 0
        found = level_sets.propose(self.chances[box.slices], free, local, box, self.typical)
        if found is None:
            return False
        scores = [iou(found.mask(k), mask[box.slices]) for k in range(len(found.levels))]
        best = int(np.argmax(scores))
        notches = 0 if scores[found.best] >= RIGHT else abs(best - found.best)
        self.pay("add")
        self.seconds += notches * NOTCH
        taken = found.mask(best if notches else found.best)
        self.labels[box.slices][taken] = self.labels.max() + 1
        self.used["add, right at once"] += scores[found.best] >= RIGHT
        return True

    def _redraw(self, plane: object_edits.Plane, value: int) -> bool:
        """Mend the largest error of an object's border with a stroke."""
        mask, (label, score) = self.truth == value, self.partner(value)
        if score < 0.1:
            return False
        now = self.labels == label
        missing, surplus = mask & (self.labels == 0), now & ~mask
        parts = [part for part in (largest(missing), largest(surplus)) if part is not None]
        for part in sorted(parts, key=np.count_nonzero, reverse=True):
            line = new_border(now, now | part if (part & missing).any() else now & ~part)
            before = self.labels.copy()
            try:
                self.apply(object_edits.redraw(plane, line))
            except AnnotationError:
                continue
            self.pay("redraw", length(line))
            if self.partner(value)[1] > score:
                return True
            self.labels[...] = before  # a stroke that made it worse is undone
            self.seconds += KEY
        return False

    # ------------------------------------------------------------------ with the brush
    def _paint(self, value: int) -> None:
        mask, (label, score) = self.truth == value, self.partner(value)
        if score >= RIGHT:
            return
        # The best label may be that of another object, in which this one was swallowed.
        if not label or score < 0.1 or self._belongs_to_another(label, value):
            label = int(self.labels.max()) + 1
            self.seconds += KEY
        else:
            self.seconds += 2 * KEY + POINT + PRESS
        for _ in range(PATIENCE):
            now = self.labels == label
            if iou(now, mask) >= RIGHT:
                break
            parts = [largest(mask & ~now), largest(now & ~mask)]
            part = max((p for p in parts if p is not None), key=np.count_nonzero, default=None)
            if part is None:
                break
            paint = bool((part & mask).any())
            self._stroke("paint" if paint else "erase", part, label if paint else 0)

    def _belongs_to_another(self, label: int, value: int) -> bool:
        inside = np.bincount(self.truth[self.labels == label])
        inside[0] = 0
        return int(inside.argmax()) != value

    def _stroke(self, tool: str, part: np.ndarray, label: int) -> None:
        width = min(2 * float(ndi.distance_transform_edt(np.pad(part, 1)).max()), self.brush)
        self.pay(tool, max(np.count_nonzero(part) / max(width, 1) - width, 0))
        self.labels[part] = label


def middle(mask: np.ndarray) -> tuple[int, int]:
    """Return the pixel deepest inside a mask."""
    depth = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection of two masks over their union."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def length(line: np.ndarray) -> float:
    """Return how long the way along points is."""
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def largest(mask: np.ndarray) -> np.ndarray | None:
    """Return the largest connected part of a mask, None if there is only dirt."""
    parts, count = ndi.label(mask)
    if not count:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    return parts == sizes.argmax() + 1 if sizes.max() >= SMALLEST_ERROR else None


def between(mask: np.ndarray, here: np.ndarray, there: np.ndarray, blob: np.ndarray) -> np.ndarray:
    """Return a straight line across a blob where an object in it ends, seen from its middle."""
    way = there - here
    steps = np.linspace(0, 1, 200)[:, None]
    pixels = np.round(here + steps * way).astype(int)
    last = np.flatnonzero(mask[tuple(pixels.T)])[-1]
    cross, across = here + steps[last] * way, np.array([-way[1], way[0]]) / np.hypot(*way)
    ends = []
    for sign in (-1, 1):
        reach = 1.0
        while True:
            at = cross + sign * reach * across
            inside = all(0 <= round(k) < n for k, n in zip(at, blob.shape, strict=True))
            if not inside or not blob[round(at[0]), round(at[1])]:
                break
            reach += 1
        ends.append(cross + sign * (reach + 1) * across)
    return np.array(ends)


def new_border(now: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the part of a wanted border that is not there yet, begun and ended in the object."""
    (border,) = sorted(find_contours(np.pad(wanted, 1).astype(float), 0.5), key=len)[-1:]
    border = border - 1
    changed = ndi.binary_dilation(now != wanted, np.ones((3, 3)))
    pixels = np.clip(np.round(border).astype(int), 0, np.array(now.shape) - 1)
    fresh = changed[tuple(pixels.T)]
    if fresh.all() or not fresh.any():
        return np.asarray(border)
    border = np.roll(border[:-1], -int(np.flatnonzero(~fresh)[0]), 0)
    fresh = np.roll(fresh[:-1], -int(np.flatnonzero(~fresh)[0]))
    runs, _ = ndi.label(fresh)
    line = border[runs == np.bincount(runs)[1:].argmax() + 1][::2]
    # The stroke begins and, if it leaves the object, ends a little inside it.
    deep = ndi.distance_transform_edt(now) >= 2
    spots = np.argwhere(deep if deep.any() else now)
    ends = [spots[((spots - end) ** 2).sum(1).argmin()] for end in (line[0], line[-1])]
    return np.concatenate([ends[:1], line, ends[1:]]).astype(float)


def crops(data: Path, name: str, images: int, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the middles of some test images and of their reference."""
    found = []
    for path in list_images(data / name / "test" / "images")[:images]:
        pixels = np.asarray(read_image(path).array)
        (reference,) = (data / name / "test" / "labels").glob(f"{path.stem}.*")
        box = Box.whole(pixels.shape[:2]).middle(side).slices
        found.append((pixels[box], np.asarray(read_labels(reference)).squeeze()[box].astype(int)))
    return found


def compare(data: Path, name: str, images: int, side: int) -> list[tuple[str, ...]]:
    """Return the rows of a data set, one for each way in which objects are wrong."""
    spent: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    used: Counter[str] = Counter()
    for pixels, truth in crops(data, name, images, side):
        axes = "YX" if pixels.ndim == 2 else "YXC"
        result = segment(pixels, SegmentRequest("nuclei-s-net", axes, output="instances"))
        chances = np.asarray(result.probabilities[0, 0], np.float32)
        for way in WAYS:
            user = User(np.array(result.labels).astype(int), truth, chances)
            user.correct(way)
            for kind, costs in user.spent.items():
                spent[kind, way] += costs
                spent["all", way] += costs
            if way == "either":
                used += user.used
    print(name, "either:", dict(used))
    rows = []
    for kind in ("false", "swallowed", "cut up", "missed", "border", "all"):
        if count := len(spent[kind, "tools"]):
            cells = [_means(spent[kind, way]) for way in WAYS]
            rows.append(
                (
                    name,
                    kind,
                    str(count),
                    *(cell for pair in zip(*cells, strict=True) for cell in pair),
                )
            )
    return rows


def _means(costs: list[Spent]) -> tuple[str, str, str]:
    """Return the share that was corrected, and strokes and seconds per corrected object."""
    strokes, seconds, right = np.array(costs, float).sum(0)
    return (
        f"{right / len(costs):.2f}",
        f"{strokes / max(right, 1):.2f}",
        f"{seconds / max(right, 1):.2f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--side", type=int, default=320)
    given = parser.parse_args()
    titles = [f"{what}, {way}" for what in ("right", "strokes", "seconds") for way in WAYS]
    rows: list[tuple[str, ...]] = [("set", "what is wrong", "objects", *titles)]
    for name in SETS:
        if not (given.data / name).is_dir():
            print(f"{given.data / name} is not there; it is left out.")
            continue
        rows += compare(given.data, name, given.images, given.side)
    table(rows)


if __name__ == "__main__":
    main()
