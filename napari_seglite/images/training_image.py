"""An annotated frame for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import AnnotationError
from .slab_objects import SlabObjects


@dataclass(frozen=True)
class TrainingImage:
    """An annotated frame for training.

    Attributes
    ----------
    name : str
        For messages.
    frame : ndarray
        ``(C, H, W)`` float32, normalised as the checkpoint requires; for a network that reads S
        slices ``(S * C, H, W)``, slice by slice; for one that sees volumes ``(C, D, H, W)``, a
        slab with an odd number of slices.
    labels : ndarray
        ``(H, W)`` integer, of the slice in the middle; 0 is background. For a network of one class
        any other number is an object, whose id an object head learns from.
    share : float
        How often patches are drawn from it, relative to other frames.
    weight : ndarray or None
        ``(H, W)``, 1 where a pixel is annotated and 0 where it is not; None if the whole frame is
        annotated.
    sparse : bool
        Whether only brush strokes are annotated.
    corner : tuple of int
        Where the frame was cut out of a larger one, top and left.
    source : str
        The image that a slab is from; empty if unknown.
    slices : tuple of int
        Numbers of a slab's slices in that image; at the ends of a stack they repeat.
    objects : SlabObjects or None
        The objects around a slab, for the object head of a network for volumes.

    Raises
    ------
    AnnotationError
        If the labels are not integers, or the shapes do not fit together.
    """

    name: str
    frame: np.ndarray
    labels: np.ndarray
    share: float = 1.0
    weight: np.ndarray | None = None
    sparse: bool = False
    corner: tuple[int, int] = (0, 0)
    source: str = ""
    slices: tuple[int, ...] = ()
    objects: SlabObjects | None = None

    def __post_init__(self) -> None:
        if self.frame.ndim not in (3, 4) or self.labels.shape != self.frame.shape[-2:]:
            raise AnnotationError(
                f"{self.name}: labels of shape {self.labels.shape} do not cover an image of "
                f"shape {self.frame.shape[-2:]}. Give labels of the image's height and width."
            )
        if self.labels.dtype.kind not in "uib":
            raise AnnotationError(
                f"{self.name}: labels must be whole numbers, not {self.labels.dtype}."
            )
        if self.weight is not None and self.weight.shape != self.labels.shape:
            raise AnnotationError(f"{self.name}: labels and weights differ in shape.")
        if self.objects is not None and self.objects.ids.shape[1:] != self.labels.shape:
            raise AnnotationError(f"{self.name}: labels and objects differ in shape.")

    @property
    def annotated(self) -> np.ndarray:
        """The labels where they are annotated; 0 elsewhere."""
        if self.weight is None:
            return self.labels
        return np.where(self.weight > 0, self.labels, 0)
