"""Annotated images to frames that a network learns from: one way for panel, shell and Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoints import CheckpointInfo, CheckpointStore, intensity_limits, prepare_slices
from ..errors import AnnotationError
from ..images import WHOLE, Box, Corrections, ImageAxes, PixelSize, TrainingImage
from .defaults import read_colour, suggest_settings, with_authors_recipe
from .request import FineTuneRequest
from .start import start_info
from .volumes import read_slabs, volume_options, volume_patches
from .whole_objects import with_objects

if TYPE_CHECKING:
    Limits = tuple[float, float]

# Pixels around the corrected ones that the network sees as surroundings.
SURROUNDINGS = 64


@dataclass(frozen=True)
class AnnotatedImage:
    """An image, the labels on it, and which of them count.

    Attributes
    ----------
    name : str
        Names the frames in messages and on the card; no two images share one.
    pixels, labels : array
        Labels lack the channel axis; they may be painted on while they are read.
    axes : ImageAxes
        Of the image.
    corrections : Corrections
        Which pixels count.
    channels : tuple of int or None
        Channels that the checkpoint sees; None for all but alpha.
    pixel_size : tuple of float or None
        Height and width of a pixel in micrometres, if known.
    origin : str
        The same for all annotations of one image, such as its path; the name if not given. Of a
        frame that is corrected in several of them, the latest correction counts.
    slice_spacing : float or None
        Distance between two slices of a stack in pixels of a slice, if known.
    """

    name: str
    pixels: Any
    labels: Any
    axes: ImageAxes
    corrections: Corrections
    channels: tuple[int, ...] | None = None
    pixel_size: PixelSize | None = None
    origin: str = ""
    slice_spacing: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the pixels."""
        return tuple(self.pixels.shape)


class IntensityLimits:
    """Intensity limits of images, read once for each normalisation and choice of channels."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Any, Limits]] = {}

    def of(
        self,
        pixels: Any,
        axes: ImageAxes,
        info: CheckpointInfo,
        channels: tuple[int, ...] | None = None,
    ) -> Limits:
        """Return what `intensity_limits` returns."""
        key = id(pixels), axes, info.in_channels, info.normalisation, channels
        # The array is kept with its limits: another one may get the id of one that is gone.
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = pixels, intensity_limits(pixels, axes, info, channels)
        return known[1]


def prepare_training(
    request: FineTuneRequest,
    images: Sequence[AnnotatedImage],
    store: CheckpointStore,
    template: CheckpointInfo | None = None,
    suggest: bool = True,
    limits: IntensityLimits | None = None,
) -> tuple[FineTuneRequest, list[TrainingImage]]:
    """Return a request that suits annotated images, and the frames to learn from.

    Parameters
    ----------
    request : FineTuneRequest
        Its start, name, time limit, seed and device stay. Pixel size is filled in.
    images : sequence of AnnotatedImage
        What was annotated.
    store : CheckpointStore
        Where the starting point is.
    template : CheckpointInfo, optional
        As `FineTuner` takes it.
    suggest : bool
        Whether to choose channels and settings, see `suggest_settings`.
    limits : IntensityLimits, optional
        Limits that are known already; new ones are added.

    Raises
    ------
    AnnotationError
        If labels do not cover their image, or nothing is annotated.
    CheckpointError
        If the starting point does not exist or does not fit the images.
    """
    corrected = [image for image in images if image.corrections.regions]
    sizes = {image.pixel_size for image in corrected}
    request = replace(request, spacing=sizes.pop() if len(sizes) == 1 else None)
    if suggest and all(image.channels is None for image in corrected):
        shapes = [(image.axes, image.shape) for image in corrected]
        request = read_colour(request, start_info(request, store, template), shapes)
    info = start_info(request, store, template)
    if info.volumetric:
        request = volume_options(request, info, [image.slice_spacing for image in corrected])
        info = start_info(request, store, template)
    frames = annotated_examples(corrected, info, limits)
    if not frames:
        raise AnnotationError(
            "Nothing was corrected yet: paint into the labels of an image, or accept a slice as "
            "it is."
        )
    if suggest:
        request = suggest_settings(request, frames, info)
        if request.recipe == "authors":
            request = with_authors_recipe(request, info.network)
    return volume_patches(request, info), frames


def annotated_examples(
    images: Sequence[AnnotatedImage], info: CheckpointInfo, limits: IntensityLimits | None = None
) -> list[TrainingImage]:
    """Return every corrected frame of several images, prepared for a checkpoint, by name.

    A frame that was corrected in several annotations of one image is learnt once, as it was
    corrected last.
    """
    limits = limits or IntensityLimits()
    frames: list[TrainingImage] = []
    for image in _latest(images):
        if image.corrections.regions:
            known = limits.of(image.pixels, image.axes, info, image.channels)
            frames += corrected_examples(image, info, known)
    return sorted(frames, key=lambda frame: frame.name)


def _latest(images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """Return the images without corrections that later ones replace."""
    latest: dict[tuple[str, int], tuple[str, str]] = {}
    for image in images:
        for region in image.corrections.regions:
            key = image.origin or image.name, region.frame
            latest[key] = max(latest.get(key, ("", "")), (region.when, image.name))
    kept = []
    for image in images:
        corrections = image.corrections
        for frame in corrections.frames:
            if latest[image.origin or image.name, frame][1] != image.name:
                corrections = corrections.forget(frame)
        kept.append(replace(image, corrections=corrections))
    return kept


def corrected_examples(
    image: AnnotatedImage, info: CheckpointInfo, limits: Limits | None = None
) -> list[TrainingImage]:
    """Return the corrected frames of an image; of large ones the corrected part with a margin.

    Parameters
    ----------
    image : AnnotatedImage
        What was annotated.
    info : CheckpointInfo
        Sets channels and normalisation.
    limits : tuple of float, optional
        As `intensity_limits` returns them, if they are known.

    Raises
    ------
    AnnotationError
        If labels do not cover the image.
    """
    if info.volumetric:
        return _corrected_slabs(image, info, limits)
    corrections = image.corrections
    whole = image_examples(
        image.name,
        image.pixels,
        image.labels,
        image.axes,
        info,
        corrections.frames,
        image.channels,
        limits,
    )
    examples: list[TrainingImage] = []
    for number, frame in zip(corrections.frames, whole, strict=True):
        truth, weight = corrections.truth(number, frame.labels)
        box = _surroundings(weight)
        examples.append(
            TrainingImage(
                frame.name,
                frame.frame[:, *box.slices],
                np.array(truth[box.slices]),  # a copy: the user may be painting
                weight=None if weight.all() else weight[box.slices],
                sparse=corrections.sparse(number),
                corner=(box.top, box.left),
            )
        )
    return [example for example in examples if example.weight is None or example.weight.any()]


def _corrected_slabs(
    image: AnnotatedImage, info: CheckpointInfo, limits: Limits | None
) -> list[TrainingImage]:
    """Return a slab for every corrected frame; all are cut to the same box."""
    name, axes, corrections = image.name, image.axes, image.corrections
    _check_cover(name, image.pixels, image.labels, axes)
    numbers = corrections.frames
    limits = limits or intensity_limits(image.pixels, axes, info, image.channels)
    truths = [
        corrections.truth(k, ImageAxes(axes.labels).frame(image.labels, k)[0]) for k in numbers
    ]
    box = _surroundings(np.any([weight > 0 for _, weight in truths], axis=0))
    slabs = read_slabs(name, image.pixels, axes, numbers, info, limits, image.channels, box)
    examples = [
        TrainingImage(
            f"{name}, slice {number}",
            slab,
            np.array(truth[box.slices]),  # a copy: the user may be painting
            weight=None if weight.all() else weight[box.slices],
            sparse=corrections.sparse(number),
            corner=(box.top, box.left),
            source=name,
            slices=slices,
        )
        for number, (truth, weight), (slab, slices) in zip(numbers, truths, slabs, strict=True)
        if weight.any()
    ]
    return with_objects(examples, info, image.slice_spacing)


def _surroundings(weight: np.ndarray) -> Box:
    """Return the box around all pixels that count, with a margin; small frames stay whole."""
    height, width = weight.shape
    whole = Box(0, 0, height, width)
    if max(weight.shape) <= WHOLE or not weight.any():
        return whole
    rows, columns = np.flatnonzero(weight.any(1)), np.flatnonzero(weight.any(0))
    counted = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return counted.grown(SURROUNDINGS, (height, width))


def image_examples(
    name: str,
    image: Any,
    labels: Any,
    axes: ImageAxes,
    info: CheckpointInfo,
    frames: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    limits: Limits | None = None,
) -> list[TrainingImage]:
    """Prepare completely labelled frames of an image for a checkpoint.

    The whole image decides the normalisation, as it does when it is segmented.

    Parameters
    ----------
    name : str
        For messages.
    image, labels : array
        Labels lack the channel axis.
    axes : ImageAxes
        Of the image.
    info : CheckpointInfo
        Sets channels and normalisation.
    frames : sequence of int, optional
        Numbers of the frames; all if not given.
    channels : sequence of int, optional
        Channels, see `select_channels`.
    limits : tuple of float, optional
        As `intensity_limits` returns them, if they are known.

    Raises
    ------
    AnnotationError
        If labels do not cover the image.
    """
    _check_cover(name, image, labels, axes)
    if frames is None:
        frames = range(axes.frame_count(image.shape))
    limits = limits or intensity_limits(image, axes, info, channels)
    slabs: list[tuple[np.ndarray, tuple[int, ...]]]
    if info.volumetric:
        slabs = read_slabs(name, image, axes, frames, info, limits, channels)
    else:
        slabs = [
            (_stacked(prepare_slices(image, axes, k, info, limits, channels)), ()) for k in frames
        ]
    examples = []
    for k, (frame, slices) in zip(frames, slabs, strict=True):
        title = f"{name}, slice {k}" if axes.stacked else name
        example = _labelled(title, frame, ImageAxes(axes.labels).frame(labels, k)[0])
        examples.append(replace(example, source=name, slices=slices) if slices else example)
    return with_objects(examples, info)


def _check_cover(name: str, image: Any, labels: Any, axes: ImageAxes) -> None:
    axes.check(image.shape)
    if labels.shape != axes.label_shape(image.shape):
        raise AnnotationError(
            f"{name}: labels of shape {labels.shape} do not cover an image of shape "
            f"{axes.label_shape(image.shape)}. Give labels of the image's own size."
        )


def _labelled(name: str, frame: np.ndarray, labels: np.ndarray) -> TrainingImage:
    """Return a training image; nothing is learnt where labels are negative."""
    if labels.dtype.kind != "i" or labels.min(initial=0) >= 0:
        return TrainingImage(name, frame, labels)
    weight = (labels >= 0).astype(np.float32)
    return TrainingImage(name, frame, np.maximum(labels, 0), weight=weight)


def _stacked(frame: np.ndarray) -> np.ndarray:
    """``(S, C, H, W)`` as ``(S * C, H, W)``, which augmentation treats alike."""
    return frame.reshape(-1, *frame.shape[-2:])


def digest(images: Sequence[TrainingImage]) -> str:
    """Return the SHA-256 over the frames, labels and weights that a checkpoint learns from."""
    sha = hashlib.sha256()
    for image in images:
        for array in (image.frame, image.labels, image.weight):
            if array is None:
                continue
            sha.update(f"{array.dtype}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
