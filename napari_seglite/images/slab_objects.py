"""The objects around a slab, from which the object head of a network for volumes learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import AnnotationError


@dataclass(frozen=True)
class SlabObjects:
    """Objects in consecutive annotated slices, which may reach beyond the slab on either side.

    Attributes
    ----------
    ids : ndarray
        ``(S, H, W)`` integer, an id per object in 3-D; 0 is background or not annotated.
    known : ndarray
        ``(S, H, W)`` boolean, whether it is known what an object head should predict.
    first : int
        Place of the first of the S slices among those of the slab; below 0 before them.
    spacing : float
        Distance between two slices, in pixels of a slice.

    Raises
    ------
    AnnotationError
        If the shapes do not fit together.
    """

    ids: np.ndarray
    known: np.ndarray
    first: int
    spacing: float = 1.0

    def __post_init__(self) -> None:
        if self.ids.ndim != 3 or self.ids.shape != self.known.shape:
            raise AnnotationError(
                f"Objects of shape {self.ids.shape} and what is known of them, of shape "
                f"{self.known.shape}, must be slices of one size."
            )

    @property
    def teach(self) -> bool:
        """Whether an object head can learn from any of them."""
        return bool(self.ids[self.known].any())

    def plane(self, place: int) -> np.ndarray | None:
        """Return the ids in a slice of the slab, ``(H, W)``; None where it is not annotated."""
        number = place - self.first
        return self.ids[number] if 0 <= number < len(self.ids) else None

    def cut(self, rows: slice, columns: slice) -> SlabObjects:
        """Return the part in a box; nothing is known of objects that reach where it was cut."""
        inner = []
        for part, length in zip((rows, columns), self.ids.shape[1:], strict=True):
            begin, end, _ = part.indices(length)
            inner.append(slice(begin + (begin > 0), end - (end < length)))
        sizes = np.bincount(self.ids.ravel())
        whole = np.bincount(self.ids[:, *inner].ravel(), minlength=len(sizes)) == sizes
        whole[0] = True
        ids, known = self.ids[:, rows, columns], self.known[:, rows, columns]
        return SlabObjects(ids, known & whole[ids], self.first, self.spacing)
