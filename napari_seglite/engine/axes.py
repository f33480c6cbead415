"""Which axis of an image is what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ImageError

SUPPORTED = ("YX", "YXC", "CYX", "ZYX", "TYX", "ZYXC", "TYXC")


@dataclass(frozen=True)
class ImageAxes:
    """The axes of an image, one letter each: T time, Z depth, Y, X, C channel.

    Attributes
    ----------
    order : str
        One of `SUPPORTED`.
    """

    order: str

    def __post_init__(self) -> None:
        if self.order not in SUPPORTED:
            raise ImageError(
                f"Images with the axes {self.order!r} cannot be segmented. "
                f"Supported are {', '.join(SUPPORTED)}."
            )

    @property
    def labels(self) -> str:
        """The axes of labels for such an image: the same without channels."""
        return self.order.replace("C", "")

    @property
    def stacked(self) -> bool:
        """Whether there are several frames."""
        return len(self.labels) == 3

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `ImageError` unless an image of this shape can have these axes and holds pixels."""
        if len(shape) != len(self.order):
            raise ImageError(
                f"An image of shape {shape} has {len(shape)} axes, not the {len(self.order)} of "
                f"{self.order}."
            )
        if 0 in shape:
            raise ImageError(f"The image is empty: its shape is {shape}.")

    def frame_count(self, shape: tuple[int, ...]) -> int:
        """Number of 2-D frames in an image of this shape."""
        return shape[0] if self.stacked else 1

    def label_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of labels for an image of this shape."""
        return tuple(n for n, axis in zip(shape, self.order, strict=True) if axis != "C")

    def frame(self, image: np.ndarray, index: int) -> np.ndarray:
        """Return one frame as ``(C, H, W)``, in the image's dtype."""
        plane = np.asarray(image[index] if self.stacked else image)
        if "C" not in self.order:
            return plane[None]
        return np.moveaxis(plane, -1, 0) if self.order.endswith("C") else plane


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
        If the image is neither 2-D, RGB, nor a stack of either.
    """
    if rgb is None:
        rgb = len(shape) > 2 and shape[-1] in (3, 4)
    order = {2: "YX", 3: "ZYX"}.get(len(shape) - rgb)
    if order is None:
        raise ImageError(
            f"An image of shape {shape} cannot be segmented: give a 2-D image, an RGB image, "
            "or a stack of either."
        )
    return ImageAxes(order + "C" * rgb)
