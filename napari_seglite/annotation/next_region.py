"""Where a correction would teach a network most: uncertain, and unlike what was corrected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Cancelled
from ..images import Box, Corrections, ImageAxes
from ..inference import Segmentation, entropy
from ..runtime import Stop, never

# Of a region's pixels, the most uncertain share tells how uncertain it is: the sure background
# around a few doubtful objects must not hide them.
DOUBTFUL = 0.05
# Pixels of a region that are looked at, along each side.
LOOK = 256


@dataclass(frozen=True)
class Candidate:
    """A frame, or a square of a large one, that somebody could correct.

    Attributes
    ----------
    frame : int
        Its number.
    box : tuple of int
        Top, left, bottom, right.
    uncertainty : float
        Mean entropy of its most doubtful pixels, 0 to 1.
    traits : ndarray
        What it looks like, for comparing.
    """

    frame: int
    box: Box
    uncertainty: float
    traits: np.ndarray


def candidates(
    result: Segmentation, image: Any, corrections: Corrections, stop: Stop = never
) -> Iterator[list[Candidate]]:
    """Look at everything that was segmented.

    Parameters
    ----------
    result : Segmentation
        With its probabilities, of whole frames.
    image : array
        That was segmented.
    corrections : Corrections
        Says how large regions are.
    stop : callable
        Asked between regions; once it returns True, `Cancelled` is raised.

    Yields
    ------
    list of Candidate
        All so far, after every frame.
    """
    axes = ImageAxes(result.request.axes)
    asked = result.region.box(axes.frame_shape(result.shape))
    found: list[Candidate] = []
    for position, frame in enumerate(result.frames):
        for box in corrections.squares(asked):
            if stop():
                raise Cancelled
            found.append(_look(result, image, axes, position, frame, box))
        yield found


def _look(
    result: Segmentation, image: Any, axes: ImageAxes, position: int, frame: int, box: Box
) -> Candidate:
    asked = result.region.box(axes.frame_shape(result.shape))
    top, left = max(box.top, asked.top), max(box.left, asked.left)
    bottom, right = min(box.bottom, asked.bottom), min(box.right, asked.right)
    step = max(1, max(bottom - top, right - left) // LOOK)
    inner = (
        slice(top - asked.top, bottom - asked.top, step),
        slice(left - asked.left, right - asked.left, step),
    )
    p = np.asarray(result.probabilities[position, :, *inner], np.float32)
    doubt = entropy(p).ravel()
    worst = np.sort(doubt)[-max(1, int(DOUBTFUL * doubt.size)) :]
    pixels = axes.frame(image, frame, (slice(top, bottom, step), slice(left, right, step)))
    grey = pixels.mean(0, dtype=np.float64)
    grey = grey[np.isfinite(grey)] if not np.isfinite(grey).all() else grey
    foreground = p[0] if len(p) == 1 else p[1:].sum(0)
    edges = np.abs(np.diff(grey, axis=0)).mean() if grey.ndim == 2 and len(grey) > 1 else 0.0
    traits = np.array(
        [grey.mean(), grey.std(), edges, foreground.mean(), doubt.mean()]
        if grey.size
        else [0.0] * 5
    )
    return Candidate(frame, box, float(worst.mean()), traits)


def ranked(found: list[Candidate], corrections: Corrections) -> list[Candidate]:
    """Return what is not corrected yet, the most useful first.

    A region counts as much as it is uncertain, and as it differs from the nearest one that was
    corrected, in its looks and in its place along the stack; both by rank.
    """
    done = {(r.frame, r.box) for r in corrections.regions}
    touched = set(corrections.frames)
    left = [c for c in found if (c.frame, c.box) not in done]
    if not left:
        return []
    if whole := all(c.box[:2] == (0, 0) for c in found):
        left = [c for c in left if c.frame not in touched]
    known = [c for c in found if (c.frame, c.box) in done or (whole and c.frame in touched)]
    if not left:
        return []
    doubt = _rank(np.array([c.uncertainty for c in left]))
    if not known:
        order = np.argsort(-doubt, kind="stable")
        return [left[int(k)] for k in order]
    traits = np.array([[*c.traits, c.frame / max(1, corrections.shape[0])] for c in found])
    spread = traits.std(0)
    spread[spread == 0] = 1
    place = {id(c): row for c, row in zip(found, traits / spread, strict=True)}
    far = np.array([min(np.linalg.norm(place[id(c)] - place[id(k)]) for k in known) for c in left])
    order = np.argsort(-(doubt + _rank(far)), kind="stable")
    return [left[int(k)] for k in order]


def _rank(values: np.ndarray) -> np.ndarray:
    """Return places from 0, the lowest, to 1; equal values share theirs."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(values) - 1) / max(1, len(values) - 1))
