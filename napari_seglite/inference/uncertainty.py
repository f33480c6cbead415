"""How sure a network is of its probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Cancelled
from ..images import ImageAxes, blocks, chunked
from ..runtime import Stop, never
from .result import Segmentation


@dataclass(frozen=True)
class Uncertainty:
    """Entropy of the probabilities, or the disagreement of an ensemble.

    Attributes
    ----------
    values : array
        float16, of the labels' shape; 0 where the network is sure or was not asked, 1 where all
        classes are equally likely, or half of an ensemble says yes and half says no.
    scores : dict
        Mean of each frame that was segmented.
    """

    values: Any
    scores: dict[int, float]

    @property
    def worst(self) -> int:
        """The frame that is most uncertain."""
        return max(self.scores, key=self.scores.__getitem__)


def measure_uncertainty(result: Segmentation, stop: Stop = never) -> Iterator[Uncertainty]:
    """Compute how uncertain a segmentation is, frame by frame.

    Parameters
    ----------
    result : Segmentation
        With its probabilities.
    stop : callable
        Asked between frames; once it returns True, `Cancelled` is raised.

    Yields
    ------
    Uncertainty
        After every frame; the last one is complete.

    Raises
    ------
    Cancelled
        If `stop` returned True.
    """
    values = chunked.zeros(ImageAxes(result.request.axes).label_shape(result.shape), np.float16)
    target = result.frames_in(values)
    plane = result.probabilities.shape[-2:]
    scores: dict[int, float] = {}
    for position, frame in enumerate(result.frames):
        total = 0.0
        for block in blocks(plane):
            if stop():
                raise Cancelled
            if result.disagreement is None:
                found = entropy(np.asarray(result.probabilities[position, :, *block]))
            else:
                found = np.asarray(result.disagreement[position, *block], np.float32)
            total += float(found.sum())
            target.write(position, block[0], block[1], found.astype(np.float16))
        scores[frame] = total / (plane[0] * plane[1])
        yield Uncertainty(values, dict(scores))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of probabilities as a share of the highest there can be.

    Parameters
    ----------
    probabilities : ndarray
        ``(K, ...)``; of one class, that of the foreground.

    Returns
    -------
    ndarray
        ``(...)`` float32, 0 to 1.
    """
    p = probabilities.astype(np.float32)
    if len(p) == 1:
        p = np.concatenate([p, 1 - p])
    logarithms = np.log2(p, out=np.zeros_like(p), where=p > 0)
    found: np.ndarray = -(p * logarithms).sum(0) / np.float32(np.log2(len(p)))
    return np.clip(found, 0, 1)
