"""Estimate how large the objects of an image are, and the rescaling that fits a checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..checkpoints import CheckpointInfo
from ..errors import Cancelled
from ..images import Box, ImageAxes, PixelSize, at_level
from ..runtime import Stop, drain, never
from .request import RESCALE, SegmentRequest
from .rescaling import matching_rescale
from .segmenter import Segmenter

# Factors that are tried, and the side of the crop that the network sees at each.
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
CROP = 128
# Probability above which a pixel counts as in or around an object.
SEEN = 0.1
# What an octave of difference in size costs beside decided probabilities, and the factors so near
# to 1 that the estimate is no better than leaving the image as it is.
SIZE_WEIGHT = 0.5
NEAR = (0.67, 1.5)
# Objects without which a scale says nothing.
FEWEST = 2


@dataclass(frozen=True)
class ObjectSize:
    """The size of the objects in an image, as a checkpoint sees it.

    Attributes
    ----------
    diameter : float
        Typical diameter of the objects found, in pixels of the image.
    learnt : float
        Typical diameter that the checkpoint learnt, in pixels of its training data.
    rescale : float
        The factor for `SegmentRequest.rescale` that makes them agree; 1 where they nearly do.
    """

    diameter: float
    learnt: float
    rescale: float

    @property
    def text(self) -> str:
        """A sentence for the user."""
        sizes = (
            f"Objects here are about {self.diameter:.0f} px wide, the checkpoint learnt "
            f"{self.learnt:.0f} px"
        )
        if self.rescale == 1:
            return f"{sizes}: near enough, no rescaling is needed."
        return f"{sizes}: rescale by {self.rescale:g}."


@dataclass(frozen=True)
class Trial:
    """What a checkpoint finds in a crop rescaled by a factor.

    Diameters are in pixels of the network; `decided` is the mean distance of probabilities in and
    around objects from a half, 0 to 1.
    """

    factor: float
    count: int = 0
    diameter: float = 0.0
    decided: float = 0.0


def fits_objects(info: CheckpointInfo) -> bool:
    """Whether a checkpoint knows the size of the objects it learnt, in images of two dimensions."""
    return info.object_diameter > 0 and not info.volumetric


def estimate_object_size(
    image: Any, request: SegmentRequest, segmenter: Segmenter, stop: Stop = never
) -> ObjectSize | None:
    """Estimate the size of an image's objects from small crops at several scales.

    Parameters
    ----------
    image : array or sequence of arrays
        As in `Segmenter.run`; only the crops are read.
    request : SegmentRequest
        Settings of the segmentation; its `rescale` is not used.
    segmenter : Segmenter
        Holds the network.
    stop : callable
        Once it returns True, `Cancelled` is raised.

    Returns
    -------
    ObjectSize or None
        None if the checkpoint does not know what size it learnt, or nothing is found.

    Raises
    ------
    Cancelled
        If `stop` returned True.
    """
    info = segmenter.store.info(request.checkpoint)
    if not fits_objects(info):
        return None
    trials = measure_scales(image, request, segmenter, stop)
    return choose_scale(trials, info)


def fitting_rescale(
    image: Any,
    request: SegmentRequest,
    segmenter: Segmenter,
    pixel: PixelSize | None = None,
    stop: Stop = never,
) -> float:
    """Return the factor that suits an image, by pixel sizes if known, else by its objects.

    Parameters
    ----------
    image, request, segmenter, stop
        As in `estimate_object_size`.
    pixel : tuple of float or None
        Height and width of the image's pixels in micrometres.

    Returns
    -------
    float
        For `SegmentRequest.rescale`; 1 where nothing is known.
    """
    known = matching_rescale(segmenter.store.info(request.checkpoint), pixel)
    if known is not None:
        return known
    size = estimate_object_size(image, request, segmenter, stop)
    return 1.0 if size is None else size.rescale


def measure_scales(
    image: Any, request: SegmentRequest, segmenter: Segmenter, stop: Stop = never
) -> list[Trial]:
    """Segment a crop of the middle frame at every factor; see `estimate_object_size`."""
    image, axes = at_level(image, request.level), ImageAxes(request.axes)
    axes.check(image.shape)
    part = _busiest_part(image, axes, request.frames)
    plain = SegmentRequest(
        request.checkpoint,
        "CYX",
        device=request.device,
        channels=request.channels,
        pruning_level=request.pruning_level,
        output="instances",
        tile=192,
        overlap=16,
    )
    trials = []
    for factor in FACTORS:
        if stop():
            raise Cancelled
        box = _busiest(part.astype(np.float32).mean(0), round(CROP / factor))
        region = ",".join(map(str, box))
        trials.append(_try(part, replace(plain, rescale=factor, region=region), segmenter, stop))
    return trials


def choose_scale(trials: list[Trial], info: CheckpointInfo) -> ObjectSize | None:
    """Return the size at the scale where the checkpoint is most at home."""
    usable = [trial for trial in trials if trial.count >= FEWEST]
    if not usable:
        return None
    best = max(usable, key=lambda trial: _fit(trial, info.object_diameter))
    diameter = best.diameter / best.factor
    factor = min(max(round(info.object_diameter / diameter, 2), RESCALE[0]), RESCALE[1])
    if NEAR[0] <= factor <= NEAR[1]:
        factor = 1.0
    return ObjectSize(diameter, info.object_diameter, factor)


def _fit(trial: Trial, learnt: float) -> float:
    """Return how well a scale suits: decided probabilities, and objects of the size learnt."""
    return trial.decided - SIZE_WEIGHT * abs(math.log2(trial.diameter / learnt))


def _try(part: np.ndarray, request: SegmentRequest, segmenter: Segmenter, stop: Stop) -> Trial:
    """Segment a region at the request's factor."""
    result = drain(segmenter.run(part, request, stop))
    if not result.complete:
        raise Cancelled
    labels = np.asarray(result.labels)
    probabilities = np.asarray(result.probabilities[0]).astype(np.float32)
    foreground = probabilities[0] if len(probabilities) == 1 else 1 - probabilities[0]
    pixels = np.bincount(labels[labels > 0].ravel())
    pixels = pixels[pixels > 0]
    seen = foreground > SEEN
    if not len(pixels) or not seen.any():
        return Trial(request.rescale)
    diameter = float(np.median(np.sqrt(4 * pixels / math.pi))) * request.rescale
    decided = float(np.abs(2 * foreground[seen] - 1).mean())
    return Trial(request.rescale, len(pixels), diameter, decided)


def _busiest_part(image: Any, axes: ImageAxes, frames: tuple[int, ...] | None) -> np.ndarray:
    """Read the part with most contrast among a few of the middle frame, ``(C, h, w)``."""
    numbers = frames or range(axes.frame_count(image.shape))
    frame, side = numbers[len(numbers) // 2], round(CROP / min(FACTORS))
    starts = [
        sorted({0, max(n - side, 0) // 2, max(n - side, 0)}) for n in axes.frame_shape(image.shape)
    ]
    parts = (
        axes.frame(image, frame, (slice(top, top + side), slice(left, left + side)))
        for top in starts[0]
        for left in starts[1]
    )
    return max(parts, key=lambda part: float(np.nanstd(part.astype(np.float32))))


def _busiest(pixels: np.ndarray, side: int) -> Box:
    """Return the square of this side with most contrast."""
    from scipy.ndimage import uniform_filter

    height, width = (min(side, n) for n in pixels.shape)
    pixels = np.nan_to_num(pixels - np.nanmean(pixels))
    size = (height, width)
    variance = uniform_filter(pixels**2, size) - uniform_filter(pixels, size) ** 2
    # Only centres whose square lies within the frame.
    inner = variance[height // 2 :, width // 2 :]
    inner = inner[: pixels.shape[0] - height + 1, : pixels.shape[1] - width + 1]
    top, left = (int(k) for k in np.unravel_index(inner.argmax(), inner.shape))
    return Box(top, left, top + height, left + width)
