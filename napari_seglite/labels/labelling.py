"""Probabilities -> labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage as ndi

from ..images import Block, Box, ImageAxes, LabelFrames, blocks, chunked
from .objects import Components, find_components, split_components


@dataclass(frozen=True)
class Foreground:
    """Where probabilities say that there is something, as a mask that is read block by block.

    Attributes
    ----------
    probabilities : array
        ``(N, K, h, w)`` float16 or float32, 0 to 1; NumPy or Zarr. With K > 1, class 0 is
        background.
    threshold : float
        A pixel is foreground where its probability of not being background is higher.
    inside : ndarray or None
        ``(h, w)`` boolean; nothing else is foreground.
    smooth : float
        Standard deviation in pixels of a Gaussian that is laid over the probabilities first.
    finished : sequence of int or None
        How many rows of each frame there are; what lies below is no foreground.
    """

    probabilities: Any
    threshold: float
    inside: np.ndarray | None = None
    smooth: float = 0.0
    finished: Sequence[int] | None = None

    def plane(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return a box of a frame of the mask."""
        several = self.probabilities.shape[1] > 1
        box = Box(rows.start, columns.start, rows.stop, columns.stop)
        # As far as the Gaussian reaches, so that it does not matter where blocks end.
        seen = box.grown(int(4 * self.smooth + 0.5), self.probabilities.shape[-2:])
        # Float16 has no number for most thresholds, so the comparison is made in float32.
        found = np.asarray(self.probabilities[frame, 0, *seen.slices], np.float32)
        if self.smooth:
            found = ndi.gaussian_filter(found, self.smooth, mode="nearest")[box.within(seen).slices]
        mask = (1 - found if several else found) > np.float32(self.threshold)
        if self.finished is not None:
            mask[max(self.finished[frame] - rows.start, 0) :] = False
        return mask if self.inside is None else mask & self.inside[rows, columns]

    def classes(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return the likeliest class beside the background, uint8."""
        if self.probabilities.shape[1] == 1:
            return np.ones((), np.uint8)
        found = np.asarray(self.probabilities[frame, 1:, rows, columns])
        return np.asarray(found.argmax(0) + 1, np.uint8)


@dataclass(frozen=True)
class _Stored(Foreground):
    """A mask that was worked on and kept."""

    mask: Any = None

    def plane(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        return np.asarray(self.mask[frame, rows, columns])


def fill_mask_holes(foreground: Foreground, largest: int) -> Foreground:
    """Fill the holes of a mask, slice by slice.

    Parameters
    ----------
    foreground : Foreground
        The mask.
    largest : int
        Holes of more pixels stay, and so does what reaches the border.
    """
    count, shape = foreground.probabilities.shape[0], foreground.probabilities.shape[-2:]
    mask = chunked.zeros((count, *shape), bool)
    for frame in range(count):

        def outside(block: Block, frame: int = frame) -> np.ndarray:
            return ~foreground.plane(frame, block[0], block[1])

        parts = find_components(outside, shape)
        at_border = (parts.begin == 0).any(1) | (parts.end == shape).any(1)
        filled = (parts.sizes <= largest) & ~at_border
        for block, local, of in parts.each():
            mask[frame, *block] = np.concatenate([[True], filled[of]])[local]
    return _Stored(**vars(foreground), mask=mask)


@dataclass(frozen=True)
class Counts:
    """What was labelled.

    Attributes
    ----------
    pixels : int
        That are not background.
    objects : int
        Separate objects; 0 of semantic labels.
    """

    pixels: int
    objects: int


def label_frames(
    foreground: Foreground,
    groups: Sequence[Sequence[int]],
    target: LabelFrames,
    min_size: int,
    output: str,
    fill_holes: int = 0,
) -> Counts:
    """Label frames, block by block.

    Parameters
    ----------
    foreground : Foreground
        What to label.
    groups : sequence of sequence of int
        The frames that belong to one volume; single ones are labelled by themselves.
    target : LabelFrames
        Gets uint8 classes, or ids from 1 that no two objects of any group share.
    min_size : int
        Objects of fewer pixels are left out.
    output : str
        ``"semantic"`` or ``"instances"``.
    fill_holes : int
        Holes of up to so many pixels are filled first.
    """
    if fill_holes:
        foreground = fill_mask_holes(foreground, fill_holes)
    pixels = objects = 0
    shape = foreground.probabilities.shape[-2:]
    for group in groups:
        volume = _Volume(foreground, group, target)
        if output == "instances":
            parts = find_components(volume.read, volume.shape(shape))
            sizes = split_components(parts, min_size, volume.write, volume.read_back, objects)
            objects, pixels = objects + len(sizes), pixels + sum(sizes)
        elif min_size > 1:
            pixels += _without_small(
                find_components(volume.read, volume.shape(shape)), min_size, volume
            )
        else:
            for block in blocks(volume.shape(shape)):
                pixels += volume.write_classes(block, volume.read(block))
    return Counts(pixels, objects)


def _without_small(parts: Components, min_size: int, volume: _Volume) -> int:
    pixels = 0
    for block, local, of in parts.each():
        kept = np.concatenate([[False], parts.sizes[of] >= min_size])
        pixels += volume.write_classes(block, kept[local])
    return pixels


@dataclass(frozen=True)
class _Volume:
    """Frames that belong together: blocks have three axes; of a single frame, two."""

    foreground: Foreground
    frames: Sequence[int]
    target: LabelFrames

    def shape(self, plane: tuple[int, int]) -> tuple[int, ...]:
        return (len(self.frames), *plane) if len(self.frames) > 1 else plane

    def _planes(self, block: Block) -> list[tuple[int, slice, slice]]:
        chosen = self.frames[block[0]] if len(block) == 3 else self.frames
        return [(frame, block[-2], block[-1]) for frame in chosen]

    def _stacked(self, planes: list[np.ndarray], block: Block) -> np.ndarray:
        return np.stack(planes) if len(block) == 3 else planes[0]

    def read(self, block: Block) -> np.ndarray:
        return self._stacked([self.foreground.plane(*p) for p in self._planes(block)], block)

    def read_back(self, block: Block) -> np.ndarray:
        return self._stacked([self.target.read(*p) for p in self._planes(block)], block)

    def write(self, block: Block, values: np.ndarray) -> None:
        for plane, part in zip(self._planes(block), self._each(values, block), strict=True):
            self.target.write(*plane, part)

    def write_classes(self, block: Block, mask: np.ndarray) -> int:
        for plane, part in zip(self._planes(block), self._each(mask, block), strict=True):
            self.target.write(*plane, np.where(part, self.foreground.classes(*plane), 0))
        return int(np.count_nonzero(mask))

    def _each(self, values: np.ndarray, block: Block) -> Sequence[np.ndarray]:
        return list(values) if len(block) == 3 else [values]


def to_labels(
    probabilities: np.ndarray, threshold: float, min_size: int, output: str, volume: bool
) -> np.ndarray:
    """Turn probabilities in memory into labels.

    Parameters
    ----------
    probabilities : ndarray
        ``(frames, K, H, W)``, see `Foreground`.
    threshold, min_size, output
        See `Foreground` and `label_frames`.
    volume : bool
        Whether objects reach across frames, as in a Z stack.

    Returns
    -------
    ndarray
        ``(frames, H, W)``. Semantic: uint8 classes. Instances: uint16, or uint32 if the ids
        need it, consecutive from 1 and with room for objects painted later.
    """
    count, _, height, width = probabilities.shape
    labels = np.zeros((count, height, width), np.uint32)
    groups = [list(range(count))] if volume else [[k] for k in range(count)]
    target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
    found = label_frames(Foreground(probabilities, threshold), groups, target, min_size, output)
    return labels.astype(label_dtype(output, found.objects))


def label_dtype(output: str, objects: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type that leaves room for objects painted later."""
    if output == "semantic":
        return np.uint8
    return np.uint16 if objects < 2**15 else np.uint32
