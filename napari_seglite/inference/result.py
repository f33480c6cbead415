"""The result of a segmentation: probabilities, and the labels made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..checkpoints import CheckpointInfo
from ..images import ImageAxes, LabelFrames, Region, blocks, chunked, region_of
from ..labels import Counts, Foreground, label_dtype, label_frames
from ..runtime import versions
from .request import SegmentRequest


@dataclass(frozen=True)
class Segmentation:
    """The result of a segmentation.

    Attributes
    ----------
    labels : array
        Of the image's shape without channels; 0 where nothing was asked for.
    probabilities : array
        ``(frames, K, h, w)`` float16, of the frames and of the box around the region that were
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
    counts : Counts
        What was labelled.
    bands, rows : tuple of int
        How many bands of tiles, and rows of the box, are finished in each frame; of a result that
        was cancelled, not all are. Empty if all are.
    disagreement : array or None
        ``(frames, h, w)`` float16, 0 to 1: of an ensemble, how much its members differ.
    """

    labels: Any
    probabilities: Any
    frames: tuple[int, ...]
    request: SegmentRequest
    info: CheckpointInfo
    shape: tuple[int, ...]
    layout: str
    notices: tuple[str, ...] = ()
    counts: Counts = field(default_factory=lambda: Counts(0, 0))
    bands: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    disagreement: Any = None

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
        """Whether only some frames or a region of them were segmented."""
        some = self.request.frames is not None or self.request.region is not None
        return some or not self.complete

    @property
    def complete(self) -> bool:
        """Whether it was not cancelled."""
        return not self.rows

    @property
    def share(self) -> float:
        """How much is finished, 0 to 1."""
        whole = self.probabilities.shape[0] * self.probabilities.shape[2]
        return 1.0 if self.complete else sum(self.rows) / whole

    @property
    def region(self) -> Region:
        """What was asked for of every frame."""
        return region_of(self.request.region, self._plane)

    @property
    def inside(self) -> np.ndarray | None:
        """Which pixels of the box ``(h, w)`` were asked for, boolean; None if all were."""
        return None if self.request.region is None else self.region.mask(self._plane)

    @property
    def _plane(self) -> tuple[int, int]:
        return ImageAxes(self.request.axes).frame_shape(self.shape)

    def frames_in(self, array: Any) -> LabelFrames:
        """Return the segmented frames of an array of the labels' shape, from the region's box."""
        box = self.region.box(self._plane)
        axes = ImageAxes(self.request.axes)
        return LabelFrames(array, axes, self.shape, self.frames, (box.top, box.left))

    def asked(self) -> np.ndarray:
        """Return what was segmented of the image, boolean, of the shape of `labels`."""
        axes, shape = ImageAxes(self.request.axes), self.shape
        frames = np.zeros((axes.frame_count(shape), *self._plane), bool)
        rows, columns = self.region.box(self._plane).slices
        frames[list(self.frames), rows, columns] = self.region.mask(self._plane)
        for frame, done in zip(self.frames, self.rows, strict=False):
            frames[frame, rows.start + done :] = False
        return axes.join(frames, shape)

    def insert_labels(self, existing: Any, top: int) -> None:
        """Put what was asked for into labels that are too large for memory, block by block.

        Parameters
        ----------
        existing : array
            Of the shape of `labels`; changed.
        top : int
            Objects are numbered above this.
        """
        inside = self.region.mask(self._plane)
        old, new = self.frames_in(existing), self.frames_in(self.labels)
        above = top if self.request.output == "instances" else 0
        for position in range(len(self.frames)):
            done = self.rows[position] if self.rows else len(inside)
            for block in blocks((done, inside.shape[1])):
                fresh = new.read(position, block[0], block[1])
                fresh = np.where(fresh > 0, fresh.astype(np.int64) + above, 0)
                merged = np.where(inside[block], fresh, old.read(position, block[0], block[1]))
                old.write(position, block[0], block[1], merged.astype(existing.dtype))

    def relabel(self, **changes: Any) -> Segmentation:
        """Label anew from the same probabilities, without the network.

        Parameters
        ----------
        **changes
            New values for ``threshold``, ``smooth``, ``fill_holes``, ``min_size`` and ``output`` of
            the request.
        """
        return labelled(self, replace(self.request, **changes))

    def relabel_frame(self, position: int, **changes: Any) -> np.ndarray:
        """Do what `relabel` does for one frame by itself, which is faster than for a stack.

        Parameters
        ----------
        position : int
            Which of `frames`.
        **changes
            See `relabel`.

        Returns
        -------
        ndarray
            ``(h, w)`` uint32, the box around the region; objects are numbered from 1.
        """
        one = replace(
            self,
            probabilities=np.asarray(self.probabilities[position])[None],
            rows=self.rows[position : position + 1],
        )
        labels = np.zeros((1, *one.probabilities.shape[-2:]), np.uint32)
        target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
        _write(one, replace(self.request, **changes), [[0]], target)
        return labels[0]


def _write(
    result: Segmentation,
    request: SegmentRequest,
    groups: Sequence[Sequence[int]],
    target: LabelFrames,
) -> Counts:
    """Label the frames of a result."""
    foreground = Foreground(
        result.probabilities,
        request.threshold,
        result.inside,
        request.smooth,
        result.rows or None,
    )
    return label_frames(
        foreground, groups, target, request.min_size, request.output, request.fill_holes
    )


def labelled(result: Segmentation, request: SegmentRequest) -> Segmentation:
    """Label what was asked for; the rest stays 0."""
    shape = result.shape
    axes = ImageAxes(request.axes)
    # Objects reach across slices only where all slices were segmented.
    whole = request.frames is None and "Z" in axes.stack
    groups = axes.volumes(shape) if whole else [[k] for k in range(len(result.frames))]

    semantic = request.output == "semantic"
    labels = chunked.zeros(axes.label_shape(shape), np.uint8 if semantic else np.uint32)
    counts = _write(result, request, groups, result.frames_in(labels))
    if isinstance(labels, np.ndarray):
        labels = labels.astype(label_dtype(request.output, counts.objects), copy=False)
    return replace(result, request=request, labels=labels, counts=counts)
