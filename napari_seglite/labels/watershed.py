"""A watershed on the distance to the background, or on given levels, component by component.

Compiled by Numba.

Pixels are added from the highest to the lowest. Where two maxima meet, the lower one is merged into
the higher if it rises by less than `depth` above the saddle; the others remain objects (the
dynamics of Grimaud, 1992, in the flooding of Meyer, 1994). The distance is the exact one of
Felzenszwalb and Huttenlocher (2012), smoothed by a Gaussian.

SciPy and scikit-image take 2 ms per component for the same result, nearly all of it overhead.
"""

from __future__ import annotations

import math

import numpy as np

from src_models.compiled import compiled, is_compiled

# Distances are integers, in sixteenths of a pixel, so that comparisons are exact.
SIXTEENTHS = 16
# The Gaussian has a standard deviation of 1 and reaches this many pixels to either side.
REACH = 4
_FAR = 1e20
_WEIGHTS = np.exp(-0.5 * np.arange(-REACH, REACH + 1) ** 2)
_WEIGHTS /= _WEIGHTS.sum()


@compiled
def measure(labels, count):  # type: ignore[no-untyped-def]
    """Return the sizes, first pixels and boxes of labels from 1 to `count`.

    Parameters
    ----------
    labels : ndarray
        ``(D, H, W)`` integer.
    count : int
        The highest label.

    Returns
    -------
    sizes, first : ndarray
        ``(count,)`` int64; pixels in raster order are counted from 0.
    begin, end : ndarray
        ``(count, 3)`` int64.
    """
    depth, height, width = labels.shape
    sizes, first = np.zeros(count, np.int64), np.zeros(count, np.int64)
    begin, end = np.zeros((count, 3), np.int64), np.zeros((count, 3), np.int64)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                k = labels[z, y, x] - 1
                if k < 0:
                    continue
                if sizes[k] == 0:
                    first[k] = (z * height + y) * width + x
                    begin[k, 0], begin[k, 1], begin[k, 2] = z, y, x
                sizes[k] += 1
                begin[k, 1], begin[k, 2] = min(begin[k, 1], y), min(begin[k, 2], x)
                end[k, 0] = z + 1
                end[k, 1], end[k, 2] = max(end[k, 1], y + 1), max(end[k, 2], x + 1)
    return sizes, first, begin, end


@compiled
def split_each(labels, numbers, begin, end, before, behind, depth, ids, step=1.0):  # type: ignore[no-untyped-def]
    """Separate the objects of some components, and number them from 1.

    Parameters
    ----------
    labels : ndarray
        ``(D, H, W)`` integer, the labelled components.
    numbers : ndarray
        ``(n,)``, the labels of the components to split.
    begin, end : ndarray
        ``(n, 3)``, the boxes around them.
    before, behind : ndarray
        ``(n, 3)``, pixels of background to add on either side; 0 at the image's border, where an
        object may be cut off.
    depth : int
        Least height of an object's maximum above its saddles to others, in sixteenths of a pixel.
    ids : ndarray
        ``(D, H, W)`` uint32, gets the objects.
    step : float
        Distance between two slices, in pixels of a slice.

    Returns
    -------
    sizes, first : ndarray
        int64, pixels and first pixel of every object; pixels are counted in raster order from 0.
    """
    sizes, first = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    for n in range(len(numbers)):
        low, high = begin[n], end[n]
        shape = high - low + before[n] + behind[n]
        component = np.zeros((shape[0], shape[1], shape[2]), np.bool_)
        shift = before[n] - low
        for z in range(low[0], high[0]):
            for y in range(low[1], high[1]):
                for x in range(low[2], high[2]):
                    if labels[z, y, x] == numbers[n]:
                        component[z + shift[0], y + shift[1], x + shift[2]] = True
        objects, count = _objects(component, depth, step)
        _record(objects, count, low, high, shift, ids, sizes, first)
    return np.array(sizes), np.array(first)


@compiled
def split_on_levels(labels, numbers, begin, end, levels, depth, ids):  # type: ignore[no-untyped-def]
    """Separate the objects of some components by the maxima of given levels.

    Parameters
    ----------
    labels, numbers, begin, end, ids
        See `split_each`.
    levels : ndarray
        ``(D, H, W)`` integer, at least 0.
    depth : int
        Least height of an object's maximum above its saddles to others, in levels.

    Returns
    -------
    sizes, first : ndarray
        See `split_each`.
    """
    sizes, first = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    shift = np.zeros(3, np.int64)
    for n in range(len(numbers)):
        low, high = begin[n], end[n]
        shape = high - low
        own = np.full((shape[0] + 2, shape[1] + 2, shape[2] + 2), -1, np.int32)
        objects = np.zeros(own.shape, np.int64)
        for z in range(low[0], high[0]):
            for y in range(low[1], high[1]):
                for x in range(low[2], high[2]):
                    if labels[z, y, x] == numbers[n]:
                        own[z - low[0] + 1, y - low[1] + 1, x - low[2] + 1] = levels[z, y, x]
        if shape[0] == 1:
            count = _flooded(own[1:2], depth, objects[1:2])
        else:
            count = _flooded(own, depth, objects)
        shift[:] = -low
        _record(objects, count, low, high, shift, ids, sizes, first)
    return np.array(sizes), np.array(first)


@compiled
def _record(objects, count, low, high, shift, ids, sizes, first):  # type: ignore[no-untyped-def]
    """Write a component's objects to `ids`, and append their sizes and first pixels."""
    last = len(sizes)
    for _ in range(count):
        sizes.append(np.int64(0))
        first.append(np.int64(-1))
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for x in range(low[2], high[2]):
                number = objects[z + shift[0] + 1, y + shift[1] + 1, x + shift[2] + 1]
                if number == 0:
                    continue
                k = last + number - 1
                ids[z, y, x] = k + 1
                sizes[k] += 1
                if first[k] < 0:
                    first[k] = (z * ids.shape[1] + y) * ids.shape[2] + x


@compiled
def raise_each(labels, numbers, begin, end, ids, by):  # type: ignore[no-untyped-def]
    """Add a number to the ids of the objects of some components; see `split_each`."""
    for n in range(len(numbers)):
        for z in range(begin[n, 0], end[n, 0]):
            for y in range(begin[n, 1], end[n, 1]):
                for x in range(begin[n, 2], end[n, 2]):
                    if labels[z, y, x] == numbers[n]:
                        ids[z, y, x] += np.uint32(by)


@compiled
def _objects(component, depth, step):  # type: ignore[no-untyped-def]
    """Return the objects of a component ``(D, H, W)``, numbered from 1, and their number.

    The result has one more pixel of background on every side.
    """
    planes, height, width = component.shape
    objects = np.zeros((planes + 2, height + 2, width + 2), np.int64)
    if component.all():  # the distance to the background is unknown
        objects[1:-1, 1:-1, 1:-1] = 1
        return objects, 1
    smooth = _smoothed(np.sqrt(_squared_distance(component, step)), step)
    levels = np.full(objects.shape, -1, np.int32)
    for z in range(planes):
        for y in range(height):
            for x in range(width):
                if component[z, y, x]:
                    levels[z + 1, y + 1, x + 1] = np.int32(smooth[z, y, x] * SIXTEENTHS)
    if planes == 1:
        return objects, _flooded(levels[1:2], depth, objects[1:2])
    return objects, _flooded(levels, depth, objects)


@compiled
def _turned(values):  # type: ignore[no-untyped-def]
    """Return ``(D, H, W)`` as ``(W, D, H)``; of a plane ``(1, H, W)`` as ``(1, W, H)``."""
    if values.shape[0] == 1:
        return np.ascontiguousarray(values.transpose(0, 2, 1))
    return np.ascontiguousarray(values.transpose(2, 0, 1))


@compiled
def _squared_distance(component, step):  # type: ignore[no-untyped-def]
    """Return the squared distance to the background, in pixels of a slice."""
    squared = np.empty(component.shape, np.float64)
    _from_rows(component.reshape(-1, component.shape[2]), squared.reshape(-1, component.shape[2]))
    for axis in range(1 if component.shape[0] == 1 else 2):
        squared = _turned(squared)
        _nearer(squared.reshape(-1, squared.shape[2]), step * step if axis == 1 else 1.0)
    return _turned(squared)


@compiled
def _from_rows(component, squared):  # type: ignore[no-untyped-def]
    """Write the squared distance to the background within every row."""
    rows, length = component.shape
    far = math.sqrt(_FAR)
    for i in range(rows):
        distance = far
        for q in range(length):
            distance = distance + 1 if component[i, q] else 0.0
            squared[i, q] = distance
        distance = far
        for q in range(length - 1, -1, -1):
            distance = min(distance + 1, squared[i, q])
            squared[i, q] = min(distance * distance, _FAR)


@compiled
def _nearer(squared, w):  # type: ignore[no-untyped-def]
    """Lower the squared distances along rows: the lower envelope of parabolas.

    Neighbours in a row have the squared distance `w`.
    """
    rows, length = squared.shape
    places, values = np.empty(length, np.int64), np.empty(length, np.float64)
    edges = np.empty(length + 1, np.float64)
    for i in range(rows):
        line = squared[i]
        count = 0
        for q in range(length):
            if line[q] >= _FAR:
                continue
            edge = -_FAR
            while count > 0:
                p = places[count - 1]
                edge = (line[q] + w * q * q - values[count - 1] - w * p * p) / (2 * w * (q - p))
                if edge > edges[count - 1]:
                    break
                count -= 1
                edge = -_FAR
            places[count], values[count], edges[count] = q, line[q], edge
            count += 1
        if count == 0:
            continue
        edges[count] = _FAR
        k = 0
        for q in range(length):
            while edges[k + 1] < q:
                k += 1
            line[q] = w * (q - places[k]) ** 2 + values[k]


@compiled
def _smoothed(values, step):  # type: ignore[no-untyped-def]
    """Smooth ``(D, H, W)`` by a Gaussian, with mirrored borders."""
    weights = _WEIGHTS.copy()
    for axis in range(2 if values.shape[0] == 1 else 3):
        if axis == 2 and step != 1:  # across slices, as wide in space as within one
            weights[:] = np.exp(-0.5 * (step * np.arange(-REACH, REACH + 1)) ** 2)
            weights /= weights.sum()
        rows = values.reshape(-1, values.shape[2])
        length = rows.shape[1]
        padded = np.empty(length + 2 * REACH, np.float64)
        for i in range(len(rows) if length > 1 else 0):
            line = rows[i]
            padded[REACH : REACH + length] = line
            for k in range(REACH):
                padded[REACH - 1 - k] = line[_mirrored(-1 - k, length)]
                padded[REACH + length + k] = line[_mirrored(length + k, length)]
            line[:] = weights[REACH] * padded[REACH : REACH + length]
            for k in range(REACH):
                left, right = padded[k : k + length], padded[2 * REACH - k :]
                for q in range(length):
                    line[q] += weights[k] * (left[q] + right[q])
        values = _turned(values)
    return values


@compiled
def _mirrored(place, length):  # type: ignore[no-untyped-def]
    place %= 2 * length
    return place if place < length else 2 * length - 1 - place


@compiled
def _descending(levels):  # type: ignore[no-untyped-def]
    """Return the indices of all levels from 0 up, the highest first; equal ones in order."""
    counts = np.zeros(levels.max() + 2, np.int64)
    for level in levels:
        if level >= 0:
            counts[level] += 1
    starts = np.zeros(len(counts), np.int64)
    for level in range(len(counts) - 2, -1, -1):
        starts[level] = starts[level + 1] + counts[level + 1]
    order = np.empty(counts.sum(), np.int64)
    for place, level in enumerate(levels):
        if level >= 0:
            order[starts[level]] = place
            starts[level] += 1
    return order


@compiled
def _root(parent, k):  # type: ignore[no-untyped-def]
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@compiled
def _neighbours(shape):  # type: ignore[no-untyped-def]
    """Return the index offsets of the neighbours of a pixel, corners included, in a flat array."""
    _, height, width = shape
    steps = [
        (dz * height + dy) * width + dx
        for dz in range(-1, 2)
        for dy in range(-1, 2)
        for dx in range(-1, 2)
        if (shape[0] > 1 or dz == 0) and (dz != 0 or dy != 0 or dx != 0)
    ]
    return np.array(steps)


@compiled
def _flooded(levels, depth, objects):  # type: ignore[no-untyped-def]
    """Write the objects around the maxima of levels, ``(D, H, W)`` int32, and return their number.

    Levels are -1 outside of the component, and all around it.
    """
    steps, levels, objects = _neighbours(levels.shape), levels.ravel(), objects.ravel()
    # For every maximum: the one it was merged into, and its level.
    parent, peak = [0 for _ in range(0)], [0 for _ in range(0)]
    for place in _descending(levels):
        level, steepest, own, several = levels[place], -1, -1, False
        for step in steps:
            near = place + step
            other = objects[near] - 1
            if other < 0:
                continue
            several |= own >= 0 and other != own
            if levels[near] > steepest:
                steepest, own = levels[near], other
        if own < 0:
            parent.append(len(parent))
            peak.append(level)
            objects[place] = len(parent)
            continue
        own = _root(parent, own)
        objects[place] = own + 1
        for step in steps if several else steps[:0]:
            other = objects[place + step] - 1
            if other < 0 or other == own:
                continue
            other = _root(parent, other)
            if other == own or min(peak[own], peak[other]) - level >= depth:
                continue
            if peak[other] > peak[own]:
                own, other = other, own
            parent[other] = own
    numbers, count = np.zeros(len(parent), np.int64), 0
    for place in range(len(objects)):
        if objects[place] > 0:
            root = _root(parent, objects[place] - 1)
            if numbers[root] == 0:
                count += 1
                numbers[root] = count
            objects[place] = numbers[root]
    return count


def needs_compiling(levels: bool = False) -> bool:
    """Whether neither this process nor the cache on disk holds the compiled watershed.

    Parameters
    ----------
    levels : bool
        Ask for the one on given levels instead of the one on the distance to the background.
    """
    return not is_compiled(split_on_levels if levels else split_each)


def as_volume(array: np.ndarray) -> np.ndarray:
    """Return a view of ``(H, W)`` as ``(1, H, W)``; volumes stay as they are."""
    return array.reshape((1,) * (3 - array.ndim) + array.shape)
