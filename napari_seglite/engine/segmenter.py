"""A checkpoint and an image in, probabilities and labels out."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models

from ..errors import DeviceError, ImageError, SegliteError
from ..store.checkpoints import CheckpointInfo, CheckpointStore
from . import devices, layouts
from .axes import ImageAxes, at_level
from .inference import (
    COMPILING,
    Predictor,
    Stop,
    interruptible,
    needs_compiling,
    never,
    warm_up,
)
from .masks import continued, to_labels
from .normalise import image_limits, prepare_slices
from .regions import grown, region_of, within
from .requests import SegmentRequest
from .tiling import count_tiles, predict_tiled
from .versions import versions

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Progress:
    """How far a segmentation is.

    Attributes
    ----------
    text : str
        For the status line.
    done, total : int
        Tiles; total 0 where it is not known yet.
    frame, frames : int
        The frame in work and how many there are, counted from 1.
    seconds_left : float or None
        Once it can be told.
    """

    text: str
    done: int = 0
    total: int = 0
    frame: int = 0
    frames: int = 0
    seconds_left: float | None = None


@dataclass(frozen=True)
class Segmentation:
    """The result of a segmentation.

    Attributes
    ----------
    labels : ndarray
        Of the image's shape without channels; 0 where nothing was asked for.
    probabilities : ndarray
        ``(frames, K, h, w)`` float32, of the frames and of the box around the region that were
        asked for.
    frames : tuple of int
        Which ones those are.
    request : SegmentRequest
        As it was run, with the device that served it.
    info : CheckpointInfo
        Of the checkpoint.
    shape : tuple of int
        Of the image.
    layout : str
        The memory layout the network had, see `layouts`.
    notices : tuple of str
        What the user should know about the image.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    frames: tuple[int, ...]
    request: SegmentRequest
    info: CheckpointInfo
    shape: tuple[int, ...]
    layout: str
    notices: tuple[str, ...] = ()

    def recipe(self) -> dict[str, Any]:
        """Return what it takes to repeat this result, as plain JSON data."""
        return {
            **self.request.as_dict(),
            "weights_sha256": self.info.weights_sha256,
            "layout": self.layout,
            "versions": versions(),
        }

    @property
    def partial(self) -> bool:
        """Whether only some frames or a region of them were asked for."""
        return self.request.frames is not None or self.request.region is not None

    def asked(self) -> np.ndarray:
        """Return what was asked for of the image, boolean, of the shape of `labels`."""
        axes, shape = ImageAxes(self.request.axes), self.shape
        region = region_of(self.request.region, axes.frame_shape(shape))
        frames = np.zeros((axes.frame_count(shape), *axes.frame_shape(shape)), bool)
        rows, columns = region.box(axes.frame_shape(shape))
        frames[list(self.frames), rows, columns] = region.mask(axes.frame_shape(shape))
        return axes.join(frames, shape)

    def relabel(self, **changes: Any) -> Segmentation:
        """Label anew from the same probabilities, without the network.

        Parameters
        ----------
        **changes
            New values for ``threshold``, ``min_size`` and ``output`` of the request.
        """
        request = replace(self.request, **changes)
        return replace(self, request=request, labels=_labels(self, request, self.shape))


@dataclass
class _Loaded:
    sha: str
    device: str
    info: CheckpointInfo
    network: nn.Module
    layout: str | None = None


@dataclass
class Segmenter:
    """Segments images; keeps the last network in memory for the next call.

    Parameters
    ----------
    store : CheckpointStore, optional
        Where checkpoints come from.
    """

    store: CheckpointStore = field(default_factory=CheckpointStore)
    _loaded: _Loaded | None = None

    def run(
        self, image: Any, request: SegmentRequest, stop: Stop = never
    ) -> Generator[Progress, None, Segmentation]:
        """Segment an image.

        Parameters
        ----------
        image : array
            Anything that NumPy can index, with the request's axes and any real dtype; or a
            sequence of such, the levels of a multiscale image.
        request : SegmentRequest
            What to do.
        stop : callable
            Asked between layers; once it returns True, `Cancelled` is raised.

        Yields
        ------
        Progress
            After every tile.

        Returns
        -------
        Segmentation
            As the value of the generator; see `segment` for a plain function.

        Raises
        ------
        ImageError
            If the image cannot be segmented.
        CheckpointError
            If the checkpoint is missing, damaged, or does not fit the image.
        DeviceError
            If there is no such device or its memory does not suffice.
        Cancelled
            If `stop` returned True.
        """
        axes, image = ImageAxes(request.axes), at_level(image, request.level)
        axes.check(image.shape)
        frames = _chosen_frames(request, axes.frame_count(image.shape))
        region_of(request.region, axes.frame_shape(image.shape)).box(axes.frame_shape(image.shape))
        dtype = np.dtype(image.dtype)
        if dtype.kind not in "buif":
            raise ImageError(f"Images of {dtype} cannot be segmented. Convert to numbers first.")

        yield Progress("Loading the network …", frames=len(frames))
        request = replace(request, device=devices.resolve(request.device))
        loaded = self._load(request)
        info, network = loaded.info, loaded.network
        if needs_compiling(info.network, request.device):
            yield Progress(COMPILING, frames=len(frames))
        warm_up(info.network, request.device)

        limits = image_limits(image, axes, info, request.channels)
        values: np.ndarray | None = None
        with interruptible(network, stop):
            if loaded.layout is None:
                yield Progress(layouts.MEASURING, frames=len(frames))
                folder = self.store.folder.parent
                loaded.layout = layouts.measure(folder, info, network, request.device)
            for progress, index, part in self._frames(
                image, frames, info, network, request, limits
            ):
                if values is None:
                    values = np.zeros((len(frames), *part.shape), np.float32)
                values[index] = part
                yield progress
        assert values is not None
        yield Progress("Labelling …", frames=len(frames))
        notices = _notices(image, limits)
        result = Segmentation(
            np.empty(0), values, frames, request, info, image.shape, loaded.layout, notices
        )
        return replace(result, labels=_labels(result, request, image.shape))

    def segment(self, image: Any, request: SegmentRequest) -> Segmentation:
        """Do what `run` does in one call and return its result."""
        steps = self.run(image, request)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: Segmentation = end.value
                return result

    def _load(self, request: SegmentRequest) -> _Loaded:
        from src_models.folding import fold

        sha, device = self.store.info(request.checkpoint).weights_sha256, request.device
        if self._loaded is None or (self._loaded.sha, self._loaded.device) != (sha, device):
            info, network = self.store.load(request.checkpoint)
            network = devices.place(fold(network.eval()), device)
            layout = layouts.remembered(self.store.folder.parent, info, device)
            if layout is not None:
                layouts.arrange(network, layout)
            self._loaded = _Loaded(sha, device, info, network, layout)
        _prune(self._loaded.network, self._loaded.info, request.pruning_level)
        return self._loaded

    def _frames(
        self,
        image: Any,
        frames: tuple[int, ...],
        info: CheckpointInfo,
        network: nn.Module,
        request: SegmentRequest,
        limits: tuple[float, float],
    ) -> Generator[tuple[Progress, int, np.ndarray]]:
        """Yield progress, the frame's position and its probabilities so far, tile by tile."""
        import torch

        axes = ImageAxes(request.axes)
        shape = axes.frame_shape(image.shape)
        box = region_of(request.region, shape).box(shape)
        # The network sees what surrounds the region.
        seen = grown(box, request.overlap // 2, shape)
        inner = (slice(None), *within(box, seen))
        height, width = (edge.stop - edge.start for edge in seen)
        per_frame = count_tiles(height, width, request.tile, request.overlap)
        total, started = per_frame * len(frames), time.monotonic()
        constant = limits[0] >= limits[1]
        predictor = Predictor(network, request.device)
        done = 0
        for position, index in enumerate(frames):
            pixels = prepare_slices(image, axes, index, info, limits, request.channels, seen)
            if constant:  # nothing to see, whatever the network would make of it
                blank = np.zeros((info.classes, height, width), np.float32)
                blank[0] = float(info.classes > 1)
                done += per_frame
                yield _progress(position, frames, done, total, started), position, blank[inner]
                continue
            try:
                predictor.at(axes.neighbours(index, image.shape, info.context_slices))
                for part in predict_tiled(predictor, pixels, request.tile, request.overlap):
                    done += 1
                    now = _progress(position, frames, done, total, started)
                    yield now, position, part[inner]
            except torch.OutOfMemoryError as error:
                raise DeviceError(
                    f"{request.device} ran out of memory at tiles of {request.tile} pixels. "
                    "Choose smaller tiles or the CPU."
                ) from error


def segment(
    image: Any, request: SegmentRequest, store: CheckpointStore | None = None
) -> Segmentation:
    """Segment an image and return the result; see `Segmenter.run` for arguments and errors."""
    return Segmenter(store or CheckpointStore()).segment(image, request)


def _chosen_frames(request: SegmentRequest, count: int) -> tuple[int, ...]:
    frames = tuple(range(count)) if request.frames is None else request.frames
    beyond = [f for f in frames if not 0 <= f < count]
    if beyond:
        raise ImageError(f"There is no frame {beyond[0]}: the image has {count}, counted from 0.")
    return frames


def _prune(network: Any, info: CheckpointInfo, level: int | None) -> None:
    levels = src_models.card(info.network).pruning_levels
    if level is not None and level not in levels:
        offered = f"levels {levels[0]} to {levels[-1]}" if levels else "no pruning levels"
        raise SegliteError(
            f"The network {info.network} of checkpoint {info.id} has {offered}, not {level}."
        )
    if levels:
        network.level = level or levels[-1]


def _labels(result: Segmentation, request: SegmentRequest, shape: tuple[int, ...]) -> np.ndarray:
    """Label what was asked for; the rest stays 0."""
    axes = ImageAxes(request.axes)
    region = region_of(request.region, axes.frame_shape(shape))
    rows, columns = region.box(axes.frame_shape(shape))
    probabilities = result.probabilities
    if request.region is not None:
        nothing = np.zeros(probabilities.shape[1], np.float32)
        nothing[0] = float(len(nothing) > 1)
        inside = region.mask(axes.frame_shape(shape))
        probabilities = np.where(inside, probabilities, nothing[:, None, None])
    # Objects reach across slices only where all slices were segmented.
    whole = request.frames is None and "Z" in axes.stack
    groups = axes.volumes(shape) if whole else [[k] for k in range(len(result.frames))]
    settings = (request.threshold, request.min_size, request.output)
    parts = [to_labels(probabilities[g], *settings, volume=whole) for g in groups]
    if request.output == "instances":
        parts = continued(parts)
    dtype = np.result_type(*parts)
    frames = np.zeros((axes.frame_count(shape), *axes.frame_shape(shape)), dtype)
    for group, part in zip(groups, parts, strict=True):
        frames[[result.frames[k] for k in group], rows, columns] = part
    return axes.join(frames, shape)


def _progress(
    position: int, frames: tuple[int, ...], done: int, total: int, started: float
) -> Progress:
    left = (time.monotonic() - started) / done * (total - done)
    text = f"Tile {done} of {total}"
    if len(frames) > 1:
        text = f"Slice {position + 1} of {len(frames)}, tile {done} of {total}"
    return Progress(text, done, total, position + 1, len(frames), left)


def _notices(image: Any, limits: tuple[float, float]) -> tuple[str, ...]:
    notices = []
    if np.dtype(image.dtype).kind == "f":
        missing = int(np.size(image) - np.count_nonzero(np.isfinite(np.asarray(image))))
        if missing:
            notices.append(f"{missing} pixels are NaN or infinite and were treated as missing.")
    if limits[0] >= limits[1]:
        notices.append("All pixels of the image are equal, so there is nothing to find.")
    return tuple(notices)
