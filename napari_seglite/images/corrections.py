"""Which parts of an image a person corrected."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..errors import AnnotationError

Box = tuple[int, int, int, int]


STATES = ("touched", "accepted", "complete")


MODES = ("dense", "scribble")


# Frames up to this side are corrected as a whole, larger ones in squares around the strokes.
WHOLE, SQUARE = 1024, 512


@dataclass(frozen=True)
class CorrectedRegion:
    """A part of a frame that holds the truth.

    Attributes
    ----------
    frame : int
        Number of the frame.
    box : tuple of int
        Top, left, bottom, right in pixels; the last two lie outside.
    state : str
        ``"touched"`` by the brush, ``"accepted"`` as it was, or drawn as ``"complete"``.
    by, when : str
        Who did it last, and when (ISO 8601, UTC).
    strokes : int
        How often the brush was used.
    """

    frame: int
    box: Box
    state: str
    by: str = ""
    when: str = ""
    strokes: int = 0

    def __post_init__(self) -> None:
        top, left, bottom, right = self.box
        if self.state not in STATES or not (0 <= top < bottom and 0 <= left < right):
            raise AnnotationError(
                f"A corrected region needs a box of at least a pixel and one of the states "
                f"{', '.join(STATES)}, not {self.box} and {self.state!r}."
            )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        top, left, bottom, right = self.box
        return slice(top, bottom), slice(left, right)


class Corrections:
    """The corrected regions of an image.

    Parameters
    ----------
    shape : tuple of int
        Frames, height and width.
    mode : str
        ``"dense"``: every pixel of a corrected region is the truth, an untouched prediction
        included. ``"scribble"``: only labelled pixels count; label 1 is an explicit background,
        label 2 the first class, and so on. Inside regions drawn as complete, an unlabelled pixel
        is background.
    regions : iterable of CorrectedRegion
        That there are already.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        mode: str = "dense",
        regions: Iterable[CorrectedRegion] = (),
    ) -> None:
        if mode not in MODES:
            raise AnnotationError(f"Corrections are {' or '.join(MODES)}, not {mode!r}.")
        self.shape, self.mode = shape, mode
        self._regions = {(region.frame, region.box): region for region in regions}

    @property
    def regions(self) -> list[CorrectedRegion]:
        """All of them, by frame and place."""
        return [self._regions[key] for key in sorted(self._regions)]

    @property
    def frames(self) -> list[int]:
        """The frames that hold any."""
        return sorted({region.frame for region in self._regions.values()})

    @property
    def strokes(self) -> int:
        """How often the brush was used."""
        return sum(region.strokes for region in self._regions.values())

    def state(self, frame: int) -> str:
        """Return what became of a frame; empty if nobody corrected it."""
        found = {region.state for region in self._regions.values() if region.frame == frame}
        return next((state for state in ("complete", "touched", "accepted") if state in found), "")

    # ------------------------------------------------------------------ marking
    def touch(self, frame: int, box: Box, by: str | None = None) -> list[CorrectedRegion]:
        """Mark what a stroke of the brush lies in: the frame, or the squares of a large one."""
        marked = []
        for number, square in enumerate(self.squares(box)):
            before = self._regions.get((frame, square))
            strokes = (before.strokes if before else 0) + (number == 0)
            state = "complete" if before and before.state == "complete" else "touched"
            marked.append(self._mark(frame, square, state, by, strokes))
        return marked

    def accept(self, frame: int, by: str | None = None) -> None:
        """Mark a frame as right as it is."""
        for square in self.squares((0, 0, *self.shape[1:])):
            before = self._regions.get((frame, square))
            if before is None:
                self._mark(frame, square, "accepted", by, 0)

    def complete(self, frame: int, box: Box, by: str | None = None) -> CorrectedRegion:
        """Mark a box as labelled completely."""
        top, left, bottom, right = box
        height, width = self.shape[1:]
        inside = (max(0, top), max(0, left), min(height, bottom), min(width, right))
        return self._mark(frame, inside, "complete", by, 0)

    def forget(self, frame: int) -> None:
        """Take back every mark on a frame; the labels stay."""
        self._regions = {k: v for k, v in self._regions.items() if k[0] != frame}

    def _mark(
        self, frame: int, box: Box, state: str, by: str | None, strokes: int
    ) -> CorrectedRegion:
        if not 0 <= frame < self.shape[0]:
            raise AnnotationError(f"There is no frame {frame}; there are {self.shape[0]}, from 0.")
        when = datetime.now(UTC).isoformat(timespec="seconds")
        region = CorrectedRegion(frame, box, state, user() if by is None else by, when, strokes)
        self._regions[frame, box] = region
        return region

    def squares(self, box: Box) -> list[Box]:
        """Return the parts of a frame that a box lies in."""
        height, width = self.shape[1:]
        if max(height, width) <= WHOLE:
            return [(0, 0, height, width)]
        top, left, bottom, right = box
        return [
            (y, x, min(y + SQUARE, height), min(x + SQUARE, width))
            for y in range(max(0, top) // SQUARE * SQUARE, min(bottom, height), SQUARE)
            for x in range(max(0, left) // SQUARE * SQUARE, min(right, width), SQUARE)
        ]

    # ------------------------------------------------------------------ learning
    def truth(self, frame: int, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes of a frame, and where they count.

        Parameters
        ----------
        frame : int
            Its number.
        labels : ndarray
            ``(H, W)``, as they were painted.

        Returns
        -------
        tuple of ndarray
            Classes ``(H, W)`` of the labels' dtype, and weights ``(H, W)`` float32, 0 or 1.
        """
        weight = np.zeros(labels.shape, np.float32)
        for region in self._regions.values():
            if region.frame == frame and (self.mode == "dense" or region.state == "complete"):
                weight[region.slices] = 1
        if self.mode == "dense":
            return labels, weight
        weight[labels > 0] = 1
        return np.where(labels > 0, labels - 1, 0).astype(labels.dtype), weight

    def scribbled(self, frame: int) -> bool:
        """Whether nothing but strokes counts in a frame."""
        return self.mode == "scribble" and self.state(frame) != "complete"

    # ------------------------------------------------------------------ storing
    def as_dict(self) -> dict[str, Any]:
        """Return them as plain JSON data."""
        return {
            "mode": self.mode,
            "shape": list(self.shape),
            "regions": [asdict(region) for region in self.regions],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Corrections:
        """Read what `as_dict` wrote."""
        frames, height, width = map(int, data["shape"])
        regions = []
        for entry in data["regions"]:
            top, left, bottom, right = map(int, entry["box"])
            known = {k: v for k, v in entry.items() if k in CorrectedRegion.__dataclass_fields__}
            regions.append(CorrectedRegion(**{**known, "box": (top, left, bottom, right)}))
        return cls((frames, height, width), data["mode"], regions)

    def copy(self) -> Corrections:
        """Return a copy that stays as it is."""
        return Corrections(self.shape, self.mode, [replace(region) for region in self.regions])


def user() -> str:
    """Return who corrects."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without accounts
        return ""
