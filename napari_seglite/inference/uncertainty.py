"""Uncertainty of a segmentation, from its probabilities or from an ensemble."""

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
        float16, of the labels' shape. 0 where the network is certain or nothing was segmented, 1
        where all classes are equally likely or an ensemble is split in half.
    scores : dict
        Mean uncertainty of each segmented frame, by frame number.
    """

    values: Any
    scores: dict[int, float]

    @property
    def worst(self) -> int:
        """Number of the most uncertain frame."""
        return max(self.scores, key=self.scores.__getitem__)


def measure_uncertainty(result: Segmentation, stop: Stop = never) -> Iterator[Uncertainty]:
    """Compute the uncertainty of a segmentation, frame by frame.

    Parameters
    ----------
    result : Segmentation
        Result with its probabilities.
    stop : callable
        Called between blocks; once it returns True, `Cancelled` is raised.

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
                block_values = entropy(np.asarray(result.probabilities[position, :, *block]))
            else:
                block_values = np.asarray(result.disagreement[position, *block], np.float32)
            total += float(block_values.sum())
            target.write(position, block[0], block[1], block_values.astype(np.float16))
        scores[frame] = total / (plane[0] * plane[1])
        yield Uncertainty(values, dict(scores))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of probabilities, relative to that of equal probabilities.

    Parameters
    ----------
    probabilities : ndarray
        ``(K, ...)``: the foreground probability, or with K > 1 one per class.

    Returns
    -------
    ndarray
        ``(...)`` float32, 0 to 1.
    """
    p = probabilities.astype(np.float32)
    if len(p) == 1:
        p = np.concatenate([p, 1 - p])
    logarithms = np.log2(p, out=np.zeros_like(p), where=p > 0)
    relative: np.ndarray = -(p * logarithms).sum(0) / np.float32(np.log2(len(p)))
    return np.asarray(np.clip(relative, 0, 1))
