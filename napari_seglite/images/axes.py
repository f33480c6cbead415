"""The axes of images and stacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ImageError
from .arrays import ArrayLike

LETTERS = "TZCYX"


@dataclass(frozen=True)
class ImageAxes:
    """The axes of an image, one letter each: T time, Z depth, Y, X, C channel.

    Frames are numbered over T and Z together; the later of the two axes varies fastest.

    Attributes
    ----------
    order : str
        Y and X, and at most one each of T, Z and C, in the order of the image.

    Raises
    ------
    ImageError
        If Y or X is missing, or a letter is unknown or repeated.
    """

    order: str

    def __post_init__(self) -> None:
        letters = set(self.order)
        if not {"Y", "X"} <= letters <= set(LETTERS) or len(letters) != len(self.order):
            raise ImageError(
                f"Images with the axes {self.order!r} cannot be segmented: there must be Y and X, "
                "and there can be T, Z and C, each once, such as YX, ZYX, TZCYX or YXC."
            )

    @property
    def labels(self) -> str:
        """The axes of the image's labels: the same without the channel axis."""
        return self.order.replace("C", "")

    @property
    def stack(self) -> str:
        """The axes along which frames are stacked: T, Z, both or none."""
        return "".join(letter for letter in self.order if letter in "TZ")

    @property
    def stacked(self) -> bool:
        """Whether there are several frames."""
        return bool(self.stack)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `ImageError` unless an image of this shape can have these axes and holds pixels."""
        if len(shape) != len(self.order):
            raise ImageError(
                f"An image of shape {shape} has {len(shape)} axes, not the {len(self.order)} of "
                f"{self.order}."
            )
        if 0 in shape:
            raise ImageError(f"The image is empty: its shape is {shape}.")

    def stack_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the number of frames along each axis of `stack`, for an image of this shape."""
        return tuple(shape[self.order.index(letter)] for letter in self.stack)

    def frame_count(self, shape: tuple[int, ...]) -> int:
        """Return the number of frames in an image of this shape."""
        return math.prod(self.stack_shape(shape))

    def frame_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of the frames of an image of this shape."""
        return shape[self.order.index("Y")], shape[self.order.index("X")]

    def channel_count(self, shape: tuple[int, ...]) -> int:
        """Return the number of channels of an image of this shape; 1 without a channel axis."""
        return shape[self.order.index("C")] if "C" in self.order else 1

    def label_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of labels for an image of this shape."""
        return tuple(n for n, axis in zip(shape, self.order, strict=True) if axis != "C")

    def frame(
        self, image: ArrayLike, index: int, slices: tuple[slice, slice] = (slice(None), slice(None))
    ) -> np.ndarray:
        """Read a frame, or some of its rows and columns, and nothing else of the image.

        Parameters
        ----------
        image : array
            An image with these axes.
        index : int
            Number of the frame.
        slices : tuple of slice
            Rows and columns.

        Returns
        -------
        ndarray
            ``(C, H, W)`` in the image's dtype.
        """
        position = np.unravel_index(index, self.stack_shape(image.shape))
        where: dict[str, int | slice] = dict(zip("YX", slices, strict=True))
        where |= {axis: int(k) for axis, k in zip(self.stack, position, strict=True)}
        plane = np.asarray(image[tuple(where.get(axis, slice(None)) for axis in self.order)])
        remaining = [a for a in self.order if a not in self.stack]
        plane = plane.transpose([remaining.index(a) for a in "CYX" if a in remaining])
        return plane if "C" in remaining else plane[None]

    def split(self, labels: np.ndarray) -> np.ndarray:
        """Return labels, with these axes but without channels, as frames ``(N, H, W)``."""
        planes = np.moveaxis(labels, [self.labels.index(a) for a in "YX"], (-2, -1))
        return planes.reshape(-1, *planes.shape[-2:])

    def join(self, frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Arrange frames as labels; the inverse of `split`.

        Parameters
        ----------
        frames : ndarray
            ``(N, H, W)``.
        shape : tuple of int
            Of the image.

        Returns
        -------
        ndarray
            The labels, of the shape `label_shape`.
        """
        planes = frames.reshape(*self.stack_shape(shape), *frames.shape[-2:])
        return np.moveaxis(planes, (-2, -1), [self.labels.index(a) for a in "YX"])

    def volumes(self, shape: tuple[int, ...]) -> list[list[int]]:
        """Return the numbers of the frames of each volume, in the order of Z, per time point.

        Without Z every frame is a volume of its own.
        """
        numbers = np.arange(self.frame_count(shape)).reshape(self.stack_shape(shape))
        if "Z" not in self.stack:
            return [[k] for k in numbers.ravel().tolist()]
        along = np.moveaxis(numbers, self.stack.index("Z"), -1)
        return [list(group) for group in along.reshape(-1, along.shape[-1]).tolist()]

    def neighbours(self, index: int, shape: tuple[int, ...], slices: int) -> tuple[int, ...]:
        """Return the frames that a network reads to segment one of them.

        They are neighbours along Z, or along T where there is no Z. Beyond an end of the stack, the
        last frame is repeated.

        Parameters
        ----------
        index : int
            Number of the frame to segment.
        shape : tuple of int
            Of the image.
        slices : int
            How many slices the network reads, an odd number.

        Returns
        -------
        tuple of int
            Numbers of the frames; `index` is in the middle.
        """
        if slices == 1 or not self.stacked:
            return (index,) * slices
        sizes = self.stack_shape(shape)
        axis = max(self.stack.find("Z"), 0)
        position = [int(k) for k in np.unravel_index(index, sizes)]
        neighbours = []
        for step in range(-(slices // 2), slices // 2 + 1):
            neighbour = list(position)
            neighbour[axis] = min(max(position[axis] + step, 0), sizes[axis] - 1)
            neighbours.append(int(np.ravel_multi_index(neighbour, sizes)))
        return tuple(neighbours)


def at_level(image: Any, level: int) -> Any:
    """Return one level of a multiscale image.

    Parameters
    ----------
    image : array or sequence of array
        The levels, the finest first; a single array has only level 0.
    level : int
        Number of the level.

    Raises
    ------
    ImageError
        If the image has no such level.
    """
    levels = image if isinstance(image, Sequence) else [image]
    if not 0 <= level < len(levels):
        raise ImageError(f"There is no level {level}: the image has {len(levels)}, from 0.")
    return levels[level]


def guess_axes(shape: tuple[int, ...], rgb: bool | None = None) -> ImageAxes:
    """Guess the axes of an image from its shape.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    rgb : bool, optional
        Whether the last axis holds colours. If not given, a last axis of three or four entries
        does, and one of up to ten that is far narrower than the two before it holds channels.

    Raises
    ------
    ImageError
        If the image has fewer than two or more than four axes beside colours.
    """
    if rgb is None:
        narrow = len(shape) > 2 and 1 < shape[-1] <= 10 and 8 * shape[-1] <= min(shape[-3:-1])
        rgb = narrow or (len(shape) > 2 and shape[-1] in (3, 4))
    order = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(len(shape) - rgb)
    if order is None:
        raise ImageError(
            f"An image of shape {shape} cannot be segmented: give a 2-D image, a stack, or a "
            "series of stacks, grey or in colours, or say what its axes are."
        )
    return ImageAxes(order + "C" * rgb)
