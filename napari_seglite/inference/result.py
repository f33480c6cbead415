"""The result of a segmentation: probabilities, and the labels computed from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..checkpoints import CheckpointInfo
from ..images import Block, Box, ImageAxes, LabelFrames, Region, blocks, chunked, region_of
from ..labels import (
    Continued,
    Counts,
    Foreground,
    Interior,
    label_dtype,
    label_frames,
    numbered_above,
    object_diameter,
)
from ..runtime import versions
from .coverage import Coverage, Tiles
from .request import SegmentRequest
from .stacks import StackPlan

# Side in pixels of the part of a frame that tells how wide objects are.
SAMPLE = 1024


@dataclass(frozen=True)
class Segmentation:
    """The result of a segmentation.

    Attributes
    ----------
    labels : array
        Shape of the image without channels; 0 outside the requested frames and region.
    probabilities : array
        ``(frames, K, h, w)`` float16, for the requested frames and the box around the region: the
        foreground probability, or one per class.
    frames : tuple of int
        Numbers of the segmented frames.
    request : SegmentRequest
        The request as it ran, with the device and tiles that were used.
    info : CheckpointInfo
        Card of the checkpoint.
    shape : tuple of int
        Shape of the image.
    memory_format : str
        Memory format of the network, see `runtime.memory_format`.
    threads : int
        Number of torch's threads, which rounding on a CPU depends on.
    notices : tuple of str
        Messages for the user.
    counts : Counts
        Number of labelled pixels and objects.
    tiles : Tiles or None
        Of a cancelled result, what a run needs to continue it; None if the result is complete, or
        the computer that knew was lost.
    coverage : Coverage or None
        Of a cancelled result, which pixels of the box are finished.
    disagreement : array or None
        ``(frames, h, w)`` float16, 0 to 1: how much the members of an ensemble differ.
    head : array or None
        ``(frames, C, h, w)`` float16, the channels of the checkpoint's object head, see
        `object_heads.activated`; None if it has none.

    Examples
    --------
    >>> result = segment(image, SegmentRequest("nuclei-s-net", "YX"))  # doctest: +SKIP
    >>> result.probabilities.shape  # doctest: +SKIP
    (1, 1, 1024, 1024)
    >>> strict = result.relabel(threshold=0.8, output="instances")  # doctest: +SKIP
    >>> strict.counts.objects  # doctest: +SKIP
    217
    """

    labels: Any
    probabilities: Any
    frames: tuple[int, ...]
    request: SegmentRequest
    info: CheckpointInfo
    shape: tuple[int, ...]
    memory_format: str
    threads: int = 0
    notices: tuple[str, ...] = ()
    counts: Counts = field(default_factory=lambda: Counts(0, 0))
    tiles: Tiles | None = None
    coverage: Coverage | None = None
    disagreement: Any = None
    head: Any = None

    def recipe(self) -> dict[str, Any]:
        """Return all that is needed to repeat this result, as plain JSON data.

        With all of it equal, on the same kind of processor, the labels are equal to the bit. With
        another runtime, number of threads or size of tiles, they may differ in a few pixels, and
        with another precision in some more.
        """
        return {
            **self.request.as_dict(),
            "threads": self.threads,
            "weights_sha256": self.info.weights_sha256,
            "memory_format": self.memory_format,
            "versions": versions("openvino") if self.request.runtime == "openvino" else versions(),
        }

    @property
    def partial(self) -> bool:
        """Whether only some frames, a region of them, or some of their tiles were segmented."""
        selected = self.request.frames is not None or self.request.region is not None
        return selected or not self.complete

    @property
    def complete(self) -> bool:
        """Whether the segmentation finished, rather than being cancelled."""
        return self.coverage is None

    @property
    def share(self) -> float:
        """Finished share, 0 to 1."""
        return 1.0 if self.coverage is None else self.coverage.share

    @property
    def region(self) -> Region:
        """The requested region of every frame."""
        return region_of(self.request.region, self._plane)

    @property
    def inside(self) -> np.ndarray | None:
        """Mask of the requested pixels of the box, ``(h, w)`` boolean; None if all are."""
        return None if self.request.region is None else self.region.mask(self._plane)

    @property
    def _plane(self) -> tuple[int, int]:
        return ImageAxes(self.request.axes).frame_shape(self.shape)

    @property
    def size(self) -> int:
        """Number of requested pixels, of all requested frames."""
        inside = self.inside
        pixels = math.prod(self._plane) if inside is None else int(np.count_nonzero(inside))
        return pixels * len(self.frames)

    def frames_in(self, array: Any) -> LabelFrames:
        """Return the segmented frames of an array of the labels' shape, cropped to the box."""
        box = self.region.box(self._plane)
        axes = ImageAxes(self.request.axes)
        return LabelFrames(array, axes, self.shape, self.frames, (box.top, box.left))

    def asked(self) -> np.ndarray:
        """Return a mask of the segmented pixels, boolean, of the shape of `labels`."""
        axes, shape = ImageAxes(self.request.axes), self.shape
        frames = np.zeros((axes.frame_count(shape), *self._plane), bool)
        rows, columns = self.region.box(self._plane).slices
        frames[list(self.frames), rows, columns] = self.region.mask(self._plane)
        if self.coverage is not None:
            for position, frame in enumerate(self.frames):
                frames[frame, rows, columns] &= self.coverage.frame(position)
        return axes.join(frames, shape)

    def insert_labels(
        self, existing: Any, top: int, kept: Callable[[int], np.ndarray] | None = None
    ) -> None:
        """Write the requested part into other labels, block by block.

        Parameters
        ----------
        existing : array
            Labels of the same shape, which may be too large for memory; changed in place.
        top : int
            Objects are numbered above this, but for those that go on in objects that stay.
        kept : callable, optional
            Returns a boolean mask ``(H, W)`` of the pixels of a frame that stay as they are.
        """
        old, new = self.frames_in(existing), self.frames_in(self.labels)
        objects, continued = self.request.output == "instances", Continued()

        def parts() -> Iterator[tuple[int, Block, np.ndarray]]:
            for position in range(len(self.frames)):
                wanted = self._wanted(position, kept)
                for block in blocks(wanted.shape):
                    yield position, block, wanted[block]

        if objects:
            for position, block, wanted in parts():
                if not wanted.all():
                    before, fresh = (each.read(position, *block) for each in (old, new))
                    continued.note(before, fresh, ~wanted)
        ids = continued.ids()
        for position, block, wanted in parts():
            fresh = numbered_above(
                new.read(position, block[0], block[1]), top if objects else 0, ids
            )
            merged = np.where(wanted, fresh, old.read(position, block[0], block[1]))
            old.write(position, block[0], block[1], merged.astype(existing.dtype))

    def _wanted(self, position: int, kept: Callable[[int], np.ndarray] | None) -> np.ndarray:
        """Return which pixels of a frame are asked for, finished and not kept, ``(h, w)``."""
        wanted = self.region.mask(self._plane)
        if self.coverage is not None:
            wanted = wanted & self.coverage.frame(position)
        if kept is not None:
            wanted = wanted & ~kept(self.frames[position])[self.region.box(self._plane).slices]
        return wanted

    def object_diameter(self, frame: int | None = None) -> float | None:
        """Return the diameter of typical objects in the middle of a frame, see `object_diameter`.

        Parameters
        ----------
        frame : int, optional
            Its number; the middle one if it was not segmented.
        """
        count = len(self.frames)
        position = self.frames.index(frame) if frame in self.frames else count // 2
        box = Box.whole(self.probabilities.shape[-2:]).middle(SAMPLE)
        labels = self.frames_in(self.labels).read(position, box.rows, box.columns)
        return object_diameter(labels)

    def interior(self, position: int, box: Box) -> np.ndarray | None:
        """Return how deep inside of an object pixels are, by the object head.

        Parameters
        ----------
        position : int
            Position of the frame in `frames`.
        box : Box
            Within the box of `probabilities`.

        Returns
        -------
        ndarray or None
            ``(h, w)`` float32, from 0 at an object's border to 1; None without a head.
        """
        interior = self._interior(self.request)
        return None if interior is None else interior.read(position, *box.slices)

    def _interior(self, request: SegmentRequest) -> Interior | None:
        if self.head is None:
            return None
        return Interior(self.info.head, self.head, request.split_depth_for(self.info))

    def relabel(self, **changes: Any) -> Segmentation:
        """Label again from the same probabilities, without running the network.

        Parameters
        ----------
        **changes
            New values for the settings of the request in `LABELLING`, such as ``threshold``.
        """
        return labelled(self, replace(self.request, **changes))

    def relabel_frame(self, position: int, **changes: Any) -> np.ndarray:
        """Label a single frame again, which is faster than a whole stack.

        Parameters
        ----------
        position : int
            Position of the frame in `frames`.
        **changes
            See `relabel`.

        Returns
        -------
        ndarray
            ``(h, w)`` uint32, cropped to the box around the region; objects are numbered from 1.
        """
        single = replace(
            self,
            probabilities=np.asarray(self.probabilities[position])[None],
            head=None if self.head is None else np.asarray(self.head[position])[None],
            coverage=None if self.coverage is None else self.coverage.at(position),
        )
        labels = np.zeros((1, *single.probabilities.shape[-2:]), np.uint32)
        target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
        _write(single, replace(self.request, **changes), [[0]], target)
        return np.asarray(labels[0])


def _write(
    result: Segmentation,
    request: SegmentRequest,
    groups: Sequence[Sequence[int]],
    target: LabelFrames,
    min_size: int | None = None,
) -> Counts:
    """Label the frames of a result, group by group, and write them to `target`."""
    foreground = Foreground(
        result.probabilities,
        request.threshold,
        result.inside,
        request.smooth,
        None if result.coverage is None else result.coverage.mask,
        result._interior(request),
    )
    if min_size is None:
        min_size = request.min_size_for(result.info)
    output, step = request.output_for(result.info), request.slice_spacing or 1.0
    least = request.least_probability_for(result.info)
    return label_frames(
        foreground, groups, target, min_size, output, request.fill_holes, step, least
    )


def labelled(
    result: Segmentation, request: SegmentRequest, in_memory: int | None = None
) -> Segmentation:
    """Return a result with the labels of a request.

    Parameters
    ----------
    result : Segmentation
        Holds the probabilities.
    request : SegmentRequest
        The same as the result's, but for the settings of labelling.
    in_memory : int, optional
        Bytes, see `chunked.zeros`.
    """
    shape = result.shape
    request = request.resolved(result.info)
    output = request.output_for(result.info)
    axes = ImageAxes(request.axes)
    semantic = output == "semantic"
    widest = np.uint8 if semantic else np.uint32
    labels = chunked.zeros(axes.label_shape(shape), widest, in_memory)
    target = result.frames_in(labels)
    plan = StackPlan.of(request, shape)
    counts = _write(result, request, plan.groups, target, plan.min_size)
    counts = plan.joined(target, result.probabilities.shape[-2:], counts)
    labels = chunked.converted(labels, label_dtype(output, counts.objects))
    return replace(result, request=request, labels=labels, counts=counts)
