"""Which axis of an image is what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ImageError

LETTERS = "TZCYX"


@dataclass(frozen=True)
class ImageAxes:
    """The axes of an image, one letter each: T time, Z depth, Y, X, C channel.

    Frames are counted over T and Z together, the last of them running fastest.

    Attributes
    ----------
    order : str
        Y and X, and at most one each of T, Z and C, in the image's order.
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
        """The axes of labels for such an image: the same without channels."""
        return self.order.replace("C", "")

    @property
    def stack(self) -> str:
        """The axes that frames are counted over, T, Z, both or none."""
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
        """How many frames an image of this shape has along each axis of `stack`."""
        return tuple(shape[self.order.index(letter)] for letter in self.stack)

    def frame_count(self, shape: tuple[int, ...]) -> int:
        """Number of 2-D frames in an image of this shape."""
        return math.prod(self.stack_shape(shape))

    def frame_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the frames of an image of this shape."""
        return shape[self.order.index("Y")], shape[self.order.index("X")]

    def channel_count(self, shape: tuple[int, ...]) -> int:
        """Number of channels of an image of this shape; 1 without a channel axis."""
        return shape[self.order.index("C")] if "C" in self.order else 1

    def label_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of labels for an image of this shape."""
        return tuple(n for n, axis in zip(shape, self.order, strict=True) if axis != "C")

    def frame(
        self, image: Any, index: int, slices: tuple[slice, slice] = (slice(None), slice(None))
    ) -> np.ndarray:
        """Return the rows and columns of one frame as ``(C, H, W)``, in the image's dtype.

        Nothing else is read.
        """
        place = np.unravel_index(index, self.stack_shape(image.shape))
        where: dict[str, int | slice] = dict(zip("YX", slices, strict=True))
        where |= {axis: int(k) for axis, k in zip(self.stack, place, strict=True)}
        plane = np.asarray(image[tuple(where.get(axis, slice(None)) for axis in self.order)])
        left = [a for a in self.order if a not in self.stack]
        plane = plane.transpose([left.index(a) for a in "CYX" if a in left])
        return plane if "C" in left else plane[None]

    def split(self, labels: np.ndarray) -> np.ndarray:
        """Return labels of such an image as frames ``(N, H, W)``."""
        planes = np.moveaxis(labels, [self.labels.index(a) for a in "YX"], (-2, -1))
        return planes.reshape(-1, *planes.shape[-2:])

    def join(self, frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return frames ``(N, H, W)`` as labels for an image of this shape; undoes `split`."""
        planes = frames.reshape(*self.stack_shape(shape), *frames.shape[-2:])
        return np.moveaxis(planes, (-2, -1), [self.labels.index(a) for a in "YX"])

    def volumes(self, shape: tuple[int, ...]) -> list[list[int]]:
        """Return the frames that belong together along Z, for every time point.

        Without Z every frame stands alone.
        """
        numbers = np.arange(self.frame_count(shape)).reshape(self.stack_shape(shape))
        if "Z" not in self.stack:
            return [[k] for k in numbers.ravel().tolist()]
        along = np.moveaxis(numbers, self.stack.index("Z"), -1)
        return [list(group) for group in along.reshape(-1, along.shape[-1]).tolist()]

    def neighbours(self, index: int, shape: tuple[int, ...], slices: int) -> tuple[int, ...]:
        """Return which frames a network that reads several slices needs for one of them.

        They lie along Z, or along T where there is no Z. Beyond the ends the last one stands in.
        """
        if slices == 1 or not self.stacked:
            return (index,) * slices
        sizes = self.stack_shape(shape)
        axis = max(self.stack.find("Z"), 0)
        place = [int(k) for k in np.unravel_index(index, sizes)]
        found = []
        for step in range(-(slices // 2), slices // 2 + 1):
            other = list(place)
            other[axis] = min(max(place[axis] + step, 0), sizes[axis] - 1)
            found.append(int(np.ravel_multi_index(other, sizes)))
        return tuple(found)


def at_level(image: Any, level: int) -> Any:
    """Return one level of a multiscale image, which is a sequence of arrays, the finest first.

    Raises
    ------
    ImageError
        If it has no such level; a single array has level 0.
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
        Whether the last axis holds colours; without it, three or four entries do.

    Raises
    ------
    ImageError
        If the image has no or more than four axes beside colours.
    """
    if rgb is None:
        rgb = len(shape) > 2 and shape[-1] in (3, 4)
    order = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(len(shape) - rgb)
    if order is None:
        raise ImageError(
            f"An image of shape {shape} cannot be segmented: give a 2-D image, a stack, or a "
            "series of stacks, grey or in colours, or say what its axes are."
        )
    return ImageAxes(order + "C" * rgb)
