"""Active learning: the regions whose correction would improve a network most.

These are regions that are uncertain and differ from those that are corrected already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import Cancelled
from ..images import ArrayLike, Box, Corrections, ImageAxes
from ..inference import Segmentation, entropy
from ..runtime import Stop, never

# The uncertainty of a region is the mean over this share of its pixels, the most uncertain ones, so
# that a large certain background does not hide a few uncertain objects.
UNCERTAIN_SHARE = 0.05
# A region is sampled with about this many pixels per side.
SAMPLED_SIDE = 256


@dataclass(frozen=True)
class Candidate:
    """A region that could be corrected: a frame, or a square of a large one.

    Attributes
    ----------
    frame : int
        Number of the frame.
    box : Box
        In pixels of the frame.
    uncertainty : float
        Mean entropy of its most uncertain pixels, 0 to 1.
    traits : ndarray
        Features for comparing regions: mean and standard deviation of its intensities, strength of
        its edges, share of foreground, mean entropy.
    """

    frame: int
    box: Box
    uncertainty: float
    traits: np.ndarray


def candidates(
    result: Segmentation, image: ArrayLike, corrections: Corrections, stop: Stop = never
) -> Iterator[list[Candidate]]:
    """Measure all segmented regions.

    Parameters
    ----------
    result : Segmentation
        With its probabilities.
    image : ArrayLike
        The image that was segmented.
    corrections : Corrections
        Of the image; they decide on the size of the regions.
    stop : callable
        Called before each region; returns whether to stop.

    Yields
    ------
    list of Candidate
        After every frame, all regions measured so far: one list that grows.

    Raises
    ------
    Cancelled
        When `stop` returns True.
    """
    axes = ImageAxes(result.request.axes)
    segmented = result.region.box(axes.frame_shape(result.shape))
    measured: list[Candidate] = []
    for position, frame in enumerate(result.frames):
        for box in corrections.squares(segmented):
            if stop():
                raise Cancelled
            measured.append(_measure(result, image, axes, position, frame, box))
        yield measured


def _measure(
    result: Segmentation, image: ArrayLike, axes: ImageAxes, position: int, frame: int, box: Box
) -> Candidate:
    segmented = result.region.box(axes.frame_shape(result.shape))
    top, left = max(box.top, segmented.top), max(box.left, segmented.left)
    bottom, right = min(box.bottom, segmented.bottom), min(box.right, segmented.right)
    step = max(1, max(bottom - top, right - left) // SAMPLED_SIDE)
    inner = (
        slice(top - segmented.top, bottom - segmented.top, step),
        slice(left - segmented.left, right - segmented.left, step),
    )
    p = np.asarray(result.probabilities[position, :, *inner], np.float32)
    uncertainty = entropy(p).ravel()
    worst = np.sort(uncertainty)[-max(1, int(UNCERTAIN_SHARE * uncertainty.size)) :]
    pixels = axes.frame(image, frame, (slice(top, bottom, step), slice(left, right, step)))
    grey = pixels.mean(0, dtype=np.float64)
    grey = grey[np.isfinite(grey)] if not np.isfinite(grey).all() else grey
    foreground = p[0] if len(p) == 1 else p[1:].sum(0)
    edges = np.abs(np.diff(grey, axis=0)).mean() if grey.ndim == 2 and len(grey) > 1 else 0.0
    traits = np.array(
        [grey.mean(), grey.std(), edges, foreground.mean(), uncertainty.mean()]
        if grey.size
        else [0.0] * 5
    )
    return Candidate(frame, box, float(worst.mean()), traits)


def ranked(regions: list[Candidate], corrections: Corrections) -> list[Candidate]:
    """Return the regions that are not corrected yet, the most useful first.

    The score of a region is the sum of two ranks: of its uncertainty, and of its distance from the
    most similar corrected region in traits and position along the stack.

    Parameters
    ----------
    regions : list of Candidate
        All regions of an image.
    corrections : Corrections
        Of the image.
    """
    boxes: dict[int, list[Box]] = {}
    for region in corrections.regions:
        boxes.setdefault(region.frame, []).append(region.box)
    whole = all(c.box[:2] == (0, 0) for c in regions)  # frames are not cut into squares

    def corrected(candidate: Candidate) -> bool:
        here = boxes.get(candidate.frame, [])
        return bool(here) if whole else any(candidate.box.meets(box) for box in here)

    known = [c for c in regions if corrected(c)]
    remaining = [c for c in regions if not corrected(c)]
    if not remaining:
        return []
    score = _rank(np.array([c.uncertainty for c in remaining]))
    if known:
        traits = np.array([[*c.traits, c.frame / max(1, corrections.shape[0])] for c in regions])
        spread = traits.std(0)
        spread[spread == 0] = 1
        scaled = {id(c): row for c, row in zip(regions, traits / spread, strict=True)}
        distances = [
            min(np.linalg.norm(scaled[id(c)] - scaled[id(k)]) for k in known) for c in remaining
        ]
        score = score + _rank(np.array(distances))
    return [remaining[int(k)] for k in np.argsort(-score, kind="stable")]


def _rank(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0, the lowest value, to 1; equal values share theirs."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(values) - 1) / max(1, len(values) - 1))
