"""Turn probabilities into labels: threshold, holes, components, objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage as ndi

from src_models import object_heads

from ..images import Block, Box, ImageAxes, LabelFrames, blocks, chunked
from .least_probability import LeastProbability
from .objects import Components, Levels, find_components, split_components
from .output import Output

# Steps in which the interior is compared, so that comparisons are exact.
LEVELS = 255


@dataclass(frozen=True)
class Interior:
    """How deep inside of an object pixels are, by a network's object head.

    Attributes
    ----------
    head : str
        One of `object_heads.NAMES`.
    values : array
        ``(N, C, h, w)`` float16 or float32, as `object_heads.activated` returns them.
    depth : float
        How much shallower than both of its sides the interior between two objects must be, 0 to 1.
    """

    head: str
    values: Any
    depth: float

    def read(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return a box of a frame, ``(h, w)`` float32 from 0 at a border to 1."""
        values = np.asarray(self.values[frame, :, rows, columns])
        return np.asarray(object_heads.interior(self.head, values))

    def levels(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return a box of a frame as integers from 0 to `LEVELS`."""
        levels = np.rint(LEVELS * np.clip(self.read(frame, rows, columns), 0, 1))
        return np.asarray(levels, np.int32)


@dataclass(frozen=True)
class Foreground:
    """The foreground of probabilities, as a mask that is computed block by block.

    Attributes
    ----------
    probabilities : array
        ``(N, K, h, w)`` float16 or float32, 0 to 1; NumPy or Zarr. With K > 1, class 0 is
        background.
    threshold : float
        A pixel is foreground if its probability of not being background is higher.
    inside : ndarray or None
        ``(h, w)`` boolean; pixels outside are background.
    smooth : float
        Standard deviation in pixels of a Gaussian that smooths the probabilities first.
    finished : callable or None
        Returns which pixels of a box of a frame are finished, boolean; the others are background.
    interior : Interior or None
        What separates objects; the shape of the mask if there is none.
    """

    probabilities: Any
    threshold: float
    inside: np.ndarray | None = None
    smooth: float = 0.0
    finished: Callable[[int, slice, slice], np.ndarray] | None = None
    interior: Interior | None = None

    def read(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return a box of a frame of the mask, boolean."""
        several = self.probabilities.shape[1] > 1
        box = Box(rows.start, columns.start, rows.stop, columns.stop)
        # The support of the Gaussian around the box, so that results do not depend on blocks.
        support = box.grown(int(4 * self.smooth + 0.5), self.probabilities.shape[-2:])
        # Most thresholds have no exact float16, so they are compared in float32.
        first_class = np.asarray(self.probabilities[frame, 0, *support.slices], np.float32)
        if self.smooth:
            smoothed = ndi.gaussian_filter(first_class, self.smooth, mode="nearest")
            first_class = smoothed[box.within(support).slices]
        foreground = 1 - first_class if several else first_class
        mask = foreground > np.float32(self.threshold)
        if self.finished is not None:
            mask &= self.finished(frame, rows, columns)
        return mask if self.inside is None else mask & self.inside[rows, columns]

    def probability(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return the probability of not being background in a box of a frame, not smoothed."""
        first_class = np.asarray(self.probabilities[frame, 0, rows, columns], np.float32)
        return 1 - first_class if self.probabilities.shape[1] > 1 else first_class

    def classes(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return the most probable class other than background, uint8, in a box of a frame."""
        if self.probabilities.shape[1] == 1:
            return np.ones((), np.uint8)
        probabilities = np.asarray(self.probabilities[frame, 1:, rows, columns])
        return np.asarray(probabilities.argmax(0) + 1, np.uint8)


@dataclass(frozen=True)
class _StoredForeground(Foreground):
    """A foreground whose mask was changed and is stored, ``(N, h, w)`` boolean."""

    mask: Any = None

    def read(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        return np.asarray(self.mask[frame, rows, columns])


def fill_mask_holes(foreground: Foreground, largest: int) -> Foreground:
    """Fill the holes of a mask, slice by slice.

    Parameters
    ----------
    foreground : Foreground
        The mask.
    largest : int
        Holes of more pixels stay open, and so do those at the border.
    """
    count, shape = foreground.probabilities.shape[0], foreground.probabilities.shape[-2:]
    mask = chunked.zeros((count, *shape), bool)
    for frame in range(count):

        def outside(block: Block, frame: int = frame) -> np.ndarray:
            return ~foreground.read(frame, block[0], block[1])

        holes = find_components(outside, shape)
        at_border = (holes.begin == 0).any(1) | (holes.end == shape).any(1)
        filled = (holes.sizes <= largest) & ~at_border
        for block, local, component_of in holes.by_block():
            mask[frame, *block] = np.concatenate([[True], filled[component_of]])[local]
    return stored_foreground(foreground, mask)


def stored_foreground(foreground: Foreground, mask: Any) -> Foreground:
    """Return a foreground with another mask, ``(N, h, w)`` boolean."""
    return _StoredForeground(**vars(foreground), mask=mask)


@dataclass(frozen=True)
class Counts:
    """Number of labelled pixels and objects.

    Attributes
    ----------
    pixels : int
        Pixels that are not background.
    objects : int
        Separate objects; 0 for semantic labels.
    """

    pixels: int
    objects: int


def label_frames(
    foreground: Foreground,
    groups: Sequence[Sequence[int]],
    target: LabelFrames,
    min_size: int,
    output: Output,
    fill_holes: int = 0,
    step: float = 1.0,
    least_probability: float = 0.0,
) -> Counts:
    """Label frames, block by block.

    Parameters
    ----------
    foreground : Foreground
        Mask and classes to label.
    groups : sequence of sequence of int
        Frames of each volume; objects do not extend from one group to another.
    target : LabelFrames
        Gets uint8 classes, or ids from 1 that are unique across all groups.
    min_size : int
        Objects of fewer pixels are left out.
    output : str
        ``"semantic"`` or ``"instances"``.
    fill_holes : int
        Holes of up to this many pixels are filled first.
    step : float
        Distance between two slices of a volume, in pixels of a slice.
    least_probability : float
        Objects whose pixels have a lower mean probability are left out; 0 for none.
    """
    if fill_holes:
        foreground = fill_mask_holes(foreground, fill_holes)
    pixels = objects = 0
    for frames in groups:
        group = _FrameGroup(foreground, frames, target)
        if output == "instances":
            components = find_components(group.read, group.shape)
            read = group.probability
            least = LeastProbability(read, least_probability) if least_probability else None
            sizes = split_components(
                components,
                min_size,
                group.write,
                group.read_back,
                objects,
                group.levels,
                step,
                least,
            )
            objects, pixels = objects + len(sizes), pixels + sum(sizes)
        elif min_size > 1:
            components = find_components(group.read, group.shape)
            pixels += _write_large_components(components, min_size, group)
        else:
            for block in blocks(group.shape):
                pixels += group.write_classes(block, group.read(block))
    return Counts(pixels, objects)


def separate(
    values: np.ndarray,
    classes: int,
    head: str,
    depth: float,
    min_size: int = 0,
    least_probability: float = 0.0,
) -> np.ndarray:
    """Return the objects of a frame or volume from all outputs of a network with an object head.

    Parameters
    ----------
    values : ndarray
        ``(classes + C, H, W)`` or ``(classes + C, D, H, W)``: probabilities, then the head's
        channels.
    classes : int
        Number of probabilities.
    head, depth
        See `Interior`.
    min_size : int
        Objects of fewer pixels are left out.
    least_probability : float
        See `label_frames`.

    Returns
    -------
    ndarray
        ``([D,] H, W)`` uint32, numbered from 1.
    """
    frames = values[None] if values.ndim == 3 else values.swapaxes(0, 1)
    interior = Interior(head, frames[:, classes:], depth)
    foreground = Foreground(frames[:, :classes], 0.5, interior=interior)
    labels = np.zeros((len(frames), *values.shape[-2:]), np.uint32)
    target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
    everything, least = [range(len(frames))], least_probability
    label_frames(foreground, everything, target, min_size, "instances", least_probability=least)
    return labels.reshape(values.shape[1:])


def _write_large_components(components: Components, min_size: int, group: _FrameGroup) -> int:
    """Write the classes of all components that are large enough; return the pixels."""
    large = components.sizes >= min_size
    pixels = 0
    for block, local, component_of in components.by_block():
        mask = np.concatenate([[False], large[component_of]])[local]
        pixels += group.write_classes(block, mask)
    return pixels


@dataclass(frozen=True)
class _FrameGroup:
    """Frames that are labelled together: a volume, or a single plane.

    Blocks of a volume have three axes, those of a plane two.
    """

    foreground: Foreground
    frames: Sequence[int]
    target: LabelFrames

    @property
    def shape(self) -> tuple[int, ...]:
        plane = tuple(self.foreground.probabilities.shape[-2:])
        return (len(self.frames), *plane) if len(self.frames) > 1 else plane

    def read(self, block: Block) -> np.ndarray:
        return self._stacked([self.foreground.read(*p) for p in self._planes(block)], block)

    def probability(self, block: Block) -> np.ndarray:
        return self._stacked(
            [self.foreground.probability(*plane) for plane in self._planes(block)], block
        )

    @property
    def levels(self) -> Levels | None:
        interior = self.foreground.interior
        if interior is None:
            return None
        levels = interior.levels

        def read(block: Block) -> np.ndarray:
            return self._stacked([levels(*plane) for plane in self._planes(block)], block)

        return Levels(read, round(LEVELS * interior.depth))

    def read_back(self, block: Block) -> np.ndarray:
        return self._stacked([self.target.read(*p) for p in self._planes(block)], block)

    def write(self, block: Block, values: np.ndarray) -> None:
        for plane, labels in zip(self._planes(block), _each_plane(values, block), strict=True):
            self.target.write(*plane, labels)

    def write_classes(self, block: Block, mask: np.ndarray) -> int:
        """Write the classes of the pixels of a mask, and return their number."""
        for plane, inside in zip(self._planes(block), _each_plane(mask, block), strict=True):
            self.target.write(*plane, np.where(inside, self.foreground.classes(*plane), 0))
        return int(np.count_nonzero(mask))

    def _planes(self, block: Block) -> list[tuple[int, slice, slice]]:
        """Return the frame, rows and columns of every plane of a block."""
        frames = self.frames[block[0]] if len(block) == 3 else self.frames
        return [(frame, block[-2], block[-1]) for frame in frames]

    def _stacked(self, planes: list[np.ndarray], block: Block) -> np.ndarray:
        return np.stack(planes) if len(block) == 3 else planes[0]


def _each_plane(values: np.ndarray, block: Block) -> Sequence[np.ndarray]:
    return list(values) if len(block) == 3 else [values]
