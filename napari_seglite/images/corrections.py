"""The corrected regions of an image."""

from __future__ import annotations

import getpass
import math
import os
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import numpy as np

from ..errors import AnnotationError
from .box import Box

State = Literal["touched", "accepted", "complete"]
Mode = Literal["dense", "scribble"]
STATES: tuple[State, ...] = get_args(State)
MODES: tuple[Mode, ...] = get_args(Mode)
# The environment variable with the name to store with corrections; empty for none.
USER = "SEGLITE_USER"
# Frames of up to WHOLE pixels per side are marked as a whole, larger ones in squares of SQUARE
# pixels that the strokes lie in, unless strokes are marked in tiles.
WHOLE, SQUARE = 1024, 512
# Least and largest side of a tile, in pixels.
TILES = 32, 256


@dataclass(frozen=True)
class CorrectedRegion:
    """A part of a frame whose labels a person confirmed or corrected.

    Attributes
    ----------
    frame : int
        Number of the frame.
    box : Box
        In pixels of the frame.
    state : str
        ``"touched"`` by the brush, ``"accepted"`` as it is, or drawn as ``"complete"``.
    by : str
        Name of the person who corrected it last, by default the account's; may be empty.
    when : str
        Time of the last correction, ISO 8601 in UTC.
    strokes : int
        Number of brush strokes.

    Raises
    ------
    AnnotationError
        If the box holds no pixel, or the state is unknown.
    """

    frame: int
    box: Box
    state: State
    by: str = ""
    when: str = ""
    strokes: int = 0

    def __post_init__(self) -> None:
        top, left, bottom, right = self.box
        if self.state not in STATES or not (0 <= top < bottom and 0 <= left < right):
            raise AnnotationError(
                f"A corrected region needs a box of at least a pixel and one of the states "
                f"{', '.join(STATES)}, not {tuple(self.box)} and {self.state!r}."
            )


@dataclass(frozen=True)
class Corrections:
    """The corrected regions of an image: an immutable value.

    Every change returns a new value, which the owner assigns in one step. A thread that reads the
    attribute therefore never sees half a change, and the value it has read stays the same.

    Attributes
    ----------
    shape : tuple of int
        Number of frames, height and width.
    mode : str
        ``"dense"``: all labels inside a corrected region are true, untouched predictions included.
        ``"scribble"``: only labelled pixels count; label 1 is explicit background, label 2 the
        first class, and so on. Inside regions drawn as complete, unlabelled pixels are
        background.
    regions : tuple of CorrectedRegion
        Sorted by frame and box; at most one per box of a frame.
    tile : int
        Side in pixels of the tiles that a brush stroke marks; 0 if it marks the whole frame, or
        squares of a large one.

    Raises
    ------
    AnnotationError
        If the mode is unknown, or the tile has no size.

    Examples
    --------
    >>> corrections = Corrections((3, 64, 64)).touch(1, Box(10, 10, 20, 20))
    >>> corrections.frames, corrections.state(1)
    ([1], 'touched')
    """

    shape: tuple[int, int, int]
    mode: Mode = "dense"
    regions: tuple[CorrectedRegion, ...] = field(default=())
    tile: int = 0

    def __post_init__(self) -> None:
        if self.tile < 0:
            raise AnnotationError(f"A tile has a side of 1 pixel or more, not {self.tile}.")
        if self.mode not in MODES:
            raise AnnotationError(f"Corrections are {' or '.join(MODES)}, not {self.mode!r}.")
        last = {(region.frame, region.box): region for region in self.regions}
        object.__setattr__(self, "regions", tuple(last[key] for key in sorted(last)))

    @property
    def plane(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.shape[1:]

    @property
    def frames(self) -> list[int]:
        """Numbers of the frames with corrected regions, sorted."""
        return sorted({region.frame for region in self.regions})

    @property
    def strokes(self) -> int:
        """Number of brush strokes."""
        return sum(region.strokes for region in self.regions)

    def state(self, frame: int) -> str:
        """Return the strongest state in a frame; an empty string if nothing in it is corrected."""
        states = {region.state for region in self.regions if region.frame == frame}
        return next((s for s in ("complete", "touched", "accepted") if s in states), "")

    # ------------------------------------------------------------------ changes
    def touch(
        self, frame: int, *boxes: Box, by: str | None = None, exactly: bool = False
    ) -> Corrections:
        """Mark the surroundings of a brush stroke as touched, see `around`.

        Parameters
        ----------
        frame : int
            Number of the frame.
        *boxes : Box
            The pixels that the stroke changed.
        by : str, optional
            Who painted it; the account name if not given.
        exactly : bool
            Whether to mark the boxes alone: their surroundings were not seen.
        """
        here = {region.box: region for region in self.regions if region.frame == frame}
        marked: dict[Box, CorrectedRegion] = {}
        for box in boxes:
            for square in [box.grown(0, self.plane)] if exactly else self.around(box):
                if square not in here:
                    square = next((outer for outer in here if outer.holds(square)), square)
                if square not in marked:
                    before = here.get(square)
                    strokes = (before.strokes if before else 0) + (not marked)
                    complete = before is not None and before.state == "complete"
                    state: State = "complete" if complete else "touched"
                    marked[square] = self._region(frame, square, state, by, strokes)
        return replace(self, regions=(*self.regions, *marked.values()))

    def accept(self, frame: int, by: str | None = None) -> Corrections:
        """Mark a frame as correct as it is; regions drawn as complete stay so.

        Parameters
        ----------
        frame : int
            Number of the frame.
        by : str, optional
            Who accepted it; the account name if not given.
        """
        here = [r for r in self.regions if r.frame == frame]
        touched = [r for r in here if r.state == "touched"]
        boxes = {r.box for r in here if r.state != "touched"}
        kept = [r for r in self.regions if r.frame != frame or r.state != "touched"]
        accepted = [
            self._region(
                frame,
                square,
                "accepted",
                by,
                sum(r.strokes for r in touched if square.holds(r.box.first_pixel)),
            )
            for square in self.squares(Box.whole(self.plane))
            if square not in boxes
        ]
        return replace(self, regions=(*kept, *accepted))

    def complete(self, frame: int, box: Box, by: str | None = None) -> Corrections:
        """Mark a box, clipped to the frame, as completely labelled.

        Parameters
        ----------
        frame : int
            Number of the frame.
        box : Box
            The pixels that are labelled, background included.
        by : str, optional
            Who labelled it; the account name if not given.
        """
        region = self._region(frame, Box(*box).grown(0, self.plane), "complete", by, 0)
        return replace(self, regions=(*self.regions, region))

    def forget(self, frame: int) -> Corrections:
        """Remove all marks from a frame; its labels are not affected."""
        return replace(self, regions=tuple(r for r in self.regions if r.frame != frame))

    def undone(self, before: Corrections, after: Corrections) -> Corrections:
        """Return these corrections without a change that was made to them.

        Regions that changed again since then stay as they are.

        Parameters
        ----------
        before, after : Corrections
            The corrections before and after the change. In the other order, the change is made
            again.
        """
        old, new, now = ({(r.frame, r.box): r for r in c.regions} for c in (before, after, self))
        for place in old.keys() | new.keys():
            if old.get(place) != new.get(place) == now.get(place):
                now.pop(place, None)
                if place in old:
                    now[place] = old[place]
        return replace(self, regions=tuple(now.values()))

    def _region(
        self, frame: int, box: Box, state: State, by: str | None, strokes: int
    ) -> CorrectedRegion:
        if not 0 <= frame < self.shape[0]:
            raise AnnotationError(f"There is no frame {frame}; there are {self.shape[0]}, from 0.")
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        return CorrectedRegion(frame, box, state, _user() if by is None else by, when, strokes)

    def squares(self, box: Box) -> list[Box]:
        """Return the regions that a box lies in: the whole frame, or squares of a large one.

        `WHOLE` and `SQUARE` are the sizes.
        """
        height, width = self.plane
        if max(height, width) <= WHOLE:
            return [Box.whole(self.plane)]
        top, left, bottom, right = box
        return [
            Box(y, x, min(y + SQUARE, height), min(x + SQUARE, width))
            for y in range(max(0, top) // SQUARE * SQUARE, min(bottom, height), SQUARE)
            for x in range(max(0, left) // SQUARE * SQUARE, min(right, width), SQUARE)
        ]

    def around(self, box: Box) -> list[Box]:
        """Return the regions that a stroke marks: the tiles near it, or as `squares` says.

        Parameters
        ----------
        box : Box
            The pixels that the stroke changed.
        """
        if not self.tile:
            return self.squares(box)
        side, (height, width) = self.tile, self.plane
        top, left, bottom, right = Box(*box).grown(side // 4, self.plane)
        return [
            Box(y, x, min(y + side, height), min(x + side, width))
            for y in range(top // side * side, bottom, side)
            for x in range(left // side * side, right, side)
        ]

    def whole(self, frame: int) -> bool:
        """Whether every pixel of a frame is in a corrected region."""
        areas = [math.prod(r.box.shape) for r in self.regions if r.frame == frame]
        # Regions may overlap, so the sum of their areas alone does not tell.
        return sum(areas) >= math.prod(self.plane) and bool(self.inside(frame).all())

    def inside(self, frame: int) -> np.ndarray:
        """Return where a frame is corrected: a boolean mask of its height and width."""
        mask = np.zeros(self.plane, bool)
        for region in self.regions:
            if region.frame == frame:
                mask[region.box.slices] = True
        return mask

    # ------------------------------------------------------------------ learning
    def truth(self, frame: int, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the true classes of a frame, and a mask of the pixels where they are known.

        Parameters
        ----------
        frame : int
            Its number.
        labels : ndarray
            ``(H, W)`` integer, as painted.

        Returns
        -------
        classes : ndarray
            ``(H, W)`` of the labels' dtype.
        weight : ndarray
            ``(H, W)`` float32, 1 where the class is known, else 0.
        """
        weight = np.zeros(labels.shape, np.float32)
        for region in self.regions:
            if region.frame == frame and (self.mode == "dense" or region.state == "complete"):
                weight[region.box.slices] = 1
        if self.mode == "dense":
            return labels, weight
        weight[labels > 0] = 1
        return np.where(labels > 0, labels - 1, 0).astype(labels.dtype), weight

    def sparse(self, frame: int) -> bool:
        """Whether only brush strokes count as labelled in a frame."""
        return self.mode == "scribble" and self.state(frame) != "complete"

    # ------------------------------------------------------------------ storing
    def as_dict(self) -> dict[str, Any]:
        """Return the corrections as plain JSON data."""
        return {
            "mode": self.mode,
            "shape": list(self.shape),
            "tile": self.tile,
            "regions": [asdict(region) for region in self.regions],
        }


def _user() -> str:
    return os.environ[USER] if USER in os.environ else account()


def account() -> str:
    """Return the name of the user's account; empty where there are no accounts."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container
        return ""
