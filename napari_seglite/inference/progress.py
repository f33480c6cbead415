"""What a segmentation tells while it runs, and what it is told of the user's view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..images import Box


class View(NamedTuple):
    """What the user sees of an image, and what is computed first; it changes no result.

    Attributes
    ----------
    frame : int
        Number of the frame.
    box : Box or None
        The visible part of it; None if unknown.
    """

    frame: int
    box: Box | None = None


@dataclass(frozen=True)
class Finished:
    """Finished probabilities of a box of a frame.

    Attributes
    ----------
    frame : int
        Number of the frame.
    box : Box
        The box in pixels of the frame.
    values : ndarray
        ``(K, rows, columns)`` float16.
    planes : ndarray
        ``(K + C [+ 1], rows, columns)`` float16: the same, then the channels of an object head,
        then the disagreement of an ensemble.
    """

    frame: int
    box: Box
    values: np.ndarray
    planes: np.ndarray


@dataclass(frozen=True)
class Progress:
    """Progress of a segmentation.

    Attributes
    ----------
    text : str
        Text for the status line.
    done, total : int
        Finished tiles and all tiles; `total` is 0 until it is known.
    frame, frames : int
        How many frames are finished or in work, and the number of frames.
    seconds_left : float or None
        Estimated time; None until it is known.
    pixels_per_second : float or None
        Speed in pixels of the image; None until it is known.
    finished : Finished or None
        Probabilities that this step has finished.
    """

    text: str
    done: int = 0
    total: int = 0
    frame: int = 0
    frames: int = 0
    seconds_left: float | None = None
    pixels_per_second: float | None = None
    finished: Finished | None = None
